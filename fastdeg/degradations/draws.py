"""Single draws from a distribution, in a few microseconds: a training run takes one for each image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastdeg._types import Float
from fastdeg.bins import GridBins
from fastdeg.distribution import BinnedDistribution


class Draws:
    """Draws from a distribution: a bin by the alias method, then a point within it.

    A. J. Walker, "An efficient method for generating discrete random variables with general distributions", ACM TOMS
    3 (1977); tables after M. D. Vose, IEEE Trans. Softw. Eng. 17 (1991).
    """

    def __init__(self, distribution: BinnedDistribution) -> None:
        self._bins = distribution.bins
        self._keep, self._alias = _alias_table(distribution.pmf)
        self._axes: list[tuple[Float, Float]] = []  # of a grid: lower ends and widths of the cells, the last axis first
        if isinstance(self._bins, GridBins):
            self._axes = [
                (axis.centers if axis.discrete else axis.boundaries[:-1], axis.widths)
                for axis in reversed(self._bins.space.axes)
            ]

    def __call__(self, rng: np.random.Generator) -> list[float]:
        """Return one point, in the units of the bins."""
        uniform = rng.random(1 + len(self._axes)).tolist()
        place = uniform[0] * len(self._keep)
        label = int(place)
        if place - label >= self._keep[label]:
            label = int(self._alias[label])
        if not self._axes:
            return [float(x) for x in self._bins.sample_within(np.array([label]), rng)[0]]
        values = []
        for (low, width), within in zip(self._axes, uniform[1:], strict=True):
            label, cell = divmod(label, len(low))
            values.append(float(low[cell] + width[cell] * within))
        return values[::-1]


def _alias_table(pmf: Float) -> tuple[Float, NDArray[np.int64]]:
    """Return for each of N equal shares the part that its own bin keeps, and the bin that has the rest."""
    n = len(pmf)
    share = (pmf * (n / pmf.sum())).tolist()
    alias = list(range(n))
    small = [i for i in range(n) if share[i] < 1]
    large = [i for i in range(n) if share[i] >= 1]
    while small and large:
        lacking, giving = small.pop(), large[-1]
        alias[lacking] = giving
        share[giving] -= 1 - share[lacking]
        if share[giving] < 1:
            small.append(large.pop())
    for left in small:  # by rounding: nothing is left to give, so all but nothing lacks, unless the bin is empty
        if pmf[left] > 0:
            share[left] = 1.0
        else:
            alias[left] = int(pmf.argmax())
    return np.minimum(share, 1.0), np.array(alias)
