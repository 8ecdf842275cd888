"""Sharpening by an unsharp mask."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from fastdeg.degradations.pixels import Image
from fastdeg.degradations.step import Parameter, Settings, Stage, Step

AMOUNT = Parameter("sharpening_amount", "how often the difference from a blurred picture is added to it", 0, 20)
RADIUS = Parameter("sharpening_radius", "standard deviation of that blur", 0.1, 100, "px", neutral=1.0)


def _apply(x: Image, settings: Settings, rng: Any = None) -> Image:
    amount = AMOUNT.check(settings.get("sharpening_amount", 0))
    if amount == 0:
        return x
    x = np.asarray(x, np.float32)
    blurred = cv2.GaussianBlur(x, (0, 0), RADIUS.check(settings.get("sharpening_radius", 1)))
    return cv2.addWeighted(x, 1 + amount, blurred, -amount, 0)


STEP = Step(
    "sharpening", Stage.PROCESSING, (AMOUNT, RADIUS), _apply, fast=lambda x, settings, normal, rng: _apply(x, settings)
)
