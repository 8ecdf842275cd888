"""Exact earth mover's distances: between weighted points, on grids, on the line."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdeg import _checks
from fastdeg._threads import thread_count
from fastdeg._types import ByValue, Float
from fastdeg.distances.arguments import (
    LARGEST_COST,
    MASS_TOLERANCE,
    check_costs,
    common_total,
    cost_matrix,
    finite_value,
    mass_tolerance,
    points_of,
    warn_of_gap,
)
from fastdeg.kernels.transport.line import emd_sorted
from fastdeg.kernels.transport.network.tree import Tree
from fastdeg.transport.cost_matrix import solve_matrix
from fastdeg.transport.grid import grid_plan, solve_grid
from fastdeg.transport.metrics import Metric, find, ground_costs
from fastdeg.transport.network import Solution
from fastdeg.transport.points import solve_points

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from scipy import sparse

FOR_MORE_AXES = ": points are for emd, masses on a grid for emd_grid"
POWERS = "x, y, p: expected distances whose powers are numbers, got a sum above 1.8e308"
_Pairs = tuple[NDArray[np.int64], NDArray[np.int64], Float]
_Points = Callable[[], tuple[Float, Float]]


@dataclass(frozen=True, eq=False)
class EMDResult(ByValue):
    """An earth mover's distance with its certificate.

    Attributes
    ----------
    value : float
        Cost of the plan: the earth mover's distance (not divided by the mass).
    potentials : tuple of ndarray
        Kantorovich potentials ``(u, v)`` in the shapes of ``a`` and ``b``, feasible for all pairs:
        ``u[i] + v[j] <= cost[i, j]``.
    gap : float
        ``value - (u @ a + v @ b)``: no plan is cheaper than ``value - gap``.
    n_pivots : int
        Pivots of the network simplex.
    """

    value: float
    potentials: tuple[Float, Float]
    gap: float
    n_pivots: int
    _pairs: Callable[[], _Pairs] = field(repr=False, compare=False)
    _points: _Points | None = field(default=None, repr=False, compare=False)

    @property
    def relative_gap(self) -> float:
        """The gap over the size of the value; 0 where the value is 0, as the gap is rounding then."""
        return self.gap / abs(self.value) if self.value else 0.0

    @cached_property
    def plan(self) -> sparse.csr_array:
        """The optimal plan, a sparse array with a row for each source and a column for each sink."""
        from scipy import sparse  # takes longer than a small problem

        u, v = self.potentials
        sources, sinks, flows = self._pairs()
        return sparse.coo_array((flows, (sources, sinks)), shape=(u.size, v.size)).tocsr()

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the plan: lines between sources and sinks on a line or in the plane; else the plan as a matrix.

        On a line, the sources are above and the sinks below. Of more than 2,000 flows, the largest are drawn.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            A new figure by default.

        Returns
        -------
        Axes
        """
        from fastdeg import plotting

        return plotting.plan(self, None if self._points is None else self._points(), ax)

    def __repr__(self) -> str:
        return f"EMDResult(value={self.value!r}, gap={self.gap!r}, n_pivots={self.n_pivots})"

    def _repr_html_(self) -> str:
        from fastdeg import plotting

        rows = [("value", f"{self.value:.6g}"), ("gap", f"{self.gap:.1e}"), ("pivots", f"{self.n_pivots:,}")]
        small = max(side.size for side in self.potentials) <= plotting.LARGE
        return plotting.card("EMDResult", rows, (lambda figure: self.plot(figure.subplots())) if small else None)


def emd(
    a: ArrayLike,
    b: ArrayLike,
    x: ArrayLike | None = None,
    y: ArrayLike | None = None,
    *,
    metric: str | None = None,
    cost: ArrayLike | None = None,
    threads: int | None = None,
) -> EMDResult:
    """Exact earth mover's distance between masses ``a`` at the points ``x`` and masses ``b`` at the points ``y``.

    Parameters
    ----------
    a, b : array_like, shape (n,) and (m,)
        Masses, not negative; the totals must agree within 1e-9 relative. They are not normalised.
    x, y : array_like, shape (n, d) and (m, d), optional
        The points; ``y=None``: the same points.
    metric : {"euclidean", "sqeuclidean", "cityblock", "chebyshev"}, optional
        Cost of moving a unit of mass between two points: euclidean by default, or another one of the table in
        `fastdeg.transport.metrics`.
    cost : array_like, shape (n, m), optional
        Costs instead of points; np.inf forbids a pair.
    threads : int, optional
        Number of threads; the result does not depend on it.

    Returns
    -------
    EMDResult

    Raises
    ------
    ValueError
        Shapes that do not fit, numbers that are not finite, negative masses, no mass, unequal totals,
        costs above 1e150, or forbidden pairs that leave no plan.

    Warns
    -----
    RuntimeWarning
        Where the gap is open: the result is not known to be the optimum.

    See Also
    --------
    emd_grid, emd_1d, emd_many, sinkhorn : On a grid, on the line, for many pairs; entropic.

    References
    ----------
    Peyré, Cuturi, "Computational Optimal Transport", Found. Trends Mach. Learn. 11 (2019), chapter 3.

    Examples
    --------
    >>> import fastdeg as fd
    >>> result = fd.emd([0.5, 0.5], [0.25, 0.75], [[0.0], [2.0]])
    >>> float(result.value)
    0.5
    >>> result.plan.toarray()
    array([[0.25, 0.25],
           [0.  , 0.5 ]])
    """
    thread_count(threads, 0)  # refuses what is no number of threads
    tolerance = mass_tolerance(a, b)
    a = _checks.masses(a, "a")
    b = _checks.masses(b, "b")
    if cost is not None:
        if x is not None or y is not None:
            raise ValueError("x, y, cost: expected either points or a cost matrix, got both")
        if metric is not None:
            raise ValueError("metric: expected either a metric or a cost matrix, got both")
        return _by_matrix(a, b, cost_matrix(cost, a, b), tolerance, threads)
    x, y = points_of(a, b, x, y)
    points = partial(_given, x, y)
    row = find(metric)
    if row.code is None:
        costs = check_costs(ground_costs(x, y, row.name), "x, y")
        return _by_matrix(a, b, costs, tolerance, threads, points)
    total = common_total(a, b, tolerance)
    unit = _unit(x, y)
    if unit != 1:
        x, y = x / unit, (None if y is x else y / unit)
        y = x if y is None else y
        _check_costs(x, y, row, row.degree * math.log(unit))
    solution = solve_points(a / total, b / b.sum(), x, y, row.code, threads)
    return _result(solution, total, unit**row.degree, points)


