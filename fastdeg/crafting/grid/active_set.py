"""Active set: from the active flows of a splitting to the distribution and the potential that they determine.

Where flow runs, the potential rises by the length of the step. So the cells that flows join, one tree, share one
unknown constant, and p, which minimises the tangent problem, keeps in each tree the mass that q has there. Given the
forest, that is a closed form in each tree and Newton's method in the few moments; given the moments' slope, a network
simplex finds the forest. In turn they take a few rounds, in place of hundreds of iterations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastdeg._types import Float
from fastdeg.crafting.grid.admm_blocks import Flows, FlowTerms
from fastdeg.crafting.grid.forest import MOST_AXES, Forest
from fastdeg.crafting.problem.problem import Dual, Primal, Problem
from fastdeg.crafting.problem.transport_term import GridTransport
from fastdeg.crafting.strategy import current
from fastdeg.kernels.crafting import admm
from fastdeg.kernels.crafting.forest import component_newton
from fastdeg.transport.grid import solve_grid

_TINY = 1e-9  # gap that is worth a certificate, whatever is wanted
_FORBIDDEN = 1e-12  # mass outside the bins that p may use
_ROUNDS = 8
_MOST_STEPS = 12
_SETTLED = 1e-9  # relative error of the moments, of which the gap takes the square
_LEAST_SHARE = 4e-4  # of a Newton step; the first half, quarter, … of it that stays in the domain is made
_FAR = 4.0  # ratio of two tau beyond which one's forest is no start for the other


def flow_of(problem: Problem) -> GridTransport | None:
    """Return the transport as a flow where it is one, or the methods for flows are those to try first."""
    transport = problem.transport
    if isinstance(transport, GridTransport):
        return transport
    flow = transport.flow if transport.by_flow else None
    if flow is None or not ActiveSet.applies(problem, flow):
        return None
    return flow if flow.exactly_solvable or near_target(problem, flow) else None


def near_target(problem: Problem, transport: GridTransport) -> bool:
    """Return whether tau does not reach far on the grid, so that the target's forest is nearly that of p."""
    within = transport.reach(problem.tau) <= current().near_target_cells
    return within and problem.tau <= transport.steps.sum()


@dataclass(frozen=True)
class ActiveSetSolution:
    """A feasible p with its exact transport cost, and the lower bound that its potential proves."""

    primal: Primal
    dual: Dual
    gap: float
    moment_error: float


@dataclass(frozen=True)
class ActiveSetState:
    """Forest and potential of a solution, the moments of its p, and what it solves."""

    tau: float
    basis: NDArray[np.uint32]
    potential: Float
    moments: Float
    transport: GridTransport
    terms: FlowTerms

    def near(self, problem: Problem, transport: GridTransport) -> bool:
        """Return whether another problem has the same grid and a tau that is not too far away."""
        return np.array_equal(self.transport.steps, transport.steps) and 1 / _FAR < self.tau / problem.tau < _FAR


