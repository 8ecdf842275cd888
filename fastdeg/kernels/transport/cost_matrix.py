"""Exact transport for a given cost matrix: network simplex with arcs added where they are needed."""

from __future__ import annotations

import numpy as np
from numba import prange

from fastdeg.kernels._jit import kernel, parallel_kernel
from fastdeg.kernels.transport.network.initial_basis import ship_row
from fastdeg.kernels.transport.network.simplex import UNBOUNDED, integer_masses, search_to_the_end
from fastdeg.kernels.transport.network.tree import build_tree

ROWS = 16  # rows of a block of the parallel loop
SEGMENT = 64  # columns looked at together


@kernel
def start_dense(cost, a, b, order, v, tree):
    """First basis for the cost matrix: each row in the given order ships to the open columns of least ``cost - v``."""
    n, m = cost.shape
    supply = np.empty(n, np.int64)
    demand = np.empty(m, np.int64)
    integer_masses(a, b, supply, demand)
    tails = np.empty(n + m, np.uint32)
    heads = np.empty(n + m, np.uint32)
    flows = np.empty(n + m, np.int64)
    costs = np.empty(n + m)
    open_sinks = np.arange(m)
    n_open = m
    n_arcs = 0
    for i in order:
        n_arcs, n_open = ship_row(cost[i], v, i, supply, demand, open_sinks, n_open, tails, heads, flows, costs, n_arcs)
    return build_tree(tree, tails, heads, flows, costs)


@kernel
def column_minima(cost, v):
    """``v[j] = min_i cost[i, j]``."""
    n, m = cost.shape
    for j in range(m):
        v[j] = np.inf
    for i in range(n):
        for j in range(m):
            v[j] = cost[i, j] if cost[i, j] < v[j] else v[j]


@kernel
def regrets(cost, v, out):
    """What each row loses, at least, where it cannot have the column of least ``cost - v``."""
    n, m = cost.shape
    for i in range(n):
        least, second = np.inf, np.inf
        for j in range(m):
            value = cost[i, j] - v[j]
            second = min(second, max(value, least))
            least = min(least, value)
        out[i] = second - least


@kernel
def row_minima(cost, v, u):
    """``u[i] = min_j cost[i, j] - v[j]``: the largest u that is dual feasible with v."""
    n, m = cost.shape
    for i in range(n):
        best = np.inf
        for j in range(m):
            value = cost[i, j] - v[j]
            best = value if value < best else best
        u[i] = best


@parallel_kernel
def price_matrix(cost, u, v, threshold, tolerance, arcs, arc_costs, row_min):
    """For each row i the columns of least reduced cost ``cost - u_i - v_j``, if it is below ``-tolerance``.

    Columns, costs and ``row_min[i] = min(threshold + u_i, min_j cost_ij - v_j)`` as `pricing.price` gives them.
    """
    n = cost.shape[0]
    found = np.zeros((n + ROWS - 1) // ROWS, np.int64)
    for block in prange(found.shape[0]):
        for i in range(block * ROWS, min(n, block * ROWS + ROWS)):
            found[block] += _price_row(cost[i], u[i], v, threshold, tolerance, arcs[i], arc_costs[i], row_min, i)
    return found.sum()


@kernel
def _price_row(row, u, v, threshold, tolerance, arcs, arc_costs, row_min, i):
    m = row.shape[0]
    n_keep = arcs.shape[0]
    kept = np.full(n_keep, threshold + u)
    limit = threshold + u
    arcs[:] = -1
    for start in range(0, m, SEGMENT):
        end = min(m, start + SEGMENT)
        count = 0
        for j in range(start, end):
            count += row[j] - v[j] < limit
        if count == 0:
            continue
        for j in range(start, end):
            value = row[j] - v[j]
            if value < limit:
                k = n_keep - 1
                while k > 0 and kept[k - 1] > value:
                    kept[k] = kept[k - 1]
                    arcs[k] = arcs[k - 1]
                    k -= 1
                kept[k] = value
                arcs[k] = j
                limit = kept[n_keep - 1]
    row_min[i] = kept[0]
    found = 0
    for k in range(n_keep):
        if kept[k] < u - tolerance:
            arc_costs[k] = row[arcs[k]]
            found += 1
        else:
            arcs[k] = -1
    return found


@kernel
def price_columns(cost, u, v, tolerance, arcs, arc_costs):
    """For each column the row of least reduced cost, if that is below ``-tolerance``; returns the number found."""
    n, m = cost.shape
    best = np.empty(m)
    rows = np.full(m, -1)
    for j in range(m):
        best[j] = v[j] - tolerance
    for i in range(n):
        for j in range(m):
            value = cost[i, j] - u[i]
            if value < best[j]:
                best[j] = value
                rows[j] = i
    found = 0
    for j in range(m):
        arcs[j, 0] = rows[j]
        if rows[j] >= 0:
            arc_costs[j, 0] = cost[rows[j], j]
            found += 1
    return found


@kernel
def solve_with_all_arcs(cost, a, b, tolerance, u, v, tree):
    """Optimal tree and potentials for a small matrix, all of whose arcs are in the list from the start.

    ``tolerance``: reduced costs below this share of the largest cost or potential are rounding. Returns a status.
    """
    n, m = cost.shape
    column_minima(cost, v)
    if not start_dense(cost, a, b, np.arange(n), v, tree):
        return UNBOUNDED
    tails = np.empty(n * m, np.uint32)
    heads = np.empty(n * m, np.uint32)
    costs = np.empty(n * m)
    for i in range(n):
        for j in range(m):
            tails[i * m + j] = i
            heads[i * m + j] = n + j
            costs[i * m + j] = cost[i, j]
    largest = max(np.abs(costs).max(), np.abs(tree.potential).max())
    status = search_to_the_end(tree, tails, heads, costs, False, tolerance * largest)
    v[:] = tree.potential[n:]
    row_minima(cost, v, u)
    return status
