"""Checks of arguments, shared by all wrappers: one sentence names the argument, what was expected and what came."""

from __future__ import annotations

import numbers
import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdeg._types import Float

PMF_TOLERANCE = 1e-9
INDEFINITE = 1e-9  # of a matrix's largest entry: an eigenvalue below minus that is more than rounding
LARGEST = 1e150  # of coordinates: their squares, and sums of these, are numbers still
LARGEST_INTEGER = 2**63 - 1  # of those that count something
SEED_WORDS = 10_000  # that a sequence of integers may have, as a seed
SMALL = 100_000_000  # bytes that any machine has
SHOWN = 60  # characters of a value in a message


class ProblemTooLargeError(MemoryError, ValueError):
    """A problem that the memory of this machine does not hold, known before any of it is taken."""


def array_of(value: Any, name: str, expected: str = "an array of numbers") -> NDArray[Any]:
    """Return the value as an array of whatever type; where entries are masked there is no number to compute with."""
    hidden = np.ma.count_masked(value) if isinstance(value, np.ma.MaskedArray) else 0
    if hidden:
        raise ValueError(f"{name}: expected an array without masked entries, got {hidden} of them")
    try:
        return np.asarray(value)
    except OverflowError:
        raise ValueError(f"{name}: expected numbers within the floating-point range, got larger ones") from None
    except MemoryError:
        raise
    except Exception:  # a ragged list, a tensor that needs a gradient, whatever an array-like object raises
        raise TypeError(f"{name}: expected {expected}, got {_describe(value)}") from None


def float_array(
    value: ArrayLike,
    name: str,
    shape: Sequence[int | str] | None = None,
    *,
    finite: bool = True,
    keep_float32: bool = False,
    largest: float | None = None,
    hint: str = "",
) -> NDArray[Any]:
    """Return the value as a contiguous float array, without copying where it is one already.

    ``shape`` gives the expected lengths, a letter stands for any; ``hint`` ends the message where it is another one.
    float64 unless ``keep_float32``. ``largest``: of finite numbers, on either side of 0.
    """
    array = array_of(value, name, "an array of real numbers")
    if array.dtype.kind not in "fiub":
        array = _of_objects(array, name, value)
    dtype = np.float32 if keep_float32 and array.dtype == np.float32 else np.float64
    if shape is not None and not _matches(array.shape, shape):
        raise ValueError(f"{name}: expected shape {_shape_text(shape)}, got {_shape_text(array.shape)}{hint}")
    if array.dtype != dtype or not array.flags.c_contiguous:  # what is broadcast may be larger than the memory
        memory(float(array.size) * np.dtype(dtype).itemsize, name)
        with np.errstate(over="ignore"):  # longer floats become infinite
            array = np.asarray(array, dtype, order="C")
    if finite and array.size and not np.isfinite(array).all():
        where = np.argwhere(~np.isfinite(array))[0]
        index = ", ".join(str(i) for i in where)
        raise ValueError(f"{name}: expected finite numbers, got {array[tuple(where)]} at index [{index}]")
    if largest is not None and array.size and (size := max(float(array.max()), -float(array.min()))) > largest:
        raise ValueError(f"{name}: expected numbers up to {largest:g}, got {size:g}")
    return array


def _of_objects(array: NDArray[Any], name: str, value: Any) -> Float:
    """Return Python's numbers, such as fractions, as floats."""
    if array.dtype.kind == "O":
        memory(8.0 * array.size, name)
        try:
            if not any(isinstance(item, str | bytes) for item in array.flat):  # NumPy would read them
                return array.astype(np.float64)
        except OverflowError:
            raise ValueError(f"{name}: expected numbers within the floating-point range, got larger ones") from None
        except Exception:  # what the objects raise
            pass
    raise TypeError(f"{name}: expected an array of real numbers, got {_describe(value)}")


def index_array(
    value: ArrayLike, name: str, shape: Sequence[int | str], count: int | None = None, *, hint: str = ""
) -> NDArray[np.int64]:
    """Return integers from 0 to count - 1; without a count, to 2**62."""
    array = array_of(value, name, "an array of integers")
    if array.dtype.kind not in "iu" and array.size:
        raise TypeError(f"{name}: expected integers, got {_describe(value)}")
    if not _matches(array.shape, shape):
        raise ValueError(f"{name}: expected shape {_shape_text(shape)}, got {_shape_text(array.shape)}{hint}")
    memory(8.0 * array.size, name)
    indices = np.ascontiguousarray(array, dtype=np.int64)
    # negative numbers are the highest unsigned ones
    if indices.size and int(indices.view(np.uint64).max()) >= (2**62 if count is None else count):
        low, limit = int(array.min()), "" if count is None else f" to {count - 1}"
        raise ValueError(f"{name}: expected integers from 0{limit}, got {low if low < 0 else int(array.max())}")
    return indices


def mask(value: ArrayLike, name: str, count: int) -> NDArray[np.bool_]:
    """Return a choice of some of so many things, True and False of each."""
    array = array_of(value, name)
    if array.dtype != np.bool_ or array.shape != (count,):
        raise ValueError(f"{name}: expected {count} of True and False, got {shown(array)}")
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


