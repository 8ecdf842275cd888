"""Exact transport as compiled functions, to be called from a user's own ``@njit`` code; serial, without the GIL.

    from fastdeg.kernels.transport.compiled import emd_grid, emd_matrix, emd_points, emd_sorted, sinkhorn

The masses a and b need positive sums and are divided by them; nothing is checked. All arrays are C-contiguous float64.
"""

from __future__ import annotations

import numpy as np

from fastdeg.kernels._jit import kernel
from fastdeg.kernels.transport.cost_matrix import column_minima, price_columns, price_matrix, row_minima, start_dense
from fastdeg.kernels.transport.grid import COARSEST as COARSEST_GRID
from fastdeg.kernels.transport.grid import (
    balanced_integers,
    edge_preference,
    grid_edges,
    grid_tree,
    halve_grid,
    lower_to_lipschitz,
    match_on_tree,
)
from fastdeg.kernels.transport.line import emd_sorted
from fastdeg.kernels.transport.network.initial_basis import greedy_basis, refined_basis
from fastdeg.kernels.transport.network.pricing import append_arcs, price
from fastdeg.kernels.transport.network.simplex import integer_masses, search_to_the_end
from fastdeg.kernels.transport.network.tree import PIVOTS, build_tree, new_tree, read_plan, tree_flows
from fastdeg.kernels.transport.sinkhorn import (
    absorb,
    finish_scaling,
    gibbs_kernel,
    new_scaling,
    scale_rows,
    soft_transform,
)
from fastdeg.kernels.transport.spatial import block_points, cluster_sizes, kd_order, merge_clusters

__all__ = ["emd_grid", "emd_matrix", "emd_points", "emd_sorted", "sinkhorn"]

price_serial = price.serial
price_matrix_serial = price_matrix.serial
gibbs_kernel_serial = gibbs_kernel.serial
scale_rows_serial = scale_rows.serial
soft_transform_serial = soft_transform.serial
FIRST_ARCS, MORE_ARCS = 6, 3
TOLERANCE = 1e-14


@kernel
def emd_points(a, b, x, y, metric):
    """Transport of masses a at x (n, d) to b at y (m, d): ``(value, u, v, sources, sinks, flows)``.

    ``metric``: 0 euclidean, 1 sqeuclidean, 2 cityblock, 3 chebyshev. The potentials are feasible for all pairs.
    """
    few, many = _in_order(a, x), _in_order(b, y)
    swapped = a.shape[0] > b.shape[0]
    if swapped:
        few, many = many, few
    order_x, mass_x, points_x = few
    order_y, mass_y, points_y = many
    n, m = mass_x.shape[0], mass_y.shape[0]
    supply = np.empty(n, np.int64)
    demand = np.empty(m, np.int64)
    integer_masses(mass_x, mass_y, supply, demand)
    levels = [(points_x, points_y, supply, demand)]
    while cluster_sizes(levels[-1][2].shape[0], levels[-1][3].shape[0])[1] > 1:
        fine_x, fine_y, fine_supply, fine_demand = levels[-1]
        leaf_x, leaf_y = cluster_sizes(fine_supply.shape[0], fine_demand.shape[0])
        merged_x, sums_x = _merged(fine_x, fine_supply, leaf_x)
        merged_y, sums_y = _merged(fine_y, fine_demand, leaf_y)
        levels.append((merged_x, merged_y, sums_x, sums_y))
    coarsest_x, coarsest_y, coarsest_supply, coarsest_demand = levels[-1]
    tree = new_tree(coarsest_supply.shape[0] + coarsest_demand.shape[0])
    tails, heads, flows, costs = _new_basis(coarsest_supply.shape[0] + coarsest_demand.shape[0])
    greedy_basis(metric, coarsest_x, coarsest_y, coarsest_supply, coarsest_demand, tails, heads, flows, costs)
    build_tree(tree, tails, heads, flows, costs)
    row_min = np.empty(n)
    for level in range(len(levels) - 1, -1, -1):
        here_x, here_y, here_supply, here_demand = levels[level]
        n_x, n_y = here_supply.shape[0], here_demand.shape[0]
        u = np.zeros(n_x)
        v = np.zeros(n_y)
        if level < len(levels) - 1:
            above_x, above_y, above_supply, _ = levels[level + 1]
            leaf_x, leaf_y = cluster_sizes(n_x, n_y)
            coarse_u = -tree.potential[: above_supply.shape[0]]
            coarse_v = tree.potential[above_supply.shape[0] :].copy()
            one_y = np.empty((n_y, 1), np.int64), np.empty((n_y, 1))
            v_new = np.empty(n_y)
            price_serial(metric, here_y, above_x, v, coarse_u, np.inf, -np.inf, one_y[0], one_y[1], v_new)
            if leaf_x == 1:
                u = coarse_u
            else:
                one_x = np.empty((n_x, 1), np.int64), np.empty((n_x, 1))
                u_new = np.empty(n_x)
                price_serial(metric, here_x, above_y, u, coarse_v, np.inf, -np.inf, one_x[0], one_x[1], u_new)
                u = u_new
            v = v_new
            tails, heads, flows, costs = _new_basis(n_x + n_y)
            refined_basis(
                metric, here_x, here_y, u, v, here_supply, here_demand, tree, leaf_x, leaf_y, tails, heads, flows, costs
            )
            tree = new_tree(n_x + n_y)
            build_tree(tree, tails, heads, flows, costs)
        row_min = np.empty(n_x)
        _improve_points(metric, here_x, here_y, u, v, tree, row_min)
    value, sources, sinks, flows = read_plan(tree, mass_x, mass_y)
    u = np.empty(n)
    v = np.empty(m)
    for i in range(n):
        u[order_x[i]] = row_min[i]
    for j in range(m):
        v[order_y[j]] = tree.potential[n + j]
    sources, sinks = order_x[sources], order_y[sinks]
    if swapped:
        return value, v, u, sinks, sources, flows
    return value, u, v, sources, sinks, flows


