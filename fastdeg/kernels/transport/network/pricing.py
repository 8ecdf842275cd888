"""Pricing of all pairs of points: the most negative reduced costs of each row, exact, pruned by bounding boxes.

A block of columns can be passed over where its lower bound ``cost(point, box) - max v + u`` is not below what the row
already holds, so that only pairs near the optimal plan are evaluated.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from fastdeg.kernels._jit import kernel, parallel_kernel
from fastdeg.kernels.transport.metrics import BLOCK, block_costs, box_cost, count_below, rows_near_box
from fastdeg.kernels.transport.network.tree import POSITION

FRONT = 4  # blocks of columns that are sorted by their bounds before the others


@parallel_kernel
def price(metric, x, y, u, v, threshold, tolerance, arcs, arc_costs, row_min):
    """For each row i the columns j of least reduced cost ``cost - u_i - v_j``, if it is below ``-tolerance``.

    ``arcs`` (n, K): columns, in ascending order of the reduced cost, -1 where there are no more; ``arc_costs``: costs.
    ``row_min[i] = min(threshold + u_i, min_j cost_ij - v_j)``, for a threshold of at least -tolerance. Returns the
    number of arcs found.
    """
    m = v.shape[0]
    n_blocks = y.blocks.shape[0]
    v_blocks = np.empty((n_blocks, BLOCK))
    v_max = np.empty(n_blocks)
    for q in range(n_blocks):  # loops here and below: np.full and sums of arrays are functions to compile
        v_max[q] = -np.inf
        for t in range(BLOCK):
            v_blocks[q, t] = v[q * BLOCK + t] if q * BLOCK + t < m else -np.inf
            v_max[q] = max(v_max[q], v_blocks[q, t])
    found = np.empty(x.blocks.shape[0], np.int64)
    for p in prange(x.blocks.shape[0]):
        found[p] = _price_block(metric, x, y, u, v_blocks, v_max, threshold, tolerance, p, arcs, arc_costs, row_min)
    total = 0
    for p in range(found.shape[0]):
        total += found[p]
    return total


@kernel(inline="always")
def _price_block(metric, x, y, u, v_blocks, v_max, threshold, tolerance, p, arcs, arc_costs, row_min):
    """Rows of block p of x."""
    n_keep = arcs.shape[1]
    xb, x_low, x_high = x.blocks, x.low, x.high
    yb, y_low, y_high = y.blocks, y.low, y.high
    n_blocks = yb.shape[0]
    start = p * BLOCK
    end = min(u.shape[0], start + BLOCK)
    u_max = -np.inf
    for i in range(start, end):
        u_max = max(u_max, u[i])
    candidates = np.empty(n_blocks, np.int64)
    bounds = np.empty(n_blocks)
    n_candidates = 0
    for q in range(n_blocks):
        bound = box_cost(metric, x_low, x_high, p, y_low, y_high, q) - v_max[q]
        if bound < threshold + u_max:
            bounds[n_candidates] = bound
            candidates[n_candidates] = q
            n_candidates += 1
    for c in range(min(FRONT, n_candidates)):  # the most promising blocks go first
        best = c
        for k in range(c + 1, n_candidates):
            if bounds[k] < bounds[best]:
                best = k
        bounds[c], bounds[best] = bounds[best], bounds[c]
        candidates[c], candidates[best] = candidates[best], candidates[c]
    rows = end - start
    gaps = np.empty(BLOCK)
    costs = np.empty(BLOCK)
    near = np.empty(BLOCK, np.bool_)
    limits = np.empty(BLOCK)  # what the next arc of each row has to stay below
    kept = np.empty((BLOCK, n_keep))
    for s in range(rows, BLOCK):
        limits[s] = -np.inf
    for s in range(rows):
        limits[s] = threshold + u[start + s]
        for k in range(n_keep):
            arcs[start + s, k] = -1
            kept[s, k] = limits[s]
    for c in range(n_candidates):
        q = candidates[c]
        if rows_near_box(metric, xb, p, y_low, y_high, q, v_max[q], limits, gaps, near) == 0:
            continue
        for s in range(rows):
            if not near[s] or count_below(metric, xb, p, s, yb, q, v_blocks, limits[s]) == 0:
                continue
            i = start + s
            block_costs(metric, xb, p, s, yb, q, costs)
            for t in range(BLOCK):
                cost = costs[t]
                value = cost - v_blocks[q, t]
                if value < limits[s]:
                    k = n_keep - 1
                    while k > 0 and kept[s, k - 1] > value:
                        kept[s, k] = kept[s, k - 1]
                        arcs[i, k] = arcs[i, k - 1]
                        arc_costs[i, k] = arc_costs[i, k - 1]
                        k -= 1
                    kept[s, k] = value
                    arcs[i, k] = q * BLOCK + t
                    arc_costs[i, k] = cost
                    limits[s] = kept[s, n_keep - 1]
    found = 0
    for s in range(rows):
        i = start + s
        row_min[i] = kept[s, 0]
        for k in range(n_keep):
            if kept[s, k] < u[i] - tolerance:
                found += 1
            else:
                arcs[i, k] = -1
    return found


@kernel
def append_arcs(arcs, arc_costs, n_sources, transposed, tails, heads, costs, n_arcs):
    """Put the arcs found behind the list's first ``n_arcs``; returns the new length. Transposed: rows are sinks."""
    for i in range(arcs.shape[0]):
        for k in range(arcs.shape[1]):
            j = arcs[i, k]
            if j < 0:
                break
            if transposed:
                tails[n_arcs] = j
                heads[n_arcs] = n_sources + i
            else:
                tails[n_arcs] = i
                heads[n_arcs] = n_sources + j
            costs[n_arcs] = arc_costs[i, k]
            n_arcs += 1
    return n_arcs


@kernel
def keep_near(tree, tails, heads, costs, n_old, n_arcs, near):
    """Drop those of the first ``n_old`` arcs whose reduced cost exceeds ``near`` times the others' largest violation.

    Returns how many arcs are left; the next search begins with the new ones.
    """
    potential = tree.potential
    worst = 0.0
    for e in range(n_old, n_arcs):
        worst = min(worst, costs[e] + potential[tails[e]] - potential[heads[e]])
    count = 0
    for e in range(n_arcs):
        if e == n_old:
            tree.info[POSITION] = count
        if e >= n_old or costs[e] + potential[tails[e]] - potential[heads[e]] <= -near * worst:
            tails[count] = tails[e]
            heads[count] = heads[e]
            costs[count] = costs[e]
            count += 1
    return count
