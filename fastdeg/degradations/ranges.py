"""Ranges that the parameters of a history are drawn from, in Python and as configuration."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import numpy as np

from fastdeg._checks import integer, number


@dataclass(frozen=True)
class Interval:
    """Numbers between two ends, both included; what is drawn is said by the kinds of it."""

    low: float
    high: float
    kind: ClassVar[str]

    def __post_init__(self) -> None:
        for end in ("low", "high"):
            object.__setattr__(self, end, number(getattr(self, end), end))
        if self.low > self.high:
            raise ValueError(f"expected low <= high, got [{self.low:g}, {self.high:g}]")

    def draw(self, rng: np.random.Generator) -> float:
        """Return a number of the range."""
        raise NotImplementedError


class Uniform(Interval):
    """Uniform between two ends, ``[low, high]`` in a configuration.

    Parameters
    ----------
    low, high : float
        The ends.

    Raises
    ------
    ValueError, TypeError
        Where an end is no number, or they are reversed.

    Examples
    --------
    >>> import numpy as np
    >>> from fastdeg.degradations import Uniform
    >>> 30 <= Uniform(30, 95).draw(np.random.default_rng(0)) <= 95
    True
    """

    kind = "uniform"

    def draw(self, rng: np.random.Generator) -> float:
        """Return a number of the range."""
        return float(rng.uniform(self.low, self.high))


class LogUniform(Interval):
    """Uniform in the logarithm, ``{"log_uniform": [low, high]}`` in a configuration: for ratios and widths.

    Parameters
    ----------
    low, high : float
        The ends, above zero.

    Raises
    ------
    ValueError, TypeError
        Where an end is no number, or they are reversed.

    Examples
    --------
    >>> from fastdeg.degradations import HistoryStep, LogUniform
    >>> HistoryStep("blur", {"blur_ratio": LogUniform(0.5, 2)}).to_dict()
    {'step': 'blur', 'blur_ratio': {'log_uniform': [0.5, 2.0]}}
    """

    kind = "log_uniform"

    def __post_init__(self) -> None:
        super().__post_init__()
        number(self.low, "low", positive=True)

    def draw(self, rng: np.random.Generator) -> float:
        """Return a number of the range."""
        drawn = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
        return min(max(drawn, self.low), self.high)  # within, whatever exp rounds


class RootUniform(Interval):
    """Uniform in the square root, ``{"root_uniform": [low, high]}``: as variances of uniform deviations are.

    Parameters
    ----------
    low, high : float
        The ends, not below zero.

    Raises
    ------
    ValueError, TypeError
        Where an end is no number, or they are reversed.

    Examples
    --------
    >>> from fastdeg.degradations import HistoryStep, RootUniform
    >>> HistoryStep("Poisson noise", {"poisson_scale": RootUniform(0, 9)}).to_dict()
    {'step': 'Poisson noise', 'poisson_scale': {'root_uniform': [0.0, 9.0]}}
    """

    kind = "root_uniform"

    def __post_init__(self) -> None:
        super().__post_init__()
        number(self.low, "low", 0)

    def draw(self, rng: np.random.Generator) -> float:
        """Return a number of the range."""
        drawn = rng.uniform(math.sqrt(self.low), math.sqrt(self.high)) ** 2
        return min(max(drawn, self.low), self.high)


class Integers(Interval):
    """Whole numbers between two ends, both included, all equally likely: ``{"integers": [low, high]}``.

    Parameters
    ----------
    low, high : int
        The ends, included.

    Raises
    ------
    ValueError, TypeError
        Where an end is no number, or they are reversed.

    Examples
    --------
    >>> import numpy as np
    >>> from fastdeg.degradations import Integers
    >>> sorted({Integers(3, 5).draw(rng) for rng in map(np.random.default_rng, range(20))})
    [3.0, 4.0, 5.0]
    """

    kind = "integers"

    def __post_init__(self) -> None:
        integer(self.low, "low")
        integer(self.high, "high")
        super().__post_init__()

    def draw(self, rng: np.random.Generator) -> float:
        """Return a number of the range."""
        return float(rng.integers(int(self.low), int(self.high), endpoint=True))


KINDS: dict[str, type[Interval]] = {kind.kind: kind for kind in (Uniform, LogUniform, RootUniform, Integers)}


@dataclass(frozen=True)
class Choice:
    """One of several values, which may be ranges again: ``{"choice": [...], "weights": [...]}`` in a configuration.

    Parameters
    ----------
    values : sequence of float, str or ranges
    weights : sequence of float, optional
        Not below zero, one a value; only their ratios matter. Default: all equal.

    Raises
    ------
    ValueError, TypeError
        Where there is no value, one of them is wrong, or the weights do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from fastdeg.degradations import Choice, Uniform
    >>> enlarged_or_not = Choice([Uniform(1, 1.5), Uniform(0.15, 1), 1], weights=[0.2, 0.7, 0.1])
    >>> 0.15 <= enlarged_or_not.draw(np.random.default_rng(0)) <= 1.5
    True
    """

    values: tuple[Range, ...]
    weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if isinstance(self.values, str) or not isinstance(self.values, Sequence) or not self.values:
            raise ValueError(f"expected a list of at least one value to choose from, got {self.values!r}")
        object.__setattr__(self, "values", tuple(as_range(value) for value in self.values))
        if self.weights is not None:
            object.__setattr__(self, "weights", checked_weights(self.weights, len(self.values)))

    def draw(self, rng: np.random.Generator) -> float | str:
        """Return one of the values, or a number of the range that it is."""
        return draw(self.values[draw_index(len(self.values), self.weights, rng)], rng)


Range: TypeAlias = float | str | Interval | Choice


def as_range(value: Any) -> Range:
    """Return the range of a configuration: a number or a word, [low, high], or a mapping that says which kind.

    Examples
    --------
    >>> as_range([30, 95]), as_range({"choice": ["gray", "color"]})
    (Uniform(low=30.0, high=95.0), Choice(values=('gray', 'color'), weights=None))
    """
    if isinstance(value, Interval | Choice | str):
        return value
    if isinstance(value, list | tuple):
        value = {"uniform": value}
    if not isinstance(value, Mapping):
        return number(value, "value")
    keys = list(value)
    if len(keys) == 1 and keys[0] in KINDS:
        ends = value[keys[0]]
        if not isinstance(ends, list | tuple) or len(ends) != 2:
            raise ValueError(f"expected two ends [low, high], got {ends!r}")
        return KINDS[keys[0]](*ends)
    if "choice" in keys and set(keys) <= {"choice", "weights"}:
        return Choice(value["choice"], value.get("weights"))
    raise ValueError(f"expected one of {', '.join(KINDS)}, or choice (and weights), got {', '.join(map(str, keys))}")


def to_config(value: Range) -> Any:
    """Return what `as_range` reads."""
    if isinstance(value, Interval):
        ends = [value.low, value.high] if not isinstance(value, Integers) else [int(value.low), int(value.high)]
        return ends if isinstance(value, Uniform) else {value.kind: ends}
    if isinstance(value, Choice):
        config: dict[str, Any] = {"choice": [to_config(one) for one in value.values]}
        return config if value.weights is None else config | {"weights": list(value.weights)}
    return value


def draw(value: Range, rng: np.random.Generator) -> float | str:
    """Return the value itself, or a random one where it is a range."""
    return value if isinstance(value, float | str) else value.draw(rng)


def draw_index(n: int, weights: Sequence[float] | None, rng: np.random.Generator) -> int:
    """Return a random index below n, with probabilities that sum to 1, or all equally likely."""
    if weights is None:
        return int(rng.integers(n))
    where, below = rng.random(), 0.0
    for index, weight in enumerate(weights):
        below += weight
        if where < below:
            return index
    return max(index for index, weight in enumerate(weights) if weight > 0)  # the weights sum to less by rounding


def extremes(value: Range) -> list[float | str]:
    """Return the words of a range, and the ends of all its numbers."""
    if isinstance(value, Choice):
        return [end for one in value.values for end in extremes(one)]
    return [value.low, value.high] if isinstance(value, Interval) else [value]


def checked_weights(weights: Any, n: int) -> tuple[float, ...]:
    """Return n weights >= 0, normalised, or raise."""
    if isinstance(weights, str) or not isinstance(weights, Sequence) or len(weights) != n:
        raise ValueError(f"weights: expected a list of {n} numbers, got {weights!r}")
    checked = [number(weight, "weights", 0) for weight in weights]
    total = sum(checked)
    if not total > 0:
        raise ValueError(f"weights: expected a positive sum, got {weights!r}")
    return tuple(weight if abs(total - 1) < 1e-9 else weight / total for weight in checked)
