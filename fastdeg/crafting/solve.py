"""The loop that all methods share: certificates, limits, progress, history."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from fastdeg._types import Progress
from fastdeg.crafting.exact_cases import TargetItself
from fastdeg.crafting.grid.active_set import ActiveSet
from fastdeg.crafting.grid.admm import GridSplitting
from fastdeg.crafting.grid.warm_start import WarmStart, near_target
from fastdeg.crafting.interior import multilevel as levels
from fastdeg.crafting.interior.method import InteriorPoint, Start
from fastdeg.crafting.interior.moment_newton import MomentNewton
from fastdeg.crafting.problem.bounded_simplex import project
from fastdeg.crafting.problem.frechet_term import SMALL_RANK
from fastdeg.crafting.problem.problem import Dual, GridTransport, Primal, Problem, Solution
from fastdeg.crafting.relaxation import Relaxation, without_bounds

FEW_BINS = 2000  # up to here the interior-point method is as fast as Newton's in the moments, and sturdier
MOST_AT_ONCE = 1_000_000  # up to here all arcs of a plan are worked on from the start where moments are many
MOST_ARCS = 4_000_000  # up to here all arcs of a plan are tried where a few of them end in no solution
_FINEST = 1e-13  # gap, relative, at which a method may be at its best


class Method(Protocol):
    """What the loop needs of a method."""

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


def solve(
    problem: Problem,
    *,
    tol: float,
    max_iter: int,
    deadline: float = np.inf,
    threads: int | None = None,
    warm_start: Any = None,
    progress: Progress | None = None,
) -> Solution:
    """Iterate until the gap is certified, or a limit is reached.

    A KeyboardInterrupt leaves with the best solution so far as its ``solution``.
    """
    start = time.perf_counter()
    solution = Solution(project(problem.prior / problem.prior.sum(), problem.lower, problem.upper), np.inf)
    try:
        for make in _methods(problem, threads, warm_start, deadline):
            method = make()
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
    except KeyboardInterrupt as interrupt:
        interrupt.solution = solution  # type: ignore[attr-defined]
        raise
    return solution


def as_flow(problem: Problem) -> GridTransport | None:
    """Return the transport as a flow where the methods for flows are the ones to use."""
    transport = problem.transport
    if isinstance(transport, GridTransport):
        return transport
    flow = transport.flow if transport.by_flow else None
    if flow is None or not ActiveSet.applies(problem, flow):
        return None
    return flow if flow.exactly_solvable or near_target(problem, flow) else None


def _methods(problem: Problem, threads: int | None, warm_start: Any, deadline: float) -> list[Callable[[], Method]]:
    """Return the methods for a problem, in the order to try them: the next one where one can make no more steps."""
    methods = _methods_with_bounds(problem, threads, warm_start, deadline)
    if problem.tau == 0 and (q := TargetItself.target_of(problem)) is not None:
        methods = [lambda: TargetItself(problem, q), *methods]
    if not problem.bounded.any():
        return methods
    relaxed = without_bounds(problem)
    flow = as_flow(relaxed)
    if flow is None or not flow.exactly_solvable or not ActiveSet.applies(relaxed, flow):
        return methods  # that would take as long without bounds

    def relaxation() -> Method:
        def solution(tol: float, max_iter: int) -> Solution:
            return solve(relaxed, tol=tol, max_iter=max_iter, deadline=deadline, threads=threads, warm_start=warm_start)

        return Relaxation(problem, solution)

    return [relaxation, *methods]


def _methods_with_bounds(
    problem: Problem, threads: int | None, warm_start: Any, deadline: float
) -> list[Callable[[], Method]]:
    """Return the methods for a problem with its bounds."""
    transport, flow = problem.transport, as_flow(problem)
    by_flow: list[Callable[[], Method]] = []
    if flow is not None:
        on_edges = replace(problem, transport=flow)

        def splitting() -> Method:
            return GridSplitting(on_edges, flow, threads, warm_start, deadline=deadline)

        def from_forest() -> Method:
            return WarmStart(on_edges, flow, warm_start, threads, deadline)

        by_flow = [splitting] if flow is transport or flow.exactly_solvable else []
        if WarmStart.applies(on_edges, flow, warm_start):
            by_flow = [from_forest, *by_flow]
    if isinstance(transport, GridTransport):
        return by_flow

    def interior() -> Method:
        return InteriorPoint(problem, transport, threads)

    if by_flow:
        return [*by_flow, interior]
    if transport.absent and problem.tau > 0 and problem.n_bins > FEW_BINS:
        return [lambda: MomentNewton(problem, threads), interior]

    def coarse_to_fine() -> Method:
        return InteriorPoint(problem, transport, threads, levels.multilevel_start(problem, transport, threads))

    def warm() -> Method:
        return InteriorPoint(problem, transport, threads, warm_start.on(transport))

    methods: list[Callable[[], Method]] = [interior]
    # with many moments the potentials of merged bins say little about those of their bins
    most_at_once = levels.SMALL if problem.frechet.rank <= SMALL_RANK else MOST_AT_ONCE
    if transport.geometry is not None and transport.costs.size > most_at_once:
        methods = [coarse_to_fine, interior] if transport.costs.size <= MOST_ARCS else [coarse_to_fine]
    fits = isinstance(warm_start, Start) and not transport.absent and warm_start.fits(problem, transport)
    return [warm, *methods] if fits else methods


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