def covariances(value: ArrayLike, name: str, shape: Sequence[int | str], *, hint: str = "") -> Float:
    """Return matrices (..., d, d) as a new float64 array; refuse asymmetric and indefinite ones, but for rounding.

    What the rounding to float32 made indefinite comes back semidefinite.
    """
    array = float_array(value, name, shape, hint=hint).copy()
    n_axes = array.shape[-1]
    matrices = array.reshape(-1, n_axes, n_axes)
    tolerance = max(INDEFINITE, (8 + n_axes) * precision(value))
    size = np.abs(matrices).max(axis=(1, 2))
    if size.max(initial=0.0) > LARGEST**2:
        raise ValueError(f"{name}: expected variances up to {LARGEST**2:g}, got {size.max():g}")
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


def masses(value: ArrayLike, name: str, shape: Sequence[int | str] | None = ("N",), *, hint: str = "") -> Float:
    """Return finite, non-negative masses with a positive total, as float64."""
    array = float_array(value, name, shape, finite=False, hint=hint)
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


def weights(value: ArrayLike, name: str, count: int | str, *, finite: bool = True, hint: str = "") -> Float:
    """Return weights >= 0, of which only the ratios matter: neither tiny nor huge ones shall spoil the sums."""
    array = float_array(value, name, (count,), finite=finite, hint=hint)
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


def integer(value: Any, name: str, low: int | None = None, high: int | None = None, *, any_size: bool = False) -> int:
    """Return a whole number within [low, high]; of 64 bits unless ``any_size``, as seeds may be."""
    limits = _limits(low, high)
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name}: expected an integer{limits}, got {shown(value)}")
    result = int(value)
    if (low is not None and result < low) or (high is not None and result > high):
        raise ValueError(f"{name}: expected an integer{limits}, got {shown(result)}")
    if not any_size and abs(result) > LARGEST_INTEGER:
        raise ValueError(f"{name}: expected an integer{limits}, of 64 bits, got {shown(result)}")
    return result


def number(
    value: Any, name: str, low: float | None = None, high: float | None = None, *, positive: bool = False
) -> float:
    """Return a finite real number within [low, high], or above zero where ``positive``."""
    limits = " above 0" if positive else _limits(low, high)
    if isinstance(value, bool | str) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name}: expected a number{limits}, got {shown(value)}")
    try:
        result = float(value)
    except OverflowError:
        result = np.inf
    if not np.isfinite(result) or (positive and result <= 0):
        raise ValueError(f"{name}: expected a finite number{limits}, got {shown(value)}")
    if (low is not None and result < low) or (high is not None and result > high):
        raise ValueError(f"{name}: expected a number{limits}, got {shown(value)}")
    return result


def generator(value: Any, name: str = "rng") -> np.random.Generator:
    """Return a random generator as it is, or a new one from a seed or from entropy."""
    try:
        if not hasattr(value, "__len__") or len(value) <= SEED_WORDS:
            return np.random.default_rng(value)
    except Exception:  # whatever a value raises that is no seed
        pass
    raise TypeError(f"{name}: expected a numpy.random.Generator, an integer seed or None, got {shown(value)}")


def memory(n_bytes: float, name: str) -> None:
    """Refuse what needs more than the machine's memory, before any of it is allocated."""
    if n_bytes < SMALL or not hasattr(os, "sysconf"):
        return
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if n_bytes > physical:
        sizes = f"the {physical / 1e9:.3g} GB of this machine, got one that needs {n_bytes / 1e9:.3g} GB"
        raise ProblemTooLargeError(f"{name}: expected a problem within {sizes}")


def choice(value: Any, name: str, options: Sequence[str]) -> str:
    """Return one of the named options."""
    if not isinstance(value, str) or value not in options:
        raise ValueError(f"{name}: expected one of {', '.join(map(repr, options))}, got {shown(value)}")
    return value


def flag(value: Any, name: str) -> bool:
    """Return True or False."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name}: expected True or False, got {shown(value)}")
    return bool(value)


def iterable(value: Any, name: str, of: str) -> Iterable[Any]:
    """Return the value, or raise where nothing can be taken out of it one by one."""
    try:
        iter(value)
    except TypeError:
        raise TypeError(f"{name}: expected {of}, got {shown(value)}") from None
    return value


def progress(value: Any) -> None:
    """Check a function that is told of progress, or None."""
    if value is not None and not callable(value):
        raise TypeError(f"progress: expected a function of fraction and message, or None, got {shown(value)}")


def shown(value: Any) -> str:
    """Return a few characters that tell what a value is."""
    value = value.item() if isinstance(value, np.generic) else value
    try:
        text = " ".join(repr(value).split())
    except Exception:  # of an integer of thousands of digits, say
        text = "…"
    text = text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
    plain = isinstance(value, str | bytes | numbers.Number | type | None)
    return text if plain else f"{type(value).__name__} {text}"


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
    return f"dtype {dtype}" if isinstance(dtype, np.dtype) and dtype.kind != "O" else shown(value)
