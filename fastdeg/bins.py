"""Bins of a degradation space: the cells of a grid, or centroids with their nearest points."""

from __future__ import annotations

import itertools
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdeg import _checks
from fastdeg._checks import choice, float_array, integer
from fastdeg._types import Float
from fastdeg.kernels.measure.binning import CLIP, RAISE, assign_grid, count_grid, regular_axes
from fastdeg.nearest import NearestCenter
from fastdeg.space import DegradationSpace, grid_product


class Bins(ABC):
    """What all bins have in common.

    Attributes
    ----------
    space : DegradationSpace or None
    centers : ndarray, shape (N, d)
        In the units of the space.
    covariances : ndarray, shape (N, d, d)
        Covariance of the degradations within each bin.
    volumes : ndarray, shape (N,)
        Each bin's share of the space; sums to one.
    """

    space: DegradationSpace | None
    centers: Float
    covariances: Float
    volumes: Float

    @property
    def n_bins(self) -> int:
        """Number of bins, N."""
        return len(self.centers)

    @property
    def ndim(self) -> int:
        """Number of coordinates, d."""
        return int(self.centers.shape[1])

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the coordinates."""
        return self.space.names if self.space else tuple(f"x{k}" for k in range(self.ndim))

    def standardized_centers(self) -> Float:
        """Return the centres with every axis' range mapped to [0, 1], shape (N, d); as given without a space."""
        return self.space.standardize(self.centers) if self.space else self.centers

    def scales(self) -> Float:
        """Return what a unit of the standardised coordinates is in the units of the bins, shape (d,)."""
        return self.space.scales() if self.space else np.ones(self.ndim)

    @abstractmethod
    def assign(self, samples: ArrayLike, *, outside: str = "raise", threads: int | None = None) -> NDArray[np.int64]:
        """Return the bin of each sample."""

    def histogram(self, samples: ArrayLike, *, outside: str = "raise", threads: int | None = None) -> NDArray[np.int64]:
        """Return the number of samples in each bin, shape (N,); arguments as for `assign`."""
        labels = self.assign(samples, outside=outside, threads=threads)
        return np.bincount(labels[labels >= 0], minlength=self.n_bins)

    @abstractmethod
    def moments(self, pmf: Float) -> tuple[Float, Float]:
        """Return mean (d,) and population covariance (d, d) of the mixture over the bins."""

    @abstractmethod
    def sample_within(self, labels: NDArray[np.integer], rng: np.random.Generator) -> Float:
        """Return one random sample in each of the given bins, shape (n, d)."""

    @abstractmethod
    def marginal(self, pmf: Float, axis: int) -> Float:
        """Return the mass along one axis of the space, shape (n_bins of the axis,)."""

    @abstractmethod
    def to_arrays(self) -> dict[str, Any]:
        """Return what `bins_from_arrays` needs to rebuild the bins: arrays and JSON-ready values."""

    def _sample_array(self, samples: ArrayLike) -> NDArray[Any]:
        return float_array(samples, "samples", ("n", self.ndim), keep_float32=True, finite=False)

    def _raise_on_nan(self, samples: NDArray[Any]) -> None:
        if np.isnan(samples).any():
            row, column = np.argwhere(np.isnan(samples))[0]
            raise ValueError(f"samples: expected numbers, got nan in row {row}, axis {self.names[column]!r}")


