"""The interior-point method's steps on few sinks and moments as one compiled function: see `newton` for its phases."""

from typing import NamedTuple

import numpy as np

from fastdeg.kernels._jit import kernel
from fastdeg.kernels.crafting.frechet_term import combine, moment_curvature, moments, slope, spectrum
from fastdeg.kernels.crafting.interior.newton import (
    Work,
    add_entropy_gradient,
    corrector_right,
    direction,
    entropy_curvature,
    error_along,
    linearise,
    move,
    predictor_right,
    step_length,
)
from fastdeg.kernels.crafting.interior.plan import close_laplacian, laplacian, to_sinks
from fastdeg.kernels.linalg.cholesky import factor_lower, solve_lower
from fastdeg.kernels.linalg.elementary import add

MOST_HALVINGS = 12
ROWS_AT_ONCE = 1024  # of the factor U
SHORT, SHORTEST = 0.02, 1e-10  # steps below this length are made a few times in a row only, and not at all


class Term(NamedTuple):
    """f = weight · FD² + tau KL: features A (N, r), the linear part of FD² (N,), and the prior."""

    features: np.ndarray
    linear: np.ndarray
    prior: np.ndarray
    weight: float
    tau: float


class At(NamedTuple):
    """Moments, the spectrum behind them, the slope in the moments, and the gradient of f."""

    z: np.ndarray
    roots: np.ndarray
    vectors: np.ndarray
    mean: np.ndarray
    slope: np.ndarray
    gradient: np.ndarray


class System(NamedTuple):
    """Room for a Newton system: what makes features to the factor U, the Laplacian (K, K), and the rest."""

    root: np.ndarray
    matrix: np.ndarray
    work: Work


class Limits(NamedTuple):
    """The gap that is small enough, the most steps, and very short ones in a row."""

    enough: float
    at_most: int
    patience: int


@kernel(inline="always")
def two_directions(graph, bounds, point, features, root, lower, gap, work):
    """Predictor and corrector, with the Cholesky factor of the Laplacian; returns the length of the step."""
    predictor_right(graph, bounds, point, work)
    solve_lower(lower, work.dpsi)
    direction(graph, bounds, point, features, root, work)
    corrector_right(graph, bounds, point, gap, work)
    solve_lower(lower, work.dpsi)
    direction(graph, bounds, point, features, root, work)
    return step_length(graph, bounds, point, work)


@kernel
def gradient_at(term, p, at):
    """Moments, spectrum, slope and the gradient of f at p."""
    moments(term.features, p, at.z)
    if term.weight > 0.0:
        spectrum(at.z, at.roots, at.vectors, at.mean)
        slope(at.roots, at.vectors, at.mean, at.slope)
        combine(term.features, at.slope, term.linear, term.weight, at.gradient)
    else:
        at.gradient[:] = 0.0
    if term.tau > 0.0:
        add_entropy_gradient(term.prior, term.tau, p, at.gradient)


@kernel(inline="always")
def hessian_at(term, p, at, diagonal, root):
    """The diagonal of the Hessian of f at p, and what makes features to the factor U = features root of its rest."""
    entropy_curvature(term.prior, term.tau, p, diagonal)
    if len(root) > 0:
        moment_curvature(at.roots, at.vectors, at.mean, root)
        for i in range(len(root)):
            for j in range(len(root)):
                root[i, j] *= np.sqrt(term.weight)


@kernel
def add_product(matrix, left, right, times):
    """matrix += times · left right."""
    product = np.empty(matrix.shape)
    np.dot(left, right, product)
    for i in range(len(matrix)):
        add(matrix[i], product[i], times)


@kernel
def scaled_rows(matrix, scale):
    """diag(scale) matrix."""
    out = np.empty(matrix.shape)
    for i in range(len(matrix)):
        for j in range(matrix.shape[1]):
            out[i, j] = scale[i] * matrix[i, j]
    return out


