"""Smoothing by a camera or a program: median, bilateral filter, non-local means; all of them on 8 bits."""

from __future__ import annotations

from typing import Any

import cv2

from fastdeg.degradations.pixels import Image, to_uint8
from fastdeg.degradations.step import Fast, Parameter, Settings, Stage, Step

MEDIAN_SIZE = Parameter("median_size", "side of the square whose median is taken, odd", 1, 51, "px", 1.0, whole=True)
COLOR = Parameter("bilateral_color", "standard deviation of grey levels of the bilateral filter", 0, 255, "of 255")
SPACE = Parameter("bilateral_space", "its standard deviation in space", 0.1, 20, "px", neutral=1.5)
STRENGTH = Parameter("nlm_strength", "strength h of non-local means, about the noise's σ", 0, 100, "of 255")


def _median(x: Image, settings: Settings, rng: Any = None) -> Image:
    size = int(MEDIAN_SIZE.check(settings["median_size"])) | 1
    return cv2.medianBlur(to_uint8(x), size) if size > 1 else x


def _bilateral(x: Image, settings: Settings, rng: Any = None) -> Image:
    color = COLOR.check(settings.get("bilateral_color", 0))
    if color == 0:
        return x
    space = SPACE.check(settings.get("bilateral_space", 1.5))
    return cv2.bilateralFilter(to_uint8(x), 0, color, space)  # a window of 1.5 standard deviations to each side


def _non_local_means(x: Image, settings: Settings, rng: Any = None) -> Image:
    strength = STRENGTH.check(settings["nlm_strength"])
    if strength == 0:
        return x
    if x.ndim == 2:
        return cv2.fastNlMeansDenoising(to_uint8(x), None, strength, 5, 11)
    stored = cv2.cvtColor(to_uint8(x), cv2.COLOR_RGB2BGR)
    return cv2.cvtColor(cv2.fastNlMeansDenoisingColored(stored, None, strength, strength, 5, 11), cv2.COLOR_BGR2RGB)


def _fast(apply: Any, name: str) -> Fast:
    """Return the plain form of a step that takes the channels in any order as its fast one."""
    return lambda x, settings, normal, rng: apply(x, settings) if name in settings else x


MEDIAN = Step("median", Stage.PROCESSING, (MEDIAN_SIZE,), _median, fast=_fast(_median, "median_size"))
BILATERAL = Step(
    "bilateral filter", Stage.PROCESSING, (COLOR, SPACE), _bilateral, fast=_fast(_bilateral, "bilateral_color")
)
NON_LOCAL_MEANS = Step("non-local means", Stage.PROCESSING, (STRENGTH,), _non_local_means)
