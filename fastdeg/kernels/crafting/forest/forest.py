"""Forests on a grid of flows to demands of an entropic cost: their trees, what they keep of the masses, what they cost.

minimise Σ c p + τ Σ p log p + Σ length · |flow| over flows with divergence p − q. Where flow runs from x to y, the
potential rises by the length of the step; and p = exp(exponent − potential / τ). Cells that flows join are a tree,
whose one unknown constant follows from its mass of q.

A forest is two bits for each axis in `ties`: bit 2 k of a cell for the arc to its upper neighbour along axis k, bit
2 k + 1 for that to its lower one. Flow runs in the direction in which the potential rises. Sums of q over cells must
be exact (see `crafting.forest`): what has no mass of q is told by that.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastdeg.kernels._jit import kernel
from fastdeg.kernels.linalg.elementary import bounded_exp

POTENTIAL, MASS, TARGET, EXPONENT = 0, 1, 2, 3  # what `cells` holds of each cell, side by side: φ, p, q, exponent
LOWER_BITS = np.uint32(0x55555555)  # of ties: those for upper neighbours
BITS_APART = np.uint32(37)  # a prime by which all powers of two below 2³² leave other remainders
LOOSE = 1e150  # potential of a cell that is in no tree yet
LARGEST_EXPONENT = 690.0  # in size, where p is computed
FAR = 2.5  # logarithm of the factor up to which p is multiplied; beyond, it is computed anew


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


@kernel
def tied_neighbour(x, tied, jumps):
    """The neighbour that the lowest bit of some ties of x stands for, and the other bits."""
    rest = tied & (tied - np.uint32(1))
    return x + jumps[(tied ^ rest) % BITS_APART], rest


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
def mass_at(exponent, potential, tau):
    """p of a cell, within the range of float64."""
    return bounded_exp(min(max(exponent - potential / tau, -LARGEST_EXPONENT), LARGEST_EXPONENT))


@kernel
def scale(part, count, log_factor, tau, cells):
    """Multiply p of a tree by a factor."""
    order = part.order
    factor = np.exp(log_factor) if abs(log_factor) < FAR else 0.0
    shift = tau * log_factor
    for k in range(count):
        x = order[k]
        cells[x, POTENTIAL] -= shift
        if factor > 0:
            cells[x, MASS] *= factor
        else:
            cells[x, MASS] = mass_at(cells[x, EXPONENT], cells[x, POTENTIAL], tau)


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
        if ties[x] == 0 and q[x] > 0:  # a tree of one cell, of which there may be thousands, keeps its mass of q
            cells[x, POTENTIAL] = tau * (exponents[x] - np.log(q[x]))
            cells[x, MASS] = q[x]
            unsettled[x] = False
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
        if seen[x] or ties[x] == 0:
            continue
        for k in range(1, next_tree(ties, jumps, x, cells, part, seen)):
            rise = abs(potential[part.order[part.up[k]]] - potential[part.order[k]])
            cost += rise * abs(part.target[k] - part.mass[k])
    return cost
