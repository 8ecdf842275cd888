"""The table of the steps of the degradation chain, and so of what axes may be; `docs/add-a-step.md` adds a step."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import cache

from fastdeg._checks import choice
from fastdeg.bins import Bins
from fastdeg.bins.base import checked_bins
from fastdeg.degradations.step import Option, Parameter, Stage, Step
from fastdeg.degradations.steps import (
    blur,
    codecs,
    defocus,
    downsampling,
    earlier_jpeg,
    grain,
    jpeg,
    kernels,
    motion,
    noise,
    resampling,
    ringing,
    sharpening,
    smoothing,
)
from fastdeg.space import DegradationSpace

BUILT_IN = (
    blur.STEP,
    motion.STEP,
    defocus.STEP,
    kernels.STEP,
    resampling.RESIZE,
    downsampling.STEP,
    noise.POISSON,
    noise.GAUSSIAN,
    grain.STEP,
    earlier_jpeg.STEP,
    smoothing.MEDIAN,
    smoothing.BILATERAL,
    smoothing.NON_LOCAL_MEANS,
    resampling.STEP,
    ringing.STEP,
    sharpening.STEP,
    codecs.WEBP,
    codecs.H264,
    jpeg.STEP,
)
GREY_LEVELS = "of 255"  # the unit
OTHER_ARGUMENTS = ("image", "history", "rng")  # of `fastdeg.degrade`: no names for parameters
_added: list[Step] = []  # the tables below are looked up for each image, and so kept between changes of this


@cache
def steps() -> tuple[Step, ...]:
    """Return the steps in the order in which they act."""
    return tuple(sorted((*BUILT_IN, *_added), key=lambda step: step.stage))  # equal stages stay in order


@cache
def halves() -> tuple[tuple[Step, ...], tuple[Step, ...]]:
    """Return the steps that make the small image of the clean one, and those that act on the small one."""
    ordered = steps()
    return tuple(s for s in ordered if s.stage < Stage.NOISE), tuple(s for s in ordered if s.stage >= Stage.NOISE)


@cache
def parameters() -> Mapping[str, Parameter]:
    """Return all parameters by name: what axes of a space may be named."""
    return {parameter.name: parameter for step in steps() for parameter in step.parameters}


@cache
def options() -> Mapping[str, Option]:
    """Return all options by name: words that say how steps act."""
    return {option.name: option for step in steps() for option in step.options}


def place(name: str | None, beside: int = 0) -> tuple[int, int]:
    """Return where a step stands among all, and, to compare with others, what stands before (-1) or after (1) it."""
    names = [step.name for step in steps()]
    return names.index(choice(name, "history, place", tuple(names))), beside


def place_of_halving() -> tuple[int, int]:
    """Return the place after which all acts on the small image."""
    return len(halves()[0]) - 1, 1


def register(step: Step) -> Step:
    """Add a step to the chain of this process, last in its stage, and return it.

    Raises
    ------
    TypeError, ValueError
        Where it is no `Step`, has no parameter, or a name is taken.
    """
    if not isinstance(step, Step):
        raise TypeError(f"step: expected a fastdeg.degradations.Step, got {type(step).__name__}")
    names = [argument.name for argument in step.arguments]
    taken = {step.name} & {other.name for other in steps()} | set(names) & {*parameters(), *options(), *OTHER_ARGUMENTS}
    if taken or not step.parameters:
        raise ValueError(f"step {step.name!r}: expected parameters, all of new names, got {sorted(taken) or 'none'}")
    _added.append(step)
    _look_again()
    return step


def unregister(step: Step) -> None:
    """Take out a step that `register` added."""
    if not any(step is one for one in _added):
        raise ValueError("step: expected one that register added")
    _added.remove(step)
    _look_again()


def _look_again() -> None:
    for table in (steps, halves, parameters, options):
        table.cache_clear()


def space_of(bins: Bins, name: str, *, own_pipeline: bool) -> DegradationSpace:
    """Return the bins' space, or raise: its axes say what to do, parameters of the chain within their ranges."""
    space = checked_bins(bins, name).space
    if space is None:
        raise ValueError(f"{name}: expected bins over a DegradationSpace, whose axis names say what to do; got none")
    if own_pipeline:
        return space
    known = parameters()
    unknown = [name for name in space.names if name not in known]
    if unknown:
        raise ValueError(
            f"space: expected axes among {', '.join(known)} (or your own pipeline in `degrade`), "
            f"got {', '.join(map(repr, unknown))}"
        )
    for step in steps():
        if any(parameter.name in space.names for parameter in step.parameters):
            step.check_installed()
    for axis in space.axes:
        parameter = known[axis.name]
        low, high = parameter.low, parameter.high
        if parameter.unit == GREY_LEVELS and 0 < axis.high <= 1:
            warnings.warn(
                f"space: axis {axis.name!r} ends at {axis.high:g} {GREY_LEVELS} grey levels, which nobody sees; "
                "is it in units of 1? Multiply by 255",
                stacklevel=3,
            )
        if axis.low < low or axis.high > high:
            unit = " (of 100: a share of 1 is another unit)" if axis.name.endswith("quality") and axis.high <= 1 else ""
            raise ValueError(
                f"space: expected axis {axis.name!r} within {low:g} to {high:g}{unit}, "
                f"got {axis.low:g} to {axis.high:g}"
            )
    return space
