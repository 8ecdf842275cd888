"""Many small transports between masses of the same points, side by side: their values alone."""

from __future__ import annotations

import numpy as np
from numba import prange

from fastdeg.kernels._jit import kernel, parallel_kernel
from fastdeg.kernels.transport.cost_matrix import column_minima, greedy_basis_of_rows
from fastdeg.kernels.transport.network.initial_basis import tree_of
from fastdeg.kernels.transport.network.pricing import Arcs
from fastdeg.kernels.transport.network.simplex import OPTIMAL, search_to_the_end
from fastdeg.kernels.transport.network.tree import read_plan


@kernel
def _value(a, b, cost, common_stays, tolerance):
    """Cost of the optimal plan of masses of sum one, NaN where costs are beyond floating point; see `solve_small`."""
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
    mass_a, mass_b = left_a[:n], left_b[:m]
    for i in range(n):
        mass_a[i] /= moved
    for j in range(m):
        mass_b[j] /= taken
    own, largest = np.empty((n, m)), 0.0
    tails, heads = np.empty(n * m, np.uint32), np.empty(n * m, np.uint32)
    for i in range(n):
        for j in range(m):
            c = cost[rows[i], columns[j]]
            own[i, j] = c
            largest = max(largest, abs(c))
            tails[i * m + j] = i
            heads[i * m + j] = n + j
    v = np.empty(m)
    column_minima(own, v)
    tree, _ = tree_of(greedy_basis_of_rows(own, mass_a, mass_b, np.arange(n), v))
    for k in range(n + m):
        largest = max(largest, abs(tree.potential[k]))
    if search_to_the_end(tree, Arcs(tails, heads, own.reshape(n * m)), tolerance < 0, tolerance * largest) != OPTIMAL:
        return np.nan
    return read_plan(tree, mass_a, mass_b)[0] * moved


@parallel_kernel
def pair_values(p, q, cost, pairs, half, common_stays, tolerance, out):
    """Write the values of the pairs number first to last - 1 of rows of p and q into out (K, L).

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
