"""The spanning tree of the network simplex: a basis of the flow problem, its flows and its potentials.

Nodes form a cyclic list in preorder (`next`, `prev`), so that a subtree is the `size` nodes that follow its top one.
Every node but the root owns the arc to its parent. An arc's reduced cost, ``cost + potential[tail] - potential[head]``,
is zero in the tree. A pivot moves the smaller of the two parts that the leaving arc separates, even where that part
holds the root. Sources: Ahuja, Magnanti and Orlin, Network Flows (1993), chapter 11; Király and Kovács, Efficient
implementations of minimum-cost flow algorithms (2012).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastdeg.kernels._jit import kernel

UNLIMITED = 1 << 62

# entries of Tree.info
ROOT, PIVOTS, TOUCHED, POSITION = 0, 1, 2, 3


class Tree(NamedTuple):
    """Arrays of one entry per node; ``info``: root, pivots so far, nodes touched, position of the arc search."""

    parent: NDArray[np.int32]
    size: NDArray[np.int32]
    next: NDArray[np.int32]
    prev: NDArray[np.int32]
    direction: NDArray[np.int8]  # +1: the arc runs from the node to its parent; -1: from the parent to the node
    flow: NDArray[np.int64]
    cost: NDArray[np.float64]
    potential: NDArray[np.float64]
    info: NDArray[np.int64]


@kernel
def new_tree(n_nodes):
    """Arrays for a tree of ``n_nodes`` nodes."""
    return Tree(
        np.empty(n_nodes, np.int32),
        np.empty(n_nodes, np.int32),
        np.empty(n_nodes, np.int32),
        np.empty(n_nodes, np.int32),
        np.empty(n_nodes, np.int8),
        np.empty(n_nodes, np.int64),
        np.empty(n_nodes, np.float64),
        np.empty(n_nodes, np.float64),
        np.zeros(4, np.int64),
    )


@kernel
def build_tree(tree, tails, heads, flows, costs):
    """Fill the tree from its ``n_nodes - 1`` arcs, rooted at node 0; False where they are not a spanning tree."""
    n_nodes = tree.parent.shape[0]
    n_arcs = n_nodes - 1
    first = np.zeros(n_nodes + 1, np.int32)
    for e in range(n_arcs):
        first[tails[e] + 1] += 1
        first[heads[e] + 1] += 1
    for x in range(n_nodes):
        first[x + 1] += first[x]
    fill = first[:n_nodes].copy()
    incident = np.empty(2 * n_arcs, np.int32)
    for e in range(n_arcs):
        incident[fill[tails[e]]] = e
        fill[tails[e]] += 1
        incident[fill[heads[e]]] = e
        fill[heads[e]] += 1
    parent, size, potential = tree.parent, tree.size, tree.potential
    for x in range(n_nodes):
        parent[x] = -2
        size[x] = 1
    stack = np.empty(n_nodes, np.int32)
    order = np.empty(n_nodes, np.int32)
    stack[0] = 0
    depth = 1
    parent[0] = -1
    potential[0] = 0.0
    tree.flow[0] = 0
    tree.cost[0] = 0.0
    tree.direction[0] = 1
    n_seen = 0
    while depth > 0:
        depth -= 1
        x = stack[depth]
        order[n_seen] = x
        n_seen += 1
        for k in range(first[x], first[x + 1]):
            e = incident[k]
            y = heads[e] if tails[e] == x else tails[e]
            if y == parent[x]:
                continue
            if parent[y] != -2:
                return False
            parent[y] = x
            tree.flow[y] = flows[e]
            tree.cost[y] = costs[e]
            if heads[e] == y:
                tree.direction[y] = -1
                potential[y] = potential[x] + costs[e]
            else:
                tree.direction[y] = 1
                potential[y] = potential[x] - costs[e]
            stack[depth] = y
            depth += 1
    if n_seen != n_nodes:
        return False
    for k in range(n_nodes - 1, 0, -1):
        size[parent[order[k]]] += size[order[k]]
    for k in range(n_nodes):
        x = order[k]
        y = order[k + 1] if k + 1 < n_nodes else order[0]
        tree.next[x] = y
        tree.prev[y] = x
    tree.info[ROOT] = 0
    return True


@kernel
def refresh_potentials(tree):
    """Recompute the potentials from the costs of the tree arcs, which removes what rounding has gathered."""
    root = tree.info[ROOT]
    x = tree.next[root]
    while x != root:
        p = tree.parent[x]
        if tree.direction[x] == 1:
            tree.potential[x] = tree.potential[p] - tree.cost[x]
        else:
            tree.potential[x] = tree.potential[p] + tree.cost[x]
        x = tree.next[x]


@kernel
def tree_flows(tree, supply, flow):
    """Flow of every node's tree arc, in floating point, from the float supplies (sinks negative).

    ``supply`` is overwritten with the sums over subtrees. Returns the supply that is left at the root.
    """
    root = tree.info[ROOT]
    x = tree.prev[root]
    while x != root:
        flow[x] = supply[x] if tree.direction[x] == 1 else -supply[x]
        supply[tree.parent[x]] += supply[x]
        x = tree.prev[x]
    flow[root] = 0.0
    return supply[root]


@kernel
def pivot(tree, tail, head, cost):
    """Bring the arc tail -> head into the tree and drop the arc that limits it; False where none does."""
    parent, size, flow, direction = tree.parent, tree.size, tree.flow, tree.direction
    follow, before = tree.next, tree.prev
    potential = tree.potential
    reduced_cost = cost + potential[tail] - potential[head]

    # Walk up from both ends to the apex of the cycle, the smaller subtree first.
    x = tail
    y = head
    tail_limit = UNLIMITED
    head_limit = UNLIMITED
    tail_blocking = -1
    head_blocking = -1
    while x != y:
        if size[x] < size[y]:
            if direction[x] == 1 and flow[x] < tail_limit:
                tail_limit = flow[x]
                tail_blocking = x
            x = parent[x]
        else:
            if direction[y] == -1 and flow[y] <= head_limit:
                head_limit = flow[y]
                head_blocking = y
            y = parent[y]
    apex = x
    if head_limit <= tail_limit:
        pushed, leaving, inner, outer, side, shift = head_limit, head_blocking, head, tail, -1, reduced_cost
    else:
        pushed, leaving, inner, outer, side, shift = tail_limit, tail_blocking, tail, head, 1, -reduced_cost
    if leaving < 0:
        return False

    n_nodes = size.shape[0]
    cut = size[leaving]  # the subtree that the leaving arc cuts off; `inner` is in it, `outer` is not
    root = tree.info[ROOT]
    gap_before = -1
    if 2 * cut <= n_nodes:
        # The cut subtree moves: re-rooted at `inner`, hung from `outer`.
        change = -side * pushed
        x = inner
        while x != leaving:
            flow[x] += direction[x] * change
            x = parent[x]
        flow[leaving] += direction[leaving] * change
        x = parent[leaving]
        while x != apex:
            flow[x] += direction[x] * change
            size[x] -= cut
            x = parent[x]
        x = outer
        while x != apex:
            flow[x] -= direction[x] * change
            size[x] += cut
            x = parent[x]
        gap_before = before[leaving]
        top, entry, anchor, count = leaving, inner, outer, cut
    else:
        # The rest moves: re-rooted at `outer`, hung from `inner`; the top of the cut subtree becomes the root.
        x = tail
        while x != apex:
            flow[x] -= direction[x] * pushed
            x = parent[x]
        x = head
        while x != apex:
            flow[x] += direction[x] * pushed
            x = parent[x]
        count = n_nodes - cut
        x = parent[leaving]
        while x >= 0:
            size[x] -= cut
            x = parent[x]
        ahead = 0
        x = root
        while x != leaving:
            x = follow[x]
            ahead += 1
        x = root
        for _ in range(count - ahead):
            x = before[x]
        after = x  # first node behind the cut subtree in the cyclic list (the root where there is none)
        last = before[after]
        x = before[leaving]
        follow[x] = after
        before[after] = x
        follow[last] = leaving
        before[leaving] = last
        parent[leaving] = -1
        tree.info[ROOT] = leaving
        top, entry, anchor = root, outer, inner
        side = -side
        shift = -shift
    tree.info[PIVOTS] += 1
    tree.info[TOUCHED] += count
    _rehang(tree, top, entry, anchor, count, shift, gap_before)
    parent[entry] = anchor
    flow[entry] = pushed
    tree.cost[entry] = cost
    direction[entry] = side
    if gap_before < 0:
        x = anchor
        while x >= 0:
            size[x] += count
            x = parent[x]
    return True


@kernel
def _rehang(tree, top, entry, anchor, count, shift, gap_before):
    """Re-root the part below `top` (`count` nodes in a row of the list) at `entry`, put it behind `anchor`.

    Its potentials grow by `shift`. ``gap_before``: the node before `top` where the list is to be closed, or -1.
    """
    parent, size, follow, before = tree.parent, tree.size, tree.next, tree.prev
    flow, arc_cost, direction, potential = tree.flow, tree.cost, tree.direction, tree.potential
    x = entry
    potential[x] += shift
    for _ in range(size[entry] - 1):
        x = follow[x]
        potential[x] += shift
    last = x  # end of the new order so far
    after = follow[last]  # what stood behind the part that is done
    done = size[entry]
    done_before = before[entry]
    above = parent[entry]
    child = entry
    child_flow, child_cost, child_direction = flow[entry], arc_cost[entry], direction[entry]
    size[entry] = count
    while child != top:
        # `above` becomes the child of `child`: first its nodes before the part done, then those behind it.
        x = above
        potential[x] += shift
        ahead = 1
        while x != done_before:
            x = follow[x]
            potential[x] += shift
            ahead += 1
        behind = size[above] - done - ahead
        done_before = before[above]
        follow[last] = above
        before[above] = last
        last = x
        if behind > 0:
            follow[x] = after
            before[after] = x
            x = after
            potential[x] += shift
            for _ in range(behind - 1):
                x = follow[x]
                potential[x] += shift
            last = x
            after = follow[last]
        old_parent, old_size = parent[above], size[above]
        old_flow, old_cost, old_direction = flow[above], arc_cost[above], direction[above]
        parent[above] = child
        size[above] = count - done
        flow[above] = child_flow
        arc_cost[above] = child_cost
        direction[above] = -child_direction
        child_flow, child_cost, child_direction = old_flow, old_cost, old_direction
        done = old_size
        child = above
        above = old_parent
    if gap_before >= 0:
        follow[gap_before] = after
        before[after] = gap_before
    x = follow[anchor]
    follow[anchor] = entry
    before[entry] = anchor
    follow[last] = x
    before[x] = last
