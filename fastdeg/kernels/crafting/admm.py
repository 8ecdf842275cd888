"""Fused passes of the splitting method on a grid: everything of one iteration but the cosine transforms.

A grid of N cells is seen as rows along its last axis. Flow k runs along axis k: entry i is the flow from cell i to
the next cell along the axis (0 at the end). ``steps[k, c]`` is the weighted length of the step from coordinate c to
c + 1. Arrays of one entry (prior, bounds) hold for all cells; empty ones are absent.
"""

from typing import NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from fastdeg.kernels._jit import REASSOCIATE, kernel, parallel_kernel
from fastdeg.kernels.crafting.row_quadratics import sum_rows
from fastdeg.kernels.linalg.elementary import add, positive_log

ROWS_PER_BLOCK = 16
CELLS_PER_BLOCK = 400
BLOCKS_PER_TASK = 8
FEW = 16  # a block with fewer far roots than one in so many solves these one by one
_NEAR = 0.02  # residual up to which one step of the entropic prox is exact to 1e-9, to rounding once that settles
_LEAST_LOG = -690.0  # exp of it is as good as zero


class PmfTerm(NamedTuple):
    """The mass q, and the terms of p over its penalty: a KL(p ‖ prior) with the prior's logarithm, bounds, push · p."""

    target: NDArray[np.float64]
    log_prior: NDArray[np.float64]
    a: float
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    push: NDArray[np.float64]


class Flow(NamedTuple):
    """Cells and lengths of the steps along each axis, and the states of the flows with their inverse penalties."""

    shape: NDArray[np.int64]
    steps: NDArray[np.float64]
    inverse_rates: NDArray[np.float64]
    flows: NDArray[np.float64]


@kernel(inline="always")
def omega_step(w, x):
    """One fourth-order step on w + log w = x (Fritsch, Shafer & Crowley, 1973), and the residual before it."""
    residual = x - w - positive_log(w)
    one = 1.0 + w
    q = 2.0 * one * (one + residual * (2.0 / 3.0))
    return w + w * (residual * (q - residual)) / (one * (q - 2.0 * residual)), residual


@kernel
def omega(x):
    """The root w > 0 of w + log w = x, for x of at least ``_LEAST_LOG``."""
    w = x - np.log(x) if x > 1.0 else np.exp(x) / (1.0 + np.exp(x))
    for _ in range(3):
        w, _ = omega_step(w, x)
    return w


@kernel(fastmath=REASSOCIATE)
def solve_roots(wanted, root, error):
    """root ← the w with w + log w = wanted, from a guess at them; ``error`` is scratch."""
    for _ in range(3):
        far = 0
        for j in range(len(root)):
            root[j], error[j] = omega_step(max(root[j], 1e-300), max(wanted[j], _LEAST_LOG))
            far += not abs(error[j]) <= _NEAR
        if far < len(root) // FEW:
            break
    if far:
        for j in range(len(root)):
            if not abs(error[j]) <= _NEAR:
                root[j] = omega(max(wanted[j], _LEAST_LOG))


@kernel
def bound(values, low, high, out):
    """out = min(max(values, low), high), with bounds of one entry or of as many.

    Not in place: that becomes a store under a condition, which is slow.
    """
    if len(low) > 1 or len(high) > 1:
        for j in range(len(values)):
            lowest, highest = low[j % len(low)], high[j % len(high)]
            out[j] = min(max(values[j], lowest), highest)
    else:
        lowest, highest = low[0], high[0]
        for j in range(len(values)):
            out[j] = min(max(values[j], lowest), highest)


@kernel
def part(values, first, last):
    """The entries of some cells, or the one of all."""
    return values[first:last] if len(values) > 1 else values


@kernel(inline="always")
def clipped(s, threshold):
    """s between ±threshold: what the shrinkage takes off."""
    return min(max(s, -threshold), threshold)


