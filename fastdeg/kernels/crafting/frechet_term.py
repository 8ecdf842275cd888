"""The Fréchet distance of a mixture to a Gaussian, −2 tr H^½ of it, where H = Fᵀ Σ F has few axes.

The moments z are the mean in the basis F (k) and the upper half of the second moments by rows; the spectrum behind them
are the roots of the eigenvalues of H, its eigenvectors, and the mean in their basis.
"""

import numpy as np

from fastdeg.kernels._jit import REASSOCIATE, kernel
from fastdeg.kernels.linalg.cholesky import factor_lower

PRECISION = 2.0**-52
SMALLEST = 1e-270
MOST_SWEEPS = 40


@kernel
def symmetric_eigen(a, values, vectors):
    """Rising eigenvalues and eigenvectors (columns) of a symmetric matrix, overwritten: cyclic Jacobi rotations."""
    k = len(a)
    for i in range(k):
        for j in range(k):
            vectors[i, j] = 1.0 if i == j else 0.0
    for _ in range(MOST_SWEEPS):
        off = 0.0
        on = 0.0
        for i in range(k):
            on += abs(a[i, i])
            for j in range(i):
                off += abs(a[i, j])
        if off <= 0.1 * PRECISION * on:
            break
        for i in range(k):
            for j in range(i + 1, k):
                if a[i, j] == 0.0:
                    continue
                ratio = (a[j, j] - a[i, i]) / (2.0 * a[i, j])
                t = np.copysign(1.0, ratio) / (abs(ratio) + np.hypot(1.0, ratio))
                c = 1.0 / np.sqrt(1.0 + t * t)
                s = t * c
                for m in range(k):
                    left, right = a[m, i], a[m, j]
                    a[m, i] = c * left - s * right
                    a[m, j] = s * left + c * right
                for m in range(k):
                    left, right = a[i, m], a[j, m]
                    a[i, m] = c * left - s * right
                    a[j, m] = s * left + c * right
                for m in range(k):
                    left, right = vectors[m, i], vectors[m, j]
                    vectors[m, i] = c * left - s * right
                    vectors[m, j] = s * left + c * right
    for i in range(k):
        values[i] = a[i, i]
        for j in range(i, 0, -1):
            if values[j] >= values[j - 1]:
                break
            values[j], values[j - 1] = values[j - 1], values[j]
            for m in range(k):
                vectors[m, j], vectors[m, j - 1] = vectors[m, j - 1], vectors[m, j]


@kernel
def covariance(z, k):
    """The k × k matrix Fᵀ Σ F at the moments z."""
    matrix, place = np.empty((k, k)), k
    for i in range(k):
        for j in range(i, k):
            matrix[i, j] = z[place] - z[i] * z[j]
            matrix[j, i] = matrix[i, j]
            place += 1
    return matrix


@kernel
def inside(z, k):
    """Whether Fᵀ Σ F is positive definite at the moments z."""
    return factor_lower(covariance(z, k))


@kernel
def spectrum(z, roots, vectors, mean):
    """Square roots and eigenvectors of Fᵀ Σ F at the moments z, and the mean in the basis of the eigenvectors."""
    k = len(roots)
    matrix = covariance(z, k)
    symmetric_eigen(matrix, roots, vectors)
    largest = 0.0
    for i in range(k):
        largest = max(largest, roots[i])
    floor = 1e-30 * max(largest, SMALLEST)
    for i in range(k):
        roots[i] = np.sqrt(max(roots[i], floor))
        mean[i] = 0.0
        for j in range(k):
            mean[i] += vectors[j, i] * z[j]


@kernel
def slope(roots, vectors, mean, out):
    """Gradient of −2 tr H^½ in the moments."""
    k = len(roots)
    place = k
    for i in range(k):
        out[i] = 0.0
        for m in range(k):
            out[i] += 2.0 * vectors[i, m] * mean[m] / roots[m]
        for j in range(i, k):
            total = 0.0
            for m in range(k):
                total -= vectors[i, m] * vectors[j, m] / roots[m]
            out[place] = total if i == j else 2.0 * total
            place += 1


@kernel
def moment_curvature(roots, vectors, mean, out):
    """T (r, r) such that the Hessian of −2 tr H^½ in the moments is T Tᵀ."""
    k = len(roots)
    out[:] = 0.0
    for c in range(k):
        for a in range(k):
            out[a, c] = vectors[a, c] * np.sqrt(2.0 / roots[c])
    column = k
    for c in range(k):
        for d in range(c, k):
            scale = np.sqrt((1.0 if c == d else 2.0) / ((roots[c] + roots[d]) * roots[c] * roots[d]))
            place = k
            for a in range(k):
                out[a, column] = -(vectors[a, c] * mean[d] + vectors[a, d] * mean[c]) * scale
                for b in range(a, k):
                    value = vectors[a, c] * vectors[b, d]
                    if a != b:
                        value += vectors[b, c] * vectors[a, d]
                    out[place, column] = value * scale
                    place += 1
            column += 1


@kernel(fastmath=REASSOCIATE)
def moments(features, p, z):
    """z = Aᵀ p."""
    z[:] = 0.0
    for i in range(len(p)):
        weight = p[i]
        row = features[i]
        for k in range(len(z)):
            z[k] += weight * row[k]


@kernel(fastmath=REASSOCIATE)
def combine(features, weights, base, scale, out):
    """out = scale (base + A weights)."""
    for i in range(len(out)):
        row = features[i]
        total = base[i]
        for k in range(len(weights)):
            total += weights[k] * row[k]
        out[i] = scale * total
