"""The spanning tree without its leaves, of which a pivot moves none.

Half of the nodes of an optimal basis are leaves, and nine in ten where one side has many more points than the other.
Stripped of them the tree's list is short, and so are the parts that pivots move. A leaf is known by its parent and its
arc; its potential is that of its ``hook``, the parent, plus an ``offset``, the cost of its arc. Other nodes are their
own hooks, with offset 0. Functions of a pivot take the arrays one by one, for the reason told at `tree.exchange`.
"""

from __future__ import annotations

import numpy as np

from fastdeg.kernels._jit import kernel
from fastdeg.kernels.transport.network.tree import NONE, PIVOTS, ROOT

UNLIMITED = 1 << 62


@kernel
def strip_leaves(tree, hook, offset, n_hooked):
    """Take all leaves out of the tree's list; fills hooks, offsets and the number of leaves on each node."""
    for x in range(hook.shape[0]):
        hook[x] = x
        offset[x] = 0.0
        n_hooked[x] = 0
    root = np.uint32(tree.info[ROOT])
    x = tree.prev[root]
    while x != root:
        before = tree.prev[x]
        if tree.size[x] == 1:
            p = tree.parent[x]
            hook[x] = p
            offset[x] = -tree.cost[x] if tree.direction[x] == 1 else tree.cost[x]
            n_hooked[p] += 1
            after = tree.next[x]
            tree.next[before] = after
            tree.prev[after] = before
        x = before
    _count_sizes(tree)


@kernel
def unstrip_leaves(tree, hook, offset):
    """Put all leaves back behind their parents."""
    for k in range(hook.shape[0]):
        x = np.uint32(k)
        p = hook[x]
        if p != x:
            tree.potential[x] = tree.potential[p] + offset[x]
            after = tree.next[p]
            tree.next[p] = x
            tree.prev[x] = p
            tree.next[x] = after
            tree.prev[after] = x
    _count_sizes(tree)


@kernel
def _count_sizes(tree):
    """Number of nodes in the subtree of each node of the list."""
    root = np.uint32(tree.info[ROOT])
    x = root
    while True:
        tree.size[x] = 1
        x = tree.next[x]
        if x == root:
            break
    x = tree.prev[root]
    while x != root:
        tree.size[tree.parent[x]] += tree.size[x]
        x = tree.prev[x]


@kernel(inline="always")
def strip_leaf(parent, size, follow, before, direction, arc_cost, hook, offset, n_hooked, x):
    """Take one leaf out of the list."""
    p = parent[x]
    hook[x] = p
    offset[x] = -arc_cost[x] if direction[x] == 1 else arc_cost[x]
    n_hooked[p] += 1
    y, z = before[x], follow[x]
    follow[y] = z
    before[z] = y
    while p != NONE:
        size[p] -= np.uint32(1)
        p = parent[p]


@kernel(inline="always")
def unstrip_leaf(parent, size, follow, before, potential, hook, offset, n_hooked, x):
    """Put one leaf back behind its parent."""
    p = parent[x]
    potential[x] = potential[p] + offset[x]
    hook[x] = x
    offset[x] = 0.0
    n_hooked[p] -= 1
    z = follow[p]
    follow[p] = x
    before[x] = p
    follow[x] = z
    before[z] = x
    size[x] = 1
    while p != NONE:
        size[p] += np.uint32(1)
        p = parent[p]


@kernel(inline="always")
def find_leaving(parent, size, direction, flow, hook, tail, head):
    """Walk the cycle that the arc tail -> head closes.

    Returns the node whose arc to its parent limits the flow (or `NONE`), that limit, and the top of the cycle.
    """
    x = tail
    y = head
    limit = UNLIMITED
    leaving = NONE
    if hook[x] != x:
        if direction[x] == 1:
            limit = flow[x]
            leaving = x
        x = hook[x]
    if hook[y] != y:
        if direction[y] == -1 and flow[y] < limit:
            limit = flow[y]
            leaving = y
        y = hook[y]
    while x != y:  # the smaller subtree goes first
        if size[x] < size[y]:
            if direction[x] == 1 and flow[x] < limit:
                limit = flow[x]
                leaving = x
            x = parent[x]
        else:
            if direction[y] == -1 and flow[y] < limit:
                limit = flow[y]
                leaving = y
            y = parent[y]
    return leaving, limit, x


@kernel(inline="always")
def move_leaf(parent, direction, flow, arc_cost, hook, offset, n_hooked, info, tail, head, cost, leaf, pushed, apex):
    """The pivot that takes a leaf from its parent to the other end of the arc tail -> head."""
    x = hook[tail] if tail == leaf else tail
    while x != apex:
        flow[x] -= direction[x] * pushed
        x = parent[x]
    x = hook[head] if head == leaf else head
    while x != apex:
        flow[x] += direction[x] * pushed
        x = parent[x]
    other = head if leaf == tail else tail
    n_hooked[parent[leaf]] -= 1
    n_hooked[other] += 1
    parent[leaf] = other
    hook[leaf] = other
    direction[leaf] = 1 if leaf == tail else -1
    flow[leaf] = pushed
    arc_cost[leaf] = cost
    offset[leaf] = -cost if leaf == tail else cost
    info[PIVOTS] += 1
