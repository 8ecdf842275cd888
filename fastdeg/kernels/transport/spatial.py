"""Spatial order of points (a balanced kd tree, of which only the order of its leaves is kept), blocks and clusters."""

from __future__ import annotations

import numpy as np

from fastdeg.kernels._jit import driver, kernel
from fastdeg.kernels.transport.metrics import BLOCK, Points

CLUSTER = 4  # points merged into one of the next coarser level
COARSEST, LARGEST_COARSEST = 60, 240  # points of the smaller and of the larger side that are not merged any more
UNEVEN = 4  # only the larger side is merged while it has more than so many times as many points


@kernel
def kd_order(points, order):
    """Order the points (n, d) so that every aligned run of `BLOCK`, and of 4 within it, is a cell of a kd tree."""
    n, d = points.shape
    for i in range(n):
        order[i] = i
    stack = np.empty((64, 2), np.int64)
    stack[0, 0] = 0
    stack[0, 1] = n
    depth = 1
    while depth > 0:
        depth -= 1
        start = stack[depth, 0]
        end = stack[depth, 1]
        length = end - start
        if length <= 2:
            continue
        step = BLOCK if length > BLOCK else 4 if length > 4 else 1
        middle = start + step * (((length + step - 1) // step + 1) // 2)
        widest = np.int64(0)  # a plain 0 would be compiled a second time, as a literal
        width = -1.0
        for k in range(d):
            low = points[order[start], k]
            high = low
            for t in range(start + 1, end):
                value = points[order[t], k]
                low = min(low, value)
                high = max(high, value)
            if high - low > width:
                width = high - low
                widest = k
        if width > 0:
            _select(points, widest, order, start, end, middle)
        stack[depth, 0] = middle
        stack[depth, 1] = end
        stack[depth + 1, 0] = start
        stack[depth + 1, 1] = middle
        depth += 2


@kernel
def _select(points, axis, order, start, end, middle):
    """Hoare's selection: the points of order[start:middle] come no later along the axis than those of the rest."""
    left = start
    right = end - 1
    while left < right:
        first, centre, last = (
            points[order[left], axis],
            points[order[(left + right) // 2], axis],
            points[order[right], axis],
        )
        pivot = max(min(first, centre), min(max(first, centre), last))
        i = left
        j = right
        while i <= j:
            while points[order[i], axis] < pivot:
                i += 1
            while points[order[j], axis] > pivot:
                j -= 1
            if i <= j:
                order[i], order[j] = order[j], order[i]
                i += 1
                j -= 1
        if middle <= j:
            right = j
        elif middle >= i:
            left = i
        else:
            return


@driver
def block_points(points, order):
    """The points[order] in blocks (the last one filled up with its last point), with the box of each block.

    Fewer than three coordinates are filled up with zeros, so that three dimensions are the only special case.
    """
    d, n_blocks = max(points.shape[1], 3), (order.size + BLOCK - 1) // BLOCK
    made = Points(np.empty((n_blocks, d, BLOCK)), np.empty((n_blocks, d)), np.empty((n_blocks, d)))
    _fill_blocks(points, order, made)
    return made


@kernel
def _fill_blocks(points, order, made):
    n, given = order.shape[0], points.shape[1]
    blocks, low, high = made
    d = blocks.shape[1]
    for q in range(blocks.shape[0]):
        for k in range(d):
            lowest = np.inf
            highest = -np.inf
            for t in range(BLOCK):
                value = points[order[min(n - 1, q * BLOCK + t)], k] if k < given else 0.0
                blocks[q, k, t] = value
                lowest = min(lowest, value)
                highest = max(highest, value)
            low[q, k] = lowest
            high[q, k] = highest


@kernel
def cluster_sizes(n, m):
    """Points in a row of either side (``n <= m``) to merge into one: `CLUSTER`, or 1 where a side stays as it is.

    Where one side has many more points, the potentials of the other one tell nearly all, and few points of the larger
    side tell these.
    """
    both = n > COARSEST and m <= UNEVEN * n
    of_y = CLUSTER if both or m > max(UNEVEN * n, LARGEST_COARSEST) else 1
    return CLUSTER if both else 1, of_y


@kernel
def merge_clusters(points, masses, leaf):
    """Centres of mass (n_clusters, d) of each run of `leaf` points, and their masses."""
    n, d = masses.shape[0], points.blocks.shape[1]
    n_clusters = (n + leaf - 1) // leaf
    centres = np.zeros((n_clusters, d))
    sums = np.empty(n_clusters, np.int64)
    for c in range(n_clusters):
        total = 0
        for i in range(c * leaf, min(n, c * leaf + leaf)):
            total += masses[i]
            for k in range(d):
                centres[c, k] += float(masses[i]) * points.blocks[i // BLOCK, k, i % BLOCK]
        for k in range(d):
            centres[c, k] /= float(total)
        sums[c] = total
    return centres, sums