def _by_matrix(
    a: Float, b: Float, matrix: Float, tolerance: float, threads: int | None, points: _Points | None = None
) -> EMDResult:
    total = common_total(a, b, tolerance)
    return _result(solve_matrix(a / total, b / b.sum(), matrix, threads), total, 1.0, points)


def _unit(x: Float, y: Float) -> float:
    """Power of two to divide very large or very small coordinates by, so that their squares are ordinary numbers."""
    largest = max(float(np.abs(p).max(initial=0.0)) for p in ((x,) if y is x else (x, y)))
    return 1.0 if largest == 0 or 1e-60 < largest < 1e60 else math.ldexp(1.0, min(math.frexp(largest)[1], 1023))


def _check_costs(x: Float, y: Float, metric: Metric, log_unit: float) -> None:
    """Refuse points whose costs, in units of which the logarithm is given, are too large."""
    low, high = np.minimum(x.min(0), y.min(0)), np.maximum(x.max(0), y.max(0))
    largest = float(ground_costs(low[None], high[None], metric.name)[0, 0])
    if largest > 0 and (log_cost := math.log(largest) + log_unit) > math.log(LARGEST_COST):
        got = f"10^{log_cost / math.log(10):.1f}"
        raise ValueError(f"x, y: expected points with costs up to {LARGEST_COST:g} between them, got {got}")


def _result(solution: Solution, total: float, factor: float, points: _Points | None) -> EMDResult:
    """Back from masses of sum one and from costs divided by the factor."""
    warn_of_gap(solution)
    return EMDResult(
        finite_value(solution.value * factor * total),
        (solution.u * factor, solution.v * factor),
        solution.gap * factor * total,
        solution.n_pivots,
        partial(_scaled, total, solution.sources, solution.sinks, solution.flows),
        points,
    )


def _scaled(total: float, sources: NDArray[np.int64], sinks: NDArray[np.int64], flows: Float) -> _Pairs:
    return sources, sinks, flows * total


def _grid_pairs(total: float, p: Float, q: Float, tree: Tree) -> _Pairs:
    return _scaled(total, *grid_plan(p, q, tree))


def _given(x: Float, y: Float) -> tuple[Float, Float]:
    return x, y


def _grid_points(coordinates: Sequence[Float]) -> tuple[Float, Float]:
    points = np.stack([g.ravel() for g in np.meshgrid(*coordinates, indexing="ij")], axis=1)
    return points, points


