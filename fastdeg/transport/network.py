"""From an optimal spanning tree to value, plan and certificate; transport with a given cost matrix."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastdeg.kernels.transport.cost_matrix import (
    column_minima,
    price_columns,
    price_matrix,
    regrets,
    row_minima,
    solve_with_all_arcs,
    start_dense,
)
from fastdeg.kernels.transport.network.pricing import append_arcs, keep_near
from fastdeg.kernels.transport.network.simplex import BUDGET, PAUSED, RENUMBER_FROM, UNBOUNDED, run_simplex, search
from fastdeg.kernels.transport.network.subtrees import divide_tree, join_pieces, search_pieces, sort_arcs, take_pieces
from fastdeg.kernels.transport.network.tree import PIVOTS, Tree, new_tree, read_plan

TOLERANCE = 1e-14  # reduced costs below this share of the largest potential are rounding
LEAST_DIVIDED = 3_000  # nodes from which on the tree is solved in pieces first
FIRST_PIECE, PIECE_GROWTH = 400, 4  # nodes of the pieces
PARALLEL_NODES = 10_000  # nodes from which on pieces run in parallel
LARGE_TREE, LARGE_TREE_GROWTH = 20_000, 2  # large trees repay more rounds
PIECES_BUDGET = 200_000_000  # nodes and arcs touched in one round over the pieces: about 0.5 s
ALL_ARCS = 10_000  # entries of a cost matrix up to which all are in the list from the start
FIRST_ARCS = 6  # arcs of each point to begin with
TALL = 32  # rows over columns from which on some of the rows tell where to start
SAMPLED = 8  # rows for each of these
NEAR = 3.0  # arcs with reduced costs up to so many times the most negative one stay in the list
MOST_ROUNDS = 100
PARALLEL_ENTRIES = 4_000_000  # entries from which on a matrix is priced in parallel

Floats = NDArray[np.float64]


class Solution(NamedTuple):
    """Optimal plan (sources, sinks, flows), its cost, potentials feasible for all pairs, gap, pivots."""

    value: float
    u: NDArray[np.float64]
    v: NDArray[np.float64]
    gap: float
    n_pivots: int
    sources: NDArray[np.int64]
    sinks: NDArray[np.int64]
    flows: NDArray[np.float64]


def optimise(
    tree: Tree,
    tails: NDArray[np.uint32],
    heads: NDArray[np.uint32],
    costs: NDArray[np.float64],
    n_arcs: int,
    tolerance: float,
    *,
    undirected: bool = False,
) -> None:
    """Run the simplex on the arcs to the end, in steps between which Python sees interrupts."""
    step = run_simplex if tree.parent.size >= RENUMBER_FROM else search
    while True:
        status = step(tree, tails, heads, costs, n_arcs, undirected, tolerance, BUDGET)
        check(status)
        if status != PAUSED:
            break


def check(status: int) -> None:
    """Raise where a search found no end."""
    if status == UNBOUNDED:
        raise FloatingPointError("transport: a cycle without a limiting arc, the costs are beyond floating point")


def optimise_pieces(
    tree: Tree,
    tails: NDArray[np.uint32],
    heads: NDArray[np.uint32],
    costs: NDArray[np.float64],
    n_arcs: int,
    tolerance: float,
    threads: int | None,
    *,
    undirected: bool = False,
) -> None:
    """Pivots inside growing pieces of the tree, where they are cheap; small trees are left alone."""
    n_nodes = tree.parent.size
    size = FIRST_PIECE if n_nodes >= LEAST_DIVIDED else n_nodes
    growth = PIECE_GROWTH if n_nodes < LARGE_TREE else LARGE_TREE_GROWTH
    while growth * size < n_nodes:
        piece, slot = np.empty(n_nodes, np.int64), np.empty(n_nodes, np.int64)
        first = divide_tree(tree, size, piece, slot)
        own_tails, own_heads, own_costs = np.empty(n_arcs, np.uint32), np.empty(n_arcs, np.uint32), np.empty(n_arcs)
        first_arc = sort_arcs(piece, slot, first, tails, heads, costs, n_arcs, own_tails, own_heads, own_costs)
        pieces = new_tree(n_nodes)
        infos = np.empty((first.size - 1, tree.info.size), np.int64)
        take_pieces(tree, piece, slot, first, pieces, infos)
        search_pieces(
            pieces,
            infos,
            first,
            own_tails,
            own_heads,
            own_costs,
            first_arc,
            undirected,
            tolerance,
            PIECES_BUDGET,
            threads=threads if n_nodes >= PARALLEL_NODES else 1,
        )
        if not join_pieces(tree, piece, slot, first, pieces, infos):
            raise AssertionError("transport: the pieces do not form a spanning tree")
        size *= growth


def rounding(tree: Tree, largest_cost: float) -> float:
    """Reduced costs no larger than this are rounding."""
    return TOLERANCE * max(largest_cost, float(tree.potential.max()), -float(tree.potential.min()))


def n_pivots(tree: Tree) -> int:
    """Pivots that the tree has gone through."""
    return int(tree.info[PIVOTS])


class Arcs:
    """A list of arcs that grows."""

    def __init__(self, n_sources: int, capacity: int) -> None:
        self.n_sources = n_sources
        self.tails = np.empty(capacity, np.uint32)
        self.heads = np.empty(capacity, np.uint32)
        self.costs = np.empty(capacity)
        self.count = 0
        self.n_new = 0  # the last arcs of the list, which no pivot has seen

    def append(self, found: int, arcs: NDArray[np.int64], costs: Floats, *, transposed: bool) -> None:
        """Add the arcs that pricing found; transposed: its rows were sinks."""
        if self.count + found > self.tails.size:
            capacity = 2 * self.tails.size + found
            self.tails = np.resize(self.tails, capacity)
            self.heads = np.resize(self.heads, capacity)
            self.costs = np.resize(self.costs, capacity)
        self.count = append_arcs(
            arcs, costs, self.n_sources, transposed, self.tails, self.heads, self.costs, self.count
        )
        self.n_new += found

    def keep_near(self, tree: Tree) -> None:
        """Drop arcs far from entering the basis, in comparison with the new arcs; pricing sees all."""
        n_old = self.count - self.n_new
        self.count = keep_near(tree, self.tails, self.heads, self.costs, n_old, self.count, NEAR)


def solve_matrix(a: Floats, b: Floats, cost: Floats, threads: int | None = None) -> Solution:
    """Transport of masses a to b, each of sum one, at the C-ordered costs; no checks.

    Low-overhead entry for repeated calls.
    """
    n, m = cost.shape
    if n * m > ALL_ARCS and m > TALL * n:
        there = solve_matrix(b, a, np.ascontiguousarray(cost.T), threads)
        return there._replace(u=there.v, v=there.u, sources=there.sinks, sinks=there.sources)
    tree = new_tree(n + m)
    u, v = np.empty(n), np.empty(m)
    if n * m <= ALL_ARCS:
        check(solve_with_all_arcs(cost, a, b, TOLERANCE, u, v, tree))
        return finish(a, b, u, v, n_pivots(tree), *read_plan(tree, a, b))
    if not start_dense(cost, a, b, _first_potentials(a, b, cost, threads, v), v, tree):
        raise AssertionError("transport: the first basis is not a spanning tree")
    threads = threads if n * m >= PARALLEL_ENTRIES else 1
    row_minima(cost, v, u)
    arcs = Arcs(n, (n + m) * 8)
    columns, column_costs = np.empty((n, min(FIRST_ARCS, m)), np.int64), np.empty((n, min(FIRST_ARCS, m)))
    row_min = np.empty(n)
    rows, row_costs = np.empty((m, 1), np.int64), np.empty((m, 1))
    found = price_matrix(cost, u, v, np.inf, -np.inf, columns, column_costs, row_min, threads=threads)
    arcs.append(found, columns, column_costs, transposed=False)
    arcs.append(price_columns(cost, u, v, -np.inf, rows, row_costs), rows, row_costs, transposed=True)
    largest = max(float(cost.max()), -float(cost.min()))  # without a copy of its size
    for round_ in range(MOST_ROUNDS):
        tolerance = rounding(tree, largest)
        before = n_pivots(tree)
        optimise_pieces(tree, arcs.tails, arcs.heads, arcs.costs, arcs.count, tolerance, 1)
        optimise(tree, arcs.tails, arcs.heads, arcs.costs, arcs.count, tolerance)
        u, v = -tree.potential[:n], tree.potential[n:].copy()
        found = price_matrix(cost, u, v, 0.0, tolerance, columns, column_costs, row_min, threads=threads)
        if found == 0 or (round_ > 0 and n_pivots(tree) == before):
            break
        arcs.append(found, columns, column_costs, transposed=False)
        arcs.append(price_columns(cost, u, v, tolerance, rows, row_costs), rows, row_costs, transposed=True)
    return finish(a, b, row_min, v, n_pivots(tree), *read_plan(tree, a, b))


def _first_potentials(a: Floats, b: Floats, cost: Floats, threads: int | None, v: Floats) -> NDArray[np.int64]:
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


def finish(
    a: Floats, b: Floats, u: Floats, v: Floats, pivots: int, value: float, *plan: NDArray[np.int64] | Floats
) -> Solution:
    """Solution with the gap between the value of a plan (sources, sinks, flows) and that of potentials."""
    # not "@": the threads of BLAS cost more than they save
    gap = max(0.0, value - float((u * a).sum() + (v * b).sum()))
    return Solution(value, u, v, gap, pivots, *plan)  # type: ignore[arg-type]
