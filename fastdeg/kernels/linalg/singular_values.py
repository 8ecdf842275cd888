"""Sum of the singular values of a bidiagonal matrix by differential quotient-difference steps with shifts (dqds).

With q = diagonal² and e = upper², one step computes the q and e of a bidiagonal matrix whose squared singular values
are smaller by the shift (Fernando, Parlett 1994):

    d = q_0 − s;   q̂_k = d + e_k;   ê_k = e_k q_{k+1} / q̂_k;   d = d q_{k+1} / q̂_k − s

There is one division in a step of the chain and no root, and small singular values keep their digits. The shift is the
smaller eigenvalue of the last 2 × 2 block less a bound on what its neighbour does to it. Where that is too much, d is
negative; if only at the end, s + d is a lower bound that is nearly exact (Rutishauser 1960), else there is no shift.
"""

from __future__ import annotations

import numpy as np

from fastdeg.kernels._jit import kernel

EPSILON = 2.0**-52
MOST_STEPS = 30  # for one singular value, on average


@kernel
def _dqds_step(q, e, last, shift, new_q, new_e):
    """One step on q[: last + 1]; return (where d turned negative or −1, the last d, the smallest d)."""
    d = q[0] - shift
    smallest = d
    for k in range(last):
        if d < 0.0:
            return k, d, smallest
        total = d + e[k]
        if total > 0.0:
            ratio = q[k + 1] / total
            new_e[k] = e[k] * ratio
            d = d * ratio - shift
        else:
            new_e[k] = 0.0
            d = q[k + 1] - shift
        new_q[k] = total
        smallest = d if d < smallest else smallest
    new_q[last] = d
    return (last if d < 0.0 else -1), d, smallest


@kernel
def bidiagonal_nuclear_norm(diagonal, upper, work):
    """Sum of singular values; upper[k] is right of diagonal[k − 1], work is (4, n). NaN if dqds did not converge."""
    n = diagonal.shape[0]
    q, e, new_q, new_e = work[0], work[1], work[2], work[3]
    largest = 0.0
    for k in range(n):
        largest = max(largest, abs(diagonal[k]), abs(upper[k]))
    if not largest > 0.0:
        return largest
    scale = 1.0 / largest
    backwards = abs(diagonal[0]) < abs(diagonal[n - 1])  # small values are found fast at the end
    for k in range(n):
        value = diagonal[n - 1 - k if backwards else k] * scale
        q[k] = value * value
        if k + 1 < n:
            value = upper[n - 1 - k if backwards else k + 1] * scale
            e[k] = value * value
    negligible = EPSILON * EPSILON
    last = n - 1
    smallest = np.inf  # d of the step before: an upper bound of the smallest eigenvalue
    moved = 0.0  # sum of the shifts so far
    norm = 0.0
    for _ in range(MOST_STEPS * n):
        while last > 0 and e[last - 1] <= negligible:
            norm += np.sqrt(q[last] + moved)
            last -= 1
            smallest = np.inf
        if last == 0:
            return (norm + np.sqrt(q[0] + moved)) * largest
        above = e[last - 2] if last > 1 else 0.0
        determinant = q[last - 1] * q[last] + above * (q[last] + e[last - 1])
        trace = q[last - 1] + above + q[last] + e[last - 1]
        eigenvalue = 2.0 * determinant / (trace + np.sqrt(max(trace * trace - 4.0 * determinant, 0.0)))
        if above <= negligible:  # both of the last two
            norm += np.sqrt(eigenvalue + moved) + np.sqrt(trace - eigenvalue + moved)
            last -= 2
            if last < 0:
                return norm * largest
            continue
        # ‖T v − λ v‖ for the block's vector v, of length one, in the whole tridiagonal matrix T; squared over the gap
        gap = q[last - 1] + above - eigenvalue
        coupling = q[last - 1] * e[last - 1]
        residual = q[last - 2] * above * coupling / (coupling + gap * gap)
        shift = min(eigenvalue - min(np.sqrt(residual), 4.0 * residual / gap), smallest)
        if not shift > 0.0:
            shift = 0.25 * min(eigenvalue, smallest) if smallest < np.inf else 0.0
        where, d, smallest = _dqds_step(q, e, last, shift, new_q, new_e)
        if where >= 0:
            shift = max(shift + d, 0.0) * (1.0 - 4.0 * EPSILON) if where == last else 0.0
            where, d, smallest = _dqds_step(q, e, last, shift, new_q, new_e)
            if where >= 0:
                shift = 0.0
                _, _, smallest = _dqds_step(q, e, last, shift, new_q, new_e)
        moved += shift
        q, e, new_q, new_e = new_q, new_e, q, e
    return np.nan
