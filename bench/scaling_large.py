"""Processor time and peak memory beyond one process: ``python -m bench.scaling_large [--samples N] [--photos N N]``.

Samples × 3 axes, made chunk by chunk and binned into 17,850 bins with moments, on a Dask cluster of two workers, in one
process and in two without Dask; and `fastdeg estimate` over folders of small photos. The table of docs/scaling.md.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import reduce
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import fastdeg as fd
from bench.cases.scaling import BINS, CHUNK, accumulated, chunked
from bench.machine import peak_memory

SIDE = 96  # of the photos
N_CLEAN = 12
ESTIMATE = """
import sys
from bench.machine import peak_memory
from fastdeg.cli import main
assert main(sys.argv[1:]) == 0
print(peak_memory())
"""


@contextmanager
def cpu_seconds(pids: Sequence[int] = ()) -> Iterator[Callable[[], float]]:
    """Yield what tells the processor time of this process, of children that ended, and of other processes."""
    import psutil

    def now() -> float:
        own, ended = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        others = [psutil.Process(pid).cpu_times() for pid in pids]
        return sum(t.ru_utime + t.ru_stime for t in (own, ended)) + sum(t.user + t.system for t in others)

    begin = now()
    yield lambda: now() - begin


def in_one_process(n: int) -> fd.Accumulator:
    return accumulated(range(n))


def in_two_processes(n: int) -> fd.Accumulator:
    """The bounds of what two cores at work leave each other: the same chunks, and nothing to schedule."""
    with ProcessPoolExecutor(2, get_context("fork")) as pool:
        return reduce(fd.Accumulator.merge, pool.map(accumulated, (range(n // 2), range(n // 2, n))))


def samples(n_samples: int) -> None:
    from distributed import Client, LocalCluster

    n = n_samples // CHUNK
    print(f"\n| {n * CHUNK:,} samples | wall time | processor time | peak memory of a worker |\n|---|---|---|---|")
    answers = {}
    for name, run in (("one process", in_one_process), ("two processes", in_two_processes)):
        run(2)
        begin = time.perf_counter()
        with cpu_seconds() as cpu:
            answers[name] = run(n)
            print(f"| {name} | {time.perf_counter() - begin:.1f} s | {cpu():.1f} s | |", flush=True)
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        fd.Accumulator(BINS).update(chunked(4))
        begin = time.perf_counter()
        with cpu_seconds(list(client.run(os.getpid).values())) as cpu:
            answers["Dask"] = fd.Accumulator(BINS).update(chunked(n))
            wall, seconds = time.perf_counter() - begin, cpu()
        peak = max(client.run(peak_memory).values()) / 2**20
        print(f"| Dask, two workers | {wall:.1f} s | {seconds:.1f} s | {peak:.0f} MB |", flush=True)
    assert answers["Dask"] == answers["one process"]
    for ours, theirs in zip(answers["Dask"].moments(), answers["two processes"].moments(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def photos(counts: Sequence[int]) -> None:
    print("\n| photos estimated | wall time | processor time | peak memory |\n|---|---|---|---|")
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        clean = Path(name) / "clean"
        clean.mkdir()
        for i in range(N_CLEAN):
            cv2.imwrite(str(clean / f"{i}.png"), scene(rng, 4 * SIDE))
        for n in counts:
            folder = Path(name) / str(n)
            folder.mkdir()
            for i in range(n):
                low: Any = fd.degrade(scene(rng, 2 * SIDE), downsampling=2, blur_sigma=1.0, noise_sigma=10.0, rng=i)
                cv2.imwrite(str(folder / f"{i}.jpg"), low, [cv2.IMWRITE_JPEG_QUALITY, 80])
            command = ["estimate", "--references", str(folder), "--clean", str(clean), "--downsampling", "2"]
            command += ["--output", f"{folder}-run", "--quiet"]
            begin = time.perf_counter()
            with cpu_seconds() as cpu:
                done = subprocess.run([sys.executable, "-c", ESTIMATE, *command], stdout=subprocess.PIPE, check=True)
                wall, seconds = time.perf_counter() - begin, cpu()
            print(
                f"| {n:,} | {wall:.1f} s | {seconds:.1f} s | {float(done.stdout.split()[-1]) / 2**20:.0f} MB |",
                flush=True,
            )


def scene(rng: np.random.Generator, side: int) -> Any:
    return cv2.GaussianBlur(rng.integers(0, 256, (side, side, 3), dtype=np.uint8), (0, 0), 1.5)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.scaling_large")
    parser.add_argument("--samples", type=int, default=200_000_000, help="0: leave them out")
    parser.add_argument("--photos", type=int, nargs="*", default=[2_000, 10_000])
    options = parser.parse_args()
    if options.samples:
        samples(options.samples)
    if options.photos:
        photos(options.photos)


if __name__ == "__main__":
    main()
