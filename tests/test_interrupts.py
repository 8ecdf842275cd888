"""Ctrl-C (SIGINT) ends each long solver of transport within a second, in a process of its own."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

SETUP = """
import functools, signal, sys, threading, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts its background jobs without one
import numpy as np, fastdeg as fd
from fastdeg.distances import _network
rng = np.random.default_rng(0)
def masses(n):
    return rng.dirichlet(np.ones(n), 2)
"""
LONG = {
    "points": (
        "functools.partial(fd.emd, *masses({n}), *rng.random((2, {n}, 3)), metric='sqeuclidean', threads=1)",
        50,
        120_000,
    ),
    "points, high dimension": (
        "functools.partial(fd.emd, *masses({n}), *rng.random((2, {n}, 8)), threads=1)",
        50,
        20_000,
    ),
    "matrix": ("functools.partial(fd.emd, *masses({n}), cost=rng.random(({n}, {n})), threads=1)", 120, 7_000),
    "grid": ("functools.partial(fd.emd_grid, *masses({n}**3).reshape(2, {n}, {n}, {n}), threads=1)", 6, 110),
    "sinkhorn": (
        "functools.partial(fd.sinkhorn, *masses({n}), *rng.random((2, {n}, 3)), reg=1e-3, tol=0, max_iter=10**6, "
        "threads=1)",
        50,
        3_000,
    ),
}
CODE = """
kept = _network.LEAST_DIVIDED, _network.FIRST_PIECE, _network.RENUMBER_FROM
_network.LEAST_DIVIDED, _network.FIRST_PIECE, _network.RENUMBER_FROM = 0, 20, 0
{small}()  # compiles all that the large problem needs, or reads it from the cache
_network.LEAST_DIVIDED, _network.FIRST_PIECE, _network.RENUMBER_FROM = kept
call = {large}  # with its arguments made: NumPy's generators see no interrupt
print("ready", flush=True)
try:
    call()
except KeyboardInterrupt:
    print("interrupted", flush=True)
else:
    print("done", flush=True)
"""


MOMENTS = [*((name, after) for after in (0.7, 2.0) for name in LONG), ("points, high dimension", 3.0)]


@pytest.mark.parametrize(("name", "after"), MOMENTS)
def test_interrupt(name, after):
    call, small, large = LONG[name]
    code = SETUP + CODE.format(small=call.format(n=small).replace("10**6", "9"), large=call.format(n=large))
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=dict(os.environ))
    limit = threading.Timer(100, process.kill)  # a lost signal fails the test, it does not stop the run
    limit.start()
    try:
        assert process.stdout.readline() == "ready\n"
        time.sleep(after)
        process.send_signal(signal.SIGINT)
        begin = time.perf_counter()
        assert process.stdout.readline() == "interrupted\n"
        assert time.perf_counter() - begin < 1
    finally:
        limit.cancel()
        process.kill()
        process.wait()
        process.stdout.close()
