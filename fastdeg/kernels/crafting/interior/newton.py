"""One step of the interior-point method on few sinks: a Newton system, its two directions, and the move along them.

The system is that of `fastdeg.crafting.interior.newton_system`, the notation that of
`fastdeg.crafting.interior.method`. The phases are called one by one where the Laplacian is factored outside;
`compiled_steps` has all of them in one function.
"""

from typing import NamedTuple

import numpy as np

from fastdeg.kernels._jit import REASSOCIATE, kernel
from fastdeg.kernels.crafting.interior.plan import (
    SMALLEST,
    corrector_length,
    corrector_target,
    predictor_length,
    to_bins,
    update,
)
from fastdeg.kernels.linalg.cholesky import solve_lower
from fastdeg.kernels.linalg.elementary import add, assign, dot

TO_BOUNDARY = 0.95
ENTROPY_FLOOR = 1e-9  # below this share of the prior, p log p is continued as a parabola


class Bounds(NamedTuple):
    """The bounded bins, their bounds, and the weights of the products with their multipliers."""

    at: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    weights: np.ndarray


class Point(NamedTuple):
    """The primal and dual variables; kept up to date in place."""

    x: np.ndarray
    s: np.ndarray
    p: np.ndarray
    phi: np.ndarray
    psi: np.ndarray
    z_lower: np.ndarray
    z_upper: np.ndarray


class Work(NamedTuple):
    """Arrays of arcs, of bins, of sinks, of bounded bins, and of the low-rank part."""

    inverse: np.ndarray  # 1 / s
    ratios: np.ndarray
    moved: np.ndarray
    residual: np.ndarray
    diagonal: np.ndarray
    sources: np.ndarray
    denominator: np.ndarray
    excess: np.ndarray
    row: np.ndarray
    b: np.ndarray
    back: np.ndarray
    dp: np.ndarray
    dphi: np.ndarray
    missing: np.ndarray
    column: np.ndarray
    own: np.ndarray
    dpsi: np.ndarray
    below: np.ndarray
    above: np.ndarray
    dz_lower: np.ndarray
    dz_upper: np.ndarray
    from_bins: np.ndarray  # (K, r): W (U / denominator)
    responses: np.ndarray  # (r, K): the same, solved by the Laplacian
    inner: np.ndarray  # (r, r): Cholesky factor of 1 + Uᵀ Δp
    inner_right: np.ndarray


def workspace(n_arcs, n_bins, n_sinks, n_bounded, n_columns):
    """Arrays for a problem with a Hessian of so many columns besides the diagonal."""
    sizes = [n_arcs] * 3 + [n_bins] * 10 + [n_sinks] * 4 + [n_bounded] * 4
    shapes = [(n_sinks, n_columns), (n_columns, n_sinks), (n_columns, n_columns), (n_columns,)]
    return Work(*(np.empty(shape) for shape in sizes + shapes))


@kernel(fastmath=REASSOCIATE)
def linearise(graph, bounds, point, gradient, work):
    """Ratios x / s, residuals, and the denominators; the Hessian's diagonal takes in the bounds. Returns the gap."""
    first, sink = graph.first, graph.sink
    x, s = point.x, point.s
    gap = 0.0
    assign(work.missing, graph.masses)
    for i in range(len(first) - 1):
        begin, end = first[i], first[i + 1]
        plan, slack, to = x[begin:end], s[begin:end], sink[begin:end]
        inverse, ratios = work.inverse[begin:end], work.ratios[begin:end]
        own = 0.0
        carried = 0.0
        for e in range(len(plan)):
            inverse[e] = 1.0 / slack[e]
            ratios[e] = plan[e] * inverse[e]
            own += ratios[e]
            carried += plan[e]
            gap += plan[e] * slack[e]
        for e in range(len(plan)):
            work.missing[to[e]] -= plan[e]
        work.sources[i] = own
        work.excess[i] = point.p[i] - carried
        work.residual[i] = gradient[i] + point.phi[i]
    for k in range(len(bounds.at)):
        i = bounds.at[k]
        below = max(point.p[i] - bounds.lower[k], SMALLEST)
        above = max(bounds.upper[k] - point.p[i], SMALLEST)
        work.below[k], work.above[k] = below, above
        gap += point.z_lower[k] * below + point.z_upper[k] * above
        work.residual[i] += point.z_upper[k] - point.z_lower[k]
        work.diagonal[i] += point.z_lower[k] / below + point.z_upper[k] / above
    work.own[:] = 0.0
    for i in range(len(first) - 1):
        work.denominator[i] = work.diagonal[i] * work.sources[i] + 1.0
        inverse = 1.0 / work.denominator[i]
        for e in range(first[i], first[i + 1]):
            work.own[sink[e]] += work.ratios[e] * inverse
    return gap


