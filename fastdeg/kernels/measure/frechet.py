"""Squared Fréchet distance between Gaussians, one against many, in any number of axes.

    ‖μ − m‖² + tr S + tr C − 2 ‖Fᵀ G‖_*,      S = F Fᵀ,  C = G Gᵀ

The nuclear norm of Fᵀ G is tr (C^½ S C^½)^½ for any factors. Taken from factors it loses nothing where a covariance is
singular, and cannot become complex. Covariances are scaled to unit trace first, so that the two traces and the norm
ν <= 1 combine without cancellation, and neither huge nor denormal numbers leave the range:

    tr S + tr C − 2 ‖Fᵀ G‖_* = (√tr S − √tr C)² + 2 √(tr S · tr C) (1 − ν)
"""

from __future__ import annotations

import numpy as np
from numba import prange

from fastdeg.kernels._jit import REASSOCIATE, kernel, parallel_kernel
from fastdeg.kernels.linalg.elementary import dot
from fastdeg.kernels.linalg.singular_values import bidiagonal_nuclear_norm
from fastdeg.kernels.measure.diversity import squared_distance
from fastdeg.kernels.measure.frechet_small import (
    ASYMMETRIC,
    BLOCK,
    INDEFINITE,
    NOT_FINITE,
    TOLERANCE,
    VALID,
    combine,
    first_wrong,
)

SMALLEST_PIVOT = 2.0**-1000


@kernel
def scaled_copy(cov, out):
    """Copy a covariance scaled to unit trace (zero stays zero); return (trace, what is wrong with it)."""
    n_axes = cov.shape[0]
    trace = 0.0
    largest = 0.0
    for j in range(n_axes):
        trace += cov[j, j]
        largest = max(largest, abs(cov[j, j]))
    if not np.isfinite(trace):
        return trace, NOT_FINITE
    status = VALID
    scale = 1.0 / trace if trace > 0.0 else 0.0
    half = 1.0
    if trace > 0.0 and not np.isfinite(scale):  # 1 / denormal overflows
        half = 2.0**-60
        scale = 1.0 / (trace / half)
    for j in range(n_axes):
        for k in range(j + 1):
            lower, upper = cov[j, k] / half, cov[k, j] / half
            if not (np.isfinite(lower) and np.isfinite(upper)):
                return trace, NOT_FINITE
            value = (0.5 * lower + 0.5 * upper) * scale
            if abs(lower * scale - upper * scale) > TOLERANCE:
                status = ASYMMETRIC
            elif abs(value) > 1.0 + TOLERANCE or (j == k and value < -TOLERANCE):
                status = INDEFINITE
            out[j, k] = value
            out[k, j] = value
    if largest > 0.0 and not trace > 0.0:
        status = INDEFINITE
    return max(trace, 0.0), status


@kernel
def factorise(matrix, factor):
    """Cholesky with complete pivoting of a positive semidefinite matrix, overwritten: matrix = factorᵀ factor.

    Return (rank, what is wrong with the matrix); rows of the factor from the rank on are left alone.
    """
    n_axes = matrix.shape[0]
    order = np.arange(n_axes)
    reduced = np.empty(n_axes)
    for rank in range(n_axes):
        pivot = rank
        for j in range(rank, n_axes):
            if matrix[j, j] < -TOLERANCE:
                return rank, INDEFINITE
            if matrix[j, j] > matrix[pivot, pivot]:
                pivot = j
        largest = matrix[pivot, pivot]
        if not largest > SMALLEST_PIVOT:
            return rank, VALID
        if pivot != rank:
            order[pivot], order[rank] = order[rank], order[pivot]
            for k in range(rank, n_axes):
                matrix[pivot, k], matrix[rank, k] = matrix[rank, k], matrix[pivot, k]
            for k in range(rank, n_axes):
                matrix[k, pivot], matrix[k, rank] = matrix[k, rank], matrix[k, pivot]
        inverse = 1.0 / np.sqrt(largest)
        for j in range(rank + 1, n_axes):
            value = matrix[rank, j] * inverse
            bound = max(matrix[j, j], 0.0)
            if value * value > bound:  # by rounding, in a matrix that is singular
                if abs(matrix[rank, j]) > np.sqrt(largest * bound) + TOLERANCE:
                    return rank, INDEFINITE
                value = np.copysign(np.sqrt(bound), value)
            reduced[j] = value
        for j in range(rank + 1, n_axes):
            value = reduced[j]
            target, source = matrix[j, rank + 1 :], reduced[rank + 1 :]
            for k in range(n_axes - rank - 1):
                target[k] -= value * source[k]
        row = factor[rank]
        for j in range(rank):
            row[order[j]] = 0.0
        row[order[rank]] = np.sqrt(largest)
        for j in range(rank + 1, n_axes):
            row[order[j]] = reduced[j]
    return n_axes, VALID


