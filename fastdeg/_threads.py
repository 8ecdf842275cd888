"""Threads: how many a call may use, and settings of the whole process that several calls share.

``threads=None`` means numba's setting in the thread that calls. Results are the same bits for every number.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import cache
from numbers import Integral
from typing import Any, TypeVar

import numba

from fastdeg._forks import at_fork, forked

# Below this many elementary operations, some 50 µs, the launch of the threads costs more than it saves.
SMALL_WORK = 100_000

T = TypeVar("T")
_numba_config: Any = numba.config


def thread_count(threads: int | None = None, work: float = float("inf")) -> int:
    """Threads to launch for ``work`` elementary operations: 1 where serial is faster or the only safe choice."""
    if threads is not None and (isinstance(threads, bool) or not isinstance(threads, Integral) or threads < 1):
        raise ValueError(f"threads: expected a positive integer or None, got {threads!r:.60}")
    if work < SMALL_WORK or threads == 1 or _unsafe_after_fork():
        return 1
    if threading.current_thread() is not threading.main_thread() and layer() not in ("tbb", "omp"):
        return 1  # two threads in numba's workqueue end the process
    available = numba.get_num_threads() if threads is None else int(_numba_config.NUMBA_NUM_THREADS)
    return available if threads is None else min(int(threads), available)


@contextmanager
def numba_threads(count: int) -> Iterator[None]:
    """Launch on so many of numba's threads, and leave the caller's setting as it was."""
    before = numba.get_num_threads()
    numba.set_num_threads(count)
    try:
        yield
    finally:
        numba.set_num_threads(before)


def worker_pool(threads: int | None) -> ThreadPoolExecutor:
    """Return a pool of so many threads, in each of which kernels run on one: a new thread would use all of numba's."""
    if _unsafe_after_fork():  # all is serial already, and numba's setting would launch
        return ThreadPoolExecutor(1)
    return ThreadPoolExecutor(thread_count(threads), initializer=numba.set_num_threads, initargs=(1,))


def layer() -> str:
    """Name of numba's threading layer."""
    numba.get_num_threads()  # settles it where nothing was launched yet
    return str(numba.threading_layer())


@contextmanager
def signals_as_raised() -> Iterator[None]:
    """Let an exception that a signal's handler raises, such as KeyboardInterrupt, leave as what it is.

    One that is raised while numba makes Python objects of a kernel's results comes out as the cause of a SystemError.
    """
    try:
        yield
    except SystemError as error:
        cause: BaseException = error
        while isinstance(cause, SystemError) and cause.__cause__ is not None:
            cause = cause.__cause__
        if isinstance(cause, SystemError):
            raise
        raise cause from None


def _unsafe_after_fork() -> bool:
    """Whether this is a forked child in which numba's first launch may hang for ever, or end the process.

    So it is with OpenMP, whoever used it before the fork: numba, torch, or the user's own parallel code.
    """
    if not forked():
        return False
    try:
        return numba.threading_layer() not in ("workqueue", "tbb")
    except ValueError:  # numba has launched nothing yet
        return True


class SharedLimit:
    """A limit on the whole process, in force while any thread is within: the last one to leave puts back what was.

    ``with limit():`` as often as wanted, from as many threads as there are.
    """

    def __init__(self, limit: Callable[[ExitStack], None]) -> None:
        self._limit = limit  # tells the stack how to put back what was, then limits
        self._lock = threading.RLock()  # re-entrant, for signal handlers
        self._within: dict[object, int] = {}  # thread of each entry
        self._restore = ExitStack()
        lock = self._lock
        at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=self._after_fork)

    @contextmanager
    def __call__(self) -> Iterator[None]:
        entry = object()
        try:
            with self._lock:
                first = not self._within
                self._within[entry] = threading.get_ident()
                if first:
                    self._limit(self._restore)
            yield
        finally:
            with self._lock:
                self._within.pop(entry, None)
                if not self._within:
                    self._restore.close()

    def _after_fork(self) -> None:
        """Forget the entries of threads that a child does not have; the child's next entry puts back what was."""
        here = threading.get_ident()
        self._within = {entry: thread for entry, thread in self._within.items() if thread == here}
        self._lock.release()


@cache
def _blas_libraries() -> list[Any]:
    import scipy.linalg  # noqa: F401 - its BLAS is one of them
    from threadpoolctl import ThreadpoolController

    return list(ThreadpoolController().select(user_api="blas").lib_controllers)


def _limit_blas(restore: ExitStack, *, by_thread: bool = False) -> None:
    for library in _blas_libraries():
        # OpenMP has a setting for each thread, the other layers one for the process
        if (getattr(library, "threading_layer", "") == "openmp") == by_thread:
            restore.callback(_set_blas, library, library.num_threads)
            _set_blas(library, 1)


def _set_blas(library: Any, count: int) -> None:
    # from release 3.7 of threadpoolctl on, the first thread that sets it has the say for as long as it lives
    release = getattr(library, "clear_controlling_thread", lambda force: None)
    release(force=True)
    library.set_num_threads(count)
    release(force=True)


def _limit_opencv(restore: ExitStack) -> None:
    import cv2

    restore.callback(cv2.setNumThreads, cv2.getNumThreads())
    cv2.setNumThreads(1)


# around images that are worked on in parallel, where OpenCV's own threads would only fight for the cores
single_opencv_thread = SharedLimit(_limit_opencv)
_single_blas_thread = SharedLimit(_limit_blas)


@contextmanager
def single_blas_thread() -> Iterator[None]:
    """Keep BLAS to one thread: the systems are small, its threads spin where cores are busy, and bits stay the same."""
    with _single_blas_thread(), ExitStack() as restore:
        _limit_blas(restore, by_thread=True)
        yield


def ordered_map(
    function: Callable[..., T], items: Iterable[Any], *shared: Any, threads: int | None = None
) -> Generator[T, None, None]:
    """Yield ``function(item, *shared)`` for each item, in their order, each as soon as those before it are done.

    Runs through joblib: on threads of this process, or wherever ``joblib.parallel_config`` of the caller says; there
    function, items and results are pickled. Items are taken a few ahead of what is done. Kernels and OpenCV run on one
    thread each. Randomness belongs to items: let each bring its seed.
    """
    from joblib import Parallel, delayed
    from joblib.parallel import get_active_backend

    _, n_jobs = get_active_backend()
    if n_jobs is None or threads is not None:
        n_jobs = thread_count(threads)
    call = delayed(_on_one_thread)
    with single_opencv_thread():
        run = Parallel(n_jobs, prefer="threads", return_as="generator")
        yield from run(call(function, item, *shared) for item in items)


def _on_one_thread(function: Callable[..., T], *args: Any) -> T:
    before = numba.get_num_threads()  # of this Python thread: a new one would use all
    numba.set_num_threads(1)
    try:
        with single_opencv_thread():
            return function(*args)
    finally:
        numba.set_num_threads(before)
