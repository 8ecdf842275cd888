"""Network simplex over a list of arcs, and the integer masses that keep it from stalling."""

from __future__ import annotations

import numpy as np

from fastdeg.kernels._jit import kernel
from fastdeg.kernels.transport.network.leaves import (
    find_leaving,
    move_leaf,
    strip_leaf,
    strip_leaves,
    unstrip_leaf,
    unstrip_leaves,
)
from fastdeg.kernels.transport.network.tree import (
    NONE,
    POSITION,
    ROOT,
    TOUCHED,
    exchange,
    refresh_potentials,
    sum_costs,
)

OPTIMAL, PAUSED, UNBOUNDED = 0, 1, 2
MIN_BLOCK, BLOCK_FACTOR = 20, 0.5  # arcs looked at before a pivot: a multiple of the square root of their number
BUDGET = 50_000_000  # nodes and arcs touched between two looks at interrupts: about 0.1 s
# Pivots that move the root's part shift its potential, all in one direction where most nodes are leaves of a few ones.
# Beyond so many times the largest cost or potential, its rounding would come near the tolerance.
FAR = 8.0


@kernel
def search_to_the_end(tree, arcs, undirected, tolerance):
    """The same as `search`, without pauses but for what these do against rounding."""
    status = PAUSED
    while status == PAUSED:
        status = search(tree, arcs, undirected, tolerance, np.int64(BUDGET))  # not a literal: that were another search
    return status


@kernel
def search(tree, arcs, undirected, tolerance, budget):
    """Pivot on the most negative reduced cost of each block of arcs until none is below ``-tolerance``.

    Undirected: each arc may be used both ways. Goes round and round the list, from where it stood. Pauses after about
    ``budget`` nodes and arcs touched, so that the caller can look after interrupts. Potentials end refreshed.
    """
    tails, heads, costs = arcs
    n_arcs = costs.shape[0]
    parent, size, follow, before = tree.parent, tree.size, tree.next, tree.prev
    direction, flow, arc_cost, potential = tree.direction, tree.flow, tree.cost, tree.potential
    info = tree.info
    n_nodes = parent.shape[0]
    hook = np.empty(n_nodes, np.uint32)
    offset = np.empty(n_nodes)
    n_hooked = np.empty(n_nodes, np.int32)
    strip_leaves(tree, hook, offset, n_hooked)
    block = max(MIN_BLOCK, int(BLOCK_FACTOR * np.sqrt(n_arcs)))
    largest = 0.0
    for x in range(n_nodes):
        largest = max(largest, abs(arc_cost[x]), abs(potential[x]))
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
            tail, head = tails[e], heads[e]
            fall = potential[hook[head]] + offset[head] - potential[hook[tail]] - offset[tail]
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
            status = OPTIMAL
            break
        touched = info[TOUCHED]
        tail, head, cost = tails[entering], heads[entering], costs[entering]
        if undirected and potential[hook[tail]] + offset[tail] > potential[hook[head]] + offset[head]:
            tail, head = head, tail
        leaving, pushed, apex = find_leaving(parent, size, direction, flow, hook, tail, head)
        if leaving == NONE:
            status = UNBOUNDED
            break
        above = parent[leaving]
        moved = leaving if hook[leaving] != leaving else NONE
        for k in range(2):
            x = head if k == 0 else tail
            if hook[x] != x and x != moved:
                unstrip_leaf(parent, size, follow, before, potential, hook, offset, n_hooked, x)
        if moved != NONE:
            move_leaf(
                parent, direction, flow, arc_cost, hook, offset, n_hooked, info, tail, head, cost, moved, pushed, apex
            )
        else:
            exchange(
                parent, size, follow, before, direction, flow, arc_cost, potential, info, tail, head, cost,
                leaving, pushed, apex,
            )  # fmt: skip
            if abs(potential[np.uint32(info[ROOT])]) > FAR * largest:
                sum_costs(parent, follow, direction, arc_cost, potential, np.uint32(info[ROOT]))
        for k in range(2):
            x = above if k == 0 or moved != NONE else leaving
            if hook[x] == x and size[x] == 1 and n_hooked[x] == 0 and x != np.uint32(info[ROOT]):
                strip_leaf(parent, size, follow, before, direction, arc_cost, hook, offset, n_hooked, x)
        spent += looked + info[TOUCHED] - touched
        if spent > budget:
            status = PAUSED
            break
    info[POSITION] = e
    unstrip_leaves(tree, hook, offset)
    refresh_potentials(tree)
    return status


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
