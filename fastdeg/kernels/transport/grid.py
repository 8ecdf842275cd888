"""Flows on a grid whose neighbours are joined both ways: the cityblock earth mover's distance with d N edges.

Any spanning tree of the grid carries a flow, whatever the signs: a start needs only a tree along which the costs are
well used, which the potentials of a coarser grid tell.
"""

from __future__ import annotations

import numpy as np

from fastdeg.kernels._jit import kernel
from fastdeg.kernels.transport.network.tree import ROOT, build_tree, refresh_potentials

COARSEST = 100  # grid points at which halving ends


@kernel
def grid_edges(shape, coordinates):
    """Tails, heads and costs of the edges between neighbours, sorted by their tails.

    ``coordinates``: those along each axis, one axis after the other.
    """
    n_axes = shape.shape[0]
    n_nodes = 1
    for k in range(n_axes):
        n_nodes *= shape[k]
    n_edges = 0
    for k in range(n_axes):
        n_edges += n_nodes // shape[k] * (shape[k] - 1)
    tails = np.empty(n_edges, np.uint32)
    heads = np.empty(n_edges, np.uint32)
    costs = np.empty(n_edges)
    index = np.empty(n_axes, np.int64)
    for k in range(n_axes):
        index[k] = 0
    e = 0
    for x in range(n_nodes):
        stride = n_nodes
        first = 0
        for k in range(n_axes):
            stride //= shape[k]
            if index[k] + 1 < shape[k]:
                tails[e] = x
                heads[e] = x + stride
                costs[e] = coordinates[first + index[k] + 1] - coordinates[first + index[k]]
                e += 1
            first += shape[k]
        advance(index, shape)
    return tails, heads, costs


@kernel
def advance(index, shape):
    """The next grid point in C order."""
    k = shape.shape[0] - 1
    while k >= 0:
        index[k] += 1
        if index[k] < shape[k]:
            return
        index[k] = 0
        k -= 1


@kernel
def halve_grid(masses, shape, coordinates):
    """The grid with each two neighbours of every axis merged: masses, shape, coordinates (the middles)."""
    n_axes = shape.shape[0]
    coarse_shape = (shape + 1) // 2
    merged = np.zeros(coarse_shape.prod(), np.int64)
    index = np.zeros(n_axes, np.int64)
    for x in range(masses.shape[0]):
        merged[_cell(index, coarse_shape)] += masses[x]
        advance(index, shape)
    middles = np.empty(coarse_shape.sum())
    first = 0
    t = 0
    for k in range(n_axes):
        for i in range(0, shape[k], 2):
            middles[t] = 0.5 * (coordinates[first + i] + coordinates[first + min(i + 1, shape[k] - 1)])
            t += 1
        first += shape[k]
    return merged, coarse_shape, middles


@kernel
def _cell(index, coarse_shape):
    """Number of the coarse grid point that holds a fine one."""
    cell = 0
    for k in range(index.shape[0]):
        cell = cell * coarse_shape[k] + index[k] // 2
    return cell


@kernel  # the fine grid, the coarse one, and the edges
def edge_preference(tails, heads, costs, shape, coordinates, coarse_shape, middles, coarse):
    """Preference of the edges for the first tree, the lower the better, from the optimal tree of the halved grid.

    Edges in or between cells that the coarse tree joins come first; among these, the ones of least reduced cost under
    the potentials, interpolated linearly along each axis.
    """
    n_axes = shape.shape[0]
    n_nodes = shape.prod()
    low = np.empty(coordinates.shape[0], np.int64)  # on each axis: the coarse point below, and the share of the next
    share = np.empty(coordinates.shape[0])
    first = 0
    first_middle = 0
    for k in range(n_axes):
        for i in range(shape[k]):
            j = min(i // 2, max(coarse_shape[k] - 2, 0))
            if coordinates[first + i] < middles[first_middle + j]:
                j = max(j - 1, 0)
            low[first + i] = j
            share[first + i] = 0.0
            if coarse_shape[k] > 1:
                start = middles[first_middle + j]
                step = middles[first_middle + j + 1] - start
                share[first + i] = min(max((coordinates[first + i] - start) / step, 0.0), 1.0)
        first += shape[k]
        first_middle += coarse_shape[k]
    potential = np.empty(n_nodes)
    cell = np.empty(n_nodes, np.int64)
    index = np.zeros(n_axes, np.int64)
    for x in range(n_nodes):
        cell[x] = _cell(index, coarse_shape)
        potential[x] = 0.0
        for corner in range(1 << n_axes):
            weight = 1.0
            point = 0
            first = 0
            for k in range(n_axes):
                upper = corner >> k & 1
                part = share[first + index[k]]
                weight *= part if upper else 1 - part
                point = point * coarse_shape[k] + min(low[first + index[k]] + upper, coarse_shape[k] - 1)
                first += shape[k]
            if weight > 0:
                potential[x] += weight * coarse.potential[point]
        advance(index, shape)
    far = 10 * costs.max()
    preference = np.empty(costs.shape[0])
    for e in range(costs.shape[0]):
        c = cell[tails[e]]
        d = cell[heads[e]]
        preference[e] = costs[e] - abs(potential[tails[e]] - potential[heads[e]])
        if c != d and coarse.parent[c] != d and coarse.parent[d] != c:
            preference[e] += far
    return preference


@kernel
def lower_to_lipschitz(u, shape, coordinates):
    """Lower u until it changes by no more than the distance between grid points (which removes rounding)."""
    n_nodes = u.shape[0]
    stride = n_nodes
    first = 0
    for k in range(shape.shape[0]):
        block = stride
        stride //= shape[k]
        for x in range(n_nodes):
            i = x % block // stride
            if i > 0:
                u[x] = min(u[x], u[x - stride] + (coordinates[first + i] - coordinates[first + i - 1]))
        for x in range(n_nodes - 1, -1, -1):
            i = x % block // stride
            if i < shape[k] - 1:
                u[x] = min(u[x], u[x + stride] + (coordinates[first + i + 1] - coordinates[first + i]))
        first += shape[k]


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
    leader = np.empty(n_nodes, np.int64)
    for k in range(n_nodes):
        leader[k] = k
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
    if n_arcs != n_nodes - 1 or not build_tree(tree, own_tails, own_heads, masses, own_costs):  # `carry` has the flows
        return False
    carry(tree, masses)
    return True


@kernel
def carry(tree, masses):
    """Put the flows on a tree that the masses force on it, whatever it carried before; its potentials follow."""
    below = masses.copy()
    root = np.uint32(tree.info[ROOT])
    x = tree.prev[root]
    while x != root:
        tree.direction[x] = 1 if below[x] > 0 else -1
        tree.flow[x] = abs(below[x])
        below[tree.parent[x]] += below[x]
        x = tree.prev[x]
    refresh_potentials(tree)


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
