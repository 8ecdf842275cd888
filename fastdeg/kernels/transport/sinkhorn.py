"""Entropic optimal transport: Sinkhorn's iteration with scalings absorbed into potentials, and in the log domain.

The plan is ``P = exp((f + g - C) / reg)``. Between absorptions this matrix K is fixed and the iteration
scales its rows and columns; where a scaling leaves the safe range it moves into f and g. Source: Schmitzer, Stabilized
sparse scaling algorithms for entropy regularized transport problems, SIAM J. Sci. Comput. 41 (2019).
"""

from __future__ import annotations

import numpy as np
from numba import prange

from fastdeg.kernels._jit import REASSOCIATE, kernel, parallel_kernel

ROWS = 64  # rows of a block
SAFE = 1e80  # scalings beyond this, or below its inverse, are absorbed


@kernel(fastmath=REASSOCIATE)
def _dot(x, y):
    total = 0.0
    for j in range(x.shape[0]):
        total += x[j] * y[j]
    return total


@kernel
def _add_scaled(total, scale, row):
    for j in range(row.shape[0]):
        total[j] += scale * row[j]


@parallel_kernel
def gibbs_kernel(cost, f, g, reg, out):
    """``out = exp((f + g - cost) / reg)``."""
    n, m = cost.shape
    for block in prange((n + ROWS - 1) // ROWS):
        for i in range(block * ROWS, min(n, block * ROWS + ROWS)):
            for j in range(m):
                out[i, j] = np.exp((f[i] + g[j] - cost[i, j]) / reg)


@parallel_kernel
def scale_rows(matrix, a, row_scale, column_scale, slabs, errors):
    """One pass over the kernel matrix: ``row_scale = a / (K @ column_scale)``, then each block's ``row_scale @ K``.

    ``errors``: each block's sum of |row marginal - a| before the rows were scaled.
    """
    n, m = matrix.shape
    for block in prange((n + ROWS - 1) // ROWS):
        slab = slabs[block]
        for j in range(m):
            slab[j] = 0.0
        error = 0.0
        for i in range(block * ROWS, min(n, block * ROWS + ROWS)):
            row = matrix[i]
            total = _dot(row, column_scale)
            error += abs(row_scale[i] * total - a[i])
            row_scale[i] = a[i] / total
            _add_scaled(slab, row_scale[i], row)
        errors[block] = error


@kernel
def scale_columns(slabs, b, row_scale, column_scale):
    """``column_scale = b / (row_scale @ K)`` from the blocks' sums; False where a scaling leaves the safe range."""
    m = b.shape[0]
    safe = True
    for j in range(m):
        total = 0.0
        for block in range(slabs.shape[0]):
            total += slabs[block, j]
        column_scale[j] = b[j] / total
        if not 1 / SAFE < column_scale[j] < SAFE:
            safe = False
    for i in range(row_scale.shape[0]):
        if not 1 / SAFE < row_scale[i] < SAFE:
            safe = False
    return safe


@parallel_kernel
def soft_transform(cost, g, log_a, reg, f):
    """Sinkhorn update in the log domain: ``f_i = reg (log a_i - log sum_j exp((g_j - cost_ij) / reg))``."""
    n, m = cost.shape
    for i in prange(n):
        top = -np.inf
        for j in range(m):
            top = max(top, g[j] - cost[i, j])
        total = 0.0
        for j in range(m):
            total += np.exp((g[j] - cost[i, j] - top) / reg)
        f[i] = reg * (log_a[i] - np.log(total)) - top


@parallel_kernel
def soft_transform_axis(values, log_kernel, kernel_matrix, out):
    """``out[o, i, t] = log sum_j exp(values[o, j, t] + log_kernel[i, j])``: one axis of a separable kernel.

    ``kernel_matrix = exp(log_kernel)``. A sum that underflows is done again in the log domain.
    """
    n_outer, n, n_inner = values.shape
    for line in prange(n_outer * n_inner):
        o = line // n_inner
        t = line % n_inner
        top = -np.inf
        for j in range(n):
            top = max(top, values[o, j, t])
        scaled = np.empty(n)
        for j in range(n):
            scaled[j] = np.exp(values[o, j, t] - top) if top > -np.inf else 0.0
        for i in range(n):
            total = _dot(kernel_matrix[i], scaled)
            if total > 1e-200:
                out[o, i, t] = top + np.log(total)
            else:
                out[o, i, t] = _log_sum(values, o, t, log_kernel, i)


@kernel
def _log_sum(values, o, t, log_kernel, i):
    n = values.shape[1]
    top = -np.inf
    for j in range(n):
        top = max(top, values[o, j, t] + log_kernel[i, j])
    if top == -np.inf:
        return top
    total = 0.0
    for j in range(n):
        total += np.exp(values[o, j, t] + log_kernel[i, j] - top)
    return top + np.log(total)
