"""The transform while training: streams of items, of workers and of ranks; what batches need; what it reports."""

import hashlib
import json
import os
import pickle
import subprocess
import sys
from itertools import product

import numpy as np
import pytest
from problems_images import paper_bins, photographs

import fastdeg as fd

IMAGE = photographs()[0][:64, :64]

# One rank of a distributed run, as torchrun starts it: what each worker draws in each epoch, with an index and without.
RANK = """
import hashlib, json, sys
import numpy as np, torch
from torch.utils.data import DataLoader, Dataset, DistributedSampler
import fastdeg as fd

class Pairs(Dataset):
    def __init__(self, transform):
        self.transform, self.image = transform, np.arange(64 * 64 * 3, dtype=np.uint8).reshape(64, 64, 3)
    def __len__(self):
        return 12
    def __getitem__(self, i):
        low, drawn = self.transform(self.image, index=i)
        worker = torch.utils.data.get_worker_info().id
        return i, worker, self.transform(self.image)[1]["noise_sigma"], hashlib.sha256(low.tobytes()).hexdigest()

if __name__ == "__main__":
    rank, meet, method, first = int(sys.argv[1]), *sys.argv[2:4], int(sys.argv[4])
    torch.distributed.init_process_group("gloo", init_method=meet, rank=rank, world_size=2)
    torch.manual_seed(0)
    space = fd.DegradationSpace.preset("paper")
    data = Pairs(fd.DegradationTransform(fd.BinnedDistribution.uniform(fd.GridBins(space)), seed=5))
    sampler = DistributedSampler(data)
    for epoch in range(first, 2):
        sampler.set_epoch(epoch)
        data.transform.set_epoch(epoch)
        for batch in DataLoader(data, 2, sampler=sampler, num_workers=2, multiprocessing_context=method):
            for i, worker, free, pixels in zip(*batch):
                print(json.dumps([rank, int(worker), epoch, int(i), float(free), pixels]))
"""


def train(folder, method, first):
    """Train on two ranks with two workers each, from epoch ``first`` on; return [rank, worker, epoch, i, …] rows."""
    (folder / "rank.py").write_text(RANK)
    meet = f"file://{folder}/meet-{first}"
    ranks = [
        subprocess.Popen(
            [sys.executable, str(folder / "rank.py"), str(rank), meet, method, str(first)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        for rank in range(2)
    ]
    shown = [process.communicate(timeout=300)[0] for process in ranks]
    assert [process.returncode for process in ranks] == [0, 0]
    return [json.loads(line) for text in shown for line in text.splitlines()]


@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_no_stream_comes_twice_in_a_distributed_run_and_a_resumed_one_goes_on(method, tmp_path):
    pytest.importorskip("torch", reason="needs torch: pip install 'fastdeg[torch]'")
    rows = train(tmp_path, method, 0)
    assert {tuple(row[:3]) for row in rows} == set(product((0, 1), (0, 1), (0, 1)))
    assert sorted((row[2], row[3]) for row in rows) == sorted(product((0, 1), range(12)))
    assert len({row[4] for row in rows}) == len(rows)  # of all ranks, workers and epochs: nothing twice
    assert len({row[5] for row in rows}) == len(rows)
    transform = fd.DegradationTransform(fd.BinnedDistribution.uniform(paper_bins()), seed=5)
    image = np.arange(64 * 64 * 3, dtype=np.uint8).reshape(64, 64, 3)
    for _, _, epoch, i, _, pixels in rows:
        low, _ = transform(image, index=i, epoch=epoch)
        assert hashlib.sha256(low.tobytes()).hexdigest() == pixels
    resumed = train(tmp_path, method, 1)
    assert sorted((row[3], row[5]) for row in resumed) == sorted((row[3], row[5]) for row in rows if row[2] == 1)


def uniform_transform(**options):
    return fd.DegradationTransform(fd.BinnedDistribution.uniform(paper_bins()), **options)


def test_an_item_has_the_same_degradation_whoever_asks_and_whenever():
    transform = uniform_transform(seed=1)
    expected = {(i, k): transform(IMAGE, index=i, epoch=k) for i in range(3) for k in range(2)}
    assert len({tuple(parameters.values()) for _, parameters in expected.values()}) == 6
    copy = pickle.loads(pickle.dumps(uniform_transform(seed=1)))
    for (i, k), (low, parameters) in reversed(expected.items()):
        copy(IMAGE)  # what else was drawn does not matter
        copy.set_epoch(k)
        for again in (copy(IMAGE, index=i), transform(IMAGE, index=i, epoch=k)):
            np.testing.assert_array_equal(again[0], low)
            assert again[1] == parameters
    assert uniform_transform(seed=2)(IMAGE, index=0)[1] != expected[0, 0][1]


def test_a_stream_without_index_goes_on_and_is_new_in_each_epoch():
    transform, again = uniform_transform(seed=1), uniform_transform(seed=1)
    draws = []
    for epoch in (0, 1):
        for each in (transform, again):
            each.set_epoch(epoch)
        for _ in range(3):
            draws.append(transform(IMAGE)[1]["noise_sigma"])
            assert again(IMAGE)[1]["noise_sigma"] == draws[-1]
    assert len(set(draws)) == 6


@pytest.mark.parametrize("name", ["RANK", "SLURM_PROCID"])
def test_ranks_draw_their_own_streams(name, monkeypatch):
    draws = [uniform_transform(seed=1)(IMAGE)[1]["noise_sigma"]]
    for rank in ("0", "1"):
        monkeypatch.setenv(name, rank)
        draws.append(uniform_transform(seed=1)(IMAGE)[1]["noise_sigma"])
        sent = pickle.dumps(uniform_transform(seed=1))
        monkeypatch.delenv(name)
        assert pickle.loads(sent)(IMAGE)[1]["noise_sigma"] == draws[-1]  # a spawned worker knows its rank
    assert len(set(draws)) == 3


def test_a_seed_that_was_drawn_is_told_and_travels():
    transform = uniform_transform()
    assert transform.seed != uniform_transform().seed
    expected = transform(IMAGE, index=4)[1]
    for same in (uniform_transform(seed=transform.seed), pickle.loads(pickle.dumps(transform))):
        assert same.seed == transform.seed
        assert same(IMAGE, index=4)[1] == expected
    assert f"seed={transform.seed}" in repr(transform)
    child = np.random.SeedSequence(3).spawn(1)[0]
    assert uniform_transform(seed=child).seed is child
    assert uniform_transform(seed=child)(IMAGE, index=0)[1] != uniform_transform(seed=3)(IMAGE, index=0)[1]


def test_rng_is_a_deprecated_name_of_the_seed():
    with pytest.warns(DeprecationWarning, match="rng: of DegradationTransform is named seed now"):
        named_before = uniform_transform(rng=7)
    assert named_before(IMAGE)[1] == uniform_transform(seed=7)(IMAGE)[1]
    with pytest.raises(ValueError, match="rng: expected None beside seed"):
        uniform_transform(seed=1, rng=1)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        ({"index": -1}, ValueError, "index: expected an integer >= 0, got -1"),
        ({"index": 1.5}, TypeError, "index: expected an integer >= 0, got 1.5"),
        ({"index": 1, "epoch": -2}, ValueError, "epoch: expected an integer"),
        ({"epoch": 2}, ValueError, "epoch: expected an index beside it, got 2 alone"),
    ],
)
def test_what_names_no_item_is_refused(call, error, words):
    with pytest.raises(error, match=words):
        uniform_transform(seed=0)(IMAGE, **call)


