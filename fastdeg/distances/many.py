"""Earth mover's distances of many pairs of distributions over the same points."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastdeg import _checks
from fastdeg._threads import thread_count
from fastdeg._types import Float
from fastdeg.distances.arguments import LARGEST_COST, PRODUCTS, costs_of_pairs, finite_value, mass_tolerance
from fastdeg.distances.transport import emd
from fastdeg.kernels.transport.many import pair_values
from fastdeg.transport.metrics import find, ground_costs
from fastdeg.transport.network import ALL_ARCS, TOLERANCE

ARCS_AT_ONCE = 4_000_000  # of all pairs between two looks at interrupts: about 0.2 s
OPERATIONS = 20  # for each arc, about, for the choice of threads


def emd_many(
    P: ArrayLike,
    Q: ArrayLike | None = None,
    x: ArrayLike | None = None,
    *,
    metric: str = "euclidean",
    cost: ArrayLike | None = None,
    threads: int | None = None,
) -> Float:
    """Exact earth mover's distances between all rows of P and all rows of Q, masses of the same points.

    Parameters
    ----------
    P : array_like, shape (K, N)
        Masses, not negative; the totals of all rows must agree within 1e-9 relative, or what the precision allows that
        they are given in. They are not normalised.
    Q : array_like, shape (L, N), optional
        By default the rows of P: all pairs of them, each computed once where the costs are symmetric.
    x : array_like, shape (N, d), optional
        The points. Exactly one of x and cost.
    metric : {"euclidean", "sqeuclidean", "cityblock", "chebyshev"}
        Cost of moving a unit of mass between two points, or another one of the table in `fastdeg.transport.metrics`.
    cost : array_like, shape (N, N), optional
        Costs from the points of P's masses to those of Q's; np.inf forbids a pair.
    threads : int, optional
        Number of threads; the result does not depend on it.

    Returns
    -------
    ndarray, shape (K, L)
        The values that `emd` gives, but for rounding. It also has plans, potentials and gaps.

    Raises
    ------
    ValueError
        As for `emd`; the rows are named.

    Warns
    -----
    RuntimeWarning
        As for `emd`, where the gap is open.

    See Also
    --------
    emd : One pair, with plan, potentials and gap.

    Examples
    --------
    >>> import fastdeg as fd
    >>> fd.emd_many([[1.0, 0.0, 0.0], [0.0, 0.5, 0.5]], x=[[0.0], [1.0], [3.0]])
    array([[0., 2.],
           [2., 0.]])
    """
    thread_count(threads, 0)  # refuses what is no number of threads
    p = _rows(P, "P")
    q = p if Q is None else _rows(Q, "Q")
    n = p.shape[1]
    if q.shape[1] != n:
        raise ValueError(f"Q: expected rows of {n} masses, as those of P, got {q.shape[1]}")
    if not len(p):
        return np.zeros((0, len(q)))
    totals, q_totals, tolerance = p.sum(axis=1), q.sum(axis=1), mass_tolerance(P, P if Q is None else Q)
    for name, sums in (("P", totals), ("Q", q_totals)):
        far = np.flatnonzero(np.abs(sums - totals[:1]) > tolerance * np.maximum(sums, totals[:1]))
        if far.size:
            raise ValueError(
                f"{name}[{far[0]}]: expected the same total mass as P[0], {totals[0]!s}, "
                f"within {tolerance:.2g} relative, got {sums[far[0]]!s}"
            )
    costs, stays = _costs(x, cost, metric, n)
    symmetric = Q is None and bool(np.array_equal(costs, costs.T))
    p = p / totals[:, None]
    q = p if Q is None else q / q_totals[:, None]
    out = np.full((len(p), len(q)), np.nan)
    if n * n <= (4 if stays else 1) * ALL_ARCS and np.isfinite(costs).all():
        n_pairs = len(p) * (len(p) + 1) // 2 if symmetric else out.size
        work, step = OPERATIONS * n * n, max(1, ARCS_AT_ONCE // (n * n))
        for first in range(0, n_pairs, step):
            pairs = first, min(n_pairs, first + step)
            count = pairs[1] - first
            pair_values(p, q, costs, pairs, symmetric, stays, TOLERANCE, out, threads=threads, work=work * count)
    # what is large, has forbidden pairs, or is in doubt: each alone, with arcs only where they are needed
    ground = {"x": x, "metric": metric} if cost is None else {"cost": costs}
    doubtful = np.isnan(out)
    for i, j in np.argwhere(np.tril(doubtful) if symmetric else doubtful):
        out[i, j] = _alone(p[i], q[j], ground, threads, f"P[{i}], {'P' if Q is None else 'Q'}[{j}]")
        if symmetric:
            out[j, i] = out[i, j]
    with np.errstate(over="ignore"):  # refused below
        out *= totals[:, None] / 2 + totals / 2 if symmetric else totals[:, None]
    finite_value(float(np.abs(out).max(initial=0.0)), f"P, Q{PRODUCTS[4:]}")
    return out


def _alone(a: Float, b: Float, ground: dict[str, Any], threads: int | None, pair: str) -> float:
    """Return the value that `emd` gives; what it says against it or warns of, with the name of the pair."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            value = emd(a, b, **ground, threads=threads).value
        except ValueError as error:
            raise ValueError(f"{pair}: {error}") from None
    for warning in caught:
        warnings.warn(f"{pair}: {warning.message}", warning.category, stacklevel=3)
    return value


def _rows(value: ArrayLike, name: str) -> Float:
    rows = _checks.float_array(value, name, ("K", "N"))
    if rows.size and rows.min() < 0:
        i, j = np.unravel_index(rows.argmin(), rows.shape)
        raise ValueError(f"{name}[{i}]: expected masses >= 0, got {rows[i, j]!s}")
    with np.errstate(over="ignore"):
        totals = rows.sum(axis=1)
    wrong = np.flatnonzero(~((totals > 0) & np.isfinite(totals)))
    if wrong.size:
        got = totals[wrong[0]]
        raise ValueError(f"{name}[{wrong[0]}]: expected a positive total mass, not above 1.8e308, got {got!s}")
    return rows


def _costs(x: ArrayLike | None, cost: ArrayLike | None, metric: str, n: int) -> tuple[Float, bool]:
    """Return the costs (N, N), and whether mass that two distributions have at a point stays there."""
    row = find(metric)
    if (x is None) == (cost is None):
        raise ValueError(f"x, cost: expected exactly one of them, got {'both' if cost is not None else 'neither'}")
    if cost is not None:
        if metric != "euclidean":
            raise ValueError("metric: expected either a metric or a cost matrix, got both")
        return np.ascontiguousarray(costs_of_pairs(cost, (n, n))), False
    points = _checks.float_array(x, "x", (n, "d"))  # type: ignore[arg-type]
    # squares of very large or very small coordinates are no ordinary numbers
    exponent = math.frexp(np.abs(points).max(initial=0.0))[1] if row.code is not None else 0
    scaled = np.ldexp(points, -exponent)
    with np.errstate(over="ignore"):
        costs = np.ldexp(ground_costs(scaled, scaled, row.name), row.degree * exponent)
    if not (largest := float(np.abs(costs).max(initial=0.0))) <= LARGEST_COST:
        raise ValueError(f"x: expected costs up to {LARGEST_COST:g}, got {largest:g}")
    return np.ascontiguousarray(costs), row.is_metric
