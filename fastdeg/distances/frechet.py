"""Fréchet (Gaussian Wasserstein-2) distances from means and covariances."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdeg import _checks
from fastdeg._threads import thread_count
from fastdeg._types import Float
from fastdeg.kernels.measure.frechet import frechet_block, frechet_many
from fastdeg.kernels.measure.frechet_small import (
    ASYMMETRIC,
    BLOCK,
    INDEFINITE,
    MOST_AXES,
    NOT_FINITE,
    frechet_block_small,
    frechet_many_small,
)

OF_ROWS = " for the axes of mean1; of rows it is np.cov(x, rowvar=False)"
_PROBLEMS = {
    ASYMMETRIC: "a symmetric matrix",
    INDEFINITE: "a positive semidefinite matrix",
    NOT_FINITE: "finite numbers with a finite trace",
}


def frechet_distance(
    mean1: ArrayLike, cov1: ArrayLike, mean2: ArrayLike, cov2: ArrayLike, *, squared: bool = True
) -> float:
    """Fréchet distance between two Gaussians.

    ‖μ₁ − μ₂‖² + tr Σ₁ + tr Σ₂ − 2 tr (Σ₂^½ Σ₁ Σ₂^½)^½, or its root: the Wasserstein-2 distance of the two.

    Parameters
    ----------
    mean1, mean2 : (d,) arrays
    cov1, cov2 : (d, d) arrays
        Symmetric, positive semidefinite; singular ones are fine.
    squared : bool
        False takes the root.

    Returns
    -------
    float
        Never negative. Well-conditioned: right to 1e-9 relative; singular: to 1e-7 of the traces.

    Raises
    ------
    ValueError
        Where shapes disagree, a number or the distance is not finite, or a covariance is neither symmetric nor positive
        semidefinite.

    See Also
    --------
    frechet_distances : Of many Gaussians to one.
    weighted_moments : Means and covariances of samples.

    References
    ----------
    Dowson, Landau, "The Fréchet distance between multivariate normal distributions", J. Multivar. Anal. 12 (1982).

    Examples
    --------
    >>> import fastdeg as fd
    >>> fd.frechet_distance([0.0], [[1.0]], [3.0], [[4.0]])
    10.0
    """
    mean1 = _checks.float_array(mean1, "mean1", ("d",))
    n_axes = mean1.shape[0]
    cov1 = _checks.float_array(cov1, "cov1", (n_axes, n_axes), hint=OF_ROWS)
    mean2 = _checks.float_array(mean2, "mean2", (n_axes,))
    cov2 = _checks.float_array(cov2, "cov2", (n_axes, n_axes), hint=OF_ROWS)
    out = _many(mean1[None], cov1[None], mean2, cov2, ("mean1", "cov1", "mean2", "cov2"), threads=1)
    return float(out[0] if _checks.flag(squared, "squared") else np.sqrt(out[0]))


def frechet_distances(
    means: ArrayLike,
    covs: ArrayLike,
    mean: ArrayLike,
    cov: ArrayLike,
    *,
    squared: bool = True,
    threads: int | None = None,
) -> NDArray[Any]:
    """Fréchet distances of many Gaussians to one.

    Parameters
    ----------
    means : (N, d) array
    covs : (N, d, d) array
        float32 means and covariances give float32 results; the arithmetic is float64.
    mean : (d,) array
    cov : (d, d) array
    squared : bool
        False takes the root.
    threads : int, optional
        Threads to use; the result is the same to the last bit for any number.

    Returns
    -------
    (N,) array
        As `frechet_distance` of each.

    Raises
    ------
    ValueError
        As `frechet_distance`; names the first covariance that is wrong.

    See Also
    --------
    frechet_distance : Of two.

    Examples
    --------
    >>> import fastdeg as fd
    >>> fd.frechet_distances([[0.0], [1.0]], [[[1.0]], [[0.0]]], [3.0], [[4.0]])
    array([10.,  8.])
    """
    means = _checks.float_array(means, "means", ("N", "d"), finite=False, keep_float32=True)
    n, n_axes = means.shape
    hint = ": one for each of means"
    covs = _checks.float_array(covs, "covs", (n, n_axes, n_axes), finite=False, keep_float32=True, hint=hint)
    if means.dtype != covs.dtype:
        means, covs = means.astype(np.float64), covs.astype(np.float64)
    mean = _checks.float_array(mean, "mean", (n_axes,))
    cov = _checks.float_array(cov, "cov", (n_axes, n_axes))
    out = _many(means, covs, mean, cov, ("means", "covs", "mean", "cov"), threads=threads)
    return out if _checks.flag(squared, "squared") else np.sqrt(out, out=out)


def frechet_of_factors(offset: Float, f: Float, g: Float) -> float:
    """Squared Fréchet distance between Gaussians whose means differ by the offset, with covariances fᵀf and gᵀg.

    By LAPACK: for one distance in a process, the kernels take seconds to compile.
    """
    root, other_root = float(np.linalg.norm(f)), float(np.linalg.norm(g))
    share = 1.0
    if root > 0 and other_root > 0:
        share = min(1.0, np.linalg.svd((f / root) @ (g / other_root).T, compute_uv=False).sum())
    return float(offset @ offset + (root - other_root) ** 2 + 2 * root * other_root * (1 - share))


def _many(
    means: NDArray[Any],
    covs: NDArray[Any],
    mean: Float,
    cov: Float,
    names: tuple[str, str, str, str],
    threads: int | None,
) -> NDArray[Any]:
    n, n_axes = means.shape
    if n_axes == 0:
        raise ValueError(f"{names[0]}: expected at least one axis, got none")
    out = np.empty(n, means.dtype)
    small = n_axes <= MOST_AXES
    if n <= BLOCK and thread_count(threads, 0):  # the same, with less to compile
        wrong, status = (frechet_block_small if small else frechet_block)(means, covs, 0, n, mean, cov, out)
    else:
        function = frechet_many_small if small else frechet_many
        wrong, status = function(means, covs, mean, cov, out, threads=threads, work=20 * n * n_axes**3)
    if wrong >= 0:
        where = names[3] if wrong == n else names[1] if n == 1 else f"{names[1]}[{wrong}]"
        raise ValueError(f"{where}: expected {_PROBLEMS[status]}, got one that is not")
    if not np.isfinite(out).all():
        _checks.float_array(means, names[0])
        raise ValueError(
            f"{', '.join(names)}: expected Gaussians whose distance is within the floating-point range, got larger"
        )
    return out
