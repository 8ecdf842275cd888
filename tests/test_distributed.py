"""Collections of Dask, on a real cluster of two processes on this machine."""

import os
import signal
import subprocess
import sys
import textwrap
from functools import reduce

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import fastdeg as fd

dask = pytest.importorskip("dask")
import dask.array as da  # noqa: E402
import dask.dataframe as dd  # noqa: E402
from distributed import Client, LocalCluster  # noqa: E402

PATIENCE = 60  # seconds, for what takes a few


@pytest.fixture(scope="module")
def client():
    options = {"processes": True, "threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(n_workers=2, **options) as cluster, Client(cluster) as client:
        yield client


@pytest.fixture
def bins():
    axes = [fd.Axis.regular("blur_sigma", 0, 5, 6), fd.Axis.regular("noise_sigma", 0, 50, 5)]
    return fd.GridBins(fd.DegradationSpace(axes))


@pytest.fixture
def chunks():
    rng = np.random.default_rng(0)
    return [rng.uniform((0, 0), (5, 50), (n, 2)) for n in (100, 37, *[60] * 38)]


def in_order(bins, chunks, weights=None):
    weights = [None] * len(chunks) if weights is None else weights
    return reduce(fd.Accumulator.merge, [fd.Accumulator(bins).update(*xw) for xw in zip(chunks, weights, strict=True)])


def test_a_cluster_gives_the_bits_of_a_merge_in_order(client, bins, chunks):
    samples = np.concatenate(chunks)
    rows = tuple(map(len, chunks))
    x = da.from_array(samples, chunks=(rows, 1))  # columns apart, too
    weights = np.random.default_rng(1).random(len(samples))
    whole = in_order(bins, chunks, np.split(weights, np.cumsum(rows)[:-1]))
    for given in (weights, da.from_array(weights, chunks=500)):
        assert fd.Accumulator(bins).update(x, given) == whole
        assert fd.BinnedDistribution.from_samples(bins, x, given) == whole.distribution()
        for ours, expected in zip(fd.weighted_moments(x, given), whole.moments(), strict=True):
            assert_array_equal(ours, expected)
    assert fd.BinnedDistribution.from_samples(bins, x) == fd.BinnedDistribution.from_samples(bins, samples)
    for ours, expected in zip(whole.moments(), fd.weighted_moments(samples, weights), strict=True):
        assert_allclose(ours, expected, rtol=1e-12, atol=1e-12)


def test_labels_and_their_moments(client, bins, chunks):
    samples = np.concatenate(chunks)
    x = da.from_array(samples, chunks=(300, 2))
    labels = bins.assign(x)
    assert labels.chunks == (x.chunks[0],)
    assert_array_equal(labels.compute(), bins.assign(samples))
    ours = fd.weighted_moments(x, labels=labels, return_occupied=True)
    plain = fd.weighted_moments(samples, labels=bins.assign(samples), return_occupied=True)
    for a, b in zip(ours, plain, strict=True):
        assert_allclose(a, b, rtol=1e-12, atol=1e-12)
    centroids = fd.CentroidBins(samples[:9], space=bins.space)
    assert_array_equal(centroids.assign(x).compute(), centroids.assign(samples))


def test_data_frames_and_parquet(client, bins, chunks, tmp_path):
    samples = np.concatenate(chunks)
    frame = pd.DataFrame(samples[:, ::-1], columns=["noise_sigma", "blur_sigma"]).assign(w=np.arange(len(samples)))
    dd.from_pandas(frame, npartitions=5).to_parquet(tmp_path / "samples")
    stored = dd.read_parquet(tmp_path / "samples")
    assert fd.BinnedDistribution.from_samples(bins, stored) == fd.BinnedDistribution.from_samples(bins, samples)
    weighted = fd.BinnedDistribution.from_samples(bins, stored, stored["w"])
    expected = fd.BinnedDistribution.from_samples(bins, frame, frame["w"])
    assert_allclose(weighted.pmf, expected.pmf, rtol=1e-14)
    assert_array_equal(bins.assign(stored).compute(), bins.assign(samples))
    mean, _ = fd.weighted_moments(stored[["blur_sigma", "noise_sigma"]])
    assert_allclose(mean, samples.mean(axis=0), rtol=1e-12)
    labelled = stored.assign(label=stored["w"] % 4)
    mean, _ = fd.weighted_moments(labelled[["blur_sigma"]], labels=labelled["label"], n_bins=4)
    assert_allclose(mean[1], samples[1::4, :1].mean(axis=0), rtol=1e-12)
    with pytest.raises(ValueError, match="samples: expected the columns blur_sigma, noise_sigma"):
        fd.BinnedDistribution.from_samples(bins, stored[["w"]])


def test_zarr(client, bins, chunks, tmp_path):
    pytest.importorskip("zarr", reason="Dask writes and reads Zarr through zarr")
    samples = np.concatenate(chunks)
    da.from_array(samples, chunks=(300, 2)).to_zarr(str(tmp_path / "samples.zarr"))
    stored = da.from_zarr(str(tmp_path / "samples.zarr"))
    expected = in_order(bins, np.split(samples, range(300, len(samples), 300)))
    assert fd.Accumulator(bins).update(stored) == expected
    assert_array_equal(bins.assign(stored).compute(), bins.assign(samples))


def test_an_error_names_chunk_and_row_and_leaves_the_cluster_usable(client, bins, chunks):
    samples = np.concatenate(chunks)
    samples[320, 1], outside = np.nan, samples.copy()
    outside[320] = 9
    for broken, message in ((samples, "nan in row 20"), (outside, r"row 20 \(blur_sigma 9")):
        x = da.from_array(broken, chunks=(100, 2))
        for call in (fd.BinnedDistribution.from_samples, lambda bins, x: bins.assign(x).compute()):
            with pytest.raises(ValueError, match=f"chunk 3, which begins with row 300: samples: .*{message}"):
                call(bins, x)
    with pytest.raises(ValueError, match=r"chunk 3, .*finite numbers, got nan at index \[20, 1\]"):
        fd.weighted_moments(da.from_array(samples, chunks=(100, 2)))
    kept = fd.BinnedDistribution.from_samples(bins, da.from_array(outside, chunks=(100, 2)), outside="drop")
    assert kept == fd.BinnedDistribution.from_samples(bins, outside, outside="drop")


def test_what_does_not_fit_is_refused(bins, chunks):
    x = da.from_array(np.concatenate(chunks), chunks=(300, 2))
    for weights, message in ((np.ones(3), r"one number for each of the 2,\d+ samples"), (da.ones(7), "shape")):
        with pytest.raises(ValueError, match=f"sample_weight: expected .*{message}"):
            fd.BinnedDistribution.from_samples(bins, x, weights)
    unknown = x[x[:, 0] >= 0]
    assert fd.BinnedDistribution.from_samples(bins, unknown).n_samples == len(x)
    with pytest.raises(ValueError, match="expected a collection of Dask"):
        fd.BinnedDistribution.from_samples(bins, unknown, np.ones(len(x)))
    with pytest.raises(ValueError, match="expected the 9 chunks of the samples, got 1"):
        fd.BinnedDistribution.from_samples(bins, unknown, da.ones(len(x)))


def die_once(block, marker, block_info=None):
    """Kill the worker that makes the fifth block, the first time."""
    if block_info[0]["chunk-location"][0] == 5 and not os.path.exists(marker):
        open(marker, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return block


def test_a_worker_killed_in_the_middle_changes_nothing(client, bins, chunks, tmp_path):
    samples = np.concatenate(chunks)
    marker = tmp_path / "killed"
    x = da.from_array(samples, chunks=(100, 2)).map_blocks(die_once, marker=str(marker), dtype=float)
    ours = fd.weighted_moments(x)
    assert marker.exists()
    expected = in_order(bins, np.split(samples, range(100, len(samples), 100))).moments()
    for a, b in zip(ours, expected, strict=True):
        assert_array_equal(a, b)


def test_everything_else_works_without_dask(tmp_path):
    script = """
        import sys
        sys.modules["dask"] = sys.modules["distributed"] = None  # as if they were not installed
        import numpy as np, fastdeg as fd
        bins = fd.GridBins(fd.DegradationSpace([fd.Axis.regular("noise_sigma", 0, 50, 5)]))
        x = np.linspace(0, 50, 11)[:, None]
        assert fd.Accumulator(bins).update(x).distribution() == fd.BinnedDistribution.from_samples(bins, x)
        assert fd.weighted_moments(x)[0] == 25
        from fastdeg.distributed import cluster
        try:
            with cluster("local"):
                pass
        except ValueError as error:
            print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert "pip install 'fastdeg[dask]'" in done.stdout, done.stderr


def test_crafting_problems_on_a_cluster(client):
    rng, bins = np.random.default_rng(0), fd.GridBins(fd.DegradationSpace.preset("paper"))
    targets = [fd.BinnedDistribution(bins, rng.dirichlet(np.full(75, 0.3))) for _ in range(5)]
    results = list(fd.craft_many([(q, {"generalization": 0.1}) for q in targets], client=client))
    for result, q in zip(results, targets, strict=True):
        plain = fd.craft(q, generalization=0.1, threads=1)
        assert result.distribution == plain.distribution
        assert result.objective == plain.objective
    with pytest.raises(ValueError, match="problem 1: generalization"):
        list(fd.craft_many([(targets[0], {}), (targets[1], {"generalization": -1})], client=client))
    assert client.submit(sum, [1, 2]).result() == 3
    with pytest.raises(ValueError, match="threads: expected none beside a client"):
        fd.craft_many([], client=client, threads=2)