def test_small_images_of_one_size_for_a_batch():
    axes = [fd.Axis.levels("downsampling", [2, 3, 4]), fd.Axis.regular("noise_sigma", 0, 30, 3)]
    bins = fd.GridBins(fd.DegradationSpace(axes))
    p = fd.BinnedDistribution(bins, [0.1, 0.2, 0.1, 0, 0, 0, 0, 0.6, 0])
    transform = fd.DegradationTransform(p, downsampling=2, seed=0)
    pairs = [transform(IMAGE, index=i) for i in range(200)]
    assert {low.shape for low, _ in pairs} == {(32, 32, 3)}
    assert {parameters["downsampling"] for _, parameters in pairs} == {2}
    cells = np.bincount([int(parameters["noise_sigma"] // 10) for _, parameters in pairs], minlength=3) / 200
    assert cells == pytest.approx([0.25, 0.5, 0.25], abs=0.15)  # given the factor
    assert all(10 <= fd.DegradationTransform(p, downsampling=4)(IMAGE)[1]["noise_sigma"] <= 20 for _ in range(5))
    for factor in (3, 2.5, 9):
        with pytest.raises(ValueError, match="downsampling: expected a value to which the distribution gives prob"):
            fd.DegradationTransform(p, downsampling=factor)
    cells = fd.GridBins(fd.DegradationSpace([fd.Axis.regular("downsampling", 2, 4, 2)]))
    in_a_cell = fd.DegradationTransform(fd.BinnedDistribution(cells, [0, 1]), downsampling=3.5, seed=0)
    assert [in_a_cell(IMAGE)[1]["downsampling"] for _ in range(3)] == [3.5] * 3
    collate = pytest.importorskip("torch.utils.data", reason="needs the extra torch").default_collate
    assert collate([low for low, _ in pairs[:4]]).shape == (4, 32, 32, 3)
    free = fd.DegradationTransform(p, seed=0)
    with pytest.raises(RuntimeError, match="equal size"):
        collate([free(IMAGE, index=i)[0] for i in range(20)])


@pytest.mark.parametrize("bins", [paper_bins(), fd.CentroidBins([[1.0, 5, 40], [2, 9, 80]], space=paper_bins().space)])
def test_draws_have_the_probabilities_of_the_distribution(bins):
    pmf = np.random.default_rng(0).dirichlet(np.full(bins.n_bins, 0.5))
    pmf[:1] = 0
    p = fd.BinnedDistribution(bins, pmf / pmf.sum())

    def numbers(image, parameters, rng):
        return np.array(list(parameters.values()))

    transform = fd.DegradationTransform(p, degrade=numbers, seed=0)
    rows = np.array([transform(IMAGE, index=i)[0] for i in range(8000)])
    counts = bins.histogram(rows)
    assert counts[0] == 0
    assert (np.abs(counts - 8000 * p.pmf) <= 5 * np.sqrt(8000 * p.pmf) + 1).all()
    if isinstance(bins, fd.GridBins):  # uniform within the cells
        cells = np.array([axis.widths[0] for axis in bins.space.axes])
        within = (rows - bins.centers[bins.assign(rows)]) / cells
        assert np.abs(within.mean(axis=0)).max() < 0.02
        assert within.var(axis=0) == pytest.approx(1 / 12, rel=0.05)
