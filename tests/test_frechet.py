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


@pytest.mark.parametrize("d", [1, 2, 3, 6])
@pytest.mark.parametrize("scale", [1e-320, 1e-305, 1e-160, 1e150, 1e300])
def test_extreme_scales(d, scale):
    rng = np.random.default_rng(d)
    a, b = factors(rng, d, 2 * d), factors(rng, d, d)
    zero = np.zeros(d)
    expected = naive.frechet_from_factors(zero, a, zero, b)
    value = fd.frechet_distance(zero, a @ a.T * scale, zero, b @ b.T * scale)
    assert_allclose(value, expected * scale, rtol=1e-9, atol=1e-318 if scale < 1e-300 else 0)


@pytest.mark.parametrize("d", [2, 3, 4, 12])
def test_graded_and_orthogonal_singular_covariances(d):
    """Factors known to full precision; the covariances are rounded, which moves the distance by about 1e-8."""
    rng = np.random.default_rng(d)
    rotation = np.linalg.qr(rng.normal(size=(d, d)))[0]
    first, second = rotation[:, :1], rotation[:, 1:2]
    zero = np.zeros(d)
    assert abs(fd.frechet_distance(zero, first @ first.T, zero, second @ second.T) - 2) < 2e-7
    graded = rotation * np.logspace(0, -12, d)
    value = fd.frechet_distance(zero, graded @ graded.T, zero, graded @ graded.T)
    assert 0 <= value <= 1e-7 * (graded**2).sum()
    diagonal = np.logspace(0, -16, d)
    expected = ((np.sqrt(diagonal) - np.sqrt(diagonal[::-1])) ** 2).sum()
    assert_allclose(fd.frechet_distance(zero, np.diag(diagonal), zero, np.diag(diagonal[::-1])), expected, rtol=1e-12)


def test_low_rank_against_full_rank_in_many_axes():
    """As for a few references against all images in a feature space."""
    rng = np.random.default_rng(0)
    few, many = factors(rng, 150, 9), factors(rng, 150, 300)
    zero = np.zeros(150)
    for a, b in ((few, many), (many, few)):
        value = fd.frechet_distance(zero, a @ a.T, zero, b @ b.T)
        assert_allclose(value, naive.frechet_from_factors(zero, a, zero, b), rtol=1e-7)


@pytest.mark.parametrize("d", [1, 2, 3, 7])
def test_zero_covariances_leave_the_means(d):
    rng = np.random.default_rng(d)
    mean1, mean2 = rng.normal(size=(2, d))
    zero = np.zeros((d, d))
    assert_allclose(fd.frechet_distance(mean1, zero, mean2, zero), ((mean1 - mean2) ** 2).sum(), rtol=1e-14)
    assert_allclose(fd.frechet_distance(mean1, zero, mean1, np.eye(d)), d, rtol=1e-14)


def test_one_axis_in_closed_form():
    assert_allclose(fd.frechet_distance([1.0], [[4.0]], [2.0], [[9.0]], squared=False), np.sqrt(1 + (2 - 3) ** 2))


@pytest.mark.parametrize("d", [3, 8])
def test_symmetric_in_its_arguments(d):
    rng = np.random.default_rng(0)
    a, b = factors(rng, d, d), factors(rng, d, d)
    zero = np.zeros(d)
    there = fd.frechet_distance(zero, a @ a.T, zero, b @ b.T)
    assert_allclose(there, fd.frechet_distance(zero, b @ b.T, zero, a @ a.T), rtol=1e-11)


def test_bad_arguments():
    eye, zero = np.eye(2), np.zeros(2)
    for arguments, message in [
        (([], np.empty((0, 0)), [], np.empty((0, 0))), "mean1: expected at least one axis"),
        (([np.inf, 0], eye, zero, eye), "mean1: expected finite numbers, got inf"),
        (([1e200, 0], eye, zero, eye), "mean1, .* floating-point range"),
        ((zero, np.eye(3), zero, eye), r"cov1: expected shape \(2, 2\), got \(3, 3\)"),
        ((zero, eye, [zero], eye), r"mean2: expected shape \(2,\)"),
        ((zero, eye, zero, eye * np.nan), "cov2: expected finite numbers"),
        ((zero, eye * 1e308, zero, eye), "cov1: .* finite trace"),
    ]:
        with pytest.raises(ValueError, match=message):
            fd.frechet_distance(*arguments)
    with pytest.raises(TypeError, match="cov1: expected an array of real numbers"):
        fd.frechet_distance(zero, eye * 1j, zero, eye)
    for arguments, message in [
        (([zero, zero], [eye], zero, eye), r"covs: expected shape \(2, 2, 2\)"),
        (([zero * np.nan], [eye], zero, eye), "means: expected finite numbers, got nan"),
        ((np.float32([[1e30, 0]]), np.float32([eye]), zero, eye), "means, .* floating-point range"),
        (([zero, zero], [eye, -eye], zero, eye), r"covs\[1\]: .* positive semidefinite"),
        ((np.empty((0, 2)), np.empty((0, 2, 2)), zero, -eye), "cov: .* positive semidefinite"),
    ]:
        with pytest.raises(ValueError, match=message):
            fd.frechet_distances(*arguments)
    with pytest.raises(ValueError, match="threads: "):
        fd.frechet_distances([zero], [eye], zero, eye, threads=0)


def test_float32_and_empty():
    means, covs = np.zeros((2, 3), np.float32), np.stack([np.eye(3), 4 * np.eye(3)]).astype(np.float32)
    result = fd.frechet_distances(means, covs, np.zeros(3), np.eye(3))
    assert result.dtype == np.float32
    assert_allclose(result, [0, 3], atol=1e-6)
    assert fd.frechet_distances(np.empty((0, 4)), np.empty((0, 4, 4)), np.zeros(4), np.eye(4)).shape == (0,)


@pytest.mark.parametrize("d", [1, 2, 3, 5])
def test_bad_covariances(d):
    good, zero = np.eye(d), np.zeros(d)
    negative = -np.eye(d)
    with pytest.raises(ValueError, match=r"cov1: .* positive semidefinite"):
        fd.frechet_distance(zero, negative, zero, good)
    with pytest.raises(ValueError, match=r"cov2: .* positive semidefinite"):
        fd.frechet_distance(zero, good, zero, negative)
    nan = good.copy()
    nan[0, 0] = np.nan
    with pytest.raises(ValueError, match=r"covs\[1\]: .* finite|covs: .* finite"):
        fd.frechet_distances(np.zeros((3, d)), np.stack([good, nan, good]), zero, good)
    with pytest.raises(ValueError, match=r"mean1: expected shape|mean2: expected shape"):
        fd.frechet_distance(zero, good, np.zeros(d + 1), good)
    if d > 1:
        skewed = good.copy()
        skewed[0, 1] = 0.1
        with pytest.raises(ValueError, match=r"cov1: .* symmetric"):
            fd.frechet_distance(zero, skewed, zero, good)
        indefinite = good.copy()
        indefinite[0, 1] = indefinite[1, 0] = 1.5
        with pytest.raises(ValueError, match=r"cov1: .* positive semidefinite"):
            fd.frechet_distance(zero, indefinite, zero, good)
