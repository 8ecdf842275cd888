"""The network simplex for flows to demands of an entropic cost, on the forests of a grid.

minimise Σ c p + τ Σ p log p + Σ length · |flow| over flows with divergence p − q. Where flow runs from x to y, the
potential rises by the length of the step; and p = exp(exponent − potential / τ). Cells that flows join are a tree,
whose one unknown constant follows from its mass of q. So a forest is a basis, and each pivot lowers the objective:

- An arc along which the potential rises by more than its length enters. Inside of a tree it first takes over the least
  flow on the way that it closes, which leaves: it then lies between two trees.
- Between two trees flow runs, and p with it, until the potential rises by the length or another flow ends. Where that
  was, a tree falls apart, and the rest goes on. Each tree keeps some mass of q.

A forest is two bits for each axis in `ties`: bit 2 k of a cell for the arc to its upper neighbour along axis k, bit
2 k + 1 for that to its lower one. Flow runs in the direction in which the potential rises. Sums of q over cells must
be exact (see `crafting.forest`): what has no mass of q is told by that.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastdeg.kernels._jit import kernel
from fastdeg.kernels.elementary import bounded_exp
from fastdeg.kernels.transport.grid import advance

POTENTIAL, MASS, TARGET, EXPONENT = 0, 1, 2, 3  # what `cells` holds of each cell, side by side: φ, p, q, exponent
LOWER_BITS = np.uint32(0x55555555)  # of ties: those for upper neighbours
BITS_APART = np.uint32(37)  # a prime by which all powers of two below 2³² leave other remainders
LOOSE = 1e150  # potential of a cell that is in no tree yet
LARGEST_EXPONENT = 690.0  # in size, where p is computed
NEARLY = 1 + 1e-9  # with it a product tells, but for rounding, whether a division is worth it
_FAR = 2.5  # logarithm of the factor up to which p is multiplied; beyond, it is computed anew
_FARTHEST = 300.0  # logarithm of the factor by which p lags behind at most


@kernel
def pack(potential, p, q, exponents):
    """What belongs to a cell side by side, for the cache: see `POTENTIAL`."""
    cells = np.empty((len(p), 4))
    for x in range(len(p)):
        cells[x, POTENTIAL] = potential[x]
        cells[x, MASS] = p[x]
        cells[x, TARGET] = q[x]
        cells[x, EXPONENT] = exponents[x]
    return cells


@kernel
def unpack(cells, potential, p):
    """Write potential and p back."""
    for x in range(len(p)):
        potential[x] = cells[x, POTENTIAL]
        p[x] = cells[x, MASS]


class Part(NamedTuple):
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
def new_part(n_cells):
    """Room for a tree of up to so many cells."""
    return Part(
        np.empty(n_cells, np.uint32),
        np.empty(n_cells, np.uint32),
        np.empty(n_cells, np.uint32),
        np.empty(n_cells),
        np.empty(n_cells),
        np.empty(n_cells, np.bool_),
    )


@kernel
def tie(ties, strides, axis, x):
    """Join cell x with its upper neighbour."""
    ties[x] |= np.uint32(1 << (2 * axis))
    ties[x + strides[axis]] |= np.uint32(2 << (2 * axis))


@kernel
def untie(ties, part, k):
    """Part the cell at place k from its parent."""
    back = part.back[k]
    ties[part.order[k]] &= ~back
    ties[part.order[part.up[k]]] &= ~opposite(back)


@kernel(inline="always")
def opposite(bit):
    """The bit of a neighbour for the arc that a bit stands for."""
    return (bit & LOWER_BITS) << np.uint32(1) | (bit >> np.uint32(1)) & LOWER_BITS


@kernel
def new_jumps(strides):
    """From a cell to the neighbour that a bit of its ties stands for, at the remainder of the bit by a prime."""
    jumps = np.zeros(BITS_APART, np.int64)
    for axis in range(len(strides)):
        jumps[(1 << (2 * axis)) % BITS_APART] = strides[axis]
        jumps[(2 << (2 * axis)) % BITS_APART] = -strides[axis]
    return jumps


@kernel
def walk(ties, jumps, root, cells, part):
    """Fill the part with the tree of a cell, from there on, but for the sums; return the number of its cells."""
    order, up, back, mass, target, rises = part
    order[0] = root
    back[0] = 0
    up[0] = 0
    count = np.uint32(1)
    k = np.uint32(0)
    while k < count:
        x = order[k]
        rises[k] = cells[order[up[k]], POTENTIAL] > cells[x, POTENTIAL]
        mass[k] = cells[x, MASS]
        target[k] = cells[x, TARGET]
        tied = ties[x] & ~back[k]
        while tied:
            bit = tied & (~tied + np.uint32(1))
            tied ^= bit
            order[count] = x + jumps[bit % BITS_APART]
            up[count] = k
            back[count] = opposite(bit)
            count += np.uint32(1)
        k += np.uint32(1)
    return np.int64(count)


@kernel
def sum_up(part, count):
    """Sum p and q over the subtrees."""
    up, mass, target = part.up, part.mass, part.target
    for k in range(count - 1, 0, -1):
        mass[up[k]] += mass[k]
        target[up[k]] += target[k]


@kernel
def next_tree(ties, jumps, x, cells, part, seen):
    """Fill the part with the tree of a cell, and its sums, and see its cells; return their number.

    For each cell not seen before: to call takes as long as to visit ten cells, so the caller looks.
    """
    count = walk(ties, jumps, x, cells, part)
    sum_up(part, count)
    for k in range(count):
        seen[part.order[k]] = True
    return count


@kernel
def sum_up_to_grow(part, count):
    """Sum up; by which factor p of the tree may grow before a flow ends, and the place of that flow's lower end."""
    up, mass, target, rises = part.up, part.mass, part.target, part.rises
    limit, place = np.inf, 0
    for k in range(count - 1, 0, -1):
        m, t = mass[k], target[k]
        # flow towards the root; without q none comes out of a subtree. Of equal limits, the one nearest to the root
        if rises[k] and t > 0 and t <= limit * m * NEARLY and t / m <= limit:
            limit, place = t / m, k
        mass[up[k]] += m
        target[up[k]] += t
    return limit, place


