"""Beyond one core: many problems side by side, and samples in chunks on a Dask cluster of two processes."""

from __future__ import annotations

import atexit
from functools import cache
from types import SimpleNamespace as Workload

import numpy as np
from scipy.spatial.distance import cdist

import fastdeg as fd
from bench.case import OURS, Case, Curve, FirstCall, Rival

CHUNK = 2_000_000  # samples


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


def same_bits(w, answers):
    for results in answers.values():
        for ours, theirs in zip(answers[OURS], results, strict=True):
            if ours.distribution.n_bins == 75:  # on more, the plain loop may use two threads: the same bits too
                assert ours.distribution == theirs.distribution
            assert ours.objective == theirs.objective


# --- samples in chunks


def chunk(seed):
    axes = fd.DegradationSpace.preset("dense").axes
    low, high = [axis.boundaries[0] for axis in axes], [axis.boundaries[-1] for axis in axes]
    return np.random.default_rng(seed).uniform(low, high, (CHUNK, 3))


def chunks_workload(n):
    import dask.array as da
    from dask import delayed

    w = Workload(bins=fd.GridBins(fd.DegradationSpace.preset("dense")), n_chunks=n // CHUNK)
    blocks = [da.from_delayed(delayed(chunk)(i), (CHUNK, 3), np.float64) for i in range(w.n_chunks)]
    w.samples = da.concatenate(blocks)
    client(1), client(2)
    return w


def on_cluster(n_workers):
    def run(w):
        with client(n_workers).as_current():
            return fd.Accumulator(w.bins).update(w.samples)

    return run


def in_one_process(w):
    whole = fd.Accumulator(w.bins)
    for i in range(w.n_chunks):
        whole.merge(fd.Accumulator(w.bins).update(chunk(i), threads=1))
    return whole


def same_accumulators(w, answers):
    for answer in answers.values():
        assert answer == answers[OURS]


# --- photographs


def photos_workload():
    import cv2

    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (440, 256, 256, 3), dtype=np.uint8)
    images = [cv2.GaussianBlur(picture, (0, 0), 1.5) for picture in noise]
    return Workload(clean=images[400:], photos=images[:400])


def read_photos(backend, n_jobs):
    def run(w):
        import joblib

        bins = fd.GridBins(fd.DegradationSpace.preset("paper"))
        estimator = fd.DegradationEstimator(bins, downsampling=2, n_samples=4_000)
        with joblib.parallel_config(backend, n_jobs=n_jobs):
            return estimator.fit(w.clean).predict_proba(w.photos)

    return run


def same_numbers(w, answers):
    for answer in answers.values():
        np.testing.assert_array_equal(answer, answers[OURS])


CHUNKS_RIVALS = (
    Rival("one process, without Dask", in_one_process, requires=["distributed"]),
    Rival("one worker", on_cluster(1), target=1.7, requires=["distributed"]),
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
        "distribution and moments of 2·10⁸ samples in 17,850 bins, Dask with two workers",
        lambda: chunks_workload(200_000_000),
        on_cluster(2),
        CHUNKS_RIVALS,
        same_accumulators,
        slow=True,
        seconds=60,
        rounds=3,
    ),
]

CURVES = [
    Curve(
        "Distribution and moments over n, Dask with two workers",
        "n",
        [2_000_000, 20_000_000, 200_000_000],
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
