"""Nearest of N centres by going through all of them: a float32 filter whose error is bounded, then exact distances.

With x and c relative to the mean of the centres, ½|x − c|² = ½|x|² + (½|c|² − x·c). The bracket is computed in float32
for all centres; those within twice its error bound of the smallest are compared by squared differences in float64,
summed in the order of the axes, ties to the lowest index. The bound includes the rounding of these, which is what
counts for samples far from all centres. The filter decides what is compared, never the answer; where its bound says
nothing everything is compared.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from fastdeg.kernels._jit import REASSOCIATE, kernel, parallel_kernel
from fastdeg.kernels.measure.diversity import squared_distance

ROWS = 4  # samples of the innermost tile
DEPTH = 6  # axes of the innermost tile
CHUNK = 256  # centres of a tile, which is stored in one piece: rows a power of two apart would share few cache lines
LANES, FOLDED = CHUNK // 4, 8  # of the search for the smallest score
BLOCK = 512  # samples that one loop iteration of the parallel kernel handles
SCORES = 32_768  # scores that a thread keeps, about
SKEW = 16  # between the rows of scores, for the same reason
FLOAT32_EPSILON, FLOAT64_EPSILON = 2.0**-24, 2.0**-53
FARTHEST = 1e30  # squared norm of a sample that the filter still says something about


@kernel
def pack_centers(centers):
    """Return (packed, bias, origin, scale): −c in tiles (tiles, axes, CHUNK) and ½|c|², both float32 and scaled."""
    n, n_axes = centers.shape
    origin = np.zeros(n_axes)
    for i in range(n):
        for k in range(n_axes):
            origin[k] += centers[i, k] / n
    largest = 0.0
    for i in range(n):
        largest = max(largest, squared_distance(centers[i], origin))
    scale = 1.0 / np.sqrt(largest) if largest > 0.0 else 1.0
    if not largest < np.inf:
        scale = np.nan  # no filter
    padded = (n + CHUNK - 1) // CHUNK * CHUNK
    depth = (n_axes + DEPTH - 1) // DEPTH * DEPTH
    packed = np.zeros((padded // CHUNK, depth, CHUNK), np.float32)
    bias = np.full(padded, np.inf, np.float32)
    for i in range(n):
        square = 0.0
        for k in range(n_axes):
            value = (centers[i, k] - origin[k]) * scale
            packed[i // CHUNK, k, i % CHUNK] = -value
            square += value * value
        bias[i] = 0.5 * square
    return packed, bias, origin, scale


@kernel(fastmath=REASSOCIATE)
def _accumulate(x, axis, tile, scores, begin):
    """Add DEPTH terms of the scores of ROWS samples with CHUNK centres; the samples' coordinates stay in registers."""
    end = begin + CHUNK
    c0, c1, c2, c3, c4, c5 = tile[axis], tile[axis + 1], tile[axis + 2], tile[axis + 3], tile[axis + 4], tile[axis + 5]
    s0, s1, s2, s3 = scores[0, begin:end], scores[1, begin:end], scores[2, begin:end], scores[3, begin:end]
    x00, x01, x02 = x[0, axis], x[0, axis + 1], x[0, axis + 2]
    x03, x04, x05 = x[0, axis + 3], x[0, axis + 4], x[0, axis + 5]
    x10, x11, x12 = x[1, axis], x[1, axis + 1], x[1, axis + 2]
    x13, x14, x15 = x[1, axis + 3], x[1, axis + 4], x[1, axis + 5]
    x20, x21, x22 = x[2, axis], x[2, axis + 1], x[2, axis + 2]
    x23, x24, x25 = x[2, axis + 3], x[2, axis + 4], x[2, axis + 5]
    x30, x31, x32 = x[3, axis], x[3, axis + 1], x[3, axis + 2]
    x33, x34, x35 = x[3, axis + 3], x[3, axis + 4], x[3, axis + 5]
    for j in range(CHUNK):
        v0, v1, v2, v3, v4, v5 = c0[j], c1[j], c2[j], c3[j], c4[j], c5[j]
        s0[j] += x00 * v0 + x01 * v1 + x02 * v2 + x03 * v3 + x04 * v4 + x05 * v5
        s1[j] += x10 * v0 + x11 * v1 + x12 * v2 + x13 * v3 + x14 * v4 + x15 * v5
        s2[j] += x20 * v0 + x21 * v1 + x22 * v2 + x23 * v3 + x24 * v4 + x25 * v5
        s3[j] += x30 * v0 + x31 * v1 + x32 * v2 + x33 * v3 + x34 * v4 + x35 * v5