@kernel
def sum_up_to_shrink(part, count):
    """Sum up; to which factor p of the tree may shrink before a flow ends, and the place of that flow's lower end."""
    up, mass, target, rises = part.up, part.mass, part.target, part.rises
    total = 0.0
    for k in range(count):
        total += target[k]
    limit, place = 0.0, 0
    for k in range(count - 1, 0, -1):
        m, t = mass[k], target[k]
        # flow away from the root, as long as the rest keeps some of q. Of equal limits, the one farthest from the root
        if not rises[k] and t > limit * m and t < total and t / m > limit:
            limit, place = t / m, k
        mass[up[k]] += m
        target[up[k]] += t
    return limit, place


@kernel
def scale(part, count, log_factor, tau, cells):
    """Multiply p of a tree by a factor."""
    order = part.order
    factor = np.exp(log_factor) if abs(log_factor) < _FAR else 0.0
    shift = tau * log_factor
    for k in range(count):
        x = order[k]
        cells[x, POTENTIAL] -= shift
        if factor > 0:
            cells[x, MASS] *= factor
        else:
            exponent = cells[x, EXPONENT] - cells[x, POTENTIAL] / tau
            cells[x, MASS] = bounded_exp(min(max(exponent, -LARGEST_EXPONENT), LARGEST_EXPONENT))


@kernel
def softplus(x):
    """log(1 + exp x)."""
    return max(x, 0.0) + np.log1p(np.exp(-abs(x)))


@kernel
def cut_least(ties, part, k):
    """Drop, on the way from place k to the root, the arc of the least flow towards the root; whether there is one."""
    up, mass, target, rises = part.up, part.mass, part.target, part.rises
    least, place = np.inf, 0
    while k > 0:
        if rises[k] and target[k] > 0 and target[k] - mass[k] < least:
            least, place = target[k] - mass[k], k
        k = up[k]
    if place > 0:
        untie(ties, part, place)
    return place > 0


