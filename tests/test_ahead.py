"""Crafting's kernels compiled in a process of their own: what it leaves behind, and that it ends with its caller."""

import os
import subprocess
import sys
import time

import numba
import pytest

from fastdeg.cli import ahead

pytestmark = pytest.mark.skipif(numba.get_num_threads() < 2, reason="one core: nothing is compiled beside")

FIRST_RUN = """
from fastdeg import runtime
from fastdeg.cli.ahead import crafting_compiled
with crafting_compiled():
    pass
print(runtime.cache_folder())
"""


class Started(list):
    """The processes that were started; in place of `subprocess.Popen`."""

    def __call__(self, *args, **options):
        self.append(subprocess.Popen(*args, **options))
        return self[-1]


@pytest.fixture
def started(monkeypatch, tmp_path):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    monkeypatch.delenv("FASTDEG_NO_CACHE", raising=False)
    processes = Started()
    monkeypatch.setattr(ahead, "subprocess", type("Module", (), {**vars(subprocess), "Popen": processes}))
    return processes


def test_the_kernels_of_crafting_are_cached_when_it_ends(tmp_path):
    env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    env.pop("FASTDEG_NO_CACHE", None)
    done = subprocess.run([sys.executable, "-c", FIRST_RUN], env=env, capture_output=True, text=True, check=True)
    names = {path.name.split("-")[0] for path in tmp_path.rglob("*.nbi")}
    assert done.stderr == ""
    for kernel in ("newton.steps", "newton.gradient_at", "simplex.search", "frechet.frechet_many_serial"):
        assert any(name.startswith(kernel) for name in names), kernel


def test_what_fails_meanwhile_ends_it_at_once(started, monkeypatch):
    monkeypatch.setattr("fastdeg.runtime.kernels_cached", lambda: False)
    begun = time.perf_counter()
    with pytest.raises(ValueError, match="no such image"), ahead.crafting_compiled():
        raise ValueError("no such image")
    assert len(started) == 1
    assert started[0].poll() is not None
    assert time.perf_counter() - begun < 10


@pytest.mark.parametrize("why", ["cached", "no cache", "one core"])
def test_nothing_is_started_where_it_would_not_help(started, monkeypatch, why):
    monkeypatch.setattr("fastdeg.runtime.kernels_cached", lambda: why == "cached")
    if why == "no cache":
        monkeypatch.setenv("FASTDEG_NO_CACHE", "1")
    if why == "one core":
        monkeypatch.setattr("numba.get_num_threads", lambda: 1)
    with ahead.crafting_compiled():
        pass
    assert not started


def test_a_system_that_starts_no_process_is_no_error(monkeypatch):
    monkeypatch.delenv("FASTDEG_NO_CACHE", raising=False)
    monkeypatch.setattr("fastdeg.runtime.kernels_cached", lambda: False)
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    with ahead.crafting_compiled():
        pass
