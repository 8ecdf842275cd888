"""The pmf that keeps the mass of each group of cells, its moments, and an order of the edges for a first tree."""

import numpy as np

from fastdeg.kernels._jit import kernel
from fastdeg.kernels.elementary import bounded_exp


@kernel
def fill_groups(exponents, group, mass, p, shift):
    """p = mass of the group · exp(exponents) / their sum over the group; shift = the logarithm of sum over mass."""
    n_groups = len(mass)
    peak = np.full(n_groups, -np.inf)
    total = np.zeros(n_groups)
    for x in range(len(group)):
        peak[group[x]] = max(peak[group[x]], exponents[x])
    for x in range(len(group)):
        p[x] = max(exponents[x] - peak[group[x]], -700.0)
    for x in range(len(group)):  # alone: in vector instructions
        p[x] = bounded_exp(p[x])
    for x in range(len(group)):
        total[group[x]] += p[x]
    for k in range(n_groups):
        total[k] = mass[k] / total[k]
        shift[k] = peak[k] - np.log(total[k])
    for x in range(len(group)):
        p[x] *= total[group[x]]


@kernel
def group_moments(p, group, x, x2, constant, slope, square, sums):
    """sums[k] = Σ p A over group k, for features A that are quadratic along rows."""
    n = len(x)
    sums[:] = 0.0
    for row in range(len(constant)):
        for j in range(n):
            k = group[row * n + j]
            weight = p[row * n + j]
            if k >= 0:
                for f in range(len(square)):
                    sums[k, f] += weight * (constant[row, f] + slope[row, f] * x[j] + square[f] * x2[j])


@kernel
def edge_order(shape, steps, inverse_rates, flows, potential, preference):
    """Preference of a grid's edges, sorted by cell and axis, for a first tree: large flows, then small slacks."""
    n_axes = len(shape)
    strides = np.ones(n_axes, np.int64)
    for k in range(n_axes - 2, -1, -1):
        strides[k] = strides[k + 1] * shape[k + 1]
    e = 0
    for i in range(flows.shape[1]):
        for k in range(n_axes):
            c = i // strides[k] % shape[k]
            if c < shape[k] - 1:
                excess = abs(flows[k, i]) / (steps[k, c] * inverse_rates[k]) - 1.0
                slack = steps[k, c] - abs(potential[i] - potential[i + strides[k]])
                preference[e] = -excess if excess > 0 else slack
                e += 1
