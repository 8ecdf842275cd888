"""Statistics of the 8 × 8 block DCT of an image plane: one number per frequency, blind to where things are.

For the type-II DCT d (orthonormal) of every whole block, and for each frequency but the mean: the shares of |d| < 1.05
and of |d| < 2.55, the mean of log(|d| + 0.3), the logarithms of mean |d| over the quarter and over the sixteenth of the
blocks that have most content, and the logarithms of the quartiles of |d|. Blocks are laid out as (8, 8, n), so that
each step is a loop over blocks, which vectorises.
"""

from __future__ import annotations

import math

import numpy as np

from fastdeg.kernels._jit import REASSOCIATE, kernel
from fastdeg.kernels.images.detail import N_STATISTICS as N_DETAIL_STATISTICS
from fastdeg.kernels.images.detail import detail_statistics
from fastdeg.kernels.images.edges import edge_statistics
from fastdeg.kernels.images.jpeg_quality import expected_quality
from fastdeg.kernels.images.order_statistics import classify, counts_up_to, middle_of_class, of_ranks

BASIS = np.array(
    [
        [math.sqrt((1 if u == 0 else 2) / 8) * math.cos(math.pi * (2 * x + 1) * u / 16) for x in range(8)]
        for u in range(8)
    ],
    dtype=np.float32,
)

N_STATISTICS = 7
LOW_FREQUENCY = 3  # horizontal plus vertical index up to which a frequency counts as content
# Grey levels: above what rounding to 8 bits leaves of a coefficient quantised to zero; and no multiple of 1/8, which
# is what some coefficients of whole numbers are, so that no comparison hangs on rounding.
ZEROED = np.float32(1.05)
SMALL = np.float32(2.55)
OFFSET = np.float32(0.3)
FLOOR = 0.2
# Classes of magnitudes for the quartiles: 2^-8 wide, relative
CLASSES_PER_OCTAVE_LOG2 = 8
CLASS_STEP = np.int32(23 - CLASSES_PER_OCTAVE_LOG2)  # low bits that a class drops
LOWEST_OCTAVE = -15
TINY = np.int32((127 + LOWEST_OCTAVE) << 23)  # bits of 3e-5: as good as zero
LARGE = np.int32((127 + 12) << 23)  # bits of 4096: none is larger
HIGHEST_CLASS = np.int16((12 - LOWEST_OCTAVE) << CLASSES_PER_OCTAVE_LOG2)
SHIFT = 4  # of the second grid of blocks, halfway between those of the first
# log2(1 + x) = x (L1 + L2 x + L3 x² + L4 x³), least squares on [0, 1]
L1, L2, L3, L4 = np.float32(1.4383793), np.float32(-0.6758807), np.float32(0.3181545), np.float32(-0.0806532)


@kernel
def gather_blocks(plane, top, left, rows, columns, out):
    """Copy rows × columns blocks of 8 × 8 pixels that start at (top, left) into out (8, 8, rows * columns)."""
    for y in range(8):
        for x in range(8):
            target = out[y, x]
            for i in range(rows):
                line = plane[top + 8 * i + y, left + x :]
                for j in range(columns):
                    target[i * columns + j] = line[8 * j]


@kernel(fastmath=REASSOCIATE)
def weighted_sum(lines, weights, out):
    """Sum of eight lines (8, n), each times its weight."""
    b0, b1, b2, b3 = weights[0], weights[1], weights[2], weights[3]
    b4, b5, b6, b7 = weights[4], weights[5], weights[6], weights[7]
    a0, a1, a2, a3, a4, a5, a6, a7 = lines[0], lines[1], lines[2], lines[3], lines[4], lines[5], lines[6], lines[7]
    for k in range(out.shape[0]):
        out[k] = (
            b0 * a0[k] + b1 * a1[k] + b2 * a2[k] + b3 * a3[k] + b4 * a4[k] + b5 * a5[k] + b6 * a6[k] + b7 * a7[k]
        )  # fmt: skip


