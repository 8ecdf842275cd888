"""Blur by a camera or subject that moved along a line while the shutter was open."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fastdeg.degradations.pixels import Image
from fastdeg.degradations.step import Parameter, Settings, Stage, Step

LENGTH = Parameter("motion_length", "length of a movement along a line, in pixels of the clean image", 0, 300, "px")
ANGLE = Parameter("motion_angle", "its direction, counter-clockwise from the rows", -np.inf, unit="°")


def _apply(x: Image, settings: Settings, rng: Any = None) -> Image:
    length = LENGTH.check(settings.get("motion_length", 0))
    if length == 0:
        return x
    return cv2.filter2D(x, cv2.CV_32F, line_kernel(length, np.deg2rad(ANGLE.check(settings.get("motion_angle", 0)))))


def line_kernel(length: float, angle: float) -> NDArray[np.float32]:
    """Return the kernel of a line, in radians: its points, a tenth of a pixel apart, fall on four pixels each."""
    reach = int(np.ceil(length / 2)) + 1
    along = (np.arange(round(10 * length) or 1) + 0.5) / (round(10 * length) or 1) * length - length / 2
    columns, rows = reach + along * np.cos(angle), reach - along * np.sin(angle)  # rows grow downwards
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1))
    left, top = np.floor(columns).astype(int), np.floor(rows).astype(int)
    right, below = columns - left, rows - top
    for row, column, weight in (
        (top, left, (1 - below) * (1 - right)),
        (top, left + 1, (1 - below) * right),
        (top + 1, left, below * (1 - right)),
        (top + 1, left + 1, below * right),
    ):
        np.add.at(kernel, (row, column), weight)
    return (kernel / kernel.sum()).astype(np.float32)


STEP = Step("motion blur", Stage.BLUR, (LENGTH, ANGLE), _apply)
