"""Exact transport for a given cost matrix: network simplex on all arcs."""

from __future__ import annotations

import numpy as np

from fastdeg.kernels._jit import kernel
from fastdeg.kernels.transport.simplex import integer_masses
from fastdeg.kernels.transport.tree import build_tree


@kernel
def greedy_start(cost, v, supply, demand, tails, heads, flows, costs):
    """Basic feasible flow: each source in turn ships to the open sink of least ``cost - v``."""
    n, m = cost.shape
    left = demand.copy()
    open_sinks = np.arange(m)
    n_open = m
    n_arcs = 0
    for i in range(n):
        rest = supply[i]
        while rest > 0:
            best = np.inf
            k = 0
            for t in range(n_open):
                j = open_sinks[t]
                value = cost[i, j] - v[j]
                if value < best:
                    best = value
                    k = t
            j = open_sinks[k]
            amount = min(rest, left[j])
            rest -= amount
            left[j] -= amount
            tails[n_arcs] = i
            heads[n_arcs] = n + j
            flows[n_arcs] = amount
            costs[n_arcs] = cost[i, j]
            n_arcs += 1
            if left[j] == 0:
                n_open -= 1
                open_sinks[k] = open_sinks[n_open]
    return n_arcs


@kernel
def start_dense(cost, a, b, tree):
    """First basis for the cost matrix."""
    n, m = cost.shape
    supply = np.empty(n, np.int64)
    demand = np.empty(m, np.int64)
    integer_masses(a, b, supply, demand)
    v = np.full(m, np.inf)
    for i in range(n):
        for j in range(m):
            v[j] = min(v[j], cost[i, j])
    tails = np.empty(n + m, np.int32)
    heads = np.empty(n + m, np.int32)
    flows = np.empty(n + m, np.int64)
    costs = np.empty(n + m)
    greedy_start(cost, v, supply, demand, tails, heads, flows, costs)
    return build_tree(tree, tails, heads, flows, costs)


@kernel
def row_minima(cost, v, u):
    """``u[i] = min_j cost[i, j] - v[j]``: the largest u that is dual feasible with v."""
    n, m = cost.shape
    for i in range(n):
        best = np.inf
        for j in range(m):
            best = min(best, cost[i, j] - v[j])
        u[i] = best


@kernel
def all_arcs(cost, tails, heads):
    """Ends of every arc, row by row."""
    n, m = cost.shape
    for i in range(n):
        for j in range(m):
            tails[i * m + j] = i
            heads[i * m + j] = n + j