@kernel
def enter(axis, x, length, tau, ties, strides, jumps, cells, receiver, giver):
    """Let the arc between x and its upper neighbour enter; return the number of cells visited, and whether it did."""
    y = x + strides[axis]
    i, j = (x, y) if cells[x, POTENTIAL] > cells[y, POTENTIAL] else (y, x)
    n_i = walk(ties, jumps, i, cells, receiver)
    visits = n_i
    place = 0
    while place < n_i and receiver.order[place] != j:
        place += 1
    one_tree = place < n_i
    if one_tree:
        sum_up(receiver, n_i)
        if not cut_least(ties, receiver, place):
            return visits, False  # rounding has left a part without q above: a matter for `settle`
        n_i = walk(ties, jumps, i, cells, receiver)
        visits += n_i
    n_j = walk(ties, jumps, j, cells, giver)
    visits += n_j
    limit_i, end_i = sum_up_to_grow(receiver, n_i)
    limit_j, end_j = sum_up_to_shrink(giver, n_j)
    # logarithms of factors that p of the two is still to be multiplied by; at first, for what rounding has lost
    owed_i = 0.0 if one_tree else np.log(receiver.target[0] / receiver.mass[0])
    owed_j = 0.0 if one_tree else np.log(giver.target[0] / giver.mass[0])
    while True:
        m_i, m_j = receiver.mass[0] * np.exp(owed_i), giver.mass[0] * np.exp(owed_j)
        over = cells[i, POTENTIAL] - cells[j, POTENTIAL] - length - tau * (owed_i - owed_j)
        ratio = np.log(m_i / m_j) + over / tau  # logarithm of the ratio of masses at which the potential settles
        log_i = np.log1p(m_j / m_i) - softplus(-ratio)
        log_j = np.log1p(m_i / m_j) - softplus(ratio)
        # mass that moves until it does, and until a flow ends
        moved = m_i * np.expm1(log_i)
        moved_i = max(receiver.mass[0] * limit_i - m_i, 0.0) if end_i > 0 else np.inf
        moved_j = max(m_j - giver.mass[0] * limit_j, 0.0) if end_j > 0 else np.inf
        if moved <= min(moved_i, moved_j) or (end_i == 0 and end_j == 0):
            scale(receiver, n_i, owed_i + log_i, tau, cells)
            scale(giver, n_j, owed_j + log_j, tau, cells)
            tie(ties, strides, axis, x)
            return visits, True
        # of two factors for the same mass, the one that a ratio gives is free of cancellation
        if moved_i <= moved_j:
            log_i = max(np.log(limit_i) - owed_i, 0.0)
            log_j = min(max(np.log1p(-min(moved_i / m_j, 1.0)), log_j), 0.0)
        else:
            log_i = max(min(np.log1p(moved_j / m_i), log_i), 0.0)
            log_j = min(np.log(limit_j) - owed_j, 0.0)
        owed_i += log_i
        owed_j += log_j
        if moved_i <= moved_j or abs(owed_i) > _FARTHEST:
            scale(receiver, n_i, owed_i, tau, cells)
            if moved_i <= moved_j:
                untie(ties, receiver, end_i)
            n_i = walk(ties, jumps, i, cells, receiver)
            limit_i, end_i = sum_up_to_grow(receiver, n_i)
            owed_i = 0.0
            visits += n_i
        if moved_i > moved_j or abs(owed_j) > _FARTHEST:
            scale(giver, n_j, owed_j, tau, cells)
            if moved_i > moved_j:
                untie(ties, giver, end_j)
            n_j = walk(ties, jumps, j, cells, giver)
            limit_j, end_j = sum_up_to_shrink(giver, n_j)
            owed_j = 0.0
            visits += n_j


