"""Files that are damaged, or made to do harm: a clear error that names the file, soon and in little memory."""

import io
import json
import pickle
import tracemalloc
import zipfile
from contextlib import suppress

import numpy as np
import pytest

import fastdeg as fd

BINS = fd.GridBins(fd.DegradationSpace([fd.Axis.regular("noise_sigma", 0, 50, 4)]))


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "q.npz"
    fd.BinnedDistribution(BINS, [0.1, 0.2, 0.3, 0.4]).save(path)
    return path


def rewritten(path, **changes):
    """The same file with other entries; None takes one out."""
    with np.load(path) as file:
        arrays = dict(file)
    header = changes.pop("header", None)
    arrays |= changes
    if header is not None:
        arrays["header"] = np.array(header if isinstance(header, str) else json.dumps(header))
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})


def refused(path):
    with pytest.raises(ValueError, match=r"q\.npz") as told:
        fd.BinnedDistribution.load(path)
    return str(told.value)


def test_every_flipped_byte_is_an_error_or_the_same(saved):
    good = saved.read_bytes()
    rng = np.random.default_rng(0)
    for position in rng.integers(0, len(good), 300):
        damaged = bytearray(good)
        damaged[position] ^= int(rng.integers(1, 256))
        saved.write_bytes(damaged)
        with suppress(ValueError):
            fd.BinnedDistribution.load(saved)
    for length in range(0, len(good), 37):
        saved.write_bytes(good[:length])
        refused(saved)


def test_headers_that_say_something_else(saved):
    with np.load(saved) as file:
        header = json.loads(str(file["header"]))
    for other in ("[]", "3", "{" * 3, "[" * 100_000, json.dumps(header | {"format": "x"})):
        rewritten(saved, header=other)
        refused(saved)
    rewritten(saved, header=header | {"version": 7})
    assert "of version 7, which this fastdeg does not read" in refused(saved)
    rewritten(saved, header=header | {"n_samples": {"a": 1}})
    refused(saved)
    rewritten(saved, header=header, pmf=np.array([0.1, 0.2, 0.7]))
    assert "damaged: " in refused(saved)
    rewritten(saved, pmf=np.array([np.nan, 1, 0, 0]))
    refused(saved)
    rewritten(saved, pmf=None)
    assert "expected the entry 'pmf', got none" in refused(saved)


class Harm:
    def __reduce__(self):
        return (open, ("harmed", "w"))


def test_nothing_in_a_file_is_run(saved, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rewritten(saved, pmf=np.array([Harm()], dtype=object))
    refused(saved)
    saved.write_bytes(pickle.dumps(Harm()))
    refused(saved)
    assert not (tmp_path / "harmed").exists()


def test_a_bomb_is_not_unpacked(saved):
    with zipfile.ZipFile(saved, "a", zipfile.ZIP_DEFLATED) as file, file.open("more.npy", "w") as member:
        head = io.BytesIO()
        np.lib.format.write_array_header_1_0(head, {"descr": "<f8", "fortran_order": False, "shape": (60_000_000,)})
        member.write(head.getvalue())
        for _ in range(60):
            member.write(bytes(8_000_000))
    tracemalloc.start()
    assert "of next to nothing, not unpacked" in refused(saved)
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()


def test_a_folder_is_told(tmp_path):
    with pytest.raises(ValueError, match="got a folder"):
        fd.BinnedDistribution.load(tmp_path)
