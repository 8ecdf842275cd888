"""Grain, as of film: noise correlated in space, the same in all channels."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from fastdeg.degradations.pixels import Image
from fastdeg.degradations.step import Parameter, Settings, Stage, Step
from fastdeg.degradations.steps.noise import STRONGEST, correlated, cut

MEANING = "standard deviation of a grain that is the same in all channels"
SIGMA = Parameter("grain_sigma", MEANING, 0, STRONGEST, "of 255")
SIZE = Parameter("grain_size", "standard deviation of the blur that makes it of white noise", 0.1, 20, "px", 1.0)


def _apply(x: Image, settings: Settings, rng: np.random.Generator) -> Image:
    return _added(x, rng.standard_normal(x.shape[:2], dtype=np.float32), settings)


def _fast(x: Image, settings: Settings, normal: NDArray[np.float32], rng: np.random.Generator) -> Image:
    return _added(x, cut(normal, x[..., 0] if x.ndim == 3 else x, settings, rng), settings)


def _added(x: Image, white: Image, settings: Settings) -> Image:
    sigma = SIGMA.check(settings.get("grain_sigma", 0))
    if sigma == 0:
        return x
    grain = correlated(white, SIZE.check(settings.get("grain_size", 1))) * np.float32(sigma)
    return x + (grain if x.ndim == 2 else cv2.cvtColor(grain, cv2.COLOR_GRAY2RGB))


STEP = Step("grain", Stage.NOISE, (SIGMA, SIZE), _apply, fast=_fast)
