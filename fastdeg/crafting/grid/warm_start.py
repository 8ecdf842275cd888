"""The method of a problem whose forest is nearly at hand: that of a similar problem, or of the target itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from fastdeg.crafting.grid.active_set import ActiveSet, ActiveSetSolution
from fastdeg.crafting.grid.admm import GridState, useful_threads
from fastdeg.crafting.grid.admm_blocks import FlowTerms
from fastdeg.crafting.problem.problem import Dual, GridTransport, Primal, Problem

_NEAR_TARGET = 5_000.0  # cells within reach of tau up to which the forest of the target is the better start


class WarmStart:
    """Polishes, once, what the solution of a problem nearby has left behind, or else the target."""

    def __init__(
        self, problem: Problem, transport: GridTransport, state: Any, threads: int | None, deadline: float
    ) -> None:
        self.problem, self.transport = problem, transport
        self.start = state if isinstance(state, GridState) else GridState()
        last = self.start.active_set
        self.near = last if last is not None and last.near(problem, transport) else None
        terms = FlowTerms.of(problem, transport, None if last is None else last.terms)
        self.active_set = ActiveSet(problem, transport, terms, useful_threads(transport, threads), deadline)
        self.solution: ActiveSetSolution | None = None
        self.tried = False

    @property
    def blank(self) -> bool:
        return not self.tried

    @staticmethod
    def applies(problem: Problem, transport: GridTransport, state: Any) -> bool:
        """Return whether there is something to polish."""
        if not ActiveSet.applies(problem, transport):
            return False
        if near_target(problem, transport):
            return True
        last = state.active_set if isinstance(state, GridState) and transport.exactly_solvable else None
        return last is not None and last.near(problem, transport)

    def advance(self, enough: float, at_most: int) -> int:
        """ActiveSet; there is nothing more to do then."""
        if self.tried:
            return 0
        self.tried = True
        polish = self.active_set
        self.solution = polish.from_target(enough) if self.near is None else polish.go_on(self.near, enough)
        return int(self.solution is not None)

    def primal(self) -> Primal:
        """Return the polished p with its cost, at first the prior with that of an independent plan."""
        if self.solution is not None:
            return self.solution.primal
        p = self.problem.prior / self.problem.prior.sum()
        return Primal(p, self.transport.independent(p))

    def dual(self) -> Dual:
        """Return the polished potential, at first that of no transport at all."""
        if self.solution is not None:
            return self.solution.dual
        return Dual(np.zeros(self.problem.n_bins), 0.0, self.problem.frechet.target_moments)

    def residuals(self) -> dict[str, float]:
        """There is one copy of p, which follows from the potential at the moments of the tangent."""
        wrong = np.inf if self.solution is None else self.solution.moment_error
        return {"primal_residual": 0.0, "dual_residual": wrong}

    def state(self) -> GridState:
        return replace(self.start, active_set=self.active_set.state() or self.start.active_set)


def near_target(problem: Problem, transport: GridTransport) -> bool:
    """Return whether tau does not reach far on the grid, so that the target's forest is nearly that of p."""
    return transport.reach(problem.tau) <= _NEAR_TARGET and problem.tau <= transport.steps.sum()
