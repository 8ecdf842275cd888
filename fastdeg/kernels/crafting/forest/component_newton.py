"""The minimum of the tangent problem where groups of cells keep their masses."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastdeg.kernels._jit import kernel
from fastdeg.kernels.crafting.frechet_term import inside, moment_curvature, slope, spectrum
from fastdeg.kernels.crafting.row_quadratics import sum_rows
from fastdeg.kernels.linalg.elementary import add, bounded_exp, dot

MOST_STEPS = 12
SETTLED = 1e-9  # relative error of the moments, of which the gap takes the square
LEAST_SHARE = 4e-4  # of a Newton step; the first half, quarter, … of it that stays in the domain is made


@kernel
def fill_groups(exponents, group, mass, p, shift):
    """p = mass of the group · exp(exponents) / their sum over the group; shift = the logarithm of sum over mass."""
    n_groups = len(mass)
    peak = np.full(n_groups, -np.inf)
    total = np.zeros(n_groups)
    for x in range(len(group)):
        peak[group[x]] = max(peak[group[x]], exponents[x])
    for x in range(len(group)):
        p[x] = max(exponents[x] - peak[group[x]], -700.0)
    for x in range(len(group)):  # alone: in vector instructions
        p[x] = bounded_exp(p[x])
    for x in range(len(group)):
        total[group[x]] += p[x]
    for k in range(n_groups):
        total[k] = mass[k] / total[k]
        shift[k] = peak[k] - np.log(total[k])
    for x in range(len(group)):
        p[x] *= total[group[x]]


class Features(NamedTuple):
    """Features A of a grid's cells, quadratic along rows (see `row_quadratics`): shapes (n,), (rows, r), (r,)."""

    x: NDArray[np.float64]
    x2: NDArray[np.float64]
    constant: NDArray[np.float64]
    slope: NDArray[np.float64]
    square: NDArray[np.float64]


class Costs(NamedTuple):
    """The tangent problem but for the groups: costs ``base`` + A (``fixed`` + weight · slope of FD²) and tau KL."""

    base: NDArray[np.float64]
    fixed: NDArray[np.float64]
    weight: float
    log_prior: NDArray[np.float64]
    tau: float
    rank: int


@kernel
def fill_exponents(features, w, base, log_prior, tau, exponents):
    """exponents = log prior − (base + A w) / tau."""
    n, r = len(features.x), len(w)
    x, x2 = features.x, features.x2
    c2 = dot(features.square, w, r)
    for row in range(len(features.constant)):
        c0, c1 = dot(features.constant[row], w, r), dot(features.slope[row], w, r)
        costs, out = base[row * n : (row + 1) * n], exponents[row * n : (row + 1) * n]
        for j in range(n):
            out[j] = -(costs[j] + (c0 + c1 * x[j] + c2 * x2[j])) / tau
        if len(log_prior) > 1:
            add(out, log_prior[row * n : (row + 1) * n], 1.0)
        else:
            for j in range(n):
                out[j] += log_prior[0]


@kernel
def moments_of(features, p, z):
    """z = Aᵀp."""
    n, sums, last = len(features.x), np.empty(3), 0.0
    z[:] = 0.0
    for row in range(len(features.constant)):
        sum_rows(p[row * n : (row + 1) * n], features.x, features.x2, sums)
        add(z, features.constant[row], sums[0])
        add(z, features.slope[row], sums[1])
        last += sums[2]
    add(z, features.square, last)


@kernel
def group_moments(features, p, group, sums):
    """sums[k] = Σ p A over group k."""
    n, r = len(features.x), len(features.square)
    square = features.square
    sums[:] = 0.0
    for row in range(len(features.constant)):
        constant, slope = features.constant[row], features.slope[row]
        x, j = row * n, 0
        while j < n:
            k, one, by_x, by_x2 = group[x + j], 0.0, 0.0, 0.0
            while j < n and group[x + j] == k:  # neighbours mostly are of one group
                one += p[x + j]
                by_x += p[x + j] * features.x[j]
                by_x2 += p[x + j] * features.x2[j]
                j += 1
            total = sums[k]
            for f in range(r):
                total[f] += one * constant[f] + by_x * slope[f] + by_x2 * square[f]


