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

from fastdeg.kernels._jit import driver, kernel

NONE = np.uint32(0xFFFFFFFF)  # no node; unsigned numbers of nodes spare each index a test of its sign

# entries of Tree.info
ROOT, PIVOTS, TOUCHED, POSITION = 0, 1, 2, 3


class Tree(NamedTuple):
    """Arrays of one entry per node; ``info``: root, pivots so far, nodes touched, position of the arc search."""

    parent: NDArray[np.uint32]
    size: NDArray[np.uint32]
    next: NDArray[np.uint32]
    prev: NDArray[np.uint32]
    direction: NDArray[np.int8]  # +1: the arc runs from the node to its parent; -1: from the parent to the node
    flow: NDArray[np.int64]
    cost: NDArray[np.float64]
    potential: NDArray[np.float64]
    info: NDArray[np.int64]


@driver
def new_tree(n_nodes):
    """Arrays for a tree of ``n_nodes`` nodes."""
    return Tree(
        np.empty(n_nodes, np.uint32),
        np.empty(n_nodes, np.uint32),
        np.empty(n_nodes, np.uint32),
        np.empty(n_nodes, np.uint32),
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
    parent, size, potential = tree.parent, tree.size, tree.potential
    first = np.empty(n_nodes + 1, np.int32)
    for x in range(n_nodes + 1):
        first[x] = 0
    for e in range(n_arcs):
        first[tails[e] + 1] += 1
        first[heads[e] + 1] += 1
    for x in range(n_nodes):
        first[x + 1] += first[x]
        parent[x] = NONE
    fill = first[:n_nodes].copy()
    incident = np.empty(2 * n_arcs, np.int32)
    for e in range(n_arcs):
        incident[fill[tails[e]]] = e
        fill[tails[e]] += 1
        incident[fill[heads[e]]] = e
        fill[heads[e]] += 1
    stack = np.empty(n_nodes, np.int64)
    order = np.empty(n_nodes, np.int64)
    stack[0] = 0
    depth = 1
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
        size[x] = 1
        for k in range(first[x], first[x + 1]):
            e = incident[k]
            down = tails[e] == x
            y = np.int64(heads[e]) if down else np.int64(tails[e])
            if y == 0 or parent[y] != NONE:
                continue
            parent[y] = x
            tree.flow[y] = flows[e]
            tree.cost[y] = costs[e]
            if down:
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
    sum_costs(tree.parent, tree.next, tree.direction, tree.cost, tree.potential, np.uint32(tree.info[ROOT]))


@kernel
def sum_costs(parent, follow, direction, arc_cost, potential, root):
    """Potentials from the costs of the tree arcs, the root's zero."""
    potential[root] = 0.0
    x = follow[root]
    while x != root:
        p = parent[x]
        potential[x] = potential[p] - direction[x] * arc_cost[x]
        x = follow[x]


@kernel
def tree_flows(tree, supply, flow):
    """Flow of every node's tree arc, in floating point, from the float supplies (sinks negative).

    ``supply`` is overwritten with the sums over subtrees. Returns the supply that is left at the root.
    """
    root = np.uint32(tree.info[ROOT])
    x = tree.prev[root]
    while x != root:
        flow[x] = supply[x] if tree.direction[x] == 1 else -supply[x]
        supply[tree.parent[x]] += supply[x]
        x = tree.prev[x]
    flow[root] = 0.0
    return supply[root]


@kernel
def read_plan(tree, a, b):
    """Value, sources, sinks and flows of a tree of sources and sinks, for the float masses a and b."""
    n, m = a.shape[0], b.shape[0]
    supply = np.empty(n + m)
    for i in range(n):  # loops: an assignment to a slice costs a second of compilation
        supply[i] = a[i]
    for j in range(m):
        supply[n + j] = -b[j]
    flow = np.empty(n + m)
    tree_flows(tree, supply, flow)
    sources = np.empty(n + m - 1, np.int64)
    sinks = np.empty(n + m - 1, np.int64)
    flows = np.empty(n + m - 1)
    value = 0.0
    count = 0
    for x in range(n + m):
        if tree.parent[x] != NONE and flow[x] > 0:
            up = tree.direction[x] == 1
            sources[count] = x if up else np.int64(tree.parent[x])
            sinks[count] = np.int64(tree.parent[x]) - n if up else x - n
            flows[count] = flow[x]
            value += flow[x] * tree.cost[x]
            count += 1
    return value, sources[:count], sinks[:count], flows[:count]


@kernel(inline="always")
def exchange(
    parent, size, follow, before, direction, flow, arc_cost, potential, info, tail, head, cost, leaving, pushed, apex
):
    """Bring the arc tail -> head into the tree and drop the one from `leaving` to its parent: a pivot.

    ``leaving``, ``pushed`` and ``apex`` as `leaves.find_leaving` gives them. Takes the arrays of the tree one by one:
    read from the tuple, each would cost an atomic count of references. A part of `search`, as `leaves` are.
    """
    reduced_cost = cost + potential[tail] - potential[head]
    x = tail
    while x != apex and x != leaving:
        x = parent[x]
    if x == apex:
        inner, outer, side, shift = head, tail, -1, reduced_cost
    else:
        inner, outer, side, shift = tail, head, 1, -reduced_cost
    root = np.uint32(info[ROOT])
    n_nodes = size[root]
    cut = size[leaving]  # the subtree that the leaving arc cuts off; `inner` is in it, `outer` is not
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
        top, entry, anchor, count = leaving, inner, outer, np.int64(cut)
        rest_moves = False
        gap_before = before[leaving]
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
        count = n_nodes - np.int64(cut)
        x = parent[leaving]
        while x != NONE:
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
        parent[leaving] = NONE
        info[ROOT] = leaving
        top, entry, anchor = root, outer, inner
        rest_moves = True
        gap_before = NONE
        side = -side
        shift = -shift
    info[PIVOTS] += 1
    info[TOUCHED] += count
    _rehang(
        parent, size, follow, before, direction, flow, arc_cost, potential, top, entry, anchor, count, shift, gap_before
    )
    parent[entry] = anchor
    flow[entry] = pushed
    arc_cost[entry] = cost
    direction[entry] = side
    if rest_moves:
        x = anchor
        while x != NONE:
            size[x] += count
            x = parent[x]


@kernel(inline="always")
def _rehang(
    parent, size, follow, before, direction, flow, arc_cost, potential, top, entry, anchor, count, shift, gap_before
):
    """Re-root the part below `top` (`count` nodes in a row of the list) at `entry`, put it behind `anchor`.

    Its potentials grow by `shift`. ``gap_before``: the node before `top` where the list is to be closed, or NONE.
    """
    x = entry
    potential[x] += shift
    for _ in range(size[entry] - 1):
        x = follow[x]
        potential[x] += shift
    last = x  # end of the new order so far
    after = follow[last]  # what stood behind the part that is done
    done = np.int64(size[entry])
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
        behind = np.int64(size[above]) - done - ahead
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
        old_parent, old_size = parent[above], np.int64(size[above])
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
    if gap_before != NONE:
        follow[gap_before] = after
        before[after] = gap_before
    x = follow[anchor]
    follow[anchor] = entry
    before[entry] = anchor
    follow[last] = x
    before[x] = last
