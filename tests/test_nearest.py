import naive_measure as naive
import numpy as np
import pytest
from numpy.testing import assert_array_equal

import fastdeg as fd
from fastdeg.nearest import NearestCenter


def both(centers, samples):
    """Labels through cells and through all centres."""
    for cells_after in (0, np.inf):
        yield NearestCenter(np.asarray(centers, float), cells_after)(samples)


@pytest.mark.parametrize("d", [1, 2, 3, 4, 6, 7, 33])
@pytest.mark.parametrize("n_bins", [1, 2, 5, 100, 700])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nearest_of_random_centres(d, n_bins, dtype):
    rng = np.random.default_rng(d)
    centers = rng.normal(size=(n_bins, d))
    samples = (1.5 * rng.normal(size=(400, d))).astype(dtype)
    expected = naive.nearest_center(samples, centers)
    for labels in both(centers, samples):
        assert_array_equal(labels, expected)


@pytest.mark.parametrize("offset", [0.0, 1e8, -3e12])
def test_ties_and_offsets(offset):
    """Samples on a lattice twice as fine as the centres': most are ties."""
    side = np.arange(6.0)
    centers = np.stack(np.meshgrid(side, side, side, indexing="ij"), axis=-1).reshape(-1, 3) + offset
    samples = np.stack(np.meshgrid(*[np.arange(-2, 14) / 2.0] * 3, indexing="ij"), axis=-1).reshape(-1, 3) + offset
    expected = naive.nearest_center(samples, centers)
    for labels in both(centers, samples):
        assert_array_equal(labels, expected)


@pytest.mark.parametrize("scale", [1e-320, 1e-160, 1e150, 1e200, 1e308])
def test_extreme_scales(scale):
    rng = np.random.default_rng(0)
    centers, samples = rng.uniform(-1, 1, (50, 3)) * scale, rng.uniform(-1, 1, (200, 3)) * scale
    with np.errstate(over="ignore", invalid="ignore"):
        expected = naive.nearest_center(samples, centers)
    for labels in both(centers, samples):
        assert_array_equal(labels, expected)


@pytest.mark.parametrize("d", [2, 7, 36])
@pytest.mark.parametrize("far", [1e6, 1e9, 1e13, 1e25, 1e40, 1e160])
def test_samples_far_from_all_centres(d, far):
    """What float64 cannot tell apart goes to the lowest index, however well a product could."""
    rng = np.random.default_rng(0)
    centers, samples = rng.uniform(-1, 1, (90, d)), rng.uniform(-1, 1, (80, d)) * far
    with np.errstate(over="ignore"):
        expected = naive.nearest_center(samples, centers)
    for labels in both(centers, samples):
        assert_array_equal(labels, expected)


def test_equal_centres_and_clusters():
    rng = np.random.default_rng(0)
    for centers in (np.ones((20, 2)), np.repeat(rng.normal(size=(5, 2)), 4, axis=0), np.zeros((3, 2))):
        samples = rng.normal(size=(300, 2)) * 5
        for labels in both(centers, samples):
            assert_array_equal(labels, naive.nearest_center(samples, centers))
    clustered = np.concatenate([rng.normal(size=(200, 3)) * 1e-6, rng.normal(size=(5, 3)) * 1e3])
    samples = np.concatenate([rng.normal(size=(300, 3)) * 1e-6, rng.normal(size=(100, 3)) * 1e3])
    for labels in both(clustered, samples):
        assert_array_equal(labels, naive.nearest_center(samples, clustered))


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_infinite_samples_belong_to_the_lowest_bin(value):
    for labels in both(np.arange(8.0)[:, None], np.array([[value], [3.2]])):
        assert_array_equal(labels, [0, 3])


def test_no_samples():
    assert fd.CentroidBins([[0.0, 1.0]]).assign(np.empty((0, 2))).shape == (0,)


def test_nan_is_an_error():
    for n_bins in (3, 300):
        with pytest.raises(ValueError, match="nan in row 1"):
            fd.CentroidBins(np.arange(float(n_bins))[:, None]).assign([[0.0], [np.nan]])


def test_threads_change_nothing():
    rng = np.random.default_rng(0)
    bins = fd.CentroidBins(rng.random((300, 3)))
    samples = rng.random((50_000, 3))
    first = bins.assign(samples, threads=1)
    for threads in (2, 3, 7):
        assert_array_equal(bins.assign(samples, threads=threads), first)
    assert_array_equal(first[:500], naive.nearest_center(samples[:500], bins.centers))


def test_input_layouts():
    rng = np.random.default_rng(0)
    bins = fd.CentroidBins(rng.random((30, 2)))
    samples = rng.random((100, 2))
    expected = bins.assign(samples)
    frozen = samples.copy()
    frozen.setflags(write=False)
    for variant in (np.asfortranarray(samples), np.repeat(samples, 2, axis=0)[::2], frozen, samples.tolist()):
        assert_array_equal(bins.assign(variant), expected)
