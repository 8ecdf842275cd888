"""Bins around centres: each holds the points that are nearest to its centre."""

from __future__ import annotations

import warnings
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdeg import _checks
from fastdeg._checks import LARGEST, by_name, choice, float_array, generator, integer
from fastdeg._types import Float
from fastdeg.bins.base import Bins
from fastdeg.distributed import is_collection
from fastdeg.nearest import NearestCenter
from fastdeg.space import DegradationSpace


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

    See Also
    --------
    GridBins : The cells of a space.

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
        _check_space(space)
        self.space = space
        self.centers = float_array(
            by_name(centers, "centers", space.names) if space else centers,
            "centers", ("N", space.ndim if space else "d"), largest=LARGEST,
        ).copy()  # fmt: skip
        n, d = self.centers.shape
        if n < 1 or d < 1:
            raise ValueError(f"centers: expected at least one centre and one coordinate, got shape ({n}, {d})")
        if covariances is None:
            self.covariances = np.zeros((n, d, d))
        else:
            self.covariances = _checks.covariances(
                covariances, "covariances", (n, d, d), hint=": one for each of centers"
            )
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
        points : array_like or data frame, shape (n, d)
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

        n_bins = integer(n_bins, "n_bins", 1)
        _check_space(space)
        if random_state is not None and not isinstance(random_state, np.random.RandomState):
            random_state = integer(random_state, "random_state", 0, 2**32 - 1)  # as scikit-learn has it
        points = by_name(points, "points", space.names) if space else points
        points = float_array(points, "points", ("n", space.ndim if space else "d"), largest=LARGEST)
        weights = None
        if sample_weight is not None:
            weights = _checks.weights(sample_weight, "sample_weight", len(points), hint=": one for each of points")
            if len(weights) and not weights.any():
                raise ValueError("sample_weight: expected a positive weight, got zeros")
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
            Of samples in an array or a data frame of Dask, an array of Dask that is not computed yet.

        Raises
        ------
        ValueError
            When a sample is NaN or infinite, or has the wrong number of coordinates.
        """
        if is_collection(samples):
            return self._assign_chunks(samples, outside=outside, threads=threads)
        choice(outside, "outside", ("raise", "clip", "drop"))
        array = self._sample_array(samples)
        if self.space:
            array = self.space.standardize(array)
        if array.size and not (float(array.min()) >= -LARGEST and float(array.max()) <= LARGEST):
            self._raise_on_nan(array)
            # others are as far from one centre as from another
            row = int(np.flatnonzero((np.abs(array, dtype=np.float64) > LARGEST).any(axis=1))[0])
            raise ValueError(f"samples: expected finite numbers up to {LARGEST:g}, got larger ones in row {row}")
        return self._search(array, threads=threads)

    def moments(self, pmf: Float) -> tuple[Float, Float]:
        pmf = self._masses(pmf)
        mean = pmf @ self.centers
        deviation = self.centers - mean
        return mean, (deviation * pmf[:, None]).T @ deviation + np.tensordot(pmf, self.covariances, axes=1)

    def sample_within(self, labels: NDArray[np.integer], rng: np.random.Generator) -> Float:
        """Return one Gaussian sample per label; with a space, clipped to its ranges and with levels sampled exactly."""
        labels, rng = self._labels(labels), generator(rng)
        noise = rng.standard_normal((len(labels), self.ndim))
        samples = self.centers[labels] + np.einsum("njk,nk->nj", self._roots[labels], noise)
        for k, axis in enumerate(self.space.axes if self.space else ()):
            samples[:, k] = np.clip(samples[:, k], axis.low, axis.high)
            if axis.discrete:
                samples[:, k] = axis.centers[axis.assign(samples[:, k])]
        return samples

    @cached_property
    def _roots(self) -> Float:  # factored once: a training run draws one sample at a time
        values, vectors = np.linalg.eigh(self.covariances)
        return vectors * np.sqrt(np.maximum(values, 0))[:, None, :]

    def marginal(self, pmf: Float, axis: int) -> Float:
        """Return the mass of the bins whose centres lie in each cell of one axis, shape (n_bins of the axis,)."""
        if self.space is None:
            raise ValueError("axis: bins without a space have no axes; pass space= to CentroidBins")
        pmf, along = self._masses(pmf), self.space.axes[integer(axis, "axis", 0, self.ndim - 1)]
        return np.bincount(along.assign(self.centers[:, axis]), pmf, minlength=along.n_bins).astype(np.float64)

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


def _check_space(space: Any) -> None:
    if space is not None and not isinstance(space, DegradationSpace):
        raise TypeError(f"space: expected a DegradationSpace or None, got {type(space).__name__}")
