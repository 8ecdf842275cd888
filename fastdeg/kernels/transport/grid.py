"""Flows on a grid whose neighbours are joined both ways: the cityblock earth mover's distance with d N edges.

Any spanning tree of the grid carries a flow, whatever the signs: a start needs only a tree along which the costs are
well used, which the potentials of a coarser grid tell.
"""

from __future__ import annotations

import numpy as np

from fastdeg.kernels._jit import kernel
from fastdeg.kernels.transport.tree import ROOT, build_tree, refresh_potentials


@kernel
def balanced_integers(supply, masses):
    """Integer supplies in proportion to the float ones, of which no proper part sums to zero."""
    n = supply.shape[0]
    unit = n + 1
    scale = float((1 << 60) // unit)
    total = 0
    largest = 0
    for i in range(n):
        masses[i] = np.int64(np.rint(supply[i] * scale))
        total += masses[i]
        if abs(supply[i]) > abs(supply[largest]):
            largest = i
    masses[largest] -= total
    for i in range(n):
        masses[i] = masses[i] * unit + 1
    masses[largest] -= n


@kernel
def grid_tree(order, tails, heads, costs, masses, tree):
    """Spanning tree of the edges taken in the given order (Kruskal), with the flows that the masses force on it."""
    n_nodes = masses.shape[0]
    leader = np.arange(n_nodes)
    own_tails = np.empty(n_nodes, np.uint32)
    own_heads = np.empty(n_nodes, np.uint32)
    own_costs = np.empty(n_nodes)
    n_arcs = 0
    for k in range(order.shape[0]):
        e = order[k]
        x = np.int64(tails[e])
        y = np.int64(heads[e])
        while leader[x] != x:
            leader[x] = leader[leader[x]]
            x = leader[x]
        while leader[y] != y:
            leader[y] = leader[leader[y]]
            y = leader[y]
        if x != y:
            leader[x] = y
            own_tails[n_arcs] = tails[e]
            own_heads[n_arcs] = heads[e]
            own_costs[n_arcs] = costs[e]
            n_arcs += 1
    if n_arcs != n_nodes - 1 or not build_tree(tree, own_tails, own_heads, np.zeros(n_nodes, np.int64), own_costs):
        return False
    below = masses.copy()
    root = np.uint32(tree.info[ROOT])
    x = tree.prev[root]
    while x != root:
        tree.direction[x] = 1 if below[x] > 0 else -1
        tree.flow[x] = abs(below[x])
        below[tree.parent[x]] += below[x]
        x = tree.prev[x]
    refresh_potentials(tree)
    return True


@kernel
def match_on_tree(tree, supply, sources, sinks, flows):
    """Pairs (source, sink, amount) of the tree's flow for the float supplies; returns their number (below n_nodes).

    From the leaves up, what a subtree has over meets what another one lacks; each meeting settles one node.
    """
    n_nodes = supply.shape[0]
    left = supply.copy()
    first = np.arange(n_nodes)  # lists of the unsettled nodes below each node, all of one sign
    last = np.arange(n_nodes)
    following = np.full(n_nodes, -1)
    for x in range(n_nodes):
        if supply[x] == 0:
            first[x] = -1
            last[x] = -1
    count = 0
    root = np.uint32(tree.info[ROOT])
    x = tree.prev[root]
    while x != root:
        p = tree.parent[x]
        while first[x] >= 0 and first[p] >= 0 and (left[first[x]] > 0) != (left[first[p]] > 0):
            i = first[x]
            j = first[p]
            amount = min(abs(left[i]), abs(left[j]))
            sources[count] = i if left[i] > 0 else j
            sinks[count] = j if left[i] > 0 else i
            flows[count] = amount
            count += 1
            if abs(left[i]) <= abs(left[j]):
                left[j] += left[i]
                first[x] = following[i]
                if left[j] == 0:
                    first[p] = following[j]
            else:
                left[i] += left[j]
                first[p] = following[j]
        if first[x] >= 0:
            if first[p] >= 0:
                following[last[p]] = first[x]
            else:
                first[p] = first[x]
            last[p] = last[x]
        x = tree.prev[x]
    return count
