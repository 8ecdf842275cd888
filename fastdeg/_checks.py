"""Checks of arguments, shared by all wrappers: one sentence names the argument, what was expected and what came."""

from __future__ import annotations

import numbers
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdeg._types import Float

PMF_TOLERANCE = 1e-9
INDEFINITE = 1e-9  # of a matrix's largest entry: an eigenvalue below minus that is more than rounding


def unmasked(value: ArrayLike, name: str) -> NDArray[Any]:
    """Return the value as an array; where entries are masked there is no number to compute with."""
    hidden = np.ma.count_masked(value) if isinstance(value, np.ma.MaskedArray) else 0
    if hidden:
        raise ValueError(f"{name}: expected an array without masked entries, got {hidden} of them")
    return np.asarray(value)


def float_array(
    value: ArrayLike,
    name: str,
    shape: Sequence[int | str] | None = None,
    *,
    finite: bool = True,
    keep_float32: bool = False,
    contiguous: bool = True,
) -> NDArray[Any]:
    """Return the value as a float array without copying where it is one already.

    ``shape`` gives the expected lengths; a letter stands for any length. float64 unless ``keep_float32``.
    """
    plain = unmasked(value, name) if isinstance(value, np.ma.MaskedArray) else value
    try:
        array = np.asarray(plain)
        if array.dtype.kind not in "fiub":
            if array.dtype.kind != "O":
                raise TypeError
            array = array.astype(np.float64)
    except OverflowError:
        raise ValueError(f"{name}: expected numbers within the floating-point range, got larger ones") from None
    except (TypeError, ValueError):
        raise TypeError(f"{name}: expected an array of real numbers, got {_describe(value)}") from None
    except RuntimeError as error:  # a tensor that needs a gradient, say
        raise TypeError(
            f"{name}: expected an array of real numbers; of a tensor, x.detach().cpu(); got: {error}"
        ) from None
    dtype = np.float32 if keep_float32 and array.dtype == np.float32 else np.float64
    if shape is not None and not _matches(array.shape, shape):
        raise ValueError(f"{name}: expected shape {_shape_text(shape)}, got {_shape_text(array.shape)}")
    array = np.ascontiguousarray(array, dtype=dtype) if contiguous else np.asarray(array, dtype=dtype)
    if finite and array.size and not np.isfinite(array).all():
        where = np.argwhere(~np.isfinite(array))[0]
        index = ", ".join(str(i) for i in where)
        raise ValueError(f"{name}: expected finite numbers, got {array[tuple(where)]} at index [{index}]")
    return array


def by_name(value: Any, name: str, columns: Sequence[str]) -> Any:
    """Return a data frame's columns of the given names, in that order; other values, and unnamed columns, as given."""
    named = [column for column in getattr(value, "columns", ()) if isinstance(column, str)]
    if not named:
        return value
    missing = [column for column in columns if named.count(column) != 1]
    if missing:
        raise ValueError(f"{name}: expected the columns {', '.join(columns)}, each once, got {', '.join(named)}")
    return value[list(columns)]


def covariances(value: ArrayLike, name: str, shape: Sequence[int | str]) -> Float:
    """Return matrices (..., d, d) as a new float64 array; refuse asymmetric and indefinite ones, but for rounding.

    What the rounding to float32 made indefinite comes back semidefinite.
    """
    array = float_array(value, name, shape).copy()
    n_axes = array.shape[-1]
    matrices = array.reshape(-1, n_axes, n_axes)
    tolerance = max(INDEFINITE, (8 + n_axes) * precision(value))
    size = np.abs(matrices).max(axis=(1, 2))
    asymmetry = np.abs(matrices - matrices.transpose(0, 2, 1)).max(axis=(1, 2))
    skew = np.flatnonzero(asymmetry > tolerance * size)
    if skew.size:
        i = skew[0]
        raise ValueError(f"{_item(name, i, matrices)}: expected a symmetric matrix, got asymmetry {asymmetry[i]:.3g}")
    shift = np.maximum(tolerance * size, 1e-300)
    try:  # Cholesky's factor, which takes a tenth of the time of the eigenvalues, exists
        np.linalg.cholesky(matrices + shift[:, None, None] * np.eye(n_axes))
    except np.linalg.LinAlgError:
        least = np.linalg.eigvalsh(matrices)[:, 0]
        wrong = np.flatnonzero(least < -shift)
        if wrong.size:
            i = wrong[0]
            item = _item(name, i, matrices)
            raise ValueError(
                f"{item}: expected a positive semidefinite matrix, got an eigenvalue of {least[i]:.3g}"
            ) from None
    if tolerance > INDEFINITE:
        values, vectors = np.linalg.eigh(matrices)
        matrices[:] = (vectors * np.maximum(values, 0)[:, None, :]) @ vectors.transpose(0, 2, 1)
    return array


def precision(value: Any) -> float:
    """Spacing of the floats next to one in which the value was given."""
    dtype = getattr(value, "dtype", None)
    return float(np.finfo(dtype).eps) if isinstance(dtype, np.dtype) and dtype.kind == "f" else 0.0


