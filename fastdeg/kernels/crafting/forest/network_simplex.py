"""The network simplex for flows to demands of an entropic cost, on the forests of a grid.

minimise Σ c p + τ Σ p log p + Σ length · |flow| over flows with divergence p − q, with forests as in `forest`:
p = exp(exponent − potential / τ), and each tree has one unknown constant, which follows from its mass of q. So a forest
is a basis, and each pivot lowers the objective:

- An arc along which the potential rises by more than its length enters. Inside of a tree it first takes over the least
  flow on the way that it closes, which leaves: it then lies between two trees.
- Between two trees flow runs, and p with it, until the potential rises by the length or another flow ends. Where that
  was, a tree falls apart, and the rest goes on. Each tree keeps some mass of q.

A pivot looks at the cells from its arc to the roots of the trees, and at those of the smaller parts that move, not at
whole trees: see `rooted_trees`.
"""

import numpy as np

from fastdeg.kernels._jit import kernel
from fastdeg.kernels.crafting.forest.forest import basic_neighbour, neighbour_offsets
from fastdeg.kernels.crafting.forest.rooted_trees import (
    CELL,
    TREE,
    State,
    apply_factor,
    balance,
    cut,
    is_far,
    path_to_root,
    potential_of,
    reroot,
    sum_subtrees,
)
from fastdeg.kernels.linalg.elementary import assign
from fastdeg.kernels.transport.grid import advance

_NEARLY = 1 + 1e-9  # with it a product tells, but for rounding, whether a division is worth it
_SWEPT = 16  # cells that a sweep passes over in the time of a visit
_FEW = 20  # arcs that enter in a sweep, below which the next one looks for smaller excesses too


@kernel
def softplus(x):
    """log(1 + exp x)."""
    return max(x, 0.0) + np.log1p(np.exp(-abs(x)))


@kernel
def end_to_grow(x, state):
    """As mass comes in at a cell, where the first flow towards it ends, and at which ratio of q to p beyond.

    Returns also the number of cells on the way to the root. Of equal ones, it is the flow nearest to the cell.
    """
    offsets, cells, path = state.offsets, state.cells, state.path
    n_path = path_to_root(x, state)
    limit, at, beyond = np.inf, -1, 0.0
    total = cells[path[n_path - 1]].target
    for k in range(n_path - 1, -1, -1):
        x = np.int64(path[k])
        if k < n_path - 1:
            target = total - cells[x].target
            if not cells[x].rises and target > 0 and target <= limit * beyond * _NEARLY and target / beyond <= limit:
                limit, at = target / beyond, x
        below = path[k - 1] if k > 0 else -1
        beyond += cells[x].p
        up, basic = cells[x].up, cells[x].basis
        while basic:
            y, basic = basic_neighbour(x, basic, offsets)
            if y != up and y != below:
                mass, target = cells[y].mass, cells[y].target
                beyond += mass
                if cells[y].upwards_at >= 0 and cells[y].upwards <= limit:
                    limit, at = cells[y].upwards, cells[y].upwards_at
                if cells[y].rises and target > 0 and target <= limit * mass * _NEARLY and target / mass <= limit:
                    limit, at = target / mass, y
    return limit, at, n_path


@kernel
def end_to_shrink(x, state):
    """As mass goes out at a cell, where the first flow from it ends, and at which ratio of q to p beyond.

    Returns also the number of cells on the way to the root. Of equal ones, it is the farthest; some of q stays here.
    """
    offsets, cells, path = state.offsets, state.cells, state.path
    n_path = path_to_root(x, state)
    limit, at, beyond = 0.0, -1, 0.0
    total = cells[path[n_path - 1]].target
    for k in range(n_path - 1, -1, -1):
        x = np.int64(path[k])
        if k < n_path - 1:
            target = total - cells[x].target
            if cells[x].rises and target < total and target > limit * beyond and target / beyond > limit:
                limit, at = target / beyond, x
        below = path[k - 1] if k > 0 else -1
        beyond += cells[x].p
        up, basic = cells[x].up, cells[x].basis
        while basic:
            y, basic = basic_neighbour(x, basic, offsets)
            if y != up and y != below:
                mass, target = cells[y].mass, cells[y].target
                beyond += mass
                if not cells[y].rises and target < total and target > limit * mass and target / mass > limit:
                    limit, at = target / mass, y
                if cells[y].downwards > limit and cells[cells[y].downwards_at].target < total:
                    limit, at = cells[y].downwards, cells[y].downwards_at
    return limit, at, n_path


