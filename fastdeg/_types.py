"""Types that all rooms share, and what it means that two results are equal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Float: TypeAlias = NDArray[np.float64]
Progress: TypeAlias = Callable[[float, str], None]  # told of the fraction done and of what is being done


class ByValue:
    """Base of frozen dataclasses (``eq=False``) that hold arrays: equal where all compared fields are; no hash."""

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
