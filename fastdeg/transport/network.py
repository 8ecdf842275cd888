"""Drivers of the network simplex, for Python and for compiled callers."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastdeg._types import Float
from fastdeg.kernels._jit import driver, kernel
from fastdeg.kernels.transport.network.pricing import Arcs
from fastdeg.kernels.transport.network.simplex import BUDGET, PAUSED, UNBOUNDED, search, search_to_the_end
from fastdeg.kernels.transport.network.subtrees import (
    divide_tree,
    join_subtrees,
    search_subtrees,
    sort_arcs,
    take_subtrees,
)
from fastdeg.kernels.transport.network.tree import PIVOTS, Tree, new_tree

TOLERANCE = 1e-14  # reduced costs below this share of the largest potential are rounding
LEAST_DIVIDED = 3_000  # nodes from which on the tree is solved in subtrees first
FIRST_SUBTREE, GROWTH = 400, 4  # nodes of the subtrees
PARALLEL_NODES = 10_000  # nodes from which on subtrees are solved in parallel
LARGE_TREE, LARGE_TREE_GROWTH = 20_000, 2  # large trees repay more rounds
SUBTREES_BUDGET = 200_000_000  # nodes and arcs touched in one round over the subtrees: about 0.5 s
ALL_ARCS = 10_000  # entries of a cost matrix up to which all are in the list from the start
FIRST_ARCS = 6  # arcs of each point to begin with
ROUNDS_ALIKE = 3  # rounds of pricing after which twice as many arcs of each point are added

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


def solution_of(a: Float, b: Float, status: int, pivots: int, u: Float, v: Float, plan: Plan) -> Solution:
    """Solution with the gap between the value of a plan and that of potentials."""
    check(status)
    # not "@": the threads of BLAS cost more than they save
    gap = max(0.0, plan[0] - float((u * a).sum() + (v * b).sum()))
    return Solution(plan[0], u, v, gap, int(pivots), *plan[1:])
