"""The degradation space: named axes (blur, noise, downsampling, JPEG quality …), each cut into cells or levels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdeg._checks import LARGEST, by_name, choice, float_array, integer, iterable, memory, number, shown
from fastdeg._types import ByValue, Float

PRESETS = ("paper", "dense", "photo")


@dataclass(frozen=True, eq=False)
class Axis(ByValue):
    """One axis of a degradation space; made by `Axis.regular`, `Axis.edges` or `Axis.levels`.

    Attributes
    ----------
    name : str
        Such as ``"blur_sigma"``.
    unit : str
        For labels only.
    discrete : bool
        True for levels, False for cells.
    boundaries : ndarray, shape (n_bins + 1,)
        Edges of the cells. Around levels: the midpoints, and half a step beyond the outer levels.
    centers : ndarray, shape (n_bins,)
        Centres of the cells, or the levels themselves.

    See Also
    --------
    DegradationSpace : A product of axes.

    Examples
    --------
    >>> import fastdeg as fd
    >>> axis = fd.Axis.regular("noise_sigma", 0, 50, 5)
    >>> axis.centers
    array([ 5., 15., 25., 35., 45.])
    >>> fd.Axis.levels("downsampling", [2, 4]).n_bins
    2
    """

    name: str
    unit: str = field(compare=False)
    discrete: bool
    boundaries: Float
    centers: Float

    def __post_init__(self) -> None:
        self.boundaries.setflags(write=False)
        self.centers.setflags(write=False)

    def __hash__(self) -> int:
        return hash((self.name, self.discrete, self.n_bins))

    @classmethod
    def regular(cls, name: str, low: float, high: float, n_bins: int, unit: str = "") -> Axis:
        """Return an axis of ``n_bins`` equal cells from ``low`` to ``high``.

        Raises
        ------
        ValueError
            When the range is empty or not finite, or ``n_bins`` is below one.
        """
        low, high = number(low, f"axis {name!r}, low"), number(high, f"axis {name!r}, high")
        if not low < high:
            raise ValueError(f"axis {name!r}, low, high: expected low < high, got {low} and {high}")
        n_bins = integer(n_bins, f"axis {name!r}, n_bins", 1)
        memory(8.0 * n_bins, f"axis {name!r}, n_bins")
        if max(-low, high) > LARGEST:
            raise ValueError(f"axis {name!r}, low, high: expected ends up to {LARGEST:g}, got {low:g} and {high:g}")
        edges = np.linspace(low, high, n_bins + 1)
        if not (np.diff(edges) > 0).all():
            raise ValueError(f"axis {name!r}, low, high, n_bins: expected cells that floats tell apart, got {n_bins}")
        return cls.edges(name, edges, unit)

    @classmethod
    def edges(cls, name: str, edges: ArrayLike, unit: str = "") -> Axis:
        """Return an axis of uneven cells between strictly increasing ``edges``, shape (n_bins + 1,)."""
        name = _checked_name(name)
        values = float_array(edges, f"axis {name!r}, edges", ("n_bins + 1",), largest=LARGEST).copy()
        if len(values) < 2 or not (np.diff(values) > 0).all():
            raise ValueError(f"axis {name!r}, edges: expected at least two strictly increasing numbers, got {values}")
        return cls(name, _checked_unit(unit), False, values, (values[:-1] + values[1:]) / 2)

    @classmethod
    def levels(cls, name: str, values: ArrayLike, unit: str = "") -> Axis:
        """Return an axis of discrete, strictly increasing levels (downsampling factors, say), shape (n_bins,)."""
        name = _checked_name(name)
        levels = float_array(values, f"axis {name!r}, levels", ("n_bins",), largest=LARGEST).copy()
        if len(levels) < 1 or not (np.diff(levels) > 0).all():
            raise ValueError(f"axis {name!r}, levels: expected strictly increasing numbers, got {levels}")
        if len(levels) == 1:  # nothing to be nearest among: only the level itself is inside
            slack = 1e-9 * max(1.0, abs(levels[0]))
            boundaries = np.array([levels[0] - slack, levels[0] + slack])
        else:
            middle = _middles(levels[:-1], levels[1:])
            boundaries = np.concatenate(([2 * levels[0] - middle[0]], middle, [2 * levels[-1] - middle[-1]]))
        return cls(name, _checked_unit(unit), True, boundaries, levels)

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> Axis:
        """Return the axis of a configuration: a name with levels, or edges, or low, high and n_bins."""
        if not isinstance(config, Mapping):
            raise TypeError(f"axis: expected a mapping with a name, got {shown(config)}")
        rest = dict(config)
        name, unit = _checked_name(rest.pop("name", None)), rest.pop("unit", "")
        if set(rest) == {"levels"}:
            return cls.levels(name, rest["levels"], unit)
        if set(rest) == {"edges"}:
            return cls.edges(name, rest["edges"], unit)
        if set(rest) == {"low", "high", "n_bins"}:
            return cls.regular(name, rest["low"], rest["high"], rest["n_bins"], unit)
        raise ValueError(
            f"axis {name!r}: expected levels, or edges, or low, high and n_bins, got {', '.join(rest) or 'none'}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the configuration that `from_dict` reads."""
        cells = {"levels": self.centers.tolist()} if self.discrete else {"edges": self.boundaries.tolist()}
        return {"name": self.name, "unit": self.unit, **cells}

    def assign(self, values: ArrayLike) -> NDArray[np.int64]:
        """Return the cell or level of each value, the first or last one for values outside.

        Cells are closed below and open above, the last one is closed; of two levels equally near the lower one counts.
        """
        array = float_array(values, "values", finite=False)
        if np.isnan(array).any():
            raise ValueError("values: expected numbers, got nan")
        return np.searchsorted(self.boundaries[1:-1], array, "left" if self.discrete else "right")

    @property
    def n_bins(self) -> int:
        """Number of cells or levels."""
        return len(self.centers)

    @property
    def low(self) -> float:
        """Lower end of the range: the first edge or level."""
        return float(self.centers[0] if self.discrete else self.boundaries[0])

    @property
    def high(self) -> float:
        """Upper end of the range: the last edge or level."""
        return float(self.centers[-1] if self.discrete else self.boundaries[-1])

    @property
    def widths(self) -> Float:
        """Widths of the cells, shape (n_bins,); zero for levels."""
        return np.zeros(self.n_bins) if self.discrete else np.diff(self.boundaries)

    @property
    def variances(self) -> Float:
        """Variance of a sample within its cell, width² / 12, shape (n_bins,); zero for levels."""
        return self.widths**2 / 12

    @property
    def volumes(self) -> Float:
        """Share of the axis that each cell covers, shape (n_bins,); equal shares for levels."""
        return np.full(self.n_bins, 1 / self.n_bins) if self.discrete else self.widths / self.widths.sum()


