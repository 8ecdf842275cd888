"""What a benchmark is: a workload, our call, the rivals' calls, and the check that all give the right answer."""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

OURS = "fastdeg"
BATCH = 0.3  # seconds of timing between two looks at what else the machine does
PAUSE = 0.1  # seconds, in which the waiting threads of the contender before go to sleep
DISTURBANCE = 0.06  # share of the machine that other processes may take
Call = Callable[[Any], Any]


@dataclass(frozen=True, eq=False)
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


@dataclass(frozen=True, eq=False)  # one is the other only if it is the same: that hashes
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
    """A call to be timed in a fresh process, after what comes before it, with an empty and a filled numba cache."""

    name: str
    code: str
    before: str = ""


@dataclass(frozen=True)
class Timing:
    """Medians in seconds by name, ours first, and their spread (quartiles); whether the machine was ours alone."""

    medians: dict[str, float]
    quartiles: dict[str, tuple[float, float]] = field(default_factory=dict)
    rounds: int = 0
    calm: bool = True


def measure(case: Case | Curve, workload: Any, *, seconds: float | None = None, rounds: int = 15) -> Timing:
    """Warm up, check the answers, then time all contenders in turn, round after round.

    Rounds during which other processes took part of the machine are taken again for as long as there is time.
    """
    contenders: dict[str, Call] = {OURS: case.run}
    contenders |= {rival.name: rival.run for rival in case.rivals if not rival.missing}
    answers = {name: run(workload) for name, run in contenders.items()}  # the warm-up
    check = getattr(case, "check", None)
    if check is not None:
        check(workload, answers)
    del answers
    limit = case.seconds if seconds is None else seconds
    calm: dict[str, list[float]] = {name: [] for name in contenders}
    disturbed: dict[str, list[float]] = {name: [] for name in contenders}
    gc.collect()
    gc.disable()
    begin = time.perf_counter()
    try:
        while len(calm[OURS]) < rounds:
            elapsed = time.perf_counter() - begin
            if elapsed > limit and (len(calm[OURS]) >= 3 or (elapsed > 3 * limit and len(disturbed[OURS]) >= 3)):
                break
            batch, foreign = _batch(contenders, workload, rounds - len(calm[OURS]))
            target = calm if foreign <= DISTURBANCE else disturbed
            for name, times in batch.items():
                target[name] += times
    finally:
        gc.enable()
    is_calm = len(calm[OURS]) >= 3
    times = calm if is_calm else {name: calm[name] + disturbed[name] for name in contenders}
    quartiles = {name: _quartiles(values) for name, values in times.items()}
    medians = {name: statistics.median(values) for name, values in times.items()}
    return Timing(medians, quartiles, len(times[OURS]), is_calm)


def _batch(contenders: Mapping[str, Call], workload: Any, rounds: int) -> tuple[dict[str, list[float]], float]:
    """Time rounds for at least BATCH seconds; return the times and the share of the machine that others took."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    busy, own, begin = _busy_seconds(), _own_seconds(), time.perf_counter()
    while len(times[OURS]) < rounds:
        for name, run in contenders.items():
            time.sleep(PAUSE)
            start = time.perf_counter()
            answer = run(workload)
            times[name].append(time.perf_counter() - start)
            del answer
        if time.perf_counter() - begin > BATCH:
            break
    elapsed = time.perf_counter() - begin
    if busy is None or elapsed < 0.1:  # the counter ticks in hundredths of a second
        return times, 0.0
    others = (_busy_seconds() or 0.0) - busy - (_own_seconds() - own)
    return times, others / (elapsed * (os.cpu_count() or 1))


def _own_seconds() -> float:
    """Processor time of this process and of the workers that it runs now."""
    seconds = time.process_time()
    if importlib.util.find_spec("psutil") is not None:  # comes with Dask, which runs workers
        import psutil

        for worker in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):  # gone meanwhile
                times = worker.cpu_times()
                seconds += times.user + times.system
    return seconds


def _busy_seconds() -> float | None:
    """Seconds that all processors have worked since the start of the machine; None where that is not known."""
    try:
        with open("/proc/stat", encoding="ascii") as file:
            fields = file.readline().split()
    except OSError:
        return None
    user, nice, system, _, _, interrupts, soft, steal = map(int, fields[1:9])
    return (user + nice + system + interrupts + soft + steal) / os.sysconf("SC_CLK_TCK")


def _quartiles(values: list[float]) -> tuple[float, float]:
    if len(values) == 1:
        return values[0], values[0]
    first, _, third = statistics.quantiles(values, n=4, method="inclusive")
    return first, third
