"""The tangent problem where groups of cells keep their masses: p, and its moments in each group."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastdeg.kernels._jit import kernel
from fastdeg.kernels.linalg.elementary import bounded_exp


@kernel
def fill_groups(exponents, group, mass, p, shift):
    """p = mass of the group · exp(exponents) / their sum over the group; shift = the logarithm of sum over mass."""
    n_groups = len(mass)
    peak = np.full(n_groups, -np.inf)
    total = np.zeros(n_groups)
    for x in range(len(group)):
        peak[group[x]] = max(peak[group[x]], exponents[x])
    for x in range(len(group)):
        p[x] = max(exponents[x] - peak[group[x]], -700.0)
    for x in range(len(group)):  # alone: in vector instructions
        p[x] = bounded_exp(p[x])
    for x in range(len(group)):
        total[group[x]] += p[x]
    for k in range(n_groups):
        total[k] = mass[k] / total[k]
        shift[k] = peak[k] - np.log(total[k])
    for x in range(len(group)):
        p[x] *= total[group[x]]


class Features(NamedTuple):
    """Features A of a grid's cells, quadratic along rows (see `row_quadratics`): shapes (n,), (rows, r), (r,)."""

    x: NDArray[np.float64]
    x2: NDArray[np.float64]
    constant: NDArray[np.float64]
    slope: NDArray[np.float64]
    square: NDArray[np.float64]


@kernel
def group_moments(features, p, group, sums):
    """sums[k] = Σ p A over group k."""
    n, r = len(features.x), len(features.square)
    square = features.square
    sums[:] = 0.0
    for row in range(len(features.constant)):
        constant, slope = features.constant[row], features.slope[row]
        x, j = row * n, 0
        while j < n:
            k, one, by_x, by_x2 = group[x + j], 0.0, 0.0, 0.0
            while j < n and group[x + j] == k:  # neighbours mostly are of one group
                one += p[x + j]
                by_x += p[x + j] * features.x[j]
                by_x2 += p[x + j] * features.x2[j]
                j += 1
            total = sums[k]
            for f in range(r):
                total[f] += one * constant[f] + by_x * slope[f] + by_x2 * square[f]
