"""An accumulator of chunks tells of them what is told of all samples at once, in whatever order they are merged."""

import pickle
from functools import reduce

import numpy as np
import pandas as pd
import pytest
from naive_measure import moments as exact_moments
from numpy.testing import assert_allclose, assert_array_equal

import fastdeg as fd


@pytest.fixture
def bins():
    axes = [fd.Axis.regular("blur_sigma", 0, 5, 6), fd.Axis.regular("noise_sigma", 0, 50, 5)]
    return fd.GridBins(fd.DegradationSpace(axes))


@pytest.fixture
def samples():
    return np.random.default_rng(0).uniform((0, 0), (5, 50), (3_000, 2))


def accumulated(bins, chunks, weights=None):
    parts = [None] * len(chunks) if weights is None else weights
    return [fd.Accumulator(bins).update(x, w) for x, w in zip(chunks, parts, strict=True)]


def test_chunks_say_what_all_samples_say(bins, samples):
    whole = reduce(fd.Accumulator.merge, accumulated(bins, np.array_split(samples, 7)))
    assert whole.distribution() == fd.BinnedDistribution.from_samples(bins, samples)  # counts are exact
    for ours, expected in zip(whole.moments(), fd.weighted_moments(samples), strict=True):
        assert_allclose(ours, expected, rtol=1e-12, atol=1e-12)
    assert whole.weight == 3_000


def test_updates_and_merges_of_the_same_chunks_give_the_same_bits(bins, samples):
    chunks = np.array_split(samples, 7)
    merged, updated = reduce(fd.Accumulator.merge, accumulated(bins, chunks)), fd.Accumulator(bins)
    for chunk in chunks:
        updated.update(chunk)
    assert updated == merged
    assert updated != fd.Accumulator(bins).update(samples[:-1])


def test_weights_of_very_different_sizes_are_summed_as_exactly_as_float64_can(bins, samples):
    weights = 10.0 ** np.random.default_rng(1).uniform(-12, 12, len(samples))
    chunks, of_chunks = np.array_split(samples, 50), np.array_split(weights, 50)
    parts = accumulated(bins, chunks, of_chunks)
    forth, back = reduce(fd.Accumulator.merge, parts, fd.Accumulator(bins)), fd.Accumulator(bins)
    for part in reversed(accumulated(bins, chunks, of_chunks)):
        back.merge(part)
    mass = np.zeros(bins.n_bins, np.longdouble)
    np.add.at(mass, bins.assign(samples), weights.astype(np.longdouble))
    expected = (mass / mass.sum()).astype(np.float64)
    for whole in (forth, back):
        assert_allclose(whole.distribution().pmf, expected, rtol=4e-16)
    assert_allclose(forth.moments()[1], back.moments()[1], rtol=1e-13)
    mean, covariance = exact_moments(samples, weights)
    assert_allclose(forth.moments()[0], mean.astype(float), rtol=1e-13)
    assert_allclose(forth.moments()[1], covariance.astype(float), rtol=1e-12)
    kish = weights.sum() ** 2 / (weights**2).sum()
    assert forth.distribution().n_samples == max(1, round(kish))


def test_the_order_of_ten_thousand_merges_does_not_show(bins):
    rng = np.random.default_rng(2)
    parts = accumulated(bins, rng.uniform((4, 40), (5, 50), (2_000, 5, 2)) * rng.choice([1, 1e-3], (2_000, 1, 1)))
    results = []
    for order in (np.arange(10_000), rng.permutation(10_000)):
        whole = fd.Accumulator(bins)
        for i in order:
            whole.merge(parts[i % len(parts)])
        results.append((*whole.moments(), whole.distribution().pmf))
    for a, b in zip(*results, strict=True):
        assert_allclose(a, b, rtol=1e-13)


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_only_ratios_of_weights_matter(bins, samples, scale):
    weights = np.random.default_rng(1).random(len(samples))
    ours = fd.Accumulator(bins).update(samples, scale * weights).distribution()
    assert_allclose(ours.pmf, fd.BinnedDistribution.from_samples(bins, samples, weights).pmf, rtol=1e-14)
    assert ours.n_samples == fd.BinnedDistribution.from_samples(bins, samples, weights).n_samples


def test_samples_outside(bins, samples):
    wild = np.r_[samples, [[6.0, 10.0], [-1.0, 60.0]]]
    with pytest.raises(ValueError, match=r"row 3000 \(blur_sigma 6"):
        fd.Accumulator(bins).update(wild)
    kept = fd.Accumulator(bins).update(wild, outside="drop")
    assert kept == fd.Accumulator(bins).update(samples)
    clipped = fd.Accumulator(bins).update(wild, outside="clip").distribution()
    assert clipped == fd.BinnedDistribution.from_samples(bins, wild, outside="clip")


def test_an_update_that_fails_adds_nothing(bins, samples):
    whole = fd.Accumulator(bins).update(samples)
    broken = samples.copy()
    broken[5, 1] = np.nan
    for weights, message in ((None, "nan in row 5"), (-np.ones(3_000), "weights >= 0"), (np.ones(2), "shape")):
        with pytest.raises(ValueError, match=message):
            whole.update(broken if weights is None else samples, weights)
    assert whole == fd.Accumulator(bins).update(samples)


def test_columns_are_taken_by_name(bins, samples):
    frame = pd.DataFrame(samples[:, ::-1], columns=["noise_sigma", "blur_sigma"])
    assert fd.Accumulator(bins).update(frame) == fd.Accumulator(bins).update(samples)


def test_float32_is_summed_in_float64(bins, samples):
    x = samples.astype(np.float32)
    expected = exact_moments(x.astype(np.float64), np.ones(len(x)))
    for ours, plain in zip(fd.Accumulator(bins).update(x).moments(), expected, strict=True):
        assert_allclose(ours, plain.astype(float), rtol=1e-13, atol=1e-13)


def test_saved_pickled_and_empty_ones(bins, samples, tmp_path):
    centroids = fd.CentroidBins.fit(samples, 8, space=bins.space)
    for own in (bins, centroids):
        whole = fd.Accumulator(own).update(samples, np.linspace(0.1, 1, len(samples)))
        whole.save(tmp_path / "a.npz")
        again = fd.Accumulator.load(tmp_path / "a.npz")
        assert again == pickle.loads(pickle.dumps(whole)) == whole
        assert again.distribution() == whole.distribution()
        empty = fd.Accumulator(own).update(np.empty((0, 2)))
        assert empty.merge(whole) == whole
        assert_array_equal(again.merge(fd.Accumulator(own)).moments()[0], whole.moments()[0])


def test_what_is_refused(bins, samples, tmp_path):
    empty = fd.Accumulator(bins)
    for ask in (empty.moments, empty.distribution):
        with pytest.raises(ValueError, match="at least one sample"):
            ask()
    with pytest.raises(TypeError, match="bins: expected"):
        fd.Accumulator([1, 2])
    with pytest.raises(TypeError, match="other: expected an Accumulator, got int"):
        empty.merge(3)
    with pytest.raises(ValueError, match="other: expected the bins"):
        empty.merge(fd.Accumulator(fd.GridBins(fd.DegradationSpace.preset("paper"))))
    fd.BinnedDistribution.from_samples(bins, samples).save(tmp_path / "q.npz")
    with pytest.raises(ValueError, match=r"Accumulator\.save"):
        fd.Accumulator.load(tmp_path / "q.npz")
