"""Large grids with the city-block metric: ``python -m bench.crafting_large [--seconds S] [--dense]``.

Prints for each target and tau, each in a process of its own, the seconds from the call to certified gaps of 1e-4 and
1e-6, the iterations, and the process' peak memory. ``--dense`` takes the grid of 17,850 bins.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import warnings
from typing import Any

import fastdeg as fd
from bench.cases.crafting import grid, ours
from bench.machine import peak_memory

KINDS: tuple[Any, ...] = (24, 2_000, "dense")
TAUS = {"large": (10.0, 1.0, 0.1, 0.001), "dense": (1.0, 0.1, 0.01, 0.001, 0.0)}


def measure(preset: str, kind: Any, tau: float, seconds: float) -> dict[str, Any]:
    """Craft once, compiled before."""
    warnings.simplefilter("ignore", UserWarning)
    ours(grid("dense", 2_000, 0.1, tol=1e-3))
    w = grid(preset, kind, tau)
    start = time.perf_counter()
    result = fd.craft(w.q, generalization=tau, time_limit=seconds)
    elapsed = time.perf_counter() - start
    history = result.history
    scale = max(1.0, abs(result.objective))
    times = history["seconds"] + elapsed - history["seconds"][-1]  # what comes before and after the loop counts too
    reached = {tol: times[history["gap"] <= tol * scale] for tol in (1e-4, 1e-6)}
    return {
        "seconds": {f"{tol:g}": float(at[0]) if len(at) else None for tol, at in reached.items()},
        "iterations": result.n_iter,
        "gap": result.gap,
        "peak": peak_memory() / 1e9,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.crafting_large", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--seconds", type=float, default=120.0, help="limit for each")
    parser.add_argument("--dense", action="store_true", help="the grid of 17,850 bins")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(*json.loads(options.one), options.seconds)))
        return
    preset = "dense" if options.dense else "large"
    print("| q | τ | 10⁻⁴ | 10⁻⁶ | iterations | gap | peak memory |\n|---|---|---|---|---|---|---|")
    for kind in KINDS:
        for tau in TAUS[preset]:
            command = [sys.executable, "-m", "bench.crafting_large", "--seconds", str(options.seconds)]
            command += ["--one", json.dumps([preset, kind, tau])]
            row = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            times = ["–" if value is None else f"{value:.2f} s" for value in row["seconds"].values()]
            cells = [kind, f"{tau:g}", *times, row["iterations"], f"{row['gap']:.1e}", f"{row['peak']:.2f} GB"]
            print("| " + " | ".join(map(str, cells)) + " |", flush=True)


if __name__ == "__main__":
    main()
