"""Elementary functions that the compiler can turn into vector instructions, unlike those of the C library.

Also sums and assignments of arrays, entry by entry: NumPy's, between arrays whose lengths may differ, bring along the
writing of their error messages, a second or two of compilation each.
"""

import numpy as np

from fastdeg.kernels._jit import REASSOCIATE, kernel

_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_SQRT2 = 1.4142135623730951
_FRACTION, _ONE = 0x000FFFFFFFFFFFFF, 0x3FF0000000000000


@kernel(inline="always")
def positive_log(x):
    """log x for normal positive x, to 1 unit in the last place: x = 2ᵏ f, log f = 2 artanh((f − 1) / (f + 1))."""
    bits = np.float64(x).view(np.int64)
    f = np.int64((bits & _FRACTION) | _ONE).view(np.float64)
    high = f > _SQRT2
    f = f * 0.5 if high else f
    k = float((bits >> 52) - 1023) + (1.0 if high else 0.0)
    s = (f - 1.0) / (f + 1.0)
    z = s * s
    p = 2.0 / 19
    p = p * z + 2.0 / 17
    p = p * z + 2.0 / 15
    p = p * z + 2.0 / 13
    p = p * z + 2.0 / 11
    p = p * z + 2.0 / 9
    p = p * z + 2.0 / 7
    p = p * z + 2.0 / 5
    p = p * z + 2.0 / 3
    return k * _LN2_HIGH + (k * _LN2_LOW + (s * z * p + 2.0 * s))


@kernel(inline="always")
def bounded_exp(x):
    """exp x for −700 ≤ x ≤ 700, to 1 unit in the last place: 2ᵏ exp r with |r| ≤ log 2 / 2."""
    k = np.floor(x * 1.4426950408889634 + 0.5)
    r = (x - k * _LN2_HIGH) - k * _LN2_LOW
    p = 1.0 / 6227020800
    p = p * r + 1.0 / 479001600
    p = p * r + 1.0 / 39916800
    p = p * r + 1.0 / 3628800
    p = p * r + 1.0 / 362880
    p = p * r + 1.0 / 40320
    p = p * r + 1.0 / 5040
    p = p * r + 1.0 / 720
    p = p * r + 1.0 / 120
    p = p * r + 1.0 / 24
    p = p * r + 1.0 / 6
    p = p * r + 0.5
    p = p * r + 1.0
    p = p * r + 1.0
    return p * np.int64((np.int64(k) + 1023) << 52).view(np.float64)


@kernel
def assign(values, others):
    """values = others."""
    for j in range(len(values)):
        values[j] = others[j]


@kernel
def add(values, others, times):
    """values += times · others."""
    for j in range(len(values)):
        values[j] += times * others[j]


@kernel(fastmath=REASSOCIATE)
def dot(a, b, count):
    """Σ a b over the first ``count`` entries."""
    total = 0.0
    for i in range(count):
        total += a[i] * b[i]
    return total


@kernel
def copy_transposed(samples, begin, end, columns):
    """Write columns[k, i] = samples[begin + i, k]: what follows reads contiguous memory, and so is vectorised."""
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
