"""Downsampling by any factor."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import PIL.Image
from numpy.typing import ArrayLike
from PIL.Image import Resampling

from fastdeg.degradations.pixels import Image, to_float
from fastdeg.degradations.step import Option, Parameter, Settings, Stage, Step

MEANING = "factor, whole or not; new sides are rounded down"
FACTOR = Parameter("downsampling", MEANING, 1, unit="×", neutral=1.0)
SCALE_MEANING = "sides, relative to what comes out, at which noise and processing happen; then resized"
SCALE = Parameter("resampling_scale", SCALE_MEANING, 0.05, 10, neutral=1.0)
DEFAULT_FACTOR = 4  # of estimators and transforms, where no axis says it
INTERPOLATIONS: dict[str, int | Resampling] = {  # OpenCV's, without antialiasing except "area", and Pillow's, with it
    "nearest": cv2.INTER_NEAREST,
    "linear": cv2.INTER_LINEAR,
    "cubic": cv2.INTER_CUBIC,
    "area": cv2.INTER_AREA,
    "lanczos": cv2.INTER_LANCZOS4,
    "linear_antialiased": Resampling.BILINEAR,
    "cubic_antialiased": Resampling.BICUBIC,
    "lanczos_antialiased": Resampling.LANCZOS,
}
WORDS = tuple(INTERPOLATIONS)
INTERPOLATION = Option("interpolation", "of the downsampling", WORDS, "cubic")
SIZE = "size"  # in settings: height and width of what comes out, where sizes change on the way


def downsample(image: ArrayLike, factor: float, interpolation: str = "cubic") -> Image:
    """Shrink both sides by ``factor`` (>= 1, whole or not) to ``floor(side / factor)``; float32 on 0..255."""
    return _apply(to_float(image), {"downsampling": factor, "interpolation": interpolation})


def low_size(shape: tuple[int, ...], settings: Settings) -> tuple[int, int]:
    """Return height and width of what comes of a clean image of this shape."""
    factor = FACTOR.check(settings.get("downsampling", 1))
    height, width = (int(side / factor) for side in shape[:2])
    if min(height, width) < 1:
        size = f"{shape[1]} × {shape[0]}"
        raise ValueError(f"image: expected sides of at least {factor:g} pixels, the downsampling factor, got {size}")
    return height, width


def target_size(shape: tuple[int, ...], settings: Settings) -> tuple[int, int]:
    """Return height and width of what the downsampling makes of an image of this shape."""
    if SIZE not in settings:
        return low_size(shape, settings)
    return scaled(settings[SIZE], SCALE.check(settings.get("resampling_scale", 1)))


def scaled(size: tuple[int, ...], scale: float) -> tuple[int, int]:
    """Return height and width times a scale, rounded down, at least one pixel."""
    return max(1, int(size[0] * scale)), max(1, int(size[1] * scale))


def resized(x: Image, size: tuple[int, int], interpolation: str) -> Image:
    """Return float32 pixels of the given height and width."""
    if x.shape[:2] == size:
        return x
    x = np.asarray(x, np.float32)  # nothing is rounded on the way
    how = INTERPOLATIONS[interpolation]
    if not isinstance(how, Resampling):
        return cv2.resize(x, (size[1], size[0]), interpolation=how)
    # Pillow filters floats one channel at a time
    planes: list[Any] = [
        PIL.Image.fromarray(np.ascontiguousarray(plane)) for plane in (cv2.split(x) if x.ndim == 3 else [x])
    ]
    planes = [np.asarray(plane.resize((size[1], size[0]), how)) for plane in planes]
    return cv2.merge(planes) if x.ndim == 3 else planes[0]


def _apply(x: Image, settings: Settings, rng: Any = None) -> Image:
    return resized(x, target_size(x.shape, settings), INTERPOLATION.of(settings))


# its fast form: fastdeg.degradations.fast
STEP = Step("downsampling", Stage.DOWNSAMPLING, (FACTOR, SCALE), _apply, options=(INTERPOLATION,))
