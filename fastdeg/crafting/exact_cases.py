"""The answer that moves no mass: the target itself, where nothing draws p away from it."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastdeg._types import Float
from fastdeg.crafting.problem.problem import Dual, Primal, Problem


class TargetItself:
    """A method without steps. At tau = 0 the target is optimal where its own moments are wanted: no term is negative.

    ``q``: what `target_of` returns.
    """

    blank = False

    def __init__(self, problem: Problem, q: Float) -> None:
        self.problem, self.q = problem, q

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
        return Primal(self.q, 0.0, True)

    def dual(self) -> Dual:
        """Return no potential: no objective is below 0."""
        return Dual(np.zeros(len(self.q)), 0.0, self.problem.frechet.target_moments, 0.0)

    def residuals(self) -> dict[str, float]:
        return {"primal_residual": 0.0, "dual_residual": 0.0}

    def state(self) -> Any:
        return None
