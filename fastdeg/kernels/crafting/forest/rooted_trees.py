"""Rooted trees of a forest on a grid, whose sums over subtrees and factors are at hand: for `network_simplex`.

A cell knows its parent, the sums of p and q over its subtree, and which flow in there ends first as the tree grows or
shrinks. By what factor a tree as a whole has grown is applied to its cells when they move to another one.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastdeg.kernels._jit import kernel
from fastdeg.kernels.crafting.forest.forest import FAR, basic_neighbour, mass_at

CELL = np.dtype(
    (
        np.record,  # its fields are attributes in Python too
        [
            ("p", np.float64),  # but for the factor of its tree
            ("mass", np.float64),  # of p in the subtree
            ("target", np.float64),  # of q in the subtree
            ("upwards", np.float64),  # the least ratio of the two among those subtrees in there that flow comes out of,
            ("downwards", np.float64),  # and the largest among those that it runs into
            ("upwards_at", np.int32),  # the roots of these subtrees
            ("downwards_at", np.int32),
            ("up", np.int32),  # parent, or −1
            ("count", np.int32),  # of cells in the subtree
            ("rises", np.int32),  # whether the potential rises to the parent: so does flow
            ("basis", np.uint32),  # as in `forest`
        ],
    )
)  # a line of the cache
TREE = np.dtype((np.record, [("log_factor", np.float64), ("root", np.int64)]))

_FARTHEST = 5.0  # logarithm of a tree's factor beyond which it is applied at once: p and its sums stay in range
_LEAST = 1e-290  # p below is not always what it should be: see `forest.mass_at`


class State(NamedTuple):
    """A forest while it pivots: costs, masses and grid, its cells and trees, and scratch.

    Trees have a number, and all that is known of them, from when they are looked at; till then, it is the last one.
    """

    tau: float
    exponents: NDArray[np.float64]
    q: NDArray[np.float64]
    strides: NDArray[np.int64]
    offsets: NDArray[np.int64]
    potential: NDArray[np.float64]
    tree_of: NDArray[np.int32]
    cells: np.ndarray
    trees: np.ndarray
    free: NDArray[np.int32]  # how many numbers are free, and they
    order: NDArray[np.int32]
    path: NDArray[np.int32]
    marks: NDArray[np.bool_]


@kernel
def begin(x, state):
    """What a cell knows without its children."""
    q, cells = state.q, state.cells
    cells[x].mass, cells[x].target, cells[x].count = cells[x].p, q[x], 1
    cells[x].upwards, cells[x].downwards = np.inf, 0.0
    cells[x].upwards_at, cells[x].downwards_at = -1, -1


@kernel
def add(x, parent, cells):
    """Add what a cell knows of its subtree, and of the flow between it and its parent, to what the parent knows."""
    mass, target = cells[x].mass, cells[x].target
    cells[parent].mass += mass
    cells[parent].target += target
    cells[parent].count += cells[x].count
    if cells[x].upwards < cells[parent].upwards:
        cells[parent].upwards, cells[parent].upwards_at = cells[x].upwards, cells[x].upwards_at
    if cells[x].downwards > cells[parent].downwards:
        cells[parent].downwards, cells[parent].downwards_at = cells[x].downwards, cells[x].downwards_at
    if target > 0:  # without q none comes out, and what runs in does not end
        ratio = target / mass
        if cells[x].rises:
            if ratio <= cells[parent].upwards:
                cells[parent].upwards, cells[parent].upwards_at = ratio, x
        elif ratio > cells[parent].downwards:
            cells[parent].downwards, cells[parent].downwards_at = ratio, x


@kernel
def sum_children(x, state):
    """Sum up what the children of a cell know."""
    offsets, cells = state.offsets, state.cells
    begin(x, state)
    up, basic = cells[x].up, cells[x].basis
    while basic:
        child, basic = basic_neighbour(x, basic, offsets)
        if child != up:
            add(child, x, cells)


@kernel
def sum_subtrees(x, state):
    """Sum up anew from a cell to the root; return the number of cells on the way."""
    cells = state.cells
    visits = 0
    while x >= 0:
        sum_children(x, state)
        x = cells[x].up
        visits += 1
    return visits


@kernel
def path_to_root(x, state):
    """Fill the path with the cells from x to the root; return how many they are."""
    cells, path = state.cells, state.path
    count = 0
    while x >= 0:
        path[count] = x
        x = cells[x].up
        count += 1
    return count


@kernel
def reroot(x, parent, tree, shift, state):
    """Make a cell the root of its tree, or, with that, the child of one in another tree; return the number of cells.

    ``shift`` is added to the potential: one that belongs to the factor of the tree that they are in now. Where all is
    known of that tree, other sums than those on the way from the cell to its root change by the factor alone.
    """
    tau, exponents, offsets, potential = state.tau, state.exponents, state.offsets, state.potential
    tree_of, cells, order, path = state.tree_of, state.cells, state.order, state.path
    log_factor = -shift / tau
    near = abs(log_factor) < FAR
    factor, inverse = (np.exp(log_factor), np.exp(-log_factor)) if near else (0.0, 0.0)
    known = tree_of[x] < len(tree_of)
    scaled = known and near
    n_path = path_to_root(x, state) if known else 0
    order[0] = x
    cells[x].up = parent
    count, k = 1, 0
    while k < count:
        x = np.int64(order[k])
        up, basic = cells[x].up, cells[x].basis
        potential[x] += shift
        if near and cells[x].p > _LEAST:
            cells[x].p *= factor
        else:
            cells[x].p = mass_at(exponents[x], potential[x], tau)
            scaled = False
        if scaled:
            cells[x].mass *= factor
            cells[x].upwards *= inverse
            cells[x].downwards *= inverse
        tree_of[x] = tree
        if k > 0:
            cells[x].rises = potential[up] > potential[x]
        while basic:
            y, basic = basic_neighbour(x, basic, offsets)
            if y != up:
                order[count] = y
                cells[y].up = x
                count += 1
        k += 1
    if scaled:
        for k in range(n_path - 1, -1, -1):
            sum_children(np.int64(path[k]), state)
    else:
        for k in range(count - 1, -1, -1):
            sum_children(np.int64(order[k]), state)
    return count


@kernel
def relabel(x, tree, state):
    """Give another number to the tree of a cell; return how many cells it has."""
    offsets, tree_of, cells, order = state.offsets, state.tree_of, state.cells, state.order
    order[0] = x
    tree_of[x] = tree
    count, k = 1, 0
    while k < count:
        x = np.int64(order[k])
        basic = cells[x].basis
        while basic:
            y, basic = basic_neighbour(x, basic, offsets)
            if tree_of[y] != tree:
                tree_of[y] = tree
                order[count] = y
                count += 1
        k += 1
    return count


@kernel
def cut(x, state):
    """Cut a cell off its parent; the smaller tree has a number of its own then. Return how many cells are visited."""
    strides, tree_of, cells, trees, free = state.strides, state.tree_of, state.cells, state.trees, state.free
    tree, up = tree_of[x], np.int64(cells[x].up)
    low, high = min(x, up), max(x, up)
    axis = 0
    while strides[axis] != high - low or not cells[low].basis >> np.uint32(2 * axis) & np.uint32(1):
        axis += 1
    cells[low].basis &= ~np.uint32(1 << (2 * axis))
    cells[high].basis &= ~np.uint32(2 << (2 * axis))
    cells[x].up = -1
    visits = sum_subtrees(up, state)
    root = trees[tree].root
    free[0] -= 1
    other = free[1 + free[0]]
    small, large = (x, root) if cells[x].count <= cells[root].count else (root, x)
    trees[other].log_factor, trees[other].root, trees[tree].root = trees[tree].log_factor, small, large
    return visits + relabel(small, other, state)


@kernel
def potential_of(x, state):
    """The potential of a cell, with the factor of its tree."""
    tau, potential, tree_of, trees = state.tau, state.potential, state.tree_of, state.trees
    return potential[x] - tau * trees[tree_of[x]].log_factor


@kernel
def balance(tree, state):
    """Give a tree the factor by which it has its mass of q."""
    cells, trees = state.cells, state.trees
    root = trees[tree].root
    trees[tree].log_factor = np.log(cells[root].target / cells[root].mass)


@kernel
def is_far(x, state):
    """Whether the factor of a cell's tree is far from one."""
    tree_of, trees = state.tree_of, state.trees
    return abs(trees[tree_of[x]].log_factor) > _FARTHEST


@kernel
def apply_factor(x, state):
    """Apply the factor of a cell's tree to all its cells; return how many they are."""
    tau, tree_of, trees = state.tau, state.tree_of, state.trees
    tree = tree_of[x]
    log_factor, root = trees[tree].log_factor, trees[tree].root
    trees[tree].log_factor = 0.0
    return reroot(root, np.int64(-1), tree, -tau * log_factor, state)
