"""Network simplex over a list of arcs, and the integer masses that keep it from stalling."""

from __future__ import annotations

import numpy as np

from fastdeg.kernels._jit import kernel
from fastdeg.kernels.transport.tree import POSITION, TOUCHED, pivot

OPTIMAL, PAUSED, UNBOUNDED = 0, 1, 2


@kernel
def run_simplex(tree, tails, heads, costs, n_arcs, block, tolerance, budget):
    """Pivot on the most negative reduced cost of each block of arcs until none is below ``-tolerance``.

    Pauses after about ``budget`` nodes and arcs touched, so that the caller can look after interrupts.
    """
    potential = tree.potential
    spent = 0
    e = tree.info[POSITION]
    if e >= n_arcs:
        e = 0
    while True:
        best = -tolerance
        entering = -1
        looked = 0
        left = block
        while looked < n_arcs:
            reduced_cost = costs[e] + potential[tails[e]] - potential[heads[e]]
            if reduced_cost < best:
                best = reduced_cost
                entering = e
            e += 1
            if e == n_arcs:
                e = 0
            looked += 1
            left -= 1
            if left == 0:
                if entering >= 0:
                    break
                left = block
        if entering < 0:
            tree.info[POSITION] = e
            return OPTIMAL
        before = tree.info[TOUCHED]
        if not pivot(tree, tails[entering], heads[entering], costs[entering]):
            return UNBOUNDED
        spent += looked + tree.info[TOUCHED] - before
        if spent > budget:
            tree.info[POSITION] = e
            return PAUSED


@kernel
def integer_masses(a, b, supply, demand):
    """Integer masses in proportion to a and b (each of sum one) of which no two proper parts have equal sums.

    With n sources every supply is 1 modulo n + 1 and every demand 0, but for one: no basis is degenerate, so each pivot
    lowers the cost and the simplex ends. Rounding moves a mass by at most (n + 1) / 2^60 of the total.
    """
    n, m = a.shape[0], b.shape[0]
    unit = n + 1
    scale = float((1 << 60) // unit)
    total = 0
    for i in range(n):
        supply[i] = np.int64(np.rint(a[i] * scale))
        total += supply[i]
    largest = 0
    for j in range(m):
        demand[j] = max(np.int64(np.rint(b[j] * scale)), 1)
        total -= demand[j]
        if b[j] > b[largest]:
            largest = j
    demand[largest] += total
    for i in range(n):
        supply[i] = supply[i] * unit + 1
    for j in range(m):
        demand[j] *= unit
    demand[largest] += n
