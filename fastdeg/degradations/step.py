"""What a step of the degradation chain is: its parameters, where it acts, its plain form, and perhaps a fast one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastdeg._checks import number
from fastdeg.degradations.pixels import Image

Settings: TypeAlias = Mapping[str, Any]  # what was given: parameters by name, "noise" and "interpolation"
Taps: TypeAlias = Callable[[Settings], tuple[NDArray[Any], NDArray[Any]] | None]
Fast: TypeAlias = Callable[[Image, Settings, NDArray[np.float32], np.random.Generator], Image]


class Stage(IntEnum):
    """Where in the chain a step acts. Steps of one stage act in the order in which they were added."""

    BLUR = 1  # on the clean image
    DOWNSAMPLING = 2
    NOISE = 3  # from here on on the small image
    PROCESSING = 4  # by the camera or a program: sharpening, denoising
    COMPRESSION = 5


@dataclass(frozen=True)
class Parameter:
    """A parameter of a step: an argument of `fastdeg.degrade`, and what an axis of a space may be named."""

    name: str
    meaning: str
    low: float = 0.0
    high: float = math.inf
    unit: str = ""
    neutral: float | None = 0.0  # the value at which the step changes nothing, if there is one
    whole: bool = False  # rounded to a whole number

    def check(self, value: Any) -> float:
        """Return the number that the step uses, or raise where it is none within the range."""
        given = number(value, self.name)
        bounds = (bound if math.isfinite(bound) else None for bound in (self.low, self.high))
        return number(float(round(given)) if self.whole else given, self.name, *bounds)


@dataclass(frozen=True)
class Step:
    """A step of the degradation chain.

    Parameters
    ----------
    name : str
    stage : Stage
    parameters : tuple of Parameter
        The step is left out where none of them is given.
    apply : callable (image, settings, rng) -> image
        The plain form, on float32 pixels from 0 to 255, (H, W, 3) in RGB order or (H, W), not to be written to; may
        return uint8 instead. ``settings`` holds what was given, by name and unchecked: see `Parameter.check`.
    taps : callable (settings) -> (taps along the rows, taps along the columns) or None, optional
        Fast form of a blur: its symmetric taps, None where it is not separable.
    fast : callable (image, settings, normal, rng) -> image, optional
        Fast form of a step after the downsampling, on pixels in OpenCV's order BGR, float32 or rounded to uint8;
        ``normal`` are standard normal numbers (m, 3) to cut noise from.

    Examples
    --------
    >>> from fastdeg.degradations import Parameter, Stage, Step
    >>> level = Parameter("fading", "share of the contrast that is lost", 0, 1)
    >>> def fade(image, settings, rng):
    ...     return 128 + (1 - level.check(settings["fading"])) * (image - 128)
    >>> Step("fading", Stage.PROCESSING, (level,), fade).acts({"fading": 0.5})
    True
    """

    name: str
    stage: Stage
    parameters: tuple[Parameter, ...]
    apply: Callable[[Image, Settings, np.random.Generator], Image]
    taps: Taps | None = None
    fast: Fast | None = None

    def acts(self, settings: Settings) -> bool:
        """Return whether the step changes something, given these settings."""
        return any(settings.get(p.name, p.neutral) != p.neutral for p in self.parameters)