@kernel
def _reflector(x):
    """Overwrite x with v so that (I − 2 v vᵀ / vᵀv) x has the first component returned and zeros below; 0 for x = 0."""
    norm = np.sqrt(dot(x, x, len(x)))
    if not norm > 0.0:
        return 0.0
    alpha = -norm if x[0] > 0.0 else norm
    x[0] -= alpha
    scale = np.sqrt(2.0 / dot(x, x, len(x)))
    for i in range(x.shape[0]):
        x[i] *= scale
    return alpha


@kernel(fastmath=REASSOCIATE)
def bidiagonalise(a, diagonal, upper, column, row, work):
    """Householder reduction of a square matrix, overwritten: A = U B Vᵀ; upper[0] = 0 and upper[k] is B[k − 1, k]."""
    n = a.shape[0]
    upper[0] = 0.0
    for k in range(n):
        left = column[: n - k]
        for i in range(k, n):
            left[i - k] = a[i, k]
        diagonal[k] = _reflector(left)
        if k + 1 == n:
            break
        width = n - k - 1
        product = work[:width]
        product[:] = 0.0
        for i in range(k, n):  # left' A
            factor = left[i - k]
            source = a[i, k + 1 :]
            for j in range(width):
                product[j] += factor * source[j]
        right = row[:width]
        first = a[k, k + 1 :]
        for j in range(width):
            right[j] = first[j] - left[0] * product[j]
        upper[k + 1] = _reflector(right)
        for i in range(k + 1, n):
            factor = left[i - k]
            target = a[i, k + 1 :]
            inner = 0.0
            for j in range(width):
                value = target[j] - factor * product[j]
                target[j] = value
                inner += value * right[j]
            for j in range(width):
                target[j] -= inner * right[j]


@kernel(inline="always")
def reduce_to_square(a, square):
    """Householder reduction of a wide matrix, overwritten, to a lower triangle with the same singular values."""
    n_rows = a.shape[0]
    square[:, :] = 0.0
    for r in range(n_rows):
        reflector = a[r, r:]
        diagonal = _reflector(reflector)
        for i in range(r + 1, n_rows):
            target = a[i, r:]
            inner = dot(target, reflector, len(reflector))
            for k in range(reflector.shape[0]):
                target[k] -= inner * reflector[k]
            square[i, r] = target[0]
        square[r, r] = diagonal


@kernel(inline="always")
def nuclear_norm(a, work):
    """Sum of the singular values of a square matrix, overwritten; work is (9, n). NaN if dqds did not converge."""
    n = a.shape[0]
    diagonal, upper = work[0, :n], work[1, :n]
    bidiagonalise(a, diagonal, upper, work[2], work[3], work[4])
    return bidiagonal_nuclear_norm(diagonal, upper, work[5:])


@kernel
def frechet_block(means, covs, begin, end, target_mean, target_cov, out):
    """`frechet_many` for the Gaussians begin..end."""
    n_axes = means.shape[1]
    matrices = np.empty((4, n_axes, n_axes))
    scaled, factor, product, target_factor = matrices[0], matrices[1], matrices[2], matrices[3]
    vectors = np.empty((9, n_axes))
    target_trace, problem = scaled_copy(target_cov, scaled)
    target_rank = 0
    if problem == VALID:
        target_rank, problem = factorise(scaled, target_factor)
    if problem != VALID:
        return means.shape[0], problem
    wrong = -1
    for i in range(begin, end):
        trace, status = scaled_copy(covs[i], scaled)
        rank = 0
        if status == VALID:
            rank, status = factorise(scaled, factor)
        if status != VALID:
            out[i] = np.nan
            if wrong < 0:
                wrong, problem = i, status
            continue
        rows, columns = min(rank, target_rank), max(rank, target_rank)
        less, more = (factor, target_factor) if rank <= target_rank else (target_factor, factor)
        for r in range(rows):  # the transpose has the same norm
            for s in range(columns):
                product[r, s] = dot(less[r], more[s], n_axes)
        square = product[:rows, :rows]
        if rows < columns:
            square = scaled[:rows, :rows]
            reduce_to_square(product[:rows, :columns], square)
        norm = nuclear_norm(square, vectors) if rows > 0 else 0.0
        out[i] = combine(squared_distance(means[i], target_mean), trace, target_trace, norm)
    return wrong, problem


@parallel_kernel
def frechet_many(means, covs, target_mean, target_cov, out):
    """Write the squared distances of many Gaussians to one.

    Return (index of the first invalid covariance or −1, what is wrong with it); the target has index N.
    """
    n = means.shape[0]
    n_blocks = max(1, (n + BLOCK - 1) // BLOCK)
    wrong, problems = np.empty(n_blocks, np.int64), np.empty(n_blocks, np.int64)
    for block in prange(n_blocks):
        begin, end = block * BLOCK, min(n, (block + 1) * BLOCK)
        wrong[block], problems[block] = frechet_block(means, covs, begin, end, target_mean, target_cov, out)
    return first_wrong(wrong, problems)
