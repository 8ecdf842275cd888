"""What a step of the degradation chain is: its parameters, where it acts, its plain form, and perhaps a fast one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from importlib.util import find_spec
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastdeg._checks import choice, number
from fastdeg.degradations.pixels import Image

Settings: TypeAlias = Mapping[str, Any]  # what was given: parameters and options by name
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
        if type(value) is float and self.low <= value <= self.high and math.isfinite(value):  # as all that is drawn
            return float(round(value)) if self.whole else value
        bounds = (bound if math.isfinite(bound) else None for bound in (self.low, self.high))
        given = number(value, self.name, *bounds)
        return float(round(given)) if self.whole else given


@dataclass(frozen=True)
class Option:
    """A word that says how a step acts: an argument of `fastdeg.degrade`, drawn by histories, but no axis.

    Examples
    --------
    >>> from fastdeg.degradations import Option
    >>> tint = Option("tint", "of the paper", ("white", "yellow"), "white")
    >>> tint.of({}), tint.of({"tint": "yellow"})
    ('white', 'yellow')
    """

    name: str
    meaning: str
    values: tuple[str, ...]
    default: str

    def check(self, value: Any) -> str:
        """Return the word, or raise where it is none of those that are known."""
        return choice(value, self.name, self.values)

    def of(self, settings: Settings) -> str:
        """Return the word that was given, checked, or the default."""
        return self.check(settings.get(self.name, self.default))


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
    options : tuple of Option, optional
    needs : (module, extra), optional
        The module that the step imports when it acts, and the extra of fastdeg that brings it.

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
    options: tuple[Option, ...] = ()
    needs: tuple[str, str] | None = None

    @property
    def arguments(self) -> tuple[Parameter | Option, ...]:
        """All that it may be given."""
        return (*self.parameters, *self.options)

    def check_installed(self) -> None:
        """Raise where the module that the step needs is not installed."""
        if self.needs is not None and find_spec(self.needs[0]) is None:
            module, extra = self.needs
            raise ValueError(f"step {self.name!r}: needs the module {module}: pip install 'fastdeg[{extra}]'")

    def acts(self, settings: Settings) -> bool:
        """Return whether the step changes something, given these settings."""
        return any(settings.get(p.name, p.neutral) != p.neutral for p in self.parameters)

    def is_given(self, settings: Settings) -> bool:
        """Return whether any of its parameters is among the settings."""
        return not settings.keys().isdisjoint(self._names)

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return tuple(parameter.name for parameter in self.parameters)
