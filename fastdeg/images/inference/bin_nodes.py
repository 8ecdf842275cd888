"""Points that stand for the bins: where a smooth function over the space is averaged bin by bin.

Each point stands for a cell around it. A density that is narrower than the cells would hang on how near a point happens
to be, so that it is widened by the variance of a uniform distribution over the cell.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastdeg._types import Float
from fastdeg.bins import Bins, GridBins
from fastdeg.images.inference.likelihood import Likelihood
from fastdeg.space import grid_product

MAX_POINTS = 30_000
MAX_PER_AXIS = 5
SPACING = 1.5  # between points, in standard deviations of what is read of one patch
MAX_PER_CENTROID = 32


@dataclass(frozen=True)
class BinNodes:
    """Equally weighted points within the bins, on standardised axes, those of one bin next to each other."""

    points: Float  # (K, d)
    starts: NDArray[np.int64]  # (N,), first point of each bin
    cells: Float  # (K, d), variances of a uniform distribution over the cell that a point stands for

    @property
    def counts(self) -> NDArray[np.int64]:
        """Number of points of each bin."""
        return np.diff(np.append(self.starts, len(self.points)))

    def average(self, log_values: Float) -> Float:
        """Return the logarithm of each bin's mean of exp(log_values), (..., K) -> (..., N)."""
        top = np.maximum.reduceat(log_values, self.starts, axis=-1)
        shifted = np.exp(log_values - np.repeat(top, self.counts, axis=-1))
        return top + np.log(np.add.reduceat(shifted, self.starts, axis=-1) / self.counts)

    def means(self, values: Float) -> Float:
        """Return each bin's mean of values, (K, m) -> (N, m)."""
        return np.add.reduceat(values, self.starts, axis=0) / self.counts[:, None]


def bin_nodes(bins: Bins, likelihood: Likelihood) -> BinNodes:
    """Choose the points: midpoints of equal parts of each cell."""
    space = bins.space
    assert space is not None
    if not isinstance(bins, GridBins):
        return _centroid_nodes(bins)
    parts = _parts_per_axis(bins, likelihood)
    per_axis, widths = [], []
    for axis, count in zip(space.axes, parts, strict=True):
        steps = (np.arange(count) + 0.5) / count
        edges = axis.boundaries
        within = edges[:-1, None] + np.diff(edges)[:, None] * steps if not axis.discrete else axis.centers[:, None]
        per_axis.append(within)
        widths.append(np.zeros(axis.n_bins) if axis.discrete else np.diff(edges) / (count * (axis.high - axis.low)))
    owners = grid_product([np.arange(n, dtype=np.float64) for n in space.shape]).astype(np.int64)
    offsets = grid_product([np.arange(w.shape[1], dtype=np.float64) for w in per_axis]).astype(np.int64)
    points = np.stack([w[owners[:, None, k], offsets[None, :, k]] for k, w in enumerate(per_axis)], axis=-1).reshape(
        -1, space.ndim
    )
    cells = np.stack([w[owners[:, k]] for k, w in enumerate(widths)], axis=1) ** 2 / 12
    starts = np.arange(bins.n_bins) * len(offsets)
    return BinNodes(space.standardize(points), starts, np.repeat(cells, len(offsets), axis=0))


def _parts_per_axis(bins: Bins, likelihood: Likelihood) -> list[int]:
    space = bins.space
    assert space is not None
    deviation = np.median(likelihood.resolution(bins.standardized_centers()), axis=0)
    parts = []
    for k, axis in enumerate(space.axes):
        width = 0.0 if axis.discrete else float(np.diff(axis.boundaries).max()) / (axis.high - axis.low)
        parts.append(int(np.clip(np.ceil(width / (SPACING * deviation[k])), 1, MAX_PER_AXIS)))
    while bins.n_bins * int(np.prod(parts)) > MAX_POINTS and max(parts) > 1:
        parts[int(np.argmax(parts))] -= 1
    return parts


def _centroid_nodes(bins: Bins) -> BinNodes:
    space = bins.space
    assert space is not None
    count = int(np.clip(MAX_POINTS // bins.n_bins, 1, MAX_PER_CENTROID)) if bins.covariances.any() else 1
    if count == 1:
        points = bins.centers
    else:
        points = bins.sample_within(np.repeat(np.arange(bins.n_bins), count), np.random.default_rng(0))
    points = space.standardize(points)
    return BinNodes(points, np.arange(bins.n_bins) * count, np.zeros_like(points))
