"""Pricing of all pairs of points: the most negative reduced costs of each row, exact, pruned by bounding boxes.

A block of columns can be passed over where its lower bound ``cost(point, box) - max v + u`` is not below what the row
already holds, so that only pairs near the optimal plan are evaluated.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from fastdeg.kernels._jit import driver, kernel, parallel_kernel
from fastdeg.kernels.transport.metrics import BLOCK, block_costs, box_cost, count_below, rows_near_box

FRONT = 4  # blocks of columns that are sorted by their bounds before the others


class Found(NamedTuple):
    """What pricing finds for each row, with room for K columns.

    ``columns`` (n, K): those of least reduced cost, in ascending order, -1 where there are no more; ``costs``: theirs;
    ``row_min``: the least ``cost - v``, or where it stopped looking.
    """

    columns: NDArray[np.int64]
    costs: NDArray[np.float64]
    row_min: NDArray[np.float64]


class Arcs(NamedTuple):
    """A list of arcs: the nodes that each runs from and to, and its cost."""

    tails: NDArray[np.uint32]
    heads: NDArray[np.uint32]
    costs: NDArray[np.float64]


@driver
def no_columns(n, n_keep):
    """Room for the columns of n rows."""
    return Found(np.empty((n, n_keep), np.int64), np.empty((n, n_keep)), np.empty(n))


@driver
def no_arcs(n_arcs):
    """Room for so many arcs."""
    return Arcs(np.empty(n_arcs, np.uint32), np.empty(n_arcs, np.uint32), np.empty(n_arcs))


@parallel_kernel
def price(metric, x, y, u, v, threshold, tolerance, found):
    """For each row i the columns j of least reduced cost ``cost - u_i - v_j``, if it is below ``-tolerance``.

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
    counts = np.empty(x.blocks.shape[0], np.int64)
    for p in prange(x.blocks.shape[0]):
        counts[p] = _price_block(metric, x, y, u, v_blocks, v_max, threshold, tolerance, p, found)
    total = 0
    for p in range(counts.shape[0]):
        total += counts[p]
    return total


@kernel(inline="always")  # a part of `price`, with its variables
def _price_block(metric, x, y, u, v_blocks, v_max, threshold, tolerance, p, found):
    """Rows of block p of x."""
    arcs, arc_costs, row_min = found
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
    count = 0
    for s in range(rows):
        i = start + s
        row_min[i] = kept[s, 0]
        for k in range(n_keep):
            if kept[s, k] < u[i] - tolerance:
                count += 1
            else:
                arcs[i, k] = -1
    return count


@driver
def with_found(arcs, by_row, by_column, n_sources):
    """The list with the arcs that pricing found for the rows (sources) and for the columns (sinks) behind it."""
    longer = no_arcs(arcs.costs.size + by_row.columns.size + by_column.columns.size)
    n_arcs = _append(arcs, by_row, by_column, n_sources, longer)
    return Arcs(longer.tails[:n_arcs], longer.heads[:n_arcs], longer.costs[:n_arcs])


@kernel
def _append(arcs, by_row, by_column, n_sources, longer):
    n_arcs = arcs.costs.shape[0]
    tails, heads, costs = longer
    for e in range(n_arcs):  # a loop: an assignment to a slice costs a second of compilation
        tails[e], heads[e], costs[e] = arcs.tails[e], arcs.heads[e], arcs.costs[e]
    for side in range(2):
        columns, column_costs = (by_row.columns, by_row.costs) if side == 0 else (by_column.columns, by_column.costs)
        for i in range(columns.shape[0]):
            for k in range(columns.shape[1]):
                j = columns[i, k]
                if j < 0:
                    break
                tails[n_arcs] = i if side == 0 else j
                heads[n_arcs] = n_sources + (j if side == 0 else i)
                costs[n_arcs] = column_costs[i, k]
                n_arcs += 1
    return n_arcs
