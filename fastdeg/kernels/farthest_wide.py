"""Farthest-point traversal in many axes: 16-bit copies of the points tell which distances must be computed.

A point x and its copy x̂ on a grid of 65,535 levels are e = ‖x − x̂‖ apart, and a new point c is farther from x than its
nearest chosen one at distance r if ‖x̂ − c‖ >= r + e. The left side takes half or a quarter of the memory traffic, which
is what limits the traversal; it is summed in float32 with a margin for all rounding. What is left gets its distance in
float64. As in `fastdeg.kernels.farthest`, chosen points keep −1 and ties go to the lowest index.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from fastdeg.kernels._jit import REASSOCIATE, kernel, parallel_kernel
from fastdeg.kernels.farthest import CHOSEN

BLOCK = 512  # points of one thread in a row
LEVELS = 32_767.0
FLOAT32_EPSILON = 2.0**-24


@parallel_kernel
def quantise(x, copies, errors, origin):
    """Write the copies in units of the grid and the distances to them in the same units; return the unit."""
    n, n_axes = x.shape
    n_blocks = (n + BLOCK - 1) // BLOCK
    low, high = np.full((n_blocks, n_axes), np.inf), np.full((n_blocks, n_axes), -np.inf)
    for block in prange(n_blocks):
        for i in range(block * BLOCK, min(n, (block + 1) * BLOCK)):
            for k in range(n_axes):
                value = np.float64(x[i, k])
                low[block, k] = value if value < low[block, k] else low[block, k]
                high[block, k] = value if value > high[block, k] else high[block, k]
    width = 0.0
    for k in range(n_axes):
        smallest, largest = low[:, k].min(), high[:, k].max()
        origin[k] = 0.5 * smallest + 0.5 * largest
        width = max(width, 0.5 * largest - 0.5 * smallest)
    unit = width / LEVELS if width > 2.0**-900 and width < 2.0**900 else np.inf
    inverse = 1.0 / unit
    for block in prange(n_blocks):
        for i in range(block * BLOCK, min(n, (block + 1) * BLOCK)):
            error = 0.0
            for k in range(n_axes):
                value = (x[i, k] - origin[k]) * inverse
                rounded = np.floor(value + 0.5)
                copies[i, k] = np.int16(rounded)
                difference = value - rounded
                error += difference * difference
            errors[i] = np.sqrt(error) if unit < np.inf else np.inf
    return unit


@kernel(fastmath=REASSOCIATE)
def _squared_distance(a, b):
    total = 0.0
    for k in range(a.shape[0]):
        difference = np.float64(a[k]) - np.float64(b[k])
        total += difference * difference
    return total


@kernel(fastmath=REASSOCIATE)
def _approximate(copy, point):
    total = np.float32(0.0)
    for k in range(copy.shape[0]):
        difference = np.float32(copy[k]) - point[k]
        total += difference * difference
    return total


@kernel
def _block_step(x, latest, copies, errors, unit, scaled, begin, end, nearest, limits):
    """Lower the kept distances of a block; return the largest and the lowest index that has it."""
    n_axes = x.shape[1]
    point = x[latest]
    # rounding of the sum, relative, and of the scaled point, in units of the grid
    relative = 1.0 + 2.0 * (n_axes + 8) * FLOAT32_EPSILON
    absolute = 2.0 * np.sqrt(float(n_axes)) * LEVELS * FLOAT32_EPSILON
    largest = -np.inf
    index = begin
    for i in range(begin, end):
        if i == latest:
            nearest[i] = CHOSEN
            limits[i] = -np.inf
        elif not _approximate(copies[i], scaled) >= limits[i]:
            distance = _squared_distance(x[i], point)
            if distance < nearest[i]:
                nearest[i] = distance
                limit = (np.sqrt(distance) / unit + errors[i] + absolute) * relative
                limits[i] = limit * limit
        if nearest[i] > largest:
            largest = nearest[i]
            index = i
    return largest, index


@parallel_kernel
def wide_steps(x, copies, errors, origin, unit, chosen, first_step, last_step, nearest, limits):
    """Choose chosen[first_step:last_step], the points before them being chosen; ``nearest`` and ``limits`` are kept."""
    n, n_axes = x.shape
    n_blocks = (n + BLOCK - 1) // BLOCK
    best, best_index = np.empty(n_blocks), np.empty(n_blocks, np.int64)
    scaled = np.empty(n_axes, np.float32)
    for step in range(first_step, last_step):
        latest = chosen[step - 1]
        for k in range(n_axes):
            scaled[k] = (x[latest, k] - origin[k]) / unit
        for block in prange(n_blocks):
            begin = block * BLOCK
            best[block], best_index[block] = _block_step(
                x, latest, copies, errors, unit, scaled, begin, min(n, begin + BLOCK), nearest, limits
            )
        largest = -np.inf
        for block in range(n_blocks):
            if best[block] > largest:
                largest = best[block]
                chosen[step] = best_index[block]
