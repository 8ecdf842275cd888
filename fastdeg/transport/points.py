"""Driver of exact transport between points: from coarse to fine, arcs only where they are needed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastdeg._threads import signals_as_raised
from fastdeg._types import Float
from fastdeg.kernels._jit import driver, kernel
from fastdeg.kernels.transport.metrics import BLOCK, SQEUCLIDEAN, Points
from fastdeg.kernels.transport.network.initial_basis import Level, greedy_basis, no_shipments, refined_basis, tree_of
from fastdeg.kernels.transport.network.pricing import Found, no_arcs, no_columns, price, with_found
from fastdeg.kernels.transport.network.simplex import integer_masses
from fastdeg.kernels.transport.network.tree import PIVOTS, POSITION, Tree, read_plan
from fastdeg.kernels.transport.small import solve_small
from fastdeg.kernels.transport.spatial import block_points, cluster_sizes, kd_order, merge_clusters
from fastdeg.transport.network import (
    ALL_ARCS,
    FIRST_ARCS,
    NONE,
    ROUNDS_ALIKE,
    TOLERANCE,
    Plan,
    Solution,
    optimise,
    optimise_subtrees,
    rounding,
    solution_of,
)

FIRST_OF_MANY = 3  # arcs of each point to begin with, where the other side has few points and good potentials
MORE_ARCS, MOST_MORE_ARCS = 3, 32  # arcs of each point that a round of pricing adds at most; of few against many
LEAST_POSTPONED = 12_000  # nodes from which on arcs between subtrees wait for the first pricing
FEW_ARCS = 0.05  # new arcs of each node, down to which dividing the tree does not pay
MANY_ROUNDS = 20  # after which more and more arcs of each point are added: the best ones may all be alike
COARSE_ROUNDS = 2  # of pricing at most on coarse levels, after the first
COARSE_TOLERANCE = 1e-7  # relative to the largest cost; a coarse level need not be solved further
PARALLEL_PAIRS = 5e6  # pairs of points from which on pricing runs in parallel
PRICED_AT_ONCE = 1e9  # pairs times coordinates between two looks at interrupts: at most about 0.4 s

price_serial = price.serial


@signals_as_raised()
def solve_points(a: Float, b: Float, x: Float, y: Float, metric: int, threads: int | None = None) -> Solution:
    """Transport of masses a at x to masses b at y, each of sum one; ``x is y`` for the same points; no checks.

    Low-overhead entry for repeated calls: C-contiguous float64 arrays, `metric` one of the codes in
    ``kernels.transport.metrics``.
    """
    same = x is y and metric != SQEUCLIDEAN
    if a.size * b.size <= ALL_ARCS:
        return solution_of(a, b, *solve_small(a, b, x, y, NONE, metric, same, TOLERANCE))
    if same:
        return _solve_same_points(a, b, x, metric, threads)
    rows, columns = np.flatnonzero(a), np.flatnonzero(b)
    if rows.size == a.size and columns.size == b.size:
        u, v, pivots, plan = solve_positive(a, b, x, y, metric, threads)
        return solution_of(a, b, 0, pivots, u, v, plan)
    # Points without mass get the largest potentials that are feasible, sinks first.
    u, v = np.empty(a.size), np.empty(b.size)
    u[rows], v[columns], pivots, (value, sources, sinks, flows) = solve_positive(
        a[rows], b[columns], x[rows], y[columns], metric, threads
    )
    empty = np.flatnonzero(b == 0)
    above = np.where(a[empty] > 0, -u[empty], np.inf) if x is y else None  # a point is at no cost from itself
    v[empty] = transform(metric, y[empty], x[rows], u[rows], threads, above)
    empty = np.flatnonzero(a == 0)
    u[empty] = transform(metric, x[empty], y, v, threads)
    return solution_of(a, b, 0, pivots, u, v, (value, rows[sources], columns[sinks], flows))


def _solve_same_points(a: Float, b: Float, x: Float, metric: int, threads: int | None) -> Solution:
    """Where the cost is a metric, mass that both sides have at a point stays there."""
    common = np.minimum(a, b)
    rows, columns = np.flatnonzero(a > b), np.flatnonzero(b > a)
    stay = np.flatnonzero(common)
    if rows.size == 0 or columns.size == 0:
        zero = np.zeros(a.size)
        return Solution(0.0, zero, zero.copy(), 0.0, 0, stay, stay, common[stay])
    left_a, left_b = (a - common)[rows], (b - common)[columns]
    moved = left_a.sum()
    u = np.empty(a.size)
    u[rows], v, pivots, (value, sources, sinks, flows) = solve_positive(
        left_a / moved, left_b / left_b.sum(), x[rows], x[columns], metric, threads
    )
    rest = np.flatnonzero(a <= b)
    u[rest] = transform(metric, x[rest], x[columns], v, threads)  # 1-Lipschitz, so (u, -u) is feasible for all pairs
    plan = (
        value * float(moved),
        np.concatenate([rows[sources], stay]),
        np.concatenate([columns[sinks], stay]),
        np.concatenate([flows * moved, common[stay]]),
    )
    return solution_of(a, b, 0, pivots, u, -u, plan)


@driver
def solve_positive(
    a: Float, b: Float, x: Float, y: Float, metric: int, threads: int | None
) -> tuple[Float, Float, int, Plan]:
    """Potentials, pivots and plan where every point has mass."""
    swapped = a.size > b.size
    if swapped:  # the smaller side becomes the sources, which are priced
        a, b, x, y = b, a, y, x
    order_x, order_y = np.empty(a.size, np.int64), np.empty(b.size, np.int64)
    kd_order(x, order_x)
    kd_order(y, order_y)
    a, b = a[order_x], b[order_y]
    supply, demand = np.empty(a.size, np.int64), np.empty(b.size, np.int64)
    integer_masses(a, b, supply, demand)
    finest = Level(block_points(x, order_x), block_points(y, order_y), supply, demand)
    tree, row_min = solve_levels(finest, metric, threads)
    u, v = np.empty(a.size), np.empty(b.size)
    u[order_x] = row_min
    v[order_y] = tree.potential[a.size :]
    value, rows, columns, flows = read_plan(tree, a, b)
    sources, sinks = order_x[rows], order_y[columns]
    if swapped:
        u, v, sources, sinks = v, u, sinks, sources
    return u, v, tree.info[PIVOTS], (value, sources, sinks, flows)


@kernel
def _price_on_one_thread(metric, x, y, u, v, limits, n_keep, threads):  # type: ignore[no-untyped-def]
    found = no_columns(u.size, min(n_keep, v.size))
    return price_serial(metric, x, y, u, v, limits[0], limits[1], found), found


@driver(compiled=_price_on_one_thread)
def _price(
    metric: int,
    x: Points,
    y: Points,
    u: Float,
    v: Float,
    limits: tuple[float, float],
    n_keep: int,
    threads: int | None,
) -> tuple[int, Found]:
    """Arcs of reduced cost below the limits, threshold and tolerance of `price`: their number and the arcs."""
    found = no_columns(u.size, min(n_keep, v.size))
    if u.size * v.size < PARALLEL_PAIRS:
        threads = 1
    count, n_blocks = 0, max(1, int(PRICED_AT_ONCE / (v.size * x.blocks.shape[1] * BLOCK)))
    for first in range(0, len(x.blocks), n_blocks):
        blocks, rows = slice(first, first + n_blocks), slice(first * BLOCK, (first + n_blocks) * BLOCK)
        some, here = Points(*(part[blocks] for part in x)), Found(*(part[rows] for part in found))
        count += price(metric, some, y, u[rows], v, *limits, here, threads=threads)
    return count, found


@signals_as_raised()
def transform(metric: int, x: Float, y: Float, v: Float, threads: int | None, above: Float | None = None) -> Float:
    """``min_j cost(x_i, y_j) - v_j`` for each point of x; ``above``: what it is known not to exceed."""
    n = x.shape[0]
    result = np.empty(n)
    if n == 0:
        return result
    order_x, order_y = np.empty(n, np.int64), np.empty(y.shape[0], np.int64)
    kd_order(x, order_x)
    kd_order(y, order_y)
    known, threshold = (np.zeros(n), np.inf) if above is None else (above[order_x], 0.0)
    points_x, points_y = block_points(x, order_x), block_points(y, order_y)
    _, found = _price(metric, points_x, points_y, known, v[order_y], (threshold, -np.inf), 1, threads)
    result[order_x] = found.row_min
    return result


@driver
def solve_levels(finest: Level, metric: int, threads: int | None) -> tuple[Tree, Float]:
    """Optimal tree for integer masses in spatial order, and the row minima ``min_j cost_ij - v_j``.

    Merges points into clusters, solves these first, and starts from what they tell: the basis from their tree, the
    first arcs from their potentials.
    """
    levels = [finest]
    leaves = [cluster_sizes(finest.supply.size, finest.demand.size)]
    while leaves[-1][1] > 1:
        x, supply = _merged(levels[-1].x, levels[-1].supply, leaves[-1][0])
        y, demand = _merged(levels[-1].y, levels[-1].demand, leaves[-1][1])
        levels.append(Level(x, y, supply, demand))
        leaves.append(cluster_sizes(supply.size, demand.size))
    made = no_shipments(levels[-1].supply, levels[-1].demand)
    greedy_basis(metric, levels[-1], made)
    tree, is_tree = tree_of(made)
    row_min = np.empty(0)
    for depth in range(len(levels) - 1, -1, -1):
        level = levels[depth]
        x, y, n, m = level.x, level.y, level.supply.size, level.demand.size
        u, v = np.zeros(n), np.zeros(m)
        by_column = no_columns(0, 1)
        if depth < len(levels) - 1:
            above, (leaf_x, leaf_y) = levels[depth + 1], leaves[depth]
            coarse_u, coarse_v = -tree.potential[: above.supply.size], tree.potential[above.supply.size :].copy()
            if leaf_x == 1:
                u = coarse_u
                _, by_column = _price(metric, y, x, v, u, (np.inf, -np.inf), FIRST_OF_MANY, threads)
                v = by_column.row_min
            else:
                u, v = (
                    _price(metric, x, above.y, u, coarse_v, (np.inf, -np.inf), 1, threads)[1].row_min,
                    _price(metric, y, above.x, v, coarse_u, (np.inf, -np.inf), 1, threads)[1].row_min,
                )
            made = no_shipments(level.supply, level.demand)
            refined_basis(metric, level, u, v, tree, (leaf_x, leaf_y), made)
            tree, is_tree = tree_of(made)
        if not is_tree:
            raise AssertionError("transport: the first basis is not a spanning tree")
        _, by_row = _price(metric, x, y, u, v, (np.inf, -np.inf), FIRST_ARCS, threads)
        if by_column.row_min.size == 0:
            _, by_column = _price(metric, y, x, v, u, (np.inf, -np.inf), FIRST_ARCS, threads)
        arcs = with_found(no_arcs(0), by_row, by_column, n)
        n_old, n_keep = 0, min(MORE_ARCS * m // n, MOST_MORE_ARCS)
        round_ = -1
        while True:  # ends, as each round adds arcs that the list had not
            round_ += 1
            if round_ > MANY_ROUNDS and round_ % ROUNDS_ALIKE == 0:
                n_keep = min(2 * n_keep, m)
            largest = arcs.costs.max()
            tolerance = max(rounding(tree, largest), COARSE_TOLERANCE * largest if depth > 0 else 0.0)
            before = tree.info[PIVOTS]
            if arcs.costs.size - n_old > FEW_ARCS * (n + m):
                optimise_subtrees(tree, arcs, False, tolerance, threads)
            if round_ > 0 or n + m < LEAST_POSTPONED:  # far arcs are for later, when the near ones are right
                optimise(tree, arcs, False, tolerance)
            if round_ == COARSE_ROUNDS and depth > 0:
                break
            u, v = -tree.potential[:n], tree.potential[n:].copy()
            found, by_row = _price(metric, x, y, u, v, (0.0, tolerance), n_keep, threads)
            if found == 0 or (round_ > 1 and tree.info[PIVOTS] == before):
                break
            by_column = no_columns(0, 1)
            if (by_row.columns[:, -1] >= 0).any():  # else every arc of negative reduced cost is in the list now
                _, by_column = _price(metric, y, x, v, u, (-tolerance, tolerance), MORE_ARCS, threads)
            n_old = tree.info[POSITION] = arcs.costs.size  # the next search begins with the new ones
            arcs = with_found(arcs, by_row, by_column, n)
        row_min = by_row.row_min
    return tree, row_min


@driver
def _merged(points: Points, masses: NDArray[np.int64], leaf: int) -> tuple[Points, NDArray[np.int64]]:
    """Clusters of `leaf` points in a row, and their masses."""
    if leaf == 1:
        return points, masses
    centres, sums = merge_clusters(points, masses, leaf)
    return block_points(centres, np.arange(sums.size)), sums
