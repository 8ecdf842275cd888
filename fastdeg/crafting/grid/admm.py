r"""Splitting (ADMM) for grids with the city-block metric: the earth mover's distance as a flow along the grid's edges.

W(p, q) = min Σ_e ℓ_e |m_e| over flows m with div m = p − q (Beckmann). With the moments z = Aᵀp as a variable of
their own, the problem is g(m) + g(p) + g(z) with (m, p, z) in an affine set, and both sides are easy:

    y = prox of g at s         block by block: shrinkage of m, entropic prox of p, Newton's method in the few moments
    x = Π(2 y − s)             projection on {div m = p − q, z = Aᵀp}: one cosine transform and back
    s ← s + 1.8 (x − y)        over-relaxation

Each block has a penalty of its own, balanced by how fast its primal and dual parts move. A further term in linear
functions of p is one more `Term`: its prox, its cost and its bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.linalg

from fastdeg._types import Float
from fastdeg.crafting.exact_cases import TargetItself
from fastdeg.crafting.grid.active_set import ActiveSet, ActiveSetSolution, ActiveSetState, flow_of
from fastdeg.crafting.grid.admm_blocks import Flows, FlowTerms, Moments, Pmf, Term, reflect
from fastdeg.crafting.grid.spectral import Projection, cosine_transform, laplacian_spectrum
from fastdeg.crafting.problem.bounded_simplex import project
from fastdeg.crafting.problem.problem import Dual, Primal, Problem
from fastdeg.crafting.problem.transport_term import GridTransport
from fastdeg.crafting.solve import Run
from fastdeg.crafting.strategy import current
from fastdeg.kernels.crafting import admm

_CHUNK = 25  # iterations between certificates, at first
_LONGEST_CHUNK = 50
_BALANCE_AT = (5, 10, 18, 36)
_BALANCE_EVERY = 50


def solves_serially(transport: GridTransport) -> bool:
    """Return whether a grid is so small that one thread does the work."""
    return len(transport.target) <= current().serial_cells


def useful_threads(transport: GridTransport, threads: int | None) -> int | None:
    """Return how many threads to use on a grid."""
    return 1 if solves_serially(transport) else threads


@dataclass(frozen=True)
class SplittingState:
    """States, prox points and penalties."""

    flows: Float
    flow_rates: Float
    pmf: tuple[Float, Float]
    pmf_rate: float
    moments: tuple[Float, Float]
    metric: Float


@dataclass(frozen=True)
class GridState:
    """What a run can start from: where the splitting has ended, and the active set."""

    splitting: SplittingState | None = None
    active_set: ActiveSetState | None = None


class GridSplitting:
    """The splitting method: its blocks, and a chunk of its iterations."""

    blank = False

    def __init__(self, problem: Problem, run: Run, further: Sequence[Term] = ()) -> None:
        transport = flow_of(problem)
        assert transport is not None
        threads = useful_threads(transport, run.threads)
        problem = replace(problem, transport=transport)
        self.problem, self.transport, self.threads, warm_start = problem, transport, threads, run.warm_start
        start = project(problem.prior, problem.lower, problem.upper)
        state = warm_start if isinstance(warm_start, GridState) else GridState()
        terms = FlowTerms.of(problem, transport, state.active_set.terms if state.active_set else None)
        features = terms.features
        self.flows = Flows(transport, threads)
        self.pmf = Pmf(problem, transport, start, terms, threads)
        self.moments = Moments(problem, features, problem.frechet.moments(start), features.gram(), terms.slope)
        self.further = tuple(further)
        self.terms: tuple[Term, ...] = (self.moments, *self.further)
        self.features = features.joined([term.features for term in self.further]).transform(transport.shape)
        ends = np.cumsum([len(term.s) for term in self.terms])
        self.parts = [slice(end - len(term.s), end) for end, term in zip(ends, self.terms, strict=True)]
        self.blocks: tuple[Flows | Pmf | Term, ...] = (self.flows, self.pmf, *self.terms)
        self.projection = Projection(transport, self.features, threads)
        self.potential = np.zeros(len(transport.target))
        self.active_set = None
        if not self.further and transport.exactly_solvable and ActiveSet.applies(problem, transport):
            self.active_set = ActiveSet(problem, transport, terms, threads, run.deadline)
        self.solution: ActiveSetSolution | None = None
        self.active_set_at = current().first_active_set[not solves_serially(transport)]
        self.n_iter = 0
        self._residuals = {"primal_residual": np.inf, "dual_residual": np.inf}
        before = state.splitting
        self.cold = before is None or before.flows.shape != self.flows.s.shape
        if before is not None and not self.cold:
            self._restore(before)
        self._set_penalties()

    @staticmethod
    def applies(problem: Problem, run: Run) -> bool:
        """Return whether the transport is a flow, and one that the active set does not solve alone."""
        flow = flow_of(problem)
        return flow is not None and (flow is problem.transport or flow.exactly_solvable)

    def _iterate(self) -> None:
        right, mismatch, reflected = self._reflect()
        if self._balance():
            right, mismatch, reflected = self._reflect()
        # x = Π(2 y − s), by its multipliers: λ of div m = p − q, w of z = Aᵀp
        w = self.projection.multipliers(right, mismatch)
        # s ← s + relaxation (x − y)
        self.pmf.relax(self.potential, self.features, w)
        self.flows.relax(self.potential)
        z = reflected + self.projection.covariance @ w
        for term, part in zip(self.terms, self.parts, strict=True):
            term.relax(z[part])
        self.n_iter += 1

    def _reflect(self) -> tuple[Float, Float, Float]:
        """Update y; return what 2 y − s lacks of the two constraints, and its z."""
        right = self.potential  # the buffer of the last λ
        mismatch = reflect(self.flows, self.pmf, self.features, right)
        reflected = np.concatenate([term.reflect() for term in self.terms])
        return right, mismatch - reflected, reflected

    def _balance(self) -> bool:
        """Rescale each block's penalty to the ratio of the moves of its dual and primal parts since the last look."""
        n = self.n_iter + 1
        if n not in _BALANCE_AT and n % _BALANCE_EVERY:
            return False
        moves = [block.moves() for block in self.blocks]
        factors = [_factor(*pair) for pair in moves if pair is not None]
        if len(factors) < len(moves):
            return False
        self._residuals = {"primal_residual": self.pmf.moved[0], "dual_residual": self.pmf.moved[1]}
        if max(max(f, 1 / f) for f in factors) <= 1.3:
            return False
        for block, factor in zip(self.blocks, factors, strict=True):
            block.rescale(factor)
        self._set_penalties()
        return True

    def _set_penalties(self) -> None:
        metric = scipy.linalg.block_diag(*(term.metric for term in self.terms))
        self.projection.set_penalties(self.flows.rates, self.pmf.rate, metric)

    # what the solver's loop asks for

    def advance(self, enough: float, at_most: int) -> int:
        """Make a chunk of iterations, and try the active set where it is time to."""
        chunk = max(_CHUNK, self.n_iter // 8)
        if self.active_set is not None and self.n_iter < self.active_set_at:
            chunk = max(chunk, self.active_set_at - self.n_iter)  # a certificate before would tell nothing
        chunk = min(chunk, _LONGEST_CHUNK, at_most)
        for _ in range(chunk):
            self._iterate()
        self.solution = None
        if self.active_set is not None and self.n_iter >= self.active_set_at:
            self.solution = self.active_set(self.flows, self.moments.y, enough)
            self.active_set_at = self.n_iter + self.n_iter // 8
        return chunk

    def primal(self) -> Primal:
        """Return a feasible p: that of the active set with its exact cost, or one with the cost of the flows, which a
        Poisson solve makes feasible too."""
        problem, transport, flows = self.problem, self.transport, self.flows
        if self.solution is not None:
            return self.solution.primal
        if self.cold and not self.n_iter and (stay := TargetItself.target_of(problem)) is not None:
            return Primal(stay, self._further_cost(stay))
        p = transport.extract(self.pmf.y)
        p = project(p, problem.lower, problem.upper) if problem.bounded.any() or not p.any() else p / p.sum()
        error = transport.embed(p) - transport.target
        flows.subtract_divergence(error)
        conductance = np.where(flows.shape > 1, 1 / flows.lengths, 1.0)
        spectrum = laplacian_spectrum(transport.shape, conductance)
        spectrum[0] = -np.inf  # the error sums to 0
        cosine_transform(error, transport.shape, self.threads)
        error /= -spectrum
        cosine_transform(error, transport.shape, self.threads, inverse=True)
        return Primal(p, flows.feasible_cost(error, -conductance) + self._further_cost(p))

    def _further_cost(self, p: Float) -> float:
        full = self.transport.embed(p)
        return sum(term.cost(term.features.contract(term.features.sums(full))) for term in self.further)

    def dual(self) -> Dual:
        """Return a feasible potential, its value on the target, and the moments at which to take the tangent."""
        if self.solution is not None:
            return self.solution.dual
        phi = -self.potential
        for axis in range(len(self.transport.shape)):
            admm.lower_to_lipschitz(
                self.flows.shape, self.flows.steps, axis, phi, threads=self.threads, work=4 * phi.size
            )
        value = -float(phi @ self.transport.target)
        for term in self.further:
            phi = term.features.expand(term.features.coefficients(term.dual), phi)
            value += term.bound(term.dual)
        return Dual(self.transport.extract(phi), value, self.moments.y)

    def residuals(self) -> dict[str, float]:
        return self._residuals

    def state(self) -> GridState:
        flows, pmf, moments = self.flows, self.pmf, self.moments
        ended = SplittingState(flows.s, flows.rates, (pmf.y, pmf.s), pmf.rate, (moments.y, moments.s), moments.metric)
        return GridState(ended, self.active_set.state() if self.active_set else None)

    def _restore(self, state: SplittingState) -> None:
        """Start from prox points and dual variables; the penalties start afresh: those of a late stage are slow."""
        flows, pmf, moments = self.flows, self.pmf, self.moments
        fresh, flows.rates = flows.rates, state.flow_rates
        flows.s = state.flows.copy()
        flows.rescale(float(np.exp(np.mean(np.log(fresh / state.flow_rates)))))
        pmf.y, pmf.s = state.pmf[0].copy(), state.pmf[0] + (state.pmf[1] - state.pmf[0]) * (state.pmf_rate / pmf.rate)
        if state.moments[0].shape == moments.y.shape:  # else another target's moments
            y, s = state.moments
            moments.y, moments.s = y, y + np.linalg.solve(moments.metric, state.metric @ (s - y))


def _factor(primal: float, dual: float) -> float:
    """Return the factor for a penalty, damped, from the squared moves of the primal and dual parts."""
    if not primal > 0 or not dual > 0:
        return 1.0
    ratio = np.sqrt(dual / primal)
    return float(min(max(np.sqrt(ratio), 0.25), 4.0)) if 1e-8 < ratio < 1e8 else 1.0
