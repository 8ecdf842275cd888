"""Exact transport for a given cost matrix: network simplex with arcs added where they are needed."""

from __future__ import annotations

import numpy as np
from numba import prange

from fastdeg.kernels._jit import driver, kernel, parallel_kernel
from fastdeg.kernels.transport.network.initial_basis import no_shipments, ship_row
from fastdeg.kernels.transport.network.simplex import integer_masses

ROWS = 16  # rows of a block of the parallel loop
ROUNDING = 1e-15  # of sums of masses whose total is one, times the square root of their number
ABOVE = 4.0  # a cap, over the costs that matter
RISE = 1000.0  # of a cap that is too low; how much lower one has to be to be worth another solution
EPSILON = 2e-16
CLOSED = 1e-12  # relative gap that is rounding
OPEN = 1e-9  # relative gap from which on a result is not called exact
NEAR_ZERO = 1e-15  # rounding of potentials, in the gap of a value near 0


@driver
def greedy_basis_of_rows(cost, a, b, order, v):
    """Each row in the given order ships to the open columns of least ``cost - v``."""
    supply, demand = np.empty(a.shape[0], np.int64), np.empty(b.shape[0], np.int64)
    integer_masses(a, b, supply, demand)
    made = no_shipments(supply, demand)
    _ship_rows(cost, order, v, made)
    return made


@kernel
def _ship_rows(cost, order, v, made):
    for i in order:
        ship_row(made, i, cost[i], v)


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
def price_matrix(cost, u, v, threshold, tolerance, found):
    """For each row i the columns of least reduced cost ``cost - u_i - v_j``, as `pricing.price` finds them."""
    n = cost.shape[0]
    counts = np.zeros((n + ROWS - 1) // ROWS, np.int64)
    for block in prange(counts.shape[0]):
        for i in range(block * ROWS, min(n, block * ROWS + ROWS)):
            counts[block] += _price_row(cost[i], u[i], v, threshold, tolerance, i, found)
    return counts.sum()


@kernel
def _price_row(row, u, v, threshold, tolerance, i, found):
    arcs, arc_costs = found.columns[i], found.costs[i]
    m = row.shape[0]
    n_keep = arcs.shape[0]
    kept = np.full(n_keep, threshold + u)
    limit = threshold + u
    arcs[:] = -1
    for j in range(m):
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
    found.row_min[i] = kept[0]
    count = 0
    for k in range(n_keep):
        if kept[k] < u - tolerance:
            arc_costs[k] = row[arcs[k]]
            count += 1
        else:
            arcs[k] = -1
    return count


@kernel
def price_columns(cost, u, v, tolerance, found):
    """For each column the row of least reduced cost, if that is below ``-tolerance``."""
    n, m = cost.shape
    best, rows = found.row_min, found.columns[:, 0]
    for j in range(m):
        best[j] = v[j] - tolerance
        rows[j] = -1
    for i in range(n):
        for j in range(m):
            value = cost[i, j] - u[i]
            if value < best[j]:
                best[j] = value
                rows[j] = i
    for j in range(m):
        if rows[j] >= 0:
            found.costs[j, 0] = cost[rows[j], j]


@kernel
def largest_finite(cost):
    """The largest absolute cost but infinity."""
    largest = 0.0
    for row in cost:
        for c in row:
            if largest < abs(c) < np.inf:
                largest = abs(c)
    return largest


@kernel
def below_cap(cost, cap, plan, a, b):
    """The plan's part on pairs that cost no more than the cap; the mass beyond; largest cost used; cost of rounding.

    Flows are sums of masses, and the smallest of them what is left of these by rounding; unless it is all of a mass.
    """
    _, sources, sinks, flows = plan
    least = ROUNDING * np.sqrt(a.shape[0] + b.shape[0])
    value, beyond, used, noise, count = 0.0, 0.0, 0.0, 0.0, 0
    n = flows.shape[0]
    from_, to, amounts = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n)
    for k in range(n):
        i, j, flow = sources[k], sinks[k], flows[k]
        c = cost[i, j]
        is_rounding = flow <= least and flow != a[i] and flow != b[j]
        if c > cap:
            beyond += 0.0 if is_rounding else flow
            continue
        from_[count], to[count], amounts[count] = i, j, flow
        count += 1
        value += flow * c
        if is_rounding:
            noise += flow * abs(c)
        else:
            used = max(used, abs(c))
    return (value, from_[:count], to[:count], amounts[:count]), beyond, used, noise


@kernel
def lower_cap(cap, a, b, u, v, value, used, noise):
    """A cap nearer to the costs that matter, where rounding may have spoilt the value; else the same."""
    dual, size = 0.0, 0.0
    for i in range(a.shape[0]):
        dual += a[i] * u[i]
        size += a[i] * abs(u[i])
    for j in range(b.shape[0]):
        dual += b[j] * v[j]
        size += b[j] * abs(v[j])
    closer = ABOVE * used if used > 0 else cap / RISE**3
    spoilt = max(value - dual, noise, EPSILON * size) > CLOSED * abs(value)
    return closer if spoilt and closer * RISE < cap else cap
