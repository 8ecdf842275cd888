"""Problems too large for the common tables: the table of docs/transport.md.

    python -m bench.transport_large [--without-pot] [ROW ...]

Rows by their names, "euclidean everywhere" say; default all, ten minutes. Each runs in a process of its own, whose peak
memory is taken (Linux). POT runs once, as it takes minutes, and is given its cost matrix for free; it needs 13 GB.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.cases.transport import two_blobs

PAGE = Path(__file__).parents[1] / "docs" / "transport.md"
BEGIN, END = "<!-- large: written by bench/transport_large.py -->", "<!-- end of large -->"

OURS = """
import json, statistics, sys, time
import numpy as np, fastdeg as fd
from bench.machine import peak_memory
if sys.argv[1] == "plane":
    rng = np.random.default_rng(0)
    n = 57_000
    a, b = rng.dirichlet(np.ones(n), 2)
    x, y = rng.random((2, n, 2))
    solve = lambda: fd.emd(a, b, x, y, metric="sqeuclidean")
else:
    from bench.transport_large import grid_masses
    a, b, axes, points = grid_masses(sys.argv[1])
    solve = lambda: fd.emd_grid(a, b, spacing=axes, metric=sys.argv[1].split()[0])
solve()
times = []
for _ in range(5):
    begin = time.perf_counter()
    result = solve()
    times.append(time.perf_counter() - begin)
peak = peak_memory() / 2**30
print(json.dumps([statistics.median(times), peak, result.value, result.relative_gap]))
"""
POT = """
import json, sys, time
import ot
from bench.machine import peak_memory
from scipy.spatial.distance import cdist
from bench.transport_large import grid_masses
a, b, axes, points = grid_masses(sys.argv[1])
cost = cdist(points, points, sys.argv[1].split()[0])
begin = time.perf_counter()
value = ot.emd2(a.ravel(), b.ravel(), cost, numItermax=10**9)
seconds = time.perf_counter() - begin
print(json.dumps([seconds, peak_memory() / 2**30, value]))
"""
ROWS = {
    "euclidean": "50 × 51 × 7 grid, euclidean",
    "sqeuclidean": "50 × 51 × 7 grid, sqeuclidean",
    "cityblock": "50 × 51 × 7 grid, cityblock",
    "euclidean everywhere": "50 × 51 × 7 grid with mass in every cell, euclidean",
    "sqeuclidean everywhere": "50 × 51 × 7 grid with mass in every cell, sqeuclidean",
    "plane": "57,000 against 57,000 points in the plane, sqeuclidean",
}


def grid_masses(name: str) -> Any:
    """Return the two-blob problem; with "everywhere", 1e-9 is added to every cell (POT leaves out empty ones)."""
    a, b, axes, points = two_blobs()
    if name.endswith("everywhere"):
        a, b = ((masses + 1e-9) / (masses + 1e-9).sum() for masses in (a, b))
    return a, b, axes, points


def run(code: str, name: str) -> list[float]:
    """Run the code in a process of its own and return what it prints."""
    done = subprocess.run([sys.executable, "-c", code, name], check=True, capture_output=True, text=True)
    numbers: list[float] = json.loads(done.stdout)
    return numbers


def main() -> None:
    """Measure, check the values against each other, put each row into the table."""
    with_pot = "--without-pot" not in sys.argv[1:]
    names = [name for name in sys.argv[1:] if name != "--without-pot"] or list(ROWS)
    for name in names:
        seconds, peak, value, gap = run(OURS, name)
        rival = ratio = "–"
        if with_pot and name != "plane":
            pot_seconds, _, pot_value = run(POT, name)
            assert abs(pot_value - value) <= 1e-9 * value, (name, value, pot_value)
            rival, ratio = f"{pot_seconds:.0f}", f"{pot_seconds / seconds:.0f}"
        line = f"| {ROWS[name]} | {seconds:.2f} | {peak:.2f} | {gap:.1e} | {rival} | {ratio} |"
        print(line, flush=True)
        write(line)


def write(line: str) -> None:
    """Replace the row of the same title in the page."""
    head, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    table, tail = rest.split(END)
    title = line[: line.index("|", 1) + 1]
    lines = [line if old.startswith(title) else old for old in table.splitlines()]
    assert line in lines, title
    PAGE.write_text(head + BEGIN + "\n".join(lines) + "\n" + END + tail, encoding="utf-8")


if __name__ == "__main__":
    main()
