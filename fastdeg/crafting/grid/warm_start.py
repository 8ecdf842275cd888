"""The method of a problem whose forest is nearly at hand: that of a similar problem, or of the target itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fastdeg.crafting.grid.active_set import ActiveSet, ActiveSetSolution, flow_of, near_target
from fastdeg.crafting.grid.admm import GridState, useful_threads
from fastdeg.crafting.grid.admm_blocks import FlowTerms
from fastdeg.crafting.problem.problem import Dual, Primal, Problem
from fastdeg.crafting.solve import Run


class WarmStart:
    """Solves, once, from the active set of a problem nearby, or else from that of the target."""

    def __init__(self, problem: Problem, run: Run) -> None:
        transport = flow_of(problem)
        assert transport is not None
        self.problem, self.transport, state = replace(problem, transport=transport), transport, run.warm_start
        self.start = state if isinstance(state, GridState) else GridState()
        last = self.start.active_set
        self.near = last if last is not None and last.near(problem, transport) else None
        terms = FlowTerms.of(problem, transport, None if last is None else last.terms)
        self.active_set = ActiveSet(
            self.problem, transport, terms, useful_threads(transport, run.threads), run.deadline
        )
        self.solution: ActiveSetSolution | None = None
        self.tried = False

    @property
    def blank(self) -> bool:
        return not self.tried

    @staticmethod
    def applies(problem: Problem, run: Run) -> bool:
        """Return whether the active set determines p, and one is nearly at hand."""
        transport, state = flow_of(problem), run.warm_start
        if transport is None or not ActiveSet.applies(problem, transport):
            return False
        if near_target(problem, transport):
            return True
        last = state.active_set if isinstance(state, GridState) and transport.exactly_solvable else None
        return last is not None and last.near(problem, transport)

    def advance(self, enough: float, at_most: int) -> int:
        """Solve; there is nothing more to do then."""
        if self.tried:
            return 0
        self.tried = True
        start = self.active_set
        self.solution = start.from_target(enough) if self.near is None else start.go_on(self.near, enough)
        return int(self.solution is not None)

    def primal(self) -> Primal:
        """Return the solution's p with its cost, at first the prior with that of an independent plan."""
        if self.solution is not None:
            return self.solution.primal
        p = self.problem.prior / self.problem.prior.sum()
        return Primal(p, self.transport.independent(p))

    def dual(self) -> Dual:
        """Return the solution's potential, at first that of no transport at all."""
        if self.solution is not None:
            return self.solution.dual
        return Dual(np.zeros(self.problem.n_bins), 0.0, self.problem.frechet.target_moments)

    def residuals(self) -> dict[str, float]:
        """There is one copy of p, which follows from the potential at the moments of the tangent."""
        wrong = np.inf if self.solution is None else self.solution.moment_error
        return {"primal_residual": 0.0, "dual_residual": wrong}

    def state(self) -> GridState:
        return replace(self.start, active_set=self.active_set.state() or self.start.active_set)
