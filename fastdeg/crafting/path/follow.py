"""The trade-off between accuracy and generalisation: which taus a path has, and how it is solved along them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from fastdeg import _checks
from fastdeg._types import Float, Progress
from fastdeg.crafting.path import endpoints
from fastdeg.crafting.path.two_threads import TwoHalves
from fastdeg.crafting.path.warm_solver import WarmSolver
from fastdeg.crafting.result import CraftResult
from fastdeg.crafting.solve import as_flow

N_POINTS = 20
# Ratio of tau over which the half from the prior goes: its first point takes as long as five others. And the shares of
# the points within which that leaves the half from the target.
_FROM_PRIOR, _FROM_TARGET = 21.0, (0.5, 0.8)
T = TypeVar("T")


def follow(solver: WarmSolver, generalizations: Any, progress: Progress | None) -> list[CraftResult]:
    """Solve along taus that rise, by default those between the ends of the path.

    In two halves, each from its end, the target and the prior; plans go down from the prior all the way.
    """
    setup = solver.setup
    flow = as_flow(setup.problem.with_tau(1.0))
    halves = TwoHalves.of(setup.problem, solver.limits.threads)
    lower, upper = solver if flow is None else copy.copy(solver), solver
    # each half finds its end, and waits for the other's
    last: Future[float] = Future()
    taus: Future[list[float]] = Future()
    if generalizations is not None:
        taus.set_result([float(tau) for tau in _checked(generalizations)])
        last.set_result(taus.result()[-1])
    count = N_POINTS if generalizations is None else len(taus.result())
    results: dict[float, CraftResult] = {}

    def solve(half: WarmSolver, tau: float, told: Progress | None) -> None:
        result = half.result(tau, halves.check)
        results[tau] = result if tau == last.result() else replace(result, _state=None)
        if told is not None:
            told(len(results) / count, f"tau {tau:.3g}, gap {result.gap:.1e}")

    def find_last() -> float:
        return endpoints.upper(setup, lambda tau, tol: upper.roughly(tau, tol, halves.check))

    def find_taus() -> list[float]:
        first, end = endpoints.lower(setup, lambda tau, tol: lower.roughly(tau, tol, halves.check)), last.result()
        between = (first, max(end, 1.01 * first)) if first < np.inf else (end / 10, end)
        return [float(tau) for tau in np.geomspace(*between, count)]

    def middle() -> int:
        if flow is None:
            return 0
        below = int(np.searchsorted(taus.result(), last.result() / _FROM_PRIOR))
        return min(max(below, round(_FROM_TARGET[0] * count)), round(_FROM_TARGET[1] * count))

    def from_target() -> None:
        _settle(taus, find_taus)
        for tau in taus.result()[: middle()]:
            solve(lower, tau, progress)

    def from_prior() -> None:
        told = None if halves.concurrently else progress
        _settle(last, find_last)
        if flow is not None:
            solve(upper, last.result(), told)
        for tau in reversed(taus.result()[middle() :]):
            if tau not in results:
                solve(upper, tau, told)

    if not halves.concurrently:
        _settle(last, find_last)
    halves(from_target, from_prior)
    if progress is not None and halves.concurrently:
        progress(1.0, f"{count} points")
    return [results[tau] for tau in taus.result()]


def _settle(future: Future[T], find: Callable[[], T]) -> None:
    """Find what a future waits for, unless it is known; who waits for it shares a failure."""
    if future.done():
        return
    try:
        future.set_result(find())
    except BaseException as error:
        future.set_exception(error)
        raise


def _checked(generalizations: Any) -> Float:
    """Return the taus as an increasing array."""
    if not isinstance(generalizations, Sequence | np.ndarray):
        raise TypeError(f"generalizations: expected numbers or None, got {type(generalizations).__name__}")
    taus = _checks.float_array(generalizations, "generalizations", ("n",))
    if not len(taus) or taus.min() < 0 or (np.diff(taus) <= 0).any():
        raise ValueError("generalizations: expected at least one number, all >= 0 and increasing")
    return taus
