"""The loop that all methods share: certificates, limits, progress, history. Which methods: see `strategy`."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from fastdeg._types import Progress
from fastdeg.crafting import strategy
from fastdeg.crafting.problem.bounded_simplex import project
from fastdeg.crafting.problem.problem import Dual, Primal, Problem, Solution

_FINEST = 1e-13  # gap, relative, at which a method may be at its best


@dataclass(frozen=True)
class Run:
    """What a method may use: threads, a state to start from, and time until a deadline on `time.perf_counter`."""

    threads: int | None = None
    warm_start: Any = None
    deadline: float = np.inf


class Method(Protocol):
    """What the loop needs of a method."""

    def __init__(self, problem: Problem, run: Run) -> None: ...

    @staticmethod
    def applies(problem: Problem, run: Run) -> bool:
        """Return whether the method can solve the problem, and is one to try by the thresholds of the strategy."""

    @property
    def blank(self) -> bool:
        """Whether the method has no better point yet than the prior, so that a certificate would tell little."""

    def primal(self) -> Primal:
        """Return a feasible p and an upper bound of its transport cost."""

    def dual(self) -> Dual:
        """Return a feasible potential φ of the bins, and the moments at which to take the tangent."""

    def residuals(self) -> dict[str, float]:
        """Return the residuals of the method's blocks."""

    def state(self) -> Any:
        """Return what a later run of the method can start from, or None."""

    def advance(self, enough: float, at_most: int) -> int:
        """Make a bounded number of iterations and return it; 0 when no step is possible.

        ``enough`` is the gap that ends the loop.
        """


def first_point(problem: Problem) -> Solution:
    """Return the prior within the bounds, without a certificate."""
    return Solution(project(problem.prior / problem.prior.sum(), problem.lower, problem.upper), np.inf)


def solve(
    problem: Problem,
    *,
    tol: float,
    max_iter: int,
    deadline: float = np.inf,
    threads: int | None = None,
    warm_start: Any = None,
    progress: Progress | None = None,
    solution: Solution | None = None,
) -> Solution:
    """Iterate until the gap is certified, or a limit is reached.

    ``solution``, by default `first_point`, is filled in as the best so far: what there is when an interrupt comes.
    """
    start = time.perf_counter()
    solution = first_point(problem) if solution is None else solution
    run = Run(threads, warm_start, deadline)
    for row in strategy.current().rows:
        kind: type[Method] = row.resolve()
        if not kind.applies(problem, run):
            continue
        method = kind(problem, run)
        while True:
            over = solution.n_iter >= max_iter or time.perf_counter() > deadline
            if over or not method.blank:
                _certify(solution, problem, method, time.perf_counter() - start)
                if progress is not None:
                    progress(_fraction(solution, tol), f"gap {solution.gap:.1e} after {solution.n_iter} iterations")
            done = solution.closed(tol) or over or time.perf_counter() > deadline
            # below the optimum's: enough for what is still to come; and where rounding begins, look at each step
            enough = max(tol, _FINEST) * max(1.0, solution.lower_bound)
            made = 0 if done else method.advance(enough, max_iter - solution.n_iter)
            if not made:
                break
            solution.n_iter += made
        solution.state = method.state()
        if done:
            break
    return solution


def _certify(solution: Solution, problem: Problem, method: Method, seconds: float) -> None:
    p, transport, exact, objective = method.primal()
    if np.isfinite(p).all():
        objective = problem.objective(p, transport) if objective is None else objective
        if objective < solution.objective:
            solution.p, solution.transport, solution.exact, solution.objective = p, transport, exact, objective
    phi, dual_transport, moments, bound = method.dual()
    if np.isfinite(phi).all() and np.isfinite(moments).all():  # else the method has broken down
        bound = problem.lower_bound(moments, phi, dual_transport) if bound is None else bound
        solution.lower_bound = max(solution.lower_bound, bound)
    record = {"iteration": solution.n_iter, "seconds": seconds}
    record |= {"objective": solution.objective, "lower_bound": solution.lower_bound, "gap": solution.gap}
    solution.history.append(record | method.residuals())


def _fraction(solution: Solution, tol: float) -> float:
    """Return how far the gap has come from its first value to the tolerance, on a logarithmic scale."""
    if not np.isfinite(solution.history[0]["gap"]):
        return 0.0
    scale = max(1.0, abs(solution.objective))
    first, goal = max(solution.history[0]["gap"] / scale, 10 * tol), max(tol, 1e-300)
    now = min(max(solution.gap / scale, goal), first)
    return float(np.log(first / now) / np.log(first / goal))
