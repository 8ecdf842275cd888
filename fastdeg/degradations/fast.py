"""Tones, noise and compression of many variants of one picture, several times as fast as the steps, for synthesis.

Normal numbers are drawn once and cut out at random places; all variants share one call wherever one can serve them,
for threads that call often wait for one another. The steps in `fastdeg.degradations.chain` say what is meant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fastdeg.degradations.chain import corrupt, jpeg_level, through_jpeg
from fastdeg.images.features import luma, luma_plane
from fastdeg.kernels.images.noise import noisy_variants, toned_variants

LEAST_POOL = 2**20  # pixels: more than a hundred patches without one in common


def noise_pool(noise: str, patch_size: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw normal numbers to cut noise from, (pixels, 3): the same in all channels, or its own in each."""
    pixels = max(LEAST_POOL, 4 * patch_size**2)
    if noise == "color":
        return rng.standard_normal((pixels, 3), dtype=np.float32)
    return np.repeat(rng.standard_normal((pixels, 1), dtype=np.float32), 3, axis=1)


def in_tones(low: NDArray[np.float32], tones: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a picture in n tones (n, H, W[, 3]); tones: (n, 2), contrasts around mid-grey, and brightnesses to add.

    As blur and downsampling are linear, this is what comes of the clean picture in these tones, but for what is
    limited to 0..255; the picture with contrast 1 and brightness 0 is not.
    """
    out = np.empty((len(tones), *low.shape), np.float32)
    toned_variants(np.ravel(low), tones[:, 0], tones[:, 1], out.reshape(len(out), -1))
    return out


def corrupted_lumas(
    pictures: NDArray[np.float32],
    parameters: Sequence[Mapping[str, float]],
    noise: str,
    normal: NDArray[np.float32],
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Return the luma (n, H, W) of what `degradation.corrupt` makes of pictures (n, H, W[, 3]), each with its own
    parameters."""
    height, width = pictures.shape[1:3]
    if any(p.get("poisson_scale", 0) for p in parameters) or height * width > len(normal):
        return np.stack([luma(corrupt(x, p, noise, rng)) for x, p in zip(pictures, parameters, strict=True)])
    exact: Any = pictures
    if pictures.ndim == 4:
        exact = cv2.cvtColor(pictures.reshape(-1, width, 3), cv2.COLOR_RGB2BGR)
    else:  # one channel of the pool
        normal = np.ascontiguousarray(normal[:, :1])
    starts = rng.integers(len(normal) - height * width + 1, size=len(parameters)) * normal.shape[1]
    sigmas = np.array([p.get("noise_sigma", 0) for p in parameters], np.float32)
    noisy = np.empty(pictures.shape, np.uint8)
    noisy_variants(exact.reshape(len(noisy), -1), normal.ravel(), starts, sigmas, noisy.reshape(len(noisy), -1))
    for x, p in zip(noisy, parameters, strict=True):
        quality = p.get("jpeg_quality")
        if quality is not None:
            x[:] = through_jpeg(x, jpeg_level(quality))
    return luma_plane(noisy.reshape(len(noisy) * height, *pictures.shape[2:]), "BGR").reshape(-1, height, width)
