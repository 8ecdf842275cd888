import os
import pickle
import re

import numpy as np
import pytest

import fastdeg as fd


def grid_bins():
    return fd.GridBins(
        fd.DegradationSpace(
            [fd.Axis.edges("noise_sigma", [0, 10, 40, 50]), fd.Axis.levels("downsampling", [2, 3, 4, 8])]
        )
    )


def fitted_centroids():
    space = fd.DegradationSpace.preset("paper")
    points = space.unstandardize(np.random.default_rng(3).random((2000, 3)))
    return fd.CentroidBins.fit(points, 20, space=space)


def some_pmf(n, seed=0):
    return np.random.default_rng(seed).dirichlet(np.ones(n))


@pytest.mark.parametrize("bins", [grid_bins(), fitted_centroids()], ids=["grid", "centroids"])
def test_moments_are_those_of_the_mixture(bins):
    pmf = some_pmf(bins.n_bins)
    mean, covariance = fd.BinnedDistribution(bins, pmf).moments()
    centers, within = bins.centers, bins.covariances
    expected_mean = sum(p * c for p, c in zip(pmf, centers, strict=True))
    second = sum(p * (w + np.outer(c, c)) for p, c, w in zip(pmf, centers, within, strict=True))
    np.testing.assert_allclose(mean, expected_mean, rtol=1e-12)
    np.testing.assert_allclose(covariance, second - np.outer(expected_mean, expected_mean), rtol=1e-9, atol=1e-9)


def test_samples_of_a_grid_have_its_pmf_and_moments():
    q = fd.BinnedDistribution(grid_bins(), some_pmf(12))
    samples = q.sample(200_000, rng=1)
    assert set(np.unique(samples[:, 1])) <= {2, 3, 4, 8}
    again = fd.BinnedDistribution.from_samples(q.bins, samples)
    assert again.n_samples == 200_000
    np.testing.assert_allclose(again.pmf, q.pmf, atol=5e-3)
    mean, covariance = q.moments()
    np.testing.assert_allclose(samples.mean(0), mean, rtol=1e-2)
    np.testing.assert_allclose(np.cov(samples.T), covariance, rtol=3e-2, atol=0.3)


def test_samples_of_centroids_stay_in_the_space():
    bins = fitted_centroids()
    q = fd.BinnedDistribution(bins, some_pmf(bins.n_bins))
    samples = q.sample(50_000, rng=1)
    standard = bins.space.standardize(samples)
    assert standard.min() >= 0
    assert standard.max() <= 1
    mean, _ = q.moments()
    np.testing.assert_allclose(samples.mean(0), mean, rtol=2e-2)


def test_centroid_samples_on_level_axes_are_levels():
    space = fd.DegradationSpace([fd.Axis.regular("blur_sigma", 0, 5, 10), fd.Axis.levels("downsampling", [2, 3, 4])])
    bins = fd.CentroidBins.fit(space.points(), 4, space=space)
    samples = fd.BinnedDistribution.uniform(bins).sample(1000, rng=0)
    assert set(np.unique(samples[:, 1])) == {2, 3, 4}


def test_uniform_goes_by_volume():
    uniform = fd.BinnedDistribution.uniform(grid_bins())
    np.testing.assert_allclose(uniform.marginal("noise_sigma"), [0.2, 0.6, 0.2])
    np.testing.assert_allclose(uniform.marginal("downsampling"), 0.25)
    given = fd.CentroidBins([[0.0], [1.0], [5.0], [7.0]])
    np.testing.assert_allclose(fd.BinnedDistribution.uniform(given).pmf, 0.25)
    fitted = fd.CentroidBins.fit([[0.0], [0.1], [0.2], [9.0]], 2)
    assert sorted(fd.BinnedDistribution.uniform(fitted).pmf) == [0.25, 0.75]


def test_weights_count_with_their_effective_number():
    bins = grid_bins()
    samples = [[5, 2], [20, 3], [45, 8]]
    q = fd.BinnedDistribution.from_samples(bins, samples, [2, 1, 1])
    np.testing.assert_allclose(q.marginal(0), [0.5, 0.25, 0.25])
    assert q.n_samples == round(16 / 6)


@pytest.mark.parametrize("scale", [1e-320, 1e-200, 1e200, 1e308])
def test_only_the_ratios_of_weights_matter(scale):
    bins = fd.CentroidBins([[0.0], [20.0]])
    q = fd.BinnedDistribution.from_samples(bins, [[1.0], [30.0]], sample_weight=[scale, scale])
    np.testing.assert_array_equal(q.pmf, [0.5, 0.5])
    assert q.n_samples == 2
    fitted = fd.CentroidBins.fit([[0.0], [1.0], [8.0]], 2, sample_weight=np.full(3, scale))
    np.testing.assert_allclose(np.sort(fitted.centers[:, 0]), [0.5, 8])
    np.testing.assert_allclose(np.sort(fitted.covariances.ravel()), [0, 0.25])


def test_large_weights_outside_do_not_count():
    bins = fd.GridBins(fd.DegradationSpace([fd.Axis.regular("a", 0, 2, 2)]))
    q = fd.BinnedDistribution.from_samples(bins, [[0.5], [1.5], [9.0]], [1e-200, 1e-200, 1.0], outside="drop")
    np.testing.assert_array_equal(q.pmf, [0.5, 0.5])
    assert q.n_samples == 2


def test_counts_and_weights_of_one_give_the_same():
    bins = grid_bins()
    samples = np.random.default_rng(0).uniform([-5, 1], [55, 9], (5000, 2))
    counted = fd.BinnedDistribution.from_samples(bins, samples, outside="drop")
    weighted = fd.BinnedDistribution.from_samples(bins, samples, np.ones(5000), outside="drop")
    np.testing.assert_array_equal(counted.pmf, weighted.pmf)
    assert counted.n_samples == weighted.n_samples < 5000


