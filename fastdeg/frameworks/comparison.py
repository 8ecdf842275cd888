"""What an option file trains on, against what the photos need."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdeg._types import ByValue, Float
from fastdeg.degradations.chain import degrade
from fastdeg.degradations.steps.jpeg import UNCOMPRESSED
from fastdeg.distances.degradation import degradation_distance
from fastdeg.distribution import BinnedDistribution
from fastdeg.frameworks.options import N_DRAWS, Options
from fastdeg.space import Axis

TELLING = 0.005  # share beyond an axis from which on it is told
REGION = 0.99  # a distribution's region: the densest bins that hold so much of it
LEVELS = (0.05, 0.5, 0.95)
WORDS = {
    "blur_sigma": "blur", "noise_sigma": "noise", "jpeg_quality": "JPEG", "downsampling": "factor",
    "poisson_scale": "shot noise",
}  # fmt: skip


@dataclass(frozen=True)
class AxisAudit:
    """One axis: quantiles (5, 50 and 95 %) of training and photos, and how one fits the other.

    Those of training are of draws, not of bins. ``verdict``: fits, too wide, too narrow, or off (beyond the photos on
    one side, short of them on the other). ``beyond`` is the share of training beyond the space's axis,
    which counts in its outer bins.
    """

    name: str
    unit: str
    training: tuple[float, ...]
    photos: tuple[float, ...] | None
    verdict: str | None
    beyond: float

    @property
    def sentence(self) -> str:
        """The axis in words."""
        text = f"{WORDS.get(self.name, self.name)}: trained on {span(self.training, self.name)}{_unit(self.unit)}"
        if self.photos is not None:
            text += f", photos {span(self.photos, self.name)}: {self.verdict}"
        return text + (f" ({self.beyond:.0%} of training lies beyond the axis)" if self.beyond >= TELLING else "")


@dataclass(frozen=True, eq=False, repr=False)
class Audit(ByValue):
    """What an option file trains on, against the photos.

    Attributes
    ----------
    options : Options
    distribution : BinnedDistribution
        What the file trains on.
    target : BinnedDistribution or None
        What the photos are; without it what compares the two is None.
    axes : tuple of AxisAudit
    coverage : float or None
        Share of the photos in the region of training (the densest bins that hold 99 % of it).
    wasted : float or None
        Share of training outside the photos' region.
    emd, frechet : float or None
        Earth mover's and Fréchet distance of training to the photos, standardised.
    crafted_emd, crafted_frechet : float or None
        The same of a crafted distribution.
    simulated : dict or None
        For each axis the median that an estimator reads off images degraded by the file's own chain, and the composed
        one, both within the axis.
    """

    options: Options
    distribution: BinnedDistribution
    target: BinnedDistribution | None
    axes: tuple[AxisAudit, ...]
    coverage: float | None = None
    wasted: float | None = None
    emd: float | None = None
    frechet: float | None = None
    crafted_emd: float | None = None
    crafted_frechet: float | None = None
    simulated: dict[str, tuple[float, float]] | None = None

    @property
    def sentences(self) -> tuple[str, ...]:
        """What was found, in words, the most important first."""
        return tuple(self._sentences())

    @property
    def _name(self) -> str:
        return Path(self.options.source).name or "The file"

    def _sentences(self) -> Iterator[str]:
        if self.target is not None:
            assert self.coverage is not None
            assert self.wasted is not None
            photos = ", ".join(
                f"{WORDS.get(a.name, a.name)} {span(a.photos, a.name)}{_unit(a.unit)}" for a in self.axes if a.photos
            )
            yield f"Your photos: {photos}."
            yield (
                f"{self._name} spends {self.wasted:.0%} of training where none of them is, and "
                f"covers {self.coverage:.0%} of them."
            )
        else:
            trained = ", ".join(
                f"{WORDS.get(a.name, a.name)} {span(a.training, a.name)}{_unit(a.unit)}" for a in self.axes
            )
            yield f"{self._name} trains on {trained} (5 to 95 %)."
        for axis in self.axes:
            if self.target is not None or axis.beyond >= TELLING:
                yield axis.sentence[0].upper() + axis.sentence[1:] + "."
        if self.emd is not None and self.frechet is not None:
            text = f"Earth mover's distance to the photos {self.emd:.3g}, Fréchet distance {self.frechet:.3g}"
            if self.crafted_emd is not None and self.crafted_frechet is not None:
                text += f"; after crafting {self.crafted_emd:.3g} and {self.crafted_frechet:.3g}"
            yield text + "."
        if self.simulated is not None:
            pairs = (f"{WORDS.get(name, name)} {a:.3g} (composed {b:.3g})" for name, (a, b) in self.simulated.items())
            yield f"Read off images that the file's own chain degraded, in the median: {', '.join(pairs)}."

    def to_dict(self) -> dict[str, Any]:
        """Return numbers and sentences, ready for JSON."""
        numbers = ("coverage", "wasted", "emd", "frechet", "crafted_emd", "crafted_frechet")
        return {
            "options": self.options.source,
            "framework": self.options.framework,
            "scale": self.options.scale,
            **{name: getattr(self, name) for name in numbers},
            "axes": [
                {"name": a.name, "training": list(a.training), "photos": list(a.photos) if a.photos else None,
                 "verdict": a.verdict, "beyond": a.beyond}
                for a in self.axes
            ],
            "simulated": self.simulated,
            "sentences": list(self.sentences),
            "without_effect": list(self.options.without_effect),
            "traps": list(self.options.traps),
            "unknown": list(self.options.unknown),
            "outside": self.options.outside,
        }  # fmt: skip

    def __repr__(self) -> str:
        if self.target is None:
            return f"Audit({self.options!r})"
        verdicts = ", ".join(f"{axis.name} {axis.verdict}" for axis in self.axes)
        return f"Audit({self.options.framework}: {verdicts}; coverage {self.coverage:.2f}, wasted {self.wasted:.2f})"


def compare(options: Options, distribution: BinnedDistribution, *, crafted: BinnedDistribution | None = None) -> Audit:
    """Compare what options train on with what photos need; see `fastdeg.frameworks.audit`."""
    if not isinstance(options, Options):
        raise TypeError(f"options: expected what frameworks.read returns, got {type(options).__name__}")
    for name, value in (("distribution", distribution), ("crafted", crafted)):
        if not isinstance(value, BinnedDistribution) and (value is not None or name == "distribution"):
            raise TypeError(f"{name}: expected a BinnedDistribution, got {type(value).__name__}")
    target = distribution
    if crafted is not None and crafted.bins != target.bins:
        raise ValueError("crafted: expected the bins of the distribution, got other ones")
    training = options.distribution(target.bins)
    in_training, in_target = _region(training), _region(target)
    crafted_emd, crafted_frechet = _distances(crafted, target) if crafted is not None else (None, None)
    emd, frechet = _distances(training, target)
    return Audit(
        options, training, target, _axes(options, training, target), float(target.pmf[in_training].sum()),
        float(training.pmf[~in_target].sum()), emd, frechet, crafted_emd, crafted_frechet,
    )  # fmt: skip


def describe(options: Options, bins: Any) -> Audit:
    """Return what options train on over bins, with nothing to compare it with."""
    training = options.distribution(bins)
    return Audit(options, training, None, _axes(options, training, None))


def simulate(
    options: Options, estimator: Any, images: Sequence[NDArray[Any]], n: int, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Return medians: what an estimator reads off images that a file's chain degraded, and what their draws come to.

    ``estimator`` is a fitted `DegradationEstimator`; images are taken in turn, each time with a draw of its own, whose
    effects are composed as well. The quality of the JPEG is that of the images which show one, in both medians: what is
    filtered or resized since hides it, and slight compression shows less than strong one.
    """
    low, composed = [], []
    for i, child in enumerate(np.random.SeedSequence(seed).spawn(n)):
        rng = np.random.default_rng(child)
        history, effects = options.one(estimator.bins, rng)
        low.append(degrade(images[i % len(images)], history=history, rng=rng))
        composed.append(effects)
    inference, space = estimator.infer(low), estimator.bins.space
    ends = [axis.low for axis in space.axes], [axis.high for axis in space.axes]
    both = np.stack([inference.parameters, np.clip(composed, *ends)])
    medians = np.median(both, axis=1)
    if "jpeg_quality" in space.names and not inference.without_comb.all():
        at = space.names.index("jpeg_quality")
        medians[:, at] = np.median(both[:, ~inference.without_comb, at], axis=1)
    return {name: (float(a), float(b)) for name, a, b in zip(space.names, *medians, strict=True)}


