"""Blur and downsampling in one pass against the steps that define them, and shrinking by area against OpenCV's."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from problems_images import photographs

from fastdeg.degradations import chain
from fastdeg.degradations.fast import shrink_at_once, shrink_by_area

RNG = np.random.default_rng(0)  # no step here draws


@pytest.mark.parametrize("shape", [(320, 320), (333, 320), (97, 101), (9, 427), (4, 4)])
@pytest.mark.parametrize("factor", [4, 2, 3, 2.5, 3.7])
@pytest.mark.parametrize("sigma", [0, 0.3, 1.0, 2.7, 5.0])
@pytest.mark.parametrize("interpolation", ["cubic", "linear", "area"])
def test_blur_and_downsampling_at_once_are_the_steps(shape, factor, sigma, interpolation):
    image = photographs()[0][: shape[0], : shape[1]]
    settings = {"blur_sigma": sigma, "downsampling": factor, "interpolation": interpolation}
    expected = chain.shrink(image.astype(np.float32), settings, RNG)
    got = shrink_at_once(image, settings, RNG)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, atol=1e-3)  # on 0..255
    np.testing.assert_allclose(shrink_at_once(image[..., 1], settings, RNG), expected[..., 1], atol=1e-3)


@pytest.mark.parametrize(
    "parameters",
    [
        {"blur_sigma_x": 3.0, "blur_sigma_y": 0.0, "downsampling": 3},
        {"blur_sigma_x": 0.7, "blur_sigma_y": 2.0, "downsampling": 4},
        {"blur_sigma_x": 0.7, "blur_sigma_y": 2.0, "blur_angle": 180, "downsampling": 4},
        {"blur_sigma_x": 0.7, "blur_sigma_y": 2.0, "blur_angle": 90, "downsampling": 4},
        {"blur_sigma_x": 0.7, "blur_sigma_y": 2.0, "blur_angle": 30, "downsampling": 4},
        {"blur_sigma": 2.0},
        {"downsampling": 2},
    ],
)
@pytest.mark.parametrize("interpolation", ["cubic", "linear", "area"])
def test_whatever_the_parameters(parameters, interpolation):
    image = photographs()[1][:90, :120]
    settings = {**parameters, "interpolation": interpolation}
    expected = chain.shrink(image.astype(np.float32), settings, RNG)
    np.testing.assert_allclose(shrink_at_once(image, settings, RNG), expected, atol=1e-3)


def test_what_is_wrong_is_named_as_by_the_steps():
    image = photographs()[0][:40, :40]
    for parameters, word in (
        ({"blur_sigma": -1.0, "downsampling": 4}, "blur_sigma"),
        ({"blur_sigma": np.nan, "downsampling": 4}, "blur_sigma"),
        ({"downsampling": 41}, "at least 41 pixels"),
        ({"downsampling": 0.5}, "downsampling"),
    ):
        with pytest.raises(ValueError, match=word):
            shrink_at_once(image, parameters, RNG)


@pytest.mark.parametrize("size", [(320, 320), (300, 200), (638, 426), (640, 427), (213, 142), (1, 1), (97, 427)])
def test_shrinking_by_area_rounds_the_means(size):
    image = photographs()[0]
    for x in (image, image[..., 0]):
        mean = cv2.resize(x.astype(np.float32), size, interpolation=cv2.INTER_AREA)
        assert np.abs(shrink_by_area(x, size) - mean).max() <= 0.5 + 1e-3
