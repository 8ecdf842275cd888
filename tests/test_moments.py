import naive_measure as naive
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import fastdeg as fd

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
