"""Drivers of the network simplex, for Python and for compiled callers; transport with a given cost matrix."""

from __future__ import annotations

from typing import NamedTuple

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
from fastdeg.kernels.transport.network.pricing import Arcs, Found, no_arcs, no_columns, with_found
from fastdeg.kernels.transport.network.simplex import BUDGET, PAUSED, UNBOUNDED, search, search_to_the_end
from fastdeg.kernels.transport.network.subtrees import (
    divide_tree,
    join_subtrees,
    search_subtrees,
    sort_arcs,
    take_subtrees,
)
from fastdeg.kernels.transport.network.tree import PIVOTS, Tree, new_tree, read_plan
from fastdeg.kernels.transport.small import solve_small

TOLERANCE = 1e-14  # reduced costs below this share of the largest potential are rounding
LEAST_DIVIDED = 3_000  # nodes from which on the tree is solved in subtrees first
FIRST_SUBTREE, GROWTH = 400, 4  # nodes of the subtrees
PARALLEL_NODES = 10_000  # nodes from which on subtrees are solved in parallel
LARGE_TREE, LARGE_TREE_GROWTH = 20_000, 2  # large trees repay more rounds
SUBTREES_BUDGET = 200_000_000  # nodes and arcs touched in one round over the subtrees: about 0.5 s
ALL_ARCS = 10_000  # entries of a cost matrix up to which all are in the list from the start
FIRST_ARCS = 6  # arcs of each point to begin with
TALL = 32  # rows over columns from which on some of the rows tell where to start
SAMPLED = 8  # rows for each of these
MOST_ROUNDS = 100
PARALLEL_ENTRIES = 4_000_000  # entries from which on a matrix is priced in parallel

NONE = np.empty((0, 0))

Plan = tuple[float, NDArray[np.int64], NDArray[np.int64], Float]  # value, sources, sinks, flows


class Solution(NamedTuple):
    """Optimal plan (sources, sinks, flows), its cost, potentials feasible for all pairs, gap, pivots."""

    value: float
    u: Float
    v: Float
    gap: float
    n_pivots: int
    sources: NDArray[np.int64]
    sinks: NDArray[np.int64]
    flows: Float


@driver(compiled=search_to_the_end)
def optimise(tree: Tree, arcs: Arcs, undirected: bool, tolerance: float) -> None:
    """Run the simplex on the arcs to the end, in steps between which Python sees interrupts."""
    status = PAUSED
    while status == PAUSED:
        status = search(tree, arcs, undirected, tolerance, BUDGET)
    check(status)


def check(status: int) -> None:
    """Raise where a search found no end."""
    if status == UNBOUNDED:
        raise FloatingPointError("transport: a cycle without a limiting arc, the costs are beyond floating point")


@kernel
def _whole_tree_alone(tree, arcs, undirected, tolerance, threads):  # type: ignore[no-untyped-def]
    return


@driver(compiled=_whole_tree_alone)
def optimise_subtrees(tree: Tree, arcs: Arcs, undirected: bool, tolerance: float, threads: int | None) -> None:
    """Pivots inside growing subtrees, where they are cheap; small trees are left alone."""
    n_nodes = tree.parent.size
    size = FIRST_SUBTREE if n_nodes >= LEAST_DIVIDED else n_nodes
    growth = GROWTH if n_nodes < LARGE_TREE else LARGE_TREE_GROWTH
    while growth * size < n_nodes:
        label, slot = np.empty(n_nodes, np.int64), np.empty(n_nodes, np.int64)
        first = divide_tree(tree, size, label, slot)
        inside, first_arc = sort_arcs(label, slot, first, arcs)
        subtrees = new_tree(n_nodes)
        infos = np.empty((first.size - 1, tree.info.size), np.int64)
        take_subtrees(tree, label, slot, first, subtrees, infos)
        count = threads if n_nodes >= PARALLEL_NODES else 1
        search_subtrees(
            subtrees, infos, first, inside, first_arc, undirected, tolerance, SUBTREES_BUDGET, threads=count
        )
        if not join_subtrees(tree, slot, first, subtrees, infos):
            raise AssertionError("transport: the subtrees do not form a spanning tree")
        size *= growth


@driver
def rounding(tree: Tree, largest_cost: float) -> float:
    """Reduced costs no larger than this are rounding."""
    return TOLERANCE * max(largest_cost, tree.potential.max(), -tree.potential.min())


def n_pivots(tree: Tree) -> int:
    """Pivots that the tree has gone through."""
    return int(tree.info[PIVOTS])


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


def solution_of(a: Float, b: Float, status: int, pivots: int, u: Float, v: Float, plan: Plan) -> Solution:
    """Solution with the gap between the value of a plan and that of potentials."""
    check(status)
    # not "@": the threads of BLAS cost more than they save
    gap = max(0.0, plan[0] - float((u * a).sum() + (v * b).sum()))
    return Solution(plan[0], u, v, gap, int(pivots), *plan[1:])
