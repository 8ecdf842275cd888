"""Polishing: from the active flows of a splitting to the distribution and the potential that they determine.

Where flow runs, the potential falls by the length of the step. So the cells that flows join, one group, share one
unknown constant, and p, which minimises the tangent problem, keeps in each group the mass that q has there. Given the
groups, that is a closed form in each group and Newton's method in the few moments, in place of hundreds of iterations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastdeg.crafting.blocks import Flows
from fastdeg.crafting.grid_frechet import RowQuadratics
from fastdeg.crafting.problem import LARGEST_EXACT, GridTransport, Problem
from fastdeg.distances._grid import solve_grid
from fastdeg.kernels import admm, polish
from fastdeg.kernels.transport.tree import Tree, copy_tree

Float = NDArray[np.float64]

_LEVELS = np.array([64.0, 16.0, 4.0, 2.0, 1.25, 1.0])
_NEWTON_STEPS = 12
_SETTLED = 1e-13  # relative error of the moments
_FORBIDDEN = 1e-12  # mass outside the bins that p may use
_ROUNDS = 4


@dataclass(frozen=True)
class Polished:
    """A feasible p with its exact transport cost, and a feasible potential φ with ⟨ψ, q⟩ and the tangent's moments."""

    p: Float
    transport: float
    phi: Float
    dual_transport: float
    moments: Float


@dataclass(frozen=True)
class PolishState:
    """Exact flows, potential and moments of a solution, with the steps of its grid."""

    tree: Tree
    potential: Float
    moments: Float
    steps: Float


