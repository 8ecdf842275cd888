"""Photographs that are out of focus, in parts or as a whole, and how patches are put together."""

from __future__ import annotations

import copy

import cv2
import numpy as np
import pytest
from problems_images import SETTINGS, paper_bins, photographs, portrait, references, setting_truth

import fastdeg as fd
from fastdeg.images.inference import photo_priors, pooling
from fastdeg.images.inference.likelihood import Likelihood


def test_halves_and_means_are_the_naive_ones():
    rng = np.random.default_rng(0)
    owners = np.repeat([0, 2, 3, 4], [1, 5, 8, 3])
    x = rng.normal(size=(len(owners), 2)).round(1)
    order = rng.permutation(len(owners))
    means = pooling.group_means(x[order], owners[order], 5)
    halves = pooling.lower_half_means(x[order], owners[order], 5)
    np.testing.assert_array_equal(means[1], 0)
    for i in (0, 2, 3, 4):
        own = np.sort(x[owners == i], axis=0)
        np.testing.assert_allclose(means[i], own.mean(axis=0))
        np.testing.assert_allclose(halves[i], own[: -(-len(own) // 2)].mean(axis=0))


def test_moments_of_the_lower_half_of_normal_samples():
    rng = np.random.default_rng(0)
    counts = np.array([1, 2, 3, 8, 30])
    halves = [np.sort(rng.standard_normal((40_000, n)), axis=1)[:, : -(-n // 2)].mean(axis=1) for n in counts]
    expected = [h.mean() for h in halves]
    np.testing.assert_allclose(pooling.lower_half_expectations(counts), expected, atol=0.025)
    variances = np.array([h.var() for h in halves])
    even = counts != 3  # the middle one of a few counts with the half, which makes it a little less
    np.testing.assert_allclose(pooling.lower_half_variances(counts)[even], variances[even], rtol=0.03)
    assert 1 < pooling.lower_half_variances(counts)[2] / variances[2] < 1.25


def test_some_soft_patches_of_a_photograph_hardly_count():
    rng = np.random.default_rng(0)
    owners = np.repeat(np.arange(500), 8)
    z = rng.uniform(0.2, 0.8, (500, 2))[owners]
    own = 0.08 * rng.standard_normal((4_000, 2))
    s = z + 0.05 * rng.standard_normal((500, 2))[owners] + own
    model = Likelihood.fit(s, z, owners, np.array([True, False]))
    sharp = model.summaries(s, owners, 500)
    np.testing.assert_allclose((sharp - z[::8]).mean(axis=0), 0, atol=0.01)
    # how far the summaries lie off is what the likelihood takes for granted
    spread = np.sqrt(model.shrinkage(np.full(500, 8), z[::8])) * model.deviation(z[::8])
    assert ((sharp - z[::8]) / spread).std(axis=0) == pytest.approx([1, 1], abs=0.12)
    soft = s.copy()
    soft[owners * 0 + np.arange(4_000) % 8 < 3] += 0.4  # three of eight patches read too strong
    shift = model.summaries(soft, owners, 500) - sharp
    assert shift[:, 1].mean() == pytest.approx(0.15)
    assert shift[:, 0].mean() < 0.06


def test_out_of_focus_blurs_parts_and_leaves_the_rest():
    picture = np.ascontiguousarray(portrait()[:320, :320])
    shares = []
    for seed in range(8):
        blurred = photo_priors.out_of_focus(picture, np.random.default_rng(seed))
        assert blurred.shape == picture.shape
        assert blurred.dtype == np.uint8
        same = (blurred == picture).all(axis=2)
        patches = same[:320, :320].reshape(20, 16, 20, 16).all(axis=(1, 3))
        shares.append(patches.mean())
        sharpness = [np.abs(cv2.Laplacian(x, cv2.CV_32F)).mean() for x in (blurred, picture)]
        assert sharpness[0] < 0.97 * sharpness[1]
    assert min(shares) < 0.3
    assert max(shares) > 0.4


def test_what_degraded_photographs_look_like():
    """The premise of `appearances`, on real pictures: blur upon blur is one blur, variances added."""
    axes = ("noise_sigma", "blur_sigma")
    (share, same), *alike = photo_priors.appearances(np.array([[3.0, 1.0]]), axes)
    np.testing.assert_array_equal(same, [[3.0, 1.0]])
    assert share + sum(w for w, _ in alike) == pytest.approx(1)
    soft, textured = alike[: len(photo_priors.WHOLLY_SIGMA)], alike[len(photo_priors.WHOLLY_SIGMA) :]
    for (_, found), sigma in zip(soft, photo_priors.WHOLLY_SIGMA, strict=True):
        assert found[0, 0] == 3.0
        blurred = fd.degrade(cv2.GaussianBlur(portrait(), (0, 0), sigma), blur_sigma=1.0, downsampling=4)
        as_strong = fd.degrade(portrait(), blur_sigma=found[0, 1], downsampling=4)
        sharp = fd.degrade(portrait(), blur_sigma=1.0, downsampling=4)
        error, change = (np.abs(blurred - x.astype(float)).mean() for x in (as_strong, sharp))
        assert error < max(0.5, 0.25 * change)
    for (_, found), sigma in zip(textured, photo_priors.TEXTURE_SIGMA, strict=True):
        np.testing.assert_allclose(found, [[np.hypot(3.0, sigma), 1.0]])
    assert len(photo_priors.appearances(np.array([[3.0, 80.0]]), ("noise_sigma", "jpeg_quality"))) == 1 + len(textured)
    assert photo_priors.appearances(np.array([[3.0, 80.0]]), ("poisson_scale", "jpeg_quality"))[0][0] == 1.0


@pytest.fixture(scope="module")
def fits():
    """Two photographs teach little, and what they teach differs from seed to seed: several, to be averaged."""
    return [fd.DegradationEstimator(paper_bins(), n_samples=4_000, random_state=k).fit(photographs()) for k in range(3)]


def without_priors(fitted):
    """The same fit, told that its chain is a pipeline of the user's, of which nothing is known beforehand."""
    return copy.copy(fitted).set_params(degrade=lambda image, parameters, rng: fd.degrade(image, **parameters, rng=rng))


def test_a_few_soft_references_do_not_pass_for_a_blur(fits):
    soft = cv2.GaussianBlur(portrait(), (0, 0), 2.5)
    images = references([portrait()], SETTINGS[1], 19, seed=1)[0] + references([soft], SETTINGS[1], 5, seed=2)[0]
    sharp = setting_truth(1).pmf > 1e-3
    masses = np.array([fitted.estimate(images).pmf[sharp].sum() for fitted in fits])
    without = np.array([without_priors(fitted).estimate(images).pmf[sharp].sum() for fitted in fits])
    assert (masses > without + 0.05).all()
    assert (masses > 0.8).all()
    assert masses.mean() > 0.85 > without.mean()


def test_a_few_textured_references_do_not_pass_for_noise(fits):
    rng = np.random.default_rng(0)
    # texture as fine as the pixels of the degraded photograph
    grain = cv2.resize(rng.normal(0, 12, (100, 100)).astype(np.float32), (400, 400), interpolation=cv2.INTER_NEAREST)
    picture = portrait()[:400, :400]
    textured = np.clip(picture + grain[..., None], 0, 255).astype(np.uint8)
    images = references([portrait()], SETTINGS[1], 20, seed=1)[0] + references([textured], SETTINGS[1], 4, seed=2)[0]
    first = np.array([fitted.estimate(images).marginal("noise_sigma")[0] for fitted in fits])
    without = np.array([without_priors(fitted).estimate(images).marginal("noise_sigma")[0] for fitted in fits])
    assert (1 - first < 0.9 * (1 - without)).all()
    assert first.mean() > 0.85
