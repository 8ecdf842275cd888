"""Nearest of N centres: exact, by squared differences summed in the order of the axes, ties to the lowest index.

In few dimensions the box around the centres is cut into equal cells. Each cell lists the centres that can be nearest
to a point in it: centre c is left out when some other centre r is nearer everywhere in the cell,

    max over |t_k| <= h_k of |m + t − r|² − |m + t − c|²  =  |b|² − |a|² + 2 Σ h_k |a_k − b_k|  <  0

with m the middle and h the half widths of the cell, a = c − m and b = r − m. Lists are thinned out while cells are
halved, so that building costs little more than the final lists. A margin covers all rounding: a look-up gives the
same index as going through all centres.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from fastdeg.kernels._jit import kernel, parallel_kernel
from fastdeg.kernels.measure.diversity import squared_distance

BLOCK = 4_096  # samples that one loop iteration of a parallel kernel handles
SLACK = 1e-13  # of the squared distances: far above their rounding errors
INFLATION = 1e-9  # of a cell's width: above the rounding of a sample's cell
EPSILON = 2.0**-52
LANES = 4  # candidates are compared in packets of so many, without branches


@kernel
def cell_counts(widths, n_halvings):
    """Cells per axis, powers of two, for nearly cubic cells: halve the longest axis again and again."""
    counts = np.ones(widths.shape[0], np.int64)
    for _ in range(n_halvings):
        longest = 0
        for k in range(1, widths.shape[0]):
            if widths[k] / counts[k] > widths[longest] / counts[longest]:
                longest = k
        counts[longest] *= 2
    return counts


@kernel
def _filter(centers, items, middle, half, squares, out, n_out):
    """Append to ``out`` those of the items that may be nearest in the cell; return the new length."""
    n_axes = centers.shape[1]
    best = np.inf
    nearest = 0
    for i in range(items.shape[0]):
        square = squared_distance(centers[items[i]], middle)
        squares[i] = square
        if square < best:
            best = square
            nearest = i
    reference = items[nearest]
    extent = 0.0
    for k in range(n_axes):
        extent += half[k] * half[k]
    for i in range(items.shape[0]):
        item = items[i]
        square = squares[i]
        difference = best - square
        for k in range(n_axes):
            difference += 2.0 * half[k] * abs(centers[item, k] - centers[reference, k])
        if not difference < -SLACK * (square + best + extent):  # what is not a number stays
            out[n_out] = item
            n_out += 1
    return n_out


@kernel
def _padded(starts, items):
    """Lengthen each list to a multiple of ``LANES`` by repeating its last item, and count in such packets."""
    n_cells = starts.shape[0] - 1
    padded_starts = np.empty(n_cells + 1, np.int32)
    padded_starts[0] = 0
    for index in range(n_cells):
        n_packets = (starts[index + 1] - starts[index] + LANES - 1) // LANES
        padded_starts[index + 1] = padded_starts[index] + n_packets
    packets = np.empty((padded_starts[n_cells], LANES), np.uint32)
    for index in range(n_cells):
        last = starts[index + 1] - 1
        for packet in range(padded_starts[index], padded_starts[index + 1]):
            for lane in range(LANES):
                position = starts[index] + (packet - padded_starts[index]) * LANES + lane
                packets[packet, lane] = items[min(position, last)]
    return padded_starts, packets


@kernel
def build_cells(centers, low, widths, n_halvings):
    """Candidates of each cell (C order): cells per axis, starts (n_cells + 1), and the centres, ascending per cell."""
    n, n_axes = centers.shape
    final = cell_counts(widths, n_halvings)
    counts = np.ones(n_axes, np.int64)
    starts = np.array([0, n], np.int32)
    items = np.arange(n).astype(np.int32)
    squares = np.empty(n)
    middle = np.empty(n_axes)
    half = np.empty(n_axes)
    cell = np.empty(n_axes, np.int64)
    n_cells = 1
    for _ in range(n_halvings):
        axis = 0
        for k in range(n_axes):  # the axis that is coarsest now, of those not yet done
            if counts[k] < final[k] and (
                counts[axis] == final[axis] or widths[k] / counts[k] > widths[axis] / counts[axis]
            ):
                axis = k
        counts[axis] *= 2
        n_cells *= 2
        inner = 1
        for k in range(axis + 1, n_axes):
            inner *= counts[k]
        for k in range(n_axes):
            margin = 4.0 * EPSILON * (abs(low[k]) + widths[k])
            half[k] = 0.5 * widths[k] / counts[k] * (1.0 + INFLATION) + margin
        new_starts = np.empty(n_cells + 1, np.int32)
        new_starts[0] = 0
        out = np.empty(2 * items.shape[0], np.int32)  # both children keep all, at most
        n_out = 0
        for index in range(n_cells):
            rest = index
            for k in range(n_axes - 1, -1, -1):
                cell[k] = rest % counts[k]
                rest //= counts[k]
                middle[k] = low[k] + (cell[k] + 0.5) * (widths[k] / counts[k])
            outer = index // inner
            parent = outer // 2 * inner + index % inner
            parents = items[starts[parent] : starts[parent + 1]]
            n_out = _filter(centers, parents, middle, half, squares, out, n_out)
            new_starts[index + 1] = n_out
        starts = new_starts
        items = out[:n_out].copy()
    return counts, *_padded(starts, items)


@kernel(inline="always")
def _assign_block(samples, begin, end, centers, table, cells, out, n_axes):
    """`assign_cells` for a block of samples; n_axes comes as a literal where the loops over axes shall be unrolled."""
    low, scale, counts, starts, packets = table
    for i in range(begin, end):
        flat = 0
        inside = True
        for k in range(n_axes):
            position = (samples[i, k] - low[k]) * scale[k]
            inside &= (position >= 0.0) & (position < counts[k])
            flat = flat * np.int32(counts[k]) + np.int32(position)
        cells[i - begin] = flat if inside else -1
    n_outside = 0
    for i in range(begin, end):
        flat = cells[i - begin]
        if flat < 0:
            out[i] = -1
            n_outside += 1
            continue
        first, last = starts[flat], starts[flat + 1]
        best = np.inf
        nearest = packets[first, 0]
        for packet in range(first, last):
            for lane in range(LANES):
                item = packets[packet, lane]
                distance = 0.0
                for k in range(n_axes):
                    difference = samples[i, k] - centers[item, k]
                    distance += difference * difference
                nearest = item if distance < best else nearest
                best = min(best, distance)
        out[i] = nearest
    return n_outside


@parallel_kernel
def assign_cells(samples, centers, low, scale, counts, starts, packets, out):
    """Write the nearest centre of each sample in the box, −1 for samples outside; return how many are outside."""
    n, n_axes = samples.shape
    n_blocks = (n + BLOCK - 1) // BLOCK
    outside = np.zeros(n_blocks, np.int64)
    for block in prange(n_blocks):
        cells = np.empty(BLOCK, np.int32)
        begin = block * BLOCK
        end = min(n, begin + BLOCK)
        table = (low, scale, counts, starts, packets)
        if n_axes == 3:
            outside[block] = _assign_block(samples, begin, end, centers, table, cells, out, 3)
        else:
            outside[block] = _assign_block(samples, begin, end, centers, table, cells, out, n_axes)
    return outside.sum()
