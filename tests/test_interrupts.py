"""Ctrl-C (SIGINT) ends long calls within a second of processor time, at whatever moment; in processes of their own."""

import subprocess
import sys

import numpy as np
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


EACH = """
import os, signal, sys, threading, time, warnings
import numpy as np, fastdeg as fd
from fastdeg.cli.demo import embedded_photographs
warnings.simplefilter("ignore")

def end(number, frame):  # as the command line does; where nobody has said so, SIGTERM ends a process at once
    raise SystemExit

signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGTERM, end)
rng = np.random.default_rng(0)
paper, dense = (fd.GridBins(fd.DegradationSpace.preset(name)) for name in ("paper", "dense"))

def target(bins, n=4):
    middle = rng.choice(bins.n_bins, n)
    return fd.BinnedDistribution.from_samples(bins, bins.centers[middle])

def photographs():
    return list(embedded_photographs().values())

def masses(*shape):
    return rng.dirichlet(np.ones(np.prod(shape)), 2).reshape(2, *shape)

{make}
call = lambda: {call}
start = time.perf_counter()
call()  # compiled, or read from the cache
start, whole = time.perf_counter(), time.perf_counter() - start
call()
whole = min(whole, time.perf_counter() - start)
for k, number in enumerate((signal.SIGINT, signal.SIGTERM) * 4):  # the first may compile what certifies the best point
    sent = []
    def send():
        sent.append((time.perf_counter(), time.process_time()))
        os.kill(os.getpid(), number)
    timer = threading.Timer(min(whole, 20) * (k + 1) / 10, send)
    timer.start()
    try:
        call()
        timer.cancel()
        timer.join()
    except (KeyboardInterrupt, SystemExit):
        if k:
            print(whole, time.perf_counter() - sent[0][0], time.process_time() - sent[0][1], flush=True)
"""
LONG_CALLS = {
    "craft, 17,850 bins": ("q = target(dense)", "fd.craft(q, generalization=0.05)"),
    "craft, 2,000 centroids": (
        "bins = fd.CentroidBins(rng.random((2000, 3)))\n"
        "q = fd.BinnedDistribution(bins, rng.dirichlet(np.full(2000, 0.01)))",
        "fd.craft(q, generalization=0.05)",
    ),
    "tradeoff_path, 17,850 bins": ("q = target(dense)", "fd.tradeoff_path(q)"),
    "emd, 4,000 points": ("x, y = rng.random((2, 4000, 3))\na, b = masses(4000)", "fd.emd(a, b, x, y)"),
    "emd_grid, 40 x 40 x 40": ("a, b = masses(40, 40, 40)", "fd.emd_grid(a, b)"),
    "sinkhorn, 3,000 points": (
        "x, y = rng.random((2, 3000, 3))\na, b = masses(3000)", "fd.sinkhorn(a, b, x, y, reg=1e-3, max_iter=100)",
    ),
    "emd_many, 200 x 200 of 500": (
        "x, P = rng.random((500, 3)), rng.dirichlet(np.ones(500), 200)", "fd.emd_many(P, x=x)",
    ),
    "farthest_points, 10^6": ("x = rng.random((10**6, 8))", "fd.farthest_points(x, 300)"),
    "weighted_moments, 10^7": ("x = rng.random((10**7, 4))", "fd.weighted_moments(x)"),
    "fit of an estimator": ("clean = photographs()", "fd.DegradationEstimator(paper).fit(clean)"),
    "estimate, 300 photos": (
        "clean = photographs()\nphotos = [fd.degrade(clean[i % 3], downsampling=2, rng=i) for i in range(300)]\n"
        "fitted = fd.DegradationEstimator(paper, n_samples=2000).fit(clean)",
        "fitted.infer(photos)",
    ),
    "fit of a forecast": ("clean = photographs()", "fd.TrainingForecast(paper).fit(clean)"),
    "degrade, 24 megapixels": (
        "x = rng.integers(0, 256, (4000, 6000, 3), dtype=np.uint8)",
        "fd.degrade(x, blur_sigma=3, downsampling=2, noise_sigma=10, jpeg_quality=80)",
    ),
    "craft_many, 400 problems": (
        "problems = [(target(paper), {'generalization': t}) for t in np.geomspace(.01, 1, 400)]",
        "list(fd.craft_many(problems))",
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", LONG_CALLS)
def test_each_long_call_ends_soon(name):
    make, call = LONG_CALLS[name]
    code = EACH.format(make=make, call=call)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    whole, waited, used = np.array([line.split() for line in done.stdout.splitlines()], float).T
    print(f"| {name} | {whole[0]:.2f} s | {np.median(waited):.2f} s | {waited.max():.2f} s |")
    assert len(waited) >= 2
    assert used.max() < 2 * 2  # of two threads
