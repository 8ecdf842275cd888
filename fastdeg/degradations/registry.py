"""The table of the steps of the degradation chain, and so of what axes may be; `docs/add-a-step.md` adds a step."""

from __future__ import annotations

from fastdeg.bins import Bins
from fastdeg.degradations.step import Parameter, Stage, Step
from fastdeg.degradations.steps import blur, downsampling, jpeg, noise
from fastdeg.space import DegradationSpace

BUILT_IN = (blur.STEP, downsampling.STEP, noise.POISSON, noise.GAUSSIAN, jpeg.STEP)
OTHER_ARGUMENTS = ("image", "interpolation", "noise", "rng")  # of `fastdeg.degrade`: no names for parameters
_added: list[Step] = []


def steps() -> tuple[Step, ...]:
    """Return the steps in the order in which they act."""
    return tuple(sorted((*BUILT_IN, *_added), key=lambda step: step.stage))  # equal stages stay in order


def halves() -> tuple[list[Step], list[Step]]:
    """Return the steps that make the small image of the clean one, and those that act on the small one."""
    ordered = steps()
    return [s for s in ordered if s.stage < Stage.NOISE], [s for s in ordered if s.stage >= Stage.NOISE]


def parameters() -> dict[str, Parameter]:
    """Return all parameters by name: what axes of a space may be named."""
    return {parameter.name: parameter for step in steps() for parameter in step.parameters}


def register(step: Step) -> Step:
    """Add a step to the chain of this process, last in its stage, and return it.

    Raises
    ------
    TypeError, ValueError
        Where it is no `Step`, has no parameter, or a name is taken.
    """
    if not isinstance(step, Step):
        raise TypeError(f"step: expected a fastdeg.degradations.Step, got {type(step).__name__}")
    names = [parameter.name for parameter in step.parameters]
    taken = {step.name} & {other.name for other in steps()} | set(names) & {*parameters(), *OTHER_ARGUMENTS}
    if taken or not names:
        raise ValueError(f"step {step.name!r}: expected parameters, all of new names, got {sorted(taken) or 'none'}")
    _added.append(step)
    return step


def unregister(step: Step) -> None:
    """Take out a step that `register` added."""
    _added.remove(step)


def space_of(bins: Bins, name: str, *, own_pipeline: bool) -> DegradationSpace:
    """Return the bins' space, or raise: its axes say what to do, parameters of the chain within their ranges."""
    space = bins.space
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
    for axis in space.axes:
        low, high = known[axis.name].low, known[axis.name].high
        if axis.low < low or axis.high > high:
            raise ValueError(
                f"space: expected axis {axis.name!r} within {low:g} to {high:g}, got {axis.low:g} to {axis.high:g}"
            )
    return space
