"""The table of ground metrics: one row each, with all that the solvers need to know of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fastdeg import _checks
from fastdeg._types import Float
from fastdeg.kernels.transport.metrics import CHEBYSHEV, CITYBLOCK, EUCLIDEAN, SQEUCLIDEAN

SMALL = 50_000  # coordinates of all pairs of points, up to which costs are summed here


@dataclass(frozen=True)
class Metric:
    """A ground metric: the cost of moving a unit of mass from one point to another.

    Attributes
    ----------
    name : str
        What users call it in ``metric=``.
    costs : str or callable
        Its name in SciPy's ``cdist``, or a function: costs (n, m) between points (n, d) and (m, d).
    is_metric : bool
        Whether it obeys the triangle inequality, is symmetric, and zero from a point to itself.
    separable : bool
        Whether it is the sum over the axes of the costs along each, so that Sinkhorn's kernel on a grid is a product.
    code : int, optional
        Its number in ``kernels/transport/metrics.py``; None: solved by the matrix of its costs.
    degree : int
        Points c times as far apart cost c ** degree as much; asked for where there is a code.
    """

    name: str
    costs: str | Callable[[Float, Float], Float]
    is_metric: bool = False
    separable: bool = False
    code: int | None = None
    degree: int = 1


_ROWS = (
    Metric("euclidean", "euclidean", is_metric=True, code=EUCLIDEAN),
    Metric("sqeuclidean", "sqeuclidean", separable=True, code=SQEUCLIDEAN, degree=2),
    Metric("cityblock", "cityblock", is_metric=True, separable=True, code=CITYBLOCK),
    Metric("chebyshev", "chebyshev", is_metric=True, code=CHEBYSHEV),
)
METRICS = {row.name: row for row in _ROWS}


def register(metric: Metric) -> None:
    """Add a row to the table: `emd`, `emd_grid`, `sinkhorn`, `craft` and the others take its name from then on.

    Examples
    --------
    >>> import fastdeg as fd
    >>> from fastdeg.transport.metrics import Metric, register
    >>> register(Metric("canberra", "canberra", is_metric=True, separable=True))
    >>> fd.emd([1.0], [1.0], [[1.0]], [[3.0]], metric="canberra").value
    0.5
    """
    if metric.name in METRICS and METRICS[metric.name] in _ROWS:
        raise ValueError(f"name: expected one that the table does not come with, got {metric.name!r}")
    METRICS[metric.name] = metric


def find(name: str | None, default: str = "euclidean", *, separable: bool = False) -> Metric:
    """Return the row of the name, of the default for None; ``separable``: only of those that are."""
    options = [row.name for row in METRICS.values() if row.separable or not separable]
    return METRICS[_checks.choice(default if name is None else name, "metric", options)]


def obeys_triangle(name: str) -> bool:
    """Whether the costs of that name are a metric; no name: given costs, of which nothing is known."""
    return name in METRICS and METRICS[name].is_metric


def ground_costs(x: Float, y: Float, name: str) -> Float:
    """Return the costs (n, m) between points (n, d) and (m, d) under the metric of the name."""
    costs = METRICS[name].costs
    if isinstance(costs, str):
        if len(x) * len(y) * x.shape[1] <= SMALL and METRICS[name].code is not None:
            return _axis_by_axis(x, y, name)
        from scipy.spatial.distance import cdist

        return cdist(x, y, costs)
    return _checks.float_array(costs(x, y), f"costs of {name!r}", (len(x), len(y)))


def _axis_by_axis(x: Float, y: Float, name: str) -> Float:
    """The same numbers as SciPy's, whose import takes longer than a small problem: a fifth of a second."""
    total = np.zeros((len(x), len(y)))
    for along_x, along_y in zip(x.T, y.T, strict=True):
        apart = np.abs(along_x[:, None] - along_y)
        if name == "chebyshev":
            np.maximum(total, apart, out=total)
        else:
            total += apart if name == "cityblock" else apart * apart
    return np.sqrt(total) if name == "euclidean" else total
