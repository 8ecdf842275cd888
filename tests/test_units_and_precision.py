"""Numbers in another unit or precision: axes that do not fit the chain, float32, moments beyond floating point."""

import numpy as np
import pytest

import fastdeg as fd


def uniform_over(name, low, high):
    axis = fd.Axis.regular(name, low, high, 3)
    return fd.BinnedDistribution.uniform(fd.GridBins(fd.DegradationSpace([axis])))


@pytest.mark.parametrize(
    ("name", "low", "high", "said"),
    [
        ("jpeg_quality", 0, 95, "within 1 to 110, got 0 to 95"),
        ("jpeg_quality", 0, 1, "a share of 1 is another unit"),
        ("downsampling", 0.5, 4, "within 1 to inf, got 0.5 to 4"),
        ("noise_sigma", -5, 5, "within 0 to 10000, got -5 to 5"),
    ],
)
def test_axes_that_the_chain_cannot_follow_are_refused_at_construction(name, low, high, said):
    with pytest.raises(ValueError, match=said):
        fd.DegradationTransform(uniform_over(name, low, high))


def test_an_axis_of_noise_in_units_of_1_is_told():
    with pytest.warns(UserWarning, match="'noise_sigma' ends at 0.2 of 255 grey levels"):
        fd.DegradationTransform(uniform_over("noise_sigma", 0, 0.2))


def test_masses_in_float32_are_judged_in_its_precision():
    rng = np.random.default_rng(0)
    p = rng.random(75).astype(np.float32)
    p /= p.sum()
    q, x = np.full(75, 1 / 75), rng.random((75, 2))
    assert abs(float(p.astype(float).sum()) - 1) > 1e-9
    exact = p.astype(float) / p.astype(float).sum()
    want = fd.emd(exact, q, x).value
    assert fd.emd(p, q, x).value == pytest.approx(want, rel=1e-6)
    cost = np.linalg.norm(x[:, None] - x, axis=2)
    assert fd.emd(p, q, cost=cost).value == pytest.approx(want, rel=1e-6)
    assert fd.sinkhorn(p, q, x, reg=0.1).converged
    for metric in ("cityblock", "euclidean"):
        grid = fd.emd_grid(p.reshape(15, 5), q.reshape(15, 5), metric=metric).value
        assert grid == pytest.approx(fd.emd_grid(exact.reshape(15, 5), q.reshape(15, 5), metric=metric).value, rel=1e-6)
    with pytest.raises(ValueError, match=r"within 1e-09 relative"):
        fd.emd(p.astype(float), q, x)


@pytest.mark.parametrize("size", [1e80, 1e160, 1e300])
def test_moments_beyond_floating_point_are_refused(size):
    q = uniform_over("noise_sigma", 0, 50)
    means, covs = np.array([[0.0], [1.0], [2.0]]), np.ones((3, 1, 1))
    with pytest.raises(ValueError, match="bin_moments: expected means and standard deviations up to 1e"):
        fd.craft(q, generalization=0.1, bin_moments=(means * size, covs), target_moments=([1.0], [[1.0]]))
    with pytest.raises(ValueError, match="target_moments: expected means and standard deviations up to 1e"):
        fd.craft(q, generalization=0.1, target_moments=([size], [[1.0]]))