@kernel
def _in_order(masses, points):
    """Spatial order of the points, with masses of sum one and the points in that order."""
    order = np.empty(masses.shape[0], np.int64)
    kd_order(points, order)
    return order, masses[order] / masses.sum(), block_points(points, order)


@kernel
def _merged(points, masses, leaf):
    """Clusters of `leaf` points in a row, and their masses."""
    if leaf == 1:
        return points, masses
    count = (masses.shape[0] + leaf - 1) // leaf
    centres = np.empty((count, points.blocks.shape[1]))
    sums = np.empty(count, np.int64)
    merge_clusters(points, masses, leaf, centres, sums)
    return block_points(centres, np.arange(count)), sums


@kernel
def _new_basis(n_nodes):
    return np.empty(n_nodes, np.uint32), np.empty(n_nodes, np.uint32), np.empty(n_nodes, np.int64), np.empty(n_nodes)


@kernel
def _improve_points(metric, x, y, u, v, tree, row_min):
    """Pivots on near arcs, and on those that pricing finds, until there are none."""
    n, m = u.shape[0], v.shape[0]
    column_min = np.empty(m)
    arcs = _no_arcs()
    n_keep = FIRST_ARCS
    threshold = np.inf
    tolerance = -np.inf
    improved = True
    while True:
        by_row = np.empty((n, min(n_keep, m)), np.int64), np.empty((n, min(n_keep, m)))
        by_column = np.empty((m, min(n_keep, n)), np.int64), np.empty((m, min(n_keep, n)))
        if price_serial(metric, x, y, u, v, threshold, tolerance, by_row[0], by_row[1], row_min) == 0 or not improved:
            return
        price_serial(metric, y, x, v, u, threshold, tolerance, by_column[0], by_column[1], column_min)
        arcs, tolerance, improved = _pivot_on(tree, n, by_row, by_column, arcs)
        u = -tree.potential[:n]
        v = tree.potential[n:].copy()
        threshold = 0.0
        n_keep = MORE_ARCS


@kernel
def emd_matrix(a, b, cost):
    """Transport of masses a to b for a cost matrix (n, m): ``(value, u, v, sources, sinks, flows)``."""
    n, m = cost.shape
    mass_a = a / a.sum()
    mass_b = b / b.sum()
    tree = new_tree(n + m)
    u = np.empty(n)
    v = np.empty(m)
    column_minima(cost, v)
    start_dense(cost, mass_a, mass_b, np.arange(n), v, tree)
    row_minima(cost, v, u)
    row_min = np.empty(n)
    arcs = _no_arcs()
    by_row = np.empty((n, min(FIRST_ARCS, m)), np.int64), np.empty((n, min(FIRST_ARCS, m)))
    by_column = np.empty((m, 1), np.int64), np.empty((m, 1))
    threshold = np.inf
    tolerance = -np.inf
    improved = True
    while True:
        found = price_matrix_serial(cost, u, v, threshold, tolerance, by_row[0], by_row[1], row_min)
        if found == 0 or not improved:
            break
        price_columns(cost, u, v, tolerance, by_column[0], by_column[1])
        arcs, tolerance, improved = _pivot_on(tree, n, by_row, by_column, arcs)
        u = -tree.potential[:n]
        v = tree.potential[n:].copy()
        threshold = 0.0
    value, sources, sinks, flows = read_plan(tree, mass_a, mass_b)
    return value, row_min, v, sources, sinks, flows


@kernel
def _no_arcs():
    return np.empty(0, np.uint32), np.empty(0, np.uint32), np.empty(0)


