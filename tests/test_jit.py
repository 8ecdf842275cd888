"""The one jit decorator: twins, threads, forks, and a disk cache that never serves stale code."""

import gc
import os
import subprocess
import sys
import textwrap

import numba
import numpy as np
import pytest
from numba import prange
from numba.core import event

from fastdeg._threads import thread_count
from fastdeg.kernels._jit import kernel, parallel_kernel


@parallel_kernel
def doubled(x, out):
    for i in prange(x.size):
        out[i] = 2 * x[i]


doubled_serial = doubled.serial


@kernel
def sum_doubled(x, out):
    doubled_serial(x, out)
    return out.sum()


def test_twins_agree_and_are_callable_from_compiled_code():
    x = np.arange(1000.0)
    parallel, serial = np.empty(1000), np.empty(1000)
    doubled(x, parallel)
    doubled(x, serial, threads=1)
    np.testing.assert_array_equal(parallel, 2 * x)
    np.testing.assert_array_equal(serial, 2 * x)
    assert sum_doubled(x, serial) == x.sum() * 2


def test_threads_are_restored_to_the_callers_setting():
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        doubled(np.ones(10), np.empty(10), threads=2)
        assert numba.get_num_threads() == 1
    finally:
        numba.set_num_threads(before)


class CollectorSeen(event.Listener):
    """Whether the garbage collector was on at each step of a compilation."""

    def __init__(self):
        self.seen = []

    def on_start(self, told):
        self.seen.append(gc.isenabled())

    def on_end(self, told):
        self.seen.append(gc.isenabled())


@pytest.mark.parametrize("was_on", [True, False])
@pytest.mark.parametrize("package", ["fastdeg", "users"])
def test_the_garbage_collector_waits_while_our_kernels_are_compiled(package, was_on, monkeypatch):
    def added(x):
        return x + 1

    monkeypatch.setenv("FASTDEG_NO_CACHE", "1")
    added.__module__ = f"{package}.added"
    looking = CollectorSeen()
    event.register("numba:run_pass", looking)
    try:
        if not was_on:
            gc.disable()
        assert kernel(added)(1) == 2
        assert gc.isenabled() == was_on
    finally:
        gc.enable()
        event.unregister("numba:run_pass", looking)
    assert set(looking.seen) == {was_on and package == "users"}


def test_an_error_in_the_kernel_restores_the_threads():
    before = numba.get_num_threads()
    with pytest.raises(numba.core.errors.TypingError):
        doubled("text", np.empty(10))
    assert numba.get_num_threads() == before


@pytest.mark.parametrize("threads", [0, -1, True, 1.5, "2"])
def test_bad_thread_counts_are_named(threads):
    with pytest.raises(ValueError, match="threads: expected a positive integer"):
        thread_count(threads)


def test_small_work_and_one_thread_stay_serial():
    assert thread_count(None, work=10) == 1
    assert thread_count(1) == 1
    assert thread_count(10**6) == numba.config.NUMBA_NUM_THREADS


def test_workqueue_stays_serial_off_the_main_thread():
    script = """
        import threading, numpy as np, fastdeg as fd
        x = np.random.default_rng(0).random((50_000, 3))
        bins = fd.GridBins(fd.DegradationSpace([fd.Axis.regular(name, 0, 1, 9) for name in "abc"]))
        threads = [threading.Thread(target=bins.assign, args=(x,)) for _ in range(8)]  # two at once end the process
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    """
    environment = os.environ | {"NUMBA_THREADING_LAYER": "workqueue"}
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, timeout=120, env=environment)


def test_a_child_forked_after_a_launch_survives():
    script = """
        import os, numpy as np
        from fastdeg.bins import GridBins
        from fastdeg.space import DegradationSpace
        bins = GridBins(DegradationSpace.preset("paper"))
        samples = np.full((50_000, 3), 40.0) * [0.1, 1, 1]
        labels = bins.assign(samples)
        child = os.fork()
        if child == 0:
            os._exit(0 if (bins.assign(samples) == labels).all() else 1)
        status = os.waitpid(child, 0)[1]
        assert os.waitstatus_to_exitcode(status) == 0, status
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, timeout=120)


def test_an_edited_callee_makes_the_callers_cache_stale(tmp_path):
    (tmp_path / "callee.py").write_text(
        "from fastdeg.kernels._jit import kernel\n@kernel\ndef value():\n    return 1.0\n"
    )
    (tmp_path / "caller.py").write_text(
        "from callee import value\nfrom fastdeg.kernels._jit import kernel\n"
        "@kernel\ndef twice():\n    return 2 * value()\n"
    )

    def run() -> str:
        command = [sys.executable, "-c", "from caller import twice; print(twice())"]
        path = os.pathsep.join([str(tmp_path), *sys.path])
        environment = os.environ | {"PYTHONPATH": path, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
        return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout.strip()

    assert run() == "2.0"
    (tmp_path / "callee.py").write_text((tmp_path / "callee.py").read_text().replace("1.0", "10.0"))
    assert run() == "20.0"


def test_flags_are_part_of_the_cache_name():
    def f(x):
        return x + 1

    assert kernel(f).py_func.__qualname__ != kernel(f, fastmath=True).py_func.__qualname__


MODULE = """
import numpy as np
from fastdeg.kernels._jit import kernel, parallel_kernel
from numba import prange

@parallel_kernel
def doubled(x, out):
    for i in prange(x.size):
        out[i] = 2 * x[i]

doubled_serial = doubled.serial

@kernel
def sum_doubled(x, out):
    doubled_serial(x, out)
    return out.sum()
"""


def run_beside(folder, script: str, **environment: str) -> str:
    """Run a script that can import `MODULE` as ``module``; return what it prints."""
    (folder / "module.py").write_text(MODULE)
    environment = os.environ | {"PYTHONPATH": str(folder), "NUMBA_CACHE_DIR": str(folder / "cache")} | environment
    command = [sys.executable, "-c", textwrap.dedent(script)]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout.strip()


def test_code_from_the_cache_serves_what_is_compiled_later(tmp_path):
    script = """
        import numba, numpy as np
        from module import doubled, doubled_serial
        doubled(np.ones(3), np.empty(3))

        @numba.njit
        def norm(x, out):
            doubled_serial(x, out)
            return np.linalg.norm(out)

        print(norm(np.array([3.0, 4.0]), np.empty(2)), sum(doubled_serial.stats.cache_hits.values()))
    """
    assert run_beside(tmp_path, script) == "10.0 0"
    assert run_beside(tmp_path, script) == "10.0 1"


def test_kernels_run_as_plain_python(tmp_path):
    script = "from module import *; out = np.empty(3); print(sum_doubled(np.ones(3), out), out[0])"
    assert run_beside(tmp_path, script, NUMBA_DISABLE_JIT="1") == "6.0 2.0"
