"""Fused passes of the splitting method on a grid: everything of one iteration but the cosine transforms.

A grid of N cells is seen as rows along its last axis. Flow k runs along axis k: entry i is the flow from cell i to
the next cell along the axis (0 at the end). ``steps[k, c]`` is the weighted length of the step from coordinate c to
c + 1. Arrays of one entry (prior, bounds) hold for all cells; empty ones are absent.
"""

import numpy as np
from numba import prange

from fastdeg.kernels._jit import REASSOCIATE, kernel, parallel_kernel
from fastdeg.kernels.elementary import positive_log

ROWS_PER_BLOCK = 16
_NEAR = 0.02  # residual up to which one step of the entropic prox is exact to 1e-9, to rounding once that settles
_LEAST_LOG = -690.0  # exp of it is as good as zero


@kernel(inline="always")
def omega_step(w, x):
    """One fourth-order step on w + log w = x (Fritsch, Shafer & Crowley, 1973), and the residual before it."""
    residual = x - w - positive_log(w)
    one = 1.0 + w
    q = 2.0 * one * (one + residual * (2.0 / 3.0))
    return w * (1.0 + residual / one * (q - residual) / (q - 2.0 * residual)), residual


@kernel
def omega(x):
    """The root w > 0 of w + log w = x, for x of at least ``_LEAST_LOG``."""
    w = x - np.log(x) if x > 1.0 else np.exp(x) / (1.0 + np.exp(x))
    for _ in range(3):
        w, _ = omega_step(w, x)
    return w


