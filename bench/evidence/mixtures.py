"""Crafted distributions against mixtures, two fits, and what they cost: ``python -m bench.evidence.mixtures CLEAN``.

All by the forecast alone, in minutes; `docs/evidence.md` and `docs/forecast.md` quote the results file.
"""

from __future__ import annotations

import argparse
import copy
import json
import resource
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import fastdeg as fd
from bench.evidence import settings
from bench.machine import describe
from fastdeg._files import replaced_file
from fastdeg.forecast.learner import Learner
from fastdeg.images import read_images
from fastdeg.kernels.forecast.features import N_LINEAR, N_PIXELS

RESULTS = Path(__file__).parent / "results_mixtures.json"
TAUS = np.geomspace(0.08, 1.2, 9)
SAMPLES = (None, 5, 10, 24)  # that q is known by; None: it is known


def comparisons(forecast: fd.TrainingForecast, setting: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Return by how much crafted distributions gain more than mixtures: that lose as much, and of the same KL.

    ``more`` at equal loss, with its standard error over groups of images; of the mixture of the same KL to the prior,
    which loses more or less, how much more is gained on the application and elsewhere.
    """
    truth, uniform = settings.truth(settings.APPLICATIONS[setting]), fd.BinnedDistribution.uniform(settings.bins())
    weights = np.linspace(0, 1, 13)
    found = []
    for n in SAMPLES:
        q = truth if n is None else _resample(truth, n, rng)
        path = fd.tradeoff_path(q, TAUS)
        crafted = [result.distribution for result in path.results]
        mixed = [fd.baselines.mixture(q, uniform, weight) for weight in (*weights, *path.mixture_weights)]
        gains = forecast.gains([*crafted, *mixed], target=truth)
        same_kl = gains[-len(crafted) :]
        lost = np.array([gain.prior for gain in gains[len(crafted) : -len(crafted)]])
        order = lost.argsort()
        for p, tau, gain, mixture in zip(crafted, TAUS, gains[: len(crafted)], same_kl, strict=True):
            row = {"setting": setting, "samples": n, "tau": float(tau)}
            if lost[order[0]] <= gain.prior <= lost[order[-1]]:
                weight = float(np.interp(gain.prior, lost[order], weights[order]))
                over = forecast.gain(p, target=truth, prior=fd.baselines.mixture(q, uniform, weight))
                row |= {"more": over.target, "error": over.target_error}
            row |= {"kl_more": gain.target - mixture.target, "kl_more_elsewhere": gain.prior - mixture.prior}
            found.append(row)
    return found


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return how many crafted distributions are not below their mixtures, by how much, and in which settings."""

    def of(rows: list[dict[str, Any]]) -> dict[str, Any]:
        more, error = (np.array([row[key] for row in rows if "more" in row]) for key in ("more", "error"))
        kl, elsewhere = (np.array([row[key] for row in rows]) for key in ("kl_more", "kl_more_elsewhere"))
        return {
            "n": len(more), "not_below": float((more >= 0).mean()), "mean": float(more.mean()),
            "least": float(more.min()), "below_by_two_errors": float((more < -2 * error).mean()),
            "above_by_two_errors": float((more > 2 * error).mean()),
            "same_kl": {
                "n": len(kl), "not_below": float((kl >= 0).mean()), "mean": float(kl.mean()),
                "mean_elsewhere": float(elsewhere.mean()),
            },
        }  # fmt: skip

    return of(rows) | {"by_setting": {s: of([r for r in rows if r["setting"] == s]) for s in settings.PAPER}}


def without_gates(forecast: fd.TrainingForecast) -> fd.TrainingForecast:
    """Return the forecast of a learner of less capacity: the same moments, less the pixels by noise level."""
    moments, other = forecast.moments_, copy.copy(forecast)
    kept = np.r_[: 1 + N_PIXELS, N_LINEAR : moments.n_features]
    rows, columns = np.tril_indices(moments.n_features)
    chosen = np.isin(rows, kept) & np.isin(columns, kept)
    other.moments_ = replace(
        moments, features=moments.features[..., chosen], products=np.ascontiguousarray(moments.products[:, :, kept])
    )
    other.learner_ = Learner(other.moments_)
    return other


def _resample(truth: fd.BinnedDistribution, n: int, rng: np.random.Generator) -> fd.BinnedDistribution:
    return fd.BinnedDistribution(truth.bins, rng.multinomial(n, truth.pmf) / n, n_samples=n)


def differences(forecasts: list[fd.TrainingForecast]) -> list[float]:
    """Return by how much two fits differ on the application, for eight distributions of each setting."""
    found = []
    uniform = fd.BinnedDistribution.uniform(settings.bins())
    for setting in settings.PAPER:
        q = settings.truth(settings.APPLICATIONS[setting])
        tried = [q, *(fd.craft(q, generalization=tau).distribution for tau in (0.1, 0.2, 0.4, 0.7))]
        tried += [fd.baselines.mixture(q, uniform, weight) for weight in (0.15, 0.3, 0.6)]
        a, b = (forecast.gains(tried, target=q) for forecast in forecasts)
        found += [abs(x.target - y.target) for x, y in zip(a, b, strict=True)]
    return found


def costs(images: list[Any]) -> tuple[fd.TrainingForecast, dict[str, float]]:
    """Return a forecast, and what its fit, one more p and a path of 20 take, in processor time and memory."""
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    forecast = fd.TrainingForecast(settings.bins()).fit(images)
    found = {"fit": time.process_time() - started}
    found["peak_megabytes"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e3
    q = settings.truth(settings.APPLICATIONS[2])
    path = [fd.baselines.mixture(q, fd.BinnedDistribution.uniform(q.bins), w) for w in np.linspace(0, 1, 20)]
    for name, work in (("one_more", lambda: forecast.psnr(q)), ("path_of_20", lambda: forecast.gains(path, target=q))):
        times = []
        for _ in range(3):
            started = time.process_time()
            work()
            times.append(time.process_time() - started)
        found[name] = float(np.median(times))
    return forecast, found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.evidence.mixtures", description=__doc__)
    parser.add_argument("clean", type=Path, help="folder of clean photographs")
    images = read_images(parser.parse_args().clean).images
    forecast, seconds = costs(images)
    between = differences([forecast, fd.TrainingForecast(settings.bins(), random_state=1).fit(images)])
    results: dict[str, Any] = {
        "about": {**describe(), "date": time.strftime("%Y-%m-%d"), "clean": len(images)},
        "processor_seconds": seconds,
        "seeds": {"median": float(np.median(between)), "largest": max(between), "n": len(between)},
    }
    for name, judge in (("over_mixtures", forecast), ("over_mixtures_without_gates", without_gates(forecast))):
        rng = np.random.default_rng(0)
        rows = [row for setting in settings.PAPER for row in comparisons(judge, setting, rng)]
        results[name] = summary(rows) | {"rows": rows}
    with replaced_file(RESULTS, "w") as file:
        json.dump(results, file, indent=1)
    for name in ("over_mixtures", "over_mixtures_without_gates"):
        print(name, {**results[name], "rows": "…"})
    print(results["seeds"], seconds)


if __name__ == "__main__":
    main()
