"""Driver of exact transport with a given cost matrix: arcs only where they are needed."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from fastdeg._threads import signals_as_raised
from fastdeg._types import Float
from fastdeg.kernels._jit import driver, kernel
from fastdeg.kernels.transport.cost_matrix import (
    ABOVE,
    RISE,
    below_cap,
    column_minima,
    greedy_basis_of_rows,
    largest_finite,
    lower_cap,
    price_columns,
    price_matrix,
    regrets,
    row_minima,
)
from fastdeg.kernels.transport.network.initial_basis import tree_of
from fastdeg.kernels.transport.network.pricing import Found, no_arcs, no_columns, with_found
from fastdeg.kernels.transport.network.tree import PIVOTS, read_plan
from fastdeg.kernels.transport.small import solve_small
from fastdeg.transport.alike import solve_distinct
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

TALL = 32  # rows over columns from which on some of the rows tell where to start
SAMPLED = 8  # rows for each of these
PARALLEL_ENTRIES = 4_000_000  # entries from which on a matrix is priced in parallel
LEAST_FORBIDDEN = 1e-9  # mass on forbidden pairs that is no more than totals may differ by


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
    """Potentials, pivots and plan; rows in the given order choose first columns by their potentials v.

    Ends where no arc of the matrix has a negative reduced cost: each round adds arcs that the list had not, and more
    and more of each row, as the best ones of a row may all be alike.
    """
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
    round_ = 0
    while True:
        price_columns(cost, u, v, tolerance, by_column)
        arcs = with_found(arcs, by_row, by_column, n)
        tolerance = rounding(tree, largest)
        before = tree.info[PIVOTS]
        optimise_subtrees(tree, arcs, False, tolerance, 1)
        optimise(tree, arcs, False, tolerance)
        u, v = -tree.potential[:n], tree.potential[n:].copy()
        round_ += 1
        if round_ % ROUNDS_ALIKE == 0:
            by_row = no_columns(n, min(2 * by_row.columns.shape[1], m))
        found = _price(cost, u, v, (0.0, tolerance), by_row, threads)
        if found == 0 or (round_ > 1 and tree.info[PIVOTS] == before):
            break
    return by_row.row_min, v, tree.info[PIVOTS], read_plan(tree, a, b)


@kernel
def _solve_all(a, b, cost, threads):  # type: ignore[no-untyped-def]
    v = np.empty(cost.shape[1])
    column_minima(cost, v)
    return solve_rows(a, b, cost, np.arange(cost.shape[0]), v, threads)


@driver(compiled=_solve_all)
def _solve(a: Float, b: Float, cost: Float, threads: int | None) -> tuple[Float, Float, int, Plan]:
    """Potentials, pivots and plan for finite costs."""
    return solve_distinct(a, b, cost, partial(_solve_distinct, threads=threads))


def _solve_distinct(a: Float, b: Float, cost: Float, threads: int | None) -> tuple[Float, Float, int, Plan]:
    n, m = cost.shape
    if m > TALL * n:
        u, v, pivots, (value, sources, sinks, flows) = _solve_distinct(b, a, np.ascontiguousarray(cost.T), threads)
        return v, u, pivots, (value, sinks, sources, flows)
    v = np.empty(m)
    order = _first_potentials(a, b, cost, threads, v)
    return solve_rows(a, b, cost, order, v, threads if n * m >= PARALLEL_ENTRIES else 1)


def _first_potentials(a: Float, b: Float, cost: Float, threads: int | None, v: Float) -> NDArray[np.int64]:
    """Fill potentials of the columns to start from; return the order in which the rows choose by them.

    Where rows are many, the optimal potentials for a random sample of them are nearly those for all.
    """
    n, m = cost.shape
    if n <= TALL * m:
        column_minima(cost, v)
        return np.arange(n)
    some = np.random.default_rng(0).choice(n, n // SAMPLED, replace=False)
    v[:] = _solve_distinct(a[some] / a[some].sum(), b, cost[some], threads)[1]
    regret = np.empty(n)
    regrets(cost, v, regret)
    return np.argsort(-regret, kind="stable")


@driver
def solve_capped(a: Float, b: Float, cost: Float, threads: int | None) -> tuple[Float, Float, int, Plan]:
    """Potentials, pivots and plan where pairs may be forbidden, by infinite costs, or costs out of all proportion.

    A cap on the costs leaves the optimum as it is where the plan has no mass on pairs above it, and its potentials
    stay feasible; but numbers far above those that matter would drown these in rounding. So a first cap is above all
    finite costs, and a second one above the costs of the plan found, where its gap is open. It rises where mass is
    left above it.
    """
    finite, highest = largest_finite(cost), cost.max()
    above = ABOVE * finite if finite > 0 else 1.0
    cap, lowered, allowed = above, False, -1.0
    while True:
        u, v, pivots, plan = _solve(a, b, np.minimum(cost, cap) if highest > cap else cost, threads)
        plan, beyond, used, noise = below_cap(cost, cap, plan, a, b)
        if beyond > max(allowed, 0.0):
            if cap >= above and allowed < 0:  # is there a plan at all?
                allowed = 2 * _solve(a, b, np.where(cost < np.inf, 0.0, 1.0), threads)[3][0]
            if allowed > 2 * LEAST_FORBIDDEN or cap >= above * (a.size + b.size):  # no potentials span more
                raise ValueError("cost: expected a plan over the pairs that are not forbidden (np.inf), got none")
            cap *= RISE
            continue
        closer = cap if lowered else lower_cap(cap, a, b, u, v, plan[0], used, noise)
        if closer == cap:
            return u, v, pivots, plan
        lowered = True
        cap = closer


@signals_as_raised()
def solve_matrix(a: Float, b: Float, cost: Float, threads: int | None = None) -> Solution:
    """Transport of masses a to b, each of sum one, at the C-ordered costs, infinite ones forbidden; no checks.

    Low-overhead entry for repeated calls.
    """
    n, m = cost.shape
    if n * m <= ALL_ARCS and (highest := cost.max()) < np.inf:
        status, pivots, u, v, plan = solve_small(a, b, NONE, NONE, cost, 0, False, TOLERANCE)
        plan, _, used, noise = below_cap(cost, np.inf, plan, a, b)
        if lower_cap(highest, a, b, u, v, plan[0], used, noise) == highest:
            return solution_of(a, b, status, pivots, u, v, plan)
    rows, columns = np.flatnonzero(a), np.flatnonzero(b)
    if rows.size == n and columns.size == m:
        u, v, pivots, plan = solve_capped(a, b, cost, threads)
        return solution_of(a, b, 0, pivots, u, v, plan)
    # Rows and columns without mass get the largest potentials that are feasible, columns first.
    u, v = np.empty(n), np.empty(m)
    u[rows], v[columns], pivots, (value, sources, sinks, flows) = solve_capped(
        a[rows], b[columns], cost[np.ix_(rows, columns)], threads
    )
    empty = np.flatnonzero(b == 0)
    v[empty] = _largest(cost[np.ix_(rows, empty)].T, u[rows])
    empty = np.flatnonzero(a == 0)
    u[empty] = _largest(cost[empty], v)
    return solution_of(a, b, 0, pivots, u, v, (value, rows[sources], columns[sinks], flows))


def _largest(cost: Float, v: Float) -> Float:
    """``min_j cost_ij - v_j``, or 0 where all pairs are forbidden."""
    result = np.array([(row - v).min() for row in cost])
    return np.where(result < np.inf, result, 0.0)