@kernel
def least_flow(i, j, factor, state):
    """Of the flows towards i on the way from j, both in a tree with a factor, where the least one is, or −1.

    Of equal ones, it is the nearest to i: what runs on to there is not more. Returns also how many cells are visited.
    """
    offsets, cells, path, marks = state.offsets, state.cells, state.path, state.marks
    n_path = path_to_root(i, state)
    for k in range(n_path):
        marks[path[k]] = True
    least, at, meet, visits = np.inf, -1, j, n_path
    while not marks[meet]:
        flow = cells[meet].target - factor * cells[meet].mass
        if cells[meet].rises and cells[meet].target > 0 and flow <= least:
            least, at = flow, meet
        meet = cells[meet].up
        visits += 1
    total, beyond, met = cells[path[n_path - 1]].target, 0.0, False
    for k in range(n_path - 1, -1, -1):
        x = np.int64(path[k])
        marks[x] = False
        target = total - cells[x].target
        if met and not cells[x].rises and target > 0 and target - factor * beyond <= least:
            least, at = target - factor * beyond, x
        met |= x == meet
        below = path[k - 1] if k > 0 else -1
        beyond += cells[x].p
        up, basic = cells[x].up, cells[x].basis
        while basic:
            y, basic = basic_neighbour(x, basic, offsets)
            if y != up and y != below:
                beyond += cells[y].mass
    return at, visits


@kernel
def join(axis, low, i, j, length, state):
    """Tie i and j, to the first of which the potential rises; return how many cells are visited."""
    strides, potential, tree_of, cells = state.strides, state.potential, state.tree_of, state.cells
    trees, free = state.trees, state.free
    tree_i, tree_j = tree_of[i], tree_of[j]
    if cells[trees[tree_i].root].count <= cells[trees[tree_j].root].count:
        small, large, gone, tree, rise = i, j, tree_i, tree_j, length
    else:
        small, large, gone, tree, rise = j, i, tree_j, tree_i, -length
    shift = potential[large] + rise - potential[small]
    visits = reroot(small, large, tree, shift, state)
    cells[small].rises = rise < 0
    cells[low].basis |= np.uint32(1 << (2 * axis))
    cells[low + strides[axis]].basis |= np.uint32(2 << (2 * axis))
    visits += sum_subtrees(large, state)
    free[1 + free[0]] = gone
    free[0] += 1
    balance(tree, state)
    return visits


