"""A chain of an option file as a history: random steps that `fastdeg.degrade` carries out on images."""

from __future__ import annotations

import itertools
import math

from fastdeg.degradations import registry
from fastdeg.degradations.history import History
from fastdeg.degradations.history_nodes import HistoryStep, Node, OneOf
from fastdeg.degradations.ranges import Choice, Range, RootUniform, Uniform
from fastdeg.frameworks import ranges
from fastdeg.frameworks.chain import Blur, Branch, Chain, Jpeg, Noise, Product, RandomStep, Resize, Ringing


def history_of(chain: Chain, scale: float) -> History:
    """Return a chain as a history whose steps say all that happens, the downsampling included.

    Steps before the first resize to a share of the clean size happen before the downsampling, which goes to that share;
    what follows acts there, and the last resize brings it to the low size, before the last JPEG or after it. Steps that
    no axis tells of are left out; keeping the size of the first stage (traiNNer-redux) counts as the low size.
    """
    return History(_Builder(scale, _goes_to_share(chain)).sequence(chain, last=True))


def block_steps(product: Product) -> list[Node]:
    """Return independent ranges over axes as steps of the chain."""
    of = {parameter.name: step.name for step in registry.steps() for parameter in step.parameters}
    together: dict[str, dict[str, Range]] = {}
    for name, values in product.items():
        together.setdefault(of[name], {})[name] = _range(values)
    return [HistoryStep(step, parameters) for step, parameters in together.items()]


class _Builder:
    def __init__(self, scale: float, goes_to_share: bool) -> None:
        self.scale, self.goes_to_share, self.count = scale, goes_to_share, 0
        self.low = self.resampled = False  # whether the downsampling is behind us, and to another size than the low one

    def sequence(self, chain: Chain, last: bool) -> list[Node]:
        """Return the nodes of a chain; where it is the whole one, its last resize is the final one."""
        final = max((i for i, step in enumerate(chain) if self._resizes(step)), default=-1) if last else -1
        nodes: list[Node] = []
        for i, step in enumerate(chain):
            nodes += self._final(step) if i == final else self._step(step)
        return nodes

    def _step(self, step: RandomStep) -> list[Node]:
        if isinstance(step, Branch):
            if self._resizes(step) and all(len(inner) < 2 for _, inner in step.choices):
                return [self._resampling(step)]
            low, ways = self.low, list[tuple[float, list[Node]]]()
            for weight, inner in step.choices:
                self.low = low
                ways.append((weight, self.sequence(inner, last=False)))
            self.low = low or self._resizes(step)
            return [OneOf(ways)]
        if isinstance(step, Blur | Ringing):
            return [self._event(name, values) for name, values in [_filter(step)]]
        if isinstance(step, Resize):
            by = _range(step.by)
            return [self._event("resize", {"resize_scale": by, "resize_interpolation": _words(step.modes)})]
        if isinstance(step, Noise):
            kind = Choice(("gray", "color"), (step.gray, 1 - step.gray))
            if not step.kind:
                return [self._joined("Gaussian noise", {"noise_sigma": _range(step.sigma), "noise": kind})]
            squares = RootUniform(step.sigma.low**2, step.sigma.high**2)
            return [self._joined("Poisson noise", {"poisson_scale": squares, "noise": kind})]
        if isinstance(step, Jpeg):
            return [self._joined("JPEG", {"jpeg_quality": _range(step.quality)})]
        return []

    def _resampling(self, step: Branch) -> Node:
        """Return the resize of the second stage: to a share of the low size, where noise is added."""
        sides: list[Range] = []
        weights: list[float] = []
        modes: tuple[tuple[str, float], ...] = (("cubic", 1.0),)
        for weight, inner in step.choices:
            resize = next((s for s in inner if isinstance(s, Resize)), None)
            modes = resize.modes if resize else modes
            low, high = (resize.by.low * self.scale, resize.by.high * self.scale) if resize else (1.0, 1.0)
            sides.append(Uniform(low, high))
            weights.append(weight)
        self.low = self.resampled = True
        values: dict[str, Range] = {"resampling_scale": Choice(tuple(sides), tuple(weights))}
        return HistoryStep("resampling", {**values, "interpolation": _words(modes)})

    def _final(self, step: RandomStep) -> list[Node]:
        """Return the last resize, with the JPEG before or after it."""
        factor: dict[str, Range] = {"downsampling": self.scale}
        if isinstance(step, Resize):
            if step.to == "factor":
                factor = {"downsampling": Uniform(max(step.by.low, 1.0), max(step.by.high, 1.0))}
            if not self.resampled:
                factor["interpolation"] = _words(step.modes)
            self.low = True
            return [HistoryStep("downsampling", factor)]
        assert isinstance(step, Branch)
        ways: list[tuple[float, list[Node]]] = []
        if not all(any(isinstance(s, Resize) and s.to == "clean" for s in inner) for _, inner in step.choices):
            for weight, inner in step.choices:  # whole chains, one of which happens
                self.low = False
                ways.append((weight, self.sequence(inner, last=True)))
            return [OneOf(ways)]
        back, low = None, self.low
        for weight, inner in step.choices:
            nodes: list[Node] = []
            self.low = low
            at = next((i for i, s in enumerate(inner) if isinstance(s, Resize)), len(inner))
            for i, s in enumerate(inner):
                if isinstance(s, Resize):
                    back = _words(s.modes)
                elif i < at:
                    nodes += _before_resampling(self._step(s)) if self.resampled else self._step(s)
                else:
                    self.low = True
                    nodes += self._step(s)
            ways.append((weight, nodes))
        self.low = True
        if back is None:
            return [OneOf(ways)]
        if self.resampled:
            return [HistoryStep("downsampling", factor), HistoryStep("resampling", {"resampling_interpolation": back}),
                    OneOf(ways)]  # fmt: skip
        return [HistoryStep("downsampling", {**factor, "interpolation": back}), OneOf(ways)]

    def _resizes(self, step: RandomStep) -> bool:
        """Return whether a step holds a resize to the low size or a share of it."""
        if isinstance(step, Branch):
            return any(self._resizes(inner) for _, chain in step.choices for inner in chain)
        if not isinstance(step, Resize):
            return False
        return step.to != "here" if self.goes_to_share else step.by.high < 0.9 and step.by.low == step.by.high

    def _joined(self, step: str, values: dict[str, Range]) -> Node:
        """Return a step that acts at its own stage of the chain, or an event, before the downsampling."""
        return HistoryStep(step, values) if self.low else self._event(step, values)

    def _event(self, step: str, values: dict[str, Range]) -> Node:
        self.count += 1
        if step == "ringing" and self.low:
            return HistoryStep(step, values)
        label = f"{step.split()[0]}-{self.count}"
        if self.low:
            return HistoryStep(step, values, after="downsampling", label=label)
        return HistoryStep(step, values, before="downsampling", label=label)