def _item(name: str, index: int, items: NDArray[Any]) -> str:
    return f"{name}[{index}]" if len(items) > 1 else name


def masses(value: ArrayLike, name: str, shape: Sequence[int | str] = ("N",)) -> Float:
    """Return finite, non-negative masses with a positive total, as float64."""
    array = float_array(value, name, shape, finite=False)
    with np.errstate(over="ignore", invalid="ignore"):
        total = array.sum()
    if 0 < total < np.inf and array.min() >= 0:  # all that small problems wait for
        return array
    float_array(array, name)
    if array.size and array.min() < 0:
        raise ValueError(f"{name}: expected masses >= 0, got {array.min()!s}")
    if not 0 < total < np.inf:
        raise ValueError(f"{name}: expected a positive total mass, not above 1.8e308, got {total!s}")
    return array


def weights(value: ArrayLike, name: str, count: int | str, *, finite: bool = True) -> Float:
    """Return weights >= 0, of which only the ratios matter: neither tiny nor huge ones shall spoil the sums."""
    array = float_array(value, name, (count,), finite=finite)
    if array.size and not array.min() >= 0:
        float_array(array, name)
        raise ValueError(f"{name}: expected weights >= 0, got {array.min()!s}")
    largest = array.max(initial=0.0)
    return array / largest if 0 < largest < 1e-100 or 1e100 < largest < np.inf else array


def pmf(value: ArrayLike, name: str, n_bins: int | None = None) -> Float:
    """Return a probability mass function as float64, renormalised when near to sum one and refused otherwise.

    Near: within 1e-9, or what the precision allows in which the value is given.
    """
    array = masses(value, name, ("N" if n_bins is None else n_bins,))
    total = array.sum()
    tolerance = max(PMF_TOLERANCE, 16 * precision(value))
    if abs(total - 1) > tolerance:
        within = f"(within {tolerance:.2g})"
        raise ValueError(f"{name}: expected probabilities that sum to 1 {within}, got a sum of {float(total)!r}")
    return array if abs(total - 1) <= 1e-14 else array / total  # so that a stored pmf loads bit for bit


def integer(value: Any, name: str, low: int | None = None, high: int | None = None) -> int:
    """Return a whole number within [low, high]."""
    limits = _limits(low, high)
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name}: expected an integer{limits}, got {value!r}")
    result = int(value)
    if (low is not None and result < low) or (high is not None and result > high):
        raise ValueError(f"{name}: expected an integer{limits}, got {value}")
    return result


def number(
    value: Any, name: str, low: float | None = None, high: float | None = None, *, positive: bool = False
) -> float:
    """Return a finite real number within [low, high], or above zero where ``positive``."""
    limits = " above 0" if positive else _limits(low, high)
    if isinstance(value, bool | str) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name}: expected a number{limits}, got {value!r}")
    try:
        result = float(value)
    except OverflowError:
        result = np.inf
    if not np.isfinite(result) or (positive and result <= 0):
        raise ValueError(f"{name}: expected a finite number{limits}, got {str(value)[:60]}")
    if (low is not None and result < low) or (high is not None and result > high):
        raise ValueError(f"{name}: expected a number{limits}, got {value}")
    return result


def generator(value: Any, name: str = "rng") -> np.random.Generator:
    """Return a random generator as it is, or a new one from a seed or from entropy."""
    try:
        return np.random.default_rng(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name}: expected a numpy.random.Generator, an integer seed or None, got {value!r}") from None


def memory(n_bytes: float, name: str) -> None:
    """Refuse what needs more than the machine's memory, before any of it is allocated."""
    if not hasattr(os, "sysconf"):
        return
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if n_bytes > physical:
        sizes = f"the {physical / 1e9:.3g} GB of this machine, got one that needs {n_bytes / 1e9:.3g} GB"
        raise MemoryError(f"{name}: expected a problem within {sizes}")


def choice(value: Any, name: str, options: Sequence[str]) -> str:
    """Return one of the named options."""
    if not isinstance(value, str) or value not in options:
        raise ValueError(f"{name}: expected one of {', '.join(map(repr, options))}, got {value!r}")
    return value


def _limits(low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f" from {low} to {high}"
    if low is not None:
        return f" >= {low}"
    return "" if high is None else f" <= {high}"


def _matches(actual: tuple[int, ...], expected: Sequence[int | str]) -> bool:
    return len(actual) == len(expected) and all(
        isinstance(e, str) or a == e for a, e in zip(actual, expected, strict=True)
    )


def _shape_text(shape: Sequence[int | str]) -> str:
    return "(" + ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "") + ")"


def _describe(value: Any) -> str:
    dtype = getattr(value, "dtype", None)
    if type(value).__module__.partition(".")[0] == "torch":
        return f"a tensor of {dtype}, which NumPy does not take: x.detach().cpu().float() does"
    return f"dtype {dtype}" if dtype is not None else f"{type(value).__name__} {str(value)[:60]!r}"


def progress(value: Any) -> None:
    """Check a function that is told of progress, or None."""
    if value is not None and not callable(value):
        raise TypeError(f"progress: expected a function of fraction and message, or None, got {value!r}")
