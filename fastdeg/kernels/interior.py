"""Passes of the interior-point method over the arcs of a plan.

Arcs are listed by bin: those of bin i are first[i] ≤ e < first[i + 1], arc e goes to sink[e]. x and s are the plan and
the slacks.
"""

import numpy as np
from numba import prange

from fastdeg.kernels._jit import kernel, parallel_kernel

NEGLIGIBLE = 1e-14  # mass of a sink that a start need not meet
COLUMNS = 512  # bins that a block of the pricing takes at a time


@kernel
def sums(first, sink, values, sources, sinks):
    """Sums of the arcs' values over sinks and over sources."""
    sinks[:] = 0.0
    for i in range(len(first) - 1):
        own = 0.0
        for e in range(first[i], first[i + 1]):
            own += values[e]
            sinks[sink[e]] += values[e]
        sources[i] = own


@kernel
def ratios(first, sink, x, s, out, sources, sinks):
    """out = x / s with its sums over sinks and over sources; returns Σ x s."""
    total = 0.0
    for e in range(len(x)):
        out[e] = x[e] / s[e]
        total += x[e] * s[e]
    sums(first, sink, out, sources, sinks)
    return total


@kernel
def to_sinks(first, sink, ratio, scale, values, out):
    """out (K, r) = W diag(scale) values for the matrix W (K, N) of the arcs' ratios and values (N, r)."""
    out[:] = 0.0
    for i in range(len(first) - 1):
        for e in range(first[i], first[i + 1]):
            j = sink[e]
            weight = ratio[e] * scale[i]
            for k in range(values.shape[1]):
                out[j, k] += weight * values[i, k]


@kernel
def to_bins(first, sink, ratio, values, out):
    """out (N,) = Wᵀ values for values (K,)."""
    for i in range(len(first) - 1):
        total = 0.0
        for e in range(first[i], first[i + 1]):
            total += ratio[e] * values[sink[e]]
        out[i] = total


@kernel
def laplacian(first, sink, ratio, scale, matrix):
    """matrix[j, k] −= Σ over bins of scale² w_j w_k for j > k: a bin joins its sinks (which rise within a bin)."""
    for i in range(len(first) - 1):
        square = scale[i] * scale[i]
        for a in range(first[i], first[i + 1]):
            row = matrix[sink[a]]
            value = square * ratio[a]
            for b in range(first[i], a):
                row[sink[b]] -= value * ratio[b]


@kernel
def close_laplacian(own, matrix):
    """Diagonal of the Laplacian whose lower half is `matrix`, with weights `own` to the ground: no cancellation."""
    diagonal = own.copy()
    for j in range(len(own)):
        row = matrix[j]
        total = 0.0
        for k in range(j):
            total -= row[k]
            diagonal[k] -= row[k]
        diagonal[j] += total
    for j in range(len(own)):
        matrix[j, j] = diagonal[j] * (1.0 + 1e-14)


@kernel
def predictor_length(first, sink, x, s, ratio, dphi, dpsi):
    """For dx = −x + ratio (dφ + dψ), ds = −(dφ + dψ): the largest of −dx / x and −ds / s, and Σ dx ds."""
    worst = 0.0
    products = 0.0
    for i in range(len(first) - 1):
        for e in range(first[i], first[i + 1]):
            shift = dphi[i] + dpsi[sink[e]]
            relative = shift / s[e]  # −ds / s, and 1 − (−dx / x)
            worst = max(worst, relative, 1.0 - relative)
            products += (x[e] - ratio[e] * shift) * shift
    return worst, products


@kernel
def corrector_target(first, sink, x, s, ratio, weights, target, dphi, dpsi, moved, sources, sinks):
    """moved = (target ω − dx ds) / s − x for the predictor's dx and ds, with its sums over sinks and over sources."""
    sinks[:] = 0.0
    for i in range(len(first) - 1):
        own = 0.0
        for e in range(first[i], first[i + 1]):
            shift = dphi[i] + dpsi[sink[e]]
            second_order = (x[e] - ratio[e] * shift) * shift
            value = (target * weights[e] - second_order) / s[e] - x[e]
            moved[e] = value
            own += value
            sinks[sink[e]] += value
        sources[i] = own


@kernel
def corrector_length(first, sink, x, s, ratio, dphi, dpsi, moved):
    """moved becomes dx = moved + ratio (dφ + dψ); returns the largest of −dx / x and −ds / s."""
    worst = 0.0
    for i in range(len(first) - 1):
        for e in range(first[i], first[i + 1]):
            shift = dphi[i] + dpsi[sink[e]]
            dx = moved[e] + ratio[e] * shift
            moved[e] = dx
            worst = max(worst, -dx / x[e], shift / s[e])
    return worst


@kernel
def update(first, sink, x, s, dx, dphi, dpsi, length, smallest):
    """x += length dx, s −= length (dφ + dψ), both kept positive."""
    for i in range(len(first) - 1):
        for e in range(first[i], first[i + 1]):
            x[e] = max(x[e] + length * dx[e], smallest)
            s[e] = max(s[e] - length * (dphi[i] + dpsi[sink[e]]), smallest)


