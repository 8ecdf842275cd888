"""Assignment of samples to bins: the cells of a grid."""

from numba import prange

from fastdeg.kernels._jit import kernel, parallel_kernel

BLOCK = 4096  # samples that one loop iteration of a parallel kernel handles


@kernel
def cell_index(boundaries, first, last, value, low_side):
    """Cell of one axis that holds the value, -1 outside: cells are [b_k, b_k+1), the last one closed.

    With ``low_side`` cells are (b_k, b_k+1], the first one closed: ties between levels go to the lower one.
    """
    if not (boundaries[first] <= value <= boundaries[last]):
        return -1
    low = first
    high = last
    while high - low > 1:
        middle = (low + high) // 2
        if value < boundaries[middle] or (low_side and value == boundaries[middle]):
            high = middle
        else:
            low = middle
    return low - first


@parallel_kernel
def assign_grid(samples, boundaries, starts, discrete, out):
    """Flat C-order cell of each sample, -1 outside; boundaries of axis k at starts[k]:starts[k + 1]."""
    n, d = samples.shape
    for block in prange((n + BLOCK - 1) // BLOCK):
        for i in range(block * BLOCK, min(n, (block + 1) * BLOCK)):
            flat = 0
            for k in range(d):
                cell = cell_index(boundaries, starts[k], starts[k + 1] - 1, samples[i, k], discrete[k])
                if cell < 0:
                    flat = -1
                    break
                flat = flat * (starts[k + 1] - starts[k] - 1) + cell
            out[i] = flat
