"""The statistics of block DCT, edges and detail against plain NumPy, and the search for the JPEG grid."""

from __future__ import annotations

import cv2
import naive_images as naive
import numpy as np
import pytest
from problems_images import photographs

import fastdeg as fd
from fastdeg.images import dct_features
from fastdeg.images.features import N_FEATURES, feature_weights, jpeg_grid_offset, jpeg_qualities, luma
from fastdeg.kernels.images.jpeg_quality import VISIBLE
from fastdeg.kernels.images.order_statistics import counts_up_to, of_ranks

EDGES = slice(2 * 63 * 7, 2 * 63 * 7 + 50)
DETAIL = slice(EDGES.stop, -2)


@pytest.mark.parametrize("shape", [(128, 192), (80, 80), (61, 83), (16, 300)])
@pytest.mark.parametrize("offset", [(0, 0), (3, 6)])
def test_features_are_the_naive_statistics(shape, offset):
    image = fd.degrade(photographs()[1], downsampling=2, noise_sigma=4, jpeg_quality=70, rng=0)[: shape[0], : shape[1]]
    got = dct_features(image, offset=offset)[: 2 * 63 * 7].reshape(2, 63, 7)
    plane = luma(image)
    for k, shift in enumerate((0, 4)):
        expected = naive.block_statistics(plane, (offset[0] + shift) % 8, (offset[1] + shift) % 8)
        np.testing.assert_allclose(got[k][:, :5], expected[:, :5], atol=2e-4)
        np.testing.assert_allclose(got[k][:, 5:], expected[:, 5:], atol=5e-3)  # quartiles to 2^-8 by design


@pytest.mark.parametrize("shape", [(128, 192), (80, 75), (12, 31)])
@pytest.mark.parametrize("blur", [0, 4])
def test_edge_features_are_the_naive_statistics(shape, blur):
    image = fd.degrade(photographs()[1], blur_sigma=blur, downsampling=2, noise_sigma=4, rng=0)[: shape[0], : shape[1]]
    np.testing.assert_allclose(dct_features(image)[EDGES], naive.edge_statistics(luma(image)), atol=1e-3)


@pytest.mark.parametrize("shape", [(40, 64), (12, 12)])
def test_edge_features_of_planes_without_many_edges(shape):
    flat, step = np.full(shape, 90, np.uint8), np.full(shape, 90, np.uint8)
    step[:, 7:] = 200
    for image in (flat, step):
        np.testing.assert_allclose(dct_features(image)[EDGES], naive.edge_statistics(luma(image)), atol=1e-3)


def test_the_sharpest_edges_tell_the_blur_whatever_the_detail():
    """Gradient at the steepest pixels, fine scale against coarse: falls with the blur in each of the photographs."""
    for photo in photographs():
        ratios = []
        for blur in (0.5, 1.5, 2.5, 3.5):
            features = dct_features(fd.degrade(photo, blur_sigma=blur, downsampling=4, rng=0))[EDGES]
            gradients = features.reshape(5, 5, 2)[:, 0, 0]
            ratios.append(gradients[0] - gradients[3])
        assert (np.diff(ratios) < -0.1).all()


@pytest.mark.parametrize("shape", [(128, 192), (80, 75), (12, 31), (12, 12)])
@pytest.mark.parametrize("blur", [0, 4])
def test_detail_features_are_the_naive_statistics(shape, blur):
    image = fd.degrade(photographs()[1], blur_sigma=blur, downsampling=2, noise_sigma=4, rng=0)[: shape[0], : shape[1]]
    got, expected = dct_features(image)[DETAIL], naive.detail_statistics(luma(image))
    np.testing.assert_allclose(got, expected, atol=2**-6)  # energies in classes of that width


@pytest.mark.parametrize("contrast", [1.5, 4, 1000])
def test_detail_features_of_planes_in_black_and_white(contrast):
    """Some windows, nearly all, or all but too many of them hold clipped pixels."""
    image = fd.degrade(photographs()[1], blur_sigma=1, downsampling=2, noise_sigma=4, rng=0)[:90, :127].astype(float)
    plane = np.rint(128 + contrast * (image.mean(axis=2) - 128)).clip(0, 255).astype(np.uint8)
    np.testing.assert_allclose(dct_features(plane)[DETAIL], naive.detail_statistics(luma(plane)), atol=2**-6)


def test_noise_is_as_strong_where_the_background_is_white():
    """White clips half of the noise: the small windows there say nothing, those in the rest of the picture what is."""
    noise = 12 * np.random.default_rng(0).standard_normal((120, 160))
    scene = np.full(noise.shape, 120.0)
    white = scene.copy()
    white[:, 50:] = 255
    plain, half_white = (dct_features(np.rint(x + noise).clip(0, 255).astype(np.uint8))[DETAIL] for x in (scene, white))
    np.testing.assert_allclose(half_white[1:6], plain[1:6], atol=0.15)  # 1 % of what is left are few
    assert half_white[9] < plain[9] - 0.5  # large windows do not leave them out


def test_detail_features_of_planes_with_none():
    ramp = np.add.outer(np.arange(40), 3 * np.arange(50)).astype(np.uint8)  # straight: no second differences
    np.testing.assert_allclose(dct_features(ramp)[DETAIL][:7], np.log(0.05), atol=1e-6)
    checks = (255 * (np.indices((40, 50)).sum(axis=0) % 2)).astype(np.uint8)  # the largest that there are
    np.testing.assert_allclose(dct_features(checks)[DETAIL][:14], 2 * np.log(8 * 255), atol=2**-6)


