"""Squared Fréchet distance between Gaussians of up to three axes, in closed form but for the root of one equation.

The formula is that of `fastdeg.kernels.measure.frechet`. With A = Fᵀ G and its singular values σ, the nuclear norm
x = σ₁ + σ₂ + σ₃ satisfies

    x² = e₁ + 2 y,    y² = e₂ + 2 e₃ x,    e₁ = ‖A‖²,  e₂ = ‖adj A‖²,  e₃ = |det A|

where nothing cancels. The map x → √(e₁ + 2 √(e₂ + 2 e₃ x)) has slope at most 1/9 (where all σ are equal), and Newton's
method from x = √(3 e₁) >= σ₁ + σ₂ + σ₃ needs few steps.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from fastdeg.kernels._jit import kernel, parallel_kernel
from fastdeg.kernels.measure.diversity import squared_distance

MOST_AXES = 3
MOST_STEPS = 12
PRECISION = 2.0**-51
BLOCK = 64  # distances of one thread in a row

# what is wrong with a covariance
VALID, ASYMMETRIC, INDEFINITE, NOT_FINITE = 0, 1, 2, 3
TOLERANCE = 1e-6  # of the trace; float32 covariances are right to 1e-7


@kernel
def diagonal_sum(matrix):
    """Trace in float64."""
    total = 0.0
    for j in range(matrix.shape[0]):
        total += matrix[j, j]
    return total


@kernel
def first_wrong(wrong, problems):
    """Index and problem of the first wrong covariance of several blocks, (−1, VALID) where there is none."""
    for block in range(wrong.shape[0]):
        if wrong[block] >= 0:
            return wrong[block], problems[block]
    return -1, VALID


@kernel
def _column(pivot, other, product, tolerance):
    """Entry of a Cholesky column, bounded by the diagonal that it reduces; and whether that took more than rounding."""
    if not pivot > 0.0:
        return 0.0, abs(product) > tolerance
    bound = np.sqrt(max(other, 0.0))
    value = product / np.sqrt(pivot)
    if abs(value) <= bound:
        return value, False
    return np.copysign(bound, value), abs(product) > np.sqrt(pivot) * bound + tolerance


@kernel
def factorise_small(a00, a10, a11, a20, a21, a22, tolerance):
    """Cholesky with complete pivoting of a 3 × 3 matrix: rows fᵢ with A = Σ fᵢ fᵢᵀ, and whether there are such."""
    definite = min(a00, a11, a22) >= -tolerance
    first = 0 if a00 >= a11 and a00 >= a22 else 1 if a11 >= a22 else 2
    if first == 1:
        a00, a11, a20, a21 = a11, a00, a21, a20
    elif first == 2:
        a00, a22, a10, a21 = a22, a00, a21, a10
    f00 = np.sqrt(max(a00, 0.0))
    f01, wrong1 = _column(a00, a11, a10, tolerance)
    f02, wrong2 = _column(a00, a22, a20, tolerance)
    b11, b21, b22 = a11 - f01 * f01, a21 - f01 * f02, a22 - f02 * f02
    swapped = b22 > b11
    if swapped:
        b11, b22 = b22, b11
    f11 = np.sqrt(max(b11, 0.0))
    f12, wrong3 = _column(b11, b22, b21, tolerance)
    f22 = np.sqrt(max(b22 - f12 * f12, 0.0))
    # back to the axes' own order
    r10, r11, r12 = 0.0, f11, f12
    r20, r21, r22 = 0.0, 0.0, f22
    if swapped:
        r11, r12, r21, r22 = f12, f11, f22, 0.0
    if first == 1:
        f00, f01, r10, r11, r20, r21 = f01, f00, r11, r10, r21, r20
    elif first == 2:
        f00, f02, r10, r12, r20, r22 = f02, f00, r12, r10, r22, r20
    rows = ((f00, f01, f02), (r10, r11, r12), (r20, r21, r22))
    return rows, definite and not (wrong1 or wrong2 or wrong3)


@kernel
def nuclear_norm_small(f, g):
    """Nuclear norm of F Gᵀ for two 3 × 3 factors given by rows."""
    (f00, f01, f02), (f10, f11, f12), (f20, f21, f22) = f
    (g00, g01, g02), (g10, g11, g12), (g20, g21, g22) = g
    a00, a01, a02 = (
        f00 * g00 + f01 * g01 + f02 * g02,
        f00 * g10 + f01 * g11 + f02 * g12,
        f00 * g20 + f01 * g21 + f02 * g22,
    )
    a10, a11, a12 = (
        f10 * g00 + f11 * g01 + f12 * g02,
        f10 * g10 + f11 * g11 + f12 * g12,
        f10 * g20 + f11 * g21 + f12 * g22,
    )
    a20, a21, a22 = (
        f20 * g00 + f21 * g01 + f22 * g02,
        f20 * g10 + f21 * g11 + f22 * g12,
        f20 * g20 + f21 * g21 + f22 * g22,
    )
    c00, c01, c02 = a11 * a22 - a12 * a21, a12 * a20 - a10 * a22, a10 * a21 - a11 * a20
    c10, c11, c12 = a02 * a21 - a01 * a22, a00 * a22 - a02 * a20, a01 * a20 - a00 * a21
    c20, c21, c22 = a01 * a12 - a02 * a11, a02 * a10 - a00 * a12, a00 * a11 - a01 * a10
    e1 = a00 * a00 + a01 * a01 + a02 * a02 + a10 * a10 + a11 * a11 + a12 * a12 + a20 * a20 + a21 * a21 + a22 * a22
    e2 = c00 * c00 + c01 * c01 + c02 * c02 + c10 * c10 + c11 * c11 + c12 * c12 + c20 * c20 + c21 * c21 + c22 * c22
    e3 = abs(a00 * c00 + a01 * c01 + a02 * c02)
    if not e3 > 0.0:
        return np.sqrt(e1 + 2.0 * np.sqrt(e2))
    x = np.sqrt(3.0 * e1)
    for _ in range(MOST_STEPS):
        y = np.sqrt(e2 + 2.0 * e3 * x)
        mapped = np.sqrt(e1 + 2.0 * y)
        step = (x - mapped) / (1.0 - e3 / (y * mapped))
        x -= step
        if abs(step) <= PRECISION * x:
            break
    return x


@kernel
def combine(squared_means, trace, target_trace, norm):
    """Distance from ‖μ − m‖², the two traces and the nuclear norm of the factors scaled to unit trace."""
    root, target_root = np.sqrt(trace), np.sqrt(target_trace)
    difference = root - target_root
    bures = difference * difference + 2.0 * root * target_root * (1.0 - min(norm, 1.0))
    return squared_means + bures


@kernel
def factor_small(cov, trace):
    """Factor of a covariance of up to three axes scaled to unit trace, and what is wrong with it."""
    n_axes = cov.shape[0]
    none = ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    if not trace > 0.0:
        asymmetry = 0.0
        for j in range(n_axes):
            for k in range(n_axes):
                asymmetry = max(asymmetry, abs(np.float64(cov[j, k])))
        return none, VALID if asymmetry == 0.0 and trace == 0.0 else INDEFINITE
    # halves, and a detour for denormals: neither 1 / trace nor the sum of two huge numbers overflows
    up = 2.0**60 if trace < 2.0**-960 else 1.0
    scale = 0.5 / (trace * up)
    a00 = np.float64(cov[0, 0]) * up * (2.0 * scale)
    a10 = a11 = a20 = a21 = a22 = 0.0
    asymmetry = 0.0
    if n_axes > 1:
        lower, upper = np.float64(cov[1, 0]) * up * scale, np.float64(cov[0, 1]) * up * scale
        a10, asymmetry = lower + upper, abs(lower - upper)
        a11 = np.float64(cov[1, 1]) * up * (2.0 * scale)
    if n_axes > 2:
        lower, upper = np.float64(cov[2, 0]) * up * scale, np.float64(cov[0, 2]) * up * scale
        a20, asymmetry = lower + upper, max(asymmetry, abs(lower - upper))
        lower, upper = np.float64(cov[2, 1]) * up * scale, np.float64(cov[1, 2]) * up * scale
        a21, asymmetry = lower + upper, max(asymmetry, abs(lower - upper))
        a22 = np.float64(cov[2, 2]) * up * (2.0 * scale)
    if not np.isfinite(a00 + abs(a10) + a11 + abs(a20) + abs(a21) + a22 + asymmetry):
        return none, NOT_FINITE
    if 2.0 * asymmetry > TOLERANCE:
        return none, ASYMMETRIC
    rows, definite = factorise_small(a00, a10, a11, a20, a21, a22, TOLERANCE)
    return rows, VALID if definite else INDEFINITE


@kernel
def frechet_small(mean, cov, target_mean, target_rows, target_trace):
    """Squared distance to a Gaussian given by its factor, and what is wrong with the covariance."""
    trace = diagonal_sum(cov)
    if not np.isfinite(trace):
        return np.nan, NOT_FINITE
    rows, status = factor_small(cov, trace)
    if status != VALID:
        return np.nan, status
    squared_means = squared_distance(mean, target_mean)
    return combine(squared_means, trace, target_trace, nuclear_norm_small(rows, target_rows)), VALID


@kernel
def frechet_block_small(means, covs, begin, end, target_mean, target_cov, out):
    """`frechet_many_small` for the Gaussians begin..end."""
    target_trace = diagonal_sum(target_cov)
    rows, problem = factor_small(target_cov, target_trace)
    if problem != VALID:
        return means.shape[0], problem
    wrong = -1
    for i in range(begin, end):
        value, status = frechet_small(means[i], covs[i], target_mean, rows, target_trace)
        out[i] = value
        if status != VALID and wrong < 0:
            wrong, problem = i, status
    return wrong, problem


@parallel_kernel
def frechet_many_small(means, covs, target_mean, target_cov, out):
    """Write the squared distances of many Gaussians of up to three axes to one.

    Return (index of the first invalid covariance or −1, what is wrong with it); the target has index N.
    """
    n = means.shape[0]
    n_blocks = max(1, (n + BLOCK - 1) // BLOCK)
    wrong, problems = np.empty(n_blocks, np.int64), np.empty(n_blocks, np.int64)
    for block in prange(n_blocks):
        begin, end = block * BLOCK, min(n, (block + 1) * BLOCK)
        wrong[block], problems[block] = frechet_block_small(means, covs, begin, end, target_mean, target_cov, out)
    return first_wrong(wrong, problems)
