"""What the figures were measured on: processor, versions, and what memory and matrix products reach at best."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numba
import numpy as np

LIBRARIES = (
    "fastdeg", "numba", "llvmlite", "numpy", "scipy", "scikit-learn", "opencv-python", "pandas", "boost-histogram",
    "faiss-cpu", "fpsample", "POT",
)  # fmt: skip


@numba.njit(parallel=True, fastmath={"reassoc", "nsz", "contract", "arcp"}, cache=True)
def read(x):
    """Sum an array: reads it once."""
    total = 0.0
    for i in numba.prange(x.size):
        total += x[i]
    return total


def describe() -> dict[str, Any]:
    """Return the machine, the versions and the threads of this run."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "threads": numba.get_num_threads(),
        "versions": {name: found for name in LIBRARIES if (found := _version(name))},
    }


def limits() -> dict[str, float]:
    """Measure read bandwidth (bytes/s) in and beyond the caches, and the rate of matrix products (flop/s)."""
    rates = {}
    for name, n_bytes in (("read, 32 MB", 32e6), ("read, 1 GB", 1e9)):
        x = np.ones(int(n_bytes) // 8)
        rates[name] = x.nbytes / _fastest(lambda x=x: read(x))
    for dtype in (np.float64, np.float32):
        a = np.random.default_rng(0).random((2_000, 2_000)).astype(dtype)
        rates[f"matrix product, {np.dtype(dtype).name}"] = 2 * 2_000**3 / _fastest(lambda a=a: a @ a)
    return rates


def peak_memory() -> float:
    """Return the most memory that this process has held so far, in bytes (Linux).

    `resource.getrusage` would do, but a child begins with what its parent held.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return 1024.0 * int(line.split()[1])
    raise OSError("/proc/self/status: expected a line VmHWM, got none")


def _fastest(call: Callable[[], Any], rounds: int = 7) -> float:
    call()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        if name == "fastdeg":
            import fastdeg

            return fastdeg.__version__
        return None