@kernel
def enter(axis, x, length, state):
    """Let the arc between x and its upper neighbour enter; return how many cells are visited, and whether it did."""
    tau, strides, free = state.tau, state.strides, state.free
    tree_of, cells, trees = state.tree_of, state.cells, state.trees
    y = x + strides[axis]
    visits = 0
    for z in (x, y):
        if tree_of[z] == len(tree_of):
            free[0] -= 1
            tree = free[1 + free[0]]
            visits += reroot(z, np.int64(-1), tree, 0.0, state)
            trees[tree].log_factor, trees[tree].root = 0.0, z
    over = potential_of(x, state) - potential_of(y, state)
    i, j = (x, y) if over > 0 else (y, x)
    for z in (i, j):
        if not cells[trees[tree_of[z]].root].target > 0:
            return visits, False  # rounding has left a tree without q: a matter for `balance_trees`
        balance(tree_of[z], state)
        while is_far(z, state):  # again where p was out of range
            visits += apply_factor(z, state)
            balance(tree_of[z], state)
    if tree_of[i] == tree_of[j]:
        at, visited = least_flow(i, j, np.exp(trees[tree_of[i]].log_factor), state)
        visits += visited
        if at < 0:
            return visits, False  # likewise, a part without q above
        visits += cut(at, state)
    changed_i, changed_j = True, True
    limit_i, end_i, limit_j, end_j = np.inf, -1, 0.0, -1
    while True:
        if changed_i:
            limit_i, end_i, visited = end_to_grow(i, state)
            visits += visited
        if changed_j:
            limit_j, end_j, visited = end_to_shrink(j, state)
            visits += visited
        tree_i, tree_j = tree_of[i], tree_of[j]
        mass_i, mass_j = cells[trees[tree_i].root].mass, cells[trees[tree_j].root].mass
        m_i, m_j = mass_i * np.exp(trees[tree_i].log_factor), mass_j * np.exp(trees[tree_j].log_factor)
        over = potential_of(i, state) - potential_of(j, state)
        ratio = np.log(m_i / m_j) + (over - length) / tau  # logarithm of that of masses at which the potential settles
        log_i = np.log1p(m_j / m_i) - softplus(-ratio)
        log_j = np.log1p(m_i / m_j) - softplus(ratio)
        # mass that moves until it does, and until a flow ends
        moved = m_i * np.expm1(log_i)
        moved_i = max(mass_i * limit_i - m_i, 0.0) if end_i >= 0 else np.inf
        moved_j = max(m_j - mass_j * limit_j, 0.0) if end_j >= 0 else np.inf
        if moved <= min(moved_i, moved_j) or (end_i < 0 and end_j < 0):
            trees[tree_i].log_factor += log_i
            trees[tree_j].log_factor += log_j
            for z in (i, j):
                if is_far(z, state):
                    visits += apply_factor(z, state)
            visits += join(axis, x, i, j, length, state)
            return visits, True
        # of two factors for the same mass, the one that a ratio gives is free of cancellation
        if moved_i <= moved_j:
            log_i = max(np.log(limit_i) - trees[tree_i].log_factor, 0.0)
            log_j = min(max(np.log1p(-min(moved_i / m_j, 1.0)), log_j), 0.0)
        else:
            log_i = max(min(np.log1p(moved_j / m_i), log_i), 0.0)
            log_j = min(np.log(limit_j) - trees[tree_j].log_factor, 0.0)
        trees[tree_i].log_factor += log_i
        trees[tree_j].log_factor += log_j
        changed_i = moved_i <= moved_j
        changed_j = not changed_i
        visits += cut(end_i if changed_i else end_j, state)
        for z in (i, j):
            if is_far(z, state):
                visits += apply_factor(z, state)
                changed_i, changed_j = True, True


@kernel
def lengths_by_row(shape, steps):
    """Lengths of the arcs from a row of cells: along the last axis, then along each other one by the place on it."""
    n_axes, row = len(shape), shape[len(shape) - 1]
    count = 1
    for axis in range(n_axes - 1):
        count += shape[axis]
    lengths, k = np.empty((count, row)), 1
    assign(lengths[0], steps[n_axes - 1])
    for axis in range(n_axes - 1):
        for place in range(shape[axis]):
            for c in range(row):
                lengths[k, c] = steps[axis, place]
            k += 1
    return lengths


@kernel
def count_above(threshold, potential, first, stride, lengths, k, count):
    """Along how many arcs of a stride the potential rises by more than the lengths in row k and a threshold."""
    above = 0
    for c in range(np.uint64(count)):  # unsigned, and counted instead of compared: in vector instructions
        x = np.uint64(first) + c
        above += np.int64(abs(potential[x + np.uint64(stride)] - potential[x]) - lengths[k, c] > threshold)
    return above


