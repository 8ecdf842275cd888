import naive_measure as naive
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import fastdeg as fd
from fastdeg.moments import merge, partial_moments

SHAPES = [(1, 1), (2, 1), (5, 3), (513, 3), (9_000, 3), (20_001, 2), (700, 7), (300, 17), (65, 64)]


@pytest.mark.parametrize(("n", "d"), SHAPES)
@pytest.mark.parametrize("weighted", [False, True])
def test_agrees_with_long_double(n, d, weighted):
    rng = np.random.default_rng(n + d)
    x, weights = rng.normal(size=(n, d)) @ rng.normal(size=(d, d)), rng.random(n) if weighted else None
    mean, cov = fd.weighted_moments(x, weights)
    expected_mean, expected_cov = naive.moments(x, weights)
    assert_allclose(mean, expected_mean.astype(float), rtol=1e-12, atol=1e-14)
    assert_allclose(
        cov, expected_cov.astype(float), rtol=1e-12, atol=1e-12 * np.trace(expected_cov).astype(float) + 1e-30
    )
    assert_array_equal(cov, cov.T)


def test_agrees_with_numpy_cov():
    rng = np.random.default_rng(1)
    x, weights = rng.normal(size=(10_000, 5)), rng.random(10_000)
    assert_allclose(fd.weighted_moments(x, weights)[1], np.cov(x.T, aweights=weights, ddof=0), rtol=1e-11, atol=1e-13)


def test_far_from_the_origin_nothing_cancels():
    rng = np.random.default_rng(2)
    x = rng.integers(-8, 9, size=(20_000, 3)).astype(float)
    _, cov = fd.weighted_moments(x)
    mean, far = fd.weighted_moments(x + 2.0**40)
    assert_allclose(far, cov, rtol=1e-12, atol=1e-12)
    assert_allclose(mean - 2.0**40, x.mean(axis=0), atol=3e-4)


def test_one_far_point_does_not_spoil_the_rest():
    x = np.random.default_rng(3).normal(size=(1_000, 2))
    x[0] = 1e8
    weights = np.ones(1_000)
    weights[0] = 0
    assert_allclose(fd.weighted_moments(x, weights)[1], np.cov(x[1:].T, ddof=0), rtol=1e-9)


@pytest.mark.parametrize("n", [0, 1, 50, 5_000])
@pytest.mark.parametrize("d", [1, 3, 5])
@pytest.mark.parametrize("weighted", [False, True])
def test_labels(n, d, weighted):
    rng = np.random.default_rng(n + d)
    x, labels = 1e6 + rng.normal(size=(n, d)), rng.integers(0, 20, n)
    weights = rng.random(n) * (rng.random(n) < 0.9) if weighted else None
    mean, cov, occupied = fd.weighted_moments(x, weights, labels=labels, n_bins=23, return_occupied=True)
    expected_mean, expected_cov = naive.label_moments(x, labels, 23, weights)
    assert_allclose(mean, expected_mean, rtol=1e-13)
    assert_allclose(cov, expected_cov, rtol=1e-8, atol=1e-9)
    total = np.bincount(labels, weights, 23) if n else np.zeros(23)
    assert_array_equal(occupied, total > 0)
    assert not mean[~occupied].any()
    assert not cov[~occupied].any()


def test_merge_of_parts_is_the_whole():
    rng = np.random.default_rng(0)
    x, weights, labels = 2.0**40 + rng.integers(-9, 10, (3_000, 3)), rng.random(3_000), rng.integers(0, 7, 3_000)
    parts = [slice(0, 10), slice(10, 11), slice(11, 11), slice(11, 2_500), slice(2_500, None)]
    whole = partial_moments(x, weights)
    merged = merge(*[partial_moments(x[part], weights[part]) for part in parts])
    assert_allclose(merged.weight, whole.weight, rtol=1e-13)
    assert_array_equal(merged.mean, whole.mean)
    assert_allclose(merged.covariance, whole.covariance, rtol=1e-11)
    merged = merge(*[partial_moments(x[p], weights[p], labels=labels[p], n_bins=9) for p in parts])
    whole = partial_moments(x, weights, labels=labels, n_bins=9)
    assert_allclose(merged.covariance, whole.covariance, rtol=1e-10)
    with pytest.raises(ValueError, match=r"parts: .* shape"):
        merge(whole, partial_moments(x))


@pytest.mark.parametrize("scale", [1e-300, 1e-150, 1e150])
def test_extreme_weights_and_values(scale):
    rng = np.random.default_rng(0)
    x, weights = rng.normal(size=(500, 3)), rng.random(500)
    mean, cov = fd.weighted_moments(x, weights)
    assert_allclose(fd.weighted_moments(x, weights * scale)[1], cov, rtol=1e-12)
    scaled_mean, scaled_cov = fd.weighted_moments(x * scale, weights)
    assert_allclose(scaled_mean / scale, mean, rtol=1e-10)
    assert_allclose(scaled_cov, cov * scale * scale, rtol=1e-10, atol=1e-320)


def test_denormal_weights_and_overflow():
    x = np.random.default_rng(0).normal(size=(100, 2))
    assert_allclose(fd.weighted_moments(x, np.full(100, 1e-320))[1], fd.weighted_moments(x)[1], rtol=1e-12)
    with pytest.raises(ValueError, match="floating-point range"):
        fd.weighted_moments([[1e300], [-1e300]])


def test_equal_points_have_no_covariance():
    x = np.full((1_000, 3), 0.1)
    mean, cov = fd.weighted_moments(x, np.random.default_rng(0).random(1_000))
    assert_allclose(mean, 0.1, rtol=1e-15)
    assert np.abs(cov).max() < 1e-30
    assert cov.diagonal().min() >= 0


