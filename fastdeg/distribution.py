"""A probability distribution over the bins of a degradation space."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from fastdeg import _checks
from fastdeg._files import damage_told, read_archive, write_archive
from fastdeg._types import Float
from fastdeg.bins import Bins, bins_from_arrays
from fastdeg.bins.base import checked_bins
from fastdeg.bins.masses import bin_masses, merge_masses
from fastdeg.distributed import fold, is_collection

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMAT = "BinnedDistribution"


class BinnedDistribution:
    """A probability mass function over bins.

    Parameters
    ----------
    bins : GridBins or CentroidBins
    pmf : array_like, shape (N,)
        Non-negative, of sum one; within 1e-9, or what float32 allows where it is float32, it is renormalised, beyond
        refused.
    n_samples : int, optional
        Number of independent samples the pmf was estimated from, where it was: the evidence behind it.

    Raises
    ------
    TypeError, ValueError
        When the pmf is not one, or not as long as there are bins.

    See Also
    --------
    GridBins, CentroidBins : What it is over.
    DegradationEstimator : Finds one behind unlabelled photos.
    Accumulator : Counts samples in chunks.

    Examples
    --------
    >>> import fastdeg as fd
    >>> bins = fd.GridBins(fd.DegradationSpace([fd.Axis.regular("noise_sigma", 0, 50, 2)]))
    >>> q = fd.BinnedDistribution.from_samples(bins, [[10.0], [20.0], [40.0], [21.0]])
    >>> q.pmf, q.n_samples
    (array([0.75, 0.25]), 4)
    >>> mean, cov = q.moments()
    >>> mean
    array([18.75])
    """

    def __init__(self, bins: Bins, pmf: ArrayLike, *, n_samples: int | None = None) -> None:
        self.bins = checked_bins(bins)
        self.pmf = _checks.pmf(pmf, "pmf", bins.n_bins).copy()
        self.pmf.setflags(write=False)
        self.n_samples = None if n_samples is None else _checks.integer(n_samples, "n_samples", 1)

    @classmethod
    def from_samples(
        cls,
        bins: Bins,
        samples: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        outside: str = "raise",
        threads: int | None = None,
    ) -> BinnedDistribution:
        """Return the share of the samples in each bin.

        Parameters
        ----------
        bins : GridBins or CentroidBins
        samples : array_like or data frame, shape (n, d)
            Degradation parameters in the units of the bins; the columns of a data frame are taken by name. Arrays and
            data frames of Dask are counted chunk by chunk, where Dask computes by default.
        sample_weight : array_like, shape (n,), optional
            Non-negative weights.
        outside : {"raise", "clip", "drop"}
            What becomes of samples outside a grid: an error, the nearest cell, or left out.
        threads : int, optional
            Number of threads; by default numba's setting.

        Returns
        -------
        BinnedDistribution
            Its ``n_samples`` is the number of samples kept; with weights w, Kish's effective number (Σw)² / Σw².

        Raises
        ------
        ValueError
            When no sample is left, or one is NaN or outside where that is not allowed.
        """
        if checked_bins(bins).space:
            samples = _checks.by_name(samples, "samples", bins.names)
        if is_collection(samples):
            of_chunk = partial(bin_masses, bins, outside=outside, threads=threads or 1)
            masses = fold(of_chunk, merge_masses, {"samples": samples, "sample_weight": sample_weight})
        else:
            if sample_weight is not None:
                sample_weight = _checks.weights(sample_weight, "sample_weight", "n")
            masses = bin_masses(bins, samples, sample_weight, outside=outside, threads=threads)
        return cls(bins, masses.pmf, n_samples=masses.effective_number)

    @classmethod
    def uniform(cls, bins: Bins) -> BinnedDistribution:
        """Return the distribution that is uniform over the space: each bin has its share of the volume."""
        return cls(bins, checked_bins(bins).volumes)

    @property
    def n_bins(self) -> int:
        """Number of bins, N."""
        return len(self.pmf)

    def moments(self) -> tuple[Float, Float]:
        """Return mean (d,) and population covariance (d, d) of the mixture, in the units of the bins."""
        return self.bins.moments(self.pmf)

    def marginal(self, axis: int | str) -> Float:
        """Return the pmf along one axis of the space, given by name or position, shape (n_bins of the axis,).

        For centroids, the mass of the centres that lie in each cell of the axis.

        Raises
        ------
        ValueError
            When there is no such axis.
        """
        if self.bins.space is None:
            raise ValueError("axis: bins without a space have no axes; pass space= to CentroidBins")
        return self.bins.marginal(self.pmf, self.bins.space.axis_index(axis))

    def quantiles(self, levels: ArrayLike = (0.05, 0.5, 0.95)) -> dict[str, list[float]]:
        """Return quantiles along each axis of the space: uniform within cells, levels as they are.

        Examples
        --------
        >>> import fastdeg as fd
        >>> bins = fd.GridBins(fd.DegradationSpace([fd.Axis.regular("noise_sigma", 0, 50, 5)]))
        >>> fd.BinnedDistribution(bins, [0.0, 0.5, 0.5, 0.0, 0.0]).quantiles()
        {'noise_sigma': [11.0, 20.0, 29.0]}
        """
        shares = _checks.float_array(levels, "levels", ("n",))
        if shares.size and not (shares.min() >= 0 and shares.max() <= 1):
            raise ValueError(f"levels: expected shares from 0 to 1, got {shares}")
        if self.bins.space is None:
            raise ValueError("quantiles: bins without a space have no axes; pass space= to CentroidBins")
        found = {}
        for k, axis in enumerate(self.bins.space.axes):
            below = np.concatenate(([0.0], self.marginal(k).cumsum()))
            below /= below[-1]
            if axis.discrete:
                at = np.minimum(np.searchsorted(below[1:], shares - 1e-12), axis.n_bins - 1)
                values = axis.centers[at]
            else:
                rising = np.concatenate(([True], np.diff(below) > 1e-15))
                rising[int(np.argmax(below > 1e-15)) - 1] = True  # begins where mass does, not at the first edge
                rising[0] = rising[0] and below[1] > 1e-15
                values = np.interp(shares, below[rising], axis.boundaries[rising])
            found[axis.name] = values.tolist()
        return found

    def entropy(self) -> float:
        """Return the Shannon entropy in nats."""
        positive = self.pmf[self.pmf > 0]
        return float(-(positive @ np.log(positive)))

    def effective_bins(self) -> float:
        """Return exp(entropy): the number of equally likely bins of the same entropy."""
        return float(np.exp(self.entropy()))

    def sample(self, n: int, rng: np.random.Generator | int | None = None) -> Float:
        """Return random degradations: a bin by its probability, then a point within the bin.

        Parameters
        ----------
        n : int
            Number of samples.
        rng : numpy.random.Generator or int, optional
            Generator, or a seed for one.

        Returns
        -------
        ndarray, shape (n, d)
            In the units of the bins: uniform within cells, exact on levels, Gaussian within centroid bins.
        """
        rng = _checks.generator(rng)
        n = _checks.integer(n, "n", 0)
        _checks.memory(8.0 * n * (2 + 2 * self.bins.ndim), "n")
        labels = self._cumulative.searchsorted(rng.random(n), side="right")
        return self.bins.sample_within(labels, rng)

    @cached_property
    def _cumulative(self) -> Float:  # summed once: a training run draws one sample at a time
        total = self.pmf.cumsum()
        return total / total[-1]

    def plot(self, ax: Axes | None = None, *, axis: int | str | Sequence[int | str] | None = None) -> Any:
        """Draw the probabilities: marginals on the diagonal, pairs of axes as maps below.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw one axis' marginal, or the map of two axes; a new figure by default.
        axis : str, int, or sequence of them, optional
            Names or positions of the axes to draw; all by default.

        Returns
        -------
        Axes, or ndarray of Axes
            The panels; those above the diagonal are removed.

        Raises
        ------
        ImportError
            When Matplotlib is not installed.
        ValueError
            When there is no such axis, or ``ax`` is given for more than two.

        Examples
        --------
        >>> import fastdeg as fd
        >>> q = fd.BinnedDistribution.uniform(fd.GridBins(fd.DegradationSpace.preset("paper")))
        >>> q.plot().shape
        (3, 3)
        >>> q.plot(axis="noise_sigma").get_xlabel()
        'noise_sigma (of 255)'
        """
        from fastdeg import plotting

        return plotting.distribution(self, ax, axis)

    def _repr_html_(self) -> str:
        from fastdeg import plotting

        return plotting.card("BinnedDistribution", plotting.summary(self), plotting.marginals_thumbnail(self))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the distribution to a ``.npz`` file (no pickles); an existing file is replaced in one step."""
        state = self.bins.to_arrays()
        arrays = {key: value for key, value in state.items() if isinstance(value, np.ndarray)}
        header = {key: value for key, value in state.items() if key not in arrays}
        write_archive(path, FORMAT, header | {"n_samples": self.n_samples}, arrays | {"pmf": self.pmf})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> BinnedDistribution:
        """Read a distribution that `save` wrote.

        Raises
        ------
        FileNotFoundError
            When there is no such file.
        ValueError
            When the file holds something else.
        """
        header, arrays = read_archive(path, FORMAT)
        with damage_told(path):
            return cls(bins_from_arrays(header | arrays), arrays["pmf"], n_samples=header["n_samples"])

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, BinnedDistribution)
            and self.n_samples == other.n_samples
            and self.bins == other.bins
            and np.array_equal(self.pmf, other.pmf)
        )

    def __hash__(self) -> int:
        return hash((self.bins, self.n_samples, float(self.pmf[0])))

    def __repr__(self) -> str:
        return f"BinnedDistribution({self.bins!r}, {self.effective_bins():.1f} effective bins)"
