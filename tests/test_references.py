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


def test_farthest_points_ties_go_to_the_lowest_index():
    x = np.random.default_rng(0).integers(0, 4, size=(3_000, 2)).astype(float)
    assert_array_equal(fd.farthest_points(x, 40), naive.farthest_points(x, 40))
