"""Entropic optimal transport."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

import numpy as np
from numpy.typing import ArrayLike

from fastdeg import _checks
from fastdeg._threads import thread_count
from fastdeg._types import ByValue, Float
from fastdeg.distances.arguments import (
    LARGEST_COST,
    check_costs,
    common_total,
    cost_matrix,
    finite_value,
    mass_tolerance,
    points_of,
)
from fastdeg.kernels.transport import sinkhorn as _kernels
from fastdeg.transport.cost_matrix import solve_matrix
from fastdeg.transport.metrics import find, ground_costs

LARGEST_RATIO = 1e300  # of costs and regularisation, whose sums are numbers still
AT_ONCE = 20_000_000  # entries of the kernel matrix scaled between two looks at interrupts: at most about 0.4 s
PARALLEL_ENTRIES = 4_000_000  # entries of the kernel matrix from which on it is scaled in parallel


@dataclass(frozen=True, eq=False)
class SinkhornResult(ByValue):
    """An entropic transport plan ``P = exp((u + v - cost) / reg)``.

    Attributes
    ----------
    value : float
        Transport cost of the plan, ``<P, cost>``, without the entropy.
    potentials : tuple of ndarray
        ``(u, v)``; -inf at points without mass.
    marginal_error : float
        Sum of absolute differences between the plan's marginals and ``a`` and ``b``, over the total mass.
    n_iter : int
        Iterations done.
    converged : bool
        Whether ``marginal_error <= tol``.
    """

    value: float
    potentials: tuple[Float, Float]
    marginal_error: float
    n_iter: int
    converged: bool
    _cost: Callable[[], Float] = field(compare=False)
    _reg: float

    @cached_property
    def plan(self) -> Float:
        """The plan, shape (n, m); on a grid the points are numbered in C order, and memory for all pairs is needed."""
        u, v = self.potentials
        return np.exp((u.reshape(-1, 1) + v.reshape(1, -1) - self._cost()) / self._reg)

    def __repr__(self) -> str:
        return (
            f"SinkhornResult(value={self.value!r}, marginal_error={self.marginal_error!r}, n_iter={self.n_iter}, "
            f"converged={self.converged})"
        )


def sinkhorn(
    a: ArrayLike,
    b: ArrayLike,
    x: ArrayLike | None = None,
    y: ArrayLike | None = None,
    *,
    reg: float,
    metric: str | None = None,
    cost: ArrayLike | None = None,
    tol: float = 1e-9,
    max_iter: int = 10_000,
    threads: int | None = None,
) -> SinkhornResult:
    """Entropic optimal transport between masses ``a`` at ``x`` and ``b`` at ``y``, by stabilised Sinkhorn iterations.

    Minimises ``<P, C> + reg * sum P (log P - 1)`` over plans P with marginals ``a`` and ``b``.

    Parameters
    ----------
    a, b : array_like, shape (n,) and (m,)
        Masses, not negative; the totals must agree within 1e-9 relative.
    x, y : array_like, shape (n, d) and (m, d), optional
        The points; ``y=None``: the same points. Where a and b are arrays of a grid's shape, with two axes or more: x is
        the sequence of coordinates along each axis, and the kernel is applied axis by axis, without a cost matrix
        (separable metrics only: sqeuclidean and cityblock).
    reg : float
        Entropic regularisation, above 0, in the units of the cost.
    metric : {"euclidean", "sqeuclidean", "cityblock", "chebyshev"}, optional
        Ground cost: euclidean by default, or another one of the table in `fastdeg.transport.metrics`.
    cost : array_like, shape (n, m), optional
        Costs instead of points; np.inf forbids a pair.
    tol : float
        Largest marginal error, relative to the total mass.
    max_iter : int
        Largest number of iterations.
    threads : int, optional
        Number of threads; the result does not depend on it.

    Returns
    -------
    SinkhornResult

    Raises
    ------
    ValueError
        Shapes that do not fit, numbers that are not finite, negative masses, no mass, unequal totals, reg <= 0, or
        forbidden pairs that leave no plan.

    Warns
    -----
    RuntimeWarning
        Where it has not converged within ``max_iter``.

    See Also
    --------
    emd : Exact.

    References
    ----------
    Cuturi, "Sinkhorn distances: lightspeed computation of optimal transport", NeurIPS 2013.
    Schmitzer, "Stabilized sparse scaling algorithms for entropy regularized transport problems", SIAM J. Sci. Comput.
    41 (2019).

    Examples
    --------
    >>> import fastdeg as fd
    >>> result = fd.sinkhorn([0.5, 0.5], [0.25, 0.75], [[0.0], [2.0]], reg=0.01)
    >>> round(result.value, 6), result.converged
    (0.5, True)
    """
    thread_count(threads, 0)
    reg = _checks.number(reg, "reg", positive=True)
    if reg > LARGEST_COST:
        raise ValueError(f"reg: expected a regularisation up to {LARGEST_COST:g}, got {reg:g}")
    tol = _checks.number(tol, "tol", 0)
    max_iter = _checks.integer(max_iter, "max_iter", 1)
    tolerance = mass_tolerance(a, b)
    a = _checks.masses(a, "a", None)
    if a.ndim > 1:
        for name, value in (("y", y), ("cost", cost)):
            if value is not None:
                raise ValueError(
                    f"{name}: expected x alone, coordinates along each axis, for masses on a grid, as those of a"
                )
        b = _checks.masses(b, "b", a.shape, hint=": the shape of a")
        total = common_total(a, b, tolerance)
        return _on_grid(a / total, b / b.sum(), total, x, reg, metric, tol, max_iter, threads)
    a, b = _checks.masses(a, "a"), _checks.masses(b, "b", hint=": masses of points, as a")
    if cost is not None:
        if x is not None or y is not None:
            raise ValueError("x, y, cost: expected either points or a cost matrix, got both")
        if metric is not None:
            raise ValueError("metric: expected either a metric or a cost matrix, got both")
        matrix = cost_matrix(cost, a, b)
    else:
        matrix = check_costs(ground_costs(*points_of(a, b, x, y), find(metric).name), "x, y")
    total = common_total(a, b, tolerance)
    if matrix.max() == np.inf:  # refuses what leaves no plan, which the iteration would go after without end
        solve_matrix(a / total, b / b.sum(), np.where(matrix < np.inf, 0.0, np.inf), threads)
    _check_size(reg, float(matrix.max(where=matrix < np.inf, initial=0.0)))
    rows, columns = np.flatnonzero(a), np.flatnonzero(b)
    reduced = matrix if rows.size == a.size and columns.size == b.size else matrix[np.ix_(rows, columns)]
    f, g, error, n_iter = _iterate(reduced, a[rows] / total, b[columns] / b.sum(), reg, tol, max_iter, threads)
    u, v = np.full(a.size, -np.inf), np.full(b.size, -np.inf)
    u[rows] = f + reg * np.log(total)
    v[columns] = g
    result = SinkhornResult(0.0, (u, v), error, n_iter, error <= tol, partial(np.asarray, matrix), reg)
    if error > tol:  # what the iteration knows is the error before its last step
        error = float(np.abs(result.plan.sum(1) - a).sum() + np.abs(result.plan.sum(0) - b).sum()) / total
    costs = np.where(matrix < np.inf, matrix, 0.0)  # nothing is moved there
    value = finite_value(float(np.vdot(result.plan, costs)))
    result = replace(result, value=value, marginal_error=error, converged=error <= tol)
    _warn_unless_converged(result, tol)
    return result


def _check_size(reg: float, largest: float) -> None:
    """Refuse a regularisation that costs cannot be divided by."""
    if largest > LARGEST_RATIO * reg:
        raise ValueError(f"reg: expected at least {largest / LARGEST_RATIO:g} for costs up to {largest:g}, got {reg:g}")


def _warn_unless_converged(result: SinkhornResult, tol: float) -> None:
    if not result.converged:
        warnings.warn(
            f"sinkhorn: not converged after {result.n_iter} iterations (max_iter): the marginals are off by "
            f"{result.marginal_error:.2g} of the mass, above tol={tol:g}; a larger reg takes fewer iterations",
            RuntimeWarning,
            stacklevel=3,
        )


def _on_grid(
    p: Float,
    q: Float,
    total: float,
    coordinates: object,
    reg: float,
    metric: str | None,
    tol: float,
    max_iter: int,
    threads: int | None,
) -> SinkhornResult:
    """Masses of a grid's shape, of sum one, in the log domain, one axis after another."""
    if not isinstance(coordinates, Sequence) or len(coordinates) != p.ndim:
        raise ValueError(f"x: expected the coordinates along each of the {p.ndim} axes of a")
    along = [_checks.float_array(c, f"x[{k}]", (p.shape[k],)) for k, c in enumerate(coordinates)]
    row = find(metric, separable=True)
    costs = [check_costs(ground_costs(c[:, None], c[:, None], row.name), "x") for c in along]
    _check_size(reg, sum(float(c.max()) for c in costs))
    kernels = [-c / reg for c in costs]
    with np.errstate(divide="ignore"):
        log_p, log_q = np.log(p), np.log(q)
        weighted = [k + np.log(c) for k, c in zip(kernels, costs, strict=True)]
    f, g = np.zeros(p.shape), np.zeros(p.shape)
    error = np.inf
    n_iter = 0
    while n_iter < max_iter:
        n_iter += 1
        from_columns = _soft_transform(g, kernels, threads)
        if n_iter > 1:
            error = float(np.abs(np.exp(f + from_columns) - p).sum())
            if error <= tol:
                break
        f = log_p - from_columns
        g = log_q - _soft_transform(f, kernels, threads)
    if error > tol:
        error = float(np.abs(np.exp(f + _soft_transform(g, kernels, threads)) - p).sum())
    value = 0.0
    for axis in range(p.ndim):
        mixed = [weighted[k] if k == axis else kernels[k] for k in range(p.ndim)]
        value += float(np.exp(f + _soft_transform(g, mixed, threads)).sum())
    points = np.stack([c.ravel() for c in np.meshgrid(*along, indexing="ij")], axis=1)
    result = SinkhornResult(
        finite_value(value * total),
        (reg * (f + np.log(total)), reg * g),
        error,
        n_iter,
        error <= tol,
        partial(ground_costs, points, points, row.name),
        reg,
    )
    _warn_unless_converged(result, tol)
    return result


