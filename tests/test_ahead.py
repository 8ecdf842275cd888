"""Crafting's kernels compiled in a process of their own: what it leaves behind, and that it ends with its caller."""

import os
import subprocess
import sys
import textwrap

import numba
import psutil
import pytest

pytestmark = pytest.mark.skipif(numba.get_num_threads() < 2, reason="one core: nothing is compiled beside")

FIRST_RUN = """
from fastdeg.cli.ahead import crafting_compiled
with crafting_compiled():
    pass
"""
WATCHED = """
import contextlib, subprocess, sys
started = []

class Popen(subprocess.Popen):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        started.append(self)

subprocess.Popen = Popen
from fastdeg.cli.ahead import crafting_compiled
{before}
with contextlib.suppress(ZeroDivisionError), crafting_compiled():
    {within}
print([process.returncode for process in started])
"""


def run(code: str, cache, **environment: str) -> str:
    env = {**os.environ, "NUMBA_CACHE_DIR": str(cache), **environment}
    if "FASTDEG_NO_CACHE" not in environment:
        env.pop("FASTDEG_NO_CACHE", None)
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], env=env, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


def test_the_kernels_of_crafting_are_cached_when_it_ends(tmp_path):
    run(FIRST_RUN, tmp_path)
    names = {path.name.split("-")[0] for path in tmp_path.rglob("*.nbi")}
    for kernel in ("compiled_steps.steps", "compiled_steps.gradient_at", "simplex.search", "frechet.frechet_block"):
        assert any(name.startswith(kernel) for name in names), kernel


def test_what_fails_meanwhile_ends_it_at_once(tmp_path):
    assert run(WATCHED.format(before="", within="1 / 0"), tmp_path) == "[-15]"


COMPILED = (
    "import logging, fastdeg as fd; logging.getLogger('fastdeg').setLevel('ERROR'); "
    "fd.GridBins(fd.DegradationSpace.preset('paper')).assign([[1.0, 10.0, 50.0]])"
)
CASES = {
    "cached": (COMPILED, {}),
    "no cache": ("", {"FASTDEG_NO_CACHE": "1"}),
    "one core": ("", {"NUMBA_NUM_THREADS": "1"}),
    "a system that starts no process": ("sys.executable = '/nowhere/python'", {}),
}


@pytest.mark.parametrize("why", CASES)
def test_nothing_is_started_where_it_would_not_help(tmp_path, why):
    before, environment = CASES[why]
    assert run(WATCHED.format(before=before, within="pass"), tmp_path, **environment) == "[]"


def test_it_ends_with_a_process_that_is_killed(tmp_path):
    code = WATCHED.format(before="", within="print(started[0].pid, flush=True); import time; time.sleep(600)")
    env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, text=True) as process:
        started = psutil.Process(int(process.stdout.readline()))
        process.kill()
    assert not psutil.wait_procs([started], timeout=60)[1]