@kernel(inline="always")
def block_dct(blocks, basis, work):
    """Replace blocks (8, 8, n) by their two-dimensional DCT; work has the same shape."""
    for y in range(8):
        for u in range(8):
            weighted_sum(blocks[y], basis[u], work[u, y])
    for u in range(8):
        for v in range(8):
            weighted_sum(work[u], basis[v], blocks[v, u])


@kernel(fastmath=REASSOCIATE)
def absolute_and_activity(blocks, activity):
    """Replace the DCTs (64, n) by their magnitudes; activity (n,) becomes the sum over the low frequencies."""
    activity[:] = 0
    for f in range(64):
        line = blocks[f]
        for k in range(line.shape[0]):
            line[k] = abs(line[k])
        if f > 0 and f // 8 + f % 8 <= LOW_FREQUENCY:
            for k in range(line.shape[0]):
                activity[k] += line[k]


@kernel(fastmath=REASSOCIATE)
def mean_log(magnitudes, offset, shifted, shifted_bits):
    """Mean of log(magnitudes + offset), to 2e-4: exponent plus a polynomial in the mantissa; shifted is scratch."""
    n = magnitudes.shape[0]
    total = np.float32(0)
    for k in range(n):
        shifted[k] = magnitudes[k] + offset
    for k in range(n):
        b = shifted_bits[k]
        x = np.float32(b & np.int32(0x7FFFFF)) * np.float32(2.0**-23)
        logarithm = ((L4 * x + L3) * x + L2) * x + L1
        total += np.float32((b >> np.int32(23)) - np.int32(127)) + logarithm * x
    return total / n * math.log(2.0)


@kernel(fastmath=REASSOCIATE)
def share_below(magnitudes, threshold):
    """Share of magnitudes under the threshold."""
    count = np.int32(0)
    for k in range(magnitudes.shape[0]):
        count += np.int32(1) if magnitudes[k] < threshold else np.int32(0)
    return count / magnitudes.shape[0]


@kernel(fastmath=REASSOCIATE)
def weighted_mean(magnitudes, weights):
    """Weighted mean of magnitudes, with weights of sum one."""
    total = np.float32(0)
    for k in range(magnitudes.shape[0]):
        total += magnitudes[k] * weights[k]
    return total


