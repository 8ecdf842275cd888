"""JPEG compression."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdeg.degradations.pixels import Image, check_image, to_float, to_uint8
from fastdeg.degradations.step import Parameter, Settings, Stage, Step

MEANING = "real JPEG bytes, OpenCV's default 4:2:0 chroma; rounded to a whole number"
QUALITY = Parameter("jpeg_quality", MEANING, 1, 100, neutral=None, whole=True)
LARGEST_SIDE = 65_500


def jpeg_compress(image: ArrayLike, quality: float) -> NDArray[np.uint8]:
    """Compress to JPEG bytes with OpenCV's default chroma subsampling (4:2:0) and decode them again."""
    x = check_image(image)
    x = x if x.dtype == np.uint8 else to_uint8(to_float(x))
    if max(x.shape[:2]) > LARGEST_SIDE:
        raise ValueError(
            f"image: expected sides of at most {LARGEST_SIDE} pixels for JPEG, got {x.shape[1]} × {x.shape[0]}"
        )
    if x.ndim == 2:
        return _coded(np.ascontiguousarray(x), quality)
    stored: Any = cv2.cvtColor(np.ascontiguousarray(x), cv2.COLOR_RGB2BGR)
    decoded: Any = cv2.cvtColor(_coded(stored, quality), cv2.COLOR_BGR2RGB)
    return decoded


def _apply(x: Image, settings: Settings, rng: Any = None) -> Image:
    return jpeg_compress(to_uint8(x), settings["jpeg_quality"])


def _fast(x: Image, settings: Settings, normal: Any, rng: Any) -> Image:
    return _coded(to_uint8(x), settings["jpeg_quality"]) if "jpeg_quality" in settings else x


def _coded(stored: NDArray[np.uint8], quality: float) -> NDArray[np.uint8]:
    """Encode an image in OpenCV's order of channels, or a grey one, and decode it again."""
    encoded, data = cv2.imencode(".jpg", stored, [cv2.IMWRITE_JPEG_QUALITY, int(QUALITY.check(quality))])
    if not encoded:
        raise ValueError(f"image: OpenCV could not encode {stored.shape[1]} × {stored.shape[0]} pixels as JPEG")
    decoded: Any = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE if stored.ndim == 2 else cv2.IMREAD_COLOR)
    return decoded


STEP = Step("JPEG", Stage.COMPRESSION, (QUALITY,), _apply, fast=_fast)
