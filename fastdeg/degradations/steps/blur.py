"""Gaussian blur, the same in all directions or not."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdeg.degradations.pixels import Image, to_float
from fastdeg.degradations.step import Parameter, Settings, Stage, Step

MEANING = "standard deviation of the Gaussian blur, in pixels of the clean image"
SIGMA = Parameter("blur_sigma", MEANING, 0, 1000, "px")
SIGMA_X = Parameter("blur_sigma_x", "the same along the first of two perpendicular axes", 0, 1000, "px")
SIGMA_Y = Parameter("blur_sigma_y", "the same along the second", 0, 1000, "px")
ANGLE = Parameter("blur_angle", "angle of the first axis, counter-clockwise from the rows", -np.inf, unit="°")
RATIO_MEANING = "ratio of these two, of which `blur_sigma` is the geometric mean"
RATIO = Parameter("blur_ratio", RATIO_MEANING, 0.05, 20, neutral=1.0)
LARGEST_SEPARATE = 100.0  # standard deviation; beyond, OpenCV's own form serves the fast path too


def gaussian_blur(
    image: ArrayLike,
    sigma: float = 0,
    *,
    sigma_x: float | None = None,
    sigma_y: float | None = None,
    angle: float = 0,
) -> Image:
    """Blur with a Gaussian of standard deviation ``sigma`` pixels, or of two along axes turned by ``angle`` degrees.

    Returns float32 on 0..255. The border is mirrored.
    """
    settings = {"blur_sigma": sigma, "blur_sigma_x": sigma_x, "blur_sigma_y": sigma_y, "blur_angle": angle}
    return _apply(to_float(image), {name: value for name, value in settings.items() if value is not None})


def _apply(x: Image, settings: Settings, rng: Any = None) -> Image:
    sigma_x, sigma_y, angle = _checked(settings)
    if max(sigma_x, sigma_y) == 0:
        return x
    if sigma_x == sigma_y or angle % 90 == 0:
        if angle % 180 == 90:
            sigma_x, sigma_y = sigma_y, sigma_x
        if min(sigma_x, sigma_y) > 0:
            return cv2.GaussianBlur(x, (0, 0), sigmaX=sigma_x, sigmaY=sigma_y)
        # OpenCV takes sigmaY = 0 for "the same as sigmaX"
        return cv2.sepFilter2D(x, cv2.CV_32F, _gaussian_taps(sigma_x), _gaussian_taps(sigma_y))
    return cv2.filter2D(x, cv2.CV_32F, _turned_gaussian(sigma_x, sigma_y, np.deg2rad(angle)))


def _taps(settings: Settings) -> tuple[Image, Image] | None:
    sigma_x, sigma_y, angle = _checked(settings)
    if max(sigma_x, sigma_y) > LARGEST_SEPARATE or (sigma_x != sigma_y and angle % 180 != 0):
        return None
    return _gaussian_taps(sigma_x), _gaussian_taps(sigma_y)


def _checked(settings: Settings) -> tuple[float, float, float]:
    """Return the standard deviations along the two axes, and the angle."""
    both, ratio = SIGMA.check(settings.get("blur_sigma", 0)), RATIO.check(settings.get("blur_ratio", 1))
    widths = (both, both) if ratio == 1 else (both * ratio**0.5, both / ratio**0.5)
    pairs = zip((SIGMA_X, SIGMA_Y), widths, strict=True)
    sigmas = [p.check(settings[p.name]) if p.name in settings else width for p, width in pairs]
    return sigmas[0], sigmas[1], ANGLE.check(settings.get("blur_angle", 0))


def _gaussian_taps(sigma: float) -> Image:
    """Return the taps of the blur along one axis: a single one where there is none."""
    return cv2.getGaussianKernel(_kernel_size(sigma) if sigma > 0 else 1, sigma or 1.0)[:, 0]


def _kernel_size(sigma: float) -> int:
    return round(sigma * 8 + 1) | 1  # as OpenCV sizes the kernel for float images


def _turned_gaussian(sigma_x: float, sigma_y: float, angle: float) -> NDArray[np.float32]:
    radius = _kernel_size(max(sigma_x, sigma_y)) // 2
    columns, rows = np.meshgrid(np.arange(-radius, radius + 1), np.arange(-radius, radius + 1))
    along = np.cos(angle) * columns - np.sin(angle) * rows  # rows grow downwards
    across = np.sin(angle) * columns + np.cos(angle) * rows
    # an axis without blur keeps a little width, or a turned line would miss most pixels
    kernel = np.exp(-0.5 * ((along / max(sigma_x, 0.3)) ** 2 + (across / max(sigma_y, 0.3)) ** 2))
    return (kernel / kernel.sum()).astype(np.float32)


STEP = Step("blur", Stage.BLUR, (SIGMA, SIGMA_X, SIGMA_Y, ANGLE, RATIO), _apply, taps=_taps)
