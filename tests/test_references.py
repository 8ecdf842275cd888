import naive_measure as naive
import numpy as np
import pytest
from numpy.testing import assert_array_equal

import fastdeg as fd


@pytest.mark.parametrize(("n", "d", "k"), [(1, 1, 1), (10, 1, 10), (500, 3, 50), (5_000, 2, 20), (300, 40, 30)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_farthest_points(n, d, k, dtype):
    x = np.random.default_rng(n).normal(size=(n, d)).astype(dtype)
    assert_array_equal(fd.farthest_points(x, k, start=n // 2), naive.farthest_points(x, k, n // 2))


@pytest.mark.parametrize("d", [1, 2, 3, 5, 9, 12])
def test_farthest_points_ties_go_to_the_lowest_index(d):
    """Points of a lattice: distances are whole numbers, most of them equal, many points coincide."""
    x = np.random.default_rng(0).integers(0, 3, size=(2_500, d)).astype(float)
    assert_array_equal(fd.farthest_points(x, 60, start=7), naive.farthest_points(x, 60, 7))


@pytest.mark.parametrize("d", [2, 20])
@pytest.mark.parametrize("scale", [0.0, 1e-320, 2.0**-500, 2.0**30, 2.0**500, 1e300])
def test_farthest_points_of_extreme_scale(d, scale):
    x = np.random.default_rng(0).integers(-8, 9, size=(200, d)) * scale
    with np.errstate(over="ignore"):
        assert_array_equal(fd.farthest_points(x, 30), naive.farthest_points(x, 30))


@pytest.mark.parametrize("d", [3, 30])
def test_farthest_points_of_clusters_far_apart(d):
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=(700, d)) * 1e-3, 1e6 + rng.normal(size=(700, d))])
    assert_array_equal(fd.farthest_points(x, 100), naive.farthest_points(x, 100))


@pytest.mark.parametrize("d", [3, 30])
def test_farthest_points_is_the_same_for_any_number_of_threads(d):
    x = np.random.default_rng(0).normal(size=(20_000, d)).astype(np.float32)
    first = fd.farthest_points(x, 50, threads=1)
    for threads in (2, 3, 7):
        assert_array_equal(fd.farthest_points(x, 50, threads=threads), first)