def test_precision_of_results_follows_the_input():
    x = np.random.default_rng(0).normal(size=(100, 2))
    for result in fd.weighted_moments(x.astype(np.float32)):
        assert result.dtype == np.float32
    for result in fd.weighted_moments(x.astype(int)):
        assert result.dtype == np.float64


def test_layouts_and_untouched_input():
    rng = np.random.default_rng(0)
    x, weights = rng.normal(size=(200, 3)), rng.random(200)
    expected = fd.weighted_moments(x, weights)[1]
    frozen = x.copy()
    frozen.setflags(write=False)
    for variant in (np.asfortranarray(x), np.repeat(x, 2, axis=0)[::2], frozen, x.tolist()):
        assert_array_equal(fd.weighted_moments(variant, weights)[1], expected)
    assert_array_equal(frozen, x)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": [[1.0], [np.nan]]}, r"x: .* nan at index \[1, 0\]"),
        ({"x": [[1.0], [np.inf]]}, "x: .* inf"),
        ({"x": np.empty((0, 2))}, "x: expected at least one sample"),
        ({"x": [1.0, 2.0]}, "x: expected shape"),
        ({"x": [[1.0]], "weights": [-1.0]}, "weights: expected weights >= 0"),
        ({"x": [[1.0]], "weights": [np.nan]}, "weights: .* nan"),
        ({"x": [[1.0]], "weights": [0.0]}, "weights: .* positive total"),
        ({"x": [[1.0]], "weights": [1.0, 2.0]}, "weights: expected shape"),
        ({"x": [[1.0]], "labels": [1], "n_bins": 1}, "labels: .* 0 to 0, got 1"),
        ({"x": [[1.0]], "labels": [-1], "n_bins": 4}, "labels: .* 0 to 3, got -1"),
        ({"x": [[1.0]], "labels": [-1]}, "labels: .* got -1"),
        ({"x": [[1.0]], "labels": [0, 1]}, "labels: expected shape"),
        ({"x": [[1.0]], "labels": np.array([2**63 + 1], np.uint64)}, "labels: .* got 9223372036854775809"),
        ({"x": [[1.0]], "labels": [0], "n_bins": 0}, "n_bins: expected an integer >= 1"),
        ({"x": [[1.0]], "n_bins": 3}, "n_bins: expected labels"),
        ({"x": [[1.0]], "return_occupied": True}, "return_occupied: expected labels"),
        ({"x": [[1.0]], "threads": 0}, "threads: expected a positive integer"),
        ({"x": np.empty((3, 0))}, "x: expected at least one axis"),
        ({"x": np.array([[1e30], [-1e30]], np.float32)}, r"x: .* float32 can hold, got 1e\+60"),
        ({"x": np.array([[1e30], [-1e30]], np.float32), "labels": [0, 0]}, "x: .* float32 can hold"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ValueError, match=message):
        fd.weighted_moments(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": [[1.0]], "labels": [0.0]}, "labels: expected integers"),
        ({"x": [[1.0]], "labels": [True]}, "labels: expected integers"),
        ({"x": [[1j]]}, "x: expected an array of real numbers, got list"),
        ({"x": [[1.0]], "weights": ["a"]}, "weights: expected an array of real numbers"),
        ({"x": [[1.0]], "labels": [0], "n_bins": 2.0}, "n_bins: expected an integer >= 1, got 2.0"),
    ],
)
def test_wrong_types(arguments, message):
    with pytest.raises(TypeError, match=message):
        fd.weighted_moments(**arguments)


def test_memory_is_estimated_first():
    with pytest.raises(MemoryError, match=r"labels: expected .* GB"):
        fd.weighted_moments([[1.0]], labels=[10**12])
    with pytest.raises(MemoryError, match=r"n_bins: expected .* GB"):
        fd.weighted_moments([[1.0]], labels=[0], n_bins=10**12)


def test_one_sample_and_denormal_numbers():
    for arguments in ({}, {"labels": [0], "n_bins": 1}):
        mean, cov = fd.weighted_moments([[3.0, 4.0]], **arguments)
        assert_array_equal(mean.ravel(), [3, 4])
        assert not cov.any()
    mean, cov = fd.weighted_moments([[5e-324], [1.5e-323]])
    assert 5e-324 <= mean[0] <= 1.5e-323
    assert cov[0, 0] == 0


@pytest.mark.parametrize("n_bins", [1, 4])
def test_labels_of_equal_huge_and_far_values(n_bins):
    """Per label: all samples equal, values near the end of the range, more bins than samples."""
    labels = np.arange(3) % n_bins
    mean, cov = fd.weighted_moments(np.full((3, 2), 0.1), labels=labels, n_bins=n_bins)
    assert_allclose(mean[:3].ravel(), 0.1, rtol=1e-15)
    assert np.abs(cov).max() < 1e-33
    assert fd.weighted_moments(np.full((3, 2), 1e150) * [[1], [1], [-1]], labels=[0] * 3)[1][0, 0, 0] < 1e301
    with pytest.raises(ValueError, match=r"^x, weights: .* floating-point range"):
        fd.weighted_moments([[1e200], [-1e200]], labels=[0, 0], n_bins=n_bins)


def test_merge_wants_parts():
    with pytest.raises(ValueError, match="parts: expected at least one"):
        merge()
    with pytest.raises(TypeError, match="parts: expected what partial_moments returns, got tuple"):
        merge((1.0, 2.0))
    nothing = partial_moments(np.empty((0, 2)))
    one = partial_moments([[1e300, 5e-324]])
    assert_array_equal(merge(nothing, one, nothing).mean, [1e300, 5e-324])
    assert not merge(nothing, nothing).covariance.any()
