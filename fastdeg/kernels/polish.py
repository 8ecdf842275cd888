"""Cells of a grid that flows tie together, and the distribution whose mass each of these groups keeps.

Where a flow runs, complementary slackness fixes the difference of the potentials at its ends: they are known up to a
constant in each group of cells that flows join. Groups are trees of a union-find structure with potentials: cell x is
``offset[x]`` above its ``leader[x]``.
"""

import numpy as np
from numba import prange

from fastdeg.kernels._jit import kernel, parallel_kernel
from fastdeg.kernels.admm import panels
from fastdeg.kernels.elementary import bounded_exp
from fastdeg.kernels.transport.tree import NONE

LOOSE = 1e150  # potential of a cell that is in no group yet


@kernel
def _root(leader, offset, x):
    """Root of x and the potential of x above it; the way there is halved."""
    above = 0.0
    while leader[x] != x:
        up = leader[x]
        offset[x] += offset[up]
        leader[x] = leader[up]
        above += offset[x]
        x = leader[x]
    return x, above


@kernel
def _tie(leader, offset, i, j, difference):
    """Join the groups of i and j so that i is ``difference`` above j; groups that are one stay as they are."""
    root_i, above_i = _root(leader, offset, i)
    root_j, above_j = _root(leader, offset, j)
    if root_i != root_j:
        leader[root_i] = root_j
        offset[root_i] = difference - above_i + above_j


@kernel
def tie_active(shape, steps, inverse_rates, flows, levels, leader, offset):
    """Tie the ends of the flows that shrinkage leaves, |s| > threshold, those of the largest s / threshold first.

    ``levels``: ratios, falling to 1, between which the order is that of the edges.
    """
    n_axes = len(shape)
    above = np.inf
    for level in levels:
        stride = 1
        for k in range(n_axes - 1, -1, -1):
            block = stride * shape[k]
            for start in range(0, flows.shape[1], block):
                for c in range(shape[k] - 1):
                    threshold = steps[k, c] * inverse_rates[k]
                    for i in range(start + c * stride, start + (c + 1) * stride):
                        s = flows[k, i]
                        if level * threshold < abs(s) <= above * threshold:
                            _tie(leader, offset, i, i + stride, steps[k, c] if s > 0 else -steps[k, c])
            stride = block
        above = level


@kernel
def tie_tree(tree, weight, potential, tolerance, leader, offset):
    """Tie the ends of a spanning tree's flows, but for those that run where the potential has slack."""
    for x in range(len(leader)):
        p = tree.parent[x]
        if p != NONE and tree.flow[x] > len(leader):  # less is what makes the masses non-degenerate
            difference = weight * tree.cost[x] * tree.direction[x]
            if abs(potential[x] - potential[p] - difference) <= tolerance:
                _tie(leader, offset, x, np.int64(p), difference)


@kernel
def number_groups(leader, offset, masses, group, potential, mass):
    """Number the groups that hold mass; return how many. Cells of others are in group −1, at a loose potential."""
    n = len(leader)
    number = np.full(n, -1, np.int32)
    total = np.zeros(n)
    for x in range(n):
        root, potential[x] = _root(leader, offset, x)
        total[root] += masses[x]
    count = 0
    for x in range(n):
        if leader[x] == x and total[x] > 0:
            number[x] = count
            mass[count] = total[x]
            count += 1
    for x in range(n):
        root, _ = _root(leader, offset, x)
        group[x] = number[root]
        if group[x] < 0:
            potential[x] = LOOSE
    return count


@parallel_kernel
def extend_groups(shape, steps, axis, potential, group):
    """f_i ← min_j f_j + distance(i, j) along one axis, with i in the group of the j of the minimum."""
    n, inner, width, n_panels = panels(shape, axis)
    for task in prange(len(potential) // (n * inner) * n_panels):
        first = (task // n_panels) * n * inner + (task % n_panels) * width
        size = min(width, inner - (task % n_panels) * width)
        for way in range(2):
            for step in range(n - 1):
                c = step + 1 if way == 0 else n - 2 - step
                before = -inner if way == 0 else inner
                length = steps[axis, c - 1 if way == 0 else c]
                for i in range(first + c * inner, first + c * inner + size):
                    through = potential[i + before] + length
                    if through < potential[i]:
                        potential[i] = through
                        group[i] = group[i + before]


@kernel
def fill_groups(exponents, group, mass, p, shift):
    """p = mass of the group · exp(exponents) / their sum over the group; shift = the logarithm of sum over mass."""
    n_groups = len(mass)
    peak = np.full(n_groups, -np.inf)
    total = np.zeros(n_groups)
    for x in range(len(group)):
        if group[x] >= 0:
            peak[group[x]] = max(peak[group[x]], exponents[x])
    for x in range(len(group)):
        p[x] = 0.0
        if group[x] >= 0:
            p[x] = bounded_exp(max(exponents[x] - peak[group[x]], -700.0))
            total[group[x]] += p[x]
    for k in range(n_groups):
        total[k] = mass[k] / total[k]
        shift[k] = peak[k] - np.log(total[k])
    for x in range(len(group)):
        if group[x] >= 0:
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
