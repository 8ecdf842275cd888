"""Where forests come from: active flows of a splitting, the spanning tree of a transport problem, potentials."""

import numpy as np

from fastdeg.kernels._jit import kernel
from fastdeg.kernels.crafting.forest.forest import UNREACHED, Forest, add_arc, neighbour_offsets, new_tree, next_tree
from fastdeg.kernels.transport.network.tree import ROOT

LEVELS = np.array([64.0, 16.0, 4.0, 2.0, 1.25, 1.0])  # between these ratios the order is that of the edges


@kernel
def _root(leader, offset, x):
    """Root of x and the potential of x above it; the way there is halved."""
    above = 0.0
    while leader[x] != x:
        up = leader[x]
        offset[x] += offset[up]
        leader[x] = leader[up]
        above += offset[x]
        x = leader[x]
    return x, above


@kernel
def attach(shape, strides, steps, basis, potential):
    """Tie each unreached cell to the neighbour through which a flow reaches it at the lowest potential."""
    n_axes = len(shape)
    cells = np.flatnonzero(potential >= UNREACHED)
    place = np.empty((len(cells), n_axes), np.int32)  # their coordinates: a division takes as long as all else
    for k in range(len(cells)):
        rest = cells[k]
        for axis in range(n_axes):
            place[k, axis] = rest // strides[axis]
            rest -= place[k, axis] * strides[axis]
    source = np.full(len(cells), -1, np.int32)
    lowered = True
    while lowered:
        lowered = False
        for way in range(2):
            for step in range(len(cells)):
                k = step if way == 0 else len(cells) - 1 - step
                x = cells[k]
                for axis in range(n_axes):
                    c, stride = place[k, axis], strides[axis]
                    if c > 0 and potential[x - stride] + steps[axis, c - 1] < potential[x]:
                        potential[x], source[k] = potential[x - stride] + steps[axis, c - 1], 2 * axis + 1
                        lowered = True
                    if c + 1 < shape[axis] and potential[x + stride] + steps[axis, c] < potential[x]:
                        potential[x], source[k] = potential[x + stride] + steps[axis, c], 2 * axis
                        lowered = True
    for k in range(len(cells)):
        if source[k] >= 0:
            axis = source[k] // 2
            add_arc(basis, strides, axis, cells[k] if source[k] % 2 == 0 else cells[k] - strides[axis])


@kernel
def forest_from_flows(shape, strides, steps, inverse_rates, flows, basis, potential):
    """Tie the ends of the flows that shrinkage leaves, |s| > threshold, those of the largest s / threshold first.

    An arc that would close a circle is left out. The potential of each tree is relative to that of one of its cells.
    """
    n_axes, n_cells = len(shape), len(basis)
    leader = np.arange(n_cells)
    offset = np.zeros(n_cells)
    basis[:] = 0
    above = np.inf
    for level in LEVELS:
        for k in range(n_axes):
            n, stride = shape[k], strides[k]
            for first in range(0, n_cells, n * stride):
                for c in range(n - 1):
                    length = steps[k, c]
                    threshold = length * inverse_rates[k]
                    for i in range(first + c * stride, first + (c + 1) * stride):
                        s = flows[k, i]
                        if level * threshold < abs(s) <= above * threshold:
                            root_i, above_i = _root(leader, offset, i)
                            root_j, above_j = _root(leader, offset, i + stride)
                            if root_i != root_j:
                                leader[root_i] = root_j
                                offset[root_i] = (length if s > 0 else -length) - above_i + above_j
                                add_arc(basis, strides, k, i)
        above = level
    for x in range(n_cells):
        _, potential[x] = _root(leader, offset, x)


@kernel
def forest_from_tree(shape, strides, steps, tree, basis, potential):
    """Tie the ends of the arcs of a spanning tree that carry flow, and take its potential."""
    n_cells = len(basis)
    basis[:] = 0
    root = np.int64(tree.info[ROOT])
    x = root
    for _ in range(n_cells):
        y = np.int64(tree.parent[x])
        if x == root:
            potential[x] = 0.0
        else:
            low, high = min(x, y), max(x, y)
            axis = 0
            while strides[axis] != high - low or shape[axis] == 1:
                axis += 1
            length = steps[axis, low // strides[axis] % shape[axis]]
            # the arc runs from the demand to the supply: p − q
            potential[x] = potential[y] + (length if tree.direction[x] == 1 else -length)
            if tree.flow[x] > n_cells:  # less is what makes the masses non-degenerate
                add_arc(basis, strides, axis, low)
        x = np.int64(tree.next[x])


@kernel
def label_trees(strides, q, basis, group, mass):
    """Number the trees: the one of each cell, and their mass of q; return how many."""
    n_cells = len(basis)
    forest = Forest(basis, q, q)
    offsets = neighbour_offsets(strides)
    tree = new_tree(n_cells)
    seen = np.zeros(n_cells, np.bool_)
    count = 0
    for x in range(n_cells):
        if seen[x]:
            continue
        group[x], mass[count] = count, q[x]
        if basis[x] != 0:  # more than this cell
            for k in range(next_tree(forest, q, offsets, x, tree, seen)):
                group[tree.order[k]] = count
            mass[count] = tree.target[0]
        count += 1
    return count
