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
from fastdeg.kernels.images.order_statistics import classify, counts_up_to, of_ranks

SHARES = (0.01, 0.03, 0.1, 0.3)  # and all
N_LEVELS = 5
N_STATISTICS = N_LEVELS * 2 * (len(SHARES) + 1)
MARGIN = 4  # largest distance of a tap
FLOOR = 0.3
CHUNK = 2048  # pixels whose sums are added up in float32
LEAST = np.int32(0x3B800000)  # bits of 2^-8: squared gradients below are ranked alike
MOST = np.int32(0x48800000)  # bits of 2^18: none is larger
STEP = np.int32(16)  # low bits that the ranking drops: classes are 1 / 128 of an octave and more
HIGHEST = np.int16((MOST - LEAST) >> STEP)
BORDER = np.int16(-1)  # the class of pixels that have no gradient
# the smoothing that leads to each level: see `smooth`; arrays, since constants would each compile it anew
WIDE, DISTANCES = np.array([False, False, True, False, True]), np.array([0, 1, 1, 2, 2])


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
def squared_gradients(above, here, below, out):
    """Squared gradients of the pixels of a row, the first and last left out."""
    for x in range(1, here.shape[0] - 1):
        across, down = here[x + 1] - here[x - 1], below[x] - above[x]
        out[x] = across * across + down * down


@kernel(inline="always")
def steepness(plane, squares, steep):
    """Classes (height - 2, width) of the squared gradients of all rows but the first and last."""
    height, width = plane.shape
    bits = squares.view(np.int32)
    for y in range(1, height - 1):
        squared_gradients(plane[y - 1], plane[y], plane[y + 1], squares)
        classify(bits, LEAST, MOST, STEP, steep[y - 1])
        steep[y - 1, 0] = steep[y - 1, width - 1] = BORDER


@kernel(inline="always")
def steepest(steep, n, thresholds, counts):
    """Classes from which on (about) each of the SHARES of n pixels lies, the last one 0, and how many do."""
    everyone = steep.shape[0]
    for s in range(0, len(SHARES), 2):
        first, second = everyone - max(1, int(SHARES[s] * n)), everyone - max(1, int(SHARES[s + 1] * n))
        least, other_least = of_ranks(steep, BORDER, HIGHEST, first, second)
        below, other_below = counts_up_to(steep, np.int16(least - 1), np.int16(other_least - 1))
        thresholds[s], thresholds[s + 1] = least, other_least
        counts[s], counts[s + 1] = everyone - below, everyone - other_below
    thresholds[len(SHARES)], counts[len(SHARES)] = 0, n


@kernel(fastmath=REASSOCIATE)
def add_above(pixels, width, steep, thresholds, out):
    """Add squared gradients and absolute Laplacians to the sums (5, 2) of the pixels whose class is at least each
    threshold, the fifth of which is 0; pixels: flat, from the row above the first class to the row below the last."""
    above, left, here = pixels, pixels[width - 1 :], pixels[width:]
    right, below = pixels[width + 1 :], pixels[2 * width :]
    t0, t1, t2, t3 = thresholds[0], thresholds[1], thresholds[2], thresholds[3]
    zero = np.float32(0)
    g0, g1, g2, g3, g4 = zero, zero, zero, zero, zero
    c0, c1, c2, c3, c4 = zero, zero, zero, zero, zero
    for k in range(steep.shape[0]):
        across, down = right[k] - left[k], below[k] - above[k]
        g = across * across + down * down
        c = abs(np.float32(4) * here[k] - (left[k] + right[k]) - (above[k] + below[k]))
        rank = np.int32(steep[k])
        # products with 0 or 1 vectorise, sums under a condition do not
        m0, m1, m2 = np.float32(rank >= t0), np.float32(rank >= t1), np.float32(rank >= t2)
        m3, m4 = np.float32(rank >= t3), np.float32(rank >= 0)
        g0, g1, g2, g3, g4 = g0 + m0 * g, g1 + m1 * g, g2 + m2 * g, g3 + m3 * g, g4 + m4 * g
        c0, c1, c2, c3, c4 = c0 + m0 * c, c1 + m1 * c, c2 + m2 * c, c3 + m3 * c, c4 + m4 * c
    gradients, laplacians = (g0, g1, g2, g3, g4), (c0, c1, c2, c3, c4)
    for s in range(len(SHARES) + 1):
        out[s, 0] += gradients[s]
        out[s, 1] += laplacians[s]


@kernel(inline="always")
def edge_statistics(plane, memory, out):
    """Logarithms (N_STATISTICS,), by level, share and kind, of a contiguous float32 plane of at least 3 × 3 pixels.

    memory: float32, at least 2 * height * width.
    """
    height, width = plane.shape
    size = height * width
    first, second = memory[:size].reshape(height, width), memory[size : 2 * size].reshape(height, width)
    steep = np.empty((height - 2, width), np.int16)
    padded = np.empty(width + 2 * MARGIN, np.float32)
    thresholds, counts = np.empty(len(SHARES) + 1, np.int32), np.empty(len(SHARES) + 1, np.int64)
    smooth(plane, WIDE[1], DISTANCES[1], padded, first)
    steepness(first, padded[:width], steep)
    classes = steep.reshape(-1)
    steepest(classes, (height - 2) * (width - 2), thresholds, counts)
    sums = np.empty((len(SHARES) + 1, 2))
    for level in range(N_LEVELS):
        if level > 1:
            source, target = (first, second) if level % 2 == 0 else (second, first)
            smooth(source, WIDE[level], DISTANCES[level], padded, target)
        x = plane if level == 0 else first if level % 2 == 1 else second
        flat, sums[:] = x.reshape(-1), 0
        for start in range(0, classes.shape[0], CHUNK):
            add_above(flat[start:], width, classes[start : start + CHUNK], thresholds, sums)
        for s in range(len(SHARES) + 1):
            for q in range(2):
                out[(level * (len(SHARES) + 1) + s) * 2 + q] = math.log(sums[s, q] / counts[s] + FLOOR)
