"""Two calls at once, on small grids, where each runs on one thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from fastdeg._threads import thread_count
from fastdeg.crafting.grid.admm import solves_serially
from fastdeg.crafting.problem.problem import Problem
from fastdeg.crafting.solve import as_flow

T = TypeVar("T")
U = TypeVar("U")


class TwoHalves:
    """Runs two calls, the second in a thread of its own where ``concurrently``, else after the first."""

    def __init__(self, concurrently: bool) -> None:
        self.concurrently = concurrently
        self._stop = threading.Event()

    @classmethod
    def of(cls, problem: Problem, threads: int | None) -> TwoHalves:
        """Return one that runs calls at once where those of the problem are on one thread each, and there are more."""
        flow = as_flow(problem.with_tau(1.0))
        return cls(flow is not None and solves_serially(flow) and thread_count(threads) > 1)

    def __call__(self, one: Callable[[], T], other: Callable[[], U]) -> tuple[T, U]:
        """Return both results; where one call fails, the other ends at its next `check`."""
        if not self.concurrently:
            return one(), other()

        def in_thread() -> U:
            try:
                return other()
            except BaseException:
                self._stop.set()
                raise

        with ThreadPoolExecutor(1) as pool:
            second = pool.submit(in_thread)
            try:
                return one(), second.result()
            except _Stopped:
                second.result()
                raise
            except BaseException:
                self._stop.set()  # an interrupt may come while this half waits for the other
                raise

    def check(self, *_: Any) -> None:
        """End the call that makes this one where the other has failed; a `Progress`."""
        if self._stop.is_set():
            raise _Stopped


class _Stopped(Exception):
    """The other half has failed."""
