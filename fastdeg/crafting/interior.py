r"""Primal-dual interior-point method for the crafting problem, for plans that fit in memory.

Variables: the plan x (K, N) ≥ 0 from bins to sinks, the pmf p = Σ_j x_j, and for bounded bins the slacks of
lower ≤ p ≤ upper. Potentials: φ (N) of p = Σ_j x_j and ψ (K) of Σ_i x_ji = q_j. On the central path

    s = c − φ − ψ > 0,    x s = μ ω,    ∇f(p) + φ − z_lower + z_upper = 0,    f = w_F FD² + tau KL

with weights ω of sum one, so that the duality gap is μ. The Hessian of f is diagonal plus U Uᵀ with as many columns
as there
are moments; a Newton step eliminates x, p and φ and factors one K × K graph Laplacian (Mehrotra's predictor and
corrector).
"""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import dsyrk
from scipy.linalg.lapack import dpotrf, dpotrs

from fastdeg.crafting.problem import PlanTransport, Problem
from fastdeg.crafting.simplex import project
from fastdeg.kernels import interior as arcs

Float = NDArray[np.float64]

_TO_BOUNDARY = 0.9
_WEIGHT_FLOOR = 0.5  # smallest weight of an arc, over the mean weight
_ENTROPY_FLOOR = 1e-9  # below this share of the prior, p log p is continued as a parabola
_WIDENED = 1e-11  # of the bounds: an interior even where they leave none; the projection of p makes up for it
_SMALLEST = 1e-290
_STEPS = 4  # between certificates
_NEARLY = 20.0  # a step takes the gap at most about so far down
_CHUNK_SECONDS = 0.25


