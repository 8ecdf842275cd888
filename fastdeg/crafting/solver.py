"""The loop that all methods share: certificates, limits, progress, history."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from fastdeg.crafting.interior import InteriorPoint
from fastdeg.crafting.problem import GridTransport, PlanTransport, Problem
from fastdeg.crafting.splitting import GridSplitting

Float = NDArray[np.float64]
Progress = Callable[[float, str], None]


@cache
def _thread_pools() -> ThreadpoolController:
    return ThreadpoolController()


@contextmanager
def blas_threads(problem: Problem) -> Iterator[None]:
    """Keep BLAS to one thread on small systems, where waking the others costs more than the work."""
    if isinstance(problem.transport, PlanTransport) and len(problem.transport.masses) > 400:
        yield
        return
    with _thread_pools().limit(limits=1, user_api="blas"):
        yield


class Method(Protocol):
    """What the loop needs of a method."""

    newton_steps: int  # of the lower bound, for methods whose moments converge slower than their potentials

    def primal(self) -> tuple[Float, float]:
        """Return a feasible p and an upper bound of its transport cost."""

    def dual(self) -> tuple[Float, float, Float]:
        """Return a feasible potential φ of the bins, ⟨ψ, q⟩, and the moments at which to take the tangent."""

    def residuals(self) -> dict[str, float]:
        """Return the residuals of the method's blocks."""

    def advance(self) -> int:
        """Make a bounded number of iterations and return it; 0 when no step is possible."""


@dataclass
class Solution:
    """The best point and the best bound so far."""

    p: Float
    transport: float
    objective: float = np.inf
    lower_bound: float = -np.inf
    n_iter: int = 0
    history: list[dict[str, float]] = field(default_factory=list)

    @property
    def gap(self) -> float:
        return self.objective - self.lower_bound

    def closed(self, tol: float) -> bool:
        return self.gap <= tol * max(1.0, abs(self.objective))


def solve(
    problem: Problem,
    *,
    tol: float,
    max_iter: int,
    deadline: float = np.inf,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Solution:
    """Iterate until the gap is certified, or a limit is reached.

    A KeyboardInterrupt leaves with the best solution so far as its ``solution``.
    """
    start = time.perf_counter()
    solution = Solution(problem.prior, np.inf)
    try:
        method = _method(problem, threads)
        while True:
            _certify(solution, problem, method, time.perf_counter() - start)
            if progress is not None:
                progress(_fraction(solution, tol), f"gap {solution.gap:.1e} after {solution.n_iter} iterations")
            if solution.closed(tol) or solution.n_iter >= max_iter or time.perf_counter() > deadline:
                break
            made = method.advance()
            if not made:
                break
            solution.n_iter += made
    except KeyboardInterrupt as interrupt:
        interrupt.solution = solution  # type: ignore[attr-defined]
        raise
    return solution


def _method(problem: Problem, threads: int | None) -> Method:
    if isinstance(problem.transport, GridTransport):
        return GridSplitting(problem, problem.transport, threads)
    return InteriorPoint(problem, problem.transport)


def _certify(solution: Solution, problem: Problem, method: Method, seconds: float) -> None:
    p, transport = method.primal()
    objective = problem.objective(p, transport)
    if objective < solution.objective:
        solution.p, solution.transport, solution.objective = p, transport, objective
    phi, dual_transport, moments = method.dual()
    bound = problem.lower_bound(moments, phi, dual_transport, method.newton_steps)
    solution.lower_bound = max(solution.lower_bound, bound)
    record = {"iteration": solution.n_iter, "seconds": seconds}
    record |= {"objective": solution.objective, "lower_bound": solution.lower_bound, "gap": solution.gap}
    solution.history.append(record | method.residuals())


def _fraction(solution: Solution, tol: float) -> float:
    """Return how far the gap has come from its first value to the tolerance, on a logarithmic scale."""
    scale = max(1.0, abs(solution.objective))
    first, goal = max(solution.history[0]["gap"] / scale, 10 * tol), max(tol, 1e-300)
    now = min(max(solution.gap / scale, goal), first)
    return float(np.log(first / now) / np.log(first / goal))
