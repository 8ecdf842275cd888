"""What a benchmark is: a workload, our call, the rivals' calls, and the check that all give the right answer."""

from __future__ import annotations

import gc
import importlib.util
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

OURS = "fastdeg"
Call = Callable[[Any], Any]


@dataclass(frozen=True)
class Rival:
    """Another way to do the same work.

    Attributes
    ----------
    name
        As printed, with the setting that matters: "cKDTree, workers=2".
    run
        Takes the workload, returns the answer. What a user would prepare once (an index, a converted copy) belongs to
        the workload, not here.
    target
        Ratio rival / fastdeg that we want at least; None where nothing is promised against this rival.
    requires
        Modules to be importable, or the rival is left out (and the report says so).
    """

    name: str
    run: Call
    target: float | None = None
    requires: Sequence[str] = ()

    @property
    def missing(self) -> list[str]:
        """Modules that are not installed."""
        return [module for module in self.requires if importlib.util.find_spec(module) is None]


@dataclass(frozen=True)
class Case:
    """One row of the tables.

    Attributes
    ----------
    name
        Unique: "centroids, n = 10⁶, d = 3, N = 100".
    setup
        Makes the workload, outside the timing.
    run
        Our call on the workload.
    rivals
        May be empty.
    check
        Called with the workload and a mapping of name to answer (ours under ``"fastdeg"``); raises AssertionError.
    target
        Ratio of the *fastest* rival to ours that we want at least.
    bytes_read, flops
        Least memory to read and least operations of the work: give the achieved rates.
    slow
        Left out of ``--quick``.
    seconds
        Timing stops after about so many seconds (at least three rounds, at most ``rounds``).
    """

    name: str
    setup: Callable[[], Any]
    run: Call
    rivals: Sequence[Rival] = ()
    check: Callable[[Any, Mapping[str, Any]], None] | None = None
    target: float | None = None
    bytes_read: float | None = None
    flops: float | None = None
    slow: bool = False
    seconds: float = 10.0
    rounds: int = 15


@dataclass(frozen=True)
class Curve:
    """How our time, and rivals', depends on one quantity.

    ``setup`` and the calls take (value) and (workload); ``slow`` values above ``quick_limit`` are left out of --quick.
    """

    name: str
    variable: str
    values: Sequence[Any]
    setup: Callable[[Any], Any]
    run: Call
    rivals: Sequence[Rival] = ()
    seconds: float = 1.5


@dataclass(frozen=True)
class FirstCall:
    """A call to be timed in a fresh process, with an empty and with a filled numba cache."""

    name: str
    code: str


@dataclass(frozen=True)
class Timing:
    """Medians in seconds by name, ours first, and their spread (quartiles)."""

    medians: dict[str, float]
    quartiles: dict[str, tuple[float, float]] = field(default_factory=dict)
    rounds: int = 0


def measure(case: Case | Curve, workload: Any, *, seconds: float | None = None, rounds: int = 15) -> Timing:
    """Warm up, check the answers, then time all contenders in turn, round after round."""
    contenders: dict[str, Call] = {OURS: case.run}
    contenders |= {rival.name: rival.run for rival in case.rivals if not rival.missing}
    answers = {name: run(workload) for name, run in contenders.items()}  # the warm-up
    check = getattr(case, "check", None)
    if check is not None:
        check(workload, answers)
    del answers
    times: dict[str, list[float]] = {name: [] for name in contenders}
    limit = case.seconds if seconds is None else seconds
    gc.collect()
    gc.disable()
    begin = time.perf_counter()
    try:
        for done in range(rounds):
            if done >= 3 and time.perf_counter() - begin > limit:
                break
            for name, run in contenders.items():
                start = time.perf_counter()
                answer = run(workload)
                times[name].append(time.perf_counter() - start)
                del answer
    finally:
        gc.enable()
    quartiles = {name: _quartiles(values) for name, values in times.items()}
    return Timing({name: statistics.median(values) for name, values in times.items()}, quartiles, len(times[OURS]))


def _quartiles(values: list[float]) -> tuple[float, float]:
    first, _, third = statistics.quantiles(values, n=4, method="inclusive")
    return first, third
