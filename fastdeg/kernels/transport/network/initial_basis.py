"""First bases for transport: greedy, or refined from the optimal basis of merged clusters."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastdeg.kernels._jit import driver, kernel
from fastdeg.kernels.transport.metrics import Points, pair_cost
from fastdeg.kernels.transport.network.tree import ROOT, build_tree, new_tree


class Level(NamedTuple):
    """Sources x and sinks y in spatial order with their integer masses: the points, or clusters of them."""

    x: Points
    y: Points
    supply: NDArray[np.int64]
    demand: NDArray[np.int64]


class Shipments(NamedTuple):
    """A basis in the making: masses left, sinks still open, arcs so far; ``counts``: how many arcs, how many open."""

    supply: NDArray[np.int64]
    demand: NDArray[np.int64]
    open_sinks: NDArray[np.int64]
    tails: NDArray[np.uint32]
    heads: NDArray[np.uint32]
    flows: NDArray[np.int64]
    costs: NDArray[np.float64]
    counts: NDArray[np.int64]


@driver
def no_shipments(supply, demand):
    """Before the first shipment."""
    n, m = supply.shape[0], demand.shape[0]
    tails, heads = np.empty(n + m, np.uint32), np.empty(n + m, np.uint32)
    flows, costs = np.empty(n + m, np.int64), np.empty(n + m)
    counts = np.empty(2, np.int64)
    counts[0] = 0
    counts[1] = m
    return Shipments(supply.copy(), demand.copy(), np.arange(m), tails, heads, flows, costs, counts)


@driver
def tree_of(made):
    """The tree of the shipments, and whether they are one."""
    tree = new_tree(made.supply.size + made.demand.size)
    return tree, made.counts[0] == tree.parent.size - 1 and build_tree(
        tree, made.tails, made.heads, made.flows, made.costs
    )


@kernel(inline="always")
def ship(made, i, j, cost):
    """Ship as much as possible from source i to sink j."""
    amount = min(made.supply[i], made.demand[j])
    made.supply[i] -= amount
    made.demand[j] -= amount
    e = made.counts[0]
    made.tails[e] = i
    made.heads[e] = made.supply.shape[0] + j
    made.flows[e] = amount
    made.costs[e] = cost
    made.counts[0] += 1


@kernel
def ship_row(made, i, row, v):
    """Ship all of source i, each time to the open sink of least ``row - v``."""
    open_sinks = made.open_sinks
    while made.supply[i] > 0:
        n_open = made.counts[1]
        best = np.inf
        k = 0
        for t in range(n_open):
            j = open_sinks[t]
            value = row[j] - v[j]
            if value < best:
                best = value
                k = t
        j = open_sinks[k]
        ship(made, i, j, row[j])
        if made.demand[j] == 0:
            open_sinks[k] = open_sinks[n_open - 1]
            made.counts[1] -= 1


@kernel
def greedy_basis(metric, level, made):
    """Each source in turn ships to the nearest open sink; `made` is empty before."""
    x, y = level.x.blocks, level.y.blocks
    n, m = level.supply.shape[0], level.demand.shape[0]
    v = np.zeros(m)
    row = np.empty(m)
    for i in range(n):
        for j in range(m):
            row[j] = pair_cost(metric, x, i, y, j)
        ship_row(made, i, row, v)


@kernel
def refined_basis(metric, level, u, v, coarse, leaves, made):
    """Shipments inside an optimal tree of the coarser level (clusters of ``leaves`` points of x and y in a row).

    The coarse tree is taken down leaf by leaf. A leaf cluster ships all it has left to its parent's cluster (or
    receives from there), each point to the open point of least reduced cost. Each shipment closes one point, the last
    one two: ``n + m - 1`` arcs without a cycle, since no two parts have equal masses.
    """
    n, m = level.supply.shape[0], level.demand.shape[0]
    leaf_x, leaf_y = leaves
    n_coarse = (n + leaf_x - 1) // leaf_x
    x, y = level.x.blocks, level.y.blocks
    left_supply, left_demand = made.supply, made.demand
    root = np.uint32(coarse.info[ROOT])
    node = coarse.prev[root]
    while node != root:
        child, parent = np.int64(node), np.int64(coarse.parent[node])
        source, sink = min(child, parent), max(child, parent) - n_coarse
        first_x, end_x = source * leaf_x, min(n, source * leaf_x + leaf_x)
        first_y, end_y = sink * leaf_y, min(m, sink * leaf_y + leaf_y)
        if child < n_coarse:
            for i in range(first_x, end_x):
                while left_supply[i] > 0:
                    j = _nearest_open(metric, x, i, y, v, left_demand, first_y, end_y)
                    if j < 0:
                        return
                    ship(made, i, j, pair_cost(metric, x, i, y, j))
        else:
            for j in range(first_y, end_y):
                while left_demand[j] > 0:
                    i = _nearest_open(metric, y, j, x, u, left_supply, first_x, end_x)
                    if i < 0:
                        return
                    ship(made, i, j, pair_cost(metric, x, i, y, j))
        node = coarse.prev[node]


@kernel
def _nearest_open(metric, xb, i, yb, v, left, first, end):
    """The point j of ``first .. end - 1`` with mass left and the least ``cost_ij - v_j``; -1 where there is none."""
    best = np.inf
    nearest = np.int64(-1)
    for j in range(first, end):
        if left[j] > 0:
            value = pair_cost(metric, xb, i, yb, j) - v[j]
            if value < best:
                best = value
                nearest = j
    return nearest
