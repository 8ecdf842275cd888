"""Forests on a grid of flows to demands of an entropic cost: their trees, what they keep of the masses, what they cost.

minimise Σ c p + τ Σ p log p + Σ length · |flow| over flows with divergence p − q. Where flow runs from x to y, the
potential rises by the length of the step; and p = exp(exponent − potential / τ). Cells that flows join are a tree,
whose one unknown constant follows from its mass of q.

A forest is two bits for each axis in its basis: bit 2 k of a cell for the arc to its upper neighbour along axis k, bit
2 k + 1 for that to its lower one. Flow runs in the direction in which the potential rises. Sums of q over cells must
be exact (see `crafting.forest`): what has no mass of q is told by that.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastdeg.kernels._jit import kernel
from fastdeg.kernels.linalg.elementary import bounded_exp

LOWER_BITS = np.uint32(0x55555555)  # of basis: those for upper neighbours
BITS_APART = np.uint32(37)  # a prime by which all powers of two below 2³² leave other remainders
UNREACHED = 1e150  # potential of a cell that is in no tree yet
LARGEST_EXPONENT = 690.0  # in size, where p is computed
FAR = 2.5  # logarithm of the factor up to which p is multiplied; beyond, it is computed anew


@kernel
def basic_neighbour(x, basic, offsets):
    """The neighbour that the lowest bit of some basis of x stands for, and the other bits."""
    rest = np.uint32(basic & (basic - np.uint32(1)))
    return x + offsets[(basic ^ rest) % BITS_APART], rest


class Grid(NamedTuple):
    """Cells along each axis, cells from one to the next along it, and lengths of the steps (d, longest axis)."""

    shape: NDArray[np.int64]
    strides: NDArray[np.int64]
    steps: NDArray[np.float64]


class Forest(NamedTuple):
    """The arcs of each cell in the basis, the potential, and p."""

    basis: NDArray[np.uint32]
    potential: NDArray[np.float64]
    p: NDArray[np.float64]


class Tree(NamedTuple):
    """Room for a tree in breadth-first order.

    Cells, places of their parents, the cells' bits for the arcs to them, sums of p and of q over the subtrees, and
    whether the potential rises to the parent.
    """

    order: NDArray[np.uint32]
    up: NDArray[np.uint32]
    back: NDArray[np.uint32]
    mass: NDArray[np.float64]
    target: NDArray[np.float64]
    rises: NDArray[np.bool_]


@kernel
def new_tree(n_cells):
    """Room for a tree of up to so many cells."""
    return Tree(
        np.empty(n_cells, np.uint32),
        np.empty(n_cells, np.uint32),
        np.empty(n_cells, np.uint32),
        np.empty(n_cells),
        np.empty(n_cells),
        np.empty(n_cells, np.bool_),
    )


@kernel
def add_arc(basis, strides, axis, x):
    """Join cell x with its upper neighbour."""
    basis[x] |= np.uint32(1 << (2 * axis))
    basis[x + strides[axis]] |= np.uint32(2 << (2 * axis))


@kernel
def remove_arc(basis, tree, k):
    """Cut the cell at place k off its parent."""
    back = tree.back[k]
    basis[tree.order[k]] &= ~back
    basis[tree.order[tree.up[k]]] &= ~opposite(back)


@kernel(inline="always")
def opposite(bit):
    """The bit of a neighbour for the arc that a bit stands for."""
    return (bit & LOWER_BITS) << np.uint32(1) | (bit >> np.uint32(1)) & LOWER_BITS


@kernel
def neighbour_offsets(strides):
    """From a cell to the neighbour that a bit of its basis stands for, at the remainder of the bit by a prime."""
    offsets = np.zeros(BITS_APART, np.int64)
    for axis in range(len(strides)):
        offsets[(1 << (2 * axis)) % BITS_APART] = strides[axis]
        offsets[(2 << (2 * axis)) % BITS_APART] = -strides[axis]
    return offsets


@kernel
def breadth_first(forest, q, offsets, root, tree):
    """Fill in the tree of a cell, from there on, but for the sums; return the number of its cells."""
    basis, potential, p = forest
    order, up, back, mass, target, rises = tree
    order[0] = root
    back[0] = 0
    up[0] = 0
    count = np.uint32(1)
    k = np.uint32(0)
    while k < count:
        x = order[k]
        rises[k] = potential[order[up[k]]] > potential[x]
        mass[k] = p[x]
        target[k] = q[x]
        basic = basis[x] & ~back[k]
        while basic:
            bit = basic & (~basic + np.uint32(1))
            basic ^= bit
            order[count] = x + offsets[bit % BITS_APART]
            up[count] = k
            back[count] = opposite(bit)
            count += np.uint32(1)
        k += np.uint32(1)
    return np.int64(count)


@kernel
def sum_subtrees(tree, count):
    """Sum p and q over the subtrees."""
    up, mass, target = tree.up, tree.mass, tree.target
    for k in range(count - 1, 0, -1):
        mass[up[k]] += mass[k]
        target[up[k]] += target[k]


@kernel
def next_tree(forest, q, offsets, x, tree, seen):
    """Fill in the tree of a cell, and its sums, and see its cells; return their number.

    For each cell not seen before: to call takes as long as to visit ten cells, so the caller looks.
    """
    count = breadth_first(forest, q, offsets, x, tree)
    sum_subtrees(tree, count)
    for k in range(count):
        seen[tree.order[k]] = True
    return count


@kernel
def mass_at(exponent, potential, tau):
    """p of a cell, within the range of float64."""
    return bounded_exp(min(max(exponent - potential / tau, -LARGEST_EXPONENT), LARGEST_EXPONENT))


@kernel
def scale(tree, count, log_factor, tau, exponents, forest):
    """Multiply p of a tree by a factor."""
    order, potential, p = tree.order, forest.potential, forest.p
    factor = np.exp(log_factor) if abs(log_factor) < FAR else 0.0
    shift = tau * log_factor
    for k in range(count):
        x = order[k]
        potential[x] -= shift
        if factor > 0:
            p[x] *= factor
        else:
            p[x] = mass_at(exponents[x], potential[x], tau)


@kernel
def balance_trees(strides, tau, exponents, q, drop, unbalanced, forest):
    """Balance the trees of ``unbalanced`` cells and drop flows that run against their direction.

    Cells stay unbalanced whose trees have come apart. Those without mass of q fall apart wholly: their cells, at an
    unreached potential, are for `attach`. Returns whether a flow was dropped, and whether cells are unreached.
    """
    basis, potential, p = forest
    n_cells = len(p)
    offsets = neighbour_offsets(strides)
    tree = new_tree(n_cells)
    seen = ~unbalanced
    dropped, unreached = False, False
    for x in range(n_cells):
        if seen[x]:
            continue
        if basis[x] == 0 and q[x] > 0:  # a tree of one cell, of which there may be thousands, keeps its mass of q
            potential[x] = tau * (exponents[x] - np.log(q[x]))
            p[x] = q[x]
            unbalanced[x] = False
            continue
        count = next_tree(forest, q, offsets, x, tree, seen)
        order, mass, target, rises = tree.order, tree.mass, tree.target, tree.rises
        if not target[0] > 0:
            for k in range(count):
                basis[order[k]] = 0
                potential[order[k]] = UNREACHED
                p[order[k]] = 0.0
            unreached = True
            continue
        log_factor = np.log(target[0] / mass[0])
        scale(tree, count, log_factor, tau, exponents, forest)
        factor = np.exp(log_factor)
        whole = True
        for k in range(1, count if drop else 0):
            # what has no q of its own is flowed into, however little
            flow = target[k] - factor * mass[k] if 0 < target[k] < target[0] else target[k] - 0.5 * target[0]
            if flow != 0 and rises[k] != (flow > 0):
                remove_arc(basis, tree, k)
                whole = False
        dropped |= not whole
        for k in range(count if whole else 0):
            unbalanced[order[k]] = False
    return dropped, unreached


@kernel
def flow_cost(strides, q, forest):
    """Σ length · |flow| of the forest's flows."""
    basis, potential, p = forest
    n_cells = len(p)
    offsets = neighbour_offsets(strides)
    tree = new_tree(n_cells)
    seen = np.zeros(n_cells, np.bool_)
    cost = 0.0
    for x in range(n_cells):
        if seen[x] or basis[x] == 0:
            continue
        for k in range(1, next_tree(forest, q, offsets, x, tree, seen)):
            rise = abs(potential[tree.order[tree.up[k]]] - potential[tree.order[k]])
            cost += rise * abs(tree.target[k] - tree.mass[k])
    return cost
