"""Blur by a lens out of focus: the mean over a disk."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fastdeg.degradations.pixels import Image
from fastdeg.degradations.step import Parameter, Settings, Stage, Step

MEANING = "radius of the disk that a lens out of focus averages over, in pixels of the clean image"
RADIUS = Parameter("defocus_radius", MEANING, 0, 100, "px")
FINER = 8  # subpixels along each side, by which pixels at the rim count in part


def _apply(x: Image, settings: Settings, rng: Any = None) -> Image:
    radius = RADIUS.check(settings["defocus_radius"])
    return cv2.filter2D(x, cv2.CV_32F, disk(radius)) if radius > 0 else x


def disk(radius: float) -> NDArray[np.float32]:
    """Return the kernel of a disk: the share of each pixel that it covers, of sum 1."""
    side = 2 * int(np.ceil(radius)) + 1
    places = (np.arange(side * FINER) + 0.5) / FINER - side / 2
    inside = np.add.outer(places**2, places**2) <= radius**2
    cover = inside.reshape(side, FINER, side, FINER).sum(axis=(1, 3))
    if not cover.any():  # a disk smaller than a subpixel
        cover[side // 2, side // 2] = 1
    return (cover / cover.sum()).astype(np.float32)


STEP = Step("defocus", Stage.BLUR, (RADIUS,), _apply)
