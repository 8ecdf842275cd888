"""First bases for transport between points: greedy, or refined from the optimal basis of merged clusters."""

from __future__ import annotations

import numpy as np

from fastdeg.kernels._jit import kernel
from fastdeg.kernels.transport.metrics import pair_cost
from fastdeg.kernels.transport.network.tree import ROOT


@kernel
def greedy_basis(metric, x, y, supply, demand, tails, heads, flows, costs):
    """Basis in which each source in turn ships to the nearest open sink; returns the number of its arcs."""
    n, m = supply.shape[0], demand.shape[0]
    xb, yb = x.blocks, y.blocks
    left = demand.copy()
    v = np.zeros(m)
    row = np.empty(m)
    open_sinks = np.empty(m, np.int64)
    for j in range(m):
        open_sinks[j] = j
    n_open = m
    n_arcs = np.int64(0)  # a plain 0 would be compiled a second time, as a literal
    for i in range(n):
        for j in range(m):
            row[j] = pair_cost(metric, xb, i, yb, j)
        n_arcs, n_open = ship_row(row, v, i, supply, left, open_sinks, n_open, tails, heads, flows, costs, n_arcs)
    return n_arcs


@kernel
def ship_row(row, v, i, supply, left, open_sinks, n_open, tails, heads, flows, costs, n_arcs):
    """Ship all of source i, each time to the open sink of least ``row - v``; the numbers of arcs and of open sinks."""
    rest = supply[i]
    while rest > 0:
        best = np.inf
        k = 0
        for t in range(n_open):
            j = open_sinks[t]
            value = row[j] - v[j]
            if value < best:
                best = value
                k = t
        j = open_sinks[k]
        amount = min(rest, left[j])
        rest -= amount
        left[j] -= amount
        tails[n_arcs] = i
        heads[n_arcs] = supply.shape[0] + j
        flows[n_arcs] = amount
        costs[n_arcs] = row[j]
        n_arcs += 1
        if left[j] == 0:
            n_open -= 1
            open_sinks[k] = open_sinks[n_open]
    return n_arcs, n_open


@kernel
def refined_basis(metric, x, y, u, v, supply, demand, coarse, leaf_x, leaf_y, tails, heads, flows, costs):
    """Basis of the fine problem inside an optimal basis of the coarse one (clusters of so many points in a row).

    The coarse tree is taken down leaf by leaf. A leaf cluster ships all it has left to its parent's cluster (or
    receives from there), each point to the open point of least reduced cost. Each shipment closes one point, the last
    one two:
    ``n + m - 1`` arcs without a cycle, since no two parts have equal masses. Returns their number.
    """
    n, m = supply.shape[0], demand.shape[0]
    n_coarse = (n + leaf_x - 1) // leaf_x
    xb, yb = x.blocks, y.blocks
    left_supply = supply.copy()
    left_demand = demand.copy()
    n_arcs = np.int64(0)  # a plain 0 would be compiled a second time, as a literal
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
                    j = _nearest_open(metric, xb, i, yb, v, left_demand, first_y, end_y)
                    if j < 0:
                        return 0
                    n_arcs = _ship(metric, xb, i, yb, j, left_supply, left_demand, tails, heads, flows, costs, n_arcs)
        else:
            for j in range(first_y, end_y):
                while left_demand[j] > 0:
                    i = _nearest_open(metric, yb, j, xb, u, left_supply, first_x, end_x)
                    if i < 0:
                        return 0
                    n_arcs = _ship(metric, xb, i, yb, j, left_supply, left_demand, tails, heads, flows, costs, n_arcs)
        node = coarse.prev[node]
    return n_arcs


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


@kernel
def _ship(metric, xb, i, yb, j, left_supply, left_demand, tails, heads, flows, costs, n_arcs):
    """Ship as much as possible from source i to sink j."""
    amount = min(left_supply[i], left_demand[j])
    left_supply[i] -= amount
    left_demand[j] -= amount
    tails[n_arcs] = i
    heads[n_arcs] = left_supply.shape[0] + j
    flows[n_arcs] = amount
    costs[n_arcs] = pair_cost(metric, xb, i, yb, j)
    return n_arcs + 1
