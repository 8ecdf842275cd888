from fractions import Fraction

import naive_measure as naive
import numpy as np
import pandas
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import fastdeg as fd

REGULAR = fd.Axis.regular("a", 0.1, 0.7, 6)
FAR = fd.Axis.regular("b", 1e8, 1e8 + 1e-3, 5)  # cells of 2e-4, some 13,000 floats each
UNEVEN = fd.Axis.edges("c", [-3.0, -1.0, -0.999, 0.0, 1e-300, 2.0, 1e6])
LEVELS = fd.Axis.levels("d", [2, 3, 4, 8])
EVEN_LEVELS = fd.Axis.levels("e", np.arange(1, 51) / 10)
SINGLE = fd.Axis.levels("f", [4.0])
AXES = [REGULAR, FAR, UNEVEN, LEVELS, EVEN_LEVELS, SINGLE]


def awkward_values(axis, rng, n):
    """Boundaries, their neighbouring floats, and numbers in between, all inside."""
    edges = axis.boundaries
    near = np.concatenate([edges, np.nextafter(edges, np.inf), np.nextafter(edges, -np.inf), axis.centers])
    near = near[(near >= edges[0]) & (near <= edges[-1])]
    return np.where(rng.random(n) < 0.5, rng.choice(near, n), rng.uniform(edges[0], edges[-1], n))


def naive_cells(axis, values):
    """NumPy's searchsorted; the last edge belongs to the last cell, a tie between levels to the lower one."""
    side = "left" if axis.discrete else "right"
    return np.clip(np.searchsorted(axis.boundaries, values, side) - 1, 0, axis.n_bins - 1)


@pytest.mark.parametrize("axes", [[axis] for axis in AXES] + [AXES[:2], AXES[1:4], AXES], ids=len)
@pytest.mark.parametrize("n", [1, 7, 1_024, 5_001])
def test_cells_are_those_of_searchsorted(axes, n):
    rng = np.random.default_rng(n)
    samples = np.stack([awkward_values(axis, rng, n) for axis in axes], axis=1)
    bins = fd.GridBins(fd.DegradationSpace(axes))
    cells = [naive_cells(axis, values) for axis, values in zip(axes, samples.T, strict=True)]
    expected = np.ravel_multi_index(cells, bins.space.shape)
    assert_array_equal(bins.assign(samples), expected)
    assert_array_equal(bins.histogram(samples), np.bincount(expected, minlength=bins.n_bins))


def test_levels_take_the_nearest():
    values = np.random.default_rng(0).uniform(1.5, 10, 1_000)
    labels = fd.GridBins(fd.DegradationSpace([LEVELS])).assign(values[:, None])
    assert_array_equal(labels, naive.nearest_center(values[:, None], LEVELS.centers[:, None]))


def test_a_tie_between_levels_goes_to_the_lower_one_everywhere():
    space = fd.DegradationSpace([fd.Axis.levels("downsampling", [2, 3])])
    assert_array_equal(fd.GridBins(space).assign([[2.5]]), [0])
    tie = fd.BinnedDistribution(fd.CentroidBins([[2.5]], space=space), [1.0])
    assert_array_equal(tie.marginal(0), [1, 0])
    assert_array_equal(tie.sample(5, rng=0), 2.0)


@pytest.mark.parametrize("axis", fd.DegradationSpace.preset("dense").axes, ids=lambda axis: axis.name)
def test_levels_decide_about_the_floats_around_their_middles(axis):
    """Exactly, in whole numbers of fractions: how the middle itself is rounded must not matter."""
    levels = [Fraction(level) for level in axis.centers]
    middles = (axis.centers[:-1] + axis.centers[1:]) / 2
    values = np.concatenate([middles, np.nextafter(middles, -np.inf), np.nextafter(middles, np.inf)])
    nearest = [min(range(len(levels)), key=lambda k: (abs(Fraction(value) - levels[k]), k)) for value in values]
    assert_array_equal(fd.GridBins(fd.DegradationSpace([axis])).assign(values[:, None]), nearest)
    assert_array_equal(axis.assign(values), nearest)


def test_float32_samples_on_the_outer_edges_are_inside():
    bins = fd.GridBins(fd.DegradationSpace([fd.Axis.regular("a", 0.7, 0.8, 4), fd.Axis.edges("b", [0, 0.1, 0.3])]))
    samples = np.float32([[0.7, 0.3], [0.8, 0.0]])
    assert float(samples[0, 0]) < 0.7
    assert float(samples[0, 1]) > 0.3
    assert_array_equal(bins.assign(samples), [1, 6])
    assert_array_equal(np.flatnonzero(bins.histogram(samples)), [1, 6])
    for farther in (np.nextafter(samples[:1], np.float32(1)), samples[:1].astype(np.float64)):
        with pytest.raises(ValueError, match=r"row 0 .* outside"):
            bins.assign(farther)


def test_columns_of_a_data_frame_are_taken_by_name():
    space = fd.DegradationSpace([fd.Axis.regular("blur", 0, 4, 4), fd.Axis.regular("noise", 0, 50, 5)])
    samples = np.random.default_rng(0).uniform([0, 0], [4, 50], (30, 2))
    frame = pandas.DataFrame({"image": "a.png", "noise": samples[:, 1], "blur": samples[:, 0]})
    for bins in (fd.GridBins(space), fd.CentroidBins(samples[:6], space=space)):
        assert_array_equal(bins.assign(frame), bins.assign(samples))
        assert_array_equal(bins.assign(pandas.DataFrame(samples)), bins.assign(samples))  # without names: by position
        expected = fd.BinnedDistribution.from_samples(bins, samples)
        assert_array_equal(fd.BinnedDistribution.from_samples(bins, frame).pmf, expected.pmf)
        for wrong in (frame.rename(columns={"noise": "sigma"}), frame[["blur"]]):
            with pytest.raises(ValueError, match="samples: expected the columns blur, noise, each once, got "):
                bins.assign(wrong)
    assert_array_equal(space.standardize(frame), space.standardize(samples))
    assert fd.CentroidBins.fit(frame, 3, space=space) == fd.CentroidBins.fit(samples, 3, space=space)


