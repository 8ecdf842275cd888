"""A history as keys of the two-stage random chain: which of its steps option files can say, and which they cannot."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastdeg.degradations.history import History
from fastdeg.degradations.history_nodes import HistoryStep, Node, OneOf
from fastdeg.degradations.ranges import Choice, Range, RootUniform, Uniform, extremes
from fastdeg.frameworks.second_order import SHAPES, SIZES, THIRDS

Outcome = tuple[float, tuple[HistoryStep, ...]]
Keys = dict[str, Any]
Place = Callable[[list[Outcome]], Keys | None]
NAMES = {shape: name for name, shape in SHAPES.items()}
WORDS = ("interpolation", "resize_interpolation", "resampling_interpolation")
LEVELS_256 = 256 / 255  # Poisson noise of scale s has the variance s² · 255 / 256 a level
NOT_SAID = "not in the file (`fastdeg degrade` applies it): "


def keys_of(history: History, crafted: Collection[str]) -> tuple[Keys, list[str]]:
    """Return the keys that say as many of a history's steps as can be, and sentences on those that they cannot say.

    The chain has a place for each kind of step, in an order; the longest sequence of steps is taken that has places in
    this order. The first blur and the last noise and compression are those of the distribution, where it has such axes.

    ``crafted``: names of the distribution's axes.
    """
    nodes = [(node, outcomes([node])) for node in history.steps]
    nodes = [(node, ways) for node, ways in nodes if any(steps for _, steps in ways)]
    places = _places(crafted)
    found = [[place(ways) for place in places] for _, ways in nodes]
    taken = _longest([[keys is not None for keys in row] for row in found])
    keys: Keys = {}
    notes: list[str] = []
    for i, (_, ways) in enumerate(nodes):
        if i in taken:
            keys |= found[i][taken[i]] or {}
        if i not in taken and not _only_words(ways):
            names = dict.fromkeys(f"{step.label} {step.step}".strip() for _, steps in ways for step in steps)
            notes.append(NOT_SAID + ", ".join(names))
        elif not _in_thirds(ways):
            notes.append("interpolations of the history are drawn from area, linear and cubic there, each a third")
    if {"resize_prob2", "final_sinc_prob"} & keys.keys():
        notes.append("the last compression comes before the last resize and low-pass in half of the images there")
    return keys, list(dict.fromkeys(notes))


def outcomes(nodes: Sequence[Node]) -> list[Outcome]:
    """Return all that some nodes may turn out to be, with probabilities."""
    found: list[Outcome] = [(1.0, ())]
    for node in nodes:
        if isinstance(node, OneOf):
            ways = [(weight * p, steps) for weight, inner in node.branches for p, steps in outcomes(inner)]
        else:
            ways = [(node.probability, (node,)), (1 - node.probability, ())]
        found = [(p * q, (*before, *steps)) for p, before in found for q, steps in ways if p * q > 0]
    return found


def _places(crafted: Collection[str]) -> list[Place]:
    """Return what reads the keys of a node, None where it is of another kind, for each place of the chain in turn."""
    places: list[Callable[[list[Outcome]], Keys | None]] = (
        [] if "blur_sigma" in crafted else [lambda o: _kernels(o, "")]
    )
    places += [
        lambda o: _sizes(o, "resize", "resize_scale", ""),
        lambda o: _noise(o, "", early=True),
        _first_jpeg,
        lambda o: _kernels(o, "2"),
        lambda o: _sizes(o, "resampling", "resampling_scale", "2"),
        _kind_of_noise if "noise_sigma" in crafted else lambda o: _noise(o, "2", early=False),
        lambda o: _end(o, compressed="jpeg_quality" not in crafted),
    ]
    return places


def _longest(fits: list[list[bool]]) -> dict[int, int]:
    """Return the longest assignment of rows to columns that keeps their order."""
    best: list[dict[int, int]] = [{}]  # of the rows so far, with columns below each number
    best *= len(fits[0]) + 1 if fits else 1
    for i, row in enumerate(fits):
        after = [best[0]]
        for j, fit in enumerate(row):
            with_it = {**best[j], i: j} if fit else {}
            after.append(max(best[j + 1], after[j], with_it, key=len))
        best = after
    return best[-1]


@dataclass
class _Blurs:
    """The kernels that were found in a node."""

    happens: float = 0.0
    low_pass: float = 0.0
    weights: dict[str, float] = field(default_factory=dict)
    sigmas: set[tuple[float, float]] = field(default_factory=set)
    betas: dict[str, list[float]] = field(default_factory=lambda: {"generalized": [], "plateau": []})
    sizes: list[float] = field(default_factory=list)


def _kernels(ways: list[Outcome], stage: str) -> Keys | None:
    found = _Blurs()
    for p, steps in ways:
        if not steps:
            continue
        step = steps[0]
        if len(steps) > 1 or not _early(step) or step.step not in ("kernel blur", "ringing"):
            return None
        found.happens += p
        found.sizes += _numbers(step, "kernel_size" if step.step == "kernel blur" else "ringing_size", 21)
        if step.step == "ringing":
            found.low_pass += p
            continue
        shape = "gaussian" if "kernel_beta" not in step.parameters else "generalized"
        if step.parameters.get("kernel_shape") == "plateau":
            shape = "plateau"
        name = NAMES[shape, "kernel_sigma_y" in step.parameters]
        found.weights[name] = found.weights.get(name, 0.0) + p
        ends = _ends(step.parameters.get("kernel_sigma_x", 0.0))
        if ends is None or ends[0] >= ends[1]:
            return None
        found.sigmas.add(ends)
        if shape != "gaussian":
            found.betas[shape] += _numbers(step, "kernel_beta", 1)
    if len(found.sigmas) != 1 or (not stage and found.happens < 1 - 1e-9):
        return None
    total = math.fsum(found.weights.values())
    keys: Keys = {
        "kernel_list": list(found.weights),
        "kernel_prob": [_rounded(p / total) for p in found.weights.values()],
        "sinc_prob": _rounded(found.low_pass / found.happens),
        "blur_sigma": list(found.sigmas.pop()),
        "betag_range": _span(found.betas["generalized"]),
        "betap_range": _span(found.betas["plateau"]),
        "kernel_range": _span(found.sizes),
    }
    return {name + stage: value for name, value in keys.items()} | (
        {"second_blur_prob": _rounded(found.happens)} if stage else {}
    )


def _sizes(ways: list[Outcome], kind: str, parameter: str, stage: str) -> Keys | None:
    weights, ends = [0.0, 0.0, 0.0], [1.0, 1.0]
    for p, steps in ways:
        if len(steps) > 1 or any(
            s.step != kind or parameter not in s.parameters or s.is_event > _early(s) for s in steps
        ):
            return None
        for q, value in _choices(steps[0].parameters[parameter]) if steps else [(1.0, 1.0)]:
            span = _ends(value)
            if span is None or span[0] > 1 or span[1] < 1:
                return None
            low, high = span
            shares = ((high - 1) / (high - low), (1 - low) / (high - low)) if high > low else (0.0, 0.0)
            for k, (share, end) in enumerate(zip(shares, (high, low), strict=True)):
                if share > 0 and ends[1 - k] not in (1.0, end):
                    return None
                weights[k] += p * q * share
                ends[1 - k] = end if share > 0 else ends[1 - k]
            weights[2] += p * q * (high == low)
    if weights[2] > 1 - 1e-9:
        return {}
    return {f"resize_prob{stage}": [_rounded(w) for w in weights], f"resize_range{stage}": ends}


def _noise(ways: list[Outcome], stage: str, *, early: bool) -> Keys | None:
    ranges: dict[str, tuple[float, float]] = {}
    share, greys = 0.0, set()
    for p, steps in ways:
        if len(steps) != 1 or _early(steps[0]) is not early:
            return None
        of, gaussian = steps[0].parameters, "noise_sigma" in steps[0].parameters
        value = of.get("noise_sigma" if gaussian else "poisson_scale")
        kind = RootUniform if not gaussian else Uniform
        if not isinstance(value, kind) or set(of) - {"noise_sigma", "poisson_scale", "noise"}:
            return None
        ends = (value.low, value.high)
        if ranges.setdefault(steps[0].step, ends) != ends:
            return None
        share += p * gaussian
        greys.add(_rounded(_grey(of.get("noise", "gray"))))
    if len(greys) != 1:
        return None
    scale = [_rounded(math.sqrt(end * LEVELS_256)) for end in ranges.get("Poisson noise", (0.0, 0.0))]
    values = (_rounded(share), list(ranges.get("Gaussian noise", (0.0, 0.0))), scale, greys.pop())
    names = ("gaussian_noise_prob", "noise_range", "poisson_scale_range", "gray_noise_prob")
    return {name + stage: value for name, value in zip(names, values, strict=True)}


def _kind_of_noise(ways: list[Outcome]) -> Keys | None:
    (_, steps), *more = ways
    if more or len(steps) != 1 or set(steps[0].parameters) != {"noise"} or steps[0].is_event:
        return None
    return {"gray_noise_prob2": _rounded(_grey(steps[0].parameters["noise"]))}


def _first_jpeg(ways: list[Outcome]) -> Keys | None:
    (_, steps), *more = ways
    if more or len(steps) != 1 or steps[0].step != "JPEG" or not _early(steps[0]):
        return None
    ends = _ends(steps[0].parameters.get("jpeg_quality", 0.0))
    return {"jpeg_range": list(ends)} if ends is not None and set(steps[0].parameters) == {"jpeg_quality"} else None


def _end(ways: list[Outcome], *, compressed: bool) -> Keys | None:
    """Return the keys of the last low-pass, and of the compression before or after it where that is drawn as well."""
    ringing, qualities = 0.0, set()
    for p, steps in ways:
        jpegs = [step for step in steps if step.step == "JPEG" and set(step.parameters) == {"jpeg_quality"}]
        filters = [step for step in steps if step.step == "ringing" and not step.is_event]
        if len(jpegs) + len(filters) < len(steps) or len(jpegs) != compressed or any(map(_early, jpegs)):
            return None
        ringing += p * bool(filters)
        qualities |= {_ends(step.parameters["jpeg_quality"]) for step in jpegs}
    if len(qualities) != compressed or None in qualities or not (ringing or compressed):
        return None
    return {"final_sinc_prob": _rounded(ringing)} | ({"jpeg_range2": list(qualities.pop() or ())} if compressed else {})


def _early(step: HistoryStep) -> bool:
    return step.is_event and step.touches_clean_image()


def _only_words(ways: list[Outcome]) -> bool:
    return all(set(step.parameters) <= set(WORDS) for _, steps in ways for step in steps)


def _in_thirds(ways: list[Outcome]) -> bool:
    """Return whether all interpolations are drawn as they are there."""
    for _, steps in ways:
        for step in steps:
            for name in set(WORDS) & step.parameters.keys():
                drawn = {word: _rounded(p) for p, word in _choices(step.parameters[name])}
                if drawn != {word: _rounded(p) for word, p in THIRDS}:
                    return False
    return True


def _choices(value: Range) -> list[tuple[float, Range]]:
    if not isinstance(value, Choice):
        return [(1.0, value)]
    return list(zip(value.weights or [1 / len(value.values)] * len(value.values), value.values, strict=True))


def _ends(value: Range) -> tuple[float, float] | None:
    if isinstance(value, Uniform):
        return value.low, value.high
    return (value, value) if isinstance(value, float) else None


def _grey(value: Range) -> float:
    return math.fsum(p for p, word in _choices(value) if word == "gray")


def _numbers(step: HistoryStep, name: str, default: float) -> list[float]:
    return [float(end) for end in extremes(step.parameters.get(name, float(default)))]


def _span(values: list[float]) -> list[float]:
    return [min(values, default=1.0), max(values, default=1.0)]


def _rounded(value: float) -> float:
    return round(value, 12)


def sizes_note(keys: Keys) -> list[str]:
    """Return the sentence on widths of kernels, where a dialect has fixed ones and the history others."""
    widths = [value for name, value in keys.items() if name.startswith("kernel_range")]
    return ["kernels of the history have 7 to 21 px there"] if any(w != [SIZES[0], SIZES[-1]] for w in widths) else []