class Polish:
    """Polishes the flows of one problem, in which p has no bounds and tau is positive.

    ``slope`` and ``rest``: of the linear part of FD², from `split_linear`.
    """

    def __init__(
        self,
        problem: Problem,
        transport: GridTransport,
        features: RowQuadratics,
        slope: Float,
        rest: Float,
        threads: int | None,
    ) -> None:
        self.problem, self.transport, self.features, self.threads = problem, transport, features, threads
        self.slope, self.rest, self.shape = slope, rest, np.array(transport.shape)
        self.tree: Tree | None = None  # of the last exact flows
        self.potential, self.z = np.zeros(0), np.zeros(len(features.square))  # of the last solution
        self.log_prior = np.log(np.maximum(transport.embed(problem.prior), 1e-300))

    @staticmethod
    def applies(problem: Problem, transport: GridTransport) -> bool:
        """Return whether p follows from potentials in closed form, and exact transport takes little time."""
        return problem.tau > 0 and not problem.bounded.any() and len(transport.target) <= LARGEST_EXACT

    def __call__(self, flows: Flows, z: Float, enough: float) -> Polished | None:
        """Return the best of a few rounds, starting at moments z; None where no gap as small as ``enough`` is near."""
        leader, offset = np.arange(len(self.log_prior)), np.zeros(len(self.log_prior))
        polish.tie_active(self.shape, self.transport.steps, 1 / flows.rates, flows.s, _LEVELS, leader, offset)
        return self._rounds(leader, offset, z, flows, enough)

    def go_on(self, state: PolishState, flows: Flows, enough: float) -> Polished | None:
        """Start from where the polishing ended for another tau."""
        if state.moments.shape != self.z.shape or not np.array_equal(state.steps, self.transport.steps):
            return None  # another grid or another target
        self.tree, self.potential = copy_tree(state.tree), state.potential
        return self._rounds(*self._tied_by_tree(), state.moments, flows, enough)

    def state(self) -> PolishState | None:
        """Return what the polishing for another tau can start from."""
        return None if self.tree is None else PolishState(self.tree, self.potential, self.z, self.transport.steps)

    def _tied_by_tree(self) -> tuple[NDArray[np.int64], Float]:
        """Return the groups of what flows of the last exact solution join without slack."""
        leader, offset = np.arange(len(self.log_prior)), np.zeros(len(self.log_prior))
        tolerance = 1e-9 * self.transport.steps.max()
        polish.tie_tree(self.tree, self.transport.weight, self.potential, tolerance, leader, offset)
        return leader, offset

    def _rounds(
        self, leader: NDArray[np.int64], offset: Float, z: Float, flows: Flows, enough: float
    ) -> Polished | None:
        """Solve, and group anew by the exact flows, as long as that halves the gap; return the best."""
        best, least_gap = None, np.inf
        for _ in range(_ROUNDS):
            solved = self._solve(leader, offset, z)
            if solved is None:
                break
            p, self.potential, self.z = solved
            polished, gap = self._certified(p, self.potential, self.z, flows, enough)
            if polished is None or gap > least_gap / 2:
                break
            best, least_gap = polished, gap
            if gap <= enough:
                break
            leader, offset = self._tied_by_tree()
            z = self.z
        return best

    def _certified(
        self, p: Float, potential: Float, z: Float, flows: Flows, enough: float
    ) -> tuple[Polished | None, float]:
        """Return p with its exact transport cost and a feasible potential, and the gap."""
        problem, transport, shape = self.problem, self.transport, self.transport.shape
        inner = transport.extract(p)
        if inner.sum() < 1 - _FORBIDDEN:  # a group without a bin that p may use
            return None, np.inf
        inner = inner / inner.sum()
        p, phi = transport.embed(inner), potential.copy()
        for axis in range(len(shape)):
            admm.lower_to_lipschitz(self.shape, transport.steps, axis, phi, threads=self.threads, work=4 * len(phi))
        inner_phi, dual_transport = transport.extract(phi), -float(phi @ transport.target)
        bound = problem.lower_bound(z, inner_phi, dual_transport)
        if problem.objective(inner, float(phi @ p) + dual_transport) - bound > enough:
            return None, np.inf  # even if the potential were optimal for p
        preference = None
        if self.tree is None:
            preference = np.empty(sum(len(p) // n * (n - 1) for n in shape))
            polish.edge_order(self.shape, transport.steps, 1 / flows.rates, flows.s, potential, preference)
        q = transport.target.reshape(shape)
        exact, self.tree = solve_grid(p.reshape(shape), q, transport.coordinates, self.threads, preference, self.tree)
        cost = transport.weight * exact.value
        return Polished(inner, cost, inner_phi, dual_transport, z), problem.objective(inner, cost) - bound

    def _solve(self, leader: NDArray[np.int64], offset: Float, z: Float) -> tuple[Float, Float, Float] | None:
        """Return p, its potential and its moments, given the groups of cells."""
        transport, n_cells = self.transport, len(leader)
        own, potential, mass = np.empty(n_cells, np.int32), np.empty(n_cells), np.empty(n_cells)
        count = polish.number_groups(leader, offset, transport.target, own, potential, mass)
        mass, inside, group = mass[:count].copy(), own >= 0, own
        for steps in (1, _NEWTON_STEPS):
            solved = self._newton(potential, group, mass, z, steps)
            if solved is None:
                return None
            _, shift, z = solved
            potential, group = self._extended(potential + self.problem.tau * shift[group], own, inside)
        solved = self._newton(potential, group, mass, z, _NEWTON_STEPS)
        if solved is None:
            return None
        p, shift, z = solved
        return p, potential + self.problem.tau * shift[group], z

    def _extended(
        self, potential: Float, own: NDArray[np.int32], inside: NDArray[np.bool_]
    ) -> tuple[Float, NDArray[np.int32]]:
        """Let cells that are in no group join the one that they reach at the lowest cost."""
        reached, group = np.where(inside, potential, polish.LOOSE), own.copy()
        for axis in range(len(self.shape)):
            polish.extend_groups(
                self.shape, self.transport.steps, axis, reached, group, threads=self.threads, work=8 * len(own)
            )
        return np.where(inside, potential, reached), np.where(inside, own, group)

    def _newton(
        self, potential: Float, group: NDArray[np.int32], mass: Float, z: Float, steps: int
    ) -> tuple[Float, Float, Float] | None:
        """Return the p of the tangent problem at its own moments, shifts of the groups' potentials, and moments."""
        problem, features, frechet = self.problem, self.features, self.problem.frechet
        base = potential + self.rest if len(self.rest) else potential
        p, shift = np.empty(len(potential)), np.empty(len(mass))
        for made in range(steps):
            spectrum = frechet.spectrum(z)
            slope = self.slope + problem.frechet_weight * frechet.slope(*spectrum) if len(z) else z
            costs = features.expand(features.coefficients(slope), base, self.threads)
            polish.fill_groups(self.log_prior - costs / problem.tau, group, mass, p, shift)
            if not len(z) or made == steps - 1:
                break
            error = features.contract(features.sums(p, threads=self.threads)) - z
            if np.abs(error).max() <= _SETTLED * np.abs(z).max():
                break
            root = frechet.moment_curvature(*spectrum)
            curvature = (root @ root.T) * (problem.frechet_weight / problem.tau)
            step = np.linalg.solve(np.eye(len(z)) + self._covariance(p, group, mass) @ curvature, error)
            if not np.isfinite(step).all() or not frechet.inside(z + step):
                return None
            z = z + step
        return p, shift, z

    def _covariance(self, p: Float, group: NDArray[np.int32], mass: Float) -> Float:
        """Return the covariance of the features within the groups."""
        features = self.features
        sums = np.empty((len(mass), len(features.square)))
        polish.group_moments(
            p, group, features.x, features.x2, features.constant, features.slope, features.square, sums
        )
        products = features.second_moments(features.sums(p, products=True, threads=self.threads))
        return products - (sums / mass[:, None]).T @ sums