class ActiveSet:
    """Polishes the flows of one problem, in which p has no bounds and tau is positive."""

    def __init__(
        self,
        problem: Problem,
        transport: GridTransport,
        terms: FlowTerms,
        threads: int | None,
        deadline: float = np.inf,
    ) -> None:
        self.problem, self.transport, self.terms, self.threads = problem, transport, terms, threads
        self.features = terms.features
        self.slope, self.log_prior = terms.slope, terms.log_prior
        self.rest = terms.rest if len(terms.rest) else np.zeros(len(transport.target))
        self.forest = Forest(transport, problem.tau, deadline)
        self.solved = False

    @staticmethod
    def applies(problem: Problem, transport: GridTransport) -> bool:
        """Return whether p follows from potentials in closed form."""
        return problem.tau > 0 and not problem.bounded.any() and len(transport.shape) <= MOST_AXES

    def __call__(self, flows: Flows, z: Float, enough: float) -> ActiveSetSolution | None:
        """Return the best of a few rounds, starting at moments z; None where they come to nothing."""
        self.forest.from_flows(flows.s, 1 / flows.rates, self._exponents(z))
        solved = self._newton(*self.forest.trees(), z)
        if solved is not None and np.ptp(self.forest.potential) <= self.problem.tau:
            # p hardly depends on flows: those that are exact for it leave little to pivot
            transport, p = self.transport, self.forest.p / self.forest.p.sum()
            a, b = p.reshape(transport.shape), transport.target.reshape(transport.shape)
            self.forest.from_tree(solve_grid(a, b, transport.coordinates, self.threads)[1])
            solved = self._newton(*self.forest.trees(), solved)
        return self._rounds(solved, enough)

    def go_on(self, state: ActiveSetState, enough: float) -> ActiveSetSolution | None:
        """Start from where the active set of a problem nearby ended."""
        self.forest.basis[:], self.forest.potential[:] = state.basis, state.potential
        if not np.array_equal(state.transport.target, self.transport.target):  # trees may be left without mass
            self.forest.attach_unreached(self._exponents(state.moments))
        return self._rounds(self._newton(*self.forest.trees(), state.moments), enough)

    def from_target(self, enough: float) -> ActiveSetSolution | None:
        """Start from where tau → 0 leads: p the target, each of its cells a tree to which near ones are basic."""
        z = self._moments(self.transport.target)
        self.forest.attach_unreached(self._exponents(z))
        return self._rounds(self._newton(*self.forest.trees(), z), enough)

    def state(self) -> ActiveSetState | None:
        """Return what the active set for another tau can start from."""
        if not self.solved:
            return None
        forest, moments = self.forest, self._moments(self.forest.p)
        return ActiveSetState(forest.tau, forest.basis, forest.potential, moments, self.transport, self.terms)

    def _rounds(self, z: Float | None, enough: float) -> ActiveSetSolution | None:
        """Solve for the forest and for the moments in turn, as long as that halves the gap; return the best.

        The forest's p is that of the moments z.
        """
        best, least_gap = None, np.inf
        for _ in range(_ROUNDS):
            if z is None or not self.forest.optimise(self._exponents(z)):
                break
            if self._mismatch(z) <= max(enough, _TINY):
                solution = self._certified(z)
                if solution is None or not solution.gap <= least_gap / 2:
                    break
                best, least_gap, self.solved = solution, solution.gap, True
                if least_gap <= enough:
                    break
            z = self._newton(*self.forest.trees(), z, known=True)
        return best

    def _mismatch(self, z: Float) -> float:
        """Return what the gap is at least: how far the tangent at z lies below FD² at the moments of the forest's p."""
        if not len(z):
            return 0.0
        frechet, at, there = self.problem.frechet, self.problem.frechet.spectrum(z), self._moments(self.forest.p)
        roots = frechet.spectrum(there)[0]
        return self.problem.frechet_weight * float(2 * (at[0].sum() - roots.sum()) - frechet.slope(*at) @ (there - z))

    def _certified(self, z: Float) -> ActiveSetSolution | None:
        """Return the forest's p with its transport cost, and a feasible potential with its bound."""
        problem, transport, forest = self.problem, self.transport, self.forest
        inner = transport.extract(forest.p)
        if inner.sum() < 1 - _FORBIDDEN:
            return None
        inner, phi = inner / inner.sum(), forest.potential.copy()
        for axis in range(len(transport.shape)):
            admm.lower_to_lipschitz(forest.shape, transport.steps, axis, phi, threads=self.threads, work=4 * len(phi))
        inner_phi, dual_transport, cost = transport.extract(phi), -float(phi @ transport.target), forest.flow_cost()
        objective, bound = problem.objective(inner, cost), problem.lower_bound(z, inner_phi, dual_transport)
        return ActiveSetSolution(
            Primal(inner, cost, True, objective),
            Dual(inner_phi, dual_transport, z, bound),
            gap=objective - bound,
            moment_error=float(np.abs(self._moments(forest.p) - z).max(initial=0.0)),
        )

    def _moments(self, p: Float) -> Float:
        return self.features.contract(self.features.sums(p, threads=self.threads))

    def _exponents(self, z: Float, costs: Float | None = None) -> Float:
        """Return log prior − costs / tau, with those of the tangent at z; ``costs``: the others, or what FD² leaves."""
        problem, frechet, w = self.problem, self.problem.frechet, self.slope
        if len(w):
            w = w + problem.frechet_weight * frechet.slope(*frechet.spectrum(z))
        costs = self.rest if costs is None else costs
        exponents = self.features.expand(self.features.coefficients(w), costs, self.threads)
        exponents /= -problem.tau
        exponents += self.log_prior
        return exponents

    def _newton(self, group: NDArray[np.int32], mass: Float, z: Float, known: bool = False) -> Float | None:
        """Bring p and the potential of the forest to the minimum of the problem for given trees; return its moments.

        ``z`` is a guess; ``known``: the forest is at its p already. By damped Newton steps in z: with the covariance C
        of A within the trees and the Hessian H of FD², (1 + weight / tau C H) step = Aᵀp − z. None where they and the
        moments of p lead out of the domain.
        """
        problem, frechet, potential = self.problem, self.problem.frechet, self.forest.potential
        p, shift, costs = self.forest.p.copy(), np.zeros(len(mass)), potential + self.rest
        for made in range(_MOST_STEPS):
            if made > 0 or not known:
                component_newton.fill_groups(self._exponents(z, costs), group, mass, p, shift)
            error = self._moments(p) - z
            settled = np.abs(error).max(initial=0.0) <= _SETTLED * np.abs(z).max(initial=0.0)
            if settled or made == _MOST_STEPS - 1:
                break
            # not as 1 + Tᵀ C T with H = T Tᵀ: near a singular Σ the step would be the difference of two large numbers
            root = frechet.moment_curvature(*frechet.spectrum(z))
            with np.errstate(all="ignore"):
                matrix = self._covariance(p, group, mass) @ (root @ root.T) * (problem.frechet_weight / problem.tau)
            if not np.isfinite(matrix).all():
                return None
            step, share = np.linalg.solve(np.eye(len(z)) + matrix, error), 1.0
            while not frechet.inside(z + share * step) and share > _LEAST_SHARE:
                share /= 2
            if share > _LEAST_SHARE:
                z = z + share * step
            elif frechet.inside(z + error):  # the moments of p
                z = z + error
            else:
                return None
        self.forest.p, self.forest.potential = p, potential + problem.tau * shift[group]
        return z

    def _covariance(self, p: Float, group: NDArray[np.int32], mass: Float) -> Float:
        """Return the covariance of the features under p within the groups."""
        a, sums = self.features, np.empty((len(mass), len(self.slope)))
        rows = component_newton.Features(a.x, a.x2, a.constant, a.slope, a.square)
        component_newton.group_moments(rows, p, group, sums)
        products = a.second_moments(a.sums(p, products=True, threads=self.threads))
        return products - (sums / mass[:, None]).T @ sums
