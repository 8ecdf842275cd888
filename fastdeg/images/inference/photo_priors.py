"""Photographs that look degraded by themselves: soft in parts or as a whole, or full of texture as fine as noise.

No feature tells the blur of a photograph from that of its degradation, nor, where texture is everywhere, texture from
noise. What can be known of it is how photographs are: most are sharp somewhere, and smooth somewhere; some nowhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from fastdeg._types import Float
from fastdeg.degradations.fast import shrink_by_area

BLUR_AXES = ("blur_sigma", "blur_sigma_x", "blur_sigma_y")  # in pixels of the clean photograph
PARTLY = 0.25  # share of the synthetic patches that are out of focus in parts
PARTS_SIGMA = (2.0, 10.0)  # range of their blur, in pixels
PARTS_SHARE = (0.1, 0.9)  # range of the share of the patch
WHOLLY = 0.3  # share of photographs that are taken to be sharp nowhere
WHOLLY_SIGMA = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0)  # their blur in pixels, each as probable
NOISE_AXIS = "noise_sigma"  # in grey levels of the degraded photograph
TEXTURED = 0.15  # share of photographs that are taken to be smooth nowhere
TEXTURE_SIGMA = (10.0, 20.0, 30.0)  # noise that their texture looks like, in grey levels, each as probable


def out_of_focus(x: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Blur random parts of a picture, as a shallow depth of field does."""
    low, high = np.log(PARTS_SIGMA)
    sigma = float(np.exp(rng.uniform(low, high)))
    height, width = x.shape[:2]
    factor = max(1.0, sigma / 1.5)  # a strong blur leaves nothing that a smaller picture does not hold
    size = (max(1, round(width / factor)), max(1, round(height / factor)))
    small = cv2.GaussianBlur(shrink_by_area(x, size), (0, 0), sigma / factor)
    blurred = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    coarse = cv2.resize(rng.standard_normal((5, 5)).astype(np.float32), (40, 40), interpolation=cv2.INTER_CUBIC)
    border = np.float32(np.quantile(coarse, rng.uniform(*PARTS_SHARE)))
    field = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    in_focus = np.clip(0.5 + 2 * (field - border), 0, 1)
    return np.asarray(cv2.blendLinear(x, blurred, in_focus, 1 - in_focus), np.uint8)


def appearances(parameters: Float, names: Sequence[str]) -> list[tuple[float, Float]]:
    """Return what degraded photographs look like: shares, and the parameters that look the same in an ideal one.

    Variances of Gaussian blurs add up: a soft photograph with a blur of σ is a sharp one with a stronger blur. So do
    those of texture and noise.
    """
    kinds = [
        (np.isin(names, axes), share, sigmas)
        for axes, share, sigmas in ((BLUR_AXES, WHOLLY, WHOLLY_SIGMA), (NOISE_AXIS, TEXTURED, TEXTURE_SIGMA))
        if np.isin(names, axes).any()
    ]
    found = [(1 - sum(share for _, share, _ in kinds), parameters)]
    for columns, share, sigmas in kinds:
        for sigma in sigmas:
            alike = parameters.copy()
            alike[:, columns] = np.hypot(alike[:, columns], sigma)
            found.append((share / len(sigmas), alike))
    return found
