"""Keys of option files: where they lie, what they may hold, and which known one an unknown one is near to."""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from fastdeg.frameworks.ranges import Range

NOT_TRAINING = ("val", "validation", "test", "test_data", "val_data")
NEAR = 0.82  # likeness from which on one name is taken for a misspelling of another
SUM_TOLERANCE = 1e-6


class Keys:
    """The keys of one file that its dialect knows, wherever in the file they lie.

    Attributes
    ----------
    file : str
        Where errors say that they are.
    missing : list of str
        Keys that were asked for and are not in the file.
    """

    def __init__(self, file: str, values: Mapping[str, tuple[str, Any]]) -> None:
        self.file = file
        self.missing: list[str] = []
        self._values = values

    @classmethod
    def find(cls, file: str, data: Mapping[str, Any], known: Collection[str]) -> Keys:
        """Return the known keys of all mappings in a file but those of validation and tests; the first one counts."""
        found: dict[str, tuple[str, Any]] = {}
        for path, mapping in mappings(data):
            for name, value in mapping.items():
                if name in known and name not in found:
                    found[name] = (".".join((*path, name)), value)
        return cls(file, found)

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def path(self, name: str) -> str:
        """Return where a key lies."""
        return self._values[name][0] if name in self else name

    def error(self, name: str, expected: str) -> ValueError:
        """Return an error of one sentence about a key."""
        got = repr(self._values[name][1]) if name in self else "none"
        return ValueError(f"{self.file}: {self.path(name)}: expected {expected}, got {got[:120]}")

    def value(self, name: str, default: Any) -> Any:
        """Return what a key holds, or the default where it is missing."""
        if name not in self:
            self.missing.append(name)
            return default
        return self._values[name][1]

    def number(self, name: str, default: float, low: float = -math.inf, high: float = math.inf) -> float:
        """Return a number within limits."""
        value = self.value(name, default)
        if not is_number(value) or not low <= value <= high:
            raise self.error(name, f"a number{_within(low, high)}")
        return float(value)

    def probability(self, name: str, default: float) -> float:
        """Return a number from 0 to 1; null is 0."""
        return 0.0 if self._values.get(name, ("", 0))[1] is None else self.number(name, default, 0, 1)

    def flag(self, name: str, default: bool) -> bool:
        """Return true or false."""
        value = self.value(name, default)
        if not isinstance(value, bool):
            raise self.error(name, "true or false")
        return value

    def range(self, name: str, default: Sequence[float], low: float = 0, high: float = math.inf) -> Range:
        """Return a range [low, high] within limits."""
        value = self.value(name, list(default))
        if not (isinstance(value, list | tuple) and len(value) == 2 and all(map(is_number, value))):
            raise self.error(name, f"two numbers [low, high]{_within(low, high)}")
        if value[0] > value[1]:
            raise self.error(name, "[low, high] with low <= high")
        if value[0] < low or value[1] > high:
            raise self.error(name, f"numbers{_within(low, high)}")
        return Range(float(value[0]), float(value[1]))

    def probabilities(self, name: str, default: Sequence[float], count: int) -> list[float]:
        """Return probabilities of a sum of one."""
        value = self.value(name, list(default))
        numbers = isinstance(value, list | tuple) and len(value) == count and all(map(is_number, value))
        if not numbers or min(value) < 0:
            raise self.error(name, f"{count} probabilities")
        if abs(sum(value) - 1) > SUM_TOLERANCE:
            total = f"{sum(value):.6g}"
            raise ValueError(
                f"{self.file}: {self.path(name)}: expected probabilities that sum to 1, got {value} of sum {total}"
            )
        return [float(p) for p in value]

    def names(self, name: str, default: Sequence[str], options: Collection[str]) -> list[str]:
        """Return a list of names among options."""
        value = self.value(name, list(default))
        if not isinstance(value, list | tuple) or not value or not set(map(str, value)) <= set(options):
            raise self.error(name, f"names among {', '.join(sorted(options))}")
        return list(map(str, value))


def mappings(data: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """Yield the mappings of a file, outer ones first, without those of validation and tests."""
    if isinstance(data, Mapping):
        yield path, data
        for name, value in data.items():
            if name not in NOT_TRAINING and isinstance(value, Mapping):
                yield from mappings(value, (*path, str(name)))


def misspelt(data: Mapping[str, Any], known: Collection[str], others: Collection[str] = ()) -> list[str]:
    """Return sentences on unknown keys near to a known one, of mappings that hold known keys."""
    said = []
    for path, mapping in mappings(data):
        if not set(mapping) & set(known):
            continue
        for name in mapping:
            if isinstance(name, str) and name not in known and name not in others:
                near = difflib.get_close_matches(name, known, 1, NEAR)
                if near:
                    said.append(f"{'.'.join((*path, name))}: unknown and ignored; {near[0]} is near to it")
    return said


def is_number(value: Any) -> bool:
    """Return whether a value is a finite number, and not true or false."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _within(low: float, high: float) -> str:
    if math.isfinite(low) and math.isfinite(high):
        return f" from {low:g} to {high:g}"
    if math.isfinite(low):
        return f" >= {low:g}"
    return f" <= {high:g}" if math.isfinite(high) else ""
