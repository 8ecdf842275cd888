"""Ctrl-C (SIGINT) ends long calls within a second of processor time, at whatever moment; in processes of their own."""

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


ANY_MOMENT = """
import signal, time
import numpy as np, fastdeg as fd
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGALRM, signal.default_int_handler)  # the timer's signal, which no thread has to send
rng = np.random.default_rng(0)
masses, cost = rng.dirichlet(np.ones(300), 2), rng.random((300, 300))
points = rng.random((20_000, 8))
space = fd.DegradationSpace([fd.Axis.regular("noise_sigma", 0, 50, 40), fd.Axis.regular("blur_sigma", 0, 5, 20)])
target = fd.BinnedDistribution(fd.GridBins(space), rng.dirichlet(np.full(800, 0.05)))
begun = []

def craft():
    begun.clear()
    fd.craft(target, progress=lambda done, message: begun.append(done))

calls = {
    "matrix": lambda: fd.emd(*masses, cost=cost, threads=1),
    "points": lambda: fd.emd(*masses, points[:300], points[300:600], threads=1),
    "farthest points": lambda: fd.farthest_points(points, 100),
    "craft": craft,
}
for name, call in calls.items():
    call()
    start = time.perf_counter()
    call()
    whole, n_interrupts = time.perf_counter() - start, 0
    for _ in range(150):
        begun.clear()
        try:
            signal.setitimer(signal.ITIMER_REAL, rng.uniform(0.01, 0.99) * whole)
            call()
            signal.setitimer(signal.ITIMER_REAL, 0)
        except KeyboardInterrupt as interrupt:
            n_interrupts += 1
            assert not begun or begun[-1] == 1 or interrupt.result.distribution.pmf.sum() > 0.999
    print(name, n_interrupts, flush=True)
"""


def test_an_interrupt_at_any_moment_is_a_keyboard_interrupt():
    done = subprocess.run([sys.executable, "-c", ANY_MOMENT], check=False, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    counts = dict(line.rsplit(" ", 1) for line in done.stdout.splitlines())
    assert list(counts) == ["matrix", "points", "farthest points", "craft"]
    assert min(map(int, counts.values())) >= 30