@kernel
def feasible_sinks(first, sink, x, costs, masses, p):
    """Scale what each sink receives to its mass: p becomes the sums over sinks; returns the cost of that plan."""
    scale = np.zeros(len(masses))
    for e in range(len(x)):
        scale[sink[e]] += x[e]
    for j in range(len(masses)):
        scale[j] = masses[j] / scale[j]
    total = 0.0
    for i in range(len(first) - 1):
        own = 0.0
        for e in range(first[i], first[i + 1]):
            value = scale[sink[e]] * x[e]
            own += value
            total += value * costs[e]
        p[i] = own
    return total


@kernel
def soft_potentials(first, sink, costs, phi, amounts, masses, psi):
    """ψ such that the plan x = amounts / (costs − φ − ψ) brings each sink its mass: Newton's method on 1 / Σ x."""
    k = len(masses)
    least = np.full(k, np.inf)
    total = np.zeros(k)
    for i in range(len(first) - 1):
        for e in range(first[i], first[i + 1]):
            j = sink[e]
            least[j] = min(least[j], costs[e] - phi[i])
            total[j] += amounts[e]
    for j in range(k):
        psi[j] = least[j] - total[j] / max(masses[j], NEGLIGIBLE)
    received = np.empty(k)
    slope = np.empty(k)
    for _ in range(40):
        received[:] = 0.0
        slope[:] = 0.0
        for i in range(len(first) - 1):
            for e in range(first[i], first[i + 1]):
                j = sink[e]
                s = costs[e] - phi[i] - psi[j]
                x = amounts[e] / s
                received[j] += x
                slope[j] += x / s
        worst = 0.0
        for j in range(k):
            if masses[j] < NEGLIGIBLE:
                continue
            error = (masses[j] - received[j]) / masses[j]
            worst = max(worst, abs(error))
            psi[j] = min(psi[j] + error * received[j] / slope[j], least[j] - 1e-3 * (least[j] - psi[j]))
        if worst < 1e-6:
            break


@kernel
def soft_bins(first, sink, costs, psi, amounts, logs, tau, phi):
    """φ such that the plan x = amounts / (costs − φ − ψ) takes from bin i what its price φ asks for.

    That is exp(logs[i] − φ[i] / tau), at most 1. Newton's method on the difference of the logarithms, a convex and
    rising function.
    """
    for i in range(len(first) - 1):
        least = np.inf
        room = 0.0
        for e in range(first[i], first[i + 1]):
            least = min(least, costs[e] - psi[sink[e]])
            room = max(room, amounts[e])
        price = min(phi[i], least - room)  # so that no arc carries more than 1
        for _ in range(50):
            total = 0.0
            slope = 0.0
            for e in range(first[i], first[i + 1]):
                s = costs[e] - psi[sink[e]] - price
                x = amounts[e] / s
                total += x
                slope += x / s
            asked = logs[i] - price / tau
            error = np.log(total) - min(asked, 0.0)
            rise = slope / total + (1.0 / tau if asked < 0.0 else 0.0)
            price = min(price - error / rise, least - 0.1 * (least - price))
            if abs(error) < 1e-3:
                break
        phi[i] = price


@parallel_kernel
def c_transform(costs, psi, out):
    """out[i] = min over j of costs[j, i] − psi[j]."""
    n_bins = costs.shape[1]
    for block in prange((n_bins + COLUMNS - 1) // COLUMNS):
        start = block * COLUMNS
        end = min(n_bins, start + COLUMNS)
        out[start:end] = np.inf
        for j in range(costs.shape[0]):
            row = costs[j]
            for i in range(start, end):
                out[i] = min(out[i], row[i] - psi[j])


@parallel_kernel
def row_transform(costs, phi, out, arg):
    """out[j] = min over i of costs[j, i] − phi[i], at arg[j]."""
    for j in prange(costs.shape[0]):
        row = costs[j]
        least = np.inf
        at = 0
        for i in range(costs.shape[1]):
            value = row[i] - phi[i]
            if value < least:
                least = value
                at = i
        out[j] = least
        arg[j] = at


@parallel_kernel
def smallest_slacks(costs, psi, phi, limit, sinks, values):
    """The arcs of each bin of least slack below the limit, at most sinks.shape[1] of them; −1 where there are fewer."""
    n_bins, most = sinks.shape
    for block in prange((n_bins + COLUMNS - 1) // COLUMNS):
        start = block * COLUMNS
        end = min(n_bins, start + COLUMNS)
        sinks[start:end] = -1
        values[start:end] = limit
        for j in range(costs.shape[0]):
            row = costs[j]
            for i in range(start, end):
                slack = row[i] - psi[j] - phi[i]
                if slack < values[i, most - 1]:
                    k = most - 1
                    while k > 0 and values[i, k - 1] > slack:
                        values[i, k] = values[i, k - 1]
                        sinks[i, k] = sinks[i, k - 1]
                        k -= 1
                    values[i, k] = slack
                    sinks[i, k] = j
