"""What histories are made of: steps that may have happened, choices between them, and what these come to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from fastdeg._checks import choice, iterable, number, shown
from fastdeg.degradations import registry
from fastdeg.degradations.ranges import Range, as_range, checked_weights, draw, draw_index, extremes, to_config

PLACES = ("after", "before")
NOT_PARAMETERS = ("step", "probability", "label", *PLACES)


@dataclass(frozen=True)
class Event:
    """A step that happens beside the crafted chain, with settings of its own, after or before a step of the chain."""

    step: str
    settings: Mapping[str, float | str]
    after: str | None = None
    before: str | None = None


@dataclass(frozen=True)
class Drawn:
    """What a history came to for one picture.

    Attributes
    ----------
    settings : dict
        What joins the settings of the crafted chain.
    events : tuple of Event
        What happens beside it, in order.
    parameters : dict
        All that was drawn, by the names that the history gives them.
    """

    settings: dict[str, float | str] = field(default_factory=dict)
    events: tuple[Event, ...] = ()
    parameters: dict[str, float | str] = field(default_factory=dict)

    def __add__(self, other: Drawn) -> Drawn:
        settings, parameters = self.settings | other.settings, self.parameters | other.parameters
        return Drawn(settings, self.events + other.events, parameters)


@dataclass(frozen=True)
class HistoryStep:
    """A step that may have happened, with what its parameters are drawn from.

    Parameters
    ----------
    step : str
        Name in the registry (`fastdeg.degradations.steps`).
    parameters : mapping
        Its parameters and options by name: a number or a word, or a range (`Uniform`, `LogUniform`, `Integers`,
        `Choice`), also in the form of a configuration: ``[low, high]``, ``{"choice": […]}``.
    probability : float
        That it happens.
    after, before : str, optional
        Name of the step of the chain that it follows or precedes, as an event with settings of its own. By default
        what was drawn joins the settings of the crafted chain: the step acts once, where it stands in the chain.
    label : str
        Goes before the names of the parameters, with a dot, where there is another step like this one.

    Raises
    ------
    ValueError, TypeError
        Where the step or a parameter is not known, a range is reversed or leaves that of the parameter, or the
        probability is outside of [0, 1].

    Examples
    --------
    >>> from fastdeg.degradations import HistoryStep, Uniform
    >>> HistoryStep("sharpening", {"sharpening_amount": Uniform(0.2, 1.5)}, probability=0.3).names
    frozenset({'sharpening_amount'})
    """

    step: str
    parameters: Mapping[str, Range] = field(default_factory=dict)
    probability: float = 1.0
    after: str | None = None
    before: str | None = None
    label: str = ""
    _whole: frozenset[str] = field(default=frozenset(), init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        known = {step.name: step for step in registry.steps()}
        step = known[choice(self.step, "step", tuple(known))]
        step.check_installed()
        object.__setattr__(self, "probability", number(self.probability, "probability", 0, 1))
        for place in PLACES:
            if getattr(self, place) is not None:
                choice(getattr(self, place), place, tuple(known))
        if self.after is not None and self.before is not None:
            raise ValueError("before: expected nothing beside after")
        if not isinstance(self.label, str) or (self.label and not self.is_event):
            raise ValueError(f"label: expected a word, beside after or before, got {self.label!r}")
        of_step = {argument.name: argument for argument in step.arguments}
        if not isinstance(self.parameters, Mapping) or not self.parameters:
            raise ValueError(f"expected at least one of {', '.join(of_step)}, got {self.parameters!r}")
        checked = {}
        for name, value in self.parameters.items():
            choice(name, f"step {self.step!r}", tuple(of_step))
            with located(name):
                checked[name] = as_range(value)
            for end in extremes(checked[name]):
                of_step[name].check(end)
        object.__setattr__(self, "parameters", checked)
        whole = frozenset(parameter.name for parameter in step.parameters if parameter.whole)
        object.__setattr__(self, "_whole", whole)

    @property
    def is_event(self) -> bool:
        """Whether it happens beside the crafted chain."""
        return self.after is not None or self.before is not None

    @property
    def names(self) -> frozenset[str]:
        """Names of what is drawn."""
        return frozenset(self._named(name) for name in self.parameters)

    def draw(self, rng: np.random.Generator) -> Drawn:
        """Return what it came to, nothing where it did not happen."""
        if self.probability < 1 and rng.random() >= self.probability:
            return Drawn()
        values = {name: draw(value, rng) for name, value in self.parameters.items()}
        for name, value in values.items():
            if name in self._whole and isinstance(value, float):
                values[name] = float(round(value))
        named = {self._named(name): value for name, value in values.items()}
        if self.is_event:
            return Drawn(events=(Event(self.step, values, self.after, self.before),), parameters=named)
        return Drawn(settings=values, parameters=named)

    def _named(self, name: str) -> str:
        return f"{self.label}.{name}" if self.label else name

    def touches_clean_image(self) -> bool:
        """Return whether it acts on the clean image, before the downsampling, or on the downsampling itself."""
        if self.is_event:
            return registry.place(self.after or self.before, 1 if self.after else -1) < registry.place_of_halving()
        shared = (argument.name for step in registry.halves()[0] for argument in step.arguments)
        return not self.parameters.keys().isdisjoint(shared)

    def to_dict(self) -> dict[str, Any]:
        """Return the configuration that `History.from_dict` reads."""
        config: dict[str, Any] = {"step": self.step}
        if self.probability < 1:
            config["probability"] = self.probability
        config |= {key: getattr(self, key) for key in (*PLACES, "label") if getattr(self, key)}
        return config | {name: to_config(value) for name, value in self.parameters.items()}

    def __hash__(self) -> int:
        return hash((self.step, self.probability, self.names))


@dataclass(frozen=True)
class OneOf:
    """One of several ways: each a weight and a list of steps, which may be empty.

    Parameters
    ----------
    branches : sequence of (weight, sequence of HistoryStep, OneOf or mappings)
        Weights not below zero, of which only the ratios matter.

    Raises
    ------
    ValueError, TypeError
        Where there is no branch, or one is wrong; the message says where.

    Examples
    --------
    >>> from fastdeg.degradations import HistoryStep, OneOf
    >>> smoothed = HistoryStep("median", {"median_size": 3})
    >>> OneOf([(0.3, [smoothed]), (0.7, [])]).names
    frozenset({'median_size'})
    """

    branches: Sequence[tuple[float, Sequence[Node]]]

    def __post_init__(self) -> None:
        if isinstance(self.branches, str) or not isinstance(self.branches, Sequence) or not self.branches:
            raise ValueError(f"one_of: expected at least one branch, got {self.branches!r}")
        for k, branch in enumerate(self.branches):
            if isinstance(branch, str) or not isinstance(branch, Sequence) or len(branch) != 2:
                raise ValueError(f"one_of[{k}]: expected a weight and a list of steps, got {branch!r}")
        weights = checked_weights([weight for weight, _ in self.branches], len(self.branches))
        nodes = [checked_nodes(steps, f"one_of[{k}].steps") for k, (_, steps) in enumerate(self.branches)]
        object.__setattr__(self, "branches", tuple(zip(weights, nodes, strict=True)))

    @property
    def names(self) -> frozenset[str]:
        """Names of what is drawn in any of the branches."""
        return frozenset(name for _, nodes in self.branches for node in nodes for name in node.names)

    def draw(self, rng: np.random.Generator) -> Drawn:
        """Return what the branch came to that was drawn."""
        weights = [weight for weight, _ in self.branches]
        return draw_all(self.branches[draw_index(len(weights), weights, rng)][1], rng)

    def touches_clean_image(self) -> bool:
        """Return whether any of its steps does."""
        return any(node.touches_clean_image() for _, nodes in self.branches for node in nodes)

    def to_dict(self) -> dict[str, Any]:
        """Return the configuration that `History.from_dict` reads."""
        return {"one_of": [{"weight": w, "steps": [node.to_dict() for node in nodes]} for w, nodes in self.branches]}


Node: TypeAlias = HistoryStep | OneOf


def without(nodes: Iterable[Node], names: frozenset[str]) -> list[Node]:
    """Return the nodes without the steps that draw any of the names."""
    kept: list[Node] = []
    for node in nodes:
        if isinstance(node, OneOf):
            kept.append(OneOf([(weight, without(steps, names)) for weight, steps in node.branches]))
        elif names.isdisjoint(node.names):
            kept.append(node)
    return kept


def summary(node: Node) -> str:
    """Return a few words that name a node."""
    if isinstance(node, OneOf):
        return f"one of {len(node.branches)}"
    label = f"{node.label} " if node.label else ""
    return f"{label}{node.step}" + (f" {node.probability:g}" if node.probability < 1 else "")


def draw_all(nodes: Iterable[Node], rng: np.random.Generator) -> Drawn:
    """Return what the nodes came to, in their order."""
    settings: dict[str, float | str] = {}
    parameters: dict[str, float | str] = {}
    events: tuple[Event, ...] = ()
    for node in nodes:
        drawn = node.draw(rng)
        settings |= drawn.settings
        parameters |= drawn.parameters
        events += drawn.events
    return Drawn(settings, events, parameters)


def checked_nodes(steps: Any, where: str) -> tuple[Node, ...]:
    """Return steps, some of them perhaps configurations, checked together."""
    if isinstance(steps, str | Mapping):
        raise TypeError(f"{where}: expected a list of steps, got {shown(steps)}")
    nodes: list[Node] = []
    seen: set[str] = set()
    for k, step in enumerate(iterable(steps, where, "a list of steps")):
        with located(f"{where}[{k}]"):
            node = step if isinstance(step, HistoryStep | OneOf) else _node(step)
            if seen & node.names:
                raise ValueError(f"{min(seen & node.names)!r} is drawn twice: give one of the steps a label")
            seen |= node.names
            nodes.append(node)
    return tuple(nodes)


def _node(config: Any) -> Node:
    if not isinstance(config, Mapping):
        raise TypeError(f"expected a mapping with 'step' or 'one_of', got {shown(config)}")
    if "one_of" in config:
        if set(config) != {"one_of"} or not isinstance(config["one_of"], list | tuple):
            raise ValueError(f"expected a list 'one_of' and nothing else, got {config!r:.60}")
        return OneOf([_branch(branch, k) for k, branch in enumerate(config["one_of"])])
    if "step" not in config:
        raise ValueError(f"expected 'step' or 'one_of', got {', '.join(map(repr, config)) or 'nothing'}")
    rest = dict(config)
    arguments = {key: rest.pop(key) for key in NOT_PARAMETERS if key in rest}
    return HistoryStep(arguments.pop("step"), rest, **arguments)


def _branch(config: Any, k: int) -> tuple[Any, Any]:
    if not isinstance(config, Mapping) or not {"steps"} <= set(config) <= {"weight", "steps"}:
        raise ValueError(f"one_of[{k}]: expected 'steps' and perhaps 'weight', got {config!r:.60}")
    return config.get("weight", 1.0), config["steps"]


@contextmanager
def located(place: str) -> Iterator[None]:
    """Say in messages of errors where they are."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise type(error)(f"{place}: {error}") from None
