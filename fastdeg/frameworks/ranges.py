"""What a parameter of a random step is drawn from, and how much of it lies in each cell of an axis, exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from fastdeg._types import Float
from fastdeg.space import Axis


@dataclass(frozen=True)
class Range:
    """Between two ends, or always the same where they are equal: the power of a uniform number, by default itself.

    A power of 0.5 is the standard deviation of a uniform variance, 2 the variance of a uniform standard deviation.
    """

    low: float
    high: float
    power: float = 1.0

    def draw(self, n: int, rng: np.random.Generator) -> Float:
        """Return n values, shape (n,)."""
        if self.high <= self.low:
            return np.full(n, self.low)
        low, high = self._uniform(np.array([self.low, self.high]))
        return rng.uniform(low, high, n) ** self.power

    def shares(self, axis: Axis) -> Float:
        """Return the probability of each cell of an axis, what lies beyond the ends in the outer ones."""
        if self.high <= self.low:
            return _counts(axis, np.array([self.low]))
        below = self._below(axis.boundaries)
        below[0], below[-1] = 0, 1
        return np.diff(below)

    def outside(self, axis: Axis) -> float:
        """Return the share beyond the ends of an axis."""
        if self.high <= self.low:
            return float(not axis.boundaries[0] <= self.low <= axis.boundaries[-1])
        ends = self._below(axis.boundaries[[0, -1]])
        return float(1 - (ends[1] - ends[0]))

    def _below(self, values: Float) -> Float:
        """Return the probability of less than each value."""
        low, high = self._uniform(np.array([self.low, self.high]))
        return np.clip((self._uniform(values) - low) / (high - low), 0, 1)

    def _uniform(self, values: Float) -> Float:
        return values if self.power == 1 else np.maximum(values, 0) ** (1 / self.power)

    def __str__(self) -> str:
        return f"{self.low:.4g}" if self.high <= self.low else f"{self.low:.4g}–{self.high:.4g}"


@dataclass(frozen=True)
class Points:
    """Values that are equally likely: whole numbers of a range, steps from one end to the other."""

    values: tuple[float, ...]

    @property
    def low(self) -> float:
        """The least value."""
        return min(self.values)

    @property
    def high(self) -> float:
        """The largest value."""
        return max(self.values)

    def draw(self, n: int, rng: np.random.Generator) -> Float:
        """Return n values, shape (n,)."""
        return np.asarray(self.values, np.float64)[rng.integers(len(self.values), size=n)]

    def shares(self, axis: Axis) -> Float:
        """Return the probability of each cell of an axis, what lies beyond the ends in the outer ones."""
        return _counts(axis, np.asarray(self.values, np.float64))

    def outside(self, axis: Axis) -> float:
        """Return the share beyond the ends of an axis."""
        values = np.asarray(self.values)
        return float(((values < axis.boundaries[0]) | (values > axis.boundaries[-1])).mean())

    def __str__(self) -> str:
        return f"{self.low:.4g}" if self.high <= self.low else f"{self.low:.4g}–{self.high:.4g}"


Values: TypeAlias = Range | Points


def fixed(value: float) -> Range:
    """Return the range of one value."""
    return Range(value, value)


def whole(low: int, high: int) -> Points:
    """Return the whole numbers from low to high, both of them too."""
    return Points(tuple(float(value) for value in range(low, max(low, high) + 1)))


def _counts(axis: Axis, values: Float) -> Float:
    return np.bincount(axis.assign(values), minlength=axis.n_bins) / len(values)
