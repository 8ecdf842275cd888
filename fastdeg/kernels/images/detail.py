"""How strong the finest detail of a plane is around each place: the whole distribution, from the smoothest place on.

Noise is everywhere, and everywhere alike; texture, however fine, is stronger in one place than in another and leaves
most photographs a smooth place somewhere. The detail is what Immerkær's mask leaves (Fast noise variance estimation,
1996): second differences along both axes, blind to straight edges along them. Its energy is averaged over windows that
lie anywhere, not in blocks, so that a smooth place hardly larger than the window is found; and on three scales (the
plane smoothed by binomial taps to the variances 0, 0.5 and 1 pixel²), for compression takes the finest one away.
Black and white pixels may have been clipped, and with them the noise: small windows that reach one are left out, unless
hardly any are left. Large windows are not: near such pixels nearly all reach one.
"""

from __future__ import annotations

import math

import numpy as np

from fastdeg.kernels._jit import REASSOCIATE, kernel
from fastdeg.kernels.images.edges import DISTANCES, MARGIN, WIDE, smooth
from fastdeg.kernels.images.order_statistics import middle_of_class

N_LEVELS = 3
SIDES = (3, 9)  # of the windows, in pixels
QUANTILES = (0.01, 0.03, 0.1, 0.25, 0.5, 0.75, 0.9)
N_STATISTICS = N_LEVELS * len(SIDES) * len(QUANTILES)
STRIDE = 2  # of the windows' places along both axes: neighbours overlap
FLOOR = 0.05
MIDDLE = np.float32(127.5)  # half-way from black to white
REACH = SIDES[0] + 2  # side of the pixels that a small window depends on
LEAST_SHARE = 0.05  # of the small windows, that hold no clipped pixel
# Classes of energies for the quantiles: 2^-6 wide, relative
CLASSES_PER_OCTAVE_LOG2 = 6
STEP = np.int32(23 - CLASSES_PER_OCTAVE_LOG2)  # low bits that a class drops
LOWEST_OCTAVE = -6
LEAST = np.int32((127 + LOWEST_OCTAVE) << 23)  # bits of 2^-6: as good as zero
MOST = np.int32(((127 + 29) << 23) - 1)  # bits of just under 2^29: no sum is larger
N_CLASSES = int((MOST - LEAST) >> STEP) + 1


@kernel(fastmath=REASSOCIATE)
def detail_energies(above, here, below, out):
    """Squares of what Immerkær's mask leaves of a row, two fewer than it has pixels."""
    two, four = np.float32(2), np.float32(4)
    for x in range(here.shape[0] - 2):
        corners = above[x] + above[x + 2] + below[x] + below[x + 2]
        beside = above[x + 1] + below[x + 1] + here[x] + here[x + 2]
        d = corners - two * beside + four * here[x + 1]
        out[x] = d * d


@kernel(fastmath=REASSOCIATE)
def add_three(first, second, third, distance, n, line):
    """Replace the first n values of a row by sums of 3 × 3 values that lie so far apart, of three rows."""
    for x in range(n + 2 * distance):
        line[x] = first[x] + second[x] + third[x]
    middle, last = line[distance:], line[2 * distance :]
    for x in range(n):
        first[x] = line[x] + middle[x] + last[x]


@kernel(inline="always")
def sum_windows(values, distance, rows, columns, line):
    """Replace the first rows × columns values by the sums of the 3 × 3, so far apart, that begin at each."""
    for y in range(rows):
        add_three(values[y], values[y + distance], values[y + 2 * distance], distance, columns, line)


@kernel(fastmath=REASSOCIATE)
def mark_unclipped(rows, line, out):
    """1 where the first of REACH columns begins in which REACH rows hold no black or white pixel, else 0."""
    line[:] = 0
    for y in range(REACH):
        row = rows[y]
        for x in range(line.shape[0]):
            line[x] = max(line[x], abs(row[x] - MIDDLE))
    for x in range(line.shape[0] - REACH + 1):
        most = line[x]
        for k in range(1, REACH):
            most = max(most, line[x + k])
        out[x] = np.uint8(most < MIDDLE)


