"""Orthonormal cosine transform (DCT-II) along one axis of a grid, as products with the transform's matrix.

For axes of up to some hundred cells the products beat a fast transform: they run at the rate of the multipliers.
"""

import numpy as np
from numba import prange

from fastdeg.kernels._jit import parallel_kernel

ROWS_PER_BLOCK = 256
PANEL = 512
FEW_BLOCKS = 8


@parallel_kernel
def transform_axis(x, matrix, transposed, out):
    """out[o, :, i] = matrix x[o, :, i] for arrays (outer, n, inner); ``transposed`` is the matrix' transpose."""
    outer, n, inner = x.shape
    if inner == 1:
        rows, results = x.reshape(outer, n), out.reshape(outer, n)
        for block in prange((outer + ROWS_PER_BLOCK - 1) // ROWS_PER_BLOCK):
            first = block * ROWS_PER_BLOCK
            last = min(outer, first + ROWS_PER_BLOCK)
            np.dot(rows[first:last], transposed, results[first:last])
    elif outer >= FEW_BLOCKS or inner <= PANEL:
        for o in prange(outer):
            np.dot(matrix, x[o], out[o])
    else:
        n_panels = (inner + PANEL - 1) // PANEL
        for task in prange(outer * n_panels):
            o = task // n_panels
            first = (task % n_panels) * PANEL
            last = min(inner, first + PANEL)
            out[o, :, first:last] = np.dot(matrix, x[o, :, first:last].copy())


@parallel_kernel
def scale_by_spectrum(image, shape, weights, constant):
    """image /= −(Σ_k weights[k, c_k] + constant): a Laplacian's inverse, with the eigenvalues of each axis given."""
    n_axes, n = len(shape), shape[-1]
    n_rows = len(image) // n
    n_blocks = (n_rows + ROWS_PER_BLOCK - 1) // ROWS_PER_BLOCK
    for block in prange(n_blocks):
        for row in range(block * ROWS_PER_BLOCK, min(n_rows, (block + 1) * ROWS_PER_BLOCK)):
            rest = row
            sum_ = constant
            for k in range(n_axes - 2, -1, -1):
                sum_ += weights[k, rest % shape[k]]
                rest //= shape[k]
            for j in range(n):
                i = row * n + j
                image[i] = -image[i] / (sum_ + weights[n_axes - 1, j])