@pytest.mark.parametrize("axis", AXES, ids=lambda axis: axis.name)
def test_outside(axis):
    bins = fd.GridBins(fd.DegradationSpace([axis]))
    low, high = np.nextafter(axis.boundaries[0], -np.inf), np.nextafter(axis.boundaries[-1], np.inf)
    samples = np.array([[axis.centers[0]], [low], [high], [np.inf], [-np.inf]])
    assert_array_equal(bins.assign(samples, outside="drop"), [0, -1, -1, -1, -1])
    assert_array_equal(bins.assign(samples, outside="clip"), [0, 0, axis.n_bins - 1, axis.n_bins - 1, 0])
    assert bins.histogram(samples, outside="drop").sum() == 1
    assert bins.histogram(samples, outside="clip").sum() == 5
    for call in (bins.assign, bins.histogram):
        with pytest.raises(ValueError, match=r"row 1 .* outside"):
            call(samples)
        for outside in ("raise", "drop", "clip"):
            with pytest.raises(ValueError, match="nan in row 1"):
                call([[axis.centers[0]], [np.nan]], outside=outside)


def test_threads_and_precision_change_nothing():
    bins = fd.GridBins(fd.DegradationSpace.preset("dense"))
    samples = np.random.default_rng(0).uniform([0.1, 0, 2], [5, 50, 8], (200_000, 3)).astype(np.float32)
    first = bins.assign(samples, threads=1)
    counts = bins.histogram(samples, threads=1)
    assert_array_equal(counts, np.bincount(first, minlength=bins.n_bins))
    for threads in (2, 3, 7):
        assert_array_equal(bins.assign(samples, threads=threads), first)
        assert_array_equal(bins.histogram(samples, threads=threads), counts)
    assert_array_equal(bins.assign(samples.astype(np.float64)), first)


def test_no_samples():
    bins = fd.GridBins(fd.DegradationSpace.preset("paper"))
    assert bins.assign(np.empty((0, 3))).shape == (0,)
    assert bins.histogram(np.empty((0, 3))).sum() == 0


def test_centroid_histogram():
    bins = fd.CentroidBins([[0.0], [1.0]])
    assert_array_equal(bins.histogram([[0.1], [0.2], [5.0]]), [2, 1])


def test_centroids_refuse_covariances_that_are_none():
    valid = [[2.0, 1.0], [1.0, 2.0]]
    for wrong, message in (
        (
            [[1.0, 2.0], [2.0, 1.0]],
            r"covariances\[1\]: expected a positive semidefinite matrix, got an eigenvalue of -1",
        ),
        ([[-1.0, 0.0], [0.0, 1.0]], r"covariances\[1\]: expected a positive semidefinite"),
        ([[1.0, 0.5], [0.4, 1.0]], r"covariances\[1\]: expected a symmetric matrix, got asymmetry 0.1"),
    ):
        with pytest.raises(ValueError, match=message):
            fd.CentroidBins([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]], [valid, wrong, valid])
    singular = [[1.0, 1.0], [1.0, 1.0 - 1e-15]]  # by rounding: an eigenvalue of -5e-16
    fd.CentroidBins([[0.0, 0.0], [1.0, 0.0]], [singular, np.zeros((2, 2))])


def test_centroids_take_the_covariances_of_float32_samples(tmp_path):
    x = np.random.default_rng(0).normal(size=(1_000, 3)).astype(np.float32)
    x[:, 2] = x[:, 0] + x[:, 1]  # singular
    mean, covariance = fd.weighted_moments(x)
    bins = fd.CentroidBins(mean[None], covariance[None])
    assert_allclose(bins.covariances[0], covariance, atol=1e-6)
    q = fd.BinnedDistribution.uniform(bins)
    q.save(tmp_path / "q.npz")
    assert fd.BinnedDistribution.load(tmp_path / "q.npz").bins == bins
    moments = {"target_moments": (mean, covariance), "bin_moments": (mean[None], covariance[None])}
    assert fd.craft(q, generalization=1.0, **moments).converged


def test_masked_entries_are_refused():
    masked = np.ma.masked_array([0.25, 0.25, 0.5], [False, True, False])
    bins = fd.CentroidBins([[0.0], [1.0], [2.0]])
    with pytest.raises(ValueError, match="pmf: expected an array without masked entries, got 1 of them"):
        fd.BinnedDistribution(bins, masked)
    with pytest.raises(ValueError, match="samples: expected an array without masked entries"):
        bins.assign(masked[:, None])
    q = fd.BinnedDistribution.uniform(bins)
    with pytest.raises(ValueError, match="upper: expected an array without masked entries"):
        fd.craft(q, upper=np.ma.masked_array([1.0, 0.5, 1.0], [False, True, False]))
    with pytest.raises(ValueError, match="labels: expected an array without masked entries"):
        fd.weighted_moments(np.ones((3, 1)), labels=np.ma.masked_array([0, 1, 0], [False, True, False]))
    with pytest.raises(ValueError, match="a: expected an array without masked entries"):
        fd.emd(masked, q.pmf, bins.centers)
    nothing_hidden = np.ma.masked_array([0.25, 0.25, 0.5], [False, False, False])
    np.testing.assert_array_equal(fd.BinnedDistribution(bins, nothing_hidden).pmf, [0.25, 0.25, 0.5])