@kernel(inline="always")
def unclipped_windows(plane, line, out):
    """Mark the small windows, in every STRIDE-th row, without clipped pixels: all if hardly any are."""
    rows, columns = plane.shape[0] - REACH + 1, plane.shape[1] - REACH + 1
    found, n = 0, 0
    for y in range(0, rows, STRIDE):
        row = out[y // STRIDE]
        mark_unclipped(plane[y : y + REACH], line, row)
        for x in range(0, columns, STRIDE):
            found, n = found + row[x], n + 1
    if found < LEAST_SHARE * n:
        out[:] = 1


@kernel(inline="always")
def count_classes(bits, rows, columns, marks, counts):
    """Count the classes of rows × columns sums, given as bits, but for those skipped; return how many are marked.

    marks: 1 for sums that count, else 0, of every STRIDE-th row.
    """
    counts[:] = 0
    n = 0
    for y in range(0, rows, STRIDE):
        row, marked = bits[y], marks[y // STRIDE]
        for x in range(0, columns, STRIDE):
            counts[(min(max(row[x], LEAST), MOST) - LEAST) >> STEP] += marked[x]
            n += marked[x]
    return n


@kernel(inline="always")
def log_quantiles(counts, n, size, out):
    """Logarithms of the QUANTILES of n sums over so many pixels, as means, from the counts of their classes."""
    number, below = 0, counts[0]
    for q in range(len(QUANTILES)):
        rank = int(QUANTILES[q] * n)
        while below <= rank:
            number += 1
            below += counts[number]
        middle = middle_of_class(number, CLASSES_PER_OCTAVE_LOG2, LOWEST_OCTAVE) if number > 0 else 0.0
        out[q] = math.log(middle / size + FLOOR)


@kernel(inline="always")
def detail_statistics(plane, memory, out):
    """Logarithms (N_STATISTICS,), by level, side and quantile, of a contiguous float32 plane of 12 × 12 pixels or more.

    memory: float32, at least 3 * height * width.
    """
    height, width = plane.shape
    size = height * width
    first, second = memory[:size].reshape(height, width), memory[size : 2 * size].reshape(height, width)
    energies = memory[2 * size : 3 * size].reshape(height, width)
    bits = energies.view(np.int32)
    padded, line = np.empty(width + 2 * MARGIN, np.float32), np.empty(width, np.float32)
    counts = np.empty(N_CLASSES, np.int32)
    all_windows = np.ones((height // STRIDE, width), np.uint8)
    unclipped = np.empty_like(all_windows)
    unclipped_windows(plane, line, unclipped)
    for level in range(N_LEVELS):
        if level == 1:
            smooth(plane, WIDE[1], DISTANCES[1], padded, first)
        elif level == 2:
            smooth(first, WIDE[1], DISTANCES[1], padded, second)
        x = plane if level == 0 else first if level == 1 else second
        rows, columns = height - 2, width - 2
        for y in range(rows):
            detail_energies(x[y], x[y + 1], x[y + 2], energies[y])
        distance = 1
        for k in range(len(SIDES)):
            rows, columns = rows - 2 * distance, columns - 2 * distance
            sum_windows(energies, distance, rows, columns, line)
            n = count_classes(bits, rows, columns, unclipped if k == 0 else all_windows, counts)
            start = (level * len(SIDES) + k) * len(QUANTILES)
            log_quantiles(counts, n, SIDES[k] ** 2, out[start : start + len(QUANTILES)])
            distance *= 3  # three windows side by side, in three rows, make the next larger one


@kernel
def planes_detail(planes, out):
    """`detail_statistics` of each of several planes (n, height, width), contiguous float32, in the rows of out."""
    memory = np.empty(3 * planes.shape[1] * planes.shape[2], np.float32)
    for i in range(planes.shape[0]):
        detail_statistics(planes[i], memory, out[i])