@kernel
def blocks(shape):
    """How the grid is cut into blocks of whole rows that differ on the last two axes alone.

    Rows along the last axis but one, rows of a block, blocks along that axis.
    """
    n, m = shape[-1], shape[-2] if len(shape) > 1 else 1
    n_parts = max(1, min(m, m * n // CELLS_PER_BLOCK))
    rows = (m + n_parts - 1) // n_parts
    return m, rows, (m + rows - 1) // rows


@kernel
def plane_thresholds(shape, steps, inverse_rates):
    """Of the cells that differ on the last two axes: the thresholds of the flows along these axes, 0 at the end."""
    n_axes, n, m = len(shape), shape[-1], shape[-2] if len(shape) > 1 else 1
    thresholds = np.zeros((2, m * n))
    for c in range(m):
        for j in range(n - 1):
            thresholds[0, c * n + j] = steps[n_axes - 1, j] * inverse_rates[n_axes - 1]
        if c < m - 1:
            thresholds[1, c * n : (c + 1) * n] = steps[n_axes - 2, c] * inverse_rates[n_axes - 2]
    return thresholds


@kernel
def add_shrunk(net, s, threshold, sign):
    """net += sign · (s − 2 clip(s)), with one threshold."""
    for j in range(len(net)):
        net[j] += sign * (s[j] - 2.0 * clipped(s[j], threshold))


@kernel
def add_shrunk_each(net, s, thresholds, sign):
    """net += sign · (s − 2 clip(s)), with a threshold for each."""
    for j in range(len(net)):
        net[j] += sign * (s[j] - 2.0 * clipped(s[j], thresholds[j]))


@kernel
def inflow(shape, steps, inverse_rates, thresholds, flows, begin, end, net):
    """net = −div(s − 2 clip(s)) at the cells of a block. Flows are 0 at the end of their axis."""
    n_axes, n, size = len(shape), shape[-1], end - begin
    inner = thresholds.shape[1]
    at = begin % inner
    net[:] = 0.0
    add_shrunk_each(net, flows[n_axes - 1, begin:end], thresholds[0, at : at + size], -1.0)
    if size > 1:
        s = flows[n_axes - 1, begin : end - 1]
        add_shrunk_each(net[1:], s, thresholds[0, at : at + size - 1], 1.0)
    if n_axes > 1:
        add_shrunk_each(net, flows[n_axes - 2, begin:end], thresholds[1, at : at + size], -1.0)
        skipped = 0 if at else n  # nothing flows into the first row
        if skipped < size:
            s = flows[n_axes - 2, begin + skipped - n : end - n]
            add_shrunk_each(net[skipped:], s, thresholds[1, at + skipped - n : at + size - n], 1.0)
    rest = begin // inner
    for k in range(n_axes - 3, -1, -1):
        c = rest % shape[k]
        rest //= shape[k]
        if c < shape[k] - 1:
            add_shrunk(net, flows[k, begin:end], steps[k, c] * inverse_rates[k], -1.0)
        if c > 0:
            s = flows[k, begin - inner : end - inner]
            add_shrunk(net, s, steps[k, c - 1] * inverse_rates[k], 1.0)
        inner *= shape[k]


@parallel_kernel(fastmath=REASSOCIATE)
def reflect(term, state, y, x, x2, flow, right, sums):
    """The prox of p at s, and what the reflections 2y − s of p and of the flows lack of div m = p − q.

    y = argmin over [lower, upper] of a y (log y − log prior) + push y + ½ (y − s)², from the last y;
    right = (2y − s) − q − div(2y − s of the flows), and the row sums of (2y − s) against 1, x, x². The minimiser
    without bounds is a w with w + log w = (s − push) / a − 1 + log prior − log a.
    """
    target, log_prior, a, lower, upper, push = term
    shape, steps, inverse_rates, flows = flow
    n = len(x)
    inverse = 1.0 / a if a > 0 else 0.0
    shift = -1.0 - np.log(a) if a > 0 else 0.0
    m, rows, n_parts = blocks(shape)
    thresholds = plane_thresholds(shape, steps, inverse_rates)
    n_blocks = len(state) // (m * n) * n_parts
    for task in prange((n_blocks + BLOCKS_PER_TASK - 1) // BLOCKS_PER_TASK):
        scratch = np.empty((3, rows * n))
        for block in range(task * BLOCKS_PER_TASK, min(n_blocks, (task + 1) * BLOCKS_PER_TASK)):
            plane, first = block // n_parts * m * n, block % n_parts * rows
            begin, end = plane + first * n, plane + min(m, first + rows) * n
            # views, and indices that count from 0, make vector instructions
            s, q, new = state[begin:end], target[begin:end], y[begin:end]
            wanted, root, error = scratch[0, : end - begin], scratch[1, : end - begin], scratch[2, : end - begin]
            for j in range(len(s)):
                wanted[j] = s[j]
            if len(push):
                add(wanted, push[begin:end], -1.0)
            if a > 0:
                for j in range(len(s)):
                    wanted[j] = wanted[j] * inverse + shift
                    root[j] = new[j] * inverse
                if len(log_prior) > 1:
                    add(wanted, log_prior[begin:end], 1.0)
                else:
                    for j in range(len(s)):
                        wanted[j] += log_prior[0]
                solve_roots(wanted, root, error)
                for j in range(len(s)):
                    wanted[j] = root[j] * a
            bound(wanted, part(lower, begin, end), part(upper, begin, end), new)
            for j in range(len(s)):
                root[j] = 2.0 * new[j] - s[j]
            for row in range(begin // n, end // n):
                sum_rows(root[row * n - begin : (row + 1) * n - begin], x, x2, sums[row])
            net = error
            inflow(shape, steps, inverse_rates, thresholds, flows, begin, end, net)
            out = right[begin:end]
            for j in range(len(s)):
                out[j] = root[j] - q[j] + net[j]


@parallel_kernel
def pmf_relax(inverse_rate, relaxation, potential, y, x, x2, coefficients, state):
    """s += relaxation (x − y) with x = 2y − s + (λ − A w) / ρ; A w has the coefficients (rows, 3) against 1, x, x²."""
    n = len(x)
    n_rows = len(state) // n
    for block in prange((n_rows + ROWS_PER_BLOCK - 1) // ROWS_PER_BLOCK):
        for row in range(block * ROWS_PER_BLOCK, min(n_rows, (block + 1) * ROWS_PER_BLOCK)):
            here = slice(row * n, (row + 1) * n)
            s, prox, level = state[here], y[here], potential[here]
            c0 = coefficients[row, 0]
            c1 = coefficients[row, 1]
            c2 = coefficients[row, 2]
            for j in range(n):
                pull = (level[j] - (c0 + c1 * x[j] + c2 * x2[j])) * inverse_rate
                s[j] += relaxation * (prox[j] - s[j] + pull)


@parallel_kernel
def flow_relax(shape, steps, inverse_rates, relaxation, potential, flows):
    """s += relaxation (x − y) with x = 2y − s + grad λ / ρ and y the shrinkage of s."""
    n_axes, n = len(shape), shape[-1]
    n_rows = flows.shape[1] // n
    for block in prange((n_rows + ROWS_PER_BLOCK - 1) // ROWS_PER_BLOCK):
        lengths = steps[n_axes - 1]
        for row in range(block * ROWS_PER_BLOCK, min(n_rows, (block + 1) * ROWS_PER_BLOCK)):
            start = row * n
            level = potential[start : start + n]
            stride = n
            rest = row
            for k in range(n_axes - 2, -1, -1):
                c = rest % shape[k]
                rest //= shape[k]
                if c < shape[k] - 1:
                    threshold = steps[k, c] * inverse_rates[k]
                    rate = inverse_rates[k]
                    s, beyond = flows[k, start : start + n], potential[start + stride : start + stride + n]
                    for j in range(n):
                        s[j] += relaxation * ((beyond[j] - level[j]) * rate - clipped(s[j], threshold))
                stride *= shape[k]
            rate = inverse_rates[n_axes - 1]
            s, beyond = flows[n_axes - 1, start : start + n - 1], level[1:]
            for j in range(n - 1):
                s[j] += relaxation * ((beyond[j] - level[j]) * rate - clipped(s[j], lengths[j] * rate))


@kernel
def panels(shape, axis):
    """Cells along an axis, cells between two of them, and how these are cut: widest panel, panels."""
    inner = 1
    for k in range(axis + 1, len(shape)):
        inner *= shape[k]
    width = min(inner, 512)
    return shape[axis], inner, width, (inner + width - 1) // width


@parallel_kernel
def lower_to_lipschitz(shape, steps, axis, potential):
    """f_i ← min_j f_j + distance(i, j) along one axis; all axes in turn give the largest potential below f whose
    slopes are at most the step lengths: the infimal convolution with a city-block distance goes axis by axis."""
    n, inner, width, n_panels = panels(shape, axis)
    for task in prange(len(potential) // (n * inner) * n_panels):
        first = (task // n_panels) * n * inner + (task % n_panels) * width
        size = min(width, inner - (task % n_panels) * width)
        for c in range(1, n):
            length = steps[axis, c - 1]
            here = first + c * inner
            for i in range(size):
                potential[here + i] = min(potential[here + i], potential[here - inner + i] + length)
        for c in range(n - 2, -1, -1):
            length = steps[axis, c]
            here = first + c * inner
            for i in range(size):
                potential[here + i] = min(potential[here + i], potential[here + inner + i] + length)
