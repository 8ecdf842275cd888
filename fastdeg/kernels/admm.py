"""Fused passes of the splitting method on a grid: everything of one iteration but the cosine transforms.

A grid of N cells is seen as rows along its last axis. Flow k runs along axis k: entry i is the flow from cell i to
the next cell
along the axis (0 at the end). ``steps[k, c]`` is the weighted length of the step from coordinate c to c + 1.
"""

import numpy as np
from numba import prange

from fastdeg.kernels._jit import REASSOCIATE, kernel, parallel_kernel

ROWS_PER_BLOCK = 16


@kernel
def entropic_prox(v, log_prior, a, log_a, old):
    """argmin over y > 0 of a y (log y − log prior) + ½ (y − v)²: the root of y + a log y = v − a + a log prior.

    With y = a w that is w + log w = x; Newton's method on w from the last iterate, one step where that is near.
    """
    x = v / a - 1.0 + log_prior - log_a
    w = old / a
    error = 2.0
    if w > 1e-280:
        log_w = np.log(w)
        error = abs(w + log_w - x)
    if error > 1.0:
        if x < -600.0:
            return 0.0
        w = x - np.log(x) if x > 1.0 else np.exp(x) / (1.0 + np.exp(x))
        w *= (1.0 + x - np.log(w)) / (1.0 + w)
        w *= (1.0 + x - np.log(w)) / (1.0 + w)
        log_w = np.log(w)
    w *= (1.0 + x - log_w) / (1.0 + w)
    if error > 1e-6:
        w *= (1.0 + x - np.log(w)) / (1.0 + w)
    return a * w


@kernel
def reflected_shrinkage(s, threshold):
    """2 y − s for y = the shrinkage of s towards 0 by the threshold."""
    if s > threshold:
        return s - 2.0 * threshold
    if s < -threshold:
        return s + 2.0 * threshold
    return -s


@parallel_kernel
def separable_prox(
    shape, steps, inverse_flow, target, log_prior, a, lower, upper, push, state, flows, y, right, x, x2, sums
):
    """Prox steps of pmf and flows; right = (2y − s) − q − div(2 shrink(s) − s), and row sums of (2y − s)(1, x, x²)."""
    n_axes, n = len(shape), shape[-1]
    log_a = np.log(a) if a > 0 else 0.0
    n_rows = len(target) // n
    n_blocks = (n_rows + ROWS_PER_BLOCK - 1) // ROWS_PER_BLOCK
    for block in prange(n_blocks):
        for row in range(block * ROWS_PER_BLOCK, min(n_rows, (block + 1) * ROWS_PER_BLOCK)):
            start = row * n
            sum0 = 0.0
            sum1 = 0.0
            sum2 = 0.0
            for j in range(n):
                i = start + j
                s = state[i]
                v = s - push[i] if len(push) else s
                new = entropic_prox(v, log_prior[i], a, log_a, y[i]) if a > 0 else v
                new = min(max(new, lower[i]), upper[i])
                y[i] = new
                v = 2.0 * new - s
                sum0 += v
                sum1 += v * x[j]
                sum2 += v * x2[j]
                right[i] = v - target[i]
            sums[row, 0] = sum0
            sums[row, 1] = sum1
            sums[row, 2] = sum2
            stride = n
            rest = row
            for k in range(n_axes - 2, -1, -1):
                c = rest % shape[k]
                rest //= shape[k]
                flow = flows[k]
                if c < shape[k] - 1:
                    threshold = steps[k, c] * inverse_flow[k]
                    for i in range(start, start + n):
                        right[i] -= reflected_shrinkage(flow[i], threshold)
                if c > 0:
                    threshold = steps[k, c - 1] * inverse_flow[k]
                    for i in range(start, start + n):
                        right[i] += reflected_shrinkage(flow[i - stride], threshold)
                stride *= shape[k]
            flow = flows[n_axes - 1]
            inflow = 0.0
            for j in range(n):
                outflow = 0.0
                if j < n - 1:
                    outflow = reflected_shrinkage(flow[start + j], steps[n_axes - 1, j] * inverse_flow[n_axes - 1])
                right[start + j] -= outflow - inflow
                inflow = outflow


