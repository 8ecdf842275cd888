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
from fastdeg.kernels.frechet_small import ASYMMETRIC, BLOCK, INDEFINITE, NOT_FINITE, TOLERANCE, VALID, combine

MAX_SWEEPS = 60  # of the QR iteration, for one singular value
EPSILON = 2.0**-52
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
    rank = 0
    while rank < n_axes:
        pivot = 0
        for j in range(1, n_axes):
            if matrix[j, j] > matrix[pivot, pivot]:
                pivot = j
        largest = matrix[pivot, pivot]
        if not largest > SMALLEST_PIVOT:
            break
        row = factor[rank]
        inverse = 1.0 / np.sqrt(largest)
        for j in range(n_axes):
            value = matrix[pivot, j] * inverse
            bound = max(matrix[j, j], 0.0)
            if value * value > bound:  # by rounding, in a matrix that is singular
                if abs(matrix[pivot, j]) > np.sqrt(largest * bound) + TOLERANCE:
                    return rank, INDEFINITE
                value = np.copysign(np.sqrt(bound), value)
            row[j] = value
        for j in range(n_axes):
            value = row[j]
            if value != 0.0:
                target = matrix[j]
                for k in range(n_axes):
                    target[k] -= value * row[k]
        for j in range(n_axes):  # exactly zero, so that no pivot comes twice
            matrix[j, pivot] = 0.0
            matrix[pivot, j] = 0.0
        rank += 1
    for j in range(n_axes):
        if matrix[j, j] < -TOLERANCE:
            return rank, INDEFINITE
    return rank, VALID


@kernel(fastmath=REASSOCIATE)
def _dot(a, b):
    total = 0.0
    for i in range(a.shape[0]):
        total += a[i] * b[i]
    return total


@kernel
def _reflector(x):
    """Overwrite x with v so that (I − 2 v vᵀ / vᵀv) x has the first component returned and zeros below; 0 for x = 0."""
    norm = np.sqrt(_dot(x, x))
    if not norm > 0.0:
        return 0.0
    alpha = -norm if x[0] > 0.0 else norm
    x[0] -= alpha
    scale = np.sqrt(2.0 / _dot(x, x))
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


@kernel
def bidiagonal_singular_values(diagonal, upper):
    """Overwrite the diagonal with the singular values: implicitly shifted QR (Golub, Reinsch 1970); False: failed."""
    n = diagonal.shape[0]
    scale = 0.0
    for k in range(n):
        scale = max(scale, abs(diagonal[k]) + abs(upper[k]))
    negligible = EPSILON * scale
    for last in range(n - 1, -1, -1):
        for sweep in range(MAX_SWEEPS + 1):
            first = last
            split = False
            while first > 0:
                if abs(upper[first]) <= negligible:
                    upper[first] = 0.0
                    break
                if abs(diagonal[first - 1]) <= negligible:
                    split = True
                    break
                first -= 1
            if split:  # a zero above: rotate upper[first] away along the rows
                cosine, sine = 0.0, 1.0
                for i in range(first, last + 1):
                    f = sine * upper[i]
                    upper[i] *= cosine
                    if abs(f) <= negligible:
                        break
                    g = diagonal[i]
                    h = np.sqrt(f * f + g * g)
                    diagonal[i] = h
                    cosine, sine = g / h, -f / h
            if first == last:
                diagonal[last] = abs(diagonal[last])
                break
            if sweep == MAX_SWEEPS:
                return False
            x, y, z = diagonal[first], diagonal[last - 1], diagonal[last]
            g, h = upper[last - 1], upper[last]
            f = ((y - z) * (y + z) + (g - h) * (g + h)) / (2.0 * h * y)
            g = np.sqrt(f * f + 1.0)
            f = ((x - z) * (x + z) + h * (y / (f + (g if f >= 0.0 else -g)) - h)) / x
            cosine, sine = 1.0, 1.0
            for i in range(first, last):
                g, y = upper[i + 1], diagonal[i + 1]
                h, g = sine * g, cosine * g
                z = np.sqrt(f * f + h * h)
                upper[i] = z
                cosine, sine = f / z, h / z
                f = x * cosine + g * sine
                g = g * cosine - x * sine
                h = y * sine
                y *= cosine
                z = np.sqrt(f * f + h * h)
                diagonal[i] = z
                if z > 0.0:
                    cosine, sine = f / z, h / z
                f = cosine * g + sine * y
                x = cosine * y - sine * g
            upper[first] = 0.0
            upper[last] = f
            diagonal[last] = x
    return True


@kernel
def nuclear_norm(a, work):
    """Sum of the singular values of a square matrix, overwritten; work is (5, n). NaN if QR did not converge."""
    n = a.shape[0]
    diagonal, upper = work[0, :n], work[1, :n]
    bidiagonalise(a, diagonal, upper, work[2], work[3], work[4])
    if not bidiagonal_singular_values(diagonal, upper):
        return np.nan
    total = 0.0
    for k in range(n):
        total += diagonal[k]
    return total


@kernel
def frechet_to(mean, cov, target_mean, target_factor, target_rank, target_trace, scaled, factor, product, work):
    """Squared distance to a factorised Gaussian, and what is wrong with the covariance."""
    trace, status = scaled_copy(cov, scaled)
    if status != VALID:
        return np.nan, status
    rank, status = factorise(scaled, factor)
    if status != VALID:
        return np.nan, status
    size = max(rank, target_rank)
    square = product[:size, :size]
    for r in range(size):
        for s in range(size):
            square[r, s] = _dot(factor[r], target_factor[s]) if r < rank and s < target_rank else 0.0
    norm = nuclear_norm(square, work) if rank > 0 and target_rank > 0 else 0.0
    squared_means = 0.0
    for j in range(mean.shape[0]):
        difference = np.float64(mean[j]) - target_mean[j]
        squared_means += difference * difference
    return combine(squared_means, trace, target_trace, norm), VALID


@parallel_kernel
def frechet_many(means, covs, target_mean, target_cov, out):
    """Write the squared distances of many Gaussians to one.

    Return (index of the first invalid covariance or −1, what is wrong with it); the target has index N.
    """
    n, n_axes = means.shape
    target_factor = np.empty((n_axes, n_axes))
    target_scaled = np.empty((n_axes, n_axes))
    target_trace, target_status = scaled_copy(target_cov, target_scaled)
    target_rank = 0
    if target_status == VALID:
        target_rank, target_status = factorise(target_scaled, target_factor)
    if target_status != VALID:
        return n, target_status
    n_blocks = (n + BLOCK - 1) // BLOCK
    wrong = np.full(n_blocks, -1)
    statuses = np.zeros(n_blocks, np.int64)
    for block in prange(n_blocks):
        scaled = np.empty((n_axes, n_axes))
        factor = np.empty((n_axes, n_axes))
        product = np.empty((n_axes, n_axes))
        work = np.empty((5, n_axes))
        for i in range(block * BLOCK, min(n, (block + 1) * BLOCK)):
            value, status = frechet_to(
                means[i], covs[i], target_mean, target_factor, target_rank, target_trace, scaled, factor, product, work
            )
            out[i] = value
            if status != VALID and wrong[block] < 0:
                wrong[block] = i
                statuses[block] = status
    for block in range(n_blocks):
        if wrong[block] >= 0:
            return wrong[block], statuses[block]
    return -1, 0