@kernel
def sweep(shape, lengths, threshold, most, before, state):
    """Let all arcs enter along which the potential rises by more than its step and a threshold, one after the other.

    ``before``: the potential when it begins, with the factors of the trees. Returns how many cells are visited, how
    many arcs entered, and how many are left.
    """
    strides, potential = state.strides, state.potential
    n_axes, row = len(shape), shape[len(shape) - 1]
    visits, entered, left = 0, 0, 0
    index = np.zeros(n_axes, np.int64)
    for first in range(0, len(potential), row):
        passed = 1
        for axis in range(n_axes):
            k, stride, count = passed + index[axis], strides[axis], row
            passed += shape[axis]
            if axis == n_axes - 1:
                k, count = 0, row - 1
            elif index[axis] + 1 == shape[axis]:
                continue
            if count_above(threshold, before, first, stride, lengths, k, count) == 0:
                continue
            for c in range(count):
                x, length = first + c, lengths[k, c]
                if abs(before[x + stride] - before[x]) - length <= threshold:
                    continue
                higher = potential_of(x + stride, state)
                if abs(higher - potential_of(x, state)) - length <= threshold:
                    continue
                success = False
                if visits <= most:
                    visited, success = enter(axis, x, length, state)
                    visits += visited
                entered += success
                left += not success
        advance(index[:-1], shape[:-1])
    return visits, entered, left


@kernel
def largest_excess(shape, strides, steps, potential):
    """The most by which the potential rises by more than a step."""
    excess = 0.0
    for axis in range(len(shape)):
        n, stride = shape[axis], strides[axis]
        for first in range(0, len(potential), n * stride):
            for c in range(n - 1):
                for x in range(first + c * stride, first + (c + 1) * stride):
                    excess = max(excess, abs(potential[x + stride] - potential[x]) - steps[axis, c])
    return excess


@kernel
def pivots(grid, tau, exponents, q, forest, small, tolerance, most):
    """Pivot until no potential rises by more than its step, up to a tolerance, or about ``most`` cells are visited.

    The largest excesses come first, down to ``small`` ones. Returns how many cells are visited, and whether no arc of
    more excess than the tolerance is left.
    """
    shape, strides, steps = grid
    basis, potential, p = forest
    n_cells = len(p)
    cells, trees, tree_of = np.empty(n_cells, CELL), np.empty(n_cells + 1, TREE), np.empty(n_cells, np.int32)
    trees[n_cells].log_factor = 0.0
    free = np.empty(n_cells + 1, np.int32)
    free[0] = n_cells
    order, path, marks = np.empty(n_cells, np.int32), np.empty(n_cells, np.int32), np.empty(n_cells, np.bool_)
    offsets, lengths, before = neighbour_offsets(strides), lengths_by_row(shape, steps), np.empty(n_cells)
    state = State(tau, exponents, q, strides, offsets, potential, tree_of, cells, trees, free, order, path, marks)
    for x in range(n_cells):
        cells[x].p, cells[x].basis = p[x], basis[x]
        tree_of[x], free[1 + x], marks[x] = n_cells, x, False
    threshold, visits = 0.5 * largest_excess(shape, strides, steps, potential), 0
    while True:
        if threshold <= small:
            threshold = tolerance
        for x in range(n_cells):
            before[x] = potential_of(x, state)
        visited, entered, left = sweep(shape, lengths, threshold, most - visits, before, state)
        visits += visited + n_cells // _SWEPT
        done = entered == 0 and threshold <= tolerance
        if done or visits > most:
            break
        if entered < _FEW:
            threshold *= 0.5
    for x in range(n_cells):
        log_factor = trees[tree_of[x]].log_factor
        potential[x] -= tau * log_factor
        p[x] = cells[x].p * np.exp(log_factor)
        basis[x] = cells[x].basis
    return visits, done and left == 0
