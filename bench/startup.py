"""Cold import, first call with an empty numba cache and with a filled one, each in fresh processes."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.case import FirstCall

ROOT = Path(__file__).resolve().parent.parent


def import_seconds(module: str, rounds: int = 5) -> float:
    """Median seconds of the module's import in a fresh process."""
    code = f"import time; start = time.perf_counter(); import {module}; print(time.perf_counter() - start)"
    return statistics.median(_seconds(code, {}) for _ in range(rounds))


def first_call_seconds(call: FirstCall) -> tuple[float, float]:
    """Seconds of the first call in a process, its imports included: with an empty numba cache, then a filled one."""
    code = f"import time\n{call.before}\nstart = time.perf_counter()\n{call.code}\nprint(time.perf_counter() - start)"
    with tempfile.TemporaryDirectory() as cache:
        environment = {"NUMBA_CACHE_DIR": cache}
        cold = _seconds(code, environment)
        return cold, statistics.median(_seconds(code, environment) for _ in range(3))


def measure(calls: Sequence[FirstCall]) -> list[dict[str, float | str]]:
    """Return name, cold and cached seconds of each call."""
    rows: list[dict[str, float | str]] = []
    for call in calls:
        cold, cached = first_call_seconds(call)
        rows.append({"name": call.name, "cold": cold, "cached": cached})
    return rows


def _seconds(code: str, environment: dict[str, str]) -> float:
    env = os.environ | environment | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    return float(done.stdout.strip().splitlines()[-1])
