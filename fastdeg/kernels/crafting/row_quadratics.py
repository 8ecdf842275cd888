"""Functions of a grid's cells that are quadratic along its rows: c₀ + c₁ x + c₂ x² with coefficients for each row.

The features of a grid's moments are such functions, so nothing of size N × features is ever formed. ``x2`` stands for
x²: it may hold the within-cell variance too.
"""

from numba import prange

from fastdeg.kernels._jit import REASSOCIATE, kernel, parallel_kernel

ROWS_PER_BLOCK = 64


@kernel
def sum_rows(values, x, x2, out):
    """out = Σ values (1, x, x², x x, x x², x² x²), as many as it has room for (3 or 6).

    In order: copies of it in several kernels, each optimised by itself, have to give the same bits.
    """
    sum0, sum1, sum2 = 0.0, 0.0, 0.0
    for j in range(len(x)):
        sum0 += values[j]
        sum1 += values[j] * x[j]
        sum2 += values[j] * x2[j]
    out[0], out[1], out[2] = sum0, sum1, sum2
    if len(out) > 3:
        sum3, sum4, sum5 = 0.0, 0.0, 0.0
        for j in range(len(x)):
            sum3 += values[j] * (x[j] * x[j])
            sum4 += values[j] * (x[j] * x2[j])
            sum5 += values[j] * (x2[j] * x2[j])
        out[3], out[4], out[5] = sum3, sum4, sum5


@parallel_kernel(fastmath=REASSOCIATE)
def row_sums(values, x, x2, sums):
    """sums[row] = Σ values (1, x, x²) of each row, and their products too where sums has six columns."""
    n = len(x)
    n_rows = len(values) // n
    for block in prange((n_rows + ROWS_PER_BLOCK - 1) // ROWS_PER_BLOCK):
        for row in range(block * ROWS_PER_BLOCK, min(n_rows, (block + 1) * ROWS_PER_BLOCK)):
            sum_rows(values[row * n : (row + 1) * n], x, x2, sums[row])


@parallel_kernel
def expand_rows(coefficients, x, x2, base, out):
    """out = base + c₀ + c₁ x + c₂ x²; an empty base is none."""
    n = len(x)
    n_rows = len(out) // n
    for block in prange((n_rows + ROWS_PER_BLOCK - 1) // ROWS_PER_BLOCK):
        for row in range(block * ROWS_PER_BLOCK, min(n_rows, (block + 1) * ROWS_PER_BLOCK)):
            start = row * n
            c0, c1, c2 = coefficients[row, 0], coefficients[row, 1], coefficients[row, 2]
            if len(base):
                for j in range(n):
                    out[start + j] = base[start + j] + (c0 + c1 * x[j] + c2 * x2[j])
            else:
                for j in range(n):
                    out[start + j] = c0 + c1 * x[j] + c2 * x2[j]
