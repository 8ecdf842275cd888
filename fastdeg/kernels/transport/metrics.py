"""Ground costs of points, for one pair, for a point against a block of points, and their lower bounds for boxes.

Points are stored in blocks of `BLOCK`, (n_blocks, d, BLOCK), so that the loops over a block's points run in vector
registers. Functions of the inner loops take plain arrays: each array read from a tuple costs an atomic count of
references wherever there is a branch.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastdeg.kernels._jit import kernel

EUCLIDEAN, SQEUCLIDEAN, CITYBLOCK, CHEBYSHEV = range(4)
BLOCK = 32


class Points(NamedTuple):
    """Points in blocks (n_blocks, d, BLOCK), the last block filled up, and the box of each block (n_blocks, d)."""

    blocks: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


@kernel
def pair_cost(metric, x, i, y, j):
    """Cost between point i of x and point j of y."""
    return block_pair_cost(metric, x, i // BLOCK, i % BLOCK, y, j // BLOCK, j % BLOCK)


@kernel
def block_pair_cost(metric, x, p, s, y, q, t):
    """Cost between point s of block p of x and point t of block q of y."""
    total = 0.0
    if metric <= SQEUCLIDEAN:
        for k in range(x.shape[1]):
            difference = x[p, k, s] - y[q, k, t]
            total += difference * difference
        if metric == EUCLIDEAN:
            total = np.sqrt(total)
    elif metric == CITYBLOCK:
        for k in range(x.shape[1]):
            total += abs(x[p, k, s] - y[q, k, t])
    else:
        for k in range(x.shape[1]):
            total = max(total, abs(x[p, k, s] - y[q, k, t]))
    return total


@kernel
def count_below(metric, x, p, s, y, q, v, limit):
    """Number of points t of block q of y with ``cost - v[q, t] < limit`` for point s of block p of x.

    Nothing is stored and no square root taken, so that the loop runs in vector registers: most blocks have none.
    """
    count = 0
    if x.shape[1] > 3:
        for t in range(BLOCK):
            count += block_pair_cost(metric, x, p, s, y, q, t) - v[q, t] < limit
        return count
    x0, x1, x2 = x[p, 0, s], x[p, 1, s], x[p, 2, s]
    if metric == EUCLIDEAN:
        for t in range(BLOCK):
            d0 = x0 - y[q, 0, t]
            d1 = x1 - y[q, 1, t]
            d2 = x2 - y[q, 2, t]
            reach = limit + v[q, t]
            count += d0 * d0 + d1 * d1 + d2 * d2 < reach * abs(reach)
    elif metric == SQEUCLIDEAN:
        for t in range(BLOCK):
            d0 = x0 - y[q, 0, t]
            d1 = x1 - y[q, 1, t]
            d2 = x2 - y[q, 2, t]
            count += d0 * d0 + d1 * d1 + d2 * d2 < limit + v[q, t]
    elif metric == CITYBLOCK:
        for t in range(BLOCK):
            distance = abs(x0 - y[q, 0, t]) + abs(x1 - y[q, 1, t]) + abs(x2 - y[q, 2, t])
            count += distance < limit + v[q, t]
    else:
        for t in range(BLOCK):
            reach = limit + v[q, t]
            d0 = abs(x0 - y[q, 0, t])
            d1 = abs(x1 - y[q, 1, t])
            d2 = abs(x2 - y[q, 2, t])
            count += (d0 < reach) & (d1 < reach) & (d2 < reach)
    return count


@kernel
def block_costs(metric, x, p, s, y, q, out):
    """``out[t]``: cost between point s of block p of x and point t of block q of y."""
    if x.shape[1] > 3:
        for t in range(BLOCK):
            out[t] = block_pair_cost(metric, x, p, s, y, q, t)
        return
    x0, x1, x2 = x[p, 0, s], x[p, 1, s], x[p, 2, s]
    if metric <= SQEUCLIDEAN:
        for t in range(BLOCK):
            d0 = x0 - y[q, 0, t]
            d1 = x1 - y[q, 1, t]
            d2 = x2 - y[q, 2, t]
            out[t] = d0 * d0 + d1 * d1 + d2 * d2
        if metric == EUCLIDEAN:
            for t in range(BLOCK):
                out[t] = np.sqrt(out[t])
    elif metric == CITYBLOCK:
        for t in range(BLOCK):
            out[t] = abs(x0 - y[q, 0, t]) + abs(x1 - y[q, 1, t]) + abs(x2 - y[q, 2, t])
    else:
        for t in range(BLOCK):
            d0 = abs(x0 - y[q, 0, t])
            d1 = abs(x1 - y[q, 1, t])
            d2 = abs(x2 - y[q, 2, t])
            larger = d0 if d0 > d1 else d1
            out[t] = larger if larger > d2 else d2


@kernel
def costs_from(metric, point, others, out):
    """``out[j]``: cost between a point and column j of others (d, m)."""
    for j in range(others.shape[1]):
        out[j] = 0.0
    for k in range(others.shape[0]):
        coordinate = point[k]
        if metric <= SQEUCLIDEAN:
            for j in range(others.shape[1]):
                difference = coordinate - others[k, j]
                out[j] += difference * difference
        elif metric == CITYBLOCK:
            for j in range(others.shape[1]):
                out[j] += abs(coordinate - others[k, j])
        else:
            for j in range(others.shape[1]):
                difference = abs(coordinate - others[k, j])
                out[j] = difference if difference > out[j] else out[j]
    if metric == EUCLIDEAN:
        for j in range(others.shape[1]):
            out[j] = np.sqrt(out[j])


@kernel
def box_cost(metric, x_low, x_high, p, y_low, y_high, q):
    """Lower bound of the cost between the points of a box of x, row p, and those of a box of y, row q."""
    total = 0.0
    for k in range(x_low.shape[1]):
        below = x_low[p, k] - y_high[q, k]
        above = y_low[q, k] - x_high[p, k]
        gap = below if below > above else above
        gap = gap if gap > 0 else 0.0
        if metric <= SQEUCLIDEAN:
            total += gap * gap
        elif metric == CITYBLOCK:
            total += gap
        else:
            total = max(total, gap)
    return np.sqrt(total) if metric == EUCLIDEAN else total


@kernel
def rows_near_box(metric, x, p, y_low, y_high, q, v_max, limits, gaps, near):
    """``near[s]``: whether ``cost(point s of block p, box of q) - v_max < limits[s]``; returns how many."""
    for s in range(BLOCK):
        gaps[s] = 0.0
    for k in range(y_low.shape[1]):
        low = y_low[q, k]
        high = y_high[q, k]
        for s in range(BLOCK):
            coordinate = x[p, k, s]
            below = low - coordinate
            above = coordinate - high
            gap = below if below > above else above
            gap = gap if gap > 0 else 0.0
            if metric <= SQEUCLIDEAN:
                gaps[s] += gap * gap
            elif metric == CITYBLOCK:
                gaps[s] += gap
            else:
                gaps[s] = gap if gap > gaps[s] else gaps[s]
    count = 0
    for s in range(BLOCK):
        reach = limits[s] + v_max
        if metric == EUCLIDEAN:
            reach = reach * abs(reach)
        near[s] = gaps[s] < reach
        count += near[s]
    return count