@kernel
def _pivot_on(tree, n, by_row, by_column, arcs):
    """Add the arcs that pricing found, pivot to the end; the arcs, what counts as rounding, whether there were pivots.

    ``by_row`` and ``by_column``: what pricing of the rows (sources) and of the columns filled, arcs and their costs.
    """
    n_arcs = arcs[0].shape[0]
    room = by_row[0].size + by_column[0].size
    tails = np.concatenate((arcs[0], np.empty(room, np.uint32)))
    heads = np.concatenate((arcs[1], np.empty(room, np.uint32)))
    costs = np.concatenate((arcs[2], np.empty(room)))
    n_arcs = append_arcs(by_row[0], by_row[1], n, False, tails, heads, costs, n_arcs)
    n_arcs = append_arcs(by_column[0], by_column[1], n, True, tails, heads, costs, n_arcs)
    arcs = tails[:n_arcs].copy(), heads[:n_arcs].copy(), costs[:n_arcs].copy()
    tolerance = TOLERANCE * max(np.abs(arcs[2]).max(), np.abs(tree.potential).max())
    before = tree.info[PIVOTS]
    search_to_the_end(tree, arcs[0], arcs[1], arcs[2], False, tolerance)
    return arcs, tolerance, tree.info[PIVOTS] > before


@kernel
def emd_grid(a, b, shape, coordinates):
    """Cityblock transport of masses a to b on a grid, its points in C order: ``(value, u, v, sources, sinks, flows)``.

    ``shape``: int64, the number of points along each axis; ``coordinates``: those along each axis, one axis after
    the other. For other metrics call `emd_points` on the points of the grid.
    """
    mass_a = a / a.sum()
    mass_b = b / b.sum()
    supply = mass_a - mass_b
    n = supply.shape[0]
    masses = np.empty(n, np.int64)
    balanced_integers(supply, masses)
    levels = [(masses, shape, coordinates)]
    while levels[-1][0].shape[0] > COARSEST_GRID:
        levels.append(halve_grid(levels[-1][0], levels[-1][1], levels[-1][2]))
    tree = new_tree(levels[-1][0].shape[0])
    for level in range(len(levels) - 1, -1, -1):
        here_masses, here_shape, here_along = levels[level]
        tails, heads, costs = grid_edges(here_shape, here_along)
        preference = costs
        if level < len(levels) - 1:
            _, above_shape, above_along = levels[level + 1]
            preference = edge_preference(tails, heads, costs, here_shape, here_along, above_shape, above_along, tree)
            tree = new_tree(here_masses.shape[0])
        grid_tree(np.argsort(preference), tails, heads, costs, here_masses, tree)
        if costs.shape[0] > 0:
            tolerance = TOLERANCE * max(costs.max(), np.abs(tree.potential).max())
            search_to_the_end(tree, tails, heads, costs, True, tolerance)
    flow = np.zeros(n)
    tree_flows(tree, supply.copy(), flow)
    value = (np.abs(flow) * tree.cost).sum()
    u = -tree.potential
    lower_to_lipschitz(u, shape, coordinates)
    sources = np.empty(2 * n, np.int64)
    sinks = np.empty(2 * n, np.int64)
    flows = np.empty(2 * n)
    count = match_on_tree(tree, supply, sources, sinks, flows)
    for x in range(n):
        if min(mass_a[x], mass_b[x]) > 0:
            sources[count] = x
            sinks[count] = x
            flows[count] = min(mass_a[x], mass_b[x])
            count += 1
    return value, u, -u, sources[:count], sinks[:count], flows[:count]


@kernel
def sinkhorn(a, b, cost, reg, tol, max_iter):
    """Entropic transport of masses a to b, all positive: ``(f, g, error, n_iter)``.

    The plan, for masses of sum one, is ``exp((f + g - cost) / reg)``. ``error``: sum of absolute differences between
    its marginals and the masses.
    """
    n, m = cost.shape
    mass_a = a / a.sum()
    mass_b = b / b.sum()
    transposed = cost.T.copy()
    log_a = np.log(mass_a)
    log_b = np.log(mass_b)
    state = new_scaling(n, m)
    n_iter = 0
    while n_iter < max_iter and not state.error[0] <= tol:
        n_iter += 1
        if state.fresh[0]:
            scale_rows_serial(state.matrix, mass_a, state.row_scale, state.column_scale, state.slabs, state.errors)
            finish_scaling(state, mass_b, reg, tol)
        else:
            soft_transform_serial(cost, state.g, log_a, reg, state.f)
            soft_transform_serial(transposed, state.f, log_b, reg, state.g)
            gibbs_kernel_serial(cost, state.f, state.g, reg, state.matrix)
            state.fresh[0] = True
    absorb(state, reg)
    return state.f, state.g, state.error[0], n_iter
