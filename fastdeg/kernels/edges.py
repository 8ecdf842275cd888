"""Statistics of a plane where it is steepest, at five scales: how a known further blur changes its edges.

Edges of photographs are much alike, whatever else they show; how steep and how curved they are on each scale, and how
fast that falls from scale to scale, is how sharp the photograph is. The plane is smoothed in steps, by binomial taps,
to the variances 0, 0.5, 1.5, 3.5 and 7.5 pixels². For the 1, 3, 10, 30 and 100 % of the pixels that are steepest at
variance 0.5: logarithms of the mean squared gradient and of the mean absolute Laplacian on every scale.
"""

from __future__ import annotations

import math

import numpy as np

from fastdeg.kernels._jit import REASSOCIATE, kernel

SHARES = (0.01, 0.03, 0.1, 0.3)  # and all
N_LEVELS = 5
N_STATISTICS = N_LEVELS * 2 * (len(SHARES) + 1)
MARGIN = 4  # largest distance of a tap
FLOOR = 0.3
CHUNK = 2048  # pixels worked on at a time, which stay in the cache
LEAST = np.int32(0x3B800000)  # bits of 2^-8: squared gradients below are ranked alike
MOST = np.int32(0x48800000)  # bits of 2^18: none is larger
STEP = np.int32(16)  # low bits that the ranking drops: it is good to 1 / 128
N_RANKS = (0x48800000 - 0x3B800000 >> 16) + 1


@kernel(fastmath=REASSOCIATE)
def smooth(plane, wide, distance, padded, out):
    """Binomial taps (1 2 1) / 4, or (1 4 6 4 1) / 16 where wide, so many pixels apart, along both axes."""
    height, width = plane.shape
    c0 = np.float32(6 / 16) if wide else np.float32(1 / 2)
    c1 = np.float32(1 / 4)
    c2 = np.float32(1 / 16) if wide else np.float32(0)
    line = padded[MARGIN : MARGIN + width]
    left, right = padded[MARGIN - distance :], padded[MARGIN + distance :]
    far_left, far_right = padded[MARGIN - 2 * distance :], padded[MARGIN + 2 * distance :]
    for y in range(height):
        above, below = plane[max(y - distance, 0)], plane[min(y + distance, height - 1)]
        far_above, far_below = plane[max(y - 2 * distance, 0)], plane[min(y + 2 * distance, height - 1)]
        here, target = plane[y], out[y]
        for x in range(width):
            line[x] = c0 * here[x] + c1 * (above[x] + below[x]) + c2 * (far_above[x] + far_below[x])
        for x in range(MARGIN):
            padded[x] = line[0]
            padded[MARGIN + width + x] = line[width - 1]
        for x in range(width):
            target[x] = c0 * line[x] + c1 * (left[x] + right[x]) + c2 * (far_left[x] + far_right[x])


@kernel(fastmath=REASSOCIATE)
def steepness(plane, steep):
    """Squared gradient of every pixel, -1 on the border, which has none."""
    height, width = plane.shape
    for y in range(height):
        target = steep[y]
        if y == 0 or y == height - 1:
            target[:] = -1
            continue
        above, here, below = plane[y - 1], plane[y], plane[y + 1]
        for x in range(1, width - 1):
            across, down = here[x + 1] - here[x - 1], below[x] - above[x]
            target[x] = across * across + down * down
        target[0] = target[width - 1] = -1


@kernel
def steepest(bits, n, ranks, thresholds, counts):
    """Thresholds above which (about) each of the SHARES of n pixels lies, the last one 0, and how many do."""
    ranks[:] = 0
    for k in range(bits.shape[0]):
        ranks[(min(max(bits[k], LEAST), MOST) - LEAST) >> STEP] += 1
    found, rank = 0, N_RANKS
    for s in range(len(SHARES)):
        while found < max(1, int(SHARES[s] * n)) and rank > 1:
            rank -= 1
            found += ranks[rank]
        enough = found >= max(1, int(SHARES[s] * n))
        thresholds[s] = LEAST + (np.int32(rank) << STEP) if enough else 0
        counts[s] = found if enough else n
    thresholds[len(SHARES)], counts[len(SHARES)] = 0, n


@kernel(fastmath=REASSOCIATE)
def gradient_and_laplacian(here, left, right, above, below, squares, curvatures):
    """Squared gradients and absolute Laplacians from the pixels of a row and their four neighbours."""
    for k in range(here.shape[0]):
        across, down = right[k] - left[k], below[k] - above[k]
        squares[k] = across * across + down * down
        curvatures[k] = abs(np.float32(4) * here[k] - (left[k] + right[k]) - (above[k] + below[k]))


@kernel(fastmath=REASSOCIATE)
def sum_above(values, rank, threshold):
    """Sum of the values whose rank is at least the threshold."""
    total = np.float32(0)
    for k in range(values.shape[0]):
        total += values[k] if rank[k] >= threshold else np.float32(0)
    return total


@kernel
def sums_by_steepness(plane, width, steep, thresholds, squares, curvatures, out):
    """Add up squared gradient and absolute Laplacian over the pixels above each threshold, (5, 2); flat arrays."""
    out[:] = 0
    n = plane.shape[0] - 2 * width  # the first and the last row have no gradient
    for start in range(0, n, CHUNK):
        count = min(CHUNK, n - start)
        first = width + start
        rank, g, c = steep[first : first + count], squares[:count], curvatures[:count]
        gradient_and_laplacian(
            plane[first : first + count], plane[first - 1 : first - 1 + count], plane[first + 1 : first + 1 + count],
            plane[first - width : first - width + count], plane[first + width : first + width + count], g, c,
        )  # fmt: skip
        for s in range(out.shape[0]):
            out[s, 0] += sum_above(g, rank, thresholds[s])
            out[s, 1] += sum_above(c, rank, thresholds[s])


@kernel
def edge_statistics(plane, out):
    """Logarithms (N_STATISTICS,), by level, share and kind, of a contiguous float32 plane of at least 3 × 3 pixels."""
    height, width = plane.shape
    first, second = np.empty_like(plane), np.empty_like(plane)
    steep = np.empty_like(plane)
    padded = np.empty(width + 2 * MARGIN, np.float32)
    ranks = np.empty(N_RANKS, np.int32)
    limits, counts = np.empty(len(SHARES) + 1, np.int32), np.empty(len(SHARES) + 1, np.int64)
    smooth(plane, False, 1, padded, first)
    steepness(first, steep)
    flat = steep.reshape(-1)
    steepest(flat.view(np.int32), (height - 2) * (width - 2), ranks, limits, counts)
    thresholds = limits.view(np.float32)
    squares, curvatures = np.empty(CHUNK, np.float32), np.empty(CHUNK, np.float32)
    sums = np.empty((len(SHARES) + 1, 2))
    for level in range(N_LEVELS):
        if level == 2:
            smooth(first, True, 1, padded, second)
        elif level == 3:
            smooth(second, False, 2, padded, first)
        elif level == 4:
            smooth(first, True, 2, padded, second)
        x = plane if level == 0 else first if level % 2 == 1 else second
        sums_by_steepness(x.reshape(-1), width, flat, thresholds, squares, curvatures, sums)
        for s in range(len(SHARES) + 1):
            for q in range(2):
                out[(level * (len(SHARES) + 1) + s) * 2 + q] = math.log(sums[s, q] / counts[s] + FLOOR)
