"""What all bins have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdeg._checks import PMF_TOLERANCE, by_name, float_array, index_array
from fastdeg._types import Float
from fastdeg.distributed import labels_of
from fastdeg.space import DegradationSpace


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

    def _assign_chunks(self, samples: Any, *, outside: str, threads: int | None) -> Any:
        """Return the labels of a collection of Dask, as one."""
        if self.space:
            samples = by_name(samples, "samples", self.names)
        return labels_of(partial(self.assign, outside=outside, threads=threads or 1), samples)

    def _sample_array(self, samples: ArrayLike) -> NDArray[Any]:
        if self.space:
            samples = by_name(samples, "samples", self.names)
        return float_array(samples, "samples", ("n", self.ndim), keep_float32=True, finite=False)

    def _masses(self, pmf: ArrayLike) -> Float:
        return float_array(pmf, "pmf", (self.n_bins,), largest=1 + PMF_TOLERANCE)

    def _labels(self, labels: ArrayLike) -> NDArray[np.int64]:
        return index_array(labels, "labels", ("n",), self.n_bins)

    def _raise_on_nan(self, samples: NDArray[Any]) -> None:
        if np.isnan(samples).any():
            row, column = np.argwhere(np.isnan(samples))[0]
            raise ValueError(f"samples: expected numbers, got nan in row {row}, axis {self.names[column]!r}")


def checked_bins(bins: Any, name: str = "bins") -> Bins:
    """Return the bins, or raise where they are none."""
    if not isinstance(bins, Bins):
        raise TypeError(f"{name}: expected GridBins or CentroidBins, got {type(bins).__name__}")
    return bins
