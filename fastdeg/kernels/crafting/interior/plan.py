"""Passes of the interior-point method over the arcs of a plan.

Arcs are listed by bin: those of bin i are first[i] ≤ e < first[i + 1], arc e goes to sink[e]. x and s are the plan and
the slacks, `inverse` holds 1 / s.
"""

from typing import NamedTuple

import numpy as np
from numba import prange

from fastdeg.kernels._jit import REASSOCIATE, kernel, parallel_kernel

FINITE = REASSOCIATE | {"nnan"}  # what is not a number is found in the sums that follow
NEGLIGIBLE = 1e-14  # mass of a sink that a start need not meet
COLUMNS = 512  # bins that a block of the pricing takes at a time
SMALLEST = 1e-290


class Graph(NamedTuple):
    """Arcs by bin, their weights ω, and the masses of the sinks."""

    first: np.ndarray
    sink: np.ndarray
    weights: np.ndarray
    masses: np.ndarray


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
def to_sinks(first, sink, ratio, values, out):
    """out (K, r) += W values for the matrix W (K, N) of the arcs' ratios and values (N, r)."""
    for i in range(len(first) - 1):
        source = values[i]
        for e in range(first[i], first[i + 1]):
            target = out[sink[e]]
            weight = ratio[e]
            for k in range(len(source)):
                target[k] += weight * source[k]


@kernel(fastmath=REASSOCIATE)
def to_bins(first, sink, ratio, values, out):
    """out (N,) = Wᵀ values for values (K,)."""
    for i in range(len(first) - 1):
        own, to = ratio[first[i] : first[i + 1]], sink[first[i] : first[i + 1]]
        total = 0.0
        for e in range(len(own)):
            total += own[e] * values[to[e]]
        out[i] = total


@kernel
def laplacian(first, sink, ratio, scale, matrix):
    """matrix[j, k] += Σ over bins of scale · w_j w_k for j > k: a bin joins its sinks (which rise within a bin)."""
    for i in range(len(first) - 1):
        own, to = ratio[first[i] : first[i + 1]], sink[first[i] : first[i + 1]]
        n = len(own)
        if n > 0 and to[n - 1] - to[0] == n - 1:  # sinks in a row
            for a in range(n):
                row = matrix[to[a], to[0] :]
                value = scale[i] * own[a]
                for b in range(a):
                    row[b] += value * own[b]
        else:
            for a in range(n):
                row = matrix[to[a]]
                value = scale[i] * own[a]
                for b in range(a):
                    row[to[b]] += value * own[b]


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


@kernel(fastmath=FINITE)
def predictor_length(first, sink, x, inverse, dphi, dpsi):
    """For dx = −x + x / s (dφ + dψ), ds = −(dφ + dψ): the largest of −dx / x and −ds / s, and Σ dx ds."""
    least = 0.0
    most = 0.0
    products = 0.0
    for i in range(len(first) - 1):
        begin, end = first[i], first[i + 1]
        to, plan, reciprocal = sink[begin:end], x[begin:end], inverse[begin:end]
        for e in range(len(to)):
            shift = dphi[i] + dpsi[to[e]]
            relative = shift * reciprocal[e]  # −ds / s, and 1 − (−dx / x)
            least = min(least, relative)
            most = max(most, relative)
            products += plan[e] * (1.0 - relative) * shift
    return max(most, 1.0 - least), products


@kernel(fastmath=REASSOCIATE)
def corrector_target(graph, x, inverse, target, change, moved, sources, sinks):
    """moved = (target ω − dx ds) / s − x for the predictor's dx and ds, with its sums over sinks and over sources."""
    first, sink, weights = graph.first, graph.sink, graph.weights
    dphi, dpsi = change
    sinks[:] = 0.0
    for i in range(len(first) - 1):
        begin, end = first[i], first[i + 1]
        to, plan, reciprocal = sink[begin:end], x[begin:end], inverse[begin:end]
        weight, out = weights[begin:end], moved[begin:end]
        for e in range(len(to)):
            shift = dphi[i] + dpsi[to[e]]
            product = plan[e] * (1.0 - shift * reciprocal[e]) * shift
            out[e] = (target * weight[e] - product) * reciprocal[e] - plan[e]
        own = 0.0
        for e in range(len(to)):
            own += out[e]
            sinks[to[e]] += out[e]
        sources[i] = own


@kernel(fastmath=FINITE)
def corrector_length(first, sink, x, inverse, ratio, dphi, dpsi, moved):
    """moved becomes dx = moved + ratio (dφ + dψ); returns the largest of −dx / x and −ds / s."""
    worst = 0.0
    for i in range(len(first) - 1):
        begin, end = first[i], first[i + 1]
        to, plan, reciprocal = sink[begin:end], x[begin:end], inverse[begin:end]
        ratios, out = ratio[begin:end], moved[begin:end]
        for e in range(len(to)):
            shift = dphi[i] + dpsi[to[e]]
            dx = out[e] + ratios[e] * shift
            out[e] = dx
            worst = max(worst, -dx / plan[e])
            worst = max(worst, shift * reciprocal[e])
    return worst


@kernel(fastmath=REASSOCIATE)
def update(first, sink, x, s, dx, change, length):
    """x += length dx, s −= length (dφ + dψ), both kept positive; returns Σ x s."""
    dphi, dpsi = change
    total = 0.0
    for i in range(len(first) - 1):
        begin, end = first[i], first[i + 1]
        to, plan, slack, moved = sink[begin:end], x[begin:end], s[begin:end], dx[begin:end]
        for e in range(len(to)):
            plan[e] = max(plan[e] + length * moved[e], SMALLEST)
            slack[e] = max(slack[e] - length * (dphi[i] + dpsi[to[e]]), SMALLEST)
            total += plan[e] * slack[e]
    return total


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
        if worst < 1e-3:
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
