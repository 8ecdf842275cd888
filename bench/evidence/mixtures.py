"""Crafted distributions against mixtures of equal loss, and fits with two seeds: ``python -m bench.evidence.mixtures``.

Both by the forecast alone, in minutes; `docs/evidence.md` and `docs/forecast.md` quote the results file.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

import fastdeg as fd
from bench.evidence import settings
from bench.machine import describe
from fastdeg._files import replaced_file
from fastdeg.images import read_images

RESULTS = Path(__file__).parent / "results_mixtures.json"
TAUS = np.geomspace(0.08, 1.2, 9)
SAMPLES = (None, 5, 10, 24)  # that q is known by; None: it is known


def comparisons(forecast: fd.TrainingForecast, setting: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Return by how much crafted distributions gain more than the mixture that loses as much."""
    truth, uniform = settings.truth(settings.APPLICATIONS[setting]), fd.BinnedDistribution.uniform(settings.bins())
    found = []
    for n in SAMPLES:
        q = truth if n is None else _resample(truth, n, rng)
        crafted = [fd.craft(q, generalization=tau).distribution for tau in TAUS]
        mixed = [fd.baselines.mixture(q, uniform, weight) for weight in np.linspace(0, 1, 21)]
        gains = forecast.gains([*crafted, *mixed], target=truth)
        front = sorted((gain.prior, gain.target) for gain in gains[len(crafted) :])
        losses, values = zip(*front, strict=True)
        for tau, gain in zip(TAUS, gains, strict=False):
            if losses[0] <= gain.prior <= losses[-1]:
                more = gain.target - float(np.interp(gain.prior, losses, values))
                found.append({"setting": setting, "samples": n, "tau": float(tau), "more": more})
    return found


def _resample(truth: fd.BinnedDistribution, n: int, rng: np.random.Generator) -> fd.BinnedDistribution:
    return fd.BinnedDistribution(truth.bins, rng.multinomial(n, truth.pmf) / n, n_samples=n)


def differences(forecasts: list[fd.TrainingForecast]) -> list[float]:
    """Return by how much two fits differ on the application, for eight distributions of each setting."""
    found = []
    uniform = fd.BinnedDistribution.uniform(settings.bins())
    for ranges in settings.APPLICATIONS.values():
        q = settings.truth(ranges)
        tried = [q, *(fd.craft(q, generalization=tau).distribution for tau in (0.1, 0.2, 0.4, 0.7))]
        tried += [fd.baselines.mixture(q, uniform, weight) for weight in (0.15, 0.3, 0.6)]
        a, b = (forecast.gains(tried, target=q) for forecast in forecasts)
        found += [abs(x.target - y.target) for x, y in zip(a, b, strict=True)]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.evidence.mixtures", description=__doc__)
    parser.add_argument("clean", type=Path, help="folder of clean photographs")
    options = parser.parse_args()
    images = read_images(options.clean).images
    started = time.process_time()
    forecasts = [fd.TrainingForecast(settings.bins(), random_state=seed).fit(images) for seed in (0, 1)]
    seconds, rng = (time.process_time() - started) / 2, np.random.default_rng(0)
    more = [row for setting in settings.APPLICATIONS for row in comparisons(forecasts[0], setting, rng)]
    values, between = np.array([row["more"] for row in more]), differences(forecasts)
    results = {
        "about": {**describe(), "date": time.strftime("%Y-%m-%d"), "clean": len(images)},
        "fit_processor_seconds": seconds,
        "seeds": {"median": float(np.median(between)), "largest": max(between), "n": len(between)},
        "over_mixtures": {
            "n": len(more), "not_below": float((values >= 0).mean()), "mean": float(values.mean()),
            "least": float(values.min()),
            "by_setting": {s: float(values[[r["setting"] == s for r in more]].mean()) for s in settings.APPLICATIONS},
            "rows": more,
        },
    }  # fmt: skip
    with replaced_file(RESULTS, "w") as file:
        json.dump(results, file, indent=1)
    print({**results["over_mixtures"], "rows": "…"}, results["seeds"], f"{seconds:.0f} s a fit")


if __name__ == "__main__":
    main()