@kernel
def _lower(minima, scores):
    """Lower the minima of the residue classes modulo LANES by the scores of one tile.

    Element by element, so that it is vectorised without a licence to ignore NaN.
    """
    first, second, third, fourth = scores[:LANES], scores[LANES:], scores[2 * LANES :], scores[3 * LANES :]
    for lane in range(LANES):
        a = first[lane] if first[lane] < second[lane] else second[lane]
        b = third[lane] if third[lane] < fourth[lane] else fourth[lane]
        a = a if a < b else b
        minima[lane] = a if a < minima[lane] else minima[lane]


@kernel
def _fold(minima, folded):
    """Write the smallest minimum of each residue class modulo FOLDED, return the smallest of all."""
    for lane in range(FOLDED):
        folded[lane] = minima[lane]
    for begin in range(FOLDED, LANES, FOLDED):
        packet = minima[begin : begin + FOLDED]
        for lane in range(FOLDED):
            folded[lane] = packet[lane] if packet[lane] < folded[lane] else folded[lane]
    smallest = folded[0]
    for lane in range(FOLDED):
        smallest = folded[lane] if folded[lane] < smallest else smallest
    return smallest


@kernel
def _squared_distance(a, b):
    """In the order of the axes; infinite where it is not a number, so that it can be compared."""
    total = squared_distance(a, b)
    return total if total == total else np.inf


@kernel
def _select(sample, centers, scores, minima, folded, threshold):
    """Nearest of the centres whose score is not above the threshold."""
    n = centers.shape[0]
    nearest = -1
    best = np.nan  # of `nearest`, once there is a second candidate
    for group in range(FOLDED):
        if folded[group] > threshold:
            continue
        for lane in range(group, LANES, FOLDED):
            if minima[lane] > threshold:
                continue
            for j in range(lane, n, LANES):
                if scores[j] > threshold:
                    continue
                if nearest < 0:
                    nearest = j
                    continue
                if best != best:
                    best = _squared_distance(sample, centers[nearest])
                distance = _squared_distance(sample, centers[j])
                if distance < best or (distance == best and j < nearest):
                    best = distance
                    nearest = j
    return nearest


@kernel
def _decide(sample, centers, scores, norm, minima, folded):
    """Nearest centre of a sample with the squared norm given, −1 where it is not a number."""
    n_axes = sample.shape[0]
    smallest = _fold(minima, folded)
    if norm < FARTHEST:
        error = (n_axes + 16) * (FLOAT32_EPSILON * (np.sqrt(norm) + 0.5) + FLOAT64_EPSILON * (norm + 1.0))
        return _select(sample, centers, scores, minima, folded, smallest + 2.0 * error)
    for k in range(n_axes):
        if sample[k] != sample[k]:
            return -1
    return _select(sample, centers, scores, minima, folded, np.inf)


@kernel(fastmath=REASSOCIATE)
def _standardise(sample, origin, scale, x):
    """Write a sample relative to the origin in float32; return its squared norm."""
    norm = 0.0
    for k in range(sample.shape[0]):
        value = (sample[k] - origin[k]) * scale
        x[k] = value
        norm += value * value
    return norm


@kernel
def _assign_range(samples, begin, end, centers, table, out):
    """`assign_dense` for the samples begin..end, a few at a time."""
    packed, bias, origin, scale = table
    n_tiles, depth, _ = packed.shape
    padded = n_tiles * CHUNK
    rows = max(ROWS, min(64, SCORES // padded) // ROWS * ROWS)
    x = np.zeros((rows, depth), np.float32)
    norms = np.empty(rows)
    scores = np.empty((rows, padded + SKEW), np.float32)
    minima, folded = np.empty((rows, LANES), np.float32), np.empty(FOLDED, np.float32)
    for first in range(begin, end, rows):
        count = min(rows, end - first)
        for i in range(count):
            norms[i] = _standardise(samples[first + i], origin, scale, x[i])
            minima[i] = np.inf
        for tile in range(n_tiles):
            start = tile * CHUNK
            own_bias = bias[start : start + CHUNK]
            for row in range(0, count, ROWS):
                for i in range(row, row + ROWS):
                    own = scores[i, start : start + CHUNK]
                    for j in range(CHUNK):
                        own[j] = own_bias[j]
                for axis in range(0, depth, DEPTH):
                    _accumulate(x[row : row + ROWS], axis, packed[tile], scores[row : row + ROWS], start)
                for i in range(row, row + ROWS):
                    _lower(minima[i], scores[i, start : start + CHUNK])
        for i in range(count):
            out[first + i] = _decide(samples[first + i], centers, scores[i], norms[i], minima[i], folded)


@parallel_kernel
def assign_dense(samples, centers, packed, bias, origin, scale, out):
    """Write the nearest centre of each sample; −1 for a sample that is not a number in some axis."""
    n = samples.shape[0]
    table = (packed, bias, origin, scale)
    for block in prange((n + BLOCK - 1) // BLOCK):
        begin = block * BLOCK
        _assign_range(samples, begin, min(n, begin + BLOCK), centers, table, out)
