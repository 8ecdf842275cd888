"""Answers that need no search: the target itself, and that of the problem without bounds where it keeps them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from fastdeg._types import Float
from fastdeg.crafting.grid.active_set import ActiveSet, flow_of
from fastdeg.crafting.problem.bounded_simplex import project
from fastdeg.crafting.problem.problem import Dual, Primal, Problem, Solution
from fastdeg.crafting.solve import Run, solve


class TargetItself:
    """No steps: at tau = 0 the target is optimal where its own moments are wanted, since no term is negative."""

    blank = False

    def __init__(self, problem: Problem, run: Run) -> None:
        self.problem = problem
        self.q = self.target_of(problem)

    @classmethod
    def applies(cls, problem: Problem, run: Run) -> bool:
        """Return whether nothing but the wanted moments draws p away from the target, which it may be."""
        return problem.tau == 0 and cls.target_of(problem) is not None

    @staticmethod
    def target_of(problem: Problem) -> Float | None:
        """Return the target's pmf over the bins that p may use; None where p may not be it."""
        q = problem.transport.target_pmf()
        feasible = q is not None and (q >= problem.lower).all() and (q <= problem.upper).all()
        return q if feasible else None

    def advance(self, enough: float, at_most: int) -> int:
        """Make no step."""
        return 0

    def primal(self) -> Primal:
        """Return the target, to which nothing need be moved."""
        assert self.q is not None
        return Primal(self.q, 0.0, True)

    def dual(self) -> Dual:
        """Return no potential: no objective is below 0."""
        return Dual(np.zeros(self.problem.n_bins), 0.0, self.problem.frechet.target_moments, 0.0)

    def residuals(self) -> dict[str, float]:
        return {"primal_residual": 0.0, "dual_residual": 0.0}

    def state(self) -> Any:
        return None


class Relaxation:
    """Solves the problem without bounds, once. Its lower bound holds with them too, its p where it keeps them."""

    def __init__(self, problem: Problem, run: Run) -> None:
        self.problem, self.run = problem, run
        self.solution: Solution | None = None

    @staticmethod
    def applies(problem: Problem, run: Run) -> bool:
        """Return whether there are bounds, and the problem is solved many times faster without them."""
        if not problem.bounded.any():
            return False
        relaxed = without_bounds(problem)
        flow = flow_of(relaxed)
        return flow is not None and flow.exactly_solvable and ActiveSet.applies(relaxed, flow)

    @property
    def blank(self) -> bool:
        return self.solution is None

    def advance(self, enough: float, at_most: int) -> int:
        """Solve; there is nothing more to do then."""
        if self.solution is not None:
            return 0
        run, relaxed = self.run, without_bounds(self.problem)
        self.solution = solve(
            relaxed, tol=enough, max_iter=at_most, deadline=run.deadline, threads=run.threads, warm_start=run.warm_start
        )
        return max(1, self.solution.n_iter)

    def primal(self) -> Primal:
        """Return the solution where it keeps the bounds, else the prior's projection with an independent plan."""
        problem, found = self.problem, self.solution
        if found is not None and (found.p >= problem.lower).all() and (found.p <= problem.upper).all():
            return Primal(found.p, found.transport, found.exact, found.objective)
        p = project(problem.prior / problem.prior.sum(), problem.lower, problem.upper)
        return Primal(p, problem.transport.independent(p))

    def dual(self) -> Dual:
        """Return no potential but the bound that was found."""
        bound = 0.0 if self.solution is None else self.solution.lower_bound
        return Dual(np.zeros(self.problem.n_bins), 0.0, self.problem.frechet.target_moments, bound)

    def residuals(self) -> dict[str, float]:
        """Return those of the solution."""
        last = self.solution.history[-1] if self.solution is not None else {}
        return {key: last.get(key, np.inf) for key in ("primal_residual", "dual_residual")}

    def state(self) -> Any:
        return None if self.solution is None else self.solution.state


def without_bounds(problem: Problem) -> Problem:
    """Return the problem with 0 ≤ p ≤ 1 alone."""
    return replace(problem, lower=np.zeros(problem.n_bins), upper=np.ones(problem.n_bins))
