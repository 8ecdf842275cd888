"""Assignment of samples to the cells of a grid: the flat index of the cell in C order.

Cells are [b_k, b_k+1), the last one of an axis closed (``numpy.searchsorted(b, v, "right") - 1``); around levels they
are (b_k, b_k+1], the first one closed, so that a tie goes to the lower level.

On a regular axis the cell is the whole part of t = (v − b_0) / width. Only where t lies within the rounding error of a
whole number, or outside, the boundaries themselves decide, as they do on uneven axes (by bisection).
"""

from __future__ import annotations

import numpy as np
from numba import prange

from fastdeg.kernels._jit import kernel, parallel_kernel
from fastdeg.kernels.linalg.elementary import copy_transposed

BLOCK = 1_024  # samples of a block: with three axes they fit the first cache level
MOST_SLABS = 16  # of counts
MOST_ROWS = 2**31  # of a slab, whose counts have 32 bits: they stay in the nearest caches
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


@kernel(inline="always")
def _sure_cell(value, low, factor, slack, n_cells):
    """Cell of a regular axis, −1 where it is in doubt or outside (NaN included)."""
    t = (value - low) * factor
    whole = np.floor(t)
    sure = (abs((t - whole) - 0.5) < 0.5 - slack) & (whole >= 0.0) & (whole < n_cells)
    return np.int32(whole) if sure else np.int32(-1)


@kernel(inline="always")
def _sure_cells(block, grid, cells):
    """Write the flat cells of the samples of a block, a negative number where in doubt; return the smallest."""
    boundaries, starts, _, scale, tolerance = grid
    n, n_axes = block.shape
    lowest = np.int32(0)
    if n_axes == 3:  # one pass: loads and shuffles, and all else in registers
        n0, n1, n2 = starts[1] - 1, starts[2] - 1 - starts[1], starts[3] - 1 - starts[2]
        b0, b1, b2 = boundaries[0], boundaries[starts[1]], boundaries[starts[2]]
        f0, f1, f2 = scale[0], scale[1], scale[2]
        s0, s1, s2 = tolerance[0], tolerance[1], tolerance[2]
        m0, m1, m2 = float(n0), float(n1), float(n2)
        k1, k2 = np.int32(n1), np.int32(n2)
        for i in range(n):
            u = _sure_cell(block[i, 0], b0, f0, s0, m0)
            v = _sure_cell(block[i, 1], b1, f1, s1, m1)
            w = _sure_cell(block[i, 2], b2, f2, s2, m2)
            flat = (u * k1 + v) * k2 + w if (u | v | w) >= 0 else np.int32(-1)
            cells[i] = flat
            lowest = min(lowest, flat)
        return lowest
    columns = np.empty((n_axes, n))
    copy_transposed(block, 0, n, columns)
    for i in range(n):
        cells[i] = 0
    for axis in range(n_axes):
        column = columns[axis]
        n_cells = starts[axis + 1] - 1 - starts[axis]
        low, factor, slack, limit = boundaries[starts[axis]], scale[axis], tolerance[axis], float(n_cells)
        for i in range(n):
            cell = _sure_cell(column[i], low, factor, slack, limit)
            flat = cells[i] * np.int32(n_cells) + cell if (cells[i] | cell) >= 0 else np.int32(-1)
            cells[i] = flat
            lowest = min(lowest, flat)
    return lowest


@kernel
def block_cells(samples, begin, end, grid, policy, cells):
    """Write the flat cells of the samples begin..end, −1 outside; return how many are outside."""
    boundaries, starts, discrete, _, _ = grid
    if _sure_cells(samples[begin:end], grid, cells) >= 0:
        return 0
    n_outside = 0
    for i in range(end - begin):
        if cells[i] < 0:
            cells[i] = _exact_cell(samples[begin + i], boundaries, starts, discrete, policy)
            n_outside += cells[i] < 0
    return n_outside


@parallel_kernel
def assign_grid(samples, boundaries, starts, discrete, scale, tolerance, policy, out):
    """Write the flat cell of each sample, −1 outside; return how many are outside.

    The boundaries of axis k are boundaries[starts[k] : starts[k + 1]]; scale and tolerance are from `regular_axes`.
    """
    n = samples.shape[0]
    grid = (boundaries, starts, discrete, scale, tolerance)
    n_blocks = (n + BLOCK - 1) // BLOCK
    outside = np.zeros(n_blocks, np.int64)
    for block in prange(n_blocks):
        begin = block * BLOCK
        end = min(n, begin + BLOCK)
        cells = np.empty(BLOCK, np.int32)
        outside[block] = block_cells(samples, begin, end, grid, policy, cells)
        for i in range(end - begin):
            out[begin + i] = cells[i]
    return outside.sum()


@parallel_kernel
def count_grid(samples, boundaries, starts, discrete, scale, tolerance, policy, counts):
    """Add the number of samples in each cell to ``counts``; return how many are outside."""
    n = samples.shape[0]
    grid = (boundaries, starts, discrete, scale, tolerance)
    n_slabs = max(1, min(MOST_SLABS, n // (4 * counts.shape[0])), n // MOST_ROWS)
    rows = (n + n_slabs - 1) // n_slabs
    slabs = np.zeros((n_slabs, counts.shape[0]), np.uint32)
    outside = np.zeros(n_slabs, np.int64)
    for slab in prange(n_slabs):
        cells = np.empty(BLOCK, np.int32)
        own = slabs[slab]
        last = min(n, (slab + 1) * rows)
        for begin in range(slab * rows, last, BLOCK):
            end = min(last, begin + BLOCK)
            missing = block_cells(samples, begin, end, grid, policy, cells)
            outside[slab] += missing
            for i in range(end - begin):
                if cells[i] >= 0:
                    own[np.uint64(cells[i])] += np.uint32(1)
    for slab in range(n_slabs):
        counts += slabs[slab]
    return outside.sum()
