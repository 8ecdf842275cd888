"""Ringing: a low-pass filter with a sharp limit, as after strong sharpening or resampling by sinc."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import j1

from fastdeg.degradations.pixels import Image
from fastdeg.degradations.step import Parameter, Settings, Stage, Step

MEANING = "highest frequency that a low-pass filter without a slope lets through, radians a pixel"
CUTOFF = Parameter("ringing_cutoff", MEANING, 0.1, np.pi, neutral=None)
SIZE = Parameter("ringing_size", "side of its kernel, odd", 3, 101, "px", neutral=21.0, whole=True)


def _apply(x: Image, settings: Settings, rng: Any = None) -> Image:
    if "ringing_cutoff" not in settings:
        return x
    size = int(SIZE.check(settings.get("ringing_size", 21))) | 1
    return cv2.filter2D(x, cv2.CV_32F, low_pass(CUTOFF.check(settings["ringing_cutoff"]), size))


def low_pass(cutoff: float, size: int) -> NDArray[np.float32]:
    """Return the circular ideal low-pass filter, cut to a square: a Bessel function over the radius; sum 1."""
    places = np.arange(size) - size // 2
    radius = np.sqrt(np.add.outer(places**2.0, places**2.0))
    centre = radius == 0
    radius[centre] = 1
    kernel = np.where(centre, cutoff**2 / (4 * np.pi), cutoff * j1(cutoff * radius) / (2 * np.pi * radius))
    return (kernel / kernel.sum()).astype(np.float32)


STEP = Step(
    "ringing", Stage.PROCESSING, (CUTOFF, SIZE), _apply, fast=lambda x, settings, normal, rng: _apply(x, settings)
)
