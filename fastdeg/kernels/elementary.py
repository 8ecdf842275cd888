"""Elementary functions that the compiler can turn into vector instructions, unlike those of the C library."""

import numpy as np

from fastdeg.kernels._jit import kernel

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