class InteriorPoint:
    """State of the interior-point method and one step of it."""

    def __init__(self, problem: Problem, transport: PlanTransport) -> None:
        self.problem, self.transport = problem, transport
        q = transport.masses
        n_sinks, n_bins = transport.costs.shape
        self.bounded = np.flatnonzero(problem.bounded)
        self.lower, self.upper = problem.lower - _WIDENED, problem.upper + _WIDENED
        if self.bounded.size:
            room = self.upper - self.lower
            p = self.lower + room * ((1 - self.lower.sum()) / room.sum())
        else:
            p = 0.5 * problem.prior / problem.prior.sum() + 0.5 / n_bins
        self.p = p
        self._at: Float | None = None
        self._spectrum: tuple[Float, Float, Float]
        self._last_gradient: Float
        self.weights = np.maximum(np.outer(q, p), _WEIGHT_FLOOR / (n_sinks * n_bins))
        self.weights /= self.weights.sum()
        self.slack_weights = p[self.bounded]
        self.x = np.maximum(np.outer(q, p), self.weights)
        gradient = self._linearise()
        self.phi = -gradient
        reduced = transport.costs - self.phi
        self.psi = reduced.min(axis=1)
        self.s = reduced - self.psi[:, None]
        scale = float(abs(gradient - gradient.min()) @ p) + transport.largest
        shift = 2 * float((self.weights * self.s).sum()) + 1e-3 * scale + 1e-12
        self.psi -= shift
        self.s += shift
        below, above = self._slacks(p)
        self.z_lower, self.z_upper = shift * self.slack_weights / below, shift * self.slack_weights / above
        self.dual_residual = 0.0
        self.gap = np.inf
        self.system = _NewtonSystem(*self.x.shape)
        self._buffer = np.empty_like(self.x)

    # what the solver's loop asks for

    def primal(self) -> tuple[Float, float]:
        """Return a feasible p and an upper bound of its transport cost."""
        transport = self.transport
        p = np.empty(self.problem.n_bins)
        cost = float(arcs.column_feasible(self.x, transport.costs, transport.masses, p))
        if not self.bounded.size:
            return p / p.sum(), cost
        feasible = project(p, self.problem.lower, self.problem.upper)
        return feasible, cost + float(np.abs(feasible - p).sum()) * transport.largest

    def dual(self) -> tuple[Float, float, Float]:
        """Return a feasible potential φ, ⟨ψ, q⟩ and the moments at which to take the tangent."""
        transport = self.transport
        return transport.c_transform(self.psi), float(self.psi @ transport.masses), self.z

    def residuals(self) -> dict[str, float]:
        """Return how far plan and pmf are from agreeing, and f from being stationary along p."""
        transport = self.transport
        primal = np.abs(self.p - self.x.sum(axis=0)).sum() + np.abs(transport.masses - self.x.sum(axis=1)).sum()
        return {"primal_residual": float(primal), "dual_residual": self.dual_residual}

    def state(self) -> None:
        return None

    def advance(self, enough: float, at_most: int) -> int:
        """Make up to four steps, fewer when the gap seems to be small enough; 0 when none is possible."""
        end = time.perf_counter() + _CHUNK_SECONDS
        for made in range(min(at_most, _STEPS)):
            if made and (self.gap + self.dual_residual < _NEARLY * enough or time.perf_counter() > end):
                return made
            if not self._step():
                return made
        return min(at_most, _STEPS)

    # one step

    def _slacks(self, p: Float) -> tuple[Float, Float]:
        """Return the distances to the bounds."""
        at = self.bounded
        return np.maximum(p[at] - self.lower[at], _SMALLEST), np.maximum(self.upper[at] - p[at], _SMALLEST)

    def _linearise(self) -> Float:
        """Return the gradient of f at p; keep the diagonal and the factor of its Hessian."""
        problem, p = self.problem, self.p
        gradient = self._gradient(p)
        if problem.frechet_weight > 0:
            self.hessian_factor = np.sqrt(problem.frechet_weight) * problem.frechet.curvature(*self._spectrum)
            if self.hessian_factor.shape[1] > len(p):
                self.hessian_factor = _square_factor(self.hessian_factor)
        else:
            self.hessian_factor = np.zeros((len(p), 0))
        self.diagonal = self._entropy(p)[1] if problem.tau > 0 else np.zeros_like(p)
        return gradient

    def _entropy(self, p: Float) -> tuple[Float, Float]:
        """Gradient and curvature of tau KL, continued as a parabola near zero: that keeps the Newton steps long."""
        problem = self.problem
        floor = _ENTROPY_FLOOR * min(1.0, 1 / problem.tau)
        ratio = p / problem.prior
        safe = np.maximum(ratio, floor)
        return problem.tau * (np.log(safe) + 1 + (ratio - safe) / floor), problem.tau / (problem.prior * safe)

    def _gradient(self, p: Float) -> Float:
        """Return the gradient of f at p; the last one is kept, with the moments and the spectrum behind it."""
        if self._at is p:
            return self._last_gradient
        problem = self.problem
        self.z = problem.frechet.moments(p)
        self._spectrum = problem.frechet.spectrum(self.z)
        gradient = problem.frechet_weight * problem.frechet.tangent(*self._spectrum)[1]
        if problem.tau > 0:
            gradient = gradient + self._entropy(p)[0]
        self._at, self._last_gradient = p, gradient
        return gradient

    def _residual(self, gradient: Float, phi: Float, z_lower: Float, z_upper: Float) -> Float:
        residual = gradient + phi
        residual[self.bounded] += z_upper - z_lower
        return residual

    def _step(self) -> bool:
        gradient = self._linearise()
        below, above = self._slacks(self.p)
        x, s, at, system = self.x, self.s, self.bounded, self.system
        products_lower, products_upper = self.z_lower * below, self.z_upper * above
        gap = arcs.ratios(x, s, system.ratios, system.sources, system.sinks)
        gap += float(products_lower.sum() + products_upper.sum())
        total = 1.0 + 2 * float(self.slack_weights.sum())
        mu = gap / total
        residual = self._residual(gradient, self.phi, self.z_lower, self.z_upper)
        if at.size:
            self.diagonal[at] += self.z_lower / below + self.z_upper / above
        if not system.factor(self.diagonal, self.hessian_factor):
            return False
        carried, received = x.sum(axis=0), x.sum(axis=1)

        def direction(target_lower: Float, target_upper: Float, moved: Float, moved_sinks: Float) -> tuple[Float, ...]:
            """Solve the linearised optimality conditions, given the sums of the arcs' share of the step."""
            b = -residual
            if at.size:
                b[at] += target_lower / below - target_upper / above
            step = system.solve(b, self.p - carried - moved, self.transport.masses - received - moved_sinks)
            dp = step[0]
            dz_lower = (target_lower - self.z_lower * dp[at]) / below
            dz_upper = (target_upper + self.z_upper * dp[at]) / above
            return (*step, dz_lower, dz_upper)

        def longest(worst: float, step: tuple[Float, ...]) -> float:
            dp, _, _, dz_lower, dz_upper = step
            if at.size:
                worst = max(worst, _worst(below, dp[at]), _worst(above, -dp[at]))
                worst = max(worst, _worst(self.z_lower, dz_lower), _worst(self.z_upper, dz_upper))
            return 1.0 if worst <= 1 else 1 / worst

        predictor = direction(-products_lower, -products_upper, -carried, -received)
        dp, dphi, dpsi, dz_lower, dz_upper = predictor
        worst, second_order = arcs.predictor_length(x, s, system.ratios, dphi, dpsi)
        length = longest(worst, predictor)
        second_order += float((dz_lower - dz_upper) @ dp[at])
        left = (1 - length) * gap + length**2 * second_order
        target = max((left / gap) ** 3, 1e-6) * mu
        moved, moved_sources, moved_sinks = self._buffer, np.empty(x.shape[1]), np.empty(x.shape[0])
        arcs.corrector_target(x, s, system.ratios, self.weights, target, dphi, dpsi, moved, moved_sources, moved_sinks)
        corrector = direction(
            target * self.slack_weights - products_lower - dz_lower * dp[at],
            target * self.slack_weights - products_upper + dz_upper * dp[at],
            moved_sources,
            moved_sinks,
        )
        length = longest(arcs.corrector_length(x, s, system.ratios, corrector[1], corrector[2], moved), corrector)
        length = 1.0 if length >= 1 else _TO_BOUNDARY * length
        self.gap = gap
        return self._move(corrector, moved, length, float(np.abs(residual) @ self.p), gap)

    def _move(self, step: tuple[Float, ...], dx: Float, length: float, error: float, gap: float) -> bool:
        """Move, by less where f is so curved that the stationarity error would grow beyond the gap."""
        dp, dphi, dpsi, dz_lower, dz_upper = step
        if not np.isfinite(length) or not np.isfinite(dp).all():
            return False
        for _ in range(12):
            p = self.p + length * dp
            residual = self._residual(
                self._gradient(p),
                self.phi + length * dphi,
                self.z_lower + length * dz_lower,
                self.z_upper + length * dz_upper,
            )
            self.dual_residual = float(np.abs(residual) @ np.abs(p))
            if self.dual_residual <= max(2 * error, gap):
                break
            length /= 2
        if length < 1e-10:
            return False
        arcs.update(self.x, self.s, dx, dphi, dpsi, length, _SMALLEST)
        self.p = p
        self.phi = self.phi + length * dphi
        self.psi = self.psi + length * dpsi
        self.z_lower = np.maximum(self.z_lower + length * dz_lower, _SMALLEST)
        self.z_upper = np.maximum(self.z_upper + length * dz_upper, _SMALLEST)
        return True


