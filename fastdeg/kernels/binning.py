"""Assignment of samples to the cells of a grid: the flat index of the cell in C order.

Cells are [b_k, b_k+1), the last one of an axis closed (``numpy.searchsorted(b, v, "right") - 1``); around levels they
are (b_k, b_k+1], the first one closed, so that a tie goes to the lower level.

On a regular axis the cell is the whole part of t = (v − b_0) / width. Only where t lies within the rounding error of a
whole number, the boundaries themselves decide, as they do on uneven axes (by bisection).
"""

from __future__ import annotations

import numpy as np
from numba import prange

from fastdeg.kernels._jit import kernel, parallel_kernel
from fastdeg.kernels.columns import copy_columns

BLOCK = 1_024  # samples of a block: with three axes they fit the first cache level
MOST_SLABS = 16  # of counts
RAISE, CLIP = 0, 1  # what becomes of samples outside; both leave NaN as −1
EPSILON = 2.0**-52


@kernel
def cell_index(boundaries, first, last, value, low_side):
    """Cell of one axis that holds the value, −1 outside; ``low_side`` for cells (b_k, b_k+1]."""
    if not (boundaries[first] <= value <= boundaries[last]):
        return -1
    low = first
    high = last
    while high - low > 1:
        middle = (low + high) // 2
        if value < boundaries[middle] or (low_side and value == boundaries[middle]):
            high = middle
        else:
            low = middle
    return low - first


@kernel
def regular_axes(boundaries, starts, scale, tolerance):
    """Write 1 / width of each axis, and how near to a whole number t is in doubt: infinite on an uneven axis."""
    for axis in range(starts.shape[0] - 1):
        first, last = starts[axis], starts[axis + 1] - 1
        n_cells = last - first
        scale[axis] = n_cells / (boundaries[last] - boundaries[first])
        worst = 0.0
        for j in range(n_cells + 1):
            worst = max(worst, abs((boundaries[first + j] - boundaries[first]) * scale[axis] - j))
        tolerance[axis] = worst + 8.0 * EPSILON * (n_cells + 1)
        if not tolerance[axis] < 0.1:
            tolerance[axis] = np.inf
            scale[axis] = 0.0


@kernel
def _exact_cell(sample, boundaries, starts, discrete, policy):
    """Flat cell of one sample by its boundaries."""
    flat = 0
    for axis in range(starts.shape[0] - 1):
        first, last = starts[axis], starts[axis + 1] - 1
        value = np.float64(sample[axis])
        if policy == CLIP:
            value = min(max(value, boundaries[first]), boundaries[last]) if value == value else value
        cell = cell_index(boundaries, first, last, value, discrete[axis])
        if cell < 0:
            return -1
        flat = flat * (last - first) + cell
    return flat


@kernel
def block_cells(samples, begin, end, grid, policy, columns, cells, doubt):
    """Write the flat cells of the samples begin..end, −1 outside; return how many are outside."""
    boundaries, starts, discrete, scale, tolerance = grid
    count = end - begin
    copy_columns(samples, begin, end, columns)
    for i in range(count):
        cells[i] = 0
        doubt[i] = 0
    for axis in range(starts.shape[0] - 1):
        n_cells = np.int32(starts[axis + 1] - 1 - starts[axis])
        low, factor, slack, limit = boundaries[starts[axis]], scale[axis], tolerance[axis], float(n_cells)
        column = columns[axis]
        for i in range(count):
            t = (column[i] - low) * factor
            sure = (t > slack) & (t < limit - slack) & (abs(t - np.floor(t + 0.5)) > slack)
            t = t if sure else 0.0
            cells[i] = cells[i] * n_cells + np.int32(t)
            doubt[i] |= not sure
    n_outside = 0
    for i in range(count):
        if doubt[i]:
            cells[i] = _exact_cell(samples[begin + i], boundaries, starts, discrete, policy)
            n_outside += cells[i] < 0
    return n_outside


@parallel_kernel
def assign_grid(samples, boundaries, starts, discrete, scale, tolerance, policy, out):
    """Write the flat cell of each sample, −1 outside; return how many are outside.

    The boundaries of axis k are boundaries[starts[k] : starts[k + 1]]; scale and tolerance are from `regular_axes`.
    """
    n, n_axes = samples.shape
    grid = (boundaries, starts, discrete, scale, tolerance)
    n_blocks = (n + BLOCK - 1) // BLOCK
    outside = np.zeros(n_blocks, np.int64)
    for block in prange(n_blocks):
        begin = block * BLOCK
        end = min(n, begin + BLOCK)
        columns, cells, doubt = np.empty((n_axes, BLOCK)), np.empty(BLOCK, np.int32), np.empty(BLOCK, np.uint8)
        outside[block] = block_cells(samples, begin, end, grid, policy, columns, cells, doubt)
        for i in range(end - begin):
            out[begin + i] = cells[i]
    return outside.sum()


@parallel_kernel
def count_grid(samples, boundaries, starts, discrete, scale, tolerance, policy, counts):
    """Add the number of samples in each cell to ``counts``; return how many are outside."""
    n, n_axes = samples.shape
    grid = (boundaries, starts, discrete, scale, tolerance)
    n_slabs = max(1, min(MOST_SLABS, n // (4 * counts.shape[0])))
    rows = (n + n_slabs - 1) // n_slabs
    slabs = np.zeros((n_slabs, counts.shape[0]), np.int64)
    outside = np.zeros(n_slabs, np.int64)
    for slab in prange(n_slabs):
        columns, cells, doubt = np.empty((n_axes, BLOCK)), np.empty(BLOCK, np.int32), np.empty(BLOCK, np.uint8)
        own = slabs[slab]
        last = min(n, (slab + 1) * rows)
        for begin in range(slab * rows, last, BLOCK):
            end = min(last, begin + BLOCK)
            missing = block_cells(samples, begin, end, grid, policy, columns, cells, doubt)
            outside[slab] += missing
            for i in range(end - begin):
                if cells[i] >= 0:
                    own[np.uint64(cells[i])] += 1
    for slab in range(n_slabs):
        counts += slabs[slab]
    return outside.sum()
