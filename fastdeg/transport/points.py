"""Driver of exact transport between points: from coarse to fine, arcs only where they are needed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastdeg.kernels.transport.metrics import BLOCK, SQEUCLIDEAN, Points
from fastdeg.kernels.transport.network.initial_basis import greedy_basis, refined_basis
from fastdeg.kernels.transport.network.pricing import price
from fastdeg.kernels.transport.network.simplex import integer_masses
from fastdeg.kernels.transport.network.tree import Tree, build_tree, new_tree, read_plan
from fastdeg.kernels.transport.spatial import block_points, cluster_sizes, kd_order, merge_clusters
from fastdeg.transport.network import (
    FIRST_ARCS,
    MOST_ROUNDS,
    Arcs,
    Floats,
    Solution,
    finish,
    n_pivots,
    optimise,
    optimise_pieces,
    rounding,
)

FIRST_OF_MANY = 3  # arcs of each point to begin with, where the other side has few points and good potentials
MORE_ARCS, MOST_MORE_ARCS = 3, 32  # arcs of each point that a round of pricing adds at most; of few against many
LEAST_POSTPONED = 12_000  # nodes from which on arcs between pieces of the tree wait for the first pricing
FEW_ARCS = 0.05  # new arcs of each node, down to which dividing the tree does not pay
COARSE_ROUNDS = 2  # of pricing at most on coarse levels, after the first
COARSE_TOLERANCE = 1e-7  # relative to the largest cost; a coarse level need not be solved further
PARALLEL_PAIRS = 5e6  # pairs of points from which on pricing runs in parallel
PRICED_AT_ONCE = 1e9  # pairs times coordinates between two looks at interrupts: at most about 0.4 s


def solve_points(a: Floats, b: Floats, x: Floats, y: Floats, metric: int, threads: int | None = None) -> Solution:
    """Transport of masses a at x to masses b at y, each of sum one; ``x is y`` for the same points; no checks.

    Low-overhead entry for repeated calls: C-contiguous float64 arrays, `metric` one of the codes in
    ``kernels.transport.metrics``.
    """
    if x is y and metric != SQEUCLIDEAN:
        return _solve_same_points(a, b, x, metric, threads)
    rows, columns = np.flatnonzero(a), np.flatnonzero(b)
    if rows.size == a.size and columns.size == b.size:
        u, v, pivots, value, sources, sinks, flows = _solve_positive(a, b, x, y, metric, threads)
        return finish(a, b, u, v, pivots, value, sources, sinks, flows)
    # Points without mass get the largest potentials that are feasible, sinks first.
    u, v = np.empty(a.size), np.empty(b.size)
    u[rows], v[columns], pivots, value, sources, sinks, flows = _solve_positive(
        a[rows], b[columns], x[rows], y[columns], metric, threads
    )
    empty = np.flatnonzero(b == 0)
    above = np.where(a[empty] > 0, -u[empty], np.inf) if x is y else None  # a point is at no cost from itself
    v[empty] = transform(metric, y[empty], x[rows], u[rows], threads, above)
    empty = np.flatnonzero(a == 0)
    u[empty] = transform(metric, x[empty], y, v, threads)
    return finish(a, b, u, v, pivots, value, rows[sources], columns[sinks], flows)


def _solve_same_points(a: Floats, b: Floats, x: Floats, metric: int, threads: int | None) -> Solution:
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
    u[rows], v, pivots, value, sources, sinks, flows = _solve_positive(
        left_a / moved, left_b / left_b.sum(), x[rows], x[columns], metric, threads
    )
    rest = np.flatnonzero(a <= b)
    u[rest] = transform(metric, x[rest], x[columns], v, threads)  # 1-Lipschitz, so (u, -u) is feasible for all pairs
    return finish(
        a,
        b,
        u,
        -u,
        pivots,
        value * float(moved),
        np.concatenate([rows[sources], stay]),
        np.concatenate([columns[sinks], stay]),
        np.concatenate([flows * moved, common[stay]]),
    )


def _solve_positive(
    a: Floats, b: Floats, x: Floats, y: Floats, metric: int, threads: int | None
) -> tuple[Floats, Floats, int, float, NDArray[np.int64], NDArray[np.int64], Floats]:
    """Potentials, pivots, value and plan (sources, sinks, flows) where every point has mass."""
    if a.size > b.size:  # the smaller side becomes the sources, which are priced
        v, u, pivots, value, sinks, sources, flows = _solve_positive(b, a, y, x, metric, threads)
        return u, v, pivots, value, sources, sinks, flows
    order_x, order_y = np.empty(a.size, np.int64), np.empty(b.size, np.int64)
    kd_order(x, order_x)
    kd_order(y, order_y)
    a, b = a[order_x], b[order_y]
    supply, demand = np.empty(a.size, np.int64), np.empty(b.size, np.int64)
    integer_masses(a, b, supply, demand)
    tree, row_min = _solve_level(
        block_points(x, order_x), block_points(y, order_y), supply, demand, metric, threads, finest=True
    )
    u, v = np.empty(a.size), np.empty(b.size)
    u[order_x] = row_min
    v[order_y] = tree.potential[a.size :]
    value, sources, sinks, flows = read_plan(tree, a, b)
    return u, v, n_pivots(tree), value, order_x[sources], order_y[sinks], flows


def transform(metric: int, x: Floats, y: Floats, v: Floats, threads: int | None, above: Floats | None = None) -> Floats:
    """``min_j cost(x_i, y_j) - v_j`` for each point of x; ``above``: what it is known not to exceed."""
    n = x.shape[0]
    result, row_min = np.empty(n), np.empty(n)
    if n == 0:
        return result
    order_x, order_y = np.empty(n, np.int64), np.empty(y.shape[0], np.int64)
    kd_order(x, order_x)
    kd_order(y, order_y)
    limits, threshold = (np.zeros(n), np.inf) if above is None else (above[order_x], 0.0)
    points_x, points_y = block_points(x, order_x), block_points(y, order_y)
    _price(metric, points_x, points_y, limits, v[order_y], threshold, -np.inf, 1, row_min, threads)
    result[order_x] = row_min
    return result


def _transform(metric: int, x: Points, n: int, y: Points, v: Floats, threads: int | None) -> Floats:
    row_min = np.empty(n)
    _price(metric, x, y, np.zeros(n), v, np.inf, -np.inf, 1, row_min, threads)
    return row_min


def _price(
    metric: int,
    x: Points,
    y: Points,
    u: Floats,
    v: Floats,
    threshold: float,
    tolerance: float,
    n_keep: int,
    row_min: Floats,
    threads: int | None,
) -> tuple[int, NDArray[np.int64], Floats]:
    """Arcs of negative reduced cost, see `price`: their number, the columns of each row, their costs."""
    shape = (u.size, min(n_keep, v.size))
    arcs, costs = np.empty(shape, np.int64), np.empty(shape)
    count = threads if u.size * v.size >= PARALLEL_PAIRS else 1
    found, n_blocks = 0, max(1, int(PRICED_AT_ONCE / (v.size * x.blocks.shape[1] * BLOCK)))
    for first in range(0, len(x.blocks), n_blocks):
        blocks, rows = slice(first, first + n_blocks), slice(first * BLOCK, (first + n_blocks) * BLOCK)
        some = Points(*(part[blocks] for part in x))
        found += price(
            metric, some, y, u[rows], v, threshold, tolerance, arcs[rows], costs[rows], row_min[rows], threads=count
        )
    return found, arcs, costs


def _solve_level(
    x: Points,
    y: Points,
    supply: NDArray[np.int64],
    demand: NDArray[np.int64],
    metric: int,
    threads: int | None,
    *,
    finest: bool,
) -> tuple[Tree, Floats]:
    """Optimal tree for integer masses in kd order, and the row minima ``min_j cost_ij - v_j``.

    Merges points into clusters, solves these first, and starts from what they tell: the basis from their tree, the
    first arcs from their potentials.
    """
    n, m = supply.size, demand.size  # n <= m
    tree = new_tree(n + m)
    u, v = np.zeros(n), np.zeros(m)
    row_min, column_min = np.empty(n), np.empty(m)
    basis = np.empty(n + m, np.uint32), np.empty(n + m, np.uint32), np.empty(n + m, np.int64), np.empty(n + m)
    by_column = None
    leaf_x, leaf_y = cluster_sizes(n, m)
    if leaf_y == 1:
        count = greedy_basis(metric, x, y, supply, demand, *basis)
    else:
        merged_x, coarse_supply = _merge(x, supply, leaf_x)
        merged_y, coarse_demand = _merge(y, demand, leaf_y)
        coarse, _ = _solve_level(merged_x, merged_y, coarse_supply, coarse_demand, metric, threads, finest=False)
        coarse_u, coarse_v = -coarse.potential[: coarse_supply.size], coarse.potential[coarse_supply.size :].copy()
        if leaf_x == 1:
            u = coarse_u
            by_column = _price(metric, y, x, v, u, np.inf, -np.inf, FIRST_OF_MANY, column_min, threads)
            v = column_min.copy()
        else:
            u = _transform(metric, x, n, merged_y, coarse_v, threads)
            v = _transform(metric, y, m, merged_x, coarse_u, threads)
        count = refined_basis(metric, x, y, u, v, supply, demand, coarse, leaf_x, leaf_y, *basis)
    if count != n + m - 1 or not build_tree(tree, *basis):
        raise AssertionError("transport: the first basis is not a spanning tree")
    arcs = Arcs(n, (n + m) * (FIRST_ARCS + MORE_ARCS))
    by_row = _price(metric, x, y, u, v, np.inf, -np.inf, FIRST_ARCS, row_min, threads)
    arcs.append(*by_row, transposed=False)
    by_column = by_column or _price(metric, y, x, v, u, np.inf, -np.inf, FIRST_ARCS, column_min, threads)
    arcs.append(*by_column, transposed=True)
    n_keep = min(MORE_ARCS * m // n, MOST_MORE_ARCS)
    for round_ in range(MOST_ROUNDS):
        largest = float(arcs.costs[: arcs.count].max())
        tolerance = rounding(tree, largest)
        if not finest:
            tolerance = max(tolerance, COARSE_TOLERANCE * largest)
        before = n_pivots(tree)
        if arcs.n_new > FEW_ARCS * (n + m):
            optimise_pieces(tree, arcs.tails, arcs.heads, arcs.costs, arcs.count, tolerance, threads)
        if round_ > 0 or n + m < LEAST_POSTPONED:  # far arcs are for later, when the near ones are right
            optimise(tree, arcs.tails, arcs.heads, arcs.costs, arcs.count, tolerance)
        if round_ == COARSE_ROUNDS and not finest:
            break
        u, v = -tree.potential[:n], tree.potential[n:].copy()
        arcs.n_new = 0
        more = _price(metric, x, y, u, v, 0.0, tolerance, n_keep, row_min, threads)
        if more[0] == 0 or (round_ > 1 and n_pivots(tree) == before):
            break
        arcs.append(*more, transposed=False)
        if (more[1][:, -1] >= 0).any():  # else every arc of negative reduced cost is in the list now
            more = _price(metric, y, x, v, u, -tolerance, tolerance, MORE_ARCS, column_min, threads)
            arcs.append(*more, transposed=True)
        arcs.keep_near(tree)
    return tree, row_min


def _merge(points: Points, masses: NDArray[np.int64], leaf: int) -> tuple[Points, NDArray[np.int64]]:
    """Clusters of `leaf` points in a row: centres of mass and masses."""
    if leaf == 1:
        return points, masses
    count = (masses.size + leaf - 1) // leaf
    centres = np.empty((count, points.blocks.shape[1]))
    sums = np.empty(count, np.int64)
    merge_clusters(points, masses, leaf, centres, sums)
    return block_points(centres, np.arange(count)), sums
