"""Exact transport as compiled functions, to be called from a user's own ``@njit`` code; serial, without the GIL.

    from fastdeg.kernels.transport.compiled import emd_matrix, emd_points, emd_sorted

The masses a and b need positive sums and are divided by them; nothing is checked. All arrays are C-contiguous float64.
"""

from __future__ import annotations

import numpy as np

from fastdeg.kernels._jit import kernel
from fastdeg.kernels.transport.dense import price_columns, price_matrix, row_minima, start_dense
from fastdeg.kernels.transport.line import emd_sorted
from fastdeg.kernels.transport.pricing import append_arcs, price
from fastdeg.kernels.transport.simplex import PAUSED, integer_masses, search
from fastdeg.kernels.transport.spatial import block_points, kd_order, merge_clusters
from fastdeg.kernels.transport.start import greedy_basis, refined_basis
from fastdeg.kernels.transport.tree import NONE, PIVOTS, new_tree, refresh_potentials, tree_flows

__all__ = ["emd_matrix", "emd_points", "emd_sorted"]

price_serial = price.serial
price_matrix_serial = price_matrix.serial
CLUSTER, COARSEST, FIRST_ARCS, MORE_ARCS = 4, 60, 6, 3
TOLERANCE = 1e-14
BUDGET = 1 << 60


@kernel
def emd_points(a, b, x, y, metric):
    """Transport of masses a at x (n, d) to b at y (m, d): ``(value, u, v, sources, sinks, flows)``.

    ``metric``: 0 euclidean, 1 sqeuclidean, 2 cityblock, 3 chebyshev. The potentials are feasible for all pairs.
    """
    n, m = a.shape[0], b.shape[0]
    order_x = np.empty(n, np.int64)
    order_y = np.empty(m, np.int64)
    kd_order(x, order_x)
    kd_order(y, order_y)
    mass_x = a[order_x] / a.sum()
    mass_y = b[order_y] / b.sum()
    supply = np.empty(n, np.int64)
    demand = np.empty(m, np.int64)
    integer_masses(mass_x, mass_y, supply, demand)
    levels = [(block_points(x, order_x), block_points(y, order_y), supply, demand)]
    while min(levels[-1][2].shape[0], levels[-1][3].shape[0]) > COARSEST:
        fine_x, fine_y, fine_supply, fine_demand = levels[-1]
        n_x = (fine_supply.shape[0] + CLUSTER - 1) // CLUSTER
        n_y = (fine_demand.shape[0] + CLUSTER - 1) // CLUSTER
        centres_x = np.empty((n_x, fine_x.blocks.shape[1]))
        centres_y = np.empty((n_y, fine_y.blocks.shape[1]))
        sums_x = np.empty(n_x, np.int64)
        sums_y = np.empty(n_y, np.int64)
        merge_clusters(fine_x, fine_supply, CLUSTER, centres_x, sums_x)
        merge_clusters(fine_y, fine_demand, CLUSTER, centres_y, sums_y)
        levels.append(
            (block_points(centres_x, np.arange(n_x)), block_points(centres_y, np.arange(n_y)), sums_x, sums_y)
        )
    coarsest_x, coarsest_y, coarsest_supply, coarsest_demand = levels[-1]
    tree = new_tree(coarsest_supply.shape[0] + coarsest_demand.shape[0])
    greedy_basis(metric, coarsest_x, coarsest_y, coarsest_supply, coarsest_demand, tree)
    row_min = np.empty(n)
    for level in range(len(levels) - 1, -1, -1):
        here_x, here_y, here_supply, here_demand = levels[level]
        n_x, n_y = here_supply.shape[0], here_demand.shape[0]
        u = np.zeros(n_x)
        v = np.zeros(n_y)
        if level < len(levels) - 1:
            above_x, above_y, above_supply, _ = levels[level + 1]
            coarse_u = -tree.potential[: above_supply.shape[0]]
            coarse_v = tree.potential[above_supply.shape[0] :].copy()
            u_new = np.empty(n_x)
            v_new = np.empty(n_y)
            one_x = np.empty((n_x, 1), np.int64), np.empty((n_x, 1))
            one_y = np.empty((n_y, 1), np.int64), np.empty((n_y, 1))
            price_serial(metric, here_x, above_y, u, coarse_v, np.inf, -np.inf, one_x[0], one_x[1], u_new)
            price_serial(metric, here_y, above_x, v, coarse_u, np.inf, -np.inf, one_y[0], one_y[1], v_new)
            u, v = u_new, v_new
            fine_tree = new_tree(n_x + n_y)
            refined_basis(metric, here_x, here_y, u, v, here_supply, here_demand, tree, CLUSTER, fine_tree)
            tree = fine_tree
        row_min = np.empty(n_x)
        _improve_points(metric, here_x, here_y, u, v, tree, row_min)
    value, sources, sinks, flows = _read_plan(tree, mass_x, mass_y)
    u = np.empty(n)
    v = np.empty(m)
    for i in range(n):
        u[order_x[i]] = row_min[i]
    for j in range(m):
        v[order_y[j]] = tree.potential[n + j]
    return value, u, v, order_x[sources], order_y[sinks], flows