@kernel(inline="always")
def weights_of_most_active(activity, bits, many, few):
    """Equal weights of sum one on (about) a quarter, and on a sixteenth, of the blocks: those of largest activity."""
    n = activity.shape[0]
    largest = TINY
    for k in range(n):
        largest = max(largest, bits[k])
    quarter, sixteenth = of_ranks(bits, np.int32(-1), largest, n - max(1, n // 4), n - max(1, n // 16))
    rest, other_rest = counts_up_to(bits, quarter - np.int32(1), sixteenth - np.int32(1))
    weight, other_weight = np.float32(1 / (n - rest)), np.float32(1 / (n - other_rest))
    for k in range(n):
        many[k] = weight if bits[k] >= quarter else np.float32(0)
        few[k] = other_weight if bits[k] >= sixteenth else np.float32(0)


@kernel(inline="always")
def block_statistics(plane, top, left, rows, columns, basis, memory, out):
    """Statistics (63 * N_STATISTICS,) of rows × columns blocks of a plane that start at (top, left).

    memory: float32, at least 132 * rows * columns.
    """
    n = rows * columns
    memory_bits = memory.view(np.int32)
    blocks, work = memory[: 64 * n].reshape(8, 8, n), memory[64 * n : 128 * n].reshape(8, 8, n)
    gather_blocks(plane, top, left, rows, columns, blocks)
    block_dct(blocks, basis, work)
    magnitudes, bits = memory[: 64 * n].reshape(64, n), memory_bits[: 64 * n].reshape(64, n)
    rest, rest_bits = memory[128 * n : 132 * n].reshape(4, n), memory_bits[128 * n : 132 * n].reshape(4, n)
    activity, many, few = rest[0], rest[1], rest[2]
    classes = np.empty(n, np.int16)
    absolute_and_activity(magnitudes, activity)
    weights_of_most_active(activity, rest_bits[0], many, few)
    for f in range(1, 64):
        m = magnitudes[f]
        line = out[(f - 1) * N_STATISTICS : f * N_STATISTICS]
        line[0] = share_below(m, ZEROED)
        line[1] = share_below(m, SMALL)
        line[2] = mean_log(m, OFFSET, rest[3], rest_bits[3])
        line[3] = math.log(weighted_mean(m, many) + FLOOR)
        line[4] = math.log(weighted_mean(m, few) + FLOOR)
        classify(bits[f], TINY, LARGE, CLASS_STEP, classes)
        lower, upper = of_ranks(classes, np.int16(-1), HIGHEST_CLASS, n // 4, 3 * n // 4)
        line[5] = math.log(middle_of_class(lower, CLASSES_PER_OCTAVE_LOG2, LOWEST_OCTAVE) + FLOOR)
        line[6] = math.log(middle_of_class(upper, CLASSES_PER_OCTAVE_LOG2, LOWEST_OCTAVE) + FLOOR)


@kernel(inline="always")
def blocks_along(length, start):
    """Where the first whole block along an axis starts, and how many there are: at 0 if none fits from `start` on."""
    count = (length - start) // 8
    return (start, count) if count > 0 else (0, 1)


@kernel(inline="always")
def plane_features(plane, top, left, basis, frequencies, steps, qualities, out):
    """Statistics of the blocks on the grid that starts at (top, left) and on the grid shifted by 4, of the edges and of
    the finest detail; last the quality of the JPEG compression on the first grid, of the given ones, and the evidence
    for it.

    plane: contiguous, sides of at least 12 pixels.
    out: (2 * 63 * N_STATISTICS + edges.N_STATISTICS + detail.N_STATISTICS + 2,).
    """
    height, width = plane.shape
    memory = np.empty(3 * height * width, np.float32)
    count = 63 * N_STATISTICS
    for k in range(2):
        first_row, rows = blocks_along(height, (top + SHIFT * k) % 8)
        first_column, columns = blocks_along(width, (left + SHIFT * k) % 8)
        target = out[k * count : (k + 1) * count]
        block_statistics(plane, first_row, first_column, rows, columns, basis, memory, target)
        if k == 0:
            magnitudes = memory[: 64 * rows * columns].reshape(64, rows * columns)
            out[-2], out[-1] = expected_quality(magnitudes, frequencies, steps, qualities)
    edge_statistics(plane, memory, out[2 * count : -2 - N_DETAIL_STATISTICS])
    detail_statistics(plane, memory, out[-2 - N_DETAIL_STATISTICS : -2])


@kernel
def planes_features(planes, top, left, basis, frequencies, steps, qualities, out):
    """`plane_features` of each of several planes (n, height, width), in the rows of out."""
    for i in range(planes.shape[0]):
        plane_features(planes[i], top, left, basis, frequencies, steps, qualities, out[i])


@kernel
def zero_shares(plane, basis, memory, out):
    """Share of |d| < ZEROED over all frequencies but the mean, for block grids that start at each of 8 × 8 offsets."""
    for top in range(8):
        for left in range(8):
            rows, columns = (plane.shape[0] - top) // 8, (plane.shape[1] - left) // 8
            n = rows * columns
            if n == 0:
                out[top, left] = 0
                continue
            blocks, work = memory[: 64 * n].reshape(8, 8, n), memory[64 * n : 128 * n].reshape(8, 8, n)
            gather_blocks(plane, top, left, rows, columns, blocks)
            block_dct(blocks, basis, work)
            flat = memory[n : 64 * n]
            count = np.int32(0)
            for k in range(flat.shape[0]):
                count += np.int32(1) if abs(flat[k]) < ZEROED else np.int32(0)
            out[top, left] = count / flat.shape[0]
