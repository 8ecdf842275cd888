"""Polishing: from the active flows of a splitting to the distribution and the potential that they determine.

Where flow runs, the potential rises by the length of the step. So the cells that flows join, one tree, share one
unknown constant, and p, which minimises the tangent problem, keeps in each tree the mass that q has there. Given the
forest, that is a closed form in each tree and Newton's method in the few moments; given the moments' slope, a network
simplex finds the forest. In turn they take a few rounds, in place of hundreds of iterations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastdeg.crafting.blocks import Flows
from fastdeg.crafting.forest import MOST_AXES, Forest
from fastdeg.crafting.grid_frechet import RowQuadratics
from fastdeg.crafting.problem import LARGEST_EXACT, GridTransport, Problem
from fastdeg.distances._grid import solve_grid
from fastdeg.distances._network import n_pivots
from fastdeg.kernels import admm, polish
from fastdeg.kernels.transport.tree import Tree, copy_tree

Float = NDArray[np.float64]

_NEWTON_STEPS = 12
_SETTLED = 1e-13  # relative error of the moments
_FORBIDDEN = 1e-12  # mass outside the bins that p may use
_ROUNDS = 8
_EXACT_ROUNDS = 3
_FEW_PIVOTS = 50  # of an exact transport solve, from which on another one will not change much
_FAR = 4.0  # ratio of two tau beyond which one's forest is no start for the other
_FLAT = 1.5  # range of the potential over tau below which p depends so little on flows that those for a fixed p help


@dataclass(frozen=True)
class Polished:
    """A feasible p with its exact transport cost, and a feasible potential φ with ⟨ψ, q⟩ and the tangent's moments."""

    p: Float
    transport: float
    phi: Float
    dual_transport: float
    moments: Float
    moment_error: float


