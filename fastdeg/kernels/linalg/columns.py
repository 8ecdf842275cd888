"""Copy of a block of samples as columns: what follows reads contiguous memory, and so is vectorised."""

from __future__ import annotations

from fastdeg.kernels._jit import kernel


@kernel
def copy_columns(samples, begin, end, columns):
    """Write columns[k, i] = samples[begin + i, k]."""
    n_axes = samples.shape[1]
    block = samples[begin:end]
    if n_axes == 3:  # one pass: the compiler turns it into loads and shuffles
        c0, c1, c2 = columns[0], columns[1], columns[2]
        for i in range(end - begin):
            c0[i] = block[i, 0]
            c1[i] = block[i, 1]
            c2[i] = block[i, 2]
    else:
        for i in range(end - begin):
            for k in range(n_axes):
                columns[k, i] = block[i, k]
