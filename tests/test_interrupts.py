"""Ctrl-C (SIGINT) ends each long solver of transport within a second of processor time, in a process of its own."""

import subprocess
import sys

import pytest

SCRIPT = """
import os, signal, sys, threading, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts its background jobs without one
import numpy as np, fastdeg as fd
rng = np.random.default_rng(0)

def masses(n, d=1):
    return rng.dirichlet(np.ones(n**d), 2).reshape(2, *[n] * d)

def points(n, d):
    return rng.random((2, n, d))

def call(a, b, *args, **options):
    return lambda: {function}(a, b, *args, **options, threads=1)

same = masses({small})
near = points({small}, 3)
{easy}()  # compiles all that the long problem needs, or reads it from the cache
long = {long}  # with its arguments made: NumPy's generators see no interrupt
for seconds in (0.7, 2.0, 3.0):
    def interrupt():
        global used
        used = time.process_time()
        os.kill(os.getpid(), signal.SIGINT)

    threading.Timer(seconds, interrupt).start()
    try:
        long()
    except KeyboardInterrupt:
        print("interrupted", time.process_time() - used, flush=True)
    else:
        print("done", flush=True)
"""
EASY_POINTS = "call(same[0], same[0], near[0], near[0] + 1e-9 * near[1], {})"  # as large, but solved by few pivots
CASES = {
    "points": (
        "fd.emd", 10_500, EASY_POINTS.format("metric='sqeuclidean'"),
        "call(*masses(120_000), *points(120_000, 3), metric='sqeuclidean')",
    ),
    "points, high dimension": (
        "fd.emd", 10_500, "call(*masses(10_500)[[0, 0]], *points(10_500, 8)[[0, 0]])",
        "call(*masses(20_000), *points(20_000, 8))",
    ),
    "matrix": (
        "fd.emd", 1_600, "call(*same, cost=rng.random((1_600, 1_600)))",
        "call(*masses(11_000), cost=rng.random((11_000, 11_000)))",
    ),
    "grid": ("fd.emd_grid", 6, "call(*masses(6, 3))", "call(*masses(110, 3))"),
    "sinkhorn": (
        "fd.sinkhorn", 50, "call(*same, *points(50, 3), reg=1e-3, tol=0, max_iter=9)",
        "call(*masses(3_000), *points(3_000, 3), reg=1e-3, tol=0, max_iter=10**6)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_interrupt(name):
    function, small, easy, long = CASES[name]
    code = SCRIPT.format(function=function, small=small, easy=easy, long=long)
    # a lost signal fails the test, it does not stop the run
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=500)
    for line in done.stdout.splitlines():
        event, used = line.split()
        assert event == "interrupted"
        assert float(used) < 1
    assert len(done.stdout.splitlines()) == 3
