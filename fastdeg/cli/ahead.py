"""Compiling what crafting takes in a process of its own, while the first run reads and degrades images."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import numba
import numpy as np

import fastdeg as fd
from fastdeg import runtime
from fastdeg.runs.workflow import Candidates, craft_run

MOST_SECONDS = 300.0  # to wait for it; the kernels that are missing then are compiled where they are needed


@contextmanager
def crafting_compiled() -> Iterator[None]:
    """Compile the kernels of crafting meanwhile, where none are cached yet, and wait for them at the end.

    Half the time of a first run where there are two cores; without a second one, or a cache, it would be none.
    """
    useless = runtime.kernels_cached() or numba.get_num_threads() < 2 or os.environ.get("FASTDEG_NO_CACHE")
    process = None
    if not useless:
        with suppress(OSError):  # without it, all takes as long as it did
            nothing = subprocess.DEVNULL
            process = subprocess.Popen(
                [sys.executable, "-m", "fastdeg.cli.ahead"], stdin=subprocess.PIPE, stdout=nothing, stderr=nothing
            )
    try:
        yield
        if process is not None:
            with suppress(subprocess.TimeoutExpired):
                process.wait(MOST_SECONDS)
    finally:
        if process is not None:
            process.terminate()
            process.communicate()  # until it has ended; closes the pipe


def compile_crafting() -> None:
    """Craft for a few made-up photos, as the demo does for its own."""
    rng = np.random.default_rng(0)
    space = fd.DegradationSpace.preset("paper")
    bins = fd.GridBins(space)
    parameters = space.unstandardize(0.5 * rng.random((24, space.ndim)))
    embeddings = rng.random((24, 12))
    candidates = Candidates(tuple(map(str, range(24))), embeddings, parameters, bins.assign(parameters))
    craft_run(fd.BinnedDistribution.from_samples(bins, parameters), candidates, n_references=5, n_neighbors=2)
    mean, covariance = fd.weighted_moments(embeddings)
    fd.frechet_distances(mean[None], covariance[None], mean, covariance, threads=1)


def end_with_parent() -> None:
    """End this process when the one that started it, and holds the other end of its standard input, is gone."""
    os.read(0, 1)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=end_with_parent, daemon=True).start()
    compile_crafting()
