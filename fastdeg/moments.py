"""Weighted means and population covariances, whole or per label, and the merging of partial ones."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdeg import _checks
from fastdeg._types import ByValue, Float
from fastdeg.distributed import fold, is_collection
from fastdeg.kernels.measure import moments as _kernels


@dataclass(frozen=True, eq=False)
class Moments(ByValue):
    """Total weight, mean and scatter of a set of samples, or of the samples of each label: what `merge` adds up.

    Attributes
    ----------
    weight
        Total weight, a float or (N,).
    mean
        Weighted mean, (d,) or (N, d); 0 where the weight is 0.
    residual
        What rounding to float64 took from the mean: far from the origin, differences of means need it.
    scatter
        Σ w (x − mean)(x − mean)ᵀ, (d, d) or (N, d, d).
    """

    weight: Float
    mean: Float
    residual: Float
    scatter: Float

    @property
    def covariance(self) -> Float:
        """Population covariance (``ddof`` 0): scatter over weight, 0 where the weight is 0."""
        weight = self.weight[..., None, None]
        return np.divide(self.scatter, weight, out=np.zeros_like(self.scatter), where=weight > 0)


def weighted_moments(
    x: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    labels: ArrayLike | None = None,
    n_bins: int | None = None,
    return_occupied: bool = False,
    threads: int | None = None,
) -> tuple[NDArray[Any], ...]:
    """Weighted mean and population covariance of samples, or of the samples of each label.

    Parameters
    ----------
    x : (n, d) array
        Samples. float32 gives float32 results; sums are float64 always. With arrays or data frames of Dask, weights and
        labels have the same chunks; give ``n_bins`` to spare them a pass over the labels.
    weights : (n,) array, optional
        Weights >= 0; only their ratios matter. One each by default.
    labels : (n,) integer array, optional
        Bin of each sample, from 0 to ``n_bins - 1``.
    n_bins : int, optional
        Number of bins; the largest label plus one by default.
    return_occupied : bool
        With labels: also return which bins have weight.
    threads : int, optional
        Threads to use; the result is the same to the last bit for any number.

    Returns
    -------
    mean : (d,) array, or (N, d) with labels
    cov : (d, d) array, or (N, d, d) with labels
        Population covariance (``ddof`` 0). Bins without weight have zeros.
    occupied : (N,) bool array
        Only with ``return_occupied``.

    Raises
    ------
    ValueError
        Where shapes disagree, a number is not finite, a weight is negative, all weights are zero (without labels),
        a label is out of range, or the covariance exceeds the floating-point range.
    TypeError
        Where numbers are not real, or labels not integers.
    MemoryError
        Where the covariances of so many bins do not fit into memory.

    See Also
    --------
    Accumulator : For samples that come in chunks.
    fastdeg.moments.partial_moments, fastdeg.moments.merge : The parts of it, for code of your own.

    References
    ----------
    Chan, Golub, LeVeque, "Algorithms for computing the sample variance", Amer. Statist. 37 (1983).

    Examples
    --------
    >>> import fastdeg as fd
    >>> mean, cov = fd.weighted_moments([[0.0, 0.0], [2.0, 4.0]], weights=[3.0, 1.0])
    >>> mean
    array([0.5, 1. ])
    >>> cov
    array([[0.75, 1.5 ],
           [1.5 , 3.  ]])
    """
    if _checks.flag(return_occupied, "return_occupied") and labels is None:
        raise ValueError("return_occupied: expected labels as well, got None")
    if is_collection(x):
        given: Any = labels
        if labels is not None and n_bins is None:
            n_bins = int(given.max().compute() if is_collection(given) else np.max(given)) + 1
        of_chunk = partial(_moments_of_chunk, n_bins=n_bins, threads=threads or 1)
        part = fold(of_chunk, merge, {"x": x, "weights": weights, "labels": labels})
    else:
        if weights is not None:
            weights = _checks.weights(weights, "weights", "n")
        part = partial_moments(x, weights, labels=labels, n_bins=n_bins, threads=threads)
    if labels is None and not part.weight > 0:
        what = "at least one sample" if weights is None else "weights with a positive total"
        raise ValueError(f"{'x' if weights is None else 'weights'}: expected {what}, got a total of {part.weight!s}")
    dtype = np.float32 if getattr(x, "dtype", None) == np.float32 else np.float64
    occupied = part.weight > 0
    cov = part.scatter  # nobody else's: divided in place
    cov /= np.where(occupied, part.weight, 1.0)[..., None, None]
    if dtype == np.float32 and cov.size and np.abs(cov).max() > np.finfo(np.float32).max:
        raise ValueError(f"x: expected samples whose covariance float32 can hold, got {np.abs(cov).max():g}")
    mean, cov = part.mean.astype(dtype, copy=False), cov.astype(dtype, copy=False)
    return (mean, cov, occupied) if return_occupied else (mean, cov)


def partial_moments(
    x: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    labels: ArrayLike | None = None,
    n_bins: int | None = None,
    threads: int | None = None,
    name: str = "x",
) -> Moments:
    """Moments of one part of the samples, to be merged with those of the others.

    Parameters are those of `weighted_moments`; give ``n_bins`` with labels, since a part may lack the last bins.
    Messages call the samples by the name.
    """
    x = _checks.float_array(x, name, ("n", "d"), finite=False, keep_float32=True)
    n, n_axes = x.shape
    if n_axes == 0:
        raise ValueError(f"{name}: expected at least one axis, got shape (n, 0)")
    hint = f": one for each row of {name}"
    weight_array = np.empty(0)
    if weights is not None:
        weight_array = _checks.float_array(weights, "weights", (n,), finite=False, hint=hint)
    if weights is not None and n and not weight_array.min() >= 0:
        _checks.float_array(weight_array, "weights")
        raise ValueError(f"weights: expected weights >= 0, got {weight_array.min()!s}")
    if labels is None:
        if n_bins is not None:
            raise ValueError(f"n_bins: expected labels as well, got n_bins={n_bins!r} without labels")
        arrays = np.zeros(n_axes), np.zeros(n_axes), np.zeros((n_axes, n_axes))
        total = _kernels.moments(x, weight_array, *arrays, threads=threads, work=n * n_axes * n_axes)
        result = Moments(np.asarray(total), *arrays)
    else:
        of_bins = "labels" if n_bins is None else "n_bins"
        label_array, n_bins = _labels(labels, n, n_bins)
        _checks.memory(16.0 * n_bins * (1 + n_axes) ** 2, of_bins)
        totals, shape = np.zeros(n_bins), (n_bins, n_axes)
        arrays = np.zeros(shape), np.zeros(shape), np.zeros((*shape, n_axes))
        _kernels.label_moments(x, weight_array, label_array, totals, *arrays, threads=threads, work=n * n_axes * n_axes)
        result = Moments(totals, *arrays)
    if not np.isfinite(result.scatter).all() or not np.isfinite(result.weight).all():
        _checks.float_array(x, name)
        _checks.float_array(weight_array, "weights")
        raise ValueError(f"{name}, weights: expected samples with moments in the floating-point range, got others")
    return result


def _moments_of_chunk(x: Any, weights: Any, labels: Any, **options: Any) -> Moments:
    return partial_moments(x, weights, labels=labels, **options)


def merge(*parts: Moments) -> Moments:
    """Moments of the union of several parts, merged in the order given.

    Examples
    --------
    >>> from fastdeg.moments import merge, partial_moments
    >>> whole = merge(partial_moments([[1.0], [2.0]]), partial_moments([[6.0]]))
    >>> float(whole.weight), whole.mean, whole.covariance
    (3.0, array([3.]), array([[4.66666667]]))
    """
    if not parts:
        raise ValueError("parts: expected at least one part, got none")
    for part in parts:
        if not isinstance(part, Moments):
            raise TypeError(f"parts: expected what partial_moments returns, got {type(part).__name__}")
    shape = parts[0].scatter.shape
    n_axes = shape[-1]
    n_sets = int(np.prod(shape[:-2]))
    weight, mean = np.zeros(n_sets), np.zeros((n_sets, n_axes))
    residual, scatter = np.zeros((n_sets, n_axes)), np.zeros((n_sets, n_axes, n_axes))
    for part in parts:
        if part.scatter.shape != shape:
            raise ValueError(f"parts: expected scatters of shape {shape}, got {part.scatter.shape}")
        other = (part.weight.reshape(n_sets), part.mean.reshape(mean.shape), part.residual.reshape(mean.shape))
        _kernels.merge_all(weight, mean, residual, scatter, *other, part.scatter.reshape(scatter.shape))
    return Moments(
        weight.reshape(shape[:-2]), mean.reshape(shape[:-1]), residual.reshape(shape[:-1]), scatter.reshape(shape)
    )


def _labels(labels: ArrayLike, n: int, n_bins: int | None) -> tuple[NDArray[np.int64], int]:
    if n_bins is not None:
        n_bins = _checks.integer(n_bins, "n_bins", 1)
    array = _checks.index_array(labels, "labels", (n,), n_bins, hint=": one for each row of x")
    return array, int(array.max(initial=-1)) + 1 if n_bins is None else n_bins
