"""The Kullback-Leibler divergence of mixtures with the distribution that they are compared to."""

import numpy as np
from numba import prange

from fastdeg.kernels._jit import REASSOCIATE, kernel, parallel_kernel
from fastdeg.kernels.linalg.elementary import positive_log

_BLOCK = 4096


@kernel(fastmath=REASSOCIATE)
def _block_sums(ratio, prior, weight, start, stop):
    value, slope = 0.0, 0.0
    for i in range(start, stop):
        mixed = (1.0 - weight) * ratio[i] + weight
        log = positive_log(mixed)
        value += prior[i] * mixed * log
        slope += prior[i] * (1.0 - ratio[i]) * (log + 1.0)
    return value, slope


@parallel_kernel
def mixture_divergence(ratio, prior, weight):
    """Σ prior m log m with m = (1 − weight) ratio + weight, and its derivative with respect to the weight."""
    n_blocks = (len(ratio) + _BLOCK - 1) // _BLOCK
    sums = np.empty((n_blocks, 2))
    for block in prange(n_blocks):
        start = block * _BLOCK
        sums[block, 0], sums[block, 1] = _block_sums(ratio, prior, weight, start, min(start + _BLOCK, len(ratio)))
    value, slope = 0.0, 0.0
    for block in range(n_blocks):
        value += sums[block, 0]
        slope += sums[block, 1]
    return value, slope