@kernel(inline="always")
def low_rank_products(graph, features, root, complete, work):
    """from_bins = W (U / denominator), inner = 1 + Uᵀ (sources / denominator) U, with rows of U that stay in cache."""
    n_bins, n_sinks = len(work.back), len(work.from_bins)
    work.from_bins[:] = 0.0
    work.inner[:] = 0.0
    for k in range(len(work.inner)):
        work.inner[k, k] = 1.0
    for begin in range(0, n_bins, ROWS_AT_ONCE):
        end = min(begin + ROWS_AT_ONCE, n_bins)
        factor = np.empty((end - begin, len(root)))
        np.dot(features[begin:end], root, factor)
        divided = scaled_rows(factor, 1.0 / work.denominator[begin:end])
        if complete:
            ratios = work.ratios[begin * n_sinks : end * n_sinks].reshape(end - begin, n_sinks)
            add_product(work.from_bins, ratios.T, divided, 1.0)
        else:
            to_sinks(graph.first[begin : end + 1], graph.sink, work.ratios, divided, work.from_bins)
        add_product(work.inner, factor.T, scaled_rows(divided, work.sources[begin:end]), 1.0)


@kernel(inline="always")
def factor_system(graph, features, root, matrix, work):
    """Laplacian and low-rank part, factored; returns whether both are positive definite."""
    n_bins, n_sinks = len(work.back), len(matrix)
    complete = len(graph.sink) == n_bins * n_sinks  # the ratios are a matrix then, and its sums are products
    for i in range(n_bins):
        work.back[i] = -work.diagonal[i] / work.denominator[i]
    if complete:
        ratios = work.ratios.reshape(n_bins, n_sinks)
        np.dot(ratios.T, scaled_rows(ratios, work.back), matrix)
    else:
        matrix[:] = 0.0
        laplacian(graph.first, graph.sink, work.ratios, work.back, matrix)
    close_laplacian(work.own, matrix)
    if not factor_lower(matrix):
        return False
    if len(root) == 0:
        return True
    low_rank_products(graph, features, root, complete, work)
    for k in range(len(root)):
        response = work.responses[k]
        for j in range(len(response)):
            response[j] = work.from_bins[j, k]
        solve_lower(matrix, response)
    add_product(work.inner, work.responses, work.from_bins, -1.0)
    return factor_lower(work.inner)


@kernel
def steps(graph, bounds, point, term, at, system, limits, short):
    """Up to so many steps, fewer where gap and error are small enough or a step is not possible.

    Returns steps made, gap, stationarity error, and very short steps in a row. The gradient at the point is in `at`.
    """
    root, matrix, work = system
    p = np.empty_like(point.p)
    gap, error = np.inf, np.inf
    for made in range(limits.at_most):
        hessian_at(term, point.p, at, work.diagonal, root)
        before = linearise(graph, bounds, point, at.gradient, work)
        if not factor_system(graph, term.features, root, matrix, work):
            return made, gap, error, short
        length = two_directions(graph, bounds, point, term.features, root, matrix, before, work)
        if not np.isfinite(length):
            return made, gap, error, short
        allowed = max(error_along(bounds, point, point.p, at.gradient, 0.0, work), before)
        for _ in range(MOST_HALVINGS):  # shorter where f is so curved that the error would grow beyond the gap
            for i in range(len(p)):
                p[i] = point.p[i] + length * work.dp[i]
            gradient_at(term, p, at)
            error = error_along(bounds, point, p, at.gradient, length, work)
            if error <= allowed:
                break
            length /= 2.0
        short = short + 1 if length < SHORT else 0
        if not (length >= SHORTEST and np.isfinite(error)) or short > limits.patience:
            return made, gap, error, short
        gap = move(graph, bounds, point, p, length, work)
        if gap + error < limits.enough:
            return made + 1, gap, error, short
    return limits.at_most, gap, error, short
