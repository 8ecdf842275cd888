r"""Primal-dual interior-point method for the crafting problem, on all arcs of the plan or on those of small slack.

Variables: the plan x ≥ 0 on arcs from bins to sinks, the pmf p = Σ_j x_ij, and for bounded bins the slacks of
lower ≤ p ≤ upper. Potentials: φ (N) of p = Σ_j x_ij and ψ (K) of Σ_i x_ij = q_j. On the central path

    s = c − φ − ψ > 0,    x s = μ ω,    ∇f(p) + φ − z_lower + z_upper = 0,    f = w_F FD² + tau KL

with weights ω of sum one, so that the duality gap is μ. The Hessian of f is diagonal plus U Uᵀ with as many columns
as there are moments; a Newton step eliminates x, p and φ and factors one K × K graph Laplacian (Mehrotra's predictor
and corrector).

Arcs that are left out count as x = 0. They are priced with every certificate: where one turns out to have a negative
slack, φ is lowered at its bin and the arc joins.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fastdeg.crafting.arcs import Arcs, all_arcs, distinct, small_slack, some_arcs
from fastdeg.crafting.newton_system import NewtonSystem
from fastdeg.crafting.problem import PlanTransport, Primal, Problem
from fastdeg.crafting.simplex import project
from fastdeg.kernels import interior as kernels

Float = NDArray[np.float64]

_TO_BOUNDARY = 0.9
_WEIGHT_FLOOR = 0.5  # smallest weight of an arc, over the mean weight
_ENTROPY_FLOOR = 1e-9  # below this share of the prior, p log p is continued as a parabola
_WIDENED = 1e-11  # of the bounds: an interior even where they leave none; the projection of p makes up for it
_SMALLEST = 1e-290
_STEPS = 4  # between certificates
_NEARLY = 20.0  # a step takes the gap at most about so far down
_CHUNK_SECONDS = 0.25
_JOINING = 4  # arcs of a bin that may join at a time
_WARM_GAP = 1e-3  # to start with from the solution of a similar problem, over the largest ground cost
_STARTS = 4  # tries of a gap to start with
_SHORT = 0.02  # steps below this length are made a few times in a row only, where not all arcs are at work
_SWEEPS = 3  # of the warm start, over the potentials of bins and sinks


@dataclass(frozen=True)
class Start:
    """Where to start from: potentials of the bins, pmf and its moments, and a duality gap; and on which arcs."""

    phi: Float
    p: Float
    z: Float
    gap: float
    arcs: Arcs

    def fits(self, problem: Problem, transport: PlanTransport) -> bool:
        """Whether a problem has as many bins and sinks, and its moments as many dimensions."""
        same_moments = len(self.z) == len(problem.frechet.target_moments)
        return same_moments and transport.costs.shape == (self.arcs.n_sinks, problem.n_bins)

    def on(self, transport: PlanTransport) -> Start:
        """Return the same start with the ground costs of another problem."""
        return replace(self, arcs=some_arcs(transport, self.arcs.keys))


class InteriorPoint:
    """State of the interior-point method and one step of it."""

    def __init__(
        self, problem: Problem, transport: PlanTransport, threads: int | None = None, start: Start | None = None
    ) -> None:
        self.problem, self.transport, self.threads = problem, transport, threads
        self.bounded = np.flatnonzero(problem.bounded)
        self.lower, self.upper = problem.lower - _WIDENED, problem.upper + _WIDENED
        self._at: Float | None = None
        self._spectrum: tuple[Float, Float, Float]
        self._last_gradient: Float
        self.dual_residual = 0.0
        self._short_steps = 0
        if start is None:
            self._cold_start()
        else:
            self._warm_start(start)

    def _cold_start(self) -> None:
        problem, transport = self.problem, self.transport
        self._use(all_arcs(transport))
        arcs = self.arcs
        self.p = p = self._interior(problem.prior)
        expected = transport.masses[arcs.sink] * p[arcs.bin]
        self._set_weights(expected)
        self.x = np.maximum(expected, self.weights)
        gradient = self._gradient(p)
        self.phi = -gradient
        self.psi, _ = transport.row_transform(self.phi, self.threads)
        self.s = arcs.costs - self.phi[arcs.bin] - self.psi[arcs.sink]
        scale = float(abs(gradient - gradient.min()) @ p) + transport.largest
        shift = 2 * float(self.weights @ self.s) + 1e-3 * scale + 1e-12
        self.psi -= shift
        self.s += shift
        self._start_bounds(shift)

    def _warm_start(self, start: Start) -> None:
        """Start from a coarser problem's solution, with a gap of the size of its errors."""
        self._use(start.arcs)
        arcs = self.arcs
        self._set_weights(self.transport.masses[arcs.sink] * self._interior(start.p)[arcs.bin])
        gap = start.gap
        for _ in range(_STARTS):
            self._center(start, gap)
            residual = float(np.abs(self._gradient(self.p) + self.phi) @ self.p)
            if residual <= 2 * gap:
                break
            gap = residual  # the start is as wrong as that
        self._start_bounds(gap)

    def _center(self, start: Start, gap: float) -> None:
        """Choose potentials, plan and pmf on x s = gap · ω; from coarse potentials, by turns for sinks and bins."""
        problem, masses, arcs = self.problem, self.transport.masses, self.arcs
        self.phi, self.psi = start.phi.copy(), np.empty(arcs.n_sinks)
        amounts = gap * self.weights
        kernels.soft_potentials(arcs.first, arcs.sink, arcs.costs, self.phi, amounts, masses, self.psi)
        if problem.tau > 0:
            slope = problem.frechet.tangent(*problem.frechet.spectrum(start.z))[1]
            logs = np.log(problem.prior) - 1 - problem.frechet_weight / problem.tau * slope
            for _ in range(_SWEEPS):
                kernels.soft_bins(arcs.first, arcs.sink, arcs.costs, self.psi, amounts, logs, problem.tau, self.phi)
                kernels.soft_potentials(arcs.first, arcs.sink, arcs.costs, self.phi, amounts, masses, self.psi)
        self.s = arcs.costs - self.phi[arcs.bin] - self.psi[arcs.sink]
        self.x = amounts / self.s
        bounded = self.bounded.size > 0
        self.p = self._interior(start.p) if bounded else np.bincount(arcs.bin, self.x, len(self.phi)).astype(np.float64)

    def _interior(self, p: Float) -> Float:
        """Return a pmf near to p that is well inside of the bounds."""
        if not self.bounded.size:
            return 0.5 * p / p.sum() + 0.5 / len(p)
        room = self.upper - self.lower
        return self.lower + room * ((1 - self.lower.sum()) / room.sum())

    def _set_weights(self, expected: Float) -> None:
        self.weights = np.maximum(expected, _WEIGHT_FLOOR * expected.mean())
        self.weights /= self.weights.sum()

    def _start_bounds(self, gap: float) -> None:
        self.gap = gap
        self.slack_weights = self.p[self.bounded]
        below, above = self._slacks(self.p)
        self.z_lower, self.z_upper = gap * self.slack_weights / below, gap * self.slack_weights / above

    def _use(self, arcs: Arcs) -> None:
        self.arcs = arcs
        self.system = NewtonSystem(arcs)
        self._buffer = np.empty(len(arcs.sink))

    # what the solver's loop asks for

    def primal(self) -> Primal:
        """Return a feasible p and an upper bound of its transport cost."""
        transport, arcs = self.transport, self.arcs
        p = np.empty(self.problem.n_bins)
        cost = float(kernels.feasible_sinks(arcs.first, arcs.sink, self.x, arcs.costs, transport.masses, p))
        if not self.bounded.size:
            return Primal(p / p.sum(), cost)
        feasible = project(p, self.problem.lower, self.problem.upper)
        return Primal(feasible, cost + float(np.abs(feasible - p).sum()) * transport.largest)

    def dual(self) -> tuple[Float, float, Float]:
        """Return a feasible potential φ, ⟨ψ, q⟩ and the moments at which to take the tangent; let arcs join."""
        transport = self.transport
        phi = transport.c_transform(self.psi, self.threads)
        if not self.arcs.complete:
            self._price(phi)
        return phi, float(self.psi @ transport.masses), self.z

    def residuals(self) -> dict[str, float]:
        """Return how far plan and pmf are from agreeing, and f from being stationary along p."""
        arcs = self.arcs
        carried, received = np.empty_like(self.p), np.empty(arcs.n_sinks)
        kernels.sums(arcs.first, arcs.sink, self.x, carried, received)
        primal = np.abs(self.p - carried).sum() + np.abs(self.transport.masses - received).sum()
        return {"primal_residual": float(primal), "dual_residual": self.dual_residual}

    def state(self) -> Start:
        return Start(self.phi, self.p, self.z, _WARM_GAP * self.transport.largest, self.arcs)

    def advance(self, enough: float, at_most: int) -> int:
        """Make up to four steps, fewer when the gap seems to be small enough; 0 when none is possible."""
        end = time.perf_counter() + _CHUNK_SECONDS
        for made in range(min(at_most, _STEPS)):
            if made and (self.gap + self.dual_residual < _NEARLY * enough or time.perf_counter() > end):
                return made
            with np.errstate(invalid="ignore", over="ignore"):  # a step that is not finite is not made
                if not self._step():
                    return made
        return min(at_most, _STEPS)

    def _price(self, feasible: Float) -> None:
        """Let the arcs of negative slack join, φ lowered at their bins to make it positive."""
        wrong = self.phi > feasible
        if not wrong.any():
            return
        keys = small_slack(self.transport, self.psi, self.phi, 0.0, _JOINING, self.threads)
        old = self.arcs
        own = old.keys
        joined = keys[own[np.minimum(np.searchsorted(own, keys), len(own) - 1)] != keys]
        if not len(joined):
            return
        both = distinct(own, joined)
        place, new = np.searchsorted(both, own), np.searchsorted(both, joined)
        self.phi = np.where(wrong, feasible - self.gap, self.phi)
        self._use(some_arcs(self.transport, both))
        arcs = self.arcs
        weights, x = np.empty(len(both)), np.empty(len(both))
        weights[place], x[place] = self.weights, self.x
        weights[new] = self.weights.min()
        self.s = np.maximum(arcs.costs - self.phi[arcs.bin] - self.psi[arcs.sink], _SMALLEST)
        x[new] = self.gap * weights[new] / self.s[new]
        self.weights, self.x = weights / weights.sum(), x

    # one step

    def _slacks(self, p: Float) -> tuple[Float, Float]:
        """Return the distances to the bounds."""
        at = self.bounded
        return np.maximum(p[at] - self.lower[at], _SMALLEST), np.maximum(self.upper[at] - p[at], _SMALLEST)

    def _linearise(self) -> tuple[Float, Float]:
        """Return the diagonal of the Hessian of f at p and a factor of the rest."""
        problem, p = self.problem, self.p
        diagonal = self._entropy(p)[1] if problem.tau > 0 else np.zeros_like(p)
        if problem.frechet_weight == 0:
            return diagonal, np.zeros((len(p), 0))
        factor = problem.frechet.curvature(*self._spectrum)
        factor *= np.sqrt(problem.frechet_weight)
        return diagonal, _square_factor(factor) if factor.shape[1] > len(p) else factor

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
        gradient = self._gradient(self.p)
        below, above = self._slacks(self.p)
        x, s, at, system = self.x, self.s, self.bounded, self.system
        products_lower, products_upper = self.z_lower * below, self.z_upper * above
        first, sink = self.arcs.first, self.arcs.sink
        gap = kernels.ratios(first, sink, x, s, system.ratios, system.sources, system.sinks)
        gap += float(products_lower.sum() + products_upper.sum())
        total = 1.0 + 2 * float(self.slack_weights.sum())
        mu = gap / total
        residual = self._residual(gradient, self.phi, self.z_lower, self.z_upper)
        diagonal, low_rank = self._linearise()
        if at.size:
            diagonal[at] += self.z_lower / below + self.z_upper / above
        if not system.factor(diagonal, low_rank):
            return False
        del low_rank  # the largest array: the system lets go of it too before others of its size are made
        carried, received = np.empty_like(self.p), np.empty(self.arcs.n_sinks)
        kernels.sums(first, sink, x, carried, received)

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
        worst, second_order = kernels.predictor_length(first, sink, x, s, system.ratios, dphi, dpsi)
        length = longest(worst, predictor)
        second_order += float((dz_lower - dz_upper) @ dp[at])
        left = (1 - length) * gap + length**2 * second_order
        target = max((left / gap) ** 3, 1e-6) * mu
        moved, moved_sources, moved_sinks = self._buffer, np.empty_like(carried), np.empty_like(received)
        kernels.corrector_target(
            first, sink, x, s, system.ratios, self.weights, target, dphi, dpsi, moved, moved_sources, moved_sinks
        )
        corrector = direction(
            target * self.slack_weights - products_lower - dz_lower * dp[at],
            target * self.slack_weights - products_upper + dz_upper * dp[at],
            moved_sources,
            moved_sinks,
        )
        system.release()
        worst = kernels.corrector_length(first, sink, x, s, system.ratios, corrector[1], corrector[2], moved)
        length = longest(worst, corrector)
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
        self._short_steps = self._short_steps + 1 if length < _SHORT else 0
        if length < 1e-10 or (self._short_steps > _STEPS and not self.arcs.complete):
            return False
        kernels.update(self.arcs.first, self.arcs.sink, self.x, self.s, dx, dphi, dpsi, length, _SMALLEST)
        self.p = p
        self.phi = self.phi + length * dphi
        self.psi = self.psi + length * dpsi
        self.z_lower = np.maximum(self.z_lower + length * dz_lower, _SMALLEST)
        self.z_upper = np.maximum(self.z_upper + length * dz_upper, _SMALLEST)
        return True


def _worst(values: Float, change: Float) -> float:
    """Return the largest of −change / values."""
    return float((-change / values).max(initial=0.0))


def _square_factor(factor: Float) -> Float:
    """Return L (N, N) with L Lᵀ = factor factorᵀ, for factors with more columns than rows."""
    values, vectors = np.linalg.eigh(factor @ factor.T)
    return vectors * np.sqrt(np.maximum(values, 0))
