"""Rooted trees of a forest on a grid, whose sums over subtrees and factors are at hand: for `network_simplex`.

A cell knows its parent, the sums of p and q over its subtree, and which flow in there ends first as the tree grows or
shrinks. By what factor a tree as a whole has grown is applied to its cells when they move to another one.
"""

import numpy as np

from fastdeg.kernels._jit import kernel
from fastdeg.kernels.crafting.forest.forest import FAR, basic_neighbour, mass_at

CELL = np.dtype(
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
    ]
)  # a line of the cache
TREE = np.dtype([("log_factor", np.float64), ("root", np.int64)])

_FARTHEST = 5.0  # logarithm of a tree's factor beyond which it is applied at once: p and its sums stay in range
_LEAST = 1e-290  # p below is not always what it should be: see `forest.mass_at`


@kernel
def begin(x, q, cells):
    """What a cell knows without its children."""
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
def sum_children(x, q, offsets, cells):
    """Sum up what the children of a cell know."""
    begin(x, q, cells)
    up, basic = cells[x].up, cells[x].basis
    while basic:
        child, basic = basic_neighbour(x, basic, offsets)
        if child != up:
            add(child, x, cells)


@kernel
def sum_subtrees(x, q, offsets, cells):
    """Sum up anew from a cell to the root; return the number of cells on the way."""
    visits = 0
    while x >= 0:
        sum_children(x, q, offsets, cells)
        x = cells[x].up
        visits += 1
    return visits


@kernel
def path_to_root(x, cells, path):
    """Fill the path with the cells from x to the root; return how many they are."""
    count = 0
    while x >= 0:
        path[count] = x
        x = cells[x].up
        count += 1
    return count


@kernel
def reroot(x, parent, tree, shift, known, tau, exponents, q, offsets, potential, tree_of, cells, order, path):
    """Make a cell the root of its tree, or, with that, the child of one in another tree; return the number of cells.

    ``shift`` is added to the potential: one that belongs to the factor of the tree that they are in now. Where the tree
    is ``known``, other sums than those on the way from the cell to its root so far change by the factor alone.
    """
    log_factor = -shift / tau
    near = abs(log_factor) < FAR
    factor, inverse = (np.exp(log_factor), np.exp(-log_factor)) if near else (0.0, 0.0)
    scaled = known and near
    n_path = path_to_root(x, cells, path) if known else 0
    order[0] = x
    cells[x].up = parent
    count, k = 1, 0
    while k < count:
        x = order[k]
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
            sum_children(path[k], q, offsets, cells)
    else:
        for k in range(count - 1, -1, -1):
            sum_children(order[k], q, offsets, cells)
    return count


@kernel
def relabel(x, tree, offsets, tree_of, cells, order):
    """Give another number to the tree of a cell; return how many cells it has."""
    order[0] = x
    tree_of[x] = tree
    count, k = 1, 0
    while k < count:
        x = order[k]
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
def cut(x, q, strides, offsets, tree_of, cells, trees, free, order):
    """Tree a cell from its parent; the smaller tree has a number of its own then. Return how many cells are visited."""
    tree, up = tree_of[x], cells[x].up
    low, high = min(x, up), max(x, up)
    axis = 0
    while strides[axis] != high - low or not cells[low].basis >> np.uint32(2 * axis) & np.uint32(1):
        axis += 1
    cells[low].basis &= ~np.uint32(1 << (2 * axis))
    cells[high].basis &= ~np.uint32(2 << (2 * axis))
    cells[x].up = -1
    visits = sum_subtrees(up, q, offsets, cells)
    root = trees[tree].root
    free[0] -= 1
    other = free[1 + free[0]]
    small, large = (x, root) if cells[x].count <= cells[root].count else (root, x)
    trees[other].log_factor, trees[other].root, trees[tree].root = trees[tree].log_factor, small, large
    return visits + relabel(small, other, offsets, tree_of, cells, order)


@kernel
def potential_of(x, tau, potential, tree_of, trees):
    """The potential of a cell, with the factor of its tree."""
    return potential[x] - tau * trees[tree_of[x]].log_factor


@kernel
def balance(tree, cells, trees):
    """Give a tree the factor by which it has its mass of q."""
    root = trees[tree].root
    trees[tree].log_factor = np.log(cells[root].target / cells[root].mass)


@kernel
def is_far(x, tree_of, trees):
    """Whether the factor of a cell's tree is far from one."""
    return abs(trees[tree_of[x]].log_factor) > _FARTHEST


@kernel
def apply_factor(x, tau, exponents, q, offsets, potential, tree_of, cells, trees, order, path):
    """Apply the factor of a cell's tree to all its cells; return how many they are."""
    tree = tree_of[x]
    log_factor, root = trees[tree].log_factor, trees[tree].root
    trees[tree].log_factor = 0.0
    return reroot(
        root, -1, tree, -tau * log_factor, True, tau, exponents, q, offsets, potential, tree_of, cells, order, path
    )
