"""How patches are degraded and described: the estimator's arguments, checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdeg._checks import choice, integer, memory, number
from fastdeg.bins import Bins
from fastdeg.degradations.chain import Degradation, checked_history, fixed_parameters
from fastdeg.degradations.history import Drawn, History
from fastdeg.degradations.registry import space_of
from fastdeg.degradations.steps import jpeg
from fastdeg.degradations.steps.downsampling import DEFAULT_FACTOR, FACTOR, INTERPOLATIONS
from fastdeg.degradations.steps.noise import NOISES
from fastdeg.images.inference.coordinates import directions
from fastdeg.space import DegradationSpace

Embedding = Callable[[Sequence[NDArray[Any]]], NDArray[Any]]
NOTHING = History()
OF_DIRECTIONS = ("_x", "_y", "_angle", "_ratio")  # ends of the names of parameters that turn with the picture


@dataclass(frozen=True)
class Recipe:
    """How patches are degraded and described."""

    names: tuple[str, ...]
    fixed: dict[str, float]
    noise: str
    interpolation: str
    degrade: Degradation | None
    embed: Embedding | None
    patch_size: int
    directions: bool = False  # whether features tell a direction from its mirror image
    history: History = NOTHING
    best_quality: float | None = None  # of the built-in compression: what never compressed patches stand for

    @cached_property
    def _halves(self) -> tuple[History, History]:
        return self.history.halves()

    def drawn(self, n: int, rng: np.random.Generator) -> list[Drawn]:
        """Draw what the history came to for n variants of one blurred and downsampled patch."""
        before, after = self._halves
        shared = before.draw(rng)
        return [shared + after.draw(rng) for _ in range(n)]

    @property
    def upright(self) -> bool:
        """Whether photos have to be described as they are looked at, not as they may lie in their files."""
        return self.degrade is not None or any(name.endswith(OF_DIRECTIONS) for name in self.names)

    def factor(self, parameters: dict[str, float]) -> float:
        """Return how many clean pixels make one degraded pixel, 1 where only the user's pipeline knows."""
        return max(1.0, float(parameters.get("downsampling", 1)))

    def strongest_downsampling(self, space: DegradationSpace) -> float:
        """Return the largest factor that patches may be downsampled by."""
        highest = {axis.name: axis.high for axis in space.axes}
        return float({"downsampling": 1.0, **self.fixed, **highest}["downsampling"])


def recipe_of(
    bins: Bins,
    downsampling: float | None,
    noise: str,
    interpolation: str,
    degrade: Degradation | None,
    history: History | str | None,
    features: Embedding | None,
    patch_size: int,
) -> Recipe:
    """Check what a `DegradationEstimator` was given, and return what is made of it.

    Raises
    ------
    ValueError, TypeError
        Where an argument is out of range, or the space has an axis that the chain does not know.
    """
    if not isinstance(bins, Bins):
        raise TypeError(f"bins: expected GridBins or CentroidBins, got {type(bins).__name__}")
    for name, value in (("degrade", degrade), ("features", features)):
        if value is not None and not callable(value):
            raise TypeError(f"{name}: expected a callable or None, got {value!r}")
    space = space_of(bins, "bins", own_pipeline=degrade is not None)
    names = space.names
    choice(noise, "noise", NOISES)
    choice(interpolation, "interpolation", tuple(INTERPOLATIONS))
    factor = None if downsampling is None else number(downsampling, "downsampling", 1)
    if factor is None and FACTOR.name not in names:
        factor = DEFAULT_FACTOR
    fixed = fixed_parameters(names, factor, degrade)
    size = integer(patch_size, "patch_size", 16) // 8 * 8
    memory(48.0 * size**2, "patch_size")  # of the noise that is cut from
    best = None
    if "jpeg_quality" in names and degrade is None and features is None:
        best = space.axes[names.index("jpeg_quality")].high
        best = None if best > jpeg.BEST else best  # the space itself holds what was never compressed
    turning = degrade is None and features is None and bool(directions(names).any())
    drawn = checked_history(history, (*names, *fixed), noise, interpolation, degrade)
    return Recipe(names, fixed, noise, interpolation, degrade, features, size, turning, drawn, best)
