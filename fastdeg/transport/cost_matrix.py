"""Driver of exact transport with a given cost matrix: arcs only where they are needed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastdeg._threads import signals_as_raised
from fastdeg._types import Float
from fastdeg.kernels._jit import driver, kernel
from fastdeg.kernels.transport.cost_matrix import (
    column_minima,
    greedy_basis_of_rows,
    price_columns,
    price_matrix,
    regrets,
    row_minima,
)
from fastdeg.kernels.transport.network.initial_basis import tree_of
from fastdeg.kernels.transport.network.pricing import Found, no_arcs, no_columns, with_found
from fastdeg.kernels.transport.network.tree import PIVOTS, read_plan
from fastdeg.kernels.transport.small import solve_small
from fastdeg.transport.network import (
    ALL_ARCS,
    FIRST_ARCS,
    MOST_ROUNDS,
    NONE,
    TOLERANCE,
    Plan,
    Solution,
    optimise,
    optimise_subtrees,
    rounding,
    solution_of,
)

TALL = 32  # rows over columns from which on some of the rows tell where to start
SAMPLED = 8  # rows for each of these
PARALLEL_ENTRIES = 4_000_000  # entries from which on a matrix is priced in parallel


@kernel
def _price_on_one_thread(cost, u, v, limits, found, threads):  # type: ignore[no-untyped-def]
    return price_matrix_serial(cost, u, v, limits[0], limits[1], found)


price_matrix_serial = price_matrix.serial


@driver(compiled=_price_on_one_thread)
def _price(cost: Float, u: Float, v: Float, limits: tuple[float, float], found: Found, threads: int | None) -> int:
    return int(price_matrix(cost, u, v, *limits, found, threads=threads))


@driver
def solve_rows(
    a: Float, b: Float, cost: Float, order: NDArray[np.int64], v: Float, threads: int | None
) -> tuple[Float, Float, int, Plan]:
    """Potentials, pivots and plan; rows in the given order choose first columns by their potentials v."""
    n, m = cost.shape
    tree, is_tree = tree_of(greedy_basis_of_rows(cost, a, b, order, v))
    if not is_tree:
        raise AssertionError("transport: the first basis is not a spanning tree")
    u = np.empty(n)
    row_minima(cost, v, u)
    by_row, by_column = no_columns(n, min(FIRST_ARCS, m)), no_columns(m, 1)
    arcs = no_arcs(0)
    found = _price(cost, u, v, (np.inf, -np.inf), by_row, threads)
    tolerance = -np.inf
    largest = max(cost.max(), -cost.min())  # without a copy of its size
    for round_ in range(MOST_ROUNDS):
        price_columns(cost, u, v, tolerance, by_column)
        arcs = with_found(arcs, by_row, by_column, n)
        tolerance = rounding(tree, largest)
        before = tree.info[PIVOTS]
        optimise_subtrees(tree, arcs, False, tolerance, 1)
        optimise(tree, arcs, False, tolerance)
        u, v = -tree.potential[:n], tree.potential[n:].copy()
        found = _price(cost, u, v, (0.0, tolerance), by_row, threads)
        if found == 0 or (round_ > 0 and tree.info[PIVOTS] == before):
            break
    return by_row.row_min, v, tree.info[PIVOTS], read_plan(tree, a, b)


@signals_as_raised()
def solve_matrix(a: Float, b: Float, cost: Float, threads: int | None = None) -> Solution:
    """Transport of masses a to b, each of sum one, at the C-ordered costs; no checks.

    Low-overhead entry for repeated calls.
    """
    n, m = cost.shape
    if n * m <= ALL_ARCS:
        return solution_of(a, b, *solve_small(a, b, NONE, NONE, cost, 0, False, TOLERANCE))
    if m > TALL * n:
        there = solve_matrix(b, a, np.ascontiguousarray(cost.T), threads)
        return there._replace(u=there.v, v=there.u, sources=there.sinks, sinks=there.sources)
    v = np.empty(m)
    order = _first_potentials(a, b, cost, threads, v)
    u, v, pivots, plan = solve_rows(a, b, cost, order, v, threads if n * m >= PARALLEL_ENTRIES else 1)
    return solution_of(a, b, 0, pivots, u, v, plan)


def _first_potentials(a: Float, b: Float, cost: Float, threads: int | None, v: Float) -> NDArray[np.int64]:
    """Fill potentials of the columns to start from; return the order in which the rows choose by them.

    Where rows are many, the optimal potentials for a random sample of them are nearly those for all.
    """
    n, m = cost.shape
    present = np.flatnonzero(a)
    if n <= TALL * m or len(present) <= SAMPLED * m:
        column_minima(cost, v)
        return np.arange(n)
    some = np.random.default_rng(0).choice(present, len(present) // SAMPLED, replace=False)
    v[:] = solve_matrix(a[some] / a[some].sum(), b, cost[some], threads).v
    regret = np.empty(n)
    regrets(cost, v, regret)
    return np.argsort(-regret, kind="stable")