class GridBins(Bins):
    """The cells of a degradation space as bins, the last axis fastest (C order).

    Parameters
    ----------
    space : DegradationSpace

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
        counts, the lower one on a tie. Beyond the edges, or half a step beyond the outer levels, a sample is outside.

        Parameters
        ----------
        samples : array_like, shape (n, d)
            In the units of the axes.
        outside : {"raise", "clip", "drop"}
            What becomes of samples outside the space: an error, the nearest cell, or the label -1.
        threads : int, optional
            Number of threads; by default numba's setting.

        Returns
        -------
        ndarray of int64, shape (n,)

        Raises
        ------
        ValueError
            When a sample is NaN, or outside the space under ``outside="raise"``.
        """
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
    def _tables(self) -> tuple[NDArray[Any], ...]:
        axes = self.space.axes
        starts = np.concatenate(([0], np.cumsum([len(axis.boundaries) for axis in axes])))
        boundaries = np.concatenate([axis.boundaries for axis in axes])
        scale, tolerance = np.empty(len(axes)), np.empty(len(axes))
        regular_axes(boundaries, starts, scale, tolerance)
        return boundaries, starts, np.array([axis.discrete for axis in axes]), scale, tolerance

    def _run(
        self, function: Any, array: NDArray[Any], out: NDArray[np.int64], outside: str, threads: int | None
    ) -> int:
        """Call a kernel of the grid; return the number of samples without a cell."""
        policy = CLIP if choice(outside, "outside", ("raise", "clip", "drop")) == "clip" else RAISE
        return int(function(array, *self._tables, policy, out, threads=threads, work=array.size * 8))

    def _check_inside(self, array: NDArray[Any], outside: str) -> None:
        """Raise for samples that are NaN, or outside where that is an error."""
        self._raise_on_nan(array)
        if outside == "raise":
            low = [axis.boundaries[0] for axis in self.space.axes]
            high = [axis.boundaries[-1] for axis in self.space.axes]
            row = int(np.argmax(((array < low) | (array > high)).any(axis=1)))
            values = ", ".join(f"{name} {value:g}" for name, value in zip(self.names, array[row], strict=True))
            raise ValueError(
                f"samples: row {row} ({values}) lies outside {self.space!r}; "
                'pass outside="clip" or outside="drop" to allow it'
            )

    def moments(self, pmf: Float) -> tuple[Float, Float]:
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
        others = tuple(k for k in range(self.ndim) if k != axis)
        return pmf.reshape(self.space.shape).sum(axis=others)

    def sample_within(self, labels: NDArray[np.integer], rng: np.random.Generator) -> Float:
        cells = np.unravel_index(labels, self.space.shape)
        uniform = rng.random((len(labels), self.ndim)) - 0.5
        columns = [
            axis.centers[cell] + axis.widths[cell] * uniform[:, k]
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


class CentroidBins(Bins):
    """Bins around centres: a sample belongs to the nearest one (k-means' cells).

    Parameters
    ----------
    centers : array_like, shape (N, d)
        In the units of the space.
    covariances : array_like, shape (N, d, d), optional
        Covariance of the degradations within each bin, symmetric and positive semidefinite; zero by default.
    space : DegradationSpace, optional
        With it, nearest is measured on standardised axes; without, on the numbers as given.

    Examples
    --------
    >>> import fastdeg as fd
    >>> bins = fd.CentroidBins([[0.0], [1.0], [3.0]])
    >>> bins.assign([[0.4], [0.5], [9.0]])
    array([0, 0, 2])
    """

    def __init__(
        self,
        centers: ArrayLike,
        covariances: ArrayLike | None = None,
        *,
        space: DegradationSpace | None = None,
        _volumes: Float | None = None,
    ) -> None:
        if space is not None and not isinstance(space, DegradationSpace):
            raise TypeError(f"space: expected a DegradationSpace or None, got {type(space).__name__}")
        self.space = space
        self.centers = float_array(centers, "centers", ("N", space.ndim if space else "d")).copy()
        n, d = self.centers.shape
        if n < 1 or d < 1:
            raise ValueError(f"centers: expected at least one centre and one coordinate, got shape ({n}, {d})")
        if covariances is None:
            self.covariances = np.zeros((n, d, d))
        else:
            self.covariances = float_array(covariances, "covariances", (n, d, d)).copy()
            _checks.covariances(self.covariances, "covariances")
        self.volumes = np.full(n, 1 / n) if _volumes is None else _volumes
        self._search = NearestCenter(self.standardized_centers())

    @classmethod
    def fit(
        cls,
        points: ArrayLike,
        n_bins: int = 100,
        *,
        space: DegradationSpace | None = None,
        sample_weight: ArrayLike | None = None,
        random_state: int | None = 0,
    ) -> CentroidBins:
        """Return bins around the centres that scikit-learn's k-means finds among the points.

        Parameters
        ----------
        points : array_like, shape (n, d)
            In the units of the space.
        n_bins : int
            Number of bins, at most the number of distinct points.
        space : DegradationSpace, optional
            With it, k-means runs on standardised axes; without, on the numbers as given.
        sample_weight : array_like, shape (n,), optional
            Non-negative weights of the points.
        random_state : int, optional
            Seed of the k-means++ start.

        Returns
        -------
        CentroidBins
            With the population covariance of the members of each bin, and volumes by the members' share.

        Raises
        ------
        ValueError
            When there are fewer distinct points than bins, or an argument is of the wrong shape.

        Warns
        -----
        UserWarning
            Without a space, when the axes' ranges differ 10-fold or more, so that k-means ignores the small ones.
        """
        from sklearn.cluster import KMeans

        integer(n_bins, "n_bins", 1)
        points = float_array(points, "points", ("n", space.ndim if space else "d"))
        weights = None if sample_weight is None else float_array(sample_weight, "sample_weight", (len(points),))
        if weights is not None and weights.min() < 0:
            raise ValueError(f"sample_weight: expected weights >= 0, got {weights.min()}")
        distinct = len(np.unique(points, axis=0))
        if distinct < n_bins:
            raise ValueError(f"n_bins: expected at most the {distinct} distinct points, got {n_bins}")
        spans = np.ptp(points, axis=0)
        if space is None and (spans > 0).any() and spans.max() >= 10 * spans[spans > 0].min():
            warnings.warn(
                f"points: the axes' ranges {spans} differ 10-fold or more, so k-means all but ignores the smallest; "
                "pass space= to standardise them",
                stacklevel=2,
            )
        scaled = space.standardize(points) if space else points
        labels = KMeans(n_bins, n_init=1, random_state=random_state).fit(scaled, sample_weight=weights).labels_
        mass = np.ones(len(points)) if weights is None else weights
        total = np.bincount(labels, mass, minlength=n_bins)
        if not (total > 0).all():
            raise ValueError("sample_weight: expected positive weight in every bin, got a bin with none")
        centers = np.stack([np.bincount(labels, mass * x, n_bins) / total for x in points.T], axis=1)
        deviation = points - centers[labels]
        covariances = np.empty((n_bins, points.shape[1], points.shape[1]))
        for j in range(points.shape[1]):
            for k in range(j + 1):
                product = np.bincount(labels, mass * deviation[:, j] * deviation[:, k], n_bins) / total
                covariances[:, j, k] = covariances[:, k, j] = product
        return cls(centers, covariances, space=space, _volumes=total / total.sum())

    def assign(self, samples: ArrayLike, *, outside: str = "raise", threads: int | None = None) -> NDArray[np.int64]:
        """Return the bin with the nearest centre for each sample, the lowest one on a tie.

        Parameters
        ----------
        samples : array_like, shape (n, d)
            In the units of the space.
        outside : {"raise", "clip", "drop"}
            Accepted for symmetry with `GridBins`; a nearest centre always exists.
        threads : int, optional
            Number of threads; by default numba's setting.

        Returns
        -------
        ndarray of int64, shape (n,)

        Raises
        ------
        ValueError
            When a sample is NaN or has the wrong number of coordinates.
        """
        choice(outside, "outside", ("raise", "clip", "drop"))
        array = self._sample_array(samples)
        if self.space:
            array = self.space.standardize(array)
        labels = self._search(array, threads=threads)
        if len(labels) and labels.min() < 0:
            self._raise_on_nan(array)
        return labels

    def moments(self, pmf: Float) -> tuple[Float, Float]:
        mean, covariance = _center_moments(self.centers, pmf)
        return mean, covariance + np.tensordot(pmf, self.covariances, axes=1)

    def sample_within(self, labels: NDArray[np.integer], rng: np.random.Generator) -> Float:
        """Return one Gaussian sample per label; with a space, clipped to its ranges and with levels sampled exactly."""
        values, vectors = np.linalg.eigh(self.covariances)
        roots = vectors * np.sqrt(np.maximum(values, 0))[:, None, :]
        noise = rng.standard_normal((len(labels), self.ndim))
        samples = self.centers[labels] + np.einsum("njk,nk->nj", roots[labels], noise)
        for k, axis in enumerate(self.space.axes if self.space else ()):
            samples[:, k] = np.clip(samples[:, k], axis.low, axis.high)
            if axis.discrete:
                nearest = np.searchsorted(axis.boundaries[1:-1], samples[:, k])
                samples[:, k] = axis.centers[nearest]
        return samples

    def marginal(self, pmf: Float, axis: int) -> Float:
        """Return the mass of the bins whose centres lie in each cell of one axis, shape (n_bins of the axis,)."""
        if self.space is None:
            raise ValueError("axis: bins without a space have no axes; pass space= to CentroidBins")
        along = self.space.axes[axis]
        cells = np.searchsorted(along.boundaries[1:-1], self.centers[:, axis], "right")
        return np.bincount(cells, pmf, minlength=along.n_bins).astype(np.float64)

    def to_arrays(self) -> dict[str, Any]:
        return {
            "kind": "centroids",
            "space": self.space.to_dict() if self.space else None,
            "centers": self.centers,
            "covariances": self.covariances,
            "volumes": self.volumes,
        }

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, CentroidBins)
            and self.space == other.space
            and np.array_equal(self.centers, other.centers)
            and np.array_equal(self.covariances, other.covariances)
        )

    def __hash__(self) -> int:
        return hash((self.n_bins, self.ndim, (self.centers + 0.0).tobytes()))  # 0 is equal to -0

    def __repr__(self) -> str:
        return f"CentroidBins({self.n_bins} centres, {', '.join(self.names)})"


def bins_from_arrays(state: Mapping[str, Any]) -> Bins:
    """Rebuild bins from what `Bins.to_arrays` returned."""
    space = None if state["space"] is None else DegradationSpace.from_dict(state["space"])
    if state["kind"] == "grid":
        assert space is not None
        return GridBins(space)
    return CentroidBins(
        state["centers"], state["covariances"], space=space, _volumes=np.asarray(state["volumes"], np.float64)
    )


def _center_moments(centers: Float, pmf: Float) -> tuple[Float, Float]:
    mean = pmf @ centers
    deviation = centers - mean
    return mean, (deviation * pmf[:, None]).T @ deviation
