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
from scipy.linalg.blas import dsyrk
from scipy.linalg.lapack import dpstrf

from fastdeg._types import Float
from fastdeg.crafting.interior.active_arcs import Arcs, all_arcs, distinct, small_slack, some_arcs
from fastdeg.crafting.interior.newton_system import NewtonSystem
from fastdeg.crafting.problem.bounded_simplex import project
from fastdeg.crafting.problem.problem import Dual, Primal, Problem
from fastdeg.crafting.problem.transport_term import PlanTransport
from fastdeg.crafting.solve import Run
from fastdeg.crafting.strategy import current
from fastdeg.kernels.crafting.interior import compiled_steps, newton
from fastdeg.kernels.crafting.interior import plan as kernels

_WEIGHT_FLOOR = 0.5  # smallest weight of an arc, over the mean weight
_WIDENED = 1e-11  # of the bounds: an interior even where they leave none; the projection of p makes up for it
_LEAST_MASS = 1e-12  # of a sink, on the central path: less drowns in rounding
_STEPS = 4  # between certificates, at least: some arcs are priced with each, all arcs are not
_SAFELY = 0.8  # of the gap that is enough: the certificate's is a little larger than the method's own
_JOINING = 4  # arcs of a bin that may join at a time
_LOWERED = 0.05  # what φ is lowered by, at most, over the largest ground cost
_WARM_GAP = 1e-3  # to start with from the solution of a similar problem, over the largest ground cost
_STARTS = 4  # tries of a gap to start with
_COLD_GAP = 0.1  # to start with from nothing, over the largest ground cost
_SWEEPS = 2  # of the warm start, over the potentials of bins and sinks


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

    blank = False

    def __init__(self, problem: Problem, run: Run, start: Start | None = None) -> None:
        transport = problem.transport
        assert isinstance(transport, PlanTransport)
        self.problem, self.transport, self.threads, self.deadline = problem, transport, run.threads, run.deadline
        self.masses = np.maximum(transport.masses, _LEAST_MASS)
        self.masses /= self.masses.sum()
        at = np.flatnonzero(problem.bounded)
        self.lower, self.upper = problem.lower - _WIDENED, problem.upper + _WIDENED
        self.bounds = newton.Bounds(at, self.lower[at], self.upper[at], np.empty(len(at)))
        frechet, n_sinks = problem.frechet, len(transport.masses)
        self.small = frechet.rank <= current().small_rank and n_sinks <= current().compiled_sinks
        if self.small:
            self.term, self.at = _compiled_term(problem)
        self.z: Float
        self.gradient: Float
        self._spectrum: tuple[Float, Float, Float]
        self.dual_residual = 0.0
        self._short_steps = 0
        self._warm_start(self._cold_start() if start is None else start)

    @staticmethod
    def applies(problem: Problem, run: Run) -> bool:
        """Return whether the transport is a plan, of arcs that are not too many to try them all."""
        transport = problem.transport
        if not isinstance(transport, PlanTransport):
            return False
        return transport.geometry is None or transport.costs.size <= current().arcs_tried

    def _cold_start(self) -> Start:
        """Start from the prior, with potentials that make it stationary."""
        prior, transport = self.problem.prior, self.transport
        self._gradient(prior)
        spread = float(abs(self.gradient - self.gradient.min()) @ prior)
        scale = transport.largest + spread
        gap = scale if self.bounds.at.size else _COLD_GAP * scale  # with bounds the plan is not yet one to p
        gap += 1e-12 * max(1.0, float(np.abs(self.gradient).max()))  # slacks are not to drown in the potentials
        return Start(-self.gradient, prior, self.z, gap, all_arcs(transport))

    def _warm_start(self, start: Start) -> None:
        """Start from a coarser problem's solution, with a gap of the size of its errors."""
        self._use(start.arcs)
        arcs = self.arcs
        self._set_weights(self.masses[arcs.sink] * self._interior(start.p)[arcs.bin])
        gap = start.gap
        for _ in range(_STARTS):
            self._center(start, gap)
            self._gradient(self.p)
            residual = float(np.abs(self.gradient + self.phi) @ self.p)
            if residual <= 2 * gap:
                break
            gap = residual  # the start is as wrong as that
        self._start_bounds(gap)

    def _center(self, start: Start, gap: float) -> None:
        """Choose potentials, plan and pmf on x s = gap · ω; from coarse potentials, by turns for sinks and bins."""
        problem, masses, arcs = self.problem, self.masses, self.arcs
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
        self.p = (
            self._interior(start.p)
            if self.bounds.at.size
            else np.bincount(arcs.bin, self.x, len(self.phi)).astype(np.float64)
        )

    def _interior(self, p: Float) -> Float:
        """Return a pmf near to p that is well inside of the bounds."""
        if not self.bounds.at.size:
            return 0.5 * p / p.sum() + 0.5 / len(p)
        room = self.upper - self.lower
        return self.lower + room * ((1 - self.lower.sum()) / room.sum())

    def _set_weights(self, expected: Float) -> None:
        self.weights = np.maximum(expected, _WEIGHT_FLOOR * expected.mean())
        self.weights /= self.weights.sum()

    def _start_bounds(self, gap: float) -> None:
        self.gap = gap
        at, lower, upper, weights = self.bounds
        weights[:] = self.p[at]
        self.z_lower, self.z_upper = gap * weights / (self.p[at] - lower), gap * weights / (upper - self.p[at])

    def _use(self, arcs: Arcs) -> None:
        self.arcs = arcs
        weight = self.problem.frechet_weight
        n_columns = (len(self.at.z) if weight > 0 else 0) if self.small else None
        self.system = NewtonSystem(arcs, len(self.bounds.at), n_columns)

    @property
    def graph(self) -> kernels.Graph:
        return kernels.Graph(self.arcs.first, self.arcs.sink, self.weights, self.masses)

    @property
    def point(self) -> newton.Point:
        return newton.Point(self.x, self.s, self.p, self.phi, self.psi, self.z_lower, self.z_upper)

    @property
    def _patience(self) -> int:
        """Very short steps that may be made in a row: where not all arcs are at work, a few."""
        return np.iinfo(np.int64).max if self.arcs.complete else _STEPS

    # what the solver's loop asks for

    def primal(self) -> Primal:
        """Return a feasible p and an upper bound of its transport cost."""
        transport, arcs = self.transport, self.arcs
        p = np.empty(self.problem.n_bins)
        cost = float(kernels.feasible_sinks(arcs.first, arcs.sink, self.x, arcs.costs, transport.masses, p))
        if not self.bounds.at.size:
            return Primal(p / p.sum(), cost)
        feasible = project(p, self.problem.lower, self.problem.upper)
        return Primal(feasible, cost + float(np.abs(feasible - p).sum()) * transport.largest)

    def dual(self) -> Dual:
        """Return a feasible potential φ, ⟨ψ, q⟩ and the moments at which to take the tangent; let arcs join."""
        transport = self.transport
        phi = transport.c_transform(self.psi, self.threads)
        if not self.arcs.complete:
            self._price(phi)
        return Dual(phi, float(self.psi @ transport.masses), self.z)

    def residuals(self) -> dict[str, float]:
        """Return how far plan and pmf are from agreeing, and f from being stationary along p."""
        arcs = self.arcs
        carried, received = np.empty_like(self.p), np.empty(arcs.n_sinks)
        kernels.sums(arcs.first, arcs.sink, self.x, carried, received)
        primal = np.abs(self.p - carried).sum() + np.abs(self.masses - received).sum()
        return {"primal_residual": float(primal), "dual_residual": self.dual_residual}

    def state(self) -> Start:
        return Start(self.phi, self.p, self.z, _WARM_GAP * self.transport.largest, self.arcs)

    def advance(self, enough: float, at_most: int) -> int:
        """Make a few steps, fewer when the gap seems to be small enough; 0 when none is possible."""
        complete = self.arcs.complete
        most = min(at_most, max(_STEPS, current().steps_of_arcs // len(self.arcs.sink)) if complete else _STEPS)
        enough *= _SAFELY
        if self.small:
            system = compiled_steps.System(self.system.root, self.system.matrix, self.system.work)
            limits = compiled_steps.Limits(enough, most, self._patience)
            made, self.gap, self.dual_residual, self._short_steps = compiled_steps.steps(
                self.graph, self.bounds, self.point, self.term, self.at, system, limits, self._short_steps
            )
            return int(made)
        for made in range(most):
            if made and (self.gap + self.dual_residual < enough or time.perf_counter() > self.deadline):
                return made
            with np.errstate(invalid="ignore", over="ignore"):  # a step that is not finite is not made
                if not self._step():
                    return made
        return most

    def _price(self, feasible: Float) -> None:
        """Let the arcs of negative slack join, φ lowered at their bins to make it positive."""
        wrong = self.phi > feasible
        if not wrong.any():
            return
        del self.system  # makes room
        keys = small_slack(self.transport, self.psi, self.phi, 0.0, _JOINING, self.threads)
        own = self.arcs.keys
        joined = keys[own[np.minimum(np.searchsorted(own, keys), len(own) - 1)] != keys]
        if not len(joined):
            self._use(self.arcs)
            return
        both = distinct(own, joined)
        place, new = np.searchsorted(both, own), np.searchsorted(both, joined)
        self.phi = np.where(wrong, feasible - min(self.gap, _LOWERED * self.transport.largest), self.phi)
        self._use(some_arcs(self.transport, both))
        arcs = self.arcs
        weights, x = np.empty(len(both)), np.empty(len(both))
        weights[place], x[place] = self.weights, self.x
        weights[new] = self.weights.min()
        self.s = np.maximum(arcs.costs - self.phi[arcs.bin] - self.psi[arcs.sink], kernels.SMALLEST)
        x[new] = self.gap * weights[new] / self.s[new]
        self.weights, self.x = weights / weights.sum(), x

    # one step

    def _gradient(self, p: Float) -> None:
        """Take moments, spectrum and gradient of f at p."""
        if self.small:
            compiled_steps.gradient_at(self.term, p, self.at)
            self.z, self.gradient = self.at.z, self.at.gradient
            return
        problem = self.problem
        self.z = problem.frechet.moments(p)
        self._spectrum = problem.frechet.spectrum(self.z)
        self.gradient = problem.frechet_weight * problem.frechet.tangent(*self._spectrum)[1]
        if problem.tau > 0:
            newton.add_entropy_gradient(problem.prior, problem.tau, p, self.gradient)

    def _hessian(self) -> Float:
        """Put the diagonal of the Hessian of f at p into the system; return a factor of the rest."""
        problem = self.problem
        newton.entropy_curvature(problem.prior, problem.tau, self.p, self.system.work.diagonal)
        if problem.frechet_weight == 0:
            return np.zeros((len(self.p), 0))
        factor = problem.frechet.curvature(*self._spectrum)
        factor *= np.sqrt(problem.frechet_weight)
        return _square_factor(factor) if factor.shape[1] > len(self.p) else factor

    def _step(self) -> bool:
        """Make one step; return whether that was possible."""
        graph, bounds, point, system = self.graph, self.bounds, self.point, self.system
        factor = self._hessian()
        gap = newton.linearise(graph, bounds, point, self.gradient, system.work)
        if not system.factor(factor):
            return False
        length = system.directions(graph, bounds, point, gap)
        del factor  # the largest array: the system lets go of it too before others of its size are made
        system.release()
        error = newton.error_along(bounds, point, self.p, self.gradient, 0.0, system.work)
        for _ in range(
            compiled_steps.MOST_HALVINGS
        ):  # shorter where f is so curved that the error would grow beyond the gap
            p = self.p + length * system.work.dp
            if not np.isfinite(p).all():
                return False
            self._gradient(p)
            self.dual_residual = newton.error_along(bounds, point, p, self.gradient, length, system.work)
            if self.dual_residual <= max(error, gap):
                break
            length /= 2
        self._short_steps = self._short_steps + 1 if length < compiled_steps.SHORT else 0
        if length < compiled_steps.SHORTEST or self._short_steps > self._patience:
            return False
        self.gap = newton.move(graph, bounds, point, p, length, system.work)
        return True


class WarmInteriorPoint(InteriorPoint):
    """Starts from the solution of a similar problem, on its arcs."""

    def __init__(self, problem: Problem, run: Run) -> None:
        super().__init__(problem, run, run.warm_start.on(problem.transport))

    @staticmethod
    def applies(problem: Problem, run: Run) -> bool:
        """Return whether there is one of as many bins, sinks and moments."""
        start, transport = run.warm_start, problem.transport
        if not isinstance(start, Start) or not isinstance(transport, PlanTransport) or transport.absent:
            return False
        return start.fits(problem, transport)


def _compiled_term(problem: Problem) -> tuple[compiled_steps.Term, compiled_steps.At]:
    """Return f for the compiled step, and room for what is known at a point."""
    frechet = problem.frechet
    features = frechet.all_features()
    term = compiled_steps.Term(features, frechet.linear, problem.prior, problem.frechet_weight, problem.tau)
    k, r = frechet.rank, features.shape[1]
    shapes = ((r,), (k,), (k, k), (k,), (r,), (problem.n_bins,))
    return term, compiled_steps.At(*(np.zeros(shape) for shape in shapes))


def _square_factor(factor: Float) -> Float:
    """Return L (N, rank) with L Lᵀ = factor factorᵀ, where columns outnumber rows: a pivoted Cholesky factor."""
    lower, pivots, rank, _ = dpstrf(dsyrk(1.0, factor.T, trans=1, lower=1), lower=1, overwrite_a=1)
    square = np.empty((len(factor), rank))
    square[pivots - 1] = np.tril(lower[:, :rank])
    return square