def emd_grid(
    a: ArrayLike,
    b: ArrayLike,
    *,
    spacing: float | Sequence[float] | Sequence[ArrayLike] = 1.0,
    metric: str = "cityblock",
    threads: int | None = None,
) -> EMDResult:
    """Exact earth mover's distance between two arrays of masses on the points of a grid.

    Parameters
    ----------
    a, b : array_like of the grid's shape
        Masses, not negative; the totals must agree within 1e-9 relative.
    spacing : float, sequence of floats, or sequence of arrays
        Distance between neighbours: one for all axes, one per axis, or the increasing coordinates along each axis.
    metric : {"cityblock", "euclidean", "sqeuclidean", "chebyshev"}
        Cost of moving a unit of mass between two grid points, or another one of the table in
        `fastdeg.transport.metrics`; cityblock is solved as a flow between neighbours
        (Ling, Okada, IEEE TPAMI 29, 2007).
    threads : int, optional
        Number of threads; the result does not depend on it.

    Returns
    -------
    EMDResult
        Potentials have the grid's shape; rows and columns of the plan number the grid points in C order.

    See Also
    --------
    emd : Points that form no grid.

    Examples
    --------
    >>> import fastdeg as fd
    >>> fd.emd_grid([[1.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 1.0]], spacing=[1.0, 0.5]).value
    1.5
    """
    thread_count(threads, 0)
    tolerance = mass_tolerance(a, b)
    a = _checks.float_array(a, "a")
    b = _checks.float_array(b, "b")
    if a.ndim == 0:
        raise ValueError("a: expected an array with one axis or more, got a number")
    if b.shape != a.shape:
        raise ValueError(f"b: expected the shape of a, {a.shape}, got {b.shape}")
    coordinates = _coordinates(spacing, a.shape)
    find(metric)
    a, b = _checks.masses(a, "a", a.shape), _checks.masses(b, "b", b.shape)
    total = common_total(a, b, tolerance)
    if metric == "cityblock":
        p, q = a / total, b / b.sum()
        solution, tree = solve_grid(p, q, coordinates, threads)
        warn_of_gap(solution)
        return EMDResult(
            finite_value(solution.value * total),
            (solution.u, solution.v),
            solution.gap * total,
            solution.n_pivots,
            partial(_grid_pairs, total, p.reshape(-1), q.reshape(-1), tree),
            partial(_grid_points, coordinates),
        )
    masses = (a.ravel(), b.ravel() * (total / b.sum()) if tolerance > MASS_TOLERANCE else b.ravel())
    result = emd(*masses, _grid_points(coordinates)[0], metric=metric, threads=threads)
    u, v = result.potentials
    return replace(result, potentials=(u.reshape(a.shape), v.reshape(a.shape)))


def _coordinates(spacing: object, shape: tuple[int, ...]) -> list[Float]:
    """Coordinates along each axis."""
    steps: list[object]
    if isinstance(spacing, Real):
        steps = [spacing] * len(shape)
    elif not isinstance(spacing, Sequence | np.ndarray) or getattr(spacing, "ndim", 1) == 0:
        raise TypeError(f"spacing: expected a number, or one entry per axis, got {type(spacing).__name__}")
    else:
        if len(spacing) != len(shape):
            raise ValueError(f"spacing: expected one entry per axis ({len(shape)}), got {len(spacing)}")
        steps = list(spacing)
    coordinates: list[Float] = []
    for axis, (step, length) in enumerate(zip(steps, shape, strict=True)):
        name = f"spacing[{axis}]"
        if isinstance(step, Real):
            with np.errstate(over="ignore"):  # refused below
                coordinates.append(np.arange(length, dtype=np.float64) * _checks.number(step, name, positive=True))
        else:
            along = _checks.float_array(step, name, (length,))  # type: ignore[arg-type]
            if (np.diff(along) <= 0).any():
                raise ValueError(f"{name}: expected increasing coordinates, got {along}")
            coordinates.append(along)
    longest = [float(along[-1]) / 2 - float(along[0]) / 2 for along in coordinates if len(along)]  # halves: no overflow
    if not sum(longest) <= LARGEST_COST / 2:
        raise ValueError(f"spacing: expected costs up to {LARGEST_COST:g} across the grid, got {2 * sum(longest):g}")
    return coordinates


def emd_1d(
    x: ArrayLike, y: ArrayLike, a: ArrayLike | None = None, b: ArrayLike | None = None, *, p: float = 1
) -> float:
    """Earth mover's distance on the line, ``W_p^p``: sum of mass times distance to the power p, masses of sum one.

    Parameters
    ----------
    x, y : array_like, shape (n,) and (m,)
        The samples, in any order.
    a, b : array_like, shape (n,) and (m,), optional
        Weights, not negative; each is divided by its sum. Default: equal weights.
    p : float
        The power, at least 1.

    Returns
    -------
    float

    See Also
    --------
    emd : Points in any dimension, with a plan.

    Examples
    --------
    >>> import fastdeg as fd
    >>> fd.emd_1d([0.0, 1.0], [1.0, 3.0])
    1.5
    """
    x = _checks.float_array(x, "x", ("n",), hint=FOR_MORE_AXES)
    y = _checks.float_array(y, "y", ("m",), hint=FOR_MORE_AXES)
    for name, sample in (("x", x), ("y", y)):
        if sample.size == 0:
            raise ValueError(f"{name}: expected at least one number, got none")
    p = _checks.number(p, "p", 1)
    if a is None and b is None:  # masses counted in integers, which is exact
        common = math.gcd(x.size, y.size)
        a, b = np.full(x.size, y.size / common), np.full(y.size, x.size / common)
        return finite_value(emd_sorted(np.sort(x), np.sort(y), a, b, p) / x.size * common / y.size, POWERS)
    a = np.ones(x.size) if a is None else _checks.masses(a, "a", (x.size,), hint=": one for each number of x")
    b = np.ones(y.size) if b is None else _checks.masses(b, "b", (y.size,), hint=": one for each number of y")
    order_x, order_y = np.argsort(x), np.argsort(y)
    return finite_value(emd_sorted(x[order_x], y[order_y], a[order_x] / a.sum(), b[order_y] / b.sum(), p), POWERS)
