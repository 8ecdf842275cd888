"""Entropic optimal transport: Sinkhorn's iteration with scalings absorbed into potentials, and in the log domain.

The plan is ``P = exp((f + g - C) / reg)``. Between absorptions this matrix K is fixed and the iteration
scales its rows and columns; where a scaling leaves the safe range it moves into f and g. Source: Schmitzer, Stabilized
sparse scaling algorithms for entropy regularized transport problems, SIAM J. Sci. Comput. 41 (2019).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from fastdeg.kernels._jit import REASSOCIATE, driver, kernel, parallel_kernel

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


class Scaling(NamedTuple):
    """State of the iteration: potentials, the matrix ``exp((f + g - cost) / reg)``, scalings of its rows and columns.

    ``fresh[0]``: whether the matrix belongs to f and g; ``error[0]``: marginal error before the last scaling.
    """

    f: NDArray[np.float64]
    g: NDArray[np.float64]
    matrix: NDArray[np.float64]
    row_scale: NDArray[np.float64]
    column_scale: NDArray[np.float64]
    old_rows: NDArray[np.float64]
    old_columns: NDArray[np.float64]
    slabs: NDArray[np.float64]
    errors: NDArray[np.float64]
    fresh: NDArray[np.bool_]
    error: NDArray[np.float64]


@driver
def new_scaling(n, m):
    """State before the first iteration."""
    n_blocks = (n + ROWS - 1) // ROWS
    return Scaling(
        np.zeros(n),
        np.zeros(m),
        np.empty((n, m)),
        np.ones(n),
        np.ones(m),
        np.ones(n),
        np.ones(m),
        np.empty((n_blocks, m)),
        np.empty(n_blocks),
        np.zeros(1, np.bool_),
        np.full(1, np.inf),
    )


@kernel
def finish_scaling(state, b, reg, tol):
    """``column_scale = b / (row_scale @ K)`` from the blocks' sums, and the error of the scalings before.

    Goes back to these where they were good enough. Scalings that leave the safe range move into the potentials.
    """
    state.error[0] = state.errors.sum()
    if state.error[0] <= tol:
        state.row_scale[:] = state.old_rows
        return
    safe = True
    finite = True
    for j in range(b.shape[0]):
        total = 0.0
        for block in range(state.slabs.shape[0]):
            total += state.slabs[block, j]
        scale = b[j] / total
        state.column_scale[j] = scale
        safe &= 1 / SAFE < scale < SAFE
        finite &= 0 < scale < np.inf
    for i in range(state.row_scale.shape[0]):
        scale = state.row_scale[i]
        safe &= 1 / SAFE < scale < SAFE
        finite &= 0 < scale < np.inf
    if not safe:
        if not finite:
            state.row_scale[:] = state.old_rows
            state.column_scale[:] = state.old_columns
        absorb(state, reg)
    state.old_rows[:] = state.row_scale
    state.old_columns[:] = state.column_scale


@kernel
def absorb(state, reg):
    """Move the scalings into the potentials."""
    for i in range(state.f.shape[0]):
        state.f[i] += reg * np.log(state.row_scale[i])
        state.row_scale[i] = 1.0
    for j in range(state.g.shape[0]):
        state.g[j] += reg * np.log(state.column_scale[j])
        state.column_scale[j] = 1.0
    state.fresh[0] = False


@parallel_kernel
def iterate(state, cost, transposed, a, b, reg, tol, n_iter):
    """Iterate up to so many times for masses of sum one, all positive, or until the error is at most tol: how often.

    An iteration in the log domain, by the rows of cost and of its transpose, comes first and after each absorption.
    """
    n, m = cost.shape
    f, g, matrix, errors = state.f, state.g, state.matrix, state.errors
    row_scale, column_scale, slabs = state.row_scale, state.column_scale, state.slabs
    done = 0
    while done < n_iter and not state.error[0] <= tol:
        done += 1
        if state.fresh[0]:
            for block in prange(errors.shape[0]):
                slab = slabs[block]
                for j in range(m):
                    slab[j] = 0.0
                error = 0.0
                for i in range(block * ROWS, min(n, block * ROWS + ROWS)):
                    total = _dot(matrix[i], column_scale)
                    error += abs(row_scale[i] * total - a[i])
                    row_scale[i] = a[i] / total
                    _add_scaled(slab, row_scale[i], matrix[i])
                errors[block] = error
            finish_scaling(state, b, reg, tol)
        else:
            for i in prange(n):
                f[i] = reg * np.log(a[i]) - _soft_maximum(cost[i], g, reg)
            for j in prange(m):
                g[j] = reg * np.log(b[j]) - _soft_maximum(transposed[j], f, reg)
            for i in prange(n):
                for j in range(m):
                    matrix[i, j] = np.exp((f[i] + g[j] - cost[i, j]) / reg)
            state.fresh[0] = True
    return done


@kernel
def _soft_maximum(row, g, reg):
    """``reg log sum_j exp((g_j - row_j) / reg)``."""
    top = -np.inf
    for j in range(row.shape[0]):
        top = max(top, g[j] - row[j])
    total = 0.0
    for j in range(row.shape[0]):
        total += np.exp((g[j] - row[j] - top) / reg)
    return top + reg * np.log(total)


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
