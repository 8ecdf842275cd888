"""Weighted mean and population scatter in one pass over memory, globally and per label.

Rows are taken in blocks that fit the cache. A block is copied transposed, centred on its own mean, and its scatter
Σ w (x − mean)(x − mean)ᵀ is a set of dot products of contiguous rows; blocks are merged by

    mean = mean_a + (w_b / w) δ,    scatter = scatter_a + scatter_b + (w_a w_b / w) δ δᵀ,    δ = mean_b − mean_a

(Chan, Golub, LeVeque 1983), so that nothing cancels however far the data lie from the origin. Blocks and slabs depend
on the shape of the data alone: results are the same for any number of threads.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from fastdeg.kernels._jit import REASSOCIATE, kernel, parallel_kernel
from fastdeg.kernels.linalg.elementary import copy_transposed, dot

MAX_SLABS = 64
SLAB_ROWS = 8_192  # at least
BLOCK_VALUES = 8_192  # numbers in a block, about: a block and its copy stay in the first two cache levels
MAX_LABEL_SLABS = 16


@kernel
def block_rows(n_axes):
    """Rows of a block: a power of two from 32 to 512."""
    rows = 512
    while rows > 32 and rows * n_axes > BLOCK_VALUES:
        rows //= 2
    return rows


@kernel
def slab_rows(n, n_axes):
    """Rows of a slab, a multiple of the rows of a block."""
    block = block_rows(n_axes)
    rows = max(SLAB_ROWS, (n + MAX_SLABS - 1) // MAX_SLABS)
    return (rows + block - 1) // block * block


@kernel
def merge_into(weight, mean, residual, scatter, other_weight, other_mean, other_residual, other_scatter):
    """Merge the moments of a second set into those of the first, in place; return the total weight.

    A mean is the unevaluated sum mean + residual, so that differences of means keep their digits far from the origin.
    Of the second scatter only the lower triangle is read.
    """
    total = weight + other_weight
    n_axes = mean.shape[0]
    if not other_weight > 0.0:
        return weight
    if not weight > 0.0:
        for j in range(n_axes):
            mean[j] = other_mean[j]
            residual[j] = other_residual[j]
            for k in range(j + 1):
                scatter[j, k] = other_scatter[j, k]
                scatter[k, j] = other_scatter[j, k]
        return total
    share = other_weight / total
    factor = weight * share
    for j in range(n_axes):
        delta_j = (other_mean[j] - mean[j]) + (other_residual[j] - residual[j])
        for k in range(j + 1):
            delta_k = (other_mean[k] - mean[k]) + (other_residual[k] - residual[k])
            value = scatter[j, k] + other_scatter[j, k] + factor * delta_j * delta_k
            scatter[j, k] = value
            scatter[k, j] = value
    for j in range(n_axes):
        delta = (other_mean[j] - mean[j]) + (other_residual[j] - residual[j])
        step = share * delta + residual[j]
        moved = mean[j] + step
        part = moved - mean[j]
        residual[j] = (mean[j] - (moved - part)) + (step - part)  # what rounding took (Knuth's two-sum)
        mean[j] = moved
    return total


@kernel
def merge_all(weight, mean, residual, scatter, other_weight, other_mean, other_residual, other_scatter):
    """Merge set by set, as `merge_into`; the weights are updated as well."""
    for i in range(weight.shape[0]):
        weight[i] = merge_into(
            weight[i], mean[i], residual[i], scatter[i],
            other_weight[i], other_mean[i], other_residual[i], other_scatter[i],
        )  # fmt: skip


@kernel(fastmath=REASSOCIATE)
def _sum(values, count):
    total = 0.0
    for i in range(count):
        total += values[i]
    return total


@kernel(fastmath=REASSOCIATE)
def _scatter(a, b, count, scatter):
    """Lower triangle of a · bᵀ over the first ``count`` columns, four rows by four at a time."""
    n_axes = a.shape[0]
    full = n_axes // 4 * 4
    for j in range(0, full, 4):
        a0, a1, a2, a3 = a[j], a[j + 1], a[j + 2], a[j + 3]
        for k in range(0, j + 4, 4):
            b0, b1, b2, b3 = b[k], b[k + 1], b[k + 2], b[k + 3]
            s00 = s01 = s02 = s03 = 0.0
            s10 = s11 = s12 = s13 = 0.0
            s20 = s21 = s22 = s23 = 0.0
            s30 = s31 = s32 = s33 = 0.0
            for i in range(count):
                u0, u1, u2, u3 = a0[i], a1[i], a2[i], a3[i]
                v0, v1, v2, v3 = b0[i], b1[i], b2[i], b3[i]
                s00 += u0 * v0
                s01 += u0 * v1
                s02 += u0 * v2
                s03 += u0 * v3
                s10 += u1 * v0
                s11 += u1 * v1
                s12 += u1 * v2
                s13 += u1 * v3
                s20 += u2 * v0
                s21 += u2 * v1
                s22 += u2 * v2
                s23 += u2 * v3
                s30 += u3 * v0
                s31 += u3 * v1
                s32 += u3 * v2
                s33 += u3 * v3
            scatter[j, k], scatter[j, k + 1], scatter[j, k + 2], scatter[j, k + 3] = s00, s01, s02, s03
            scatter[j + 1, k], scatter[j + 1, k + 1], scatter[j + 1, k + 2], scatter[j + 1, k + 3] = s10, s11, s12, s13
            scatter[j + 2, k], scatter[j + 2, k + 1], scatter[j + 2, k + 2], scatter[j + 2, k + 3] = s20, s21, s22, s23
            scatter[j + 3, k], scatter[j + 3, k + 1], scatter[j + 3, k + 2], scatter[j + 3, k + 3] = s30, s31, s32, s33
    for j in range(full, n_axes):
        for k in range(j + 1):
            scatter[j, k] = dot(a[j], b[k], count)


@kernel(fastmath=REASSOCIATE)
def _centre(column, count, shares):
    """Subtract the mean, or a number near it, from a column; return it and the mean of what is left."""
    shift = 0.0
    for i in range(count):
        shift += column[i] * shares[i]
    residual = 0.0
    for i in range(count):
        value = column[i] - shift
        column[i] = value
        residual += value * shares[i]
    return shift, residual


@kernel
def _drop_negative(scatter):
    """Where rounding left less than nothing of a variance, nothing varies along the axis."""
    for j in range(scatter.shape[0]):
        if scatter[j, j] < 0.0:
            for k in range(scatter.shape[0]):
                scatter[j, k] = 0.0
                scatter[k, j] = 0.0


@kernel(inline="always")
def _range_moments(x, weights, begin, end, mean, residual, scatter):
    """Moments of the rows begin..end, block after block; returns their weight."""
    n_axes = x.shape[1]
    rows = block_rows(n_axes)
    weighted = weights.shape[0] > 0
    columns = np.empty((n_axes, rows))
    products = np.empty((n_axes, rows)) if weighted else columns
    shares = np.empty(rows)
    block_mean = np.empty(n_axes)
    block_residual = np.empty(n_axes)
    block_scatter = np.empty((n_axes, n_axes))
    total = 0.0
    for start in range(begin, end, rows):
        count = min(rows, end - start)
        own_weights = weights[start : start + count] if weighted else weights
        block_total = _sum(own_weights, count) if weighted else float(count)
        if not block_total > 0.0:
            continue
        inverse = 1.0 / block_total
        for i in range(count):
            shares[i] = own_weights[i] * inverse if weighted else inverse
        copy_transposed(x, start, start + count, columns)
        for j in range(n_axes):
            block_mean[j], block_residual[j] = _centre(columns[j], count, shares)
            if weighted:
                source, target = columns[j], products[j]
                for i in range(count):
                    target[i] = source[i] * own_weights[i]
        _scatter(products, columns, count, block_scatter)
        for j in range(n_axes):
            for k in range(j + 1):
                block_scatter[j, k] -= block_total * block_residual[j] * block_residual[k]
        _drop_negative(block_scatter)
        total = merge_into(total, mean, residual, scatter, block_total, block_mean, block_residual, block_scatter)
    return total


@parallel_kernel
def moments(x, weights, mean, residual, scatter):
    """Write mean, its residual and scatter of all rows into zeros; return the weight (empty ``weights``: ones)."""
    n, n_axes = x.shape
    rows = slab_rows(n, n_axes)
    n_slabs = (n + rows - 1) // rows
    weight = np.zeros(n_slabs)
    means = np.zeros((n_slabs, n_axes))
    residuals = np.zeros((n_slabs, n_axes))
    scatters = np.zeros((n_slabs, n_axes, n_axes))
    for slab in prange(n_slabs):
        begin = slab * rows
        weight[slab] = _range_moments(
            x, weights, begin, min(n, begin + rows), means[slab], residuals[slab], scatters[slab]
        )
    total = 0.0
    for slab in range(n_slabs):
        total = merge_into(total, mean, residual, scatter, weight[slab], means[slab], residuals[slab], scatters[slab])
    return total


@kernel
def _label_sums(x, weights, labels, begin, end, sums):
    """Add weight and weighted sum of each row to those of its label."""
    n_axes = x.shape[1]
    weighted = weights.shape[0] > 0
    if n_axes == 3:
        for i in range(begin, end):
            own = sums[np.uint64(labels[i])]
            weight = weights[i] if weighted else 1.0
            own[0] += weight
            own[1] += weight * x[i, 0]
            own[2] += weight * x[i, 1]
            own[3] += weight * x[i, 2]
        return
    for i in range(begin, end):
        label = labels[i]
        weight = weights[i] if weighted else 1.0
        sums[label, 0] += weight
        for j in range(n_axes):
            sums[label, 1 + j] += weight * x[i, j]


@kernel
def _label_scatter(x, weights, labels, begin, end, means, sums):
    """Add the scatter of each row about the mean of its label, packed lower triangle after the residuals."""
    n_axes = x.shape[1]
    weighted = weights.shape[0] > 0
    if n_axes == 3:
        for i in range(begin, end):
            label = np.uint64(labels[i])
            own, mean = sums[label], means[label]
            weight = weights[i] if weighted else 1.0
            d0, d1, d2 = x[i, 0] - mean[0], x[i, 1] - mean[1], x[i, 2] - mean[2]
            w0, w1, w2 = weight * d0, weight * d1, weight * d2
            own[0] += w0
            own[1] += w1
            own[2] += w2
            own[3] += w0 * d0
            own[4] += w1 * d0
            own[5] += w1 * d1
            own[6] += w2 * d0
            own[7] += w2 * d1
            own[8] += w2 * d2
        return
    delta = np.empty(n_axes)
    for i in range(begin, end):
        label = labels[i]
        weight = weights[i] if weighted else 1.0
        position = n_axes
        for j in range(n_axes):
            delta[j] = x[i, j] - means[label, j]
            sums[label, j] += weight * delta[j]
            for k in range(j + 1):
                sums[label, position] += weight * delta[j] * delta[k]
                position += 1


@parallel_kernel
def label_moments(x, weights, labels, label_weights, means, residuals, scatters):
    """Write weight, mean, its residual and scatter of the rows of each label (0 where it has none), in two passes."""
    n, n_axes = x.shape
    n_labels = means.shape[0]
    n_slabs = min(MAX_LABEL_SLABS, max(1, n // (20 * n_labels)))
    rows = (n + n_slabs - 1) // n_slabs
    n_values = n_axes + n_axes * (n_axes + 1) // 2
    workspace = np.zeros(n_slabs * n_labels * n_values)  # of both passes: new memory costs as much as its use
    sums = workspace[: n_slabs * n_labels * (1 + n_axes)].reshape((n_slabs, n_labels, 1 + n_axes))
    for slab in prange(n_slabs):
        _label_sums(x, weights, labels, slab * rows, min(n, (slab + 1) * rows), sums[slab])
    for label in prange(n_labels):
        for j in range(1 + n_axes):
            total = 0.0
            for slab in range(n_slabs):
                total += sums[slab, label, j]
            if j == 0:
                label_weights[label] = total
            else:
                means[label, j - 1] = total / label_weights[label] if label_weights[label] > 0.0 else 0.0
    products = workspace.reshape((n_slabs, n_labels, n_values))
    for slab in prange(n_slabs):
        products[slab] = 0.0
        _label_scatter(x, weights, labels, slab * rows, min(n, (slab + 1) * rows), means, products[slab])
    for label in prange(n_labels):
        for slab in range(1, n_slabs):
            for j in range(n_values):
                products[0, label, j] += products[slab, label, j]
        position = n_axes
        weight = label_weights[label]
        for j in range(n_axes):
            for k in range(j + 1):
                value = products[0, label, position]
                if weight > 0.0:  # what rounding left in the mean
                    value -= products[0, label, j] * products[0, label, k] / weight
                scatters[label, j, k] = value
                scatters[label, k, j] = value
                position += 1
        _drop_negative(scatters[label])
        if weight > 0.0:
            for j in range(n_axes):
                residuals[label, j] = products[0, label, j] / weight