def _axes(options: Options, training: BinnedDistribution, target: BinnedDistribution | None) -> tuple[AxisAudit, ...]:
    space = training.bins.space
    assert space is not None
    photos = target.quantiles(LEVELS) if target else {}
    found = []
    for axis, x in zip(space.axes, options.sample(training.bins, N_DRAWS, 0).T, strict=True):
        a, b = np.quantile(x, LEVELS).tolist(), photos.get(axis.name)
        beyond = float(((x < axis.boundaries[0]) | (x > axis.boundaries[-1])).mean())
        verdict = _verdict(axis, a, b) if b else None
        found.append(AxisAudit(axis.name, axis.unit, tuple(a), tuple(b) if b else None, verdict, beyond))
    return tuple(found)


def _verdict(axis: Axis, training: list[float], photos: list[float]) -> str:
    """Compare ranges from 5 to 95 %; what differs by less than half a cell fits, and so does no compression twice."""
    if axis.name == "jpeg_quality":
        training, photos = (np.minimum(values, UNCOMPRESSED).tolist() for values in (training, photos))
    step = np.diff(axis.boundaries).mean() / 2
    short = training[0] > photos[0] + step or training[-1] < photos[-1] - step
    over = training[0] < photos[0] - step or training[-1] > photos[-1] + step
    return {(False, False): "fits", (False, True): "too wide", (True, False): "too narrow", (True, True): "off"}[
        (bool(short), bool(over))
    ]


def _region(p: BinnedDistribution) -> Any:
    """Return which bins are the densest ones that hold almost all of a distribution."""
    density: Float = p.pmf / p.bins.volumes
    order = np.argsort(-density, kind="stable")
    count = int(np.searchsorted(p.pmf[order].cumsum(), REGION - 1e-12)) + 1
    inside = np.zeros(p.n_bins, bool)
    inside[order[:count]] = True
    return inside


def _distances(p: BinnedDistribution, q: BinnedDistribution) -> tuple[float, float]:
    squared = degradation_distance(p, q, wasserstein_weight=0)
    return degradation_distance(p, q, frechet_weight=0), float(np.sqrt(max(squared, 0.0)))


def span(values: tuple[float, ...] | None, name: str) -> str:
    """Return the ends of quantiles of an axis as a range in words."""
    assert values is not None
    low, high = (worded(name, value) for value in (values[0], values[-1]))
    return low if low == high else f"{low}–{high}"


def worded(name: str, value: float, digits: int = 2) -> str:
    """Return a value of an axis as text; beyond the best quality there is no compression."""
    if name == "jpeg_quality" and value >= UNCOMPRESSED:
        return "none"
    return f"{value:.{digits}g}" if abs(value) < 10**digits else f"{value:.0f}"


def _unit(unit: str) -> str:
    return f" {unit}" if unit and unit not in ("of 255", "×") else ""