def _before_resampling(nodes: list[Node]) -> list[Node]:
    """Return steps as events before the last resize."""
    return [
        OneOf([(weight, _before_resampling(list(inner))) for weight, inner in node.branches])
        if isinstance(node, OneOf)
        else HistoryStep(node.step, node.parameters, node.probability, before="resampling", label=node.label)
        for node in nodes
    ]


def _filter(step: Blur | Ringing) -> tuple[str, dict[str, Range]]:
    if isinstance(step, Ringing):
        sizes = Choice(tuple(max(size, 3) for size in step.sizes))
        return "ringing", {"ringing_cutoff": _range(step.cutoff), "ringing_size": sizes}
    if not step.sizes and step.shape == "gaussian":
        if step.second is None:
            return "blur", {"blur_sigma": _range(step.sigma)}
        turned: dict[str, Range] = {"blur_sigma_x": _range(step.sigma), "blur_sigma_y": _range(step.second)}
        return "blur", {**turned, "blur_angle": _range(step.angle)}
    values: dict[str, Range] = {"kernel_sigma_x": _range(step.sigma), "kernel_size": Choice(tuple(step.sizes) or (41,))}
    if step.second is not None:
        values |= {"kernel_sigma_y": _range(step.second), "kernel_angle": _range(step.angle)}
    if step.shape != "gaussian":
        values["kernel_beta"] = _range(step.beta)
        values["kernel_shape"] = "plateau" if step.shape == "plateau" else "gaussian"
    return "kernel blur", values


def _range(values: ranges.Values) -> Range:
    if isinstance(values, ranges.Points):
        return Choice(values.values)
    if values.power == 0.5:  # of a uniform variance: a mixture of short ranges is near enough
        edges = [math.sqrt(values.low**2 + k / 16 * (values.high**2 - values.low**2)) for k in range(17)]
        return Choice(tuple(Uniform(a, b) for a, b in itertools.pairwise(edges)))
    return Uniform(values.low, values.high)


def _words(modes: tuple[tuple[str, float], ...]) -> Choice:
    names, weights = zip(*modes, strict=True)
    return Choice(tuple(names), tuple(weights))


def _goes_to_share(chain: Chain) -> bool:
    """Return whether a chain holds a resize to a share of the clean size."""
    return any(
        any(_goes_to_share(inner) for _, inner in step.choices)
        if isinstance(step, Branch)
        else isinstance(step, Resize) and step.to != "here"
        for step in chain
    )
