"""From what is said of patches to what is said of the photographs they were cut from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from fastdeg._types import Float


def group_means(x: Float, owners: NDArray[np.int64], n: int) -> Float:
    """Return the mean of the rows of each owner, (n, d), zero where it has none."""
    totals = np.stack([np.bincount(owners, column, minlength=n) for column in x.T], axis=1)
    return totals / np.maximum(np.bincount(owners, minlength=n), 1)[:, None]


def lower_half_means(x: Float, owners: NDArray[np.int64], n: int) -> Float:
    """Return, column by column, the mean of the lower half (and the middle one) of each owner's rows, (n, d)."""
    counts = np.bincount(owners, minlength=n)
    starts = np.cumsum(counts) - counts
    out = np.empty((n, x.shape[1]))
    for k, column in enumerate(x.T):
        order = np.lexsort((column, owners))
        owner = owners[order]
        lower = np.arange(len(order)) - starts[owner] < (counts[owner] + 1) // 2
        out[:, [k]] = group_means(column[order][lower, None], owner[lower], n)
    return out


def lower_half_expectations(counts: NDArray[np.int64]) -> Float:
    """Return the expected mean of the lower half (and the middle one) of so many standard normal numbers, (n,).

    Blom, Statistical Estimates and Transformed Beta-Variables, 1958, says where order statistics are expected.
    """
    distinct, place = np.unique(counts, return_inverse=True)
    means = [ndtri((np.arange((n + 1) // 2) + 0.625) / (n + 0.25)).mean() if n > 1 else 0.0 for n in distinct]
    return np.array(means)[place]


def lower_half_variances(counts: NDArray[np.int64]) -> Float:
    """Return the variance of the mean of the lower half of so many standard normal numbers, for many of them, (n,)."""
    return np.where(counts > 1, 2 * (1 - 1 / np.pi), 1.0) / np.maximum(counts, 1)
