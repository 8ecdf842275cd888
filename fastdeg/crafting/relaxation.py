"""The problem without its bounds per bin: solved many times faster on grids, and the answer where they do not bind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from fastdeg.crafting.problem.bounded_simplex import project
from fastdeg.crafting.problem.problem import Dual, Primal, Problem, Solution

Solve = Callable[[float, int], Solution]  # of a tolerance and the most iterations


class Relaxation:
    """Solves the problem without bounds, once. Its lower bound holds with them too, its p where it keeps them.

    ``solve``: what solves the problem without bounds.
    """

    def __init__(self, problem: Problem, solve: Solve) -> None:
        self.problem, self.solve = problem, solve
        self.solution: Solution | None = None

    @property
    def blank(self) -> bool:
        return self.solution is None

    def advance(self, enough: float, at_most: int) -> int:
        """Solve; there is nothing more to do then."""
        if self.solution is not None:
            return 0
        self.solution = self.solve(enough, at_most)
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
