"""The verb demo: an application with known degradations, made of photographs that installed packages contain."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastdeg as fd
from fastdeg._types import ByValue
from fastdeg.bins import GridBins
from fastdeg.cli import console
from fastdeg.cli.ahead import crafting_compiled
from fastdeg.cli.photos import craft_from_photos
from fastdeg.distribution import BinnedDistribution
from fastdeg.images import degrade, read_image
from fastdeg.runs import folder as runs
from fastdeg.runs.answers import answers
from fastdeg.runs.workflow import save_run, summarize
from fastdeg.space import DegradationSpace

RUNS_FOLDER = Path("fastdeg-runs")

# The application's true degradations: uniform within these ranges.
TRUE_RANGES = {"blur_sigma": (0.5, 1.5), "noise_sigma": (15.0, 25.0), "jpeg_quality": (75.0, 85.0)}
DOWNSAMPLING = 4
N_REFERENCES = 24
HR_CROP = (480, 400)  # height and width of the clean crops behind the references: LR photos of 120 × 100 pixels


@dataclass(frozen=True, eq=False)
class Application(ByValue):
    """Clean images to fit on, reference photos of other scenes, and the distribution the references come from."""

    clean: dict[str, NDArray[np.uint8]]
    references: dict[str, NDArray[np.uint8]]
    truth: BinnedDistribution


def embedded_photographs() -> dict[str, NDArray[np.uint8]]:
    """Return the photographs inside scikit-learn (china, flower) and matplotlib (grace_hopper) by file name, RGB."""
    folders = {"sklearn": "datasets/images", "matplotlib": "mpl-data/sample_data"}
    names = {"china.jpg": "sklearn", "flower.jpg": "sklearn", "grace_hopper.jpg": "matplotlib"}
    photographs = {}
    for name, package in names.items():
        spec = find_spec(package)
        assert spec is not None
        assert spec.origin is not None
        photographs[name] = read_image(Path(spec.origin).parent / folders[package] / name).pixels
    return photographs


def play_application(rng: np.random.Generator) -> Application:
    """Return the demo's application: scikit-learn's photographs to fit on, references made from matplotlib's."""
    clean = embedded_photographs()
    scene = clean.pop("grace_hopper.jpg")
    references = {}
    for number in range(1, N_REFERENCES + 1):
        parameters: dict[str, Any] = {name: rng.uniform(low, high) for name, (low, high) in TRUE_RANGES.items()}
        top, left = (rng.integers(0, size - crop + 1) for size, crop in zip(scene.shape, HR_CROP, strict=False))
        crop = scene[top : top + HR_CROP[0], left : left + HR_CROP[1]]
        references[f"hopper-{number:02d}.jpg"] = degrade(crop, downsampling=DOWNSAMPLING, rng=rng, **parameters)
    truth = uniform_within(GridBins(DegradationSpace.preset("paper")), TRUE_RANGES)
    return Application(clean, references, truth)


def uniform_within(bins: GridBins, ranges: Mapping[str, tuple[float, float]]) -> BinnedDistribution:
    """Return the distribution over cells of degradations that are uniform within a box."""
    shares: Any = np.ones(())
    for axis in bins.space.axes:
        low, high = ranges[axis.name]
        overlap = np.minimum(high, axis.boundaries[1:]) - np.maximum(low, axis.boundaries[:-1])
        shares = np.multiply.outer(shares, np.maximum(overlap, 0) / (high - low))
    return BinnedDistribution(bins, shares.ravel())


def run(options: argparse.Namespace) -> None:
    """Play an application whose degradations are known, and compare what was found with the truth."""
    folder = options.output or runs.numbered(RUNS_FOLDER, "demo")
    runs.check_run_folder(folder, force=options.force)
    console.announce_compilation()
    rng = np.random.default_rng(options.seed)
    with console.progress_bar() as progress:
        with crafting_compiled():
            application = play_application(rng)
            estimator = fd.DegradationEstimator(
                application.truth.bins,
                downsampling=DOWNSAMPLING,
                history="plain",
                n_samples=8_000,
                random_state=options.seed,
            ).fit(list(application.clean.values()), progress=progress)
        forecast = None
        if options.forecast:
            forecast = fd.TrainingForecast(application.truth.bins, scale=DOWNSAMPLING, random_state=options.seed)
            forecast.fit(list(application.clean.values()), progress=progress)
        crafted = craft_from_photos(
            estimator, application.references, options, progress, generalization="auto", forecast=forecast
        )
    inputs = {"clean": sorted(application.clean), "references": len(application.references), "seed": options.seed}
    summary = summarize(
        crafted, "demo", inputs, truth=application.truth, generalization_auto=True, command=options.command,
        **answers(crafted, inputs),
    )  # fmt: skip
    summary["caption"] = _demo_caption(summary["comparison"], application)
    if forecast is not None:
        gains = forecast.gains(list(crafted.compared.values()), target=application.truth, prior=crafted.prior)
        for row, gain in zip(summary["comparison"], gains, strict=True):
            row |= {"application_gain": gain.target, "application_gain_error": gain.target_error}
        summary["caption"] += f" {_gain_sentence(summary['comparison'])}"
    clean = list(application.clean.values())
    save_run(folder, crafted, summary, estimator=estimator, clean=clean, force=options.force)
    console.print_run(summary, folder, as_json=options.json)


def _demo_caption(comparison: list[dict[str, Any]], application: Any) -> str:
    inferred = comparison[0]["mass_on_true_bins"]
    text = (
        f"Truth: uniform on {int((application.truth.pmf > 0).sum())} of {application.truth.n_bins} joint bins; "
        f"{len(application.references)} references from a photograph not used for fitting."
    )
    if inferred < 0.8:
        text += f" The embedded photographs carry only {inferred:.2f} of the inferred q to the true bins."
    return text


def _gain_sentence(comparison: list[dict[str, Any]]) -> str:
    """Return what the table says of the crafted distribution, as one would tell it."""
    crafted = next(row for row in comparison if row["distribution"].startswith("crafted"))
    here, other, elsewhere = (crafted[f"{name}_gain"] for name in ("target", "application", "prior"))
    return (
        f"By the forecast, a model trained on p instead of today's broad options gains {here:+.2f} dB on photos like "
        f"these {N_REFERENCES} and {other:+.2f} dB on all photos of the application, at {elsewhere:+.2f} dB elsewhere."
    )
