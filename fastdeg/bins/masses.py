"""The weight of the samples in each bin: sums of chunks that are merged without loss."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdeg import _checks
from fastdeg._types import ByValue, Float
from fastdeg.bins.base import Bins

EXACT_ROWS = 2**26  # whose leading halves, of 26 bits, float64 adds without rounding


@dataclass(frozen=True, eq=False)
class Masses(ByValue):
    """Weight of the samples in each bin.

    Attributes
    ----------
    mass : ndarray, shape (N,)
    residual : ndarray, shape (N,)
        What rounding to float64 took from the masses.
    squares : Fraction
        Sum of the squared weights, as Kish's effective number needs it: exact, and of any size.
    """

    mass: Float
    residual: Float
    squares: Fraction

    @property
    def total(self) -> float:
        """Weight of all samples."""
        return float(self.mass.sum())

    @property
    def effective_number(self) -> int:
        """Kish's effective number of samples, (Σw)² / Σw²: without weights, their number."""
        return max(1, round(Fraction(self.total) ** 2 / self.squares))

    @property
    def pmf(self) -> Float:
        """Share of each bin; an error where there is no weight."""
        if not self.total > 0:
            raise ValueError(
                "samples, sample_weight: expected at least one sample of positive weight inside the bins, got none"
            )
        return self.mass / self.total


def bin_masses(
    bins: Bins,
    samples: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    outside: str = "raise",
    threads: int | None = None,
    name: str = "sample_weight",
) -> Masses:
    """Return the weight in each bin; samples outside, where they are allowed, count for nothing."""
    if weights is None:
        counts = bins.histogram(samples, outside=outside, threads=threads)
        return Masses(counts.astype(np.float64), np.zeros(bins.n_bins), Fraction(int(counts.sum())))
    labels = bins.assign(samples, outside=outside, threads=threads)
    _checks.weights(weights, name, len(labels), hint=": one for each of samples")
    inside = labels >= 0
    labels, w = labels[inside], np.asarray(weights, np.float64)[inside]
    largest = w.max(initial=0.0)
    exponent = int(np.frexp(largest)[1])
    unit = np.ldexp(w, -exponent)  # at most one
    head = np.rint(unit * 2.0**26) / 2.0**26
    sums = Masses(np.zeros(bins.n_bins), np.zeros(bins.n_bins), Fraction(0))
    for start in range(0, len(w), EXACT_ROWS):
        rows = slice(start, start + EXACT_ROWS)
        leading, rest = (_sums(labels[rows], part[rows], bins.n_bins) for part in (head, unit - head))
        sums = merge_masses(sums, Masses(leading, rest, Fraction(float((unit[rows] ** 2).sum()))))
    with np.errstate(over="ignore"):
        mass, residual = np.ldexp(sums.mass, exponent), np.ldexp(sums.residual, exponent)
        if not np.isfinite(mass.sum()):
            raise ValueError(f"{name}: expected weights whose sum is within the floating-point range, got larger ones")
    return Masses(mass, residual, sums.squares * Fraction(4) ** exponent)


def _sums(labels: NDArray[np.int64], weights: Float, n_bins: int) -> Float:
    return np.asarray(np.bincount(labels, weights, n_bins), np.float64)


def merge_masses(*parts: Masses) -> Masses:
    """Return the masses of all samples together; the order of the parts does not show but for the last residuals."""
    mass, residual, squares = parts[0].mass, parts[0].residual, parts[0].squares
    for part in parts[1:]:
        mass, lost = _two_sum(mass, part.mass)
        mass, residual = _two_sum(mass, residual + part.residual + lost)
        squares += part.squares
    return Masses(mass, residual, squares)


def _two_sum(a: NDArray[Any], b: NDArray[Any]) -> tuple[Float, Float]:
    """Return a + b and what rounding took from it (Knuth)."""
    total = a + b
    of_b = total - a
    return total, (a - (total - of_b)) + (b - of_b)