@kernel
def right_side(graph, work):
    """dψ = column − W (b + D row) / denominator, what the Laplacian is then solved for."""
    first, sink = graph.first, graph.sink
    assign(work.dpsi, work.column)
    for i in range(len(first) - 1):
        value = (work.b[i] + work.diagonal[i] * work.row[i]) / work.denominator[i]
        for e in range(first[i], first[i + 1]):
            work.dpsi[sink[e]] -= work.ratios[e] * value


@kernel(inline="always")
def predictor_right(graph, bounds, point, work):
    """The right-hand side of the direction to x s = 0."""
    for i in range(len(work.b)):
        work.b[i] = -work.residual[i]
        work.row[i] = point.p[i]
    assign(work.column, graph.masses)
    for k in range(len(bounds.at)):
        work.b[bounds.at[k]] += point.z_upper[k] - point.z_lower[k]
        work.dz_lower[k] = -point.z_lower[k]
        work.dz_upper[k] = -point.z_upper[k]
    right_side(graph, work)


@kernel
def direction(graph, bounds, point, features, root, work):
    """Δp, Δφ, Δψ and the multipliers' changes, from dψ solved by the Laplacian; U = features root, or features."""
    b, row, dpsi, denominator = work.b, work.row, work.dpsi, work.denominator
    n_columns = len(work.inner_right)
    if n_columns > 0:
        right, turned = work.inner_right, np.zeros(n_columns)
        for i in range(len(b)):
            value = (work.sources[i] * b[i] - row[i]) / denominator[i]
            for k in range(n_columns):
                turned[k] += features[i, k] * value
        if len(root) > 0:
            right[:] = 0.0
            for i in range(len(root)):
                add(right, root[i], turned[i])
        else:
            assign(right, turned)
        for j in range(len(dpsi)):
            for k in range(n_columns):
                right[k] += work.from_bins[j, k] * dpsi[j]
        solve_lower(work.inner, right)
        for i in range(len(turned)):
            turned[i] = dot(root[i], right, n_columns) if len(root) > 0 else right[i]
        for i in range(len(b)):
            total = 0.0
            for k in range(n_columns):
                total += features[i, k] * turned[k]
            b[i] -= total
        for k in range(n_columns):
            for j in range(len(dpsi)):
                dpsi[j] += work.responses[k, j] * right[k]
    to_bins(graph.first, graph.sink, work.ratios, dpsi, work.back)
    for i in range(len(b)):
        left = work.back[i] - row[i]
        work.dp[i] = (work.sources[i] * b[i] + left) / denominator[i]
        work.dphi[i] = (b[i] - work.diagonal[i] * left) / denominator[i]
    for k in range(len(bounds.at)):
        change = work.dp[bounds.at[k]]
        work.dz_lower[k] -= point.z_lower[k] * change / work.below[k]
        work.dz_upper[k] += point.z_upper[k] * change / work.above[k]


@kernel
def bounds_length(bounds, point, work, worst):
    """The largest of `worst` and of how far the direction goes beyond the bounds and multipliers."""
    for k in range(len(bounds.at)):
        change = work.dp[bounds.at[k]]
        worst = max(worst, -change / work.below[k], change / work.above[k])
        worst = max(worst, -work.dz_lower[k] / point.z_lower[k], -work.dz_upper[k] / point.z_upper[k])
    return worst


