"""Types that all rooms share; what it means that two results are equal, and how they print."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Float: TypeAlias = NDArray[np.float64]
Progress: TypeAlias = Callable[[float, str], None]  # told of the fraction done and of what is being done

FEW = 6  # numbers of an array, or items of a tuple, that are printed
LONG = 100  # characters of a value in the text of a result


class ByValue:
    """Base of frozen dataclasses (``eq=False``) that hold arrays: equal where all compared fields are; no hash.

    They print in a few lines at most, arrays and long sequences by their shapes.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__repr__" not in vars(cls):  # a dataclass writes its own otherwise, with all numbers of all arrays
            cls.__repr__ = ByValue.__repr__  # type: ignore[method-assign]

    def __repr__(self) -> str:
        shown = [f"{f.name}={_short(getattr(self, f.name))}" for f in fields(self) if f.repr]  # type: ignore[arg-type]
        return f"{type(self).__name__}({', '.join(shown)})"

    def __eq__(self, other: object) -> bool:
        compared = [f.name for f in fields(self) if f.compare]  # type: ignore[arg-type]
        return type(other) is type(self) and all(_same(getattr(self, n), getattr(other, n)) for n in compared)


def _same(a: Any, b: Any) -> bool:
    """Return whether two values are equal; NaN is equal to NaN, so that a copy is equal to what it was made of."""
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        arrays = isinstance(a, np.ndarray) and isinstance(b, np.ndarray) and a.shape == b.shape
        return arrays and bool(np.all((a == b) | ((a != a) & (b != b))))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(value, b[key]) for key, value in a.items())
    if isinstance(a, tuple | list) and isinstance(b, tuple | list):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, Exception) and isinstance(b, Exception):
        return type(a) is type(b) and a.args == b.args
    return bool(a == b or (a != a and b != b))


def _short(value: Any) -> str:
    """Return the repr of a value; of what is long, its kind and its length."""
    if isinstance(value, np.ndarray):
        few = value.ndim == 1 and value.size <= FEW
        return np.array2string(value, precision=4, separator=", ") if few else f"array{value.shape}"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict):
        return f"dict of {', '.join(map(str, value))}"
    if isinstance(value, tuple | list):
        if len(value) <= FEW and all(isinstance(item, str | int | float | bool | None) for item in value):
            return repr(value) if len(repr(value)) <= LONG else f"({len(value)} {type(value[0]).__name__})"
        kinds = sorted({type(item).__name__ for item in value})
        return f"({len(value)} {', '.join(kinds)})"
    text = repr(value)
    return text if len(text) <= LONG else f"{text[: LONG - 1]}…"
