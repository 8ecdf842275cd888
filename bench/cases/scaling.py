"""Beyond one core: many problems side by side, and samples in chunks on a Dask cluster of two processes."""

from __future__ import annotations

import atexit
import tempfile
from functools import cache
from pathlib import Path
from types import SimpleNamespace as Workload

import numpy as np
from scipy.spatial.distance import cdist

import fastdeg as fd
from bench.case import OURS, Case, Curve, FirstCall, Rival
from fastdeg.images import list_images, read_images
from fastdeg.runs.pairs import write_pairs

CHUNK = 2_000_000  # samples
BINS = fd.GridBins(fd.DegradationSpace.preset("dense"))
LOW, HIGH = ([axis.boundaries[end] for axis in BINS.space.axes] for end in (0, -1))


@cache
def client(n_workers):
    from distributed import Client, LocalCluster

    cluster = LocalCluster(n_workers=n_workers, threads_per_worker=1, dashboard_address=None)
    connected = Client(cluster, set_as_default=False)
    atexit.register(cluster.close)
    atexit.register(connected.close)
    return connected


# --- many transports


def transports_workload(concentration):
    rng = np.random.default_rng(0)
    bins = fd.GridBins(fd.DegradationSpace.preset("paper"))
    x = bins.standardized_centers()
    return Workload(p=rng.dirichlet(np.full(75, concentration), 200), x=x, cost=cdist(x, x))


def pot_loop(w):
    import ot

    out = np.zeros((len(w.p), len(w.p)))
    for i in range(len(w.p)):
        for j in range(i):
            out[i, j] = out[j, i] = ot.emd2(w.p[i], w.p[j], w.cost)
    return out


def values_agree(w, answers):
    for answer in answers.values():
        np.testing.assert_allclose(answer, answers[OURS], rtol=1e-9, atol=1e-15)


# --- many crafting problems


def problems_workload():
    rng, problems = np.random.default_rng(0), []
    for preset, n in (("paper", 200), ("dense", 40)):
        bins = fd.GridBins(fd.DegradationSpace.preset(preset))
        for _ in range(n):
            share = rng.multinomial(24, rng.dirichlet(np.full(bins.n_bins, 0.2))) / 24
            problems.append((fd.BinnedDistribution(bins, share), {"generalization": rng.choice([0.05, 0.1, 0.3])}))
    return problems


def problems_on_cluster(n_workers):
    return lambda w: list(fd.craft_many(w, client=client(n_workers)))


def same_bits(w, answers):
    for results in answers.values():
        for ours, theirs in zip(answers[OURS], results, strict=True):
            if ours.distribution.n_bins == 75:  # on more, the plain loop may use two threads: the same bits too
                assert ours.distribution == theirs.distribution
            assert ours.objective == theirs.objective


# --- samples in chunks


def chunk(seed, size=CHUNK):
    return np.random.default_rng(seed).uniform(LOW, HIGH, (size, 3))


def chunked(n_chunks, size=CHUNK):
    """So many chunks as an array of Dask."""
    import dask.array as da
    from dask import delayed

    return da.concatenate([da.from_delayed(delayed(chunk)(i, size), (size, 3), np.float64) for i in range(n_chunks)])


def accumulated(seeds, size=CHUNK):
    """The same chunks, one after the other."""
    whole = fd.Accumulator(BINS)
    for i in seeds:
        whole.merge(fd.Accumulator(BINS).update(chunk(i, size), threads=1))
    return whole