def test_smooth_places_tell_texture_from_noise():
    """As strong a detail on average, but not everywhere: the small windows of least detail lie between the blocks."""
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((120, 160))
    noisy = 128 + 10 * noise
    textured = np.full(noise.shape, 128.0)
    for top in range(4, 112, 16):
        textured[top : top + 11] += 12 * noise[top : top + 11]
    noisy, textured = (dct_features(np.rint(x).clip(0, 255).astype(np.uint8))[DETAIL][:7] for x in (noisy, textured))
    assert noisy[4] - noisy[0] < 2.5
    assert textured[4] - textured[0] > 6
    assert abs(noisy[5] - textured[5]) < 0.5


def test_few_images_are_read_by_the_block_statistics_alone():
    for tested in (False, True):
        few, many = (feature_weights(n, jpeg=True, tested=tested) for n in (7, 8))
        assert (few[EDGES] == 0).all()
        assert (few[DETAIL] == 0).all()
        assert (many[: DETAIL.stop] > 0).all()
        np.testing.assert_array_equal(few[: EDGES.start], many[: EDGES.start])
        np.testing.assert_array_equal(few[-2:], many[-2:])


@pytest.mark.parametrize("shape", [(1, 1), (7, 30), (11, 11), (12, 12), (13, 9, 3)])
def test_small_images_have_features(shape):
    for image in (np.zeros(shape, np.uint8), np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)):
        for offset in ((0, 0), (7, 5)):
            features = dct_features(image, offset=offset)
            assert features.shape == (N_FEATURES,)
            assert np.isfinite(features).all()


def test_features_ignore_how_pixels_are_stored():
    image = photographs()[0][:96, :96]
    expected = dct_features(image)
    for other in (np.asfortranarray(image), image.astype(np.uint16) * 257, image / 255.0):
        np.testing.assert_allclose(dct_features(other), expected, atol=6e-3)


@pytest.mark.parametrize("quality", [30, 75, 92])
@pytest.mark.parametrize("noise", [2, 25])
def test_jpeg_grid_of_a_cropped_image_is_found(quality, noise):
    image = fd.degrade(photographs()[0], blur_sigma=1, downsampling=4, noise_sigma=noise, jpeg_quality=quality, rng=0)
    for top, left in ((0, 0), (3, 5), (7, 1)):
        plane = luma(image[top:, left:])
        assert jpeg_grid_offset(plane) == (-top % 8, -left % 8)


def test_no_grid_is_made_up():
    for photo in photographs():
        for noise in (0, 10, 30):
            image = fd.degrade(photo[3:, 5:], blur_sigma=1, downsampling=3, noise_sigma=noise, rng=noise)
            assert jpeg_grid_offset(luma(image)) == (0, 0)
    assert jpeg_grid_offset(luma(np.full((64, 64), 9, np.uint8))) == (0, 0)


def test_features_see_through_the_crop_with_the_grid_known():
    image = fd.degrade(photographs()[0], blur_sigma=1, downsampling=4, noise_sigma=5, jpeg_quality=60, rng=0)
    whole, crop = dct_features(image), image[3:, 5:]
    blind = np.abs(dct_features(crop) - whole).mean()
    seeing = np.abs(dct_features(crop, offset=jpeg_grid_offset(luma(crop))) - whole).mean()
    assert seeing < 0.25 * blind


@pytest.mark.parametrize("dtype", [np.int16, np.int32])
@pytest.mark.parametrize("n", [1, 7, 384, 40_000])
def test_two_ranks_at_a_time_are_those_of_a_sorted_copy(dtype, n):
    rng = np.random.default_rng(n)
    for highest in (0, 1, 30, 6000):
        values = rng.integers(0, highest + 1, n).astype(dtype)
        ordered = np.sort(values)
        for first, second in rng.integers(0, n, (20, 2)):
            found = of_ranks(values, dtype(-1), dtype(highest), first, second)
            assert found == (ordered[first], ordered[second])
            counted = counts_up_to(values, *map(dtype, found))
            assert counted == tuple((values <= v).sum() for v in found)


@pytest.mark.parametrize("quality", [30, 47, 66, 80, 90])
@pytest.mark.parametrize(("blur", "noise"), [(0.5, 5), (2, 15), (4, 10)])
def test_the_comb_tells_the_jpeg_quality(quality, blur, noise):
    """Where noise is stronger, clipped pixels spoil most blocks of a bright photograph, and the comb may be lost."""
    for photo in photographs():
        image = fd.degrade(photo, blur_sigma=blur, downsampling=4, noise_sigma=noise, jpeg_quality=quality, rng=0)
        found, evidence = dct_features(image)[-2:]
        assert found == pytest.approx(quality, abs=1)
        assert evidence > VISIBLE


@pytest.mark.parametrize(("blur", "noise"), [(0.5, 0), (0.5, 5), (2, 15), (0, 50)])
def test_no_comb_is_seen_where_there_is_none(blur, noise):
    """Never compressed, enlarged after the compression, or seen on another grid than that of the compression."""
    for photo in photographs():
        small = {"blur_sigma": blur, "downsampling": 4, "noise_sigma": noise, "rng": 0}
        compressed = fd.degrade(photo, jpeg_quality=60, **small)
        enlarged = cv2.resize(compressed, None, fx=1.5, fy=1.5, interpolation=cv2.INTER_CUBIC)
        for image in (fd.degrade(photo, **small), enlarged, compressed[4:, 4:]):
            assert dct_features(image[:80, :80])[-1] < VISIBLE


def test_patches_of_an_image_tell_its_quality_together():
    features = np.zeros((5, N_FEATURES), np.float32)
    features[:, -2:] = [[80, 300], [80, 40], [31, 0], [55, 3], [91, 5]]  # quality, evidence
    combed, quality = jpeg_qualities(features, np.array([0, 0, 0, 1, 1]), 3)
    np.testing.assert_array_equal(combed, [True, False, False])
    assert quality[0] == pytest.approx(80)
