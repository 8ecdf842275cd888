"""Chains of random steps as option files say them, and what their effects come to on the low-resolution image.

A chain is a tuple of steps, some of them `Branch`: one of several chains, by weight. Effects are drawn for many images
at once: blurs add in quadrature on the clean image's grid, noise goes through the later filters and resizes, the last
JPEG counts. Colour noise counts as the grey noise of the same luma. Noise before a JPEG counts as it was, as in our own
chain, unless a filter or a resize comes after that: then it is what quantisation left of it. Where a chain is our own
(blur, one downsampling, noise, JPEG) its ranges are read as they stand.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastdeg._types import Float
from fastdeg.frameworks import filters
from fastdeg.frameworks.ranges import Points, Range, Values, fixed

COLOR_IN_LUMA = 0.299**2 + 0.587**2 + 0.114**2  # variance of colour noise in luma, where grey noise has one
MID_GREY = 127.5  # level at which shot noise is told as a standard deviation
UNIT = fixed(1.0)
ANY_ANGLE = Range(-90.0, 90.0)
NEAR_ONE = 2e-5  # of a ratio of sides: no other size
SLIGHT = 0.05  # variance of a filter up to which the traces of a JPEG stay, in square pixels
LOSSLESS = 99.0  # JPEG quality before another compression from which on it counts for nothing
MOST_PRODUCTS = 50_000


@dataclass(eq=False)
class Effects:
    """What has happened to n images so far."""

    side: Float  # as a share of the clean image's
    blur: Float  # covariance on the clean image's grid (n, 3): xx, xy, yy
    noise: Float  # variances on 0..255 (n, 2): Gaussian, and shot noise at mid-grey
    grain: Float  # variance of the filters that the noise went through, in pixels as they are
    jpeg: Float  # quality of the last compression, NaN for none
    jpeg_shows: NDArray[np.bool_]  # whether nothing came after it

    @classmethod
    def none(cls, n: int) -> Effects:
        """Return n clean images."""
        return cls(np.ones(n), np.zeros((n, 3)), np.zeros((n, 2)), np.zeros(n), np.full(n, np.nan), np.zeros(n, bool))

    def part(self, at: NDArray[np.intp]) -> Effects:
        """Return some of the images."""
        return Effects(self.side[at], self.blur[at], self.noise[at], self.grain[at], self.jpeg[at], self.jpeg_shows[at])

    def put(self, at: NDArray[np.intp], part: Effects) -> None:
        """Put some of the images back."""
        self.side[at], self.blur[at], self.noise[at] = part.side, part.blur, part.noise
        self.grain[at], self.jpeg[at], self.jpeg_shows[at] = part.grain, part.jpeg, part.jpeg_shows

    def hide_jpeg(self, where: NDArray[np.bool_]) -> None:
        """Let the noise be what an earlier JPEG left of it, as another filter, size or compression hides its traces."""
        hidden = where & self.jpeg_shows
        if hidden.any():
            sigma = np.sqrt(self.noise[hidden].sum(axis=1))
            self.noise[hidden] *= filters.through_jpeg(sigma, self.jpeg[hidden])[:, None]
            self.jpeg_shows[hidden] = False

    def smooth(self, variance: Float) -> None:
        """Let the noise go through a filter of this variance, in pixels as they are."""
        self.noise *= (filters.energy(self.grain + variance) / filters.energy(self.grain))[:, None]
        self.grain += variance

    def resize(self, side: Float, variance: Float, blur: Float) -> None:
        """Take on a new size, by weights that count for these variances in pixels, on noise and as a blur."""
        self.blur[:, ::2] += (blur / self.side**2)[:, None]
        self.hide_jpeg(np.abs(side / self.side - 1) > NEAR_ONE)
        before = self.grain.copy()
        self.smooth(variance)
        ratio = self.side / side
        self.grain = np.where(ratio > 1, before, self.grain) / ratio**2
        self.side = side

    def add_noise(self, variance: Float, kind: int) -> None:
        """Add white noise."""
        total = self.noise.sum(axis=1) + variance
        self.grain *= self.noise.sum(axis=1) / np.where(total > 0, total, 1)
        self.noise[:, kind] += variance


@dataclass(frozen=True)
class Blur:
    """A blur kernel: Gaussian, generalized or plateau; its axes are equal, or differ and are turned."""

    sigma: Values  # in pixels as they are
    second: Values | None = None  # along the second axis, where that has another width
    angle: Values = ANY_ANGLE  # of the first axis, in degrees, counter-clockwise from the rows
    shape: str = "gaussian"
    beta: Values = UNIT  # exponent of the generalized Gaussian, or of the plateau
    sizes: tuple[int, ...] = ()  # odd widths where it is cut off, equally likely; none: nowhere

    @property
    def idle(self) -> bool:
        """Whether it changes nothing."""
        return self.sigma.high <= 0

    def act(self, x: Effects, rng: np.random.Generator) -> None:
        """Add its effect."""
        n = len(x.side)
        size = rng.choice(self.sizes, n) if self.sizes else np.zeros(n, int)
        beta = self.beta.draw(n, rng)
        first = second = filters.kernel_variance(self.shape, self.sigma.draw(n, rng), beta, size)
        if self.second is not None:
            second = filters.kernel_variance(self.shape, self.second.draw(n, rng), beta, size)
        angle = np.deg2rad(self.angle.draw(n, rng))
        c, s = np.cos(angle), -np.sin(angle)  # rows grow downwards
        turned = [c * c * first + s * s * second, c * s * (first - second), s * s * first + c * c * second]
        x.blur += np.stack(turned, 1) / (x.side**2)[:, None]
        x.hide_jpeg(np.sqrt(first * second) > SLIGHT)
        x.smooth(np.sqrt(first * second))


@dataclass(frozen=True)
class Ringing:
    """A circular low-pass (sinc) with a cut-off in radians per pixel, of odd widths that are equally likely."""

    cutoff: Values
    sizes: tuple[int, ...]
    idle = False

    def act(self, x: Effects, rng: np.random.Generator) -> None:
        """Add its effect."""
        n = len(x.side)
        variance = filters.low_pass_variance(self.cutoff.draw(n, rng), rng.choice(self.sizes, n))
        x.hide_jpeg(variance > SLIGHT)
        x.blur[:, ::2] += (variance / x.side**2)[:, None]
        x.smooth(variance)


@dataclass(frozen=True)
class Resize:
    """A change of size. ``here``: times a number; ``clean``: to a share of the clean size; ``factor``: by a factor.

    ``spread`` shrinks the clean image as well, by numbers of its own, before.
    """

    to: str
    by: Values
    modes: tuple[tuple[str, float], ...] = (("cubic", 1.0),)
    spread: Values = UNIT

    @property
    def idle(self) -> bool:
        """Whether it changes nothing."""
        return self.to == "here" and max(abs(self.by.low - 1), abs(self.by.high - 1)) < NEAR_ONE

    def act(self, x: Effects, rng: np.random.Generator) -> None:
        """Add its effect."""
        n = len(x.side)
        by, spread = self.by.draw(n, rng), self.spread.draw(n, rng)
        side = {"here": x.side * by, "clean": by, "factor": 1 / by}[self.to]
        names, weights = zip(*self.modes, strict=True)
        mode = rng.choice(len(names), n, p=np.array(weights) / sum(weights))
        side = np.where(np.abs(side / x.side - 1) < NEAR_ONE, x.side, side)
        ratio = x.side / side * spread
        variance, blur = np.empty((2, n))
        for k, name in enumerate(names):
            variance[mode == k] = filters.resize_variance(name, ratio[mode == k])
            blur[mode == k] = filters.resize_blur(name, ratio[mode == k])
        x.resize(side / spread, variance, blur)
        x.side, x.blur = side, x.blur / (spread**2)[:, None]


@dataclass(frozen=True)
class Noise:
    """Gaussian noise by standard deviation, or shot noise (``kind`` 1) by the root of variance per level; of 255."""

    sigma: Values
    kind: int = 0
    gray: float = 0.0  # probability of one pattern in all channels

    @property
    def idle(self) -> bool:
        """Whether it changes nothing."""
        return self.sigma.high <= 0

    def act(self, x: Effects, rng: np.random.Generator) -> None:
        """Add its effect."""
        variance = self.sigma.draw(len(x.side), rng) ** 2
        variance *= np.where(rng.random(len(x.side)) < self.gray, 1.0, COLOR_IN_LUMA)
        x.add_noise(variance * (MID_GREY if self.kind else 1), self.kind)


@dataclass(frozen=True)
class Jpeg:
    """JPEG compression."""

    quality: Values
    idle = False

    def act(self, x: Effects, rng: np.random.Generator) -> None:
        """Add its effect."""
        x.hide_jpeg(np.ones(len(x.side), bool))
        x.jpeg, x.jpeg_shows = self.quality.draw(len(x.side), rng), np.ones(len(x.side), bool)


@dataclass(frozen=True)
class Other:
    """A step that no axis of a space tells of: its name, to be told with its probability."""

    name: str
    idle = True

    def act(self, x: Effects, rng: np.random.Generator) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class Branch:
    """One of several chains, by weight."""

    choices: tuple[tuple[float, Chain], ...]

    @property
    def idle(self) -> bool:
        """Whether it changes nothing."""
        return all(step.idle for weight, chain in self.choices if weight > 0 for step in chain)

    def act(self, x: Effects, rng: np.random.Generator) -> None:
        """Add the effects of one choice for each image."""
        weights = np.array([weight for weight, _ in self.choices])
        label = rng.choice(len(weights), len(x.side), p=weights / weights.sum())
        for k, (_, chain) in enumerate(self.choices):
            at = np.flatnonzero(label == k)
            if len(at) and chain:
                part = x.part(at)
                for step in chain:
                    step.act(part, rng)
                x.put(at, part)


RandomStep: TypeAlias = Blur | Ringing | Resize | Noise | Jpeg | Other | Branch
Chain: TypeAlias = tuple[RandomStep, ...]
Product: TypeAlias = dict[str, Values]  # a range for each axis, independent of each other


def maybe(probability: float, *steps: RandomStep) -> RandomStep | Branch:
    """Return the steps under a probability."""
    if probability >= 1 and len(steps) == 1:
        return steps[0]
    return Branch(((probability, steps), (1 - probability, ())))


def draw(chain: Chain, n: int, rng: np.random.Generator) -> dict[str, Float]:
    """Return the composed effects of n draws by the names of the axes; a quality of NaN is no compression."""
    x = Effects.none(n)
    for step in chain:
        step.act(x, rng)
    own = filters.resize_blur("cubic", 1 / x.side) * (x.side < 1)  # what fastdeg's own downsampling does as well
    xx, xy, yy = np.maximum(x.blur[:, 0] - own, 0), x.blur[:, 1], np.maximum(x.blur[:, 2] - own, 0)
    half, difference = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    gaussian, shot = x.noise.T
    return {
        "blur_sigma": np.sqrt(half),
        "blur_sigma_x": np.sqrt(half + difference),
        "blur_sigma_y": np.sqrt(np.maximum(half - difference, 0)),
        "blur_angle": np.rad2deg(np.arctan2(-2 * xy, xx - yy) / 2),  # counter-clockwise, rows grow downwards
        "noise_sigma": np.sqrt(gaussian + shot),
        "gaussian_sigma": np.sqrt(gaussian),
        "poisson_scale": shot / MID_GREY,
        "jpeg_quality": x.jpeg,
        "jpeg_shows": x.jpeg_shows.astype(np.float64),
        "downsampling": 1 / x.side,
    }


def one(chain: Chain, rng: np.random.Generator) -> Chain:
    """Return one draw of a chain: its steps with every choice made and every value fixed."""
    return tuple(_one(step, rng) for step in chain)


def _one(step: RandomStep, rng: np.random.Generator) -> RandomStep:
    if isinstance(step, Branch):
        chosen = step.choices[_drawn_index([weight for weight, _ in step.choices], rng)][1]
        return Branch(((1.0, one(chosen, rng)),))
    made: dict[str, Any] = {}
    for name, value in vars(step).items():
        if isinstance(value, Range | Points):
            made[name] = fixed(float(value.draw(1, rng)[0]))
        elif name == "sizes" and value:
            made[name] = (int(rng.choice(value)),)
        elif name == "modes":
            made[name] = ((value[_drawn_index([weight for _, weight in value], rng)][0], 1.0),)
        elif name == "gray":
            made[name] = float(rng.random() < value)
    return replace(step, **made)


def _drawn_index(weights: list[float], rng: np.random.Generator) -> int:
    return int(rng.choice(len(weights), p=np.array(weights) / sum(weights)))


def others(chain: Chain, probability: float = 1.0) -> dict[str, float]:
    """Return the probability of each step that no axis tells of, by its name."""
    found: dict[str, float] = {}
    for step in chain:
        if isinstance(step, Branch):
            total = sum(weight for weight, _ in step.choices)
            here: dict[str, float] = {}
            for weight, inner in step.choices:
                if weight > 0:
                    for name, p in others(inner, weight / total).items():
                        here[name] = here.get(name, 0.0) + p
        else:
            name = {Other: getattr(step, "name", ""), Ringing: "ringing (sinc)"}.get(type(step), "")
            here = {name: 1.0} if name else {}
        for name, p in here.items():  # one of several independent events
            found[name] = 1 - (1 - found.get(name, 0.0)) * (1 - min(p, 1.0))
    return {name: p * probability for name, p in found.items() if p > 0}


def products(chain: Chain) -> list[tuple[float, Product]] | None:
    """Return the chain as a mixture of products of ranges over axes, or None where it is no such mixture."""
    found: list[tuple[float, Product]] = []
    for weight, steps in itertools.islice(_linear(chain), MOST_PRODUCTS + 1):
        product = _product(steps)
        if product is None or len(found) == MOST_PRODUCTS:
            return None
        if found and found[-1][1] == product:
            found[-1] = (found[-1][0] + weight, product)
        else:
            found.append((weight, product))
    return found


def _linear(chain: Chain) -> Iterator[tuple[float, tuple[RandomStep, ...]]]:
    """Yield the chains without branches that a chain may turn out to be, with their probabilities."""
    if not chain:
        yield 1.0, ()
        return
    first, rest = chain[0], chain[1:]
    if first.idle:
        yield from _linear(rest)
        return
    heads: Iterator[tuple[float, Chain]] = iter([(1.0, (first,))])
    if isinstance(first, Branch):
        total = sum(weight for weight, _ in first.choices)
        heads = (
            (weight / total * p, steps) for weight, inner in first.choices if weight > 0 for p, steps in _linear(inner)
        )
    for p, head in heads:
        for q, tail in _linear(rest):
            yield p * q, head + tail


def _product(steps: Chain) -> Product | None:
    """Return the ranges of blur, downsampling, noise and JPEG where the steps are these, in this order."""
    found: Product = {}
    last = next((i for i in reversed(range(len(steps))) if isinstance(steps[i], Jpeg)), -1)
    for i, step in enumerate(steps):
        if step.idle:
            continue
        if isinstance(step, Jpeg) and i < last and step.quality.low >= LOSSLESS:
            continue
        name, values = _axis_of(step)
        if name == "downsampling" and found.get(name) == values and isinstance(step, Resize) and step.to != "here":
            continue  # to the size that it has
        order = ("blur_sigma", "downsampling", "noise_sigma", "poisson_scale", "jpeg_quality")
        if not name or any(order.index(name) <= order.index(earlier) for earlier in found):
            return None
        found[name] = values
    return found


def _axis_of(step: RandomStep) -> tuple[str, Values]:
    if isinstance(step, Blur) and step.shape == "gaussian" and step.second is None:
        return "blur_sigma", step.sigma
    if isinstance(step, Resize) and step.spread == UNIT:
        if step.to == "factor":
            return "downsampling", step.by
        if step.to != "factor" and step.by.high <= step.by.low * (1 + NEAR_ONE):
            return "downsampling", fixed(float(round(1 / step.by.low, 3)))
    if isinstance(step, Noise) and not step.kind:
        return "noise_sigma", step.sigma
    if isinstance(step, Noise) and isinstance(step.sigma, Range) and step.sigma.power in (0.5, 1):
        return "poisson_scale", Range(step.sigma.low**2, step.sigma.high**2, 2 * step.sigma.power)
    if isinstance(step, Jpeg):
        return "jpeg_quality", step.quality
    return "", fixed(0.0)
