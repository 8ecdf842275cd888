"""Downsampling by any factor."""

from __future__ import annotations

from typing import Any

import cv2
from numpy.typing import ArrayLike

from fastdeg._checks import choice
from fastdeg.degradations.pixels import Image, to_float
from fastdeg.degradations.step import Parameter, Settings, Stage, Step

MEANING = 'factor, whole or not; new sides are rounded down; `interpolation="cubic"` unless told'
FACTOR = Parameter("downsampling", MEANING, 1, unit="×", neutral=1.0)
DEFAULT_FACTOR = 4  # of estimators and transforms, where no axis says it
INTERPOLATIONS = {
    "nearest": cv2.INTER_NEAREST,
    "linear": cv2.INTER_LINEAR,
    "cubic": cv2.INTER_CUBIC,
    "area": cv2.INTER_AREA,
    "lanczos": cv2.INTER_LANCZOS4,
}


def downsample(image: ArrayLike, factor: float, interpolation: str = "cubic") -> Image:
    """Shrink both sides by ``factor`` (>= 1, whole or not) to ``floor(side / factor)``; float32 on 0..255."""
    return _apply(to_float(image), {"downsampling": factor, "interpolation": interpolation})


def _apply(x: Image, settings: Settings, rng: Any = None) -> Image:
    factor = FACTOR.check(settings["downsampling"])
    interpolation = choice(settings.get("interpolation", "cubic"), "interpolation", tuple(INTERPOLATIONS))
    if factor == 1:
        return x
    height, width = (int(side / factor) for side in x.shape[:2])
    if min(height, width) < 1:
        size = f"{x.shape[1]} × {x.shape[0]}"
        raise ValueError(f"image: expected sides of at least {factor:g} pixels to shrink by {factor:g}, got {size}")
    return cv2.resize(x, (width, height), interpolation=INTERPOLATIONS[interpolation])


STEP = Step("downsampling", Stage.DOWNSAMPLING, (FACTOR,), _apply)  # its fast form: fastdeg.degradations.fast