def test_samples_outside():
    bins = grid_bins()
    samples = [[5.0, 2.0], [60.0, 2.0]]
    with pytest.raises(ValueError, match=r"row 1 \(noise_sigma 60, downsampling 2\) lies outside"):
        fd.BinnedDistribution.from_samples(bins, samples)
    assert fd.BinnedDistribution.from_samples(bins, samples, outside="drop").n_samples == 1
    clipped = fd.BinnedDistribution.from_samples(bins, samples, outside="clip")
    np.testing.assert_allclose(clipped.marginal(0), [0.5, 0, 0.5])
    with pytest.raises(ValueError, match="at least one sample"):
        fd.BinnedDistribution.from_samples(bins, samples[1:], outside="drop")


def test_entropy_and_effective_bins():
    bins = grid_bins()
    one = np.eye(12)[3]
    assert fd.BinnedDistribution(bins, one).effective_bins() == 1
    assert fd.BinnedDistribution(bins, np.full(12, 1 / 12)).effective_bins() == pytest.approx(12, rel=1e-12)


@pytest.mark.parametrize("bins", [grid_bins(), fitted_centroids(), fd.CentroidBins([[0.0], [2.0]])], ids=str)
def test_save_and_load(bins, tmp_path):
    q = fd.BinnedDistribution(bins, some_pmf(bins.n_bins), n_samples=24)
    path = tmp_path / "q.npz"
    q.save(path)
    again = fd.BinnedDistribution.load(path)
    np.testing.assert_array_equal(again.pmf, q.pmf)
    assert again.bins == q.bins
    assert again.n_samples == 24
    assert os.listdir(tmp_path) == ["q.npz"]
    copy = pickle.loads(pickle.dumps(q))
    assert copy.bins == q.bins


def test_load_refuses_other_files(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.npz: no such file"):
        fd.BinnedDistribution.load(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("hello")
    np.savez(tmp_path / "other.npz", a=np.ones(3))
    q = fd.BinnedDistribution.uniform(grid_bins())
    q.save(tmp_path / "cut.npz")
    (tmp_path / "cut.npz").write_bytes((tmp_path / "cut.npz").read_bytes()[:200])
    for name in ("text.npz", "other.npz", "cut.npz"):
        with pytest.raises(ValueError, match=f"{re.escape(name)}: expected a file written by"):
            fd.BinnedDistribution.load(tmp_path / name)


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    q = fd.BinnedDistribution.uniform(grid_bins())
    q.save(tmp_path / "q.npz")
    before = (tmp_path / "q.npz").read_bytes()

    def full_disk(*args, **kwargs):
        raise OSError("no space left on device")

    monkeypatch.setattr(np, "savez_compressed", full_disk)
    with pytest.raises(OSError, match="no space"):
        q.save(tmp_path / "q.npz")
    assert (tmp_path / "q.npz").read_bytes() == before
    assert os.listdir(tmp_path) == ["q.npz"]


@pytest.mark.parametrize(
    ("pmf", "message"),
    [
        (np.full(12, 0.1), "sum to 1"),
        (np.full(11, 1 / 11), r"expected shape \(12,\), got \(11,\)"),
        (-np.eye(12)[0], "expected masses >= 0"),
        (np.zeros(12), "positive total mass"),
        (np.full(12, np.nan), r"expected finite numbers, got nan at index \[0\]"),
    ],
)
def test_bad_pmfs_are_named(pmf, message):
    with pytest.raises(ValueError, match="pmf: " + (message if message.startswith("exp") else ".*" + message)):
        fd.BinnedDistribution(grid_bins(), pmf)


def test_nearly_normalised_pmfs_are_renormalised_and_read_only():
    pmf = np.full(12, 1 / 12) * (1 + 5e-10)
    q = fd.BinnedDistribution(grid_bins(), pmf)
    assert q.pmf.sum() == pytest.approx(1, abs=1e-15)
    with pytest.raises(ValueError, match="read-only"):
        q.pmf[0] = 1
    exact = np.full(12, 1 / 12)
    assert fd.BinnedDistribution(grid_bins(), exact).pmf is not exact
    assert exact.flags.writeable


def test_float32_probabilities_sum_to_one_in_their_own_precision():
    bins = fd.CentroidBins(np.arange(200.0)[:, None])
    pmf = np.random.default_rng(0).random(200).astype(np.float32)
    pmf /= pmf.sum()
    assert abs(pmf.astype(np.float64).sum() - 1) > 1e-9
    assert fd.BinnedDistribution(bins, pmf).pmf.sum() == pytest.approx(1, abs=1e-15)
    for wrong in (pmf.astype(np.float64), pmf * np.float32(1.0001)):
        with pytest.raises(ValueError, match="pmf: expected probabilities that sum to 1"):
            fd.BinnedDistribution(bins, wrong)


def test_a_space_is_needed_for_marginals():
    with pytest.raises(ValueError, match="without a space"):
        fd.BinnedDistribution.uniform(fd.CentroidBins([[0.0], [1.0]])).marginal(0)
    with pytest.raises(ValueError, match="axis: expected one of 'noise_sigma', 'downsampling', got 'blur'"):
        fd.BinnedDistribution.uniform(grid_bins()).marginal("blur")


def test_a_generator_that_is_none_is_named():
    uniform = fd.BinnedDistribution.uniform(fd.GridBins(fd.DegradationSpace.preset("paper")))
    with pytest.raises(TypeError, match=r"^rng: expected a numpy.random.Generator, an integer seed or None, got 'x'"):
        uniform.sample(3, rng="x")
