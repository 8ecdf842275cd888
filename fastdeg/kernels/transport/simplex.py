"""Network simplex over a list of arcs, and the integer masses that keep it from stalling."""

from __future__ import annotations

import numpy as np

from fastdeg.kernels._jit import kernel
from fastdeg.kernels.transport.tree import POSITION, TOUCHED, pivot, renumber, restore_numbers

OPTIMAL, PAUSED, UNBOUNDED = 0, 1, 2
MIN_BLOCK, BLOCK_FACTOR = 20, 0.5  # arcs looked at before a pivot: a multiple of the square root of their number
RENUMBER_FROM = 20_000  # nodes from which on the tree is kept in preorder in memory: smaller ones fit the cache
RENUMBER_EVERY = 60  # nodes and arcs touched between two renumberings, over the number of nodes and arcs


@kernel
def run_simplex(tree, tails, heads, costs, n_arcs, undirected, tolerance, budget):
    """The same as `search`, with the nodes numbered anew in preorder now and then: for large trees."""
    n_nodes = tree.parent.shape[0]
    place = np.empty(n_nodes, np.uint32)
    placed_tails = np.empty(n_arcs, np.uint32)
    placed_heads = np.empty(n_arcs, np.uint32)
    stretch = RENUMBER_EVERY * (n_nodes + n_arcs)
    while True:
        placed, node_at = renumber(tree, place)
        for e in range(n_arcs):
            placed_tails[e] = place[tails[e]]
            placed_heads[e] = place[heads[e]]
        status = search(placed, placed_tails, placed_heads, costs, n_arcs, undirected, tolerance, min(budget, stretch))
        restore_numbers(placed, node_at, tree)
        budget -= stretch
        if status != PAUSED or budget <= 0:
            return status


@kernel
def search(tree, tails, heads, costs, n_arcs, undirected, tolerance, budget):
    """Pivot on the most negative reduced cost of each block of arcs until none is below ``-tolerance``.

    Undirected: each arc may be used both ways. Goes round and round the list, from where it stood. Pauses after about
    ``budget`` nodes and arcs touched, so that the caller can look after interrupts.
    """
    parent, size, follow, before = tree.parent, tree.size, tree.next, tree.prev
    direction, flow, arc_cost, potential = tree.direction, tree.flow, tree.cost, tree.potential
    info = tree.info
    block = max(MIN_BLOCK, int(BLOCK_FACTOR * np.sqrt(n_arcs)))
    spent = 0
    e = info[POSITION]
    if e >= n_arcs:
        e = 0
    while True:
        best = -tolerance
        entering = -1
        looked = 0
        left = block
        while looked < n_arcs:
            fall = potential[heads[e]] - potential[tails[e]]
            if undirected:
                fall = abs(fall)
            reduced_cost = costs[e] - fall
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
            info[POSITION] = e
            return OPTIMAL
        touched = info[TOUCHED]
        tail, head, cost = tails[entering], heads[entering], costs[entering]
        if undirected and potential[tail] > potential[head]:
            tail, head = head, tail
        if not pivot(parent, size, follow, before, direction, flow, arc_cost, potential, info, tail, head, cost):
            return UNBOUNDED
        spent += looked + info[TOUCHED] - touched
        if spent > budget:
            info[POSITION] = e
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
