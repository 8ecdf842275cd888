"""Pixels on their way into and out of the chain: 8 or 16 bits or [0, 1] outside, float32 on 0 to 255 inside."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdeg._checks import array_of, memory

Image = NDArray[Any]


def check_image(image: ArrayLike, name: str = "image") -> Image:
    """Return the image as an array of shape (H, W, 3) or (H, W), of one of the accepted types, or raise."""
    x = array_of(image, name, "an image")
    if x.ndim == 3 and x.shape[2] == 1:
        x = x[..., 0]
    if x.ndim not in (2, 3) or (x.ndim == 3 and x.shape[2] != 3):
        raise ValueError(f"{name}: expected shape (H, W, 3) or (H, W), got {x.shape}")
    if x.size == 0:
        raise ValueError(f"{name}: expected at least one pixel, got shape {x.shape}")
    if not x.dtype.isnative:
        x = x.astype(x.dtype.newbyteorder("="))
    if x.dtype not in (np.uint8, np.uint16) and x.dtype.kind != "f":
        raise TypeError(f"{name}: expected uint8, uint16 or float in [0, 1], got dtype {x.dtype}")
    memory(4.0 * x.size, name)  # of what is broadcast
    return x


def to_float(image: ArrayLike, name: str = "image") -> Image:
    """Return the image as contiguous float32 on 0..255."""
    x = check_image(image, name)
    if x.dtype == np.uint8:
        return np.ascontiguousarray(x, dtype=np.float32)
    if x.dtype == np.uint16:
        return np.ascontiguousarray(x, dtype=np.float32) / np.float32(257)
    low, high = float(x.min()), float(x.max())
    if not (low >= -1e-6 and high <= 1 + 1e-6):  # also true for NaN
        unit = ": divide by 255, or pass uint8" if 1 < high <= 255 and low >= 0 else ""
        raise ValueError(f"{name}: expected finite float pixels in [0, 1], got values from {low:g} to {high:g}{unit}")
    return np.ascontiguousarray(x, dtype=np.float32) * np.float32(255)


def to_uint8(x: Image) -> NDArray[np.uint8]:
    """Round float pixels on 0..255 to 8 bits; what has 8 bits stays as it is."""
    return x if x.dtype == np.uint8 else np.clip(np.rint(x), 0, 255).astype(np.uint8)