@kernel
def group_covariance(features, p, group, mass, sums, out):
    """out (r, r) = Σ p A Aᵀ − Σ over groups of (Σ p A)(Σ p A)ᵀ / mass: the covariance within the groups."""
    n, r, n_rows = len(features.x), len(features.square), len(features.constant)
    a, b, c = features.constant, features.slope, features.square
    products, last = np.empty(6), 0.0
    by_a, by_b, by_c = np.empty((n_rows, r)), np.empty((n_rows, r)), np.zeros(r)
    for row in range(n_rows):
        sum_rows(p[row * n : (row + 1) * n], features.x, features.x2, products)
        one, x, x2, xx, xx2, x2x2 = products
        for f in range(r):
            by_a[row, f] = one * a[row, f] + x * b[row, f]
            by_b[row, f] = x * a[row, f] + xx * b[row, f]
            by_c[f] += x2 * a[row, f] + xx2 * b[row, f]
        last += x2x2
    by_row, along = np.dot(a.T, by_a), np.dot(b.T, by_b)
    group_moments(features, p, group, sums)
    scaled = np.empty_like(sums)
    for k in range(len(mass)):
        for f in range(r):
            scaled[k, f] = sums[k, f] / mass[k]
    between = np.dot(scaled.T, sums)
    for f in range(r):
        for g in range(r):
            square = by_c[f] * c[g] + c[f] * by_c[g] + last * c[f] * c[g]
            out[f, g] = by_row[f, g] + along[f, g] - between[f, g] + square


@kernel
def solve_groups(features, costs, group, mass, known, z, p, shift):
    """Minimise the tangent problem with given masses of groups: p, log-shifts of the groups, and z = Aᵀp, from a guess.

    ``known``: p is that of the guess already. By damped Newton steps in z: with the covariance C of A within the groups
    and the Hessian H of FD², (1 + weight / tau C H) step = Aᵀp − z. Returns whether that leads anywhere.
    """
    base, fixed, weight, log_prior, tau, k = costs
    r = len(z)
    roots, vectors, mean, w = np.empty(k), np.empty((k, k)), np.empty(k), np.empty(r)
    exponents, error = np.empty(len(p)), np.empty(r)
    root, covariance, sums = np.empty((r, r)), np.empty((r, r)), np.empty((len(mass), r))
    for made in range(MOST_STEPS):
        spectrum(z, roots, vectors, mean)
        slope(roots, vectors, mean, w)
        for f in range(r):
            w[f] = weight * w[f] + fixed[f]
        if made > 0 or not known:
            fill_exponents(features, w, base, log_prior, tau, exponents)
            fill_groups(exponents, group, mass, p, shift)
        if r == 0 or made == MOST_STEPS - 1:
            break
        moments_of(features, p, error)
        largest, size = 0.0, 0.0
        for f in range(r):
            error[f] -= z[f]
            largest, size = max(largest, abs(error[f])), max(size, abs(z[f]))
        if largest <= SETTLED * size:
            break
        moment_curvature(roots, vectors, mean, root)
        group_covariance(features, p, group, mass, sums, covariance)
        # not as 1 + Tᵀ C T with H = T Tᵀ: near a singular Σ the step would be the difference of two large numbers
        matrix, finite = np.dot(covariance, np.dot(root, root.T)), True
        for f in range(r):
            for g in range(r):
                matrix[f, g] = matrix[f, g] * (weight / tau) + (1.0 if f == g else 0.0)
                finite &= np.isfinite(matrix[f, g])
        if not finite:
            return False
        step = np.linalg.solve(matrix, error)
        share = 1.0
        while not inside(z + share * step, k) and share > LEAST_SHARE:
            share /= 2.0
        if share > LEAST_SHARE:
            z += share * step
        elif inside(z + error, k):  # the moments of p
            z += error
        else:
            return False
    return True