@parallel_kernel
def pmf_prox(target, log_prior, a, lower, upper, push, state, y, right, x, x2, sums):
    """y = argmin over [lower, upper] of a y (log y − log prior) + push y + ½ (y − s)², from the last y.

    right = (2y − s) − q, and the row sums of (2y − s) against 1, x, x². The minimiser without bounds is a w with
    w + log w = (s − push) / a − 1 + log prior − log a.
    """
    n = len(x)
    n_rows = len(state) // n
    inverse = 1.0 / a if a > 0 else 0.0
    shift = -1.0 - np.log(a) if a > 0 else 0.0
    for block in prange((n_rows + ROWS_PER_BLOCK - 1) // ROWS_PER_BLOCK):
        root, wanted, error = np.empty(n), np.empty(n), np.empty(n)
        for row in range(block * ROWS_PER_BLOCK, min(n_rows, (block + 1) * ROWS_PER_BLOCK)):
            start = row * n
            if len(push):
                for j in range(n):
                    wanted[j] = state[start + j] - push[start + j]
            else:
                for j in range(n):
                    wanted[j] = state[start + j]
            if a > 0:
                if len(log_prior) > 1:
                    for j in range(n):
                        wanted[j] = max(wanted[j] * inverse + log_prior[start + j] + shift, _LEAST_LOG)
                else:
                    constant = log_prior[0] + shift
                    for j in range(n):
                        wanted[j] = max(wanted[j] * inverse + constant, _LEAST_LOG)
                for j in range(n):
                    root[j] = y[start + j] * inverse
                for _ in range(3):
                    far = 0
                    for j in range(n):
                        root[j], error[j] = omega_step(max(root[j], 1e-300), wanted[j])
                        far += not abs(error[j]) <= _NEAR
                    if far == 0:
                        break
                if far:
                    for j in range(n):
                        if not abs(error[j]) <= _NEAR:
                            root[j] = omega(wanted[j])
                for j in range(n):
                    wanted[j] = root[j] * a
            if len(lower) > 1:
                for j in range(n):
                    wanted[j] = max(wanted[j], lower[start + j])
            else:
                for j in range(n):
                    wanted[j] = max(wanted[j], lower[0])
            if len(upper) > 1:
                for j in range(n):
                    wanted[j] = min(wanted[j], upper[start + j])
            else:
                for j in range(n):
                    wanted[j] = min(wanted[j], upper[0])
            for j in range(n):
                y[start + j] = wanted[j]
                root[j] = 2.0 * wanted[j] - state[start + j]
                right[start + j] = root[j] - target[start + j]
            sum0 = 0.0
            sum1 = 0.0
            sum2 = 0.0
            for j in range(n):
                sum0 += root[j]
                sum1 += root[j] * x[j]
                sum2 += root[j] * x2[j]
            sums[row, 0] = sum0
            sums[row, 1] = sum1
            sums[row, 2] = sum2


@parallel_kernel
def pmf_relax(inverse_rate, relaxation, potential, y, x, x2, coefficients, state):
    """s += relaxation (x − y) with x = 2y − s + (λ − A w) / ρ; A w has the coefficients (rows, 3) against 1, x, x²."""
    n = len(x)
    n_rows = len(state) // n
    for block in prange((n_rows + ROWS_PER_BLOCK - 1) // ROWS_PER_BLOCK):
        for row in range(block * ROWS_PER_BLOCK, min(n_rows, (block + 1) * ROWS_PER_BLOCK)):
            start = row * n
            c0 = coefficients[row, 0]
            c1 = coefficients[row, 1]
            c2 = coefficients[row, 2]
            for j in range(n):
                pull = (potential[start + j] - (c0 + c1 * x[j] + c2 * x2[j])) * inverse_rate
                state[start + j] += relaxation * (y[start + j] - state[start + j] + pull)


@kernel(inline="always")
def clipped(s, threshold):
    """s between ±threshold: what the shrinkage takes off."""
    return min(max(s, -threshold), threshold)


@parallel_kernel
def subtract_divergence(shape, steps, inverse_rates, times, flows, right):
    """right −= div(s − times · clip(s)): times = 2 for the reflected shrinkage 2y − s, 1 for the shrinkage y."""
    n_axes, n = len(shape), shape[-1]
    n_rows = flows.shape[1] // n
    for block in prange((n_rows + ROWS_PER_BLOCK - 1) // ROWS_PER_BLOCK):
        net = np.empty(n)
        for row in range(block * ROWS_PER_BLOCK, min(n_rows, (block + 1) * ROWS_PER_BLOCK)):
            start = row * n
            k = n_axes - 1
            net[0] = 0.0
            for j in range(n - 1):
                s = flows[k, start + j]
                net[j + 1] = s - times * clipped(s, steps[k, j] * inverse_rates[k])
            for j in range(n - 1):
                s = flows[k, start + j]
                net[j] -= s - times * clipped(s, steps[k, j] * inverse_rates[k])
            stride = n
            rest = row
            for k in range(n_axes - 2, -1, -1):
                c = rest % shape[k]
                rest //= shape[k]
                if c < shape[k] - 1:
                    threshold = steps[k, c] * inverse_rates[k]
                    for j in range(n):
                        s = flows[k, start + j]
                        net[j] -= s - times * clipped(s, threshold)
                if c > 0:
                    threshold = steps[k, c - 1] * inverse_rates[k]
                    for j in range(n):
                        s = flows[k, start - stride + j]
                        net[j] += s - times * clipped(s, threshold)
                stride *= shape[k]
            for j in range(n):
                right[start + j] += net[j]


@parallel_kernel
def flow_relax(shape, steps, inverse_rates, relaxation, potential, flows):
    """s += relaxation (x − y) with x = 2y − s + grad λ / ρ and y the shrinkage of s."""
    n_axes, n = len(shape), shape[-1]
    n_rows = flows.shape[1] // n
    for block in prange((n_rows + ROWS_PER_BLOCK - 1) // ROWS_PER_BLOCK):
        for row in range(block * ROWS_PER_BLOCK, min(n_rows, (block + 1) * ROWS_PER_BLOCK)):
            start = row * n
            stride = n
            rest = row
            for k in range(n_axes - 2, -1, -1):
                c = rest % shape[k]
                rest //= shape[k]
                if c < shape[k] - 1:
                    threshold = steps[k, c] * inverse_rates[k]
                    rate = inverse_rates[k]
                    for i in range(start, start + n):
                        s = flows[k, i]
                        flows[k, i] = s + relaxation * (
                            (potential[i + stride] - potential[i]) * rate - clipped(s, threshold)
                        )
                stride *= shape[k]
            k = n_axes - 1
            for j in range(n - 1):
                i = start + j
                s = flows[k, i]
                slope = (potential[i + 1] - potential[i]) * inverse_rates[k]
                flows[k, i] = s + relaxation * (slope - clipped(s, steps[k, j] * inverse_rates[k]))


@parallel_kernel(fastmath=REASSOCIATE)
def flow_moves(shape, steps, inverse_rates, flows, before, moves):
    """moves[block, k] = squared moves of the shrinkage of flow k and of what it takes off, from ``before`` to now."""
    n_axes, n = len(shape), shape[-1]
    n_rows = flows.shape[1] // n
    for block in prange((n_rows + ROWS_PER_BLOCK - 1) // ROWS_PER_BLOCK):
        moves[block] = 0.0
        for row in range(block * ROWS_PER_BLOCK, min(n_rows, (block + 1) * ROWS_PER_BLOCK)):
            start = row * n
            rest = row
            for k in range(n_axes - 2, -1, -1):
                threshold = steps[k, rest % shape[k]] * inverse_rates[k]
                rest //= shape[k]
                kept = 0.0
                taken = 0.0
                for i in range(start, start + n):
                    off = clipped(flows[k, i], threshold) - clipped(before[k, i], threshold)
                    taken += off * off
                    off = flows[k, i] - before[k, i] - off
                    kept += off * off
                moves[block, k, 0] += kept
                moves[block, k, 1] += taken
            k = n_axes - 1
            for j in range(n - 1):
                i = start + j
                threshold = steps[k, j] * inverse_rates[k]
                off = clipped(flows[k, i], threshold) - clipped(before[k, i], threshold)
                moves[block, k, 1] += off * off
                off = flows[k, i] - before[k, i] - off
                moves[block, k, 0] += off * off


@parallel_kernel
def rescale_flows(shape, steps, inverse_rates, factor, flows):
    """s = y + factor (s − y), y the shrinkage of s."""
    n_axes, n = len(shape), shape[-1]
    n_rows = flows.shape[1] // n
    for block in prange((n_rows + ROWS_PER_BLOCK - 1) // ROWS_PER_BLOCK):
        for row in range(block * ROWS_PER_BLOCK, min(n_rows, (block + 1) * ROWS_PER_BLOCK)):
            start = row * n
            rest = row
            for k in range(n_axes - 2, -1, -1):
                threshold = steps[k, rest % shape[k]] * inverse_rates[k]
                rest //= shape[k]
                for i in range(start, start + n):
                    flows[k, i] += (factor - 1.0) * clipped(flows[k, i], threshold)
            k = n_axes - 1
            for j in range(n - 1):
                threshold = steps[k, j] * inverse_rates[k]
                flows[k, start + j] += (factor - 1.0) * clipped(flows[k, start + j], threshold)


@parallel_kernel
def lower_to_lipschitz(shape, steps, axis, potential):
    """f_i ← min_j f_j + distance(i, j) along one axis; all axes in turn give the largest potential below f whose
    slopes are at most the step lengths: the infimal convolution with a city-block distance goes axis by axis."""
    n = shape[axis]
    inner = 1
    for k in range(axis + 1, len(shape)):
        inner *= shape[k]
    outer = len(potential) // (n * inner)
    width = min(inner, 512)
    n_panels = (inner + width - 1) // width
    for task in prange(outer * n_panels):
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


@parallel_kernel(fastmath=REASSOCIATE)
def corrected_flow_cost(shape, steps, inverse_rates, flows, conductance, correction, costs):
    """costs[block] = Σ step |shrink(s) − grad correction|: flows that a potential's gradient makes feasible."""
    n_axes, n = len(shape), shape[-1]
    n_rows = flows.shape[1] // n
    for block in prange((n_rows + ROWS_PER_BLOCK - 1) // ROWS_PER_BLOCK):
        total = 0.0
        for row in range(block * ROWS_PER_BLOCK, min(n_rows, (block + 1) * ROWS_PER_BLOCK)):
            start = row * n
            stride = n
            rest = row
            for k in range(n_axes - 2, -1, -1):
                c = rest % shape[k]
                rest //= shape[k]
                if c < shape[k] - 1:
                    threshold = steps[k, c] * inverse_rates[k]
                    cost = 0.0
                    for i in range(start, start + n):
                        s = flows[k, i]
                        m = s - clipped(s, threshold)
                        cost += abs(m - conductance[k] * (correction[i + stride] - correction[i]))
                    total += steps[k, c] * cost
                stride *= shape[k]
            k = n_axes - 1
            for j in range(n - 1):
                i = start + j
                s = flows[k, i]
                m = s - clipped(s, steps[k, j] * inverse_rates[k])
                total += steps[k, j] * abs(m - conductance[k] * (correction[i + 1] - correction[i]))
        costs[block] = total