@parallel_kernel
def relaxed_update(shape, steps, inverse_flow, inverse_p, relaxation, potential, y, x, x2, coefficients, state, flows):
    """s += relaxation (x − y): pmf x = 2y − s + (λ − A w) / ρ, flows x = 2y − s + grad λ / ρ."""
    n_axes, n = len(shape), shape[-1]
    n_rows = len(state) // n
    n_blocks = (n_rows + ROWS_PER_BLOCK - 1) // ROWS_PER_BLOCK
    for block in prange(n_blocks):
        for row in range(block * ROWS_PER_BLOCK, min(n_rows, (block + 1) * ROWS_PER_BLOCK)):
            start = row * n
            c0 = coefficients[row, 0]
            c1 = coefficients[row, 1]
            c2 = coefficients[row, 2]
            for j in range(n):
                i = start + j
                moments = c0 + c1 * x[j] + c2 * x2[j]
                state[i] += relaxation * (y[i] - state[i] + (potential[i] - moments) * inverse_p)
            stride = n
            rest = row
            for k in range(n_axes - 2, -1, -1):
                c = rest % shape[k]
                rest //= shape[k]
                if c < shape[k] - 1:
                    flow = flows[k]
                    threshold = steps[k, c] * inverse_flow[k]
                    for i in range(start, start + n):
                        s = flow[i]
                        slope = (potential[i + stride] - potential[i]) * inverse_flow[k]
                        flow[i] = s + relaxation * (0.5 * (reflected_shrinkage(s, threshold) - s) + slope)
                stride *= shape[k]
            k = n_axes - 1
            flow = flows[k]
            for i in range(start, start + n - 1):
                s = flow[i]
                threshold = steps[k, i - start] * inverse_flow[k]
                slope = (potential[i + 1] - potential[i]) * inverse_flow[k]
                flow[i] = s + relaxation * (0.5 * (reflected_shrinkage(s, threshold) - s) + slope)


@kernel
def lower_to_lipschitz(shape, steps, potential):
    """f_i ← min_j f_j + distance(i, j): the largest potential below f whose slopes are at most the step lengths.

    The infimal convolution with a city-block distance goes axis by axis, a sweep up and a sweep down each.
    """
    n_axes = len(shape)
    inner = 1
    for k in range(n_axes - 1, -1, -1):
        n = shape[k]
        outer = len(potential) // (n * inner)
        for o in range(outer):
            start = o * n * inner
            for c in range(1, n):
                length = steps[k, c - 1]
                for i in range(start + c * inner, start + (c + 1) * inner):
                    potential[i] = min(potential[i], potential[i - inner] + length)
            for c in range(n - 2, -1, -1):
                length = steps[k, c]
                for i in range(start + c * inner, start + (c + 1) * inner):
                    potential[i] = min(potential[i], potential[i + inner] + length)
        inner *= n


@kernel
def divergence_error(shape, steps, inverse_flow, flows, p, target, error):
    """error = p − q − div(shrink(s)): what the flows of the prox step leave to be carried."""
    n_axes = len(shape)
    for i in range(len(p)):
        error[i] = p[i] - target[i]
    inner = 1
    for k in range(n_axes - 1, -1, -1):
        n = shape[k]
        flow = flows[k]
        for o in range(len(p) // (n * inner)):
            for c in range(n - 1):
                threshold = steps[k, c] * inverse_flow[k]
                start = (o * n + c) * inner
                for i in range(start, start + inner):
                    m = 0.5 * (flow[i] + reflected_shrinkage(flow[i], threshold))
                    error[i] -= m
                    error[i + inner] += m
        inner *= n


@kernel(fastmath=REASSOCIATE)
def corrected_flow_cost(shape, steps, inverse_flow, flows, conductance, correction):
    """Σ step |shrink(s) − grad correction|: cost of the flows once a potential's gradient makes them feasible."""
    n_axes = len(shape)
    total = 0.0
    inner = 1
    for k in range(n_axes - 1, -1, -1):
        n = shape[k]
        flow = flows[k]
        for o in range(len(correction) // (n * inner)):
            for c in range(n - 1):
                threshold = steps[k, c] * inverse_flow[k]
                start = (o * n + c) * inner
                cost = 0.0
                for i in range(start, start + inner):
                    m = 0.5 * (flow[i] + reflected_shrinkage(flow[i], threshold))
                    cost += abs(m - conductance[k] * (correction[i + inner] - correction[i]))
                total += steps[k, c] * cost
        inner *= n
    return total
