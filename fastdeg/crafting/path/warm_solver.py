"""Solves of one problem for one tau after another, each from where the last one ended."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastdeg import _checks
from fastdeg._threads import signals_as_raised
from fastdeg._types import Progress
from fastdeg.crafting.path.auto_tau import automatic, limit, typical_tau
from fastdeg.crafting.problem.arguments import Setup
from fastdeg.crafting.problem.problem import Solution
from fastdeg.crafting.problem.transport_term import PlanTransport
from fastdeg.crafting.result import CraftResult, finish
from fastdeg.crafting.solve import first_point, solve

_USUAL = 1e-6  # the tolerance that methods are made for
_SEARCH = 0.9  # share of the search for tau, as progress is told


@dataclass(frozen=True)
class Limits:
    """When a solve ends: at a gap of ``tol``, after so many iterations or seconds; and on how many threads it runs."""

    tol: float
    max_iter: int
    seconds: float
    threads: int | None

    @classmethod
    def checked(cls, time_limit: float | None, tol: float, max_iter: int, threads: int | None) -> Limits:
        """Return the limits for the arguments of `craft`."""
        seconds = np.inf if time_limit is None else _checks.number(time_limit, "time_limit", positive=True)
        return cls(_checks.number(tol, "tol", 0), _checks.integer(max_iter, "max_iter", 0), seconds, threads)


class WarmSolver:
    """Solves a setup for the taus that it is asked for."""

    def __init__(self, setup: Setup, limits: Limits, warm_start: CraftResult | None) -> None:
        if warm_start is not None and not isinstance(warm_start, CraftResult):
            raise TypeError(f"warm_start: expected a CraftResult or None, got {type(warm_start).__name__}")
        n_bins = setup.target.n_bins
        if warm_start is not None and (there := warm_start.distribution.n_bins) != n_bins:
            warnings.warn(f"warm_start is ignored: it has {there} bins, the target {n_bins}", stacklevel=3)
            warm_start = None
        self.setup, self.limits = setup, limits
        self.state: Any = None if warm_start is None else warm_start._state
        self.last: tuple[float, Solution] | None = None  # tau and solution
        self.current: tuple[float, Solution] | None = None  # of the solve under way
        self.deadline: float | None = None  # of all solves together; else each has its own

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Give a KeyboardInterrupt the best point so far as its ``result``."""
        try:
            with signals_as_raised():
                yield
        except KeyboardInterrupt as interrupt:
            problem = self.setup.problem
            tau, solution = self.current or (typical_tau(problem), Solution(limit(problem), np.inf))
            interrupt.result = self._finish(tau, solution)  # type: ignore[attr-defined]
            raise

    def tau(self, generalization: float | str, progress: Progress | None) -> float:
        """Return the number that ``generalization`` stands for; of a search, progress is told to nine tenths."""
        if not isinstance(generalization, str):
            return _checks.number(generalization, "generalization", 0)
        _checks.choice(generalization, "generalization", ("auto",))
        self.deadline = deadline = time.perf_counter() + self.limits.seconds

        def told(done: float, message: str) -> None:
            if progress is not None:
                progress(_SEARCH * done, message)

        def roughly(tau: float, told: Progress) -> Solution:
            return self.roughly(tau, progress=told)

        tau, solution = automatic(self.setup, roughly, lambda: time.perf_counter() > deadline, told)
        self.state, self.last = solution.state, (tau, solution)
        return tau

    def roughly(self, tau: float, coarse: float = 1e-5, progress: Progress | None = None) -> Solution:
        """Solve well enough to choose tau by; ``coarse`` is the tolerance on grids."""
        few = isinstance(self.setup.problem.transport, PlanTransport)
        return self._solve(tau, max(self.limits.tol, min(1e-6, 1e-3 * tau) if few else coarse), progress)

    def result(self, tau: float, progress: Progress | None) -> CraftResult:
        """Solve to the tolerance."""
        if progress is not None and self.deadline is not None:  # after a search
            whole = progress

            def progress(done: float, message: str) -> None:
                whole(_SEARCH + (1 - _SEARCH) * done, message)

        return self._finish(tau, self._solve(tau, self.limits.tol, progress))

    def _finish(self, tau: float, solution: Solution) -> CraftResult:
        return finish(self.setup, tau, solution, self.limits.tol, self.limits.threads)

    def _solve(self, tau: float, tol: float, progress: Progress | None) -> Solution:
        limits = self.limits
        late = self.deadline is not None and time.perf_counter() > self.deadline
        if self.last is not None and self.last[0] == tau and (late or self.last[1].closed(tol)):
            self.current = self.last
            known = self.last[1]
            if progress is not None:
                progress(1.0, f"gap {known.gap:.1e} after {known.n_iter} iterations")
            return known
        problem = self.setup.problem.with_tau(tau)
        solution = first_point(problem)
        self.current = tau, solution
        deadline = time.perf_counter() + limits.seconds if self.deadline is None else self.deadline
        for wanted in (tol, _USUAL):  # a way to less than a usual gap, once lost, may not even come to that one
            if wanted > tol and solution.closed(wanted):
                break
            solve(
                problem,
                tol=max(tol, wanted),
                max_iter=limits.max_iter,
                deadline=deadline,
                threads=limits.threads,
                warm_start=self.state,
                progress=progress,
                solution=solution,
            )
            if solution.closed(tol) or tol >= _USUAL:
                break
        self.state, self.last = solution.state, (tau, solution)
        return solution
