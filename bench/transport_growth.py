"""Time and peak memory of the earth mover's distance over n: the figure and the table of docs/transport.md.

    python -m bench.transport_growth

Each n runs in processes of its own: one is timed, of another one the peak memory on top of imports, machine code and
input is taken (Linux).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

DOCS = Path(__file__).parents[1] / "docs"
SIZES = (1_000, 2_000, 4_000, 8_000, 16_000, 32_000)
BEGIN, END = "<!-- growth: written by bench/transport_growth.py -->", "<!-- end of growth -->"
CODE = """
import json, sys, time
import numpy as np, fastdeg as fd
from bench.machine import peak_memory
n = int(sys.argv[1])
rng = np.random.default_rng(0)
small = 100 if n < 3_000 else 3_000  # loads all machine code beforehand: trees of 3,000 nodes are solved in parts
masses = np.full(small, 1 / small)
fd.emd(masses, masses, *rng.random((2, small, 3)), metric="sqeuclidean", threads=1)
x, y = rng.random((2, n, 3))
a, b = rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(n))
before = peak_memory() / 1024
times = []
for _ in range(5 if n <= 8000 else 3):
    begin = time.perf_counter()
    result = fd.emd(a, b, x, y, metric="sqeuclidean", threads=1)
    times.append(time.perf_counter() - begin)
after = peak_memory() / 1024
print(json.dumps([sorted(times)[len(times) // 2], (after - before) / 1024, after / 1024, result.relative_gap]))
"""
# memory that is freed goes back to the system, so that the peak is what is used at one time
ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": "16384", "MALLOC_TRIM_THRESHOLD_": "16384", "MALLOC_TOP_PAD_": "0"}


def measure(n: int) -> tuple[float, float, float, float]:
    """Seconds, memory on top of imports, machine code and input (MB), peak memory (MB), relative gap."""
    command = [sys.executable, "-c", CODE, str(n)]
    seconds, *_, gap = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    environment = os.environ | ENVIRONMENT
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    _, extra, peak, _ = json.loads(done.stdout)
    return seconds, extra, peak, gap


def exponent(sizes: np.ndarray, values: np.ndarray) -> float:
    """Slope of the logarithms between the first and the last size."""
    return float(np.log(values[-1] / values[0]) / np.log(sizes[-1] / sizes[0]))


def main() -> None:
    """Measure, draw, write the table."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows = []
    for n in SIZES:
        rows.append(measure(n))
        print(n, *rows[-1], flush=True)
    sizes = np.array(SIZES, float)
    seconds, extra, peak, gaps = (np.array(column) for column in zip(*rows, strict=True))
    slope_time, slope_memory = exponent(sizes, seconds), exponent(sizes, extra)
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for axis, values, label, slope in (
        (axes[0], seconds, "seconds (1 thread)", slope_time),
        (axes[1], extra, "MB on top of imports", slope_memory),
    ):
        axis.loglog(sizes, values, "o-", label=f"fastdeg.emd, n^{slope:.2f}")
        axis.set_xlabel("n (points on each side)")
        axis.set_ylabel(label)
        axis.grid(visible=True, which="both", alpha=0.3)
        axis.legend()
    axes[1].loglog(sizes, 8 * sizes**2 / 2**20, "--", color="gray", label="a dense cost matrix")
    axes[1].legend()
    (DOCS / "figures").mkdir(exist_ok=True)
    figure.savefig(DOCS / "figures" / "transport_growth.png", dpi=120)
    lines = ["| n | seconds | MB on top of imports | peak MB | relative gap |", "|---|---|---|---|---|"]
    lines += [
        f"| {n:,} | {s:.3f} | {e:.1f} | {p:.0f} | {g:.1e} |"
        for n, s, e, p, g in zip(SIZES, seconds, extra, peak, gaps, strict=True)
    ]
    lines += [
        "",
        f"Exponents from n = {SIZES[0]:,} to {SIZES[-1]:,}: time {slope_time:.2f}, memory {slope_memory:.2f}.",
    ]
    page = DOCS / "transport.md"
    text = page.read_text(encoding="utf-8")
    head, rest = text.split(BEGIN)
    page.write_text(head + BEGIN + "\n" + "\n".join(lines) + "\n" + END + rest.split(END)[1], encoding="utf-8")


if __name__ == "__main__":
    main()
