"""Cholesky's factor of small matrices, in the lower half of a C-ordered array, as LAPACK leaves it too."""

import numpy as np

from fastdeg.kernels._jit import kernel
from fastdeg.kernels.linalg.elementary import dot


@kernel
def factor_lower(matrix):
    """Overwrite the lower half by L with L Lᵀ = matrix; returns whether the matrix is positive definite."""
    for i in range(len(matrix)):
        row = matrix[i]
        for j in range(i):
            row[j] = (row[j] - dot(row, matrix[j], j)) / matrix[j, j]
        left = row[i] - dot(row, row, i)
        if not left > 0.0:
            return False
        row[i] = np.sqrt(left)
    return True


@kernel
def solve_lower(lower, right):
    """Overwrite right by the solution x of L Lᵀ x = right."""
    n = len(lower)
    for i in range(n):
        right[i] = (right[i] - dot(lower[i], right, i)) / lower[i, i]
    for i in range(n - 1, -1, -1):
        row = lower[i]
        value = right[i] / row[i]
        right[i] = value
        for k in range(i):
            right[k] -= value * row[k]
