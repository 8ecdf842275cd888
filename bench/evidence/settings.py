"""The paper's four applications, and the distributions that are trained on for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

import fastdeg as fd
from fastdeg.cli.demo import uniform_within

AXES = ("blur_sigma", "noise_sigma", "jpeg_quality")
APPLICATIONS = {
    1: ((0.0, 1.0), (0.0, 10.0), (80.0, 90.0)),
    2: ((0.5, 1.5), (15.0, 25.0), (75.0, 85.0)),
    3: ((1.5, 2.5), (5.0, 15.0), (75.0, 85.0)),
    4: ((2.5, 3.5), (25.0, 35.0), (65.0, 75.0)),
}
NEIGHBOUR = (1.0, 10.0, -10.0)  # by how much the neighbour's ranges are shifted, within the space
WRONG = (1.5, 15.0, -20.0)  # the wrong narrow guess likewise, modulo the space
REALESRGAN = ((0.2, 3.0), (1.0, 30.0), (30.0, 90.0))  # first stage, as published; JPEG to 95, beyond the space
LOSS = 0.2  # dB that may be lost elsewhere
DOWNSAMPLING = 4
QUICK = (
    "true", "q of 24", "auto", "tau 0.2", "tau 0.6", "mixture 0.3", "loss 0.2", "wrong narrow",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One distribution to train on, for one application (0: for all)."""

    setting: int
    name: str
    distribution: fd.BinnedDistribution

    @property
    def key(self) -> str:
        return f"setting {self.setting}, {self.name}"


def bins() -> fd.GridBins:
    return fd.GridBins(fd.DegradationSpace.preset("paper"))


def shifted(ranges: tuple[tuple[float, float], ...], by: tuple[float, ...]) -> tuple[tuple[float, float], ...]:
    """Return ranges moved by so much, the other way where they would leave the space."""
    moved = []
    for (low, high), step, axis in zip(ranges, by, bins().space.axes, strict=True):
        step = step if axis.low <= low + step and high + step <= axis.high else -step
        moved.append((low + step, high + step))
    return tuple(moved)


def truth(ranges: tuple[tuple[float, float], ...]) -> fd.BinnedDistribution:
    return uniform_within(bins(), dict(zip(AXES, ranges, strict=True)))


def draw(ranges: tuple[tuple[float, float], ...], rng: np.random.Generator) -> dict[str, float]:
    return {name: float(rng.uniform(*ends)) for name, ends in zip(AXES, ranges, strict=True)}


def references(scenes: list[Any], ranges: Any, n: int, seed: int) -> list[Any]:
    """Return photos of an application: crops of scenes, degraded."""
    rng, photos = np.random.default_rng(seed), []
    for k in range(n):
        scene = scenes[k % len(scenes)]
        photos.append(fd.degrade(scene, downsampling=DOWNSAMPLING, rng=rng, **draw(ranges, rng)))
    return photos


def cases(
    setting: int, clean: list[Any], scenes: list[Any], forecast: fd.TrainingForecast, *, quick: bool, progress: Any
) -> list[Case]:
    """Return the distributions of one application."""
    ranges, uniform = APPLICATIONS[setting], fd.BinnedDistribution.uniform(bins())
    estimator = progress.estimator(clean)
    photos = references(scenes, ranges, 24, seed=setting)
    q = estimator.estimate(photos)
    crafted = {"auto": fd.craft(q).distribution}
    for tau in (0.1, 0.2, 0.6):
        crafted[f"tau {tau:g}"] = fd.craft(q, generalization=tau).distribution
    few = estimator.estimate(photos[:5])
    distances = fd.frechet_distances(*estimator.bin_feature_moments(), *estimator.feature_moments(photos))
    found = {
        "true": truth(ranges),
        "q of 24": q,
        **crafted,
        "q of 5": few,
        "auto of 5": fd.craft(few).distribution,
        f"loss {LOSS}": fd.craft(q, generalization={"loss": LOSS}, forecast=forecast).distribution,
        **{f"mixture {w:g}": fd.baselines.mixture(q, uniform, w) for w in (0.15, 0.3, 0.6)},
        "forecast-optimal": fd.baselines.forecast_optimal(q, forecast, 0.3),
        "closed form": fd.BinnedDistribution(bins(), fd.baselines.closed_form_weights(distances)),
        "wrong narrow": truth(shifted(ranges, WRONG)),
    }
    return [Case(setting, name, p) for name, p in found.items() if not quick or name in QUICK]


def common_cases(*, quick: bool) -> list[Case]:
    """Return the distributions that are the same for all applications."""
    found = [Case(0, "uniform", fd.BinnedDistribution.uniform(bins()))]
    return found if quick else [*found, Case(0, "Real-ESRGAN's ranges", truth(REALESRGAN))]
