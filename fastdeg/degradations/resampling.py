"""Blur and downsampling in one pass that computes no pixel that is not kept: several times faster, for synthesis.

Both are weighted sums along the rows and along the columns, so that one set of weights does for them together. The
steps in `fastdeg.degradations.chain` say what is meant; this agrees with them but for rounding.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fastdeg.degradations.chain import blur_kernel, shrink
from fastdeg.kernels.images.resample import areas, blurred_cubic, weighted_rows

STRIP = 32  # rows worked on at a time: large arrays cost more to allocate than to fill
LARGEST_SIGMA = 100.0  # beyond, and for what is wrong, the steps themselves serve
Weights = tuple[NDArray[np.int32], NDArray[np.float32]]  # (n, k): which of the old rows make a new one, and how much


def shrink_at_once(
    image: NDArray[np.uint8], parameters: Mapping[str, float], interpolation: str
) -> NDArray[np.float32]:
    """Do what `degradation.shrink` does: in one pass, where the blur is along the axes and the interpolation cubic."""
    sigma = parameters.get("blur_sigma", 0)
    sigma_x, sigma_y = parameters.get("blur_sigma_x", sigma), parameters.get("blur_sigma_y", sigma)
    angle, factor = parameters.get("blur_angle", 0), parameters.get("downsampling", 1)
    along_axes = sigma_x == sigma_y or angle % 180 == 0
    new_height, new_width = (int(side / factor) for side in image.shape[:2])
    fits = min(new_height, new_width) > 0 and min(sigma_x, sigma_y) >= 0 and max(sigma_x, sigma_y) <= LARGEST_SIGMA
    if interpolation != "cubic" or factor <= 1 or not along_axes or not fits:
        return shrink(image.astype(np.float32), parameters, interpolation)
    rows = blurred_cubic(image.shape[0], new_height, blur_kernel(sigma_y))
    columns = blurred_cubic(image.shape[1], new_width, blur_kernel(sigma_x))
    return _resampled(image, rows, columns, np.float32)


def shrink_by_area(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Shrink to size (width, height): each new pixel is the mean over its area, as in OpenCV's ``INTER_AREA``."""
    height, width = image.shape[:2]
    return _resampled(image, areas(height, size[1]), areas(width, size[0]), np.uint8)


def _resampled(image: NDArray[Any], rows: Weights, columns: Weights, dtype: type) -> NDArray[Any]:
    height, width = image.shape[:2]
    shape = (len(rows[0]), len(columns[0]), *image.shape[2:])
    out = np.empty(shape, dtype)
    old = np.ascontiguousarray(image).reshape(height, -1)
    for start in range(0, shape[0], STRIP):
        strip = slice(start, start + STRIP)
        shrunk = _weighted_rows(old, (rows[0][strip], rows[1][strip]))
        turned = _weighted_rows(cv2.transpose(shrunk).reshape(width, -1), columns)
        done: Any = cv2.transpose(turned.reshape(-1, len(shrunk)))
        done = done if dtype is np.float32 else cv2.convertScaleAbs(done)  # rounds to 8 bits
        out[strip] = done.reshape(-1, *shape[1:])
    return out


def _weighted_rows(rows: NDArray[Any], weights: Weights) -> NDArray[np.float32]:
    out = np.empty((len(weights[0]), rows.shape[1]), np.float32)
    weighted_rows(rows, *weights, out)
    return out
