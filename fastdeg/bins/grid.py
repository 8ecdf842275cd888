"""Bins that are the cells of a grid."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdeg._checks import choice, generator, integer
from fastdeg._types import Float
from fastdeg.bins.base import Bins
from fastdeg.distributed import is_collection
from fastdeg.kernels.measure.binning import CLIP, RAISE, assign_grid, count_grid, regular_axes
from fastdeg.space import Axis, DegradationSpace, grid_product


class GridBins(Bins):
    """The cells of a degradation space as bins, the last axis fastest (C order).

    Parameters
    ----------
    space : DegradationSpace

    See Also
    --------
    CentroidBins : Where a grid would have too many cells.

    Examples
    --------
    >>> import fastdeg as fd
    >>> bins = fd.GridBins(fd.DegradationSpace.preset("paper"))
    >>> bins.assign([[1.0, 20.0, 90.0]])
    array([23])
    >>> bins.centers[23]
    array([ 1.5, 25. , 80. ])
    """

    space: DegradationSpace

    def __init__(self, space: DegradationSpace) -> None:
        if not isinstance(space, DegradationSpace):
            raise TypeError(f"space: expected a DegradationSpace, got {type(space).__name__}")
        if space.n_bins >= 2**31:
            raise ValueError(f"space: expected fewer than 2**31 cells, got {space.n_bins}")
        self.space = space

    @property
    def n_bins(self) -> int:
        """Number of bins, N."""
        return self.space.n_bins

    @property
    def ndim(self) -> int:
        """Number of axes, d."""
        return self.space.ndim

    @cached_property
    def centers(self) -> Float:  # type: ignore[override]
        """Centres of the cells, shape (N, d)."""
        return self.space.points()

    @property
    def variances(self) -> Float:
        """Variance of a sample within its cell along each axis, shape (N, d); zero for levels."""
        return grid_product([axis.variances for axis in self.space.axes])

    @property
    def covariances(self) -> Float:  # type: ignore[override]
        """Covariance within each cell, diagonal, shape (N, d, d)."""
        covariances = np.zeros((self.n_bins, self.ndim, self.ndim))
        covariances[:, np.arange(self.ndim), np.arange(self.ndim)] = self.variances
        return covariances

    @property
    def volumes(self) -> Float:  # type: ignore[override]
        """Share of the space that each cell covers, shape (N,)."""
        volumes = np.ones(1)
        for axis in self.space.axes:
            volumes = np.multiply.outer(volumes, axis.volumes).ravel()
        return volumes

    def assign(self, samples: ArrayLike, *, outside: str = "raise", threads: int | None = None) -> NDArray[np.int64]:
        """Return the cell of each sample.

        Cells are closed below and open above, the last cell of an axis is closed; between levels the nearest one
        counts, the lower one on a tie. Beyond the edges, or half a step beyond the outer levels, a sample is outside;
        float32 samples on the outer edges as float32 has them are inside.

        Parameters
        ----------
        samples : array_like or data frame, shape (n, d)
            In the units of the axes; the columns of a data frame are taken by name.
        outside : {"raise", "clip", "drop"}
            What becomes of samples outside the space: an error, the nearest cell, or the label -1.
        threads : int, optional
            Number of threads; by default numba's setting.

        Returns
        -------
        ndarray of int64, shape (n,)
            Of samples in an array or a data frame of Dask, an array of Dask that is not computed yet.

        Raises
        ------
        ValueError
            When a sample is NaN, or outside the space under ``outside="raise"``.
        """
        if is_collection(samples):
            return self._assign_chunks(samples, outside=outside, threads=threads)
        array = self._sample_array(samples)
        labels = np.empty(len(array), np.int64)
        if self._run(assign_grid, array, labels, outside, threads):
            self._check_inside(array, outside)
        return labels

    def histogram(self, samples: ArrayLike, *, outside: str = "raise", threads: int | None = None) -> NDArray[np.int64]:
        array = self._sample_array(samples)
        counts = np.zeros(self.n_bins, np.int64)
        if self._run(count_grid, array, counts, outside, threads):
            self._check_inside(array, outside)
        return counts

    @cached_property
    def _tables(self) -> dict[np.dtype[Any], tuple[NDArray[Any], ...]]:
        """What the kernels know of the axes, for samples of either precision."""
        return {np.dtype(dtype): _table(self.space.axes, dtype) for dtype in (np.float32, np.float64)}

    def _run(
        self, function: Any, array: NDArray[Any], out: NDArray[np.int64], outside: str, threads: int | None
    ) -> int:
        """Call a kernel of the grid; return the number of samples without a cell."""
        policy = CLIP if choice(outside, "outside", ("raise", "clip", "drop")) == "clip" else RAISE
        table = self._tables[array.dtype]
        return int(function(array, *table, policy, out, threads=threads, work=array.size * 8))

    def _check_inside(self, array: NDArray[Any], outside: str) -> None:
        """Raise for samples that are NaN, or outside where that is an error."""
        self._raise_on_nan(array)
        if outside == "raise":
            boundaries, starts = self._tables[array.dtype][:2]
            low, high = boundaries[starts[:-1]], boundaries[starts[1:] - 1]
            row = int(np.argmax(((array < low) | (array > high)).any(axis=1)))
            values = ", ".join(f"{name} {value:g}" for name, value in zip(self.names, array[row], strict=True))
            raise ValueError(
                f"samples: row {row} ({values}) lies outside {self.space!r}; "
                'pass outside="clip" or outside="drop" to allow it'
            )

    def moments(self, pmf: Float) -> tuple[Float, Float]:
        pmf = self._masses(pmf)
        mean, covariance = np.empty(self.ndim), np.empty((self.ndim, self.ndim))
        deviations = []
        for k, axis in enumerate(self.space.axes):
            marginal = self.marginal(pmf, k)
            mean[k] = marginal @ axis.centers
            deviations.append(axis.centers - mean[k])
            covariance[k, k] = marginal @ (deviations[k] ** 2 + axis.variances)
        for a, b in itertools.combinations(range(self.ndim), 2):
            others = tuple(k for k in range(self.ndim) if k not in (a, b))
            pairs = pmf.reshape(self.space.shape).sum(axis=others)
            covariance[a, b] = covariance[b, a] = deviations[a] @ pairs @ deviations[b]
        return mean, covariance

    def marginal(self, pmf: Float, axis: int) -> Float:
        """Return the pmf summed over all other axes, shape (n_bins of the axis,)."""
        pmf, axis = self._masses(pmf), integer(axis, "axis", 0, self.ndim - 1)
        others = tuple(k for k in range(self.ndim) if k != axis)
        return pmf.reshape(self.space.shape).sum(axis=others)

    def sample_within(self, labels: NDArray[np.integer], rng: np.random.Generator) -> Float:
        labels, rng = self._labels(labels), generator(rng)
        cells = np.unravel_index(labels, self.space.shape)
        uniform = rng.random((len(labels), self.ndim)) - 0.5
        columns = [
            axis.centers[cell]
            if axis.discrete
            else axis.centers[cell] + (axis.boundaries[cell + 1] - axis.boundaries[cell]) * uniform[:, k]
            for k, (axis, cell) in enumerate(zip(self.space.axes, cells, strict=True))
        ]
        return np.stack(columns, axis=1)

    def to_arrays(self) -> dict[str, Any]:
        return {"kind": "grid", "space": self.space.to_dict()}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GridBins) and self.space == other.space

    def __hash__(self) -> int:
        return hash(self.space)

    def __repr__(self) -> str:
        return f"GridBins({self.space!r})"


def _table(axes: Sequence[Axis], dtype: type) -> tuple[NDArray[Any], ...]:
    """Boundaries, where those of each axis start, which are of levels, and how regular axes are divided.

    The outer boundaries are moved out to where rounding to the samples' type may take them.
    """
    along = [axis.boundaries.copy() for axis in axes]
    for edges in along:
        edges[0], edges[-1] = min(edges[0], float(dtype(edges[0]))), max(edges[-1], float(dtype(edges[-1])))
    boundaries, starts = np.concatenate(along), np.concatenate(([0], np.cumsum([len(edges) for edges in along])))
    scale, tolerance = np.empty(len(axes)), np.empty(len(axes))
    regular_axes(boundaries, starts, scale, tolerance)
    return boundaries, starts, np.array([axis.discrete for axis in axes]), scale, tolerance
