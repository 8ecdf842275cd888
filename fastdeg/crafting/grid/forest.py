"""The solution of the tangent problem as a forest: the flows that run, the potential and p that follow from them."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from fastdeg._types import Float
from fastdeg.crafting.problem.transport_term import GridTransport
from fastdeg.crafting.strategy import current
from fastdeg.kernels.crafting.forest import forest as kernels
from fastdeg.kernels.crafting.forest import initial_forest
from fastdeg.kernels.crafting.forest.network_simplex import pivots
from fastdeg.kernels.transport.network.tree import Tree

MOST_AXES = 16  # two bits for each in the basis of a cell
_UNIT = 2.0**-52  # masses that are multiples of it have exact sums
_SETTLED = 100  # rounds of dropping flows; each makes the trees fewer, or smaller
_SMALL = 1e-3  # excess over the longest step below which it does not matter which arc enters first
_TOLERANCE = 1e-13  # of the potential's rise, over the longest step
_ROUNDING = 2.0**-46  # of the potential after many pivots, over the longest way
_AT_ONCE = 10_000_000  # visits of cells between looks at the keyboard: a third of a second


class Forest:
    """A forest on a grid with its potential and its p, for costs and a tau that change.

    ``exponents`` of the methods: p = exp(exponent − potential / tau). After the deadline, on the clock of
    `time.perf_counter`, it gives up.
    """

    def __init__(self, transport: GridTransport, tau: float, deadline: float = np.inf) -> None:
        self.tau, self.steps, self.deadline = tau, transport.steps, deadline
        self.shape = np.array(transport.shape)
        self.strides = np.append(np.cumprod(self.shape[:0:-1])[::-1], 1)
        self.target = transport.target
        self.masses = with_exact_sums(transport.target)
        self.basis = np.zeros(len(self.masses), np.uint32)
        self.potential, self.p = np.zeros(len(self.masses)), np.zeros(len(self.masses))
        # the potential's rounding, where an axis has very many levels, or else a small part of a step
        self.tolerance = max(_TOLERANCE * float(self.steps.max()), _ROUNDING * float(self.steps.sum()))

    def from_flows(self, flows: Float, inverse_rates: Float, exponents: Float) -> None:
        """Take the arcs of flows that shrinkage leaves, and attach the cells that no mass of the target reaches."""
        initial_forest.forest_from_flows(
            self.shape, self.strides, self.steps, inverse_rates, flows, self.basis, self.potential
        )
        self.attach_unreached(exponents)

    def attach_unreached(self, exponents: Float) -> None:
        """Attach the cells that no mass of the target reaches."""
        self.fill(exponents)
        self._balance(exponents, False, self._all())

    def from_tree(self, tree: Tree) -> None:
        """Take the arcs of a spanning tree that carry flow."""
        initial_forest.forest_from_tree(self.shape, self.strides, self.steps, tree, self.basis, self.potential)

    def trees(self) -> tuple[NDArray[np.int32], Float]:
        """Return the number of each cell's tree, and the trees' masses."""
        group, mass = np.empty(len(self.basis), np.int32), np.empty(len(self.basis))
        count = initial_forest.label_trees(self.strides, self.masses, self.basis, group, mass)
        return group, mass[:count].copy()

    def optimise(self, exponents: Float) -> bool:
        """Pivot until flows and potential are optimal; False where that takes too long."""
        small, visited = _SMALL * float(self.steps.max()), 0
        unbalanced = self._all()
        while visited < current().visits_per_cell * len(self.p) and time.perf_counter() < self.deadline:
            if not any(self._balance(exponents, True, unbalanced) for _ in range(_SETTLED)):
                return False
            grid, forest = kernels.Grid(self.shape, self.strides, self.steps), self._arrays
            visits, done = pivots(grid, self.tau, exponents, self.masses, forest, small, self.tolerance, _AT_ONCE)
            visited += visits + len(self.p)
            unbalanced = self._all()
            if self._balance(exponents, True, unbalanced) and done:
                return True
        return False

    def flow_cost(self) -> float:
        """Return Σ length · |flow| of the flows from the target to p."""
        return float(kernels.flow_cost(self.strides, self.target, self._arrays))

    @property
    def _arrays(self) -> kernels.Forest:
        return kernels.Forest(self.basis, self.potential, self.p)

    def _all(self) -> NDArray[np.bool_]:
        return np.ones(len(self.p), np.bool_)

    def _balance(self, exponents: Float, drop: bool, unbalanced: NDArray[np.bool_]) -> bool:
        """Give each tree its mass of the target, and attach what has none; return whether all flows may stay."""
        dropped, unreached = kernels.balance_trees(
            self.strides, self.tau, exponents, self.masses, drop, unbalanced, self._arrays
        )
        if unreached:
            cells = self.potential >= kernels.UNREACHED
            initial_forest.attach(self.shape, self.strides, self.steps, self.basis, self.potential)
            self.fill(exponents, cells)
            unbalanced[:] = True
        return not dropped and not unreached

    def fill(self, exponents: Float, cells: NDArray[np.bool_] | slice = slice(None)) -> None:
        """Take p from the potential."""
        exponent = exponents[cells] - self.potential[cells] / self.tau
        self.p[cells] = np.exp(np.clip(exponent, -kernels.LARGEST_EXPONENT, kernels.LARGEST_EXPONENT))


def with_exact_sums(masses: Float) -> Float:
    """Return masses of sum one, rounded so that each sum of some is exact: cells without mass can be told by them."""
    rounded = np.round(masses / _UNIT) * _UNIT
    rounded[rounded.argmax()] += 1 - rounded.sum()
    return rounded
