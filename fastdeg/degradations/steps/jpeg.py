"""JPEG compression."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdeg.degradations.pixels import Image, check_image, to_float, to_uint8
from fastdeg.degradations.step import Option, Parameter, Settings, Stage, Step

MEANING = "real JPEG bytes; rounded to a whole number; above 100: not compressed"
QUALITY = Parameter("jpeg_quality", MEANING, 1, 110, neutral=None, whole=True)
BEST = 100  # quality; what is above stands for no compression, as the end of an axis
UNCOMPRESSED = BEST + 0.5  # least value that is rounded to it
SUBSAMPLINGS = {
    "4:2:0": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
    "4:2:2": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
    "4:4:0": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440,
    "4:4:4": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    "4:1:1": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_411,
}
SUBSAMPLING = Option("jpeg_subsampling", "of the chroma", tuple(SUBSAMPLINGS), "4:2:0")
LARGEST_SIDE = 65_500


def jpeg_compress(image: ArrayLike, quality: float, *, subsampling: str = "4:2:0") -> NDArray[np.uint8]:
    """Compress to JPEG bytes, with this subsampling of the chroma, and decode them again; not above quality 100."""
    factor = SUBSAMPLINGS[SUBSAMPLING.check(subsampling)]
    x = check_image(image)
    x = x if x.dtype == np.uint8 else to_uint8(to_float(x))
    if max(x.shape[:2]) > LARGEST_SIDE:
        raise ValueError(
            f"image: expected sides of at most {LARGEST_SIDE} pixels for JPEG, got {x.shape[1]} × {x.shape[0]}"
        )
    if x.ndim == 2:
        return _coded(np.ascontiguousarray(x), quality, factor)
    stored: Any = cv2.cvtColor(np.ascontiguousarray(x), cv2.COLOR_RGB2BGR)
    decoded: Any = cv2.cvtColor(_coded(stored, quality, factor), cv2.COLOR_BGR2RGB)
    return decoded


def _apply(x: Image, settings: Settings, rng: Any = None) -> Image:
    if "jpeg_quality" not in settings:
        return x
    return jpeg_compress(to_uint8(x), settings["jpeg_quality"], subsampling=SUBSAMPLING.of(settings))


def _fast(x: Image, settings: Settings, normal: Any, rng: Any) -> Image:
    if "jpeg_quality" not in settings:
        return x
    return _coded(to_uint8(x), settings["jpeg_quality"], SUBSAMPLINGS[SUBSAMPLING.of(settings)])


def _coded(stored: NDArray[np.uint8], quality: float, factor: int) -> NDArray[np.uint8]:
    """Encode an image in OpenCV's order of channels, or a grey one, and decode it again."""
    whole = int(QUALITY.check(quality))
    if whole > BEST:
        return stored
    flags = [cv2.IMWRITE_JPEG_QUALITY, whole, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor]
    encoded, data = cv2.imencode(".jpg", stored, flags[: 2 if stored.ndim == 2 else 4])
    if not encoded:
        raise ValueError(f"image: OpenCV could not encode {stored.shape[1]} × {stored.shape[0]} pixels as JPEG")
    decoded: Any = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE if stored.ndim == 2 else cv2.IMREAD_COLOR)
    return decoded


STEP = Step("JPEG", Stage.COMPRESSION, (QUALITY,), _apply, fast=_fast, options=(SUBSAMPLING,))