def _soft_transform(values: Float, kernels: list[Float], threads: int | None) -> Float:
    """``log sum_j exp(values_j + log_kernel_ij)`` for a kernel that is a product over the axes."""
    shape = values.shape
    for axis, log_kernel in enumerate(kernels):
        lines = values.reshape(int(np.prod(shape[:axis])), shape[axis], -1)
        out = np.empty_like(lines)
        _kernels.soft_transform_axis(
            lines, log_kernel, np.exp(log_kernel), out, threads=threads, work=lines.size * (20 + shape[axis])
        )
        values = out
    return values.reshape(shape)


def _iterate(
    cost: Float, a: Float, b: Float, reg: float, tol: float, max_iter: int, threads: int | None
) -> tuple[Float, Float, float, int]:
    """Potentials, marginal error and iterations for masses of sum one, all positive."""
    state, transposed = _kernels.new_scaling(*cost.shape), np.ascontiguousarray(cost.T)
    threads = threads if cost.size >= PARALLEL_ENTRIES else 1
    n_iter, at_once = 0, max(1, AT_ONCE // cost.size)
    while n_iter < max_iter and not state.error[0] <= tol:
        some = min(at_once, max_iter - n_iter)
        n_iter += _kernels.iterate(state, cost, transposed, a, b, reg, tol, some, threads=threads, work=cost.size)
    _kernels.absorb(state, reg)
    return state.f, state.g, float(state.error[0]), n_iter
