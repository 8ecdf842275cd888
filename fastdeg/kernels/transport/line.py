"""Optimal transport on the line: the monotone plan of two sorted samples."""

from __future__ import annotations

from fastdeg.kernels._jit import kernel


@kernel
def emd_sorted(x, y, a, b, p):
    """``W_p^p`` of two sorted samples with masses a and b (equal sums); the cost of the monotone plan."""
    i = 0
    j = 0
    left_a = a[0]
    left_b = b[0]
    total = 0.0
    while True:
        distance = abs(x[i] - y[j])
        cost = distance if p == 1 else distance * distance if p == 2 else distance**p
        if left_a < left_b:
            total += left_a * cost
            left_b -= left_a
            i += 1
            if i == x.shape[0]:
                return total
            left_a = a[i]
        else:
            total += left_b * cost
            left_a -= left_b
            j += 1
            if j == y.shape[0]:
                return total
            left_b = b[j]