@dataclass(frozen=True)
class PolishState:
    """Forest, potential and p of a solution, the steps of its grid, and its last exact flows for a fixed p."""

    tau: float
    ties: NDArray[np.uint32]
    potential: Float
    p: Float
    steps: Float
    tree: Tree | None

    def near(self, problem: Problem, transport: GridTransport) -> bool:
        """Return whether another problem has the same grid and a tau that is not too far away."""
        same = np.array_equal(self.steps, transport.steps) and len(self.potential) == len(transport.target)
        return same and 1 / _FAR < self.tau / problem.tau < _FAR


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
        self.slope, self.rest = slope, rest
        self.forest = Forest(transport, problem.tau)
        self.tree: Tree | None = None  # of the last exact flows for a fixed p
        self.solved = False
        self.log_prior = np.log(np.maximum(transport.embed(problem.prior), 1e-300))

    @staticmethod
    def applies(problem: Problem, transport: GridTransport) -> bool:
        """Return whether p follows from potentials in closed form, and the forest is not too large."""
        free = problem.tau > 0 and not problem.bounded.any()
        return free and len(transport.target) <= LARGEST_EXACT and len(transport.shape) <= MOST_AXES

    def __call__(self, flows: Flows, z: Float, enough: float) -> Polished | None:
        """Return the best of a few rounds, starting at moments z; None where they come to nothing."""
        self.forest.plant_flows(flows.s, 1 / flows.rates, self._exponents(z))
        return self._rounds(z, flows, enough)

    def go_on(self, state: PolishState, enough: float) -> Polished | None:
        """Start from where the polishing of a problem nearby ended."""
        self.forest.ties[:], self.forest.potential[:] = state.ties, state.potential
        self.tree = None if state.tree is None else copy_tree(state.tree)
        z = self._moments(state.p)
        self.forest.attach_loose(self._exponents(z))  # of another target, trees may be left without mass
        return self._rounds(z, None, enough)

    def state(self) -> PolishState | None:
        """Return what the polishing for another tau can start from."""
        if not self.solved:
            return None
        forest = self.forest
        return PolishState(forest.tau, forest.ties, forest.potential, forest.p, self.transport.steps, self.tree)

    def _rounds(self, z: Float, flows: Flows | None, enough: float) -> Polished | None:
        """Solve for the moments and for the forest in turn, as long as that halves the gap; return the best."""
        best, least_gap = None, np.inf
        for round_ in range(_ROUNDS):
            solved = self._newton(*self.forest.trees(), z)
            for _ in range(_EXACT_ROUNDS if round_ == 0 else 0):
                if solved is None or np.ptp(self.forest.potential) > _FLAT * self.problem.tau:
                    break
                pivots = self._plant_exact(flows)
                solved = self._newton(*self.forest.trees(), solved)
                if pivots <= _FEW_PIVOTS:
                    break
            if solved is None:
                break
            z = solved
            if not self.forest.optimise(self._exponents(z)):
                break
            polished, gap = self._certified(z)
            if polished is None or not gap <= least_gap / 2:
                break
            best, least_gap, self.solved = polished, gap, True
            if gap <= enough:
                break
        return best

    def _plant_exact(self, flows: Flows | None) -> int:
        """Take the forest of exact flows for the present p; return the number of pivots that led there."""
        transport, shape, p = self.transport, self.transport.shape, self.forest.p
        preference = None
        if self.tree is None and flows is not None:
            preference = np.empty(sum(len(p) // n * (n - 1) for n in shape))
            polish.edge_order(
                self.forest.shape, transport.steps, 1 / flows.rates, flows.s, self.forest.potential, preference
            )
        p, q = p / p.sum(), transport.target
        arrays = p.reshape(shape), q.reshape(shape)
        before = 0 if self.tree is None else n_pivots(self.tree)
        _, self.tree = solve_grid(*arrays, transport.coordinates, self.threads, preference, self.tree)
        self.forest.plant_tree(self.tree)
        return n_pivots(self.tree) - before

    def _certified(self, z: Float) -> tuple[Polished | None, float]:
        """Return the forest's p with its transport cost and a feasible potential, and the gap."""
        problem, transport, forest = self.problem, self.transport, self.forest
        inner = transport.extract(forest.p)
        if inner.sum() < 1 - _FORBIDDEN:
            return None, np.inf
        inner, phi = inner / inner.sum(), forest.potential.copy()
        for axis in range(len(transport.shape)):
            admm.lower_to_lipschitz(forest.shape, transport.steps, axis, phi, threads=self.threads, work=4 * len(phi))
        inner_phi, dual_transport, cost = transport.extract(phi), -float(phi @ transport.target), forest.flow_cost()
        gap = problem.objective(inner, cost) - problem.lower_bound(z, inner_phi, dual_transport)
        wrong = float(np.abs(self._moments(forest.p) - z).max(initial=0.0))
        return Polished(inner, cost, inner_phi, dual_transport, z, wrong), gap

    def _costs(self, spectrum: tuple[Float, Float, Float], base: Float | None) -> Float:
        """Return the costs of p in the tangent problem at the given moments, on top of a base."""
        features, problem = self.features, self.problem
        slope = (
            self.slope + problem.frechet_weight * problem.frechet.slope(*spectrum) if len(self.slope) else self.slope
        )
        return features.expand(features.coefficients(slope), base, self.threads)

    def _moments(self, p: Float) -> Float:
        return self.features.contract(self.features.sums(p, threads=self.threads))

    def _exponents(self, z: Float) -> Float:
        base = self.rest if len(self.rest) else None
        return self.log_prior - self._costs(self.problem.frechet.spectrum(z), base) / self.problem.tau

    def _newton(self, group: NDArray[np.int32], mass: Float, z: Float) -> Float | None:
        """Bring p and the potential of the forest to the minimum of the problem for given trees; return its moments.

        None where Newton's method leads out of the domain.
        """
        problem, frechet, potential = self.problem, self.problem.frechet, self.forest.potential
        base = potential + self.rest if len(self.rest) else potential
        p, shift = np.empty(len(potential)), np.empty(len(mass))
        for made in range(_NEWTON_STEPS):
            spectrum = frechet.spectrum(z)
            polish.fill_groups(self.log_prior - self._costs(spectrum, base) / problem.tau, group, mass, p, shift)
            if not len(z) or made == _NEWTON_STEPS - 1:
                break
            error = self._moments(p) - z
            if np.abs(error).max() <= _SETTLED * np.abs(z).max():
                break
            root = frechet.moment_curvature(*spectrum)
            curvature = (root @ root.T) * (problem.frechet_weight / problem.tau)
            step = np.linalg.solve(np.eye(len(z)) + self._covariance(p, group, mass) @ curvature, error)
            if not np.isfinite(step).all() or not frechet.inside(z + step):
                return None
            z = z + step
        self.forest.p, self.forest.potential = p, potential + problem.tau * shift[group]
        return z

    def _covariance(self, p: Float, group: NDArray[np.int32], mass: Float) -> Float:
        """Return the covariance of the features within the groups."""
        features = self.features
        sums = np.empty((len(mass), len(features.square)))
        polish.group_moments(
            p, group, features.x, features.x2, features.constant, features.slope, features.square, sums
        )
        products = features.second_moments(features.sums(p, products=True, threads=self.threads))
        return products - (sums / mass[:, None]).T @ sums
