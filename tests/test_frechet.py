import naive_measure as naive
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import fastdeg as fd


def factors(rng, d, rank):
    return rng.normal(size=(d, rank))


@pytest.mark.parametrize("d", [1, 2, 3, 4, 9, 36])
def test_well_conditioned_to_1e_9_relative(d):
    rng = np.random.default_rng(d)
    for _ in range(20):
        a, b = factors(rng, d, 3 * d), factors(rng, d, 3 * d)
        mean1, mean2 = rng.normal(size=(2, d))
        value = fd.frechet_distance(mean1, a @ a.T, mean2, b @ b.T)
        assert_allclose(value, naive.frechet_from_factors(mean1, a, mean2, b), rtol=1e-9)
        assert_allclose(value, naive.frechet(mean1, a @ a.T, mean2, b @ b.T), rtol=1e-9)


@pytest.mark.parametrize("d", [1, 2, 3, 4, 9, 36])
def test_singular_to_1e_7_of_the_traces(d):
    rng = np.random.default_rng(d)
    for rank in range(d + 1):
        a, b = factors(rng, d, rank), factors(rng, d, rng.integers(0, d + 1))
        zero = np.zeros(d)
        value = fd.frechet_distance(zero, a @ a.T, zero, b @ b.T)
        traces = (a**2).sum() + (b**2).sum()
        assert abs(value - naive.frechet_from_factors(zero, a, zero, b)) <= 1e-7 * traces
        same = fd.frechet_distance(zero, a @ a.T, zero, a @ a.T)
        assert 0 <= same <= 1e-7 * (a**2).sum()


def test_many_equals_one_by_one():
    rng = np.random.default_rng(0)
    for d in (1, 2, 3, 5):
        a = rng.normal(size=(100, d, d + 1))
        covs, means = a @ a.swapaxes(1, 2), rng.normal(size=(100, d))
        many = fd.frechet_distances(means, covs, means[0], covs[0])
        assert_array_equal(
            many, [fd.frechet_distance(m, c, means[0], covs[0]) for m, c in zip(means, covs, strict=True)]
        )
        assert_allclose(fd.frechet_distances(means, covs, means[0], covs[0], squared=False), np.sqrt(many))