@kernel
def _improve_points(metric, x, y, u, v, tree, row_min):
    """Pivots on near arcs, and on those that pricing finds, until there are none."""
    n, m = u.shape[0], v.shape[0]
    column_min = np.empty(m)
    tails = np.empty(0, np.uint32)
    heads = np.empty(0, np.uint32)
    costs = np.empty(0)
    n_arcs = 0
    n_keep = FIRST_ARCS
    threshold = np.inf
    tolerance = -np.inf
    while True:
        arcs_x, costs_x = np.empty((n, min(n_keep, m)), np.int64), np.empty((n, min(n_keep, m)))
        arcs_y, costs_y = np.empty((m, min(n_keep, n)), np.int64), np.empty((m, min(n_keep, n)))
        found = price_serial(metric, x, y, u, v, threshold, tolerance, arcs_x, costs_x, row_min)
        if found == 0:
            return
        found += price_serial(metric, y, x, v, u, threshold, tolerance, arcs_y, costs_y, column_min)
        tails = np.concatenate((tails[:n_arcs], np.empty(found, np.uint32)))
        heads = np.concatenate((heads[:n_arcs], np.empty(found, np.uint32)))
        costs = np.concatenate((costs[:n_arcs], np.empty(found)))
        n_arcs = append_arcs(arcs_x, costs_x, n, False, tails, heads, costs, n_arcs)
        n_arcs = append_arcs(arcs_y, costs_y, n, True, tails, heads, costs, n_arcs)
        threshold = 0.0
        n_keep = MORE_ARCS
        tolerance = TOLERANCE * max(costs.max(), np.abs(tree.potential).max())
        before = tree.info[PIVOTS]
        while search(tree, tails, heads, costs, n_arcs, False, tolerance, BUDGET) == PAUSED:
            pass
        refresh_potentials(tree)
        u = -tree.potential[:n]
        v = tree.potential[n:].copy()
        if tree.info[PIVOTS] == before:
            price_serial(metric, x, y, u, v, threshold, tolerance, arcs_x, costs_x, row_min)
            return


@kernel
def emd_matrix(a, b, cost):
    """Transport of masses a to b for a cost matrix (n, m): ``(value, u, v, sources, sinks, flows)``."""
    n, m = cost.shape
    mass_a = a / a.sum()
    mass_b = b / b.sum()
    tree = new_tree(n + m)
    u = np.empty(n)
    v = np.empty(m)
    start_dense(cost, mass_a, mass_b, v, tree)
    row_minima(cost, v, u)
    row_min = np.empty(n)
    tails = np.empty(0, np.uint32)
    heads = np.empty(0, np.uint32)
    costs = np.empty(0)
    n_arcs = 0
    threshold = np.inf
    tolerance = -np.inf
    columns, column_costs = np.empty((n, min(FIRST_ARCS, m)), np.int64), np.empty((n, min(FIRST_ARCS, m)))
    rows, row_costs = np.empty((m, 1), np.int64), np.empty((m, 1))
    largest = np.abs(cost).max()
    while True:
        found = price_matrix_serial(cost, u, v, threshold, tolerance, columns, column_costs, row_min)
        if found == 0:
            break
        found += price_columns(cost, u, v, tolerance, rows, row_costs)
        tails = np.concatenate((tails[:n_arcs], np.empty(found, np.uint32)))
        heads = np.concatenate((heads[:n_arcs], np.empty(found, np.uint32)))
        costs = np.concatenate((costs[:n_arcs], np.empty(found)))
        n_arcs = append_arcs(columns, column_costs, n, False, tails, heads, costs, n_arcs)
        n_arcs = append_arcs(rows, row_costs, n, True, tails, heads, costs, n_arcs)
        threshold = 0.0
        tolerance = TOLERANCE * max(largest, np.abs(tree.potential).max())
        before = tree.info[PIVOTS]
        while search(tree, tails, heads, costs, n_arcs, False, tolerance, BUDGET) == PAUSED:
            pass
        refresh_potentials(tree)
        u = -tree.potential[:n]
        v = tree.potential[n:].copy()
        if tree.info[PIVOTS] == before:
            price_matrix_serial(cost, u, v, threshold, tolerance, columns, column_costs, row_min)
            break
    value, sources, sinks, flows = _read_plan(tree, mass_a, mass_b)
    return value, row_min, v, sources, sinks, flows


@kernel
def _read_plan(tree, a, b):
    """Value and plan of the tree for the float masses."""
    n, m = a.shape[0], b.shape[0]
    flow = np.empty(n + m)
    tree_flows(tree, np.concatenate((a, -b)), flow)
    sources = np.empty(n + m - 1, np.int64)
    sinks = np.empty(n + m - 1, np.int64)
    flows = np.empty(n + m - 1)
    value = 0.0
    count = 0
    for x in range(n + m):
        if tree.parent[x] != NONE and flow[x] > 0:
            up = tree.direction[x] == 1
            sources[count] = x if up else np.int64(tree.parent[x])
            sinks[count] = np.int64(tree.parent[x]) - n if up else x - n
            flows[count] = flow[x]
            value += flow[x] * tree.cost[x]
            count += 1
    return value, sources[:count], sinks[:count], flows[:count]