def chunks_workload(n):
    size = min(n // 2, CHUNK)
    w = Workload(n_chunks=n // size, size=size, samples=chunked(n // size, size))
    for n_workers in (1, 2, 4):
        client(n_workers)
    return w


def on_cluster(n_workers):
    def run(w):
        with client(n_workers).as_current():
            return fd.Accumulator(BINS).update(w.samples)

    return run


def in_one_process(w):
    return accumulated(range(w.n_chunks), w.size)


# --- photographs


def photos_workload():
    import cv2

    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (440, 256, 256, 3), dtype=np.uint8)
    images = [cv2.GaussianBlur(picture, (0, 0), 1.5) for picture in noise]
    folder = tempfile.TemporaryDirectory()
    for i, image in enumerate(images[:400]):
        cv2.imwrite(f"{folder.name}/{i:03d}.jpg", image)
    return Workload(clean=images[400:], photos=images[:400], folder=folder)


def read_photos(backend, n_jobs):
    def run(w):
        import joblib

        bins = fd.GridBins(fd.DegradationSpace.preset("paper"))
        estimator = fd.DegradationEstimator(bins, downsampling=2, n_samples=4_000)
        with joblib.parallel_config(backend, n_jobs=n_jobs):
            return estimator.fit(w.clean).predict_proba(w.photos)

    return run


def read_folder(backend, n_jobs):
    def run(w):
        import joblib

        with joblib.parallel_config(backend, n_jobs=n_jobs):
            return read_images(w.folder.name, max_bytes=0).files

    return run


def pairs(workers):
    def run(w):
        q = fd.BinnedDistribution.uniform(fd.GridBins(fd.DegradationSpace.preset("paper")))
        transform = fd.DegradationTransform(q, downsampling=2, seed=0)
        with tempfile.TemporaryDirectory() as out:
            images = list_images(w.folder.name)
            return write_pairs(images, transform, Path(out) / "pairs", {}, workers=workers).rows

    return run


def same_answers(w, answers):
    for answer in answers.values():
        assert answer == answers[OURS]


def same_numbers(w, answers):
    for answer in answers.values():
        np.testing.assert_array_equal(answer, answers[OURS])


CHUNKS_RIVALS = (
    Rival("one process, without Dask", in_one_process, requires=["distributed"]),
    Rival("one worker", on_cluster(1), target=1.7, requires=["distributed"]),
    Rival("four workers", on_cluster(4), requires=["distributed"]),
)

CASES = [
    *(
        Case(
            f"all pairs of 200 pmfs on 75 bins, Dirichlet({concentration:g})",
            lambda concentration=concentration: transports_workload(concentration),
            lambda w: fd.emd_many(w.p, x=w.x),
            [Rival("POT emd2, in a loop", pot_loop, target=8, requires=["ot"])],
            values_agree,
            seconds=30,
            rounds=3,
        )
        for concentration in (1.0, 0.1)
    ),
    Case(
        "crafting, 200 problems of 75 bins and 40 of 17,850",
        problems_workload,
        lambda w: list(fd.craft_many(w)),
        [
            Rival("craft(threads=1), in a loop", lambda w: [fd.craft(q, **o, threads=1) for q, o in w], target=1.7),
            Rival("craft, in a loop", lambda w: [fd.craft(q, **o) for q, o in w], target=1),
            Rival("Dask with two workers", problems_on_cluster(2), requires=["distributed"]),
            Rival("Dask with four workers", problems_on_cluster(4), requires=["distributed"]),
        ],
        same_bits,
        slow=True,
        seconds=60,
        rounds=5,
    ),
    Case(
        "fit on 40 clean images, 400 photos read, two threads",
        photos_workload,
        read_photos("threading", 2),
        [
            Rival("one thread", read_photos("threading", 1), target=1.7),
            Rival("two processes (loky)", read_photos("loky", 2)),
            Rival("four threads", read_photos("threading", 4)),
        ],
        same_numbers,
        slow=True,
        seconds=60,
        rounds=3,
    ),
    Case(
        "a folder of 400 JPEG files checked, two threads",
        photos_workload,
        read_folder("threading", 2),
        [
            Rival("one thread", read_folder("threading", 1), target=1.7),
            Rival("four threads", read_folder("threading", 4)),
            Rival("two processes (loky)", read_folder("loky", 2)),
        ],
        same_answers,
        seconds=10,
        rounds=9,
    ),
    Case(
        "pairs of 400 JPEG files, two threads",
        photos_workload,
        pairs(2),
        [Rival("one thread", pairs(1), target=1.7), Rival("four threads", pairs(4))],
        same_answers,
        slow=True,
        seconds=30,
        rounds=5,
    ),
    Case(
        "distribution and moments of 2·10⁸ samples in 17,850 bins, Dask with two workers",
        lambda: chunks_workload(200_000_000),
        on_cluster(2),
        CHUNKS_RIVALS,
        same_answers,
        slow=True,
        seconds=60,
        rounds=3,
    ),
]

CURVES = [
    Curve(
        "Distribution and moments over n, Dask with two workers",
        "n",
        [1_000_000, 10_000_000, 200_000_000],
        chunks_workload,
        on_cluster(2),
        CHUNKS_RIVALS,
    ),
]

FIRST_CALLS = [
    FirstCall(
        "emd_many", "import numpy as np, fastdeg as fd; fd.emd_many(np.full((9, 9), 1 / 9), x=np.arange(9.0)[:, None])"
    ),
]
