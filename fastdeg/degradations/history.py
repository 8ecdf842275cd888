"""Histories: what may have happened to a photo that is not crafted, drawn at random by all who degrade images."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import cache
from typing import Any

import numpy as np

from fastdeg._checks import choice, generator, iterable, shown
from fastdeg.degradations import presets
from fastdeg.degradations.history_nodes import (
    Drawn,
    Node,
    checked_nodes,
    draw_all,
    summary,
    without,
)


class History:
    """What may have happened to a photo that is not crafted: an ordered list of steps, drawn at random.

    Parameters
    ----------
    steps : sequence of HistoryStep, OneOf, or mappings as `from_dict` reads them
        None of them: the plain chain.

    Raises
    ------
    ValueError, TypeError
        Where a step is wrong, or a parameter is drawn twice; the message says where.

    See Also
    --------
    degrade, DegradationTransform, DegradationEstimator : Draw from it.

    Examples
    --------
    >>> import numpy as np, fastdeg as fd
    >>> history = fd.History([{"step": "sharpening", "probability": 0.3, "sharpening_amount": [0.2, 1.5]}])
    >>> history == fd.History.from_dict(history.to_dict())
    True
    >>> fd.degrade(np.zeros((64, 64), np.uint8), downsampling=4, history=history, rng=0).shape
    (16, 16)
    """

    def __init__(self, steps: Iterable[Node | Mapping[str, Any]] = ()) -> None:
        self.steps = checked_nodes(steps, "history")

    @classmethod
    def preset(cls, name: str) -> History:
        """Return a named history.

        ``"plain"``: nothing but what is crafted. ``"photo"``: what cameras, programs and the web do. ``"realesrgan"``:
        the two stages of Real-ESRGAN (Wang et al., 2021) with the ranges of its published option files, around the
        downsampling; see docs/histories.md.
        """
        return _preset(choice(name, "history", tuple(presets.HISTORIES)))

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> History:
        """Return the history of a configuration: ``{"steps": [...]}`` or ``{"preset": name}``."""
        keys = set(config) if isinstance(config, Mapping) else set()
        if keys == {"preset"}:
            return cls.preset(config["preset"])
        if keys != {"steps"}:
            raise ValueError(f"history: expected a mapping with a list 'steps', or with 'preset', got {shown(config)}")
        return cls(config["steps"])

    def to_dict(self) -> dict[str, Any]:
        """Return the configuration that `from_dict` reads."""
        return {"steps": [node.to_dict() for node in self.steps]}

    @property
    def names(self) -> frozenset[str]:
        """Names of all that is drawn."""
        return frozenset(name for node in self.steps for name in node.names)

    def check(self, crafted: Collection[str]) -> None:
        """Raise where a parameter is crafted, an axis or an argument, and drawn too."""
        names = _checked_names(crafted, "crafted")
        for k, node in enumerate(self.steps):
            both = sorted(node.names & names)
            if both:
                raise ValueError(
                    f"history[{k}]: expected no parameter that is crafted, an axis or an argument, got {both[0]!r}: "
                    "leave one of them out, or give the step of the history a label"
                )

    def draw(self, rng: np.random.Generator) -> Drawn:
        """Return what the history came to for one picture."""
        return draw_all(self.steps, generator(rng))

    def halves(self) -> tuple[History, History]:
        """Return what touches the clean image or the downsampling, and what acts after it: drawn independently."""
        touching = [node.touches_clean_image() for node in self.steps]
        parts = ([n for n, t in zip(self.steps, touching, strict=True) if t is half] for half in (True, False))
        first, second = (History(part) for part in parts)
        return first, second

    def without(self, names: Collection[str]) -> History:
        """Return the history without the steps that draw any of these, so that they may be crafted.

        Examples
        --------
        >>> import fastdeg as fd
        >>> history = fd.History.preset("realesrgan").without(["noise_sigma", "poisson_scale", "jpeg_quality"])
        >>> "jpeg_quality" in history.names, "first.jpeg_quality" in history.names
        (False, True)
        """
        return History(without(self.steps, _checked_names(names, "names")))

    def __bool__(self) -> bool:
        return bool(self.steps)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, History) and self.steps == other.steps

    def __hash__(self) -> int:
        return hash((len(self.steps), self.names))

    def __repr__(self) -> str:
        return f"History({', '.join(map(summary, self.steps))})"


def _checked_names(names: Collection[str], argument: str) -> frozenset[str]:
    expected = "names of parameters"
    several = isinstance(names, Collection) and not isinstance(names, str)
    if not several or not all(isinstance(n, str) for n in iterable(names, argument, expected)):
        raise TypeError(f"{argument}: expected {expected}, got {shown(names)}")
    return frozenset(names)


@cache
def _preset(name: str) -> History:
    return History(presets.HISTORIES[name])


def as_history(history: History | str | None) -> History:
    """Return the history of an argument: itself, a preset by name, the empty one for None.

    Raises
    ------
    ValueError, TypeError
        Where there is no preset of that name, or it is something else.

    Examples
    --------
    >>> from fastdeg.degradations import as_history
    >>> bool(as_history(None)), bool(as_history("photo"))
    (False, True)
    """
    if history is None:
        return History()
    if isinstance(history, str):
        return History.preset(history)
    if not isinstance(history, History):
        raise TypeError(f"history: expected a History, the name of a preset or None, got {type(history).__name__}")
    return history
