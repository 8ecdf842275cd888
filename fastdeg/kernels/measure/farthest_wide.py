"""Farthest-point traversal in many axes: 16-bit copies of the points tell which distances must be computed.

A point x and its copy x̂ on a grid are e(x) = ‖x − x̂‖ apart, so that a new point c is farther from x than its nearest
chosen point at distance r if ‖x̂ − ĉ‖ >= r + e(x) + e(c). The left side is ‖x̂‖² + ‖ĉ‖² − 2 x̂·ĉ in exact integers: a
quarter of the memory traffic and a fraction of the work of float64. What is left gets its distance in float64. As in
`fastdeg.kernels.measure.farthest`, chosen points keep −1 and ties go to the lowest index.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from fastdeg.kernels._jit import REASSOCIATE, kernel, parallel_kernel
from fastdeg.kernels.measure.farthest import CHOSEN

BLOCK = 512  # points of one thread in a row
RADIUS = 32_000.0  # of the copies in units of the grid: products of two of them stay below 2³¹
MARGIN = 1e-12  # relative, for the rounding in the test


@kernel
def _extend(point, low, high):
    for k in range(point.shape[0]):
        value = np.float64(point[k])
        low[k] = value if value < low[k] else low[k]
        high[k] = value if value > high[k] else high[k]


@kernel(fastmath=REASSOCIATE)
def _round(point, origin, inverse, copy):
    """Write the copy of a point; return its squared norm (a whole number below 2⁵³) and the squared rounding error."""
    error = 0.0
    norm = 0.0
    for k in range(point.shape[0]):
        value = (point[k] - origin[k]) * inverse
        rounded = np.floor(value + 0.5)
        copy[k] = np.int16(rounded)
        difference = value - rounded
        error += difference * difference
        norm += rounded * rounded
    return norm, error


@parallel_kernel
def quantise(x, copies, norms, errors):
    """Write the copies in units of the grid, their squared norms and e(x) in the same units; return the unit."""
    n, n_axes = x.shape
    n_blocks = (n + BLOCK - 1) // BLOCK
    low, high = np.full((n_blocks, n_axes), np.inf), np.full((n_blocks, n_axes), -np.inf)
    for block in prange(n_blocks):
        for i in range(block * BLOCK, min(n, (block + 1) * BLOCK)):
            _extend(x[i], low[block], high[block])
    origin = np.empty(n_axes)
    radius = 0.0
    for k in range(n_axes):
        smallest, largest = low[:, k].min(), high[:, k].max()
        origin[k] = 0.5 * smallest + 0.5 * largest
        half = 0.5 * largest - 0.5 * smallest
        radius += half * half
    usable = radius > 2.0**-960 and radius < 2.0**960  # else everything is compared exactly
    unit = np.sqrt(radius) / RADIUS if usable else 1.0
    inverse = 1.0 / unit if usable else 0.0
    for block in prange(n_blocks):
        for i in range(block * BLOCK, min(n, (block + 1) * BLOCK)):
            norm, error = _round(x[i], origin, inverse, copies[i])
            norms[i] = np.int64(norm)
            errors[i] = np.sqrt(error) + 1e-9 * np.sqrt(float(n_axes)) if usable else np.inf
    return unit


@kernel(fastmath=REASSOCIATE)
def _squared_distance(a, b):
    total = 0.0
    for k in range(a.shape[0]):
        difference = np.float64(a[k]) - np.float64(b[k])
        total += difference * difference
    return total


@kernel
def _dot(a, b):
    """Product of two copies; the type of the sum lets the compiler multiply and add pairs in one instruction."""
    total = np.int32(0)
    for k in range(a.shape[0]):
        total = np.int32(total + np.int32(a[k]) * np.int32(b[k]))
    return total


@kernel
def _block_step(x, latest, copies, norms, errors, unit, begin, end, nearest, reach):
    """Lower the kept distances of a block; return the largest and the lowest index that has it."""
    point, copy, norm, error = x[latest], copies[latest], norms[latest], errors[latest]
    largest = -np.inf
    index = begin
    for i in range(begin, end):
        limit = reach[i] + error
        if not norms[i] + norm - 2 * np.int64(_dot(copies[i], copy)) >= limit * limit:
            distance = _squared_distance(x[i], point)
            if distance < nearest[i]:
                nearest[i] = distance
                reach[i] = (np.sqrt(distance) / unit + errors[i]) * (1.0 + MARGIN)
        if nearest[i] > largest:
            largest = nearest[i]
            index = i
    return largest, index


@parallel_kernel
def wide_steps(x, copies, norms, errors, unit, chosen, first_step, last_step, nearest, reach):
    """Choose chosen[first_step:last_step], the points before them being chosen.

    State: the kept squared distances, and reach = r + e(x) in units of the grid.
    """
    n = x.shape[0]
    n_blocks = (n + BLOCK - 1) // BLOCK
    best, best_index = np.empty(n_blocks), np.empty(n_blocks, np.int64)
    for step in range(first_step, last_step):
        latest = chosen[step - 1]
        nearest[latest] = CHOSEN
        reach[latest] = 0.0
        for block in prange(n_blocks):
            begin = block * BLOCK
            best[block], best_index[block] = _block_step(
                x, latest, copies, norms, errors, unit, begin, min(n, begin + BLOCK), nearest, reach
            )
        largest = -np.inf
        for block in range(n_blocks):
            if best[block] > largest:
                largest = best[block]
                chosen[step] = best_index[block]
