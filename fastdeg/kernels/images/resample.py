"""Resampling along one axis: every new row is a weighted sum of a few old ones, whatever the rows hold."""

from __future__ import annotations

import math

import numpy as np

from fastdeg.kernels._jit import REASSOCIATE, kernel

STRIP = 512  # numbers of a row worked on at a time, which stay in the cache
UNROLLED = 4  # terms taken at a time: weights come in such multiples, the last ones zero
CUBIC, LINEAR, AREA = 0, 1, 2
KEYS = -0.75  # of the cubic interpolation, as OpenCV has it


@kernel(fastmath=REASSOCIATE)
def weighted_rows(rows, indices, weights, out):
    """out[i] = Σ_k weights[i, k] rows[indices[i, k]]."""
    width = rows.shape[1]
    for i in range(out.shape[0]):
        for start in range(0, width, STRIP):
            stop = min(start + STRIP, width)
            target = out[i, start:stop]
            target[:] = 0
            for k in range(0, indices.shape[1], UNROLLED):
                w0, w1, w2, w3 = weights[i, k], weights[i, k + 1], weights[i, k + 2], weights[i, k + 3]
                a0, a1 = rows[indices[i, k], start:stop], rows[indices[i, k + 1], start:stop]
                a2, a3 = rows[indices[i, k + 2], start:stop], rows[indices[i, k + 3], start:stop]
                for x in range(target.shape[0]):
                    target[x] += (
                        w0 * np.float32(a0[x]) + w1 * np.float32(a1[x])
                        + w2 * np.float32(a2[x]) + w3 * np.float32(a3[x])
                    )  # fmt: skip


@kernel
def mirrored(index, n):
    """Reflect an index at the first and the last row, which are not repeated."""
    if n == 1:
        return 0
    folded = abs(index) % (2 * n - 2)
    return min(folded, 2 * n - 2 - folded)


@kernel
def keys(t):
    """Cubic interpolation kernel at a distance of 0 to 2."""
    if t <= 1:
        return ((KEYS + 2) * t - (KEYS + 3)) * t * t + 1
    return KEYS * (((t - 5) * t + 8) * t - 4)


@kernel
def weight_of(interpolation, center, row, scale):
    """Weight of an old row in the new one whose middle lies at a place between the old ones."""
    if interpolation == CUBIC:
        return keys(min(abs(center - row), 2.0))
    if interpolation == LINEAR:
        return max(1 - abs(center - row), 0.0)
    low = center + 0.5 - scale / 2
    return max(min(row + 1, low + scale) - max(row, low), 0) / scale


@kernel
def resampled(n, new, interpolation, taps):
    """Indices and weights that make new rows of n rows, after a blur of these with taps.

    The blur mirrors at the border, the interpolation repeats the last pixel. Means over areas are of fewer new rows.
    """
    scale = n / new
    rows = 4 if interpolation == CUBIC else 2 if interpolation == LINEAR else math.ceil(scale) + 1
    terms = taps.shape[0] + rows - 1
    padded = -(-terms // UNROLLED) * UNROLLED
    indices, weights = np.zeros((new, padded), np.int32), np.zeros((new, padded), np.float32)
    for i in range(new):
        center = (i + 0.5) * scale - 0.5
        start = i * scale if interpolation == AREA else center - 1 if interpolation == CUBIC else center
        before = math.floor(start)
        first = min(max(before, 0), n - 1)
        for k in range(terms):
            indices[i, k] = mirrored(first - taps.shape[0] // 2 + k, n)
        for j in range(rows):
            weight = weight_of(interpolation, center, before + j, scale)
            shift = min(max(before + j, 0), n - 1) - first
            for k in range(taps.shape[0]):
                weights[i, shift + k] += np.float32(weight * taps[k])
    return indices, weights