class DegradationSpace:
    """A product of axes. Bins are numbered with the last axis fastest (C order).

    Parameters
    ----------
    axes : sequence of Axis
        At least one, with different names.

    Raises
    ------
    TypeError, ValueError
        When an axis is not an `Axis`, there is none, or a name comes twice.

    See Also
    --------
    GridBins, CentroidBins : Bins of the space.

    Examples
    --------
    >>> import fastdeg as fd
    >>> space = fd.DegradationSpace.preset("paper")
    >>> space.names, space.shape, space.n_bins
    (('blur_sigma', 'noise_sigma', 'jpeg_quality'), (5, 5, 3), 75)
    >>> space.standardize([[2.5, 50, 30]])
    array([[0.5, 1. , 0. ]])
    """

    def __init__(self, axes: Sequence[Axis]) -> None:
        if isinstance(axes, Axis):
            raise TypeError("axes: expected a sequence of Axis objects, got a single Axis; wrap it in a list")
        self.axes = tuple(map(_checked_axis, iterable(axes, "axes", "a sequence of Axis objects")))
        if not self.axes or len(set(self.names)) < len(self.axes):
            raise ValueError(f"axes: expected at least one axis, each with its own name, got {list(self.names)}")

    @classmethod
    def preset(cls, name: str) -> DegradationSpace:
        """Return a named space.

        ``"paper"``: 5 × 5 × 3 cells of blur_sigma [0, 5], noise_sigma [0, 50] and jpeg_quality [30, 90], the space of
        Zhang et al. ``"dense"``: 50 × 51 × 7 levels of blur_sigma 0.1 … 5.0, noise_sigma 0 … 50 and downsampling 2 … 8.
        ``"photo"``: 8 × 8 × 9 cells of blur_sigma [0, 5], noise_sigma [0, 50] and jpeg_quality [10, 110], the last of
        which, from 100.5 on, is no compression.
        """
        if choice(name, "preset", PRESETS) == "photo":
            return cls(
                [
                    Axis.edges("blur_sigma", [0, 0.5, 1, 1.5, 2, 2.5, 3, 4, 5], "px"),
                    Axis.edges("noise_sigma", [0, 2, 5, 10, 15, 20, 30, 40, 50], "of 255"),
                    Axis.edges("jpeg_quality", [10, 25, 40, 55, 70, 80, 90, 96, 100.5, 110]),
                ]
            )
        if name == "paper":
            return cls(
                [
                    Axis.regular("blur_sigma", 0, 5, 5, "px"),
                    Axis.regular("noise_sigma", 0, 50, 5, "of 255"),
                    Axis.regular("jpeg_quality", 30, 90, 3),
                ]
            )
        return cls(
            [
                Axis.levels("blur_sigma", np.arange(1, 51) / 10, "px"),
                Axis.levels("noise_sigma", np.arange(51), "of 255"),
                Axis.levels("downsampling", np.arange(2, 9), "×"),
            ]
        )

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> DegradationSpace:
        """Return the space of a configuration ``{"axes": [{"name": …, "low": …, "high": …, "n_bins": …}, …]}``."""
        axes = config.get("axes") if isinstance(config, Mapping) else None
        if not isinstance(axes, list) or not all(isinstance(axis, Mapping) for axis in axes):
            raise ValueError("space: expected a mapping with a list 'axes' of mappings, each with a name")
        return cls([Axis.from_dict(axis) for axis in axes])

    def to_dict(self) -> dict[str, Any]:
        """Return the configuration that `from_dict` reads."""
        return {"axes": [axis.to_dict() for axis in self.axes]}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the axes."""
        return tuple(axis.name for axis in self.axes)

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of bins along each axis."""
        return tuple(axis.n_bins for axis in self.axes)

    @property
    def ndim(self) -> int:
        """Number of axes, d."""
        return len(self.axes)

    @property
    def n_bins(self) -> int:
        """Number of bins, N: the product of `shape`."""
        return math.prod(self.shape)

    def points(self) -> Float:
        """Return the centres of all bins, shape (N, d)."""
        memory(8.0 * self.n_bins * self.ndim, "space")
        return grid_product([axis.centers for axis in self.axes])

    def standardize(self, x: ArrayLike) -> Float:
        """Map points of the space, shape (..., d), so that every axis' range becomes [0, 1] (a single level: 0).

        NaN stays NaN.
        """
        low, span = self._ranges()
        return (self._points(x) - low) / span

    def unstandardize(self, z: ArrayLike) -> Float:
        """Undo `standardize`, shape (..., d)."""
        low, span = self._ranges()
        return self._points(z) * span + low

    def axis_index(self, axis: int | str) -> int:
        """Return the position of an axis given by name or position."""
        if isinstance(axis, str):
            return self.names.index(choice(axis, "axis", self.names))
        return integer(axis, "axis", -self.ndim, self.ndim - 1) % self.ndim

    def scales(self) -> Float:
        """Return the lengths of the axes' ranges, shape (d,), 1 for a single level: what `standardize` divides by."""
        return self._ranges()[1]

    def _ranges(self) -> tuple[Float, Float]:
        low = np.array([axis.low for axis in self.axes])
        span = np.array([axis.high for axis in self.axes]) - low
        return low, np.where(span > 0, span, 1.0)

    def _points(self, x: ArrayLike) -> Float:
        points = float_array(by_name(x, "points", self.names), "points", finite=False)
        if points.ndim < 1 or points.shape[-1] != self.ndim:
            raise ValueError(f"points: expected shape (..., {self.ndim}) for axes {self.names}, got {points.shape}")
        return points

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DegradationSpace) and self.axes == other.axes

    def __hash__(self) -> int:
        return hash((self.names, self.shape))

    def __repr__(self) -> str:
        axes = ", ".join(
            f"{axis.name} {axis.low:g}..{axis.high:g} ({axis.n_bins} {'levels' if axis.discrete else 'cells'})"
            for axis in self.axes
        )
        return f"DegradationSpace({axes})"


def grid_product(values: Sequence[Float]) -> Float:
    """Return the product grid of per-axis values as rows, the last axis fastest, shape (N, d)."""
    return np.stack(np.meshgrid(*values, indexing="ij"), axis=-1).reshape(-1, len(values))


def _middles(low: Float, high: Float) -> Float:
    """Largest floats not above the middles: what is not above them is no nearer to the upper number."""
    total = low + high
    part = total - low
    lost = (low - (total - part)) + (high - part)  # to rounding (Knuth's two-sum)
    return np.where(lost < 0, np.nextafter(total / 2, -np.inf), total / 2)


def _checked_name(name: Any) -> str:
    if not isinstance(name, str) or not name:
        raise ValueError(f"axis, name: expected a name (a non-empty string), got {shown(name)}")
    return name


def _checked_unit(unit: Any) -> str:
    if not isinstance(unit, str):
        raise TypeError(f"axis, unit: expected a string, got {shown(unit)}")
    return unit


def _checked_axis(axis: Any) -> Axis:
    if not isinstance(axis, Axis):
        raise TypeError(f"axes: expected Axis objects, got {type(axis).__name__}")
    return axis
