"""Many crafting problems side by side, in processes of this machine or on a Dask cluster."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from typing import Any

from fastdeg import _checks
from fastdeg._threads import thread_count
from fastdeg.crafting.api import craft
from fastdeg.crafting.result import CraftResult
from fastdeg.distribution import BinnedDistribution

AHEAD = 3  # packets of runs for each worker that are under way or wait
WORTH_SENDING, TO_A_CLUSTER = 0.05, 0.5  # seconds of work in a packet, about: sending it takes one of a hundred
MOST_SENT = 256  # runs in a packet
Run = list[tuple[int, BinnedDistribution, dict[str, Any]]]  # numbers, targets and options of problems
Step = tuple[CraftResult, list[tuple[str, type[Warning]]]]  # a result, and what was warned of


def craft_many(
    problems: Iterable[tuple[BinnedDistribution, Mapping[str, Any]]],
    *,
    chain: int = 1,
    client: Any = None,
    threads: int | None = None,
) -> Iterator[CraftResult]:
    """Craft for many targets, or with many options, side by side.

    Each problem is solved on one thread, with the bits of ``craft(target, **options, threads=1)``, however many there
    are; its result cannot start another one (its ``warm_start`` state is left behind).

    Parameters
    ----------
    problems : iterable of (target, options)
        Targets, each with a dictionary of the arguments of `craft`, all but ``threads`` and ``progress``. Taken only a
        few ahead of the results.
    chain : int
        Problems in a row of which each starts from the result of the one before, in runs of this length: faster where
        they are alike. Certified to the same gap, but not the same bits as cold.
    client : distributed.Client, optional
        Solve on this cluster of Dask; by default, in processes of this machine.
    threads : int, optional
        Number of these processes, by default numba's setting; 1: in this one. Results do not depend on it.

    Returns
    -------
    iterator of CraftResult
        In the order of the problems, each as soon as those before it are done. Where it is left early, by an interrupt
        or an error, its processes are ended.

    Raises
    ------
    TypeError, ValueError
        As for `craft`, with the number of the problem, when its turn comes.

    See Also
    --------
    craft : One problem, on all threads.
    tradeoff_path : One target, many weights.

    Notes
    -----
    Where processes cannot be forked (not on Linux), a script needs ``if __name__ == "__main__":``, as for
    `multiprocessing`.

    Examples
    --------
    >>> import fastdeg as fd
    >>> bins = fd.GridBins(fd.DegradationSpace([fd.Axis.regular("noise_sigma", 0, 50, 5)]))
    >>> q = fd.BinnedDistribution(bins, [0.0, 0.25, 0.5, 0.25, 0.0])
    >>> problems = [(q, {"generalization": tau}) for tau in (0.01, 0.1, 1.0)]
    >>> [round(result.distribution.effective_bins(), 2) for result in fd.craft_many(problems)]
    [2.83, 3.35, 4.92]
    """
    _checks.iterable(problems, "problems", "pairs of target and options")
    if client is not None and threads is not None:
        raise ValueError("threads: expected none beside a client, whose workers have theirs")
    if client is not None and not hasattr(client, "submit"):
        raise TypeError(f"client: expected a distributed.Client or None, got {type(client).__name__}")
    return _results(problems, _checks.integer(chain, "chain", 1), client, thread_count(threads))


def _results(problems: Iterable[Any], chain: int, client: Any, n_workers: int) -> Iterator[CraftResult]:
    runs = _runs(problems, chain)
    if client is None and n_workers == 1:
        for run in runs:
            yield from map(_finished, run, _steps(run))
        return
    workers = _cluster(client) if client is not None else _processes(n_workers)
    with workers as (submit, width):
        pending: deque[tuple[list[Run], Any]] = deque()
        size, worth = 1, WORTH_SENDING if client is None else TO_A_CLUSTER
        while True:
            while len(pending) < AHEAD * width and (packet := list(islice(runs, size))):
                pending.append((packet, submit(_solve, packet)))
            if not pending:
                return
            packet, future = pending.popleft()
            solved, seconds = future.result()
            size = max(1, min(MOST_SENT, int(worth * len(packet) / max(seconds, 1e-9))))
            yield from map(_finished, (problem for run in packet for problem in run), solved)


def _runs(problems: Iterable[Any], chain: int) -> Iterator[Run]:
    numbered = ((i, *_checked(problem, i)) for i, problem in enumerate(problems))
    while run := list(islice(numbered, chain)):
        yield run


def _checked(problem: Any, number: int) -> tuple[BinnedDistribution, dict[str, Any]]:
    if not isinstance(problem, tuple | list) or len(problem) != 2 or not isinstance(problem[1], Mapping):
        raise TypeError(f"problem {number}: expected a target and a dictionary of options, got {problem!r:.100}")
    target, options = problem
    for name in ("threads", "progress"):
        if name in options:
            raise ValueError(f"problem {number}: {name} is not for single problems of many")
    return target, dict(options)


def _solve(packet: list[Run]) -> tuple[list[Step | Exception], float]:
    start = time.perf_counter()
    solved: list[Step | Exception] = []
    try:
        for run in packet:
            solved.extend(_steps(run))
    except Exception as error:  # after the results before it
        solved.append(error)
    return solved, time.perf_counter() - start


def _steps(run: Run) -> Iterator[Step]:
    """Solve the problems of a run, one after the other; results hold the pmf in place of the distribution."""
    last: CraftResult | None = None
    for number, target, options in run:
        if last is not None and last.distribution.bins == target.bins:
            options = {"warm_start": last, **options}
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                last = craft(target, **options, threads=1)
            except (TypeError, ValueError) as error:
                raise type(error)(f"problem {number}: {error}") from None
        told = [(str(warning.message), warning.category) for warning in caught]
        pmf: Any = last.distribution.pmf  # the bins need not be sent back
        yield replace(last, distribution=pmf, _state=None), told


def _finished(problem: Any, solved: Step | Exception) -> CraftResult:
    if isinstance(solved, Exception):
        raise solved
    number, target, _ = problem
    result, told = solved
    for message, category in told:
        warnings.warn(f"problem {number}: {message}", category, stacklevel=3)
    pmf: Any = result.distribution
    return replace(result, distribution=BinnedDistribution(target.bins, pmf))


@contextmanager
def _cluster(client: Any) -> Iterator[tuple[Callable[..., Any], int]]:
    pending: deque[Any] = deque()

    def submit(function: Callable[..., Any], packet: list[Run]) -> Any:
        future = client.submit(function, packet, pure=False)
        pending.append(future)
        while pending[0].done():
            pending.popleft()
        return future

    try:
        yield submit, max(1, sum(client.nthreads().values()))
    finally:
        client.cancel(list(pending))


@contextmanager
def _processes(count: int) -> Iterator[tuple[Callable[..., Any], int]]:
    """Start processes that end with this block, or with this process, whatever they are doing."""
    # a fork has the kernels loaded; what it computes has one thread, and no lock that another thread may hold
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    alive, held = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(count, context, initializer=_end_with, initargs=(alive, held))
    try:
        yield pool.submit, count
        pool.shutdown()
    finally:
        held.close()
        pool.shutdown(cancel_futures=True)
        alive.close()


def _end_with(alive: Any, held: Any) -> None:
    """End this process when nobody holds the other end of the pipe any more; interrupts are for the first process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    held.close()
    gc.freeze()  # collections would look at all that a fork shares, and so copy it

    def wait() -> None:
        alive.poll(None)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
