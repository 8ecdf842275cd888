"""Nearest of N centres by going through all of them: a float32 filter whose error is bounded, then exact distances.

With x and c relative to the mean of the centres, ½|x − c|² = ½|x|² + (½|c|² − x·c). The bracket is computed in float32
for all centres; those within twice its error bound of the smallest are compared by squared differences in float64,
summed in the order of the axes, ties to the lowest index. The filter decides what is compared, never the answer; where
its bound is not finite everything is compared.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from fastdeg.kernels._jit import REASSOCIATE, kernel, parallel_kernel

ROWS = 4  # samples of the innermost tile
DEPTH = 4  # axes of the innermost tile
CHUNK = 256  # centres of a tile: with 36 axes they fit the first cache level
LANES = 64  # of the search for the smallest score
SCORES = 65_536  # scores that a thread keeps, about
FLOAT32_EPSILON = 2.0**-24


@kernel
def pack_centers(centers):
    """Return (packed, bias, origin, scale, radius): −c transposed and padded, ½|c|², all float32 and scaled."""
    n, n_axes = centers.shape
    origin = np.zeros(n_axes)
    for i in range(n):
        for k in range(n_axes):
            origin[k] += centers[i, k] / n
    largest = 0.0
    for i in range(n):
        square = 0.0
        for k in range(n_axes):
            difference = centers[i, k] - origin[k]
            square += difference * difference
        largest = max(largest, square)
    scale = 1.0 / np.sqrt(largest) if largest > 0.0 else 1.0
    padded = (n + CHUNK - 1) // CHUNK * CHUNK
    depth = (n_axes + DEPTH - 1) // DEPTH * DEPTH
    packed = np.zeros((depth, padded), np.float32)
    bias = np.full(padded, np.inf, np.float32)
    for i in range(n):
        square = 0.0
        for k in range(n_axes):
            value = (centers[i, k] - origin[k]) * scale
            packed[k, i] = -value
            square += value * value
        bias[i] = 0.5 * square
    return packed, bias, origin, scale


@kernel(fastmath=REASSOCIATE)
def _accumulate(x, axis, packed, begin, scores):
    """Add DEPTH terms of the scores of ROWS samples with CHUNK centres."""
    c0, c1 = packed[axis, begin : begin + CHUNK], packed[axis + 1, begin : begin + CHUNK]
    c2, c3 = packed[axis + 2, begin : begin + CHUNK], packed[axis + 3, begin : begin + CHUNK]
    s0, s1 = scores[0, begin : begin + CHUNK], scores[1, begin : begin + CHUNK]
    s2, s3 = scores[2, begin : begin + CHUNK], scores[3, begin : begin + CHUNK]
    x00, x01, x02, x03 = x[0, axis], x[0, axis + 1], x[0, axis + 2], x[0, axis + 3]
    x10, x11, x12, x13 = x[1, axis], x[1, axis + 1], x[1, axis + 2], x[1, axis + 3]
    x20, x21, x22, x23 = x[2, axis], x[2, axis + 1], x[2, axis + 2], x[2, axis + 3]
    x30, x31, x32, x33 = x[3, axis], x[3, axis + 1], x[3, axis + 2], x[3, axis + 3]
    for j in range(CHUNK):
        s0[j] += x00 * c0[j] + x01 * c1[j] + x02 * c2[j] + x03 * c3[j]
        s1[j] += x10 * c0[j] + x11 * c1[j] + x12 * c2[j] + x13 * c3[j]
        s2[j] += x20 * c0[j] + x21 * c1[j] + x22 * c2[j] + x23 * c3[j]
        s3[j] += x30 * c0[j] + x31 * c1[j] + x32 * c2[j] + x33 * c3[j]


@kernel
def _lane_minima(scores, minima):
    """Write the smallest score of each residue class of the centres' indices modulo ``LANES``; return the smallest."""
    minima[:] = scores[:LANES]
    for begin in range(LANES, scores.shape[0], LANES):
        packet = scores[begin : begin + LANES]
        for lane in range(LANES):
            minima[lane] = packet[lane] if packet[lane] < minima[lane] else minima[lane]
    smallest = minima[0]
    for lane in range(LANES):
        smallest = min(smallest, minima[lane])
    return smallest


@kernel
def _select(sample, centers, scores, minima, threshold):
    """Nearest of the centres whose score is not above the threshold."""
    n, n_axes = centers.shape
    candidate = 0
    n_candidates = 0
    for lane in range(LANES):
        if not minima[lane] > threshold:
            for j in range(lane, n, LANES):
                if not scores[j] > threshold:
                    candidate = j
                    n_candidates += 1
    if n_candidates == 1:
        return candidate
    best = np.inf
    nearest = 0
    for lane in range(LANES):
        if not minima[lane] > threshold:
            for j in range(lane, n, LANES):
                if not scores[j] > threshold:
                    distance = 0.0
                    for k in range(n_axes):
                        difference = sample[k] - centers[j, k]
                        distance += difference * difference
                    if distance < best or (distance == best and j < nearest):
                        best = distance
                        nearest = j
    return nearest


@parallel_kernel
def assign_dense(samples, centers, packed, bias, origin, scale, out):
    """Write the nearest centre of each sample; −1 for a sample that is not a number in some axis."""
    n, n_axes = samples.shape
    depth, padded = packed.shape
    rows = max(ROWS, min(64, SCORES // padded) // ROWS * ROWS)
    for block in prange((n + rows - 1) // rows):
        begin = block * rows
        count = min(n, begin + rows) - begin
        x = np.zeros((rows, depth), np.float32)
        norms = np.zeros(rows)
        invalid = np.zeros(rows, np.bool_)
        scores = np.empty((rows, padded), np.float32)
        minima = np.empty(LANES, np.float32)
        for i in range(count):
            for k in range(n_axes):
                value = (samples[begin + i, k] - origin[k]) * scale
                if samples[begin + i, k] != samples[begin + i, k]:
                    invalid[i] = True
                x[i, k] = value
                norms[i] += value * value
            scores[i] = bias
        for chunk in range(0, padded, CHUNK):
            for i in range(0, count, ROWS):
                for axis in range(0, depth, DEPTH):
                    _accumulate(x[i : i + ROWS], axis, packed, chunk, scores[i : i + ROWS])
        for i in range(count):
            if invalid[i]:
                out[begin + i] = -1
                continue
            error = (n_axes + 16) * FLOAT32_EPSILON * (np.sqrt(norms[i]) + 0.5)
            threshold = _lane_minima(scores[i], minima) + 2.0 * error
            out[begin + i] = _select(samples[begin + i], centers, scores[i], minima, threshold)
