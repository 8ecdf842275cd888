"""Resizing on the way: to another size and back again, or before the downsampling."""

from __future__ import annotations

from typing import Any

from fastdeg.degradations.pixels import Image
from fastdeg.degradations.step import Option, Parameter, Settings, Stage, Step
from fastdeg.degradations.steps.downsampling import INTERPOLATION, SCALE, SIZE, WORDS, resized, scaled

RESIZE_SCALE = Parameter("resize_scale", "sides are resized by this before the downsampling", 0.05, 10, neutral=1.0)
RESIZE_INTERPOLATION = Option("resize_interpolation", "of the resizing before the downsampling", WORDS, "cubic")
BACK_INTERPOLATION = Option("resampling_interpolation", "of the resizing back to what comes out", WORDS, "cubic")


def _resize(x: Image, settings: Settings, rng: Any = None) -> Image:
    scale = RESIZE_SCALE.check(settings["resize_scale"])
    return resized(x, scaled(x.shape, scale), RESIZE_INTERPOLATION.of(settings))


def _resample(x: Image, settings: Settings, rng: Any = None) -> Image:
    """Bring to the final size what the downsampling left at another, or go to another size and back at once."""
    size = settings.get(SIZE)
    if size is None:
        size = x.shape[:2]
        x = resized(x, scaled(size, SCALE.check(settings["resampling_scale"])), INTERPOLATION.of(settings))
    return resized(x, size, BACK_INTERPOLATION.of(settings))


RESIZE = Step("resize", Stage.BLUR, (RESIZE_SCALE,), _resize, options=(RESIZE_INTERPOLATION,))
STEP = Step(
    "resampling", Stage.PROCESSING, (SCALE,), _resample, options=(INTERPOLATION, BACK_INTERPOLATION),
    fast=lambda x, settings, normal, rng: _resample(x, settings) if "resampling_scale" in settings else x,
)  # fmt: skip
