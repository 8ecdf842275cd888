"""Pivots inside connected pieces of the spanning tree, where they touch few nodes, all pieces at once.

The cycle of an arc with both ends in one connected piece of the tree stays in the piece. So each piece, with the arcs
between its own nodes, is a flow problem of its own whose pivots are pivots of the whole basis; the parts of the tree
that hang on the piece move along with the nodes that they hang on. Arcs between pieces wait for another division.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from fastdeg.kernels._jit import kernel, parallel_kernel
from fastdeg.kernels.transport.network.simplex import search
from fastdeg.kernels.transport.network.tree import NONE, PIVOTS, ROOT, TOUCHED, Tree, build_tree


@kernel
def divide_tree(tree, least_size, piece, slot):
    """Cut the tree into connected pieces of about ``least_size`` nodes or more.

    Fills the piece of each node and its slot: the pieces follow one another, each in preorder. Returns the first slot
    of each piece, with the number of nodes behind the last.
    """
    n_nodes = tree.parent.shape[0]
    root = np.uint32(tree.info[ROOT])
    held = np.ones(n_nodes, np.int64)
    top = np.zeros(n_nodes, np.bool_)
    top[root] = True
    x = tree.prev[root]
    n_pieces = 1
    while x != root:
        if held[x] >= least_size:
            top[x] = True
            n_pieces += 1
        else:
            held[tree.parent[x]] += held[x]
        x = tree.prev[x]
    first = np.zeros(n_pieces + 1, np.int64)
    n_seen = 0
    x = root
    for _ in range(n_nodes):
        if top[x]:
            piece[x] = n_seen
            n_seen += 1
            first[n_seen] = held[x]
        else:
            piece[x] = piece[tree.parent[x]]
        x = tree.next[x]
    for k in range(n_pieces):
        first[k + 1] += first[k]
    fill = first[:n_pieces].copy()
    x = root
    for _ in range(n_nodes):
        slot[x] = fill[piece[x]]
        fill[piece[x]] += 1
        x = tree.next[x]
    return first


@kernel
def sort_arcs(piece, slot, first, tails, heads, costs, n_arcs, own_tails, own_heads, own_costs):
    """Sort the arcs inside pieces by piece, their ends numbered within the piece; returns each piece's first arc."""
    n_pieces = first.shape[0] - 1
    first_arc = np.zeros(n_pieces + 1, np.int64)
    for e in range(n_arcs):
        k = piece[tails[e]]
        if k == piece[heads[e]]:
            first_arc[k + 1] += 1
    for k in range(n_pieces):
        first_arc[k + 1] += first_arc[k]
    fill = first_arc[:n_pieces].copy()
    for e in range(n_arcs):
        k = piece[tails[e]]
        if k == piece[heads[e]]:
            own_tails[fill[k]] = slot[tails[e]] - first[k]
            own_heads[fill[k]] = slot[heads[e]] - first[k]
            own_costs[fill[k]] = costs[e]
            fill[k] += 1
    return first_arc


@kernel
def take_pieces(tree, piece, slot, first, pieces, infos):
    """Copy the tree's nodes to their slots, parents and lists within each piece."""
    n_nodes = tree.parent.shape[0]
    for k in range(first.shape[0] - 1):
        infos[k, :] = 0
    for s in range(n_nodes):
        pieces.size[s] = 1
    x = tree.prev[np.uint32(tree.info[ROOT])]
    for _ in range(n_nodes):
        k = piece[x]
        s = slot[x]
        start = first[k]
        count = first[k + 1] - start
        p = tree.parent[x]
        if s == start:
            pieces.parent[s] = NONE
        else:
            pieces.parent[s] = slot[p] - start
            pieces.size[slot[p]] += pieces.size[s]
        pieces.next[s] = s + 1 - start if s + 1 - start < count else 0
        pieces.prev[s] = s - 1 - start if s > start else count - 1
        pieces.direction[s] = tree.direction[x]
        pieces.flow[s] = tree.flow[x]
        pieces.cost[s] = tree.cost[x]
        pieces.potential[s] = tree.potential[x]
        x = tree.prev[x]


@parallel_kernel
def search_pieces(pieces, infos, first, tails, heads, costs, first_arc, undirected, tolerance, budget):
    """Network simplex on each piece with its own arcs, each to its optimum or to its share of the budget."""
    n_nodes = pieces.parent.shape[0]
    for k in prange(first.shape[0] - 1):
        start = first[k]
        end = first[k + 1]
        piece = Tree(
            pieces.parent[start:end],
            pieces.size[start:end],
            pieces.next[start:end],
            pieces.prev[start:end],
            pieces.direction[start:end],
            pieces.flow[start:end],
            pieces.cost[start:end],
            pieces.potential[start:end],
            infos[k],
        )
        begin = first_arc[k]
        n_arcs = first_arc[k + 1] - begin
        share = budget * (end - start) // n_nodes
        search(piece, tails[begin:], heads[begin:], costs[begin:], n_arcs, undirected, tolerance, share)


@kernel
def join_pieces(tree, piece, slot, first, pieces, infos):
    """Put the pieces together again: their trees and the arcs between them, which have not changed."""
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
            if pieces.parent[s] != NONE:
                x = node_at[s]
                p = node_at[start + pieces.parent[s]]
                tails[n_arcs] = x if pieces.direction[s] == 1 else p
                heads[n_arcs] = p if pieces.direction[s] == 1 else x
                flows[n_arcs] = pieces.flow[s]
                costs[n_arcs] = pieces.cost[s]
                n_arcs += 1
        x = node_at[start]  # the node on which the piece hung on another one
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
