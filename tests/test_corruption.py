"""Noise and compression of many variants at once against the steps that define them."""

from __future__ import annotations

import numpy as np
import pytest
from problems_images import paper_bins, photographs

import fastdeg as fd
from fastdeg.degradations.chain import corrupt
from fastdeg.degradations.fast import corrupted_variants, in_tones, noise_pool, shrink_at_once
from fastdeg.degradations.pixels import to_uint8
from fastdeg.images import jpeg_compress
from fastdeg.images.inference.synthesis import Recipe, synthesize

PARAMETERS = [
    {"noise_sigma": 12.5, "jpeg_quality": 70.0},
    {"noise_sigma": 40.0, "jpeg_quality": 31.4},
    {"noise_sigma": 3.0},
    {"jpeg_quality": 90.0},
    {},
]


def small(gray=False):
    low = shrink_at_once(photographs()[0][:160, :256], {"blur_sigma": 1.5, "downsampling": 4}, np.random.default_rng(0))
    low = 1.6 * low - 60  # black and white are clipped
    return np.ascontiguousarray(low[..., 1]) if gray else low


TONES = np.float32([[1, 0], [0.7, -60], [1, 0], [1.4, 45], [1, 10]])


@pytest.mark.parametrize("gray", [False, True])
def test_tones_are_contrast_and_brightness_within_black_and_white(gray):
    low = small(gray)
    got = in_tones(low, TONES)
    for picture, (contrast, brightness) in zip(got, TONES.astype(float), strict=True):
        expected = 128 + contrast * (low.astype(float) - 128) + brightness
        plain = contrast == 1 and brightness == 0  # as it is, beyond black and white too
        np.testing.assert_allclose(picture, low if plain else expected.clip(0, 255), atol=1e-4)
    assert low.min() < 0
    assert low.max() > 255


def test_tones_before_blur_and_downsampling_are_tones_after():
    clean = photographs()[0][:160, :256].astype(np.float32) * 0.5 + 60  # far from black and white
    settings, rng = {"blur_sigma": 1.5, "downsampling": 4}, np.random.default_rng(0)
    for tone in TONES[[1, 4]]:
        first = shrink_at_once(in_tones(clean, tone[None])[0], settings, rng)
        last = in_tones(shrink_at_once(clean, settings, rng), tone[None])[0]
        np.testing.assert_allclose(first, last, atol=1e-3)


@pytest.mark.parametrize("noise", ["gray", "color"])
@pytest.mark.parametrize("gray", [False, True])
def test_all_variants_are_what_the_steps_make_of_the_same_noise(noise, gray):
    pool, pictures = noise_pool(noise, 80, np.random.default_rng(1)), in_tones(small(gray), TONES)
    got = corrupted_variants(pictures, PARAMETERS, pool, np.random.default_rng(2))
    starts = np.random.default_rng(2).integers(len(pool) - 40 * 64 + 1, size=len(PARAMETERS))
    for variant, low, p, start in zip(got, pictures, PARAMETERS, starts, strict=True):
        sample = pool[start : start + 40 * 64].reshape(40, 64, 3)  # channels of a photograph in the order BGR
        sample = sample[..., 0] if gray else sample[..., ::-1]
        noisy = to_uint8(low + np.float32(p.get("noise_sigma", 0)) * sample)
        if "jpeg_quality" in p:
            noisy = jpeg_compress(noisy, p["jpeg_quality"])
        np.testing.assert_array_equal(variant, noisy if gray else noisy[..., ::-1])


def test_the_pool_is_normal_and_is_cut_at_different_places():
    gray, color = (noise_pool(noise, 16, np.random.default_rng(0)) for noise in ("gray", "color"))
    np.testing.assert_array_equal(gray[:, 0], gray[:, 2])
    assert abs(np.corrcoef(color[:, 0], color[:, 2])[0, 1]) < 0.01
    assert gray.std() == pytest.approx(1, abs=0.01)
    assert len(noise_pool("gray", 1000, np.random.default_rng(0))) == 4 * 1000**2
    flat = np.full((50, 24, 24, 3), 128, np.float32)
    variants = corrupted_variants(flat, [{"noise_sigma": 20.0}] * 50, gray, np.random.default_rng(0))
    assert variants.std() == pytest.approx(20, rel=0.02)
    different = {variant.tobytes() for variant in variants}
    assert len(different) == 50


def test_shot_noise_is_left_to_the_steps():
    pictures, pool = in_tones(np.maximum(small(), 0), TONES[:2]), noise_pool("gray", 16, np.random.default_rng(0))
    settings = [{"poisson_scale": 2.0, "jpeg_quality": 80.0}, {"noise_sigma": 5.0}]
    got = corrupted_variants(pictures, settings, pool, np.random.default_rng(3))
    rng = np.random.default_rng(3)
    for variant, low, s in zip(got, pictures, settings, strict=True):
        np.testing.assert_array_equal(variant, corrupt(low, s, rng)[..., ::-1])


def test_wrong_qualities_are_named():
    pool = noise_pool("gray", 16, np.random.default_rng(0))
    with pytest.raises(ValueError, match="jpeg_quality"):
        corrupted_variants(small()[None], [{"jpeg_quality": 0.0}], pool, np.random.default_rng(0))


def test_every_second_variant_of_many_photographs_has_tones_of_its_own():
    clean = [photo[:320, left : left + 160] for photo in photographs() for left in (0, 160, 320, 480)]
    space, seed = paper_bins().space, np.random.SeedSequence(0)
    recipe = Recipe(space.names, {"downsampling": 4}, "gray", "cubic", None, None, 32, best_quality=space.axes[2].high)

    def draw(n, rng):
        return rng.uniform([0, 0, 30], [5, 50, 90], (n, 3))

    many, few = (synthesize(images, draw, recipe, 300, seed) for images in (clean, clean[:7]))
    inside = ~many.uncompressed
    assert inside.sum() >= 300 > (~inside).sum() > 0
    assert not many.jittered[~inside].any()
    np.testing.assert_array_equal(many.jittered[inside], np.tile([False, True], inside.sum() // 2))
    assert not few.jittered.any()
    # photographs are compared with patches in their own tones alone
    estimator = fd.DegradationEstimator(paper_bins(), n_samples=300, patch_size=32).fit(clean)
    assert len(estimator.model_.outside.measures) == inside.sum() // 2
