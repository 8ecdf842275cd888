"""Many small transports between masses of the same points, side by side: their values alone."""

from __future__ import annotations

import numpy as np
from numba import prange

from fastdeg.kernels._jit import kernel, parallel_kernel
from fastdeg.kernels.transport.cost_matrix import NEAR_ZERO, OPEN, below_cap, lower_cap
from fastdeg.kernels.transport.network.simplex import OPTIMAL
from fastdeg.kernels.transport.small import solve_small


@kernel
def _value(a, b, cost, common_stays, tolerance):
    """Cost of the optimal plan of masses of sum one, NaN where rounding may have spoilt it; see `solve_small`."""
    n_points = a.shape[0]
    rows, columns = np.empty(n_points, np.int64), np.empty(n_points, np.int64)
    left_a, left_b = np.empty(n_points), np.empty(n_points)
    n, m = 0, 0
    moved, taken = 0.0, 0.0
    for i in range(n_points):
        common = min(a[i], b[i]) if common_stays else 0.0
        if a[i] > common:
            rows[n] = i
            left_a[n] = a[i] - common
            moved += left_a[n]
            n += 1
        if b[i] > common:
            columns[m] = i
            left_b[m] = b[i] - common
            taken += left_b[m]
            m += 1
    if n == 0 or m == 0:
        return 0.0
    mass_a, mass_b, own = left_a[:n], left_b[:m], np.empty((n, m))
    for i in range(n):
        mass_a[i] /= moved
    for j in range(m):
        mass_b[j] /= taken
    largest = -np.inf
    for i in range(n):
        for j in range(m):
            own[i, j] = cost[rows[i], columns[j]]
            largest = max(largest, own[i, j])
    none, metric, stays = np.empty((0, 0)), np.int64(0), n < 0  # no literals: these were other kernels
    status, _, u, v, plan = solve_small(mass_a, mass_b, none, none, own, metric, stays, tolerance)
    (value, _, _, _), _, used, noise = below_cap(own, np.inf, plan, mass_a, mass_b)
    dual = 0.0
    for i in range(n):
        dual += mass_a[i] * u[i]
    for j in range(m):
        dual += mass_b[j] * v[j]
    closed = value - dual <= max(OPEN * abs(value), NEAR_ZERO * largest)
    if status != OPTIMAL or not closed or lower_cap(largest, mass_a, mass_b, u, v, value, used, noise) != largest:
        return np.nan
    return value * moved


@parallel_kernel
def pair_values(p, q, cost, pairs, half, common_stays, tolerance, out):
    """Write the values of the pairs number first to last - 1 of rows of p and q into out (K, L), NaN where in doubt.

    ``half``: p and q are the same and costs symmetric; pairs are those of the lower triangle, written on both sides.
    """
    first, last = pairs
    n_columns = q.shape[0]
    for k in prange(last - first):
        t = first + k
        if half:
            i = np.int64((np.sqrt(8.0 * t + 1.0) - 1.0) / 2.0)
            while i * (i + 1) // 2 > t:  # rounding of the root
                i -= 1
            while (i + 1) * (i + 2) // 2 <= t:
                i += 1
            j = t - i * (i + 1) // 2
        else:
            i = t // n_columns
            j = t - i * n_columns
        value = _value(p[i], q[j], cost, common_stays, tolerance)
        out[i, j] = value
        if half:
            out[j, i] = value