@kernel
def sweep(shape, strides, steps, tau, threshold, most, ties, jumps, cells, receiver, giver):
    """Let all arcs enter along which the potential rises by more than its step and a threshold, one after the other.

    Returns the number of cells visited, whether an arc entered, and the largest excess that was left as it was.
    """
    n_axes, row = len(shape), shape[len(shape) - 1]
    visits, entered, excess = 0, False, 0.0
    index = np.zeros(n_axes, np.int64)
    for first in range(0, len(cells), row):
        for axis in range(n_axes):
            last = axis == n_axes - 1
            if not last and index[axis] + 1 == shape[axis]:
                continue
            for c in range(row - 1 if last else row):
                x = first + c
                length = steps[axis, c if last else index[axis]]
                over = abs(cells[x + strides[axis], POTENTIAL] - cells[x, POTENTIAL]) - length
                if over > threshold and visits <= most:
                    visited, success = enter(axis, x, length, tau, ties, strides, jumps, cells, receiver, giver)
                    visits += visited
                    if success:
                        entered = True
                        over = 0.0
                excess = max(excess, over)
        advance(index[:-1], shape[:-1])
    return visits, entered, excess


@kernel
def pivots(shape, strides, steps, tau, exponents, q, small, tolerance, most, ties, potential, p):
    """Pivot until no potential rises by more than its step, up to a tolerance, or about ``most`` cells are visited.

    The largest excesses come first, down to ``small`` ones. Returns the number of cells visited, and the largest
    excess that is left.
    """
    cells = pack(potential, p, q, exponents)
    jumps = new_jumps(strides)
    receiver, giver = new_part(len(p)), new_part(len(p))
    threshold, visits = np.inf, 0
    while True:
        visited, entered, excess = sweep(
            shape, strides, steps, tau, threshold, most - visits, ties, jumps, cells, receiver, giver
        )
        visits += visited + len(p)
        if visits > most or (not entered and threshold <= tolerance):
            break
        if not entered:  # lower than before, even where arcs above the threshold cannot enter
            threshold = min(excess, threshold)
            threshold = 0.5 * threshold if threshold > small else tolerance
    unpack(cells, potential, p)
    return visits, excess


@kernel
def settle(strides, tau, exponents, q, drop, unsettled, ties, potential, p):
    """Balance the trees of ``unsettled`` cells and drop flows that run against their direction.

    Cells stay unsettled whose trees have come apart. Those without mass of q fall apart wholly: their cells, at a loose
    potential, are for `attach`. Returns whether a flow was dropped, and whether cells are loose.
    """
    n_cells = len(p)
    cells = pack(potential, p, q, exponents)
    jumps = new_jumps(strides)
    part = new_part(n_cells)
    seen = ~unsettled
    dropped, loose = False, False
    for x in range(n_cells):
        if seen[x]:
            continue
        count = next_tree(ties, jumps, x, cells, part, seen)
        order, mass, target, rises = part.order, part.mass, part.target, part.rises
        if not target[0] > 0:
            for k in range(count):
                ties[order[k]] = 0
                cells[order[k], POTENTIAL] = LOOSE
                cells[order[k], MASS] = 0.0
            loose = True
            continue
        log_factor = np.log(target[0] / mass[0])
        scale(part, count, log_factor, tau, cells)
        factor = np.exp(log_factor)
        whole = True
        for k in range(1, count if drop else 0):
            # what has no q of its own is flowed into, however little
            flow = target[k] - factor * mass[k] if 0 < target[k] < target[0] else target[k] - 0.5 * target[0]
            if flow != 0 and rises[k] != (flow > 0):
                untie(ties, part, k)
                whole = False
        dropped |= not whole
        for k in range(count if whole else 0):
            unsettled[order[k]] = False
    unpack(cells, potential, p)
    return dropped, loose


@kernel
def flow_cost(strides, q, ties, potential, p):
    """Σ length · |flow| of the forest's flows."""
    n_cells = len(p)
    cells = pack(potential, p, q, p)
    jumps = new_jumps(strides)
    part = new_part(n_cells)
    seen = np.zeros(n_cells, np.bool_)
    cost = 0.0
    for x in range(n_cells):
        if seen[x]:
            continue
        for k in range(1, next_tree(ties, jumps, x, cells, part, seen)):
            rise = abs(potential[part.order[part.up[k]]] - potential[part.order[k]])
            cost += rise * abs(part.target[k] - part.mass[k])
    return cost
