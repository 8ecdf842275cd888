"""The trade-off between accuracy and generalisation: which taus a path has, and how it is solved along them."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from fastdeg import _checks
from fastdeg.crafting.generalization import limit, typical_tau
from fastdeg.crafting.result import NEAR, CraftResult, total_variation
from fastdeg.crafting.series import Series
from fastdeg.crafting.solver import Progress, as_flow
from fastdeg.crafting.splitting import solves_serially
from fastdeg.kernels._jit import thread_count

Float = NDArray[np.float64]

N_POINTS = 20
_FAR = 3.5  # largest ratio of two tau one after the other: from farther away, a solution is no good start
_ENDS_TOL = 1e-4  # tolerance of what the ends are told by
T = TypeVar("T")


def follow(series: Series, generalizations: Any, progress: Progress | None) -> list[CraftResult]:
    """Solve along taus that rise, by default those between the ends of the path.

    In two halves, each from its end, the prior and the target; plans go down from the prior all the way.
    """
    flow = as_flow(series.setup.problem.with_tau(1.0))
    threads = series.limits.threads
    halves = TwoHalves(flow is not None and solves_serially(flow) and thread_count(threads) > 1)
    upper, lower = series, series if flow is None else copy.copy(series)
    if generalizations is None:
        taus = np.geomspace(*_ends(upper, lower, halves), N_POINTS)
    else:
        taus = _checked(generalizations)
    results: dict[int, CraftResult] = {}

    def solve(half: Series, points: Sequence[int], told: Progress | None) -> None:
        for k in points:
            result = half.result(float(taus[k]), halves.check)
            results[k] = result if k == len(taus) - 1 else replace(result, _state=None)
            if told is not None:
                told(len(results) / len(taus), f"tau {taus[k]:.3g}, gap {result.gap:.1e}")

    middle = 0 if flow is None else 3 * len(taus) // 5  # points near the prior take longer
    halves(
        lambda: solve(upper, range(len(taus) - 1, middle - 1, -1), progress),
        lambda: solve(lower, range(middle), None if halves.concurrently else progress),
    )
    if progress is not None and halves.concurrently:
        progress(1.0, f"{len(taus)} points")
    return [results[k] for k in range(len(taus))]


class TwoHalves:
    """Runs two calls, the second in a thread of its own where ``concurrently``, else after the first."""

    def __init__(self, concurrently: bool) -> None:
        self.concurrently = concurrently
        self._stop = threading.Event()

    def __call__(self, one: Callable[[], T], other: Callable[[], T]) -> tuple[T, T]:
        """Return both results; where one call fails, the other ends at its next `check`."""
        if not self.concurrently:
            return one(), other()

        def in_thread() -> T:
            try:
                return other()
            except BaseException:
                self._stop.set()
                raise

        with ThreadPoolExecutor(1) as pool:
            second = pool.submit(in_thread)
            try:
                first = one()
            except _Stopped:
                second.result()
                raise
            except BaseException:
                self._stop.set()
                raise
            return first, second.result()

    def check(self, *_: Any) -> None:
        """End the call that makes this one where the other has failed; a `Progress`."""
        if self._stop.is_set():
            raise _Stopped


class _Stopped(Exception):
    """The other half has failed."""


def _ends(upper_half: Series, lower_half: Series, halves: TwoHalves) -> tuple[float, float]:
    """Return the tau at which p has left its tau = 0 by 1 % of total variation, and that at which it is the prior to
    1 %."""
    problem = upper_half.setup.problem
    end, scale = limit(problem), typical_tau(problem)

    def solved(half: Series, tau: float) -> Float:
        return half.roughly(tau, _ENDS_TOL, halves.check).p

    def lower() -> float:
        start = solved(lower_half, 0.0)
        if total_variation(start, end) <= NEAR:
            return np.inf
        return _crossing(scale / 64, lambda tau: total_variation(solved(lower_half, tau), start) / NEAR)

    def upper() -> float:
        return _crossing(12 * scale, lambda tau: NEAR / max(total_variation(solved(upper_half, tau), end), 1e-300))

    last, first = halves(upper, lower)
    return (first, max(last, first * 1.01)) if first < np.inf else (scale / 10, scale)


def _crossing(tau: float, rising: Callable[[float], float]) -> float:
    """Return the tau at which a rising function of it passes 1, to 20 % in either, by its slope between two logarithms.

    Far away from the target both ends of the path go like 1 / tau, hence the first guess.
    """
    below, above = (0.0, 0.0), (np.inf, 0.0)  # tau and logarithm of the value
    for _ in range(40):
        value = float(np.log(max(rising(tau), 1e-12)))
        if abs(value) <= np.log(1.2):
            break
        if value < 0:
            below = (tau, value)
        else:
            above = (tau, value)
        if below[0] > 0 and above[0] < np.inf:
            if above[0] <= 1.2 * below[0]:
                break
            share = below[1] / (below[1] - above[1])
            tau = below[0] * (above[0] / below[0]) ** min(max(share, 0.1), 0.9)
        else:
            tau *= float(np.clip(np.exp(-value), 1 / _FAR, _FAR))
    return tau


def _checked(generalizations: Any) -> Float:
    """Return the taus as an increasing array."""
    if not isinstance(generalizations, Sequence | np.ndarray):
        raise TypeError(f"generalizations: expected numbers or None, got {type(generalizations).__name__}")
    taus = _checks.float_array(generalizations, "generalizations", ("n",))
    if not len(taus) or taus.min() < 0 or (np.diff(taus) <= 0).any():
        raise ValueError("generalizations: expected at least one number, all >= 0 and increasing")
    return taus