@kernel(inline="always")
def corrector_right(graph, bounds, point, gap, work):
    """The right-hand side of the second direction: to x s = target · ω, less the predictor's products (Mehrotra)."""
    first, sink, x, inverse = graph.first, graph.sink, point.x, work.inverse
    worst, products = predictor_length(first, sink, x, inverse, work.dphi, work.dpsi)
    worst = bounds_length(bounds, point, work, worst)
    total = 1.0
    for k in range(len(bounds.at)):
        products += (work.dz_lower[k] - work.dz_upper[k]) * work.dp[bounds.at[k]]
        total += 2.0 * bounds.weights[k]
    length = min(1.0, 1.0 / worst)
    left = ((1.0 - length) * gap + length * length * products) / gap
    target = max(left * left * left, 1e-6) * gap / total
    change = (work.dphi, work.dpsi)
    corrector_target(graph, x, inverse, target, change, work.moved, work.row, work.column)
    for i in range(len(work.b)):
        work.b[i] = -work.residual[i]
        work.row[i] = work.excess[i] - work.row[i]
    for j in range(len(work.column)):
        work.column[j] = work.missing[j] - work.column[j]
    for k in range(len(bounds.at)):
        moved = work.dp[bounds.at[k]]
        wanted = target * bounds.weights[k]
        lower = (wanted - work.dz_lower[k] * moved) / work.below[k] - point.z_lower[k]
        upper = (wanted + work.dz_upper[k] * moved) / work.above[k] - point.z_upper[k]
        work.b[bounds.at[k]] += lower - upper
        work.dz_lower[k], work.dz_upper[k] = lower, upper
    right_side(graph, work)


@kernel(inline="always")
def step_length(graph, bounds, point, work):
    """How far to go: a little less than to the boundary. The arcs' share of the direction is then in `moved`."""
    worst = corrector_length(
        graph.first, graph.sink, point.x, work.inverse, work.ratios, work.dphi, work.dpsi, work.moved
    )
    worst = bounds_length(bounds, point, work, worst)
    return 1.0 if worst <= 1.0 else TO_BOUNDARY / worst


@kernel
def error_along(bounds, point, p, gradient, length, work):
    """Stationarity error |∇f(p) + φ − z_lower + z_upper| · |p| after a step of that length to p."""
    for i in range(len(p)):
        work.back[i] = gradient[i] + point.phi[i] + length * work.dphi[i]
    for k in range(len(bounds.at)):
        change = length * (work.dz_upper[k] - work.dz_lower[k])
        work.back[bounds.at[k]] += point.z_upper[k] - point.z_lower[k] + change
    total = 0.0
    for i in range(len(p)):
        total += abs(work.back[i]) * abs(p[i])
    return total


@kernel(inline="always")
def move(graph, bounds, point, p, length, work):
    """Make the step of that length to p; x, s and the multipliers stay positive. Returns the gap."""
    gap = update(graph.first, graph.sink, point.x, point.s, work.moved, (work.dphi, work.dpsi), length)
    assign(point.p, p)
    for i in range(len(p)):
        point.phi[i] += length * work.dphi[i]
    for j in range(len(point.psi)):
        point.psi[j] += length * work.dpsi[j]
    for k in range(len(bounds.at)):
        i = bounds.at[k]
        point.z_lower[k] = max(point.z_lower[k] + length * work.dz_lower[k], SMALLEST)
        point.z_upper[k] = max(point.z_upper[k] + length * work.dz_upper[k], SMALLEST)
        gap += point.z_lower[k] * (p[i] - bounds.lower[k]) + point.z_upper[k] * (bounds.upper[k] - p[i])
    return gap


@kernel
def entropy_floor(tau):
    """The share of the prior below which p log p is continued as a parabola: that keeps the steps long."""
    return ENTROPY_FLOOR * min(1.0, 1.0 / tau)


@kernel
def add_entropy_gradient(prior, tau, p, gradient):
    """gradient += the gradient of tau KL."""
    floor = entropy_floor(tau)
    for i in range(len(p)):
        ratio = p[i] / prior[i]
        safe = max(ratio, floor)
        gradient[i] += tau * (np.log(safe) + 1.0 + (ratio - safe) / floor)


@kernel
def entropy_curvature(prior, tau, p, diagonal):
    """The second derivatives of tau KL."""
    floor = entropy_floor(tau) if tau > 0.0 else 1.0
    for i in range(len(p)):
        diagonal[i] = tau / (prior[i] * max(p[i] / prior[i], floor))
