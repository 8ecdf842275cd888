"""Passes of the interior-point method over the arcs of a plan: arrays (K, N), a row for each sink."""

import numpy as np

from fastdeg.kernels._jit import kernel


@kernel
def ratios(x, s, out, sources, sinks):
    """out = x / s with its sums over sinks and over sources; returns Σ x s."""
    total = 0.0
    sources[:] = 0.0
    for j in range(x.shape[0]):
        own = 0.0
        for i in range(x.shape[1]):
            ratio = x[j, i] / s[j, i]
            out[j, i] = ratio
            sources[i] += ratio
            own += ratio
            total += x[j, i] * s[j, i]
        sinks[j] = own
    return total


@kernel
def predictor_length(x, s, ratio, dphi, dpsi):
    """For dx = −x + ratio (dφ + dψ), ds = −(dφ + dψ): the largest of −dx / x and −ds / s, and Σ dx ds."""
    worst = 0.0
    products = 0.0
    for j in range(x.shape[0]):
        for i in range(x.shape[1]):
            shift = dphi[i] + dpsi[j]
            relative = shift / s[j, i]  # −ds / s, and 1 − (−dx / x)
            worst = max(worst, relative, 1.0 - relative)
            products += (x[j, i] - ratio[j, i] * shift) * shift
    return worst, products


@kernel
def corrector_target(x, s, ratio, weights, target, dphi, dpsi, moved, sources, sinks):
    """moved = (target ω − dx ds) / s − x for the predictor's dx and ds, with its sums over sinks and over sources."""
    sources[:] = 0.0
    for j in range(x.shape[0]):
        own = 0.0
        for i in range(x.shape[1]):
            shift = dphi[i] + dpsi[j]
            second_order = (x[j, i] - ratio[j, i] * shift) * shift
            value = (target * weights[j, i] - second_order) / s[j, i] - x[j, i]
            moved[j, i] = value
            sources[i] += value
            own += value
        sinks[j] = own


@kernel
def corrector_length(x, s, ratio, dphi, dpsi, moved):
    """moved becomes dx = moved + ratio (dφ + dψ); returns the largest of −dx / x and −ds / s."""
    worst = 0.0
    for j in range(x.shape[0]):
        for i in range(x.shape[1]):
            shift = dphi[i] + dpsi[j]
            dx = moved[j, i] + ratio[j, i] * shift
            moved[j, i] = dx
            worst = max(worst, -dx / x[j, i], shift / s[j, i])
    return worst


@kernel
def update(x, s, dx, dphi, dpsi, length, smallest):
    """x += length dx, s −= length (dφ + dψ), both kept positive."""
    for j in range(x.shape[0]):
        for i in range(x.shape[1]):
            x[j, i] = max(x[j, i] + length * dx[j, i], smallest)
            s[j, i] = max(s[j, i] - length * (dphi[i] + dpsi[j]), smallest)


@kernel
def column_feasible(x, costs, masses, p):
    """Scale each sink's row of x to its mass: p becomes the sums over sinks; returns the cost of that plan."""
    total = 0.0
    p[:] = 0.0
    for j in range(x.shape[0]):
        own = 0.0
        for i in range(x.shape[1]):
            own += x[j, i]
        scale = masses[j] / own
        for i in range(x.shape[1]):
            value = scale * x[j, i]
            p[i] += value
            total += value * costs[j, i]
    return total


@kernel
def c_transform(costs, psi, out):
    """out[i] = min over j of costs[j, i] − psi[j]."""
    out[:] = np.inf
    for j in range(costs.shape[0]):
        for i in range(costs.shape[1]):
            out[i] = min(out[i], costs[j, i] - psi[j])
