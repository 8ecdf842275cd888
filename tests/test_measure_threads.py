"""Results are the same to the last bit for any number of threads, from threads of the caller at once, and in children;
in a process that has seven of them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import multiprocessing, threading
import numba
import numpy as np
import fastdeg as fd
from fastdeg.references import coverage

rng = np.random.default_rng(0)
x, weights, labels = rng.normal(size=(70_000, 3)), rng.random(70_000), rng.integers(0, 50, 70_000)
wide = rng.normal(size=(9_000, 20)).astype(np.float32)
centroids, wide_centroids = fd.CentroidBins(x[:300]), fd.CentroidBins(wide[:70])
grid = fd.GridBins(fd.DegradationSpace([fd.Axis.regular(name, -5, 5, 20) for name in "abc"]))
factors = rng.normal(size=(3_000, 5, 5))
covs = factors @ factors.swapaxes(1, 2)
target = fd.BinnedDistribution.uniform(wide_centroids)

calls = {
    "centroids": lambda threads: centroids.assign(x, threads=threads),
    "centroids, many axes": lambda threads: wide_centroids.assign(wide, threads=threads),
    "grid": lambda threads: grid.assign(x, threads=threads),
    "histogram": lambda threads: grid.histogram(x, threads=threads),
    "moments": lambda threads: np.hstack([a.ravel() for a in fd.weighted_moments(x, weights, threads=threads)]),
    "moments, many axes": lambda threads: fd.weighted_moments(wide, threads=threads)[1],
    "moments per label": lambda threads: fd.weighted_moments(x, weights, labels=labels, threads=threads)[1],
    "frechet": lambda threads: fd.frechet_distances(x[:3_000], covs[:, :3, :3], x[0], covs[0, :3, :3], threads=threads),
    "frechet, many axes": lambda threads: fd.frechet_distances(
        np.zeros((3_000, 5)), covs, np.zeros(5), covs[0], threads=threads
    ),
    "farthest points": lambda threads: fd.farthest_points(x, 40, threads=threads),
    "farthest points, many axes": lambda threads: fd.farthest_points(wide, 40, threads=threads),
    "coverage": lambda threads: np.array(coverage(x, range(30), threads=threads)),
    "references": lambda threads: fd.select_references(
        wide, wide_centroids.assign(wide), target, threads=threads
    ).indices,
}
expected = {}
for name, call in calls.items():
    expected[name] = first = call(1)
    for threads in (2, 3, 7):
        assert call(threads).tobytes() == first.tobytes(), (name, threads)
wrong = []

def all_at_once():
    wrong.extend(name for name, call in calls.items() if call(None).tobytes() != expected[name].tobytes())
    wrong.extend([] if numba.get_num_threads() == 7 else ["the caller's setting"])

others = [threading.Thread(target=all_at_once) for _ in range(4)]
for other in others:
    other.start()
for other in others:
    other.join()
assert not wrong, wrong
for method in ("fork", "forkserver", "spawn"):
    with multiprocessing.get_context(method).Pool(1) as pool:
        moments = pool.apply_async(fd.weighted_moments, (x, weights)).get(120)
    assert np.hstack([a.ravel() for a in moments]).tobytes() == expected["moments"].tobytes(), method
print("same", len(calls), numba.threading_layer())
"""


@pytest.mark.parametrize("layer", ["omp", "workqueue"])
def test_bits_do_not_depend_on_threads(layer):
    environment = os.environ | {"NUMBA_NUM_THREADS": "7", "PYTHONPATH": str(Path(__file__).parent.parent)}
    environment["NUMBA_THREADING_LAYER"] = layer
    done = subprocess.run([sys.executable, "-c", CODE], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"same 13 {layer}"


FEW = """
import numba
import numpy as np
import fastdeg as fd

rng = np.random.default_rng(0)
wide, x, labels = rng.random((100, 256)), rng.random((300, 3)), rng.integers(0, 4, 300)
bins = fd.CentroidBins(x[:4])
grid = fd.GridBins(fd.DegradationSpace([fd.Axis.regular(name, 0, 1, 5) for name in "abc"]))
fd.farthest_points(wide, 50)
fd.farthest_points(x, 50)
fd.select_references(wide, bins.assign(x)[:100], fd.BinnedDistribution.from_samples(bins, x))
means, covs = fd.weighted_moments(x, labels=labels)
fd.frechet_distances(means, covs, *fd.weighted_moments(x))
grid.assign(x)
p, q = fd.BinnedDistribution.from_samples(grid, x), fd.BinnedDistribution.uniform(grid)
fd.degradation_distance(p, q)
fd.emd(p.pmf[:60], p.pmf[:60], x[:60], x[60:120])
fd.sinkhorn([0.5, 0.5], [0.25, 0.75], x[:2], reg=1.0)
try:
    print("threads by", numba.threading_layer())
except ValueError:
    print("no threads")
"""


def test_small_work_starts_no_threads():
    environment = os.environ | {"NUMBA_NUM_THREADS": "7", "PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run([sys.executable, "-c", FEW], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "no threads"
