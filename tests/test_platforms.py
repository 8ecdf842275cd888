"""Other systems and other people's code: no fork hooks, trouble with the kernel cache, a fork after OpenMP."""

import os
import subprocess
import sys

import pytest

CALL = "import fastdeg as fd; print(fd.emd_1d([0., 1.], [1., 3.]))"


def run(code, **environment):
    """Standard output and error of a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip(), done.stderr


def test_a_system_without_forks_and_modes():
    code = "import random, numba, os, tempfile; del os.register_at_fork, os.fchmod\n" + CALL
    code += "\nq = fd.BinnedDistribution.uniform(fd.GridBins(fd.DegradationSpace.preset('paper')))"
    code += "\nq.save(tempfile.mkdtemp() + '/q.npz')"
    assert run(code)[0] == "1.5"


def test_a_cache_that_cannot_be_written_costs_one_note(tmp_path):
    full = (
        "import numba.core.caching as caching\n"
        "def save(*arguments): raise OSError(28, 'No space left on device')\n"
        "caching.IndexDataCacheFile.save = save\n"
    )
    out, said = run(full + CALL + "; print(fd.emd_1d([0.], [1.], [1.], [1.]))", NUMBA_CACHE_DIR=str(tmp_path))
    assert out.split() == ["1.5", "1.0"]
    assert said.count("numba's cache is out of order") == 1
    assert "No space left on device" in said

    (tmp_path / "file").write_text("")
    out, said = run(CALL, NUMBA_CACHE_DIR=str(tmp_path / "file" / "folder"), HOME=str(tmp_path / "file"))
    assert out == "1.5"


def overwritten(content):
    return b"damaged"


def one_bit_flipped(content):
    """In the middle, where machine code is."""
    return content[: len(content) // 2] + bytes([content[len(content) // 2] ^ 16]) + content[len(content) // 2 + 1 :]


@pytest.mark.parametrize("damaged", [overwritten, one_bit_flipped])
def test_a_damaged_cache_is_replaced(tmp_path, damaged):
    run(CALL, NUMBA_CACHE_DIR=str(tmp_path))
    files = [*tmp_path.rglob("*.nbi"), *tmp_path.rglob("*.nbc")]
    assert files
    for file in files:
        if damaged is overwritten or file.suffix == ".nbc":
            file.write_bytes(damaged(file.read_bytes()))
    out, said = run(CALL, NUMBA_CACHE_DIR=str(tmp_path))
    assert out == "1.5"
    assert said.count("numba's cache is out of order") == 1
    out, said = run(CALL, NUMBA_CACHE_DIR=str(tmp_path))
    assert (out, said) == ("1.5", "")


def test_without_the_jit_there_is_still_information():
    out, _ = run("import fastdeg as fd; fd.show_config()", NUMBA_DISABLE_JIT="1")
    assert "not compiled" in out


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
def test_a_child_forked_after_somebody_elses_openmp_works():
    code = """
import os, numba, numpy as np
import fastdeg as fd
@numba.njit(parallel=True)
def their_own(x):
    total = 0.0
    for i in numba.prange(len(x)):
        total += x[i]
    return total
x = np.random.default_rng(0).random((400_000, 3))
their_own(x[:, 0])
child = os.fork()
if child == 0:
    mean, _ = fd.weighted_moments(x)
    os._exit(0 if np.allclose(mean, x.mean(0)) else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert run(code)[0] == "0"
