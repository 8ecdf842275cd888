"""Counts and moments of samples that come in chunks, on one machine or on many."""

from __future__ import annotations

import os
from fractions import Fraction
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from fastdeg import _checks
from fastdeg._files import damage_told, read_archive, write_archive
from fastdeg._types import Float
from fastdeg.bins import Bins, bins_from_arrays
from fastdeg.bins.base import checked_bins
from fastdeg.bins.masses import Masses, bin_masses, merge_masses
from fastdeg.distributed import fold, is_collection
from fastdeg.distribution import BinnedDistribution
from fastdeg.moments import Moments, merge, partial_moments

FORMAT = "Accumulator"


class Accumulator:
    """Distribution over bins and moments of samples that come in chunks, in any number of processes.

    One for each chunk or process, merged at the end: all that a cluster moves is this small object, 2 N + d² numbers.
    Counts are exact up to 2⁵³; sums of weights are compensated, and covariances merged by deviations from the means
    (Chan, Golub, LeVeque 1983), so that the order of merging shows in the last digits only.

    Parameters
    ----------
    bins : GridBins or CentroidBins

    See Also
    --------
    BinnedDistribution.from_samples, weighted_moments : The same of samples at hand, or of a collection of Dask.

    Examples
    --------
    >>> import fastdeg as fd
    >>> bins = fd.GridBins(fd.DegradationSpace([fd.Axis.regular("noise_sigma", 0, 50, 2)]))
    >>> first = fd.Accumulator(bins).update([[10.0], [20.0]])
    >>> second = fd.Accumulator(bins).update([[40.0], [21.0]])
    >>> whole = first.merge(second)
    >>> whole.distribution().pmf
    array([0.75, 0.25])
    >>> mean, cov = whole.moments()
    >>> mean
    array([22.75])
    """

    def __init__(self, bins: Bins) -> None:
        n, d = checked_bins(bins).n_bins, bins.ndim
        self.bins = bins
        self._masses = Masses(np.zeros(n), np.zeros(n), Fraction(0))
        self._moments = Moments(np.zeros(()), np.zeros(d), np.zeros(d), np.zeros((d, d)))

    def update(
        self,
        samples: ArrayLike,
        weights: ArrayLike | None = None,
        *,
        outside: str = "raise",
        threads: int | None = None,
    ) -> Self:
        """Add samples.

        Parameters
        ----------
        samples : array_like or data frame, shape (n, d)
            In the units of the bins; the columns of a data frame are taken by name. Arrays and data frames of Dask are
            taken chunk by chunk, where Dask computes by default.
        weights : array_like, shape (n,), optional
            Weights >= 0; one each by default.
        outside : {"raise", "clip", "drop"}
            What becomes of samples outside a grid: an error, the nearest cell (moments are as given), or left out.
        threads : int, optional
            The result does not depend on it.

        Returns
        -------
        Accumulator
            This one.

        Raises
        ------
        ValueError, TypeError
            As for `BinnedDistribution.from_samples` and `weighted_moments`; nothing was added then.
        """
        bins = self.bins
        named = _checks.by_name(samples, "samples", bins.names) if bins.space else samples
        if is_collection(named):
            of_chunk = partial(_of_chunk, bins, outside=outside, threads=threads or 1)
            return self._add(*fold(of_chunk, _merged, {"samples": named, "weights": weights}))
        _checks.choice(outside, "outside", ("raise", "clip", "drop"))
        x = _checks.float_array(named, "samples", ("n", bins.ndim), finite=False, keep_float32=True)
        hint = ": one for each of samples"
        w = None if weights is None else _checks.float_array(weights, "weights", (len(x),), hint=hint)
        if outside == "drop":
            inside = bins.assign(x, outside=outside, threads=threads) >= 0
            x, w = x[inside], None if w is None else w[inside]
        masses = bin_masses(bins, x, w, outside=outside, threads=threads, name="weights")
        moments = partial_moments(x, w, threads=threads, name="samples")
        return self._add(masses, moments)

    def merge(self, other: Accumulator) -> Self:
        """Add the samples of another accumulator of the same bins; return this one."""
        if not isinstance(other, Accumulator):
            raise TypeError(f"other: expected an Accumulator, got {type(other).__name__}")
        if other.bins != self.bins:
            raise ValueError("other: expected the bins of this accumulator, got other ones")
        return self._add(other._masses, other._moments)

    def _add(self, masses: Masses, moments: Moments) -> Self:
        both = merge_masses(self._masses, masses), merge(self._moments, moments)
        self._masses, self._moments = both
        return self

    @property
    def weight(self) -> float:
        """Total weight of the samples; without weights, their number."""
        return self._masses.total

    def distribution(self) -> BinnedDistribution:
        """Return the share of each bin, as `BinnedDistribution.from_samples` does of all samples.

        Raises
        ------
        ValueError
            Where there are no samples.
        """
        return BinnedDistribution(self.bins, self._masses.pmf, n_samples=self._masses.effective_number)

    def moments(self) -> tuple[Float, Float]:
        """Return mean (d,) and population covariance (d, d), as `weighted_moments` does of all samples.

        Raises
        ------
        ValueError
            Where there are no samples.
        """
        if not self._moments.weight > 0:
            raise ValueError("samples: expected at least one sample of positive weight, got none")
        return self._moments.mean.copy(), self._moments.covariance

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the accumulator to a ``.npz`` file (no pickles); an existing file is replaced in one step."""
        state = self.bins.to_arrays()
        arrays = {key: value for key, value in state.items() if isinstance(value, np.ndarray)}
        header: dict[str, Any] = {key: value for key, value in state.items() if key not in arrays}
        write_archive(
            path,
            FORMAT,
            header | {"squares": str(self._masses.squares)},
            arrays
            | {"mass": self._masses.mass, "mass_residual": self._masses.residual}
            | {f"moments_{name}": getattr(self._moments, name) for name in Moments.__dataclass_fields__},
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Accumulator:
        """Read an accumulator that `save` wrote.

        Raises
        ------
        FileNotFoundError
            When there is no such file.
        ValueError
            When the file holds something else.
        """
        header, arrays = read_archive(path, FORMAT)
        with damage_told(path):
            result = cls(bins_from_arrays(header | arrays))
            result._masses = Masses(arrays["mass"], arrays["mass_residual"], Fraction(header["squares"]))
            result._moments = Moments(*(arrays[f"moments_{name}"] for name in Moments.__dataclass_fields__))
        return result

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Accumulator) and (self.bins, self._masses, self._moments) == (
            other.bins, other._masses, other._moments,
        )  # fmt: skip

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Accumulator({self.bins!r}, weight {self.weight:.6g})"


def _of_chunk(bins: Bins, samples: Any, weights: Any, **options: Any) -> tuple[Masses, Moments]:
    whole = Accumulator(bins).update(samples, weights, **options)
    return whole._masses, whole._moments  # the bins need not be moved


def _merged(*parts: tuple[Masses, Moments]) -> tuple[Masses, Moments]:
    masses, moments = zip(*parts, strict=True)
    return merge_masses(*masses), merge(*moments)
