"""Pivots inside subtrees of the spanning tree, connected parts of it, where they touch few nodes, all at once.

The cycle of an arc with both ends in one subtree stays in it. So each subtree, with the arcs between its own nodes, is
a flow problem of its own whose pivots are pivots of the whole basis; what hangs on it moves along with the nodes that
it hangs on. Arcs between subtrees wait for another division.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from fastdeg.kernels._jit import kernel, parallel_kernel
from fastdeg.kernels.transport.network.pricing import Arcs
from fastdeg.kernels.transport.network.simplex import search
from fastdeg.kernels.transport.network.tree import NONE, PIVOTS, ROOT, TOUCHED, Tree, build_tree


@kernel
def divide_tree(tree, least_size, label, slot):
    """Cut the tree into subtrees of about ``least_size`` nodes or more.

    Fills the number of each node's subtree, its label, and its slot: the subtrees follow one another, each in preorder.
    Returns the first slot of each subtree, with the number of nodes behind the last.
    """
    n_nodes = tree.parent.shape[0]
    root = np.uint32(tree.info[ROOT])
    held = np.ones(n_nodes, np.int64)
    top = np.zeros(n_nodes, np.bool_)
    top[root] = True
    x = tree.prev[root]
    n_subtrees = 1
    while x != root:
        if held[x] >= least_size:
            top[x] = True
            n_subtrees += 1
        else:
            held[tree.parent[x]] += held[x]
        x = tree.prev[x]
    first = np.zeros(n_subtrees + 1, np.int64)
    n_seen = 0
    x = root
    for _ in range(n_nodes):
        if top[x]:
            label[x] = n_seen
            n_seen += 1
            first[n_seen] = held[x]
        else:
            label[x] = label[tree.parent[x]]
        x = tree.next[x]
    for k in range(n_subtrees):
        first[k + 1] += first[k]
    fill = first[:n_subtrees].copy()
    x = root
    for _ in range(n_nodes):
        slot[x] = fill[label[x]]
        fill[label[x]] += 1
        x = tree.next[x]
    return first


@kernel
def sort_arcs(label, slot, first, arcs):
    """The arcs inside subtrees, one subtree after the other, ends numbered within it; the first arc of each."""
    tails, heads, costs = arcs
    n_arcs = costs.shape[0]
    n_subtrees = first.shape[0] - 1
    first_arc = np.zeros(n_subtrees + 1, np.int64)
    for e in range(n_arcs):
        k = label[tails[e]]
        if k == label[heads[e]]:
            first_arc[k + 1] += 1
    for k in range(n_subtrees):
        first_arc[k + 1] += first_arc[k]
    fill = first_arc[:n_subtrees].copy()
    n_inside = first_arc[n_subtrees]
    own_tails, own_heads, own_costs = np.empty(n_inside, np.uint32), np.empty(n_inside, np.uint32), np.empty(n_inside)
    for e in range(n_arcs):
        k = label[tails[e]]
        if k == label[heads[e]]:
            own_tails[fill[k]] = slot[tails[e]] - first[k]
            own_heads[fill[k]] = slot[heads[e]] - first[k]
            own_costs[fill[k]] = costs[e]
            fill[k] += 1
    return (own_tails, own_heads, own_costs), first_arc


@kernel
def take_subtrees(tree, label, slot, first, subtrees, infos):
    """Copy the tree's nodes to their slots, parents and lists within each subtree."""
    n_nodes = tree.parent.shape[0]
    for k in range(first.shape[0] - 1):
        infos[k, :] = 0
    for s in range(n_nodes):
        subtrees.size[s] = 1
    x = tree.prev[np.uint32(tree.info[ROOT])]
    for _ in range(n_nodes):
        k = label[x]
        s = slot[x]
        start = first[k]
        count = first[k + 1] - start
        p = tree.parent[x]
        if s == start:
            subtrees.parent[s] = NONE
        else:
            subtrees.parent[s] = slot[p] - start
            subtrees.size[slot[p]] += subtrees.size[s]
        subtrees.next[s] = s + 1 - start if s + 1 - start < count else 0
        subtrees.prev[s] = s - 1 - start if s > start else count - 1
        subtrees.direction[s] = tree.direction[x]
        subtrees.flow[s] = tree.flow[x]
        subtrees.cost[s] = tree.cost[x]
        subtrees.potential[s] = tree.potential[x]
        x = tree.prev[x]


@parallel_kernel
def search_subtrees(subtrees, infos, first, inside, first_arc, undirected, tolerance, budget):
    """Network simplex on each subtree with its own arcs, each to its optimum or to its share of the budget."""
    n_nodes = subtrees.parent.shape[0]
    tails, heads, costs = inside
    for k in prange(first.shape[0] - 1):
        start = first[k]
        end = first[k + 1]
        subtree = Tree(
            subtrees.parent[start:end],
            subtrees.size[start:end],
            subtrees.next[start:end],
            subtrees.prev[start:end],
            subtrees.direction[start:end],
            subtrees.flow[start:end],
            subtrees.cost[start:end],
            subtrees.potential[start:end],
            infos[k],
        )
        begin, stop = first_arc[k], first_arc[k + 1]
        arcs = Arcs(tails[begin:stop], heads[begin:stop], costs[begin:stop])
        search(subtree, arcs, undirected, tolerance, budget * (end - start) // n_nodes)


@kernel
def join_subtrees(tree, slot, first, subtrees, infos):
    """Put the subtrees together again: their trees and the arcs between them, which have not changed."""
    n_nodes = tree.parent.shape[0]
    node_at = np.empty(n_nodes, np.uint32)
    for x in range(n_nodes):
        node_at[slot[x]] = x
    tails = np.empty(n_nodes, np.uint32)
    heads = np.empty(n_nodes, np.uint32)
    flows = np.empty(n_nodes, np.int64)
    costs = np.empty(n_nodes)
    n_arcs = 0
    for k in range(first.shape[0] - 1):
        start = first[k]
        for s in range(start, first[k + 1]):
            if subtrees.parent[s] != NONE:
                x = node_at[s]
                p = node_at[start + subtrees.parent[s]]
                tails[n_arcs] = x if subtrees.direction[s] == 1 else p
                heads[n_arcs] = p if subtrees.direction[s] == 1 else x
                flows[n_arcs] = subtrees.flow[s]
                costs[n_arcs] = subtrees.cost[s]
                n_arcs += 1
        x = node_at[start]  # the node on which the subtree hung on another one
        p = tree.parent[x]
        if p != NONE:
            tails[n_arcs] = x if tree.direction[x] == 1 else p
            heads[n_arcs] = p if tree.direction[x] == 1 else x
            flows[n_arcs] = tree.flow[x]
            costs[n_arcs] = tree.cost[x]
            n_arcs += 1
        tree.info[PIVOTS] += infos[k, PIVOTS]
        tree.info[TOUCHED] += infos[k, TOUCHED]
    return build_tree(tree, tails, heads, flows, costs)