class _NewtonSystem:
    """Solves (D + U Uᵀ) Δp + Δφ = b,  R Δφ + Wᵀ Δψ − Δp = row,  W Δφ + C Δψ = column  with W = x / s.

    R and C are the row and column sums of W. With D alone this is one K × K Laplacian, whose diagonal is summed without
    cancellation; the low-rank part comes last, through an r × r system.
    """

    def __init__(self, n_sinks: int, n_sources: int) -> None:
        self.ratios = np.empty((n_sinks, n_sources))
        self.sources, self.sinks = np.empty(n_sources), np.empty(n_sinks)

    def factor(self, diagonal: Float, hessian_factor: Float) -> bool:
        """Factor for the ratios and sums that are in place; return whether the Laplacian is positive definite."""
        self.diagonal, self.low_rank = diagonal, hessian_factor
        self.denominator = diagonal * self.sources + 1
        self.laplacian = None
        self.own = self.ratios @ (1 / self.denominator)
        if diagonal.any():
            scaled = self.ratios * np.sqrt(diagonal / self.denominator)
            matrix = dsyrk(-1.0, scaled.T, trans=1, lower=1)  # lower half; Fortran order, as LAPACK likes it
            np.fill_diagonal(matrix, 0.0)
            others = -(matrix.sum(axis=0) + matrix.sum(axis=1))
            np.fill_diagonal(matrix, (self.own + others) * (1 + 1e-14))
            self.laplacian, failure = dpotrf(matrix, lower=1, overwrite_a=1, clean=0)
            if failure:
                return False
        if hessian_factor.shape[1]:
            images = self._solve_diagonal(hessian_factor, None, None)[0]
            inner = hessian_factor.T @ images
            inner = (inner + inner.T) / 2
            inner[np.diag_indices_from(inner)] += 1
            self.inner = np.linalg.inv(inner)
        return True

    def _solve_diagonal(self, b: Float, row: Float | None, column: Float | None) -> tuple[Float, Float]:
        """Return Δp and Δψ without the low-rank part, for one right-hand side or the columns of b."""
        many = b.ndim == 2
        denominator = self.denominator[:, None] if many else self.denominator
        forward = b if row is None else b + self.diagonal * row
        right = -(self.ratios @ (forward / denominator))
        if column is not None:
            right = right + column
        if self.laplacian is None:
            dpsi = right / (self.own[:, None] if many else self.own)
        else:
            dpsi = dpotrs(self.laplacian, right, lower=1)[0]
        top = (self.sources[:, None] if many else self.sources) * b + self.ratios.T @ dpsi
        return (top if row is None else top - row) / denominator, dpsi

    def solve(self, b: Float, row: Float, column: Float) -> tuple[Float, Float, Float]:
        """Return Δp, Δφ, Δψ."""
        dp, dpsi = self._solve_diagonal(b, row, column)
        if self.low_rank.shape[1]:
            b = b - self.low_rank @ (self.inner @ (self.low_rank.T @ dp))
            dp, dpsi = self._solve_diagonal(b, row, column)
        dphi = (b - self.diagonal * (self.ratios.T @ dpsi - row)) / self.denominator
        return dp, dphi, dpsi


def _worst(values: Float, change: Float) -> float:
    """Return the largest of −change / values."""
    return float((-change / values).max(initial=0.0))


def _square_factor(factor: Float) -> Float:
    """Return L (N, N) with L Lᵀ = factor factorᵀ, for factors with more columns than rows."""
    values, vectors = np.linalg.eigh(factor @ factor.T)
    return vectors * np.sqrt(np.maximum(values, 0))
