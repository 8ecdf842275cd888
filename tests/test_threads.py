"""Threads belong to the caller: limits on the whole process are shared by all calls, and put back at the end."""

import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor

import cv2
import numba
import numpy as np
import pytest
import scipy.linalg  # noqa: F401 - brings a BLAS
from threadpoolctl import threadpool_info, threadpool_limits

import fastdeg as fd

PATIENCE = 60  # seconds, for what takes less than one


def blas_threads() -> dict[str, int]:
    """By library: some that other packages bring know one thread only."""
    return {pool["filepath"]: pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def seen_while_two_run(call, look):
    """Run a call in two threads, the first to start ends first; return what the second sees before and after that."""
    first_inside, second_inside, first_ended = threading.Event(), threading.Event(), threading.Event()
    seen = []

    def in_first(*_):
        first_inside.set()
        assert second_inside.wait(PATIENCE)

    def in_second(*_):
        if not seen:
            seen.append(look())
            second_inside.set()
            assert first_ended.wait(PATIENCE)
            seen.append(look())

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(call, in_first)
        first.add_done_callback(lambda _: first_ended.set())
        assert first_inside.wait(PATIENCE)
        pool.submit(call, in_second).result()
        first.result()
    return seen


def test_blas_stays_on_one_thread_until_the_last_of_two_calls_ends():
    bins = fd.GridBins(fd.DegradationSpace.preset("paper"))
    q = fd.BinnedDistribution(bins, np.random.default_rng(0).dirichlet(np.ones(75)))
    with threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        assert 2 in before.values()
        seen = seen_while_two_run(lambda p: fd.craft(q, generalization=0.1, progress=p), blas_threads)
        assert [set(threads.values()) for threads in seen] == [{1}, {1}]
        assert blas_threads() == before


@pytest.fixture
def estimator():
    space = fd.DegradationSpace([fd.Axis.regular("noise_sigma", 0, 50, 5)])
    return fd.DegradationEstimator(fd.GridBins(space), downsampling=2, n_samples=50)


def test_opencv_stays_on_one_thread_until_the_last_of_two_calls_ends(estimator):
    image = np.random.default_rng(0).integers(0, 256, (160, 160, 3), dtype=np.uint8)
    before = cv2.getNumThreads()
    cv2.setNumThreads(2)

    def fit(progress):
        told = iter((progress,))  # once, while images are degraded
        fd.DegradationEstimator(**estimator.get_params()).fit(
            [image], progress=lambda *a: next(told, lambda *_: None)(*a)
        )

    try:
        assert seen_while_two_run(fit, cv2.getNumThreads) == [1, 1]
        assert cv2.getNumThreads() == 2
    finally:
        cv2.setNumThreads(before)


def test_fit_uses_as_many_threads_as_the_caller_has_set(estimator):
    image = np.random.default_rng(0).integers(0, 256, (160, 160, 3), dtype=np.uint8)
    used = set()

    def degrade(clean, parameters, rng):
        used.add(threading.get_ident())
        return fd.degrade(clean, downsampling=2, noise_sigma=parameters["noise_sigma"], rng=rng)

    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        estimator.set_params(degrade=degrade, n_samples=200).fit([image])
    finally:
        numba.set_num_threads(before)
    assert len(used) == 1


def test_one_thread_is_one_thread_in_all_that_crafting_calls():
    script = """
        import numba, numpy as np, fastdeg as fd
        rng = np.random.default_rng(0)
        grid = fd.GridBins(fd.DegradationSpace.preset("dense"))
        centroids = fd.CentroidBins(rng.random((400, 3)))
        for bins, samples, metric in (
            (grid, grid.space.unstandardize(rng.random((60, 3))), None),
            (centroids, rng.random((60, 3)), None),
            (centroids, rng.random((60, 3)), "sqeuclidean"),
        ):
            q = fd.BinnedDistribution.from_samples(bins, samples, threads=1)
            fd.tradeoff_path(q, [0.05, 0.2], metric=metric, threads=1)
        fd.craft(q, threads=1)
        labels = bins.assign(samples, threads=1)
        fd.select_references(rng.random((60, 400)), labels, q, n_references=5, threads=1)
        try:
            print(numba.threading_layer())
        except ValueError:
            print("nobody asked numba for threads")
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "nobody asked numba for threads"


def test_a_child_forked_while_another_thread_crafts_has_its_own_limits():
    script = """
        import os, threading
        import fastdeg as fd
        import scipy.linalg
        from threadpoolctl import threadpool_info, threadpool_limits

        bins = fd.GridBins(fd.DegradationSpace([fd.Axis.regular("noise_sigma", 0, 50, 5)]))
        q = fd.BinnedDistribution(bins, [0.0, 0.25, 0.5, 0.25, 0.0])
        threadpool_limits(2, user_api="blas")
        inside, over = threading.Event(), threading.Event()

        def wait(*_):
            inside.set()
            over.wait()

        def blas():
            return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}

        other = threading.Thread(target=fd.craft, args=(q,), kwargs={"generalization": 0.1, "progress": wait})
        other.start()
        inside.wait()
        child = os.fork()
        if child == 0:
            seen = []
            fd.craft(q, generalization=0.1, progress=lambda *_: seen.append(blas()))
            os._exit(0 if seen[0] == {1} and blas() == {2} else 1)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        over.set()
        other.join()
        print(code, blas())
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
    assert done.stdout.strip() == "0 {2}"
