"""The paper's four applications and four others, and the distributions that are trained on for each."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

import fastdeg as fd
from fastdeg.cli.demo import uniform_within

AXES = ("blur_sigma", "noise_sigma", "jpeg_quality")
PAPER, OTHERS = (1, 2, 3, 4), (5, 6, 7, 8)
APPLICATIONS = {
    1: ((0.0, 1.0), (0.0, 10.0), (80.0, 90.0)),
    2: ((0.5, 1.5), (15.0, 25.0), (75.0, 85.0)),
    3: ((1.5, 2.5), (5.0, 15.0), (75.0, 85.0)),
    4: ((2.5, 3.5), (25.0, 35.0), (65.0, 75.0)),
    5: ((1.0, 2.0), (0.0, 10.0), (60.0, 75.0)),
    6: ((0.0, 1.0), (20.0, 30.0), (70.0, 85.0)),
    7: ((2.0, 3.0), (10.0, 20.0), (50.0, 65.0)),
    8: ((0.5, 1.5), (5.0, 15.0), (35.0, 50.0)),
}
NEIGHBOUR = (1.0, 10.0, -10.0)  # by how much the neighbour's ranges are shifted, within the space
WRONG = (1.5, 15.0, -20.0)  # the wrong narrow guess likewise, modulo the space
REALESRGAN = ((0.2, 3.0), (1.0, 30.0), (30.0, 90.0))  # first stage, as published; JPEG to 95, beyond the space
LOSS = 0.2  # dB that may be lost elsewhere
DOWNSAMPLING = 4
MAIN = ("uniform", "true", "q of 24", "auto", "auto by forecast", f"loss {LOSS}", "mixture 0.3")  # with all seeds
QUICK = (*MAIN, "tau 0.2", "tau 0.6", "wrong narrow")
CHECK = (
    "uniform", "true", "auto", "auto by forecast", f"loss {LOSS}", "tau 0.1", "tau 0.6", "mixture 0.15", "mixture 0.6",
    "wrong narrow",
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
    setting: int,
    scenes: list[Any],
    estimator: fd.DegradationEstimator,
    forecast: fd.TrainingForecast,
    names: Collection[str] | None,
) -> list[Case]:
    """Return the distributions of one application, or those of them that have these names."""
    ranges, uniform = APPLICATIONS[setting], fd.BinnedDistribution.uniform(bins())
    photos = references(scenes, ranges, 24, seed=setting)
    q = estimator.estimate(photos)

    def crafted(**options: Any) -> fd.BinnedDistribution:
        return fd.craft(q, **options).distribution

    def closed_form() -> fd.BinnedDistribution:
        distances = fd.frechet_distances(*estimator.bin_feature_moments(), *estimator.feature_moments(photos))
        return fd.BinnedDistribution(bins(), fd.baselines.closed_form_weights(distances))

    found: dict[str, Callable[[], fd.BinnedDistribution]] = {
        "true": lambda: truth(ranges),
        "q of 24": lambda: q,
        "auto": crafted,
        "auto by forecast": lambda: crafted(forecast=forecast),
        f"loss {LOSS}": lambda: crafted(generalization={"loss": LOSS}, forecast=forecast),
        "tau 0.1": lambda: crafted(generalization=0.1),
        "tau 0.2": lambda: crafted(generalization=0.2),
        "tau 0.6": lambda: crafted(generalization=0.6),
        "mixture 0.15": lambda: fd.baselines.mixture(q, uniform, 0.15),
        "mixture 0.3": lambda: fd.baselines.mixture(q, uniform, 0.3),
        "mixture 0.6": lambda: fd.baselines.mixture(q, uniform, 0.6),
        "q of 5": lambda: estimator.estimate(photos[:5]),
        "auto of 5": lambda: fd.craft(estimator.estimate(photos[:5])).distribution,
        "forecast-optimal": lambda: fd.baselines.forecast_optimal(q, forecast, 0.3),
        "closed form": closed_form,
        "wrong narrow": lambda: truth(shifted(ranges, WRONG)),
    }
    return [Case(setting, name, make()) for name, make in found.items() if names is None or name in names]


def common_cases(names: Collection[str] | None) -> list[Case]:
    """Return the distributions that are the same for all applications, likewise."""
    found = {"uniform": fd.BinnedDistribution.uniform(bins()), "Real-ESRGAN's ranges": truth(REALESRGAN)}
    return [Case(0, name, p) for name, p in found.items() if names is None or name in names]
