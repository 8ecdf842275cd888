"""From the arguments of `craft` to a `Problem`: checks, standardised coordinates, ground costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdeg import _checks
from fastdeg._types import Float
from fastdeg.bins import GridBins
from fastdeg.crafting.problem.frechet_term import FrechetTerm
from fastdeg.crafting.problem.frechet_term_grid import GridFrechetTerm
from fastdeg.crafting.problem.problem import Problem
from fastdeg.crafting.problem.transport_term import Geometry, GridTransport, PlanTransport
from fastdeg.crafting.strategy import current
from fastdeg.distribution import BinnedDistribution
from fastdeg.transport.metrics import find

LARGEST_MOMENT = 1e75  # its fourth power is a number still
LARGEST_WEIGHT = 1e100  # of a term of the objective
FORBIDDEN = 1e4  # cost of a forbidden pair, over the largest cost of the others


@dataclass(frozen=True)
class Setup:
    """A crafting problem but for tau, with what leads back to the bins.

    Attributes
    ----------
    problem : Problem
        With tau 0, over the bins that p may use.
    usable : ndarray of int
        Those bins.
    target, prior : BinnedDistribution
    metric : str
        Ground metric; "" for given costs.
    cost : ndarray, shape (usable, usable), or None
        Given ground costs.
    threads : int or None
    forbidden : float
        What stands for an infinite cost.
    """

    problem: Problem
    usable: NDArray[np.intp]
    target: BinnedDistribution
    prior: BinnedDistribution
    wasserstein_weight: float
    metric: str
    cost: Float | None
    threads: int | None
    forbidden: float = np.inf

    def full(self, p: Float) -> Float:
        """Return the pmf over all bins."""
        pmf = np.zeros(self.target.n_bins)
        pmf[self.usable] = p
        return pmf


def build(
    target: BinnedDistribution,
    prior: BinnedDistribution | None,
    target_moments: tuple[ArrayLike, ArrayLike] | None,
    bin_moments: tuple[ArrayLike, ArrayLike] | None,
    wasserstein_weight: float,
    frechet_weight: float,
    lower: ArrayLike | None,
    upper: ArrayLike | None,
    metric: str | None,
    cost: ArrayLike | None,
    threads: int | None = None,
) -> Setup:
    """Check the arguments and return the problem."""
    if not isinstance(target, BinnedDistribution):
        raise TypeError(f"target: expected a BinnedDistribution, got {type(target).__name__}")
    prior = BinnedDistribution.uniform(target.bins) if prior is None else prior
    if not isinstance(prior, BinnedDistribution):
        raise TypeError(f"prior: expected a BinnedDistribution or None, got {type(prior).__name__}")
    if prior.bins != target.bins:
        raise ValueError("prior: expected the bins of the target, got other ones")
    wasserstein_weight = _checks.number(wasserstein_weight, "wasserstein_weight", 0, LARGEST_WEIGHT)
    frechet_weight = _checks.number(frechet_weight, "frechet_weight", 0, LARGEST_WEIGHT)
    low, high = _bounds(lower, upper, prior.pmf)
    forbidden = np.inf
    if cost is not None:
        cost, forbidden, reached = _costs(cost, target.pmf, (prior.pmf > 0) & (high > 0), wasserstein_weight)
        cut_off = np.flatnonzero(~reached & (low > 0))
        if cut_off.size:
            i = cut_off[0]
            raise ValueError(
                f"lower: expected 0 where cost forbids all pairs with the target, got {low[i]} for bin {i}"
            )
        high = np.where(reached, high, 0.0)
        if high.sum() < 1 - _checks.PMF_TOLERANCE:
            raise ValueError(
                "cost: expected bins of total upper bound 1 from which the target is not forbidden (np.inf)"
            )
    usable = np.flatnonzero((prior.pmf > 0) & (high > 0))
    frechet = _frechet(target, target_moments, bin_moments, usable, threads)
    # a flow's projection needs moment features that are sparse in the grid's cosine transform: the grid's own
    transport, metric = _transport(target, usable, wasserstein_weight, metric, cost, flow=bin_moments is None)
    problem = Problem(frechet, frechet_weight, transport, 0.0, prior.pmf[usable], low[usable], high[usable])
    given = None if cost is None else np.asarray(cost, np.float64)[np.ix_(usable, usable)]
    return Setup(problem, usable, target, prior, wasserstein_weight, metric, given, threads, forbidden)


def _costs(
    cost: ArrayLike, q: Float, usable: NDArray[np.bool_], weight: float
) -> tuple[Float, float, NDArray[np.bool_]]:
    """Ground costs, that of a forbidden pair, and the bins that have a pair with the target that is not forbidden.

    A forbidden pair costs far more than all that it could spare; `finish` looks whether it is used all the same.
    """
    costs = _checks.float_array(cost, "cost", (len(q), len(q)), finite=False)
    forbidden = costs == np.inf
    finite = _checks.float_array(np.where(forbidden, 0.0, costs), "cost")
    if finite.min() < 0:
        raise ValueError(f"cost: expected ground costs >= 0, got {finite.min()}")
    if not forbidden.any() or weight == 0:
        return finite, np.inf, np.ones(len(q), np.bool_)
    lost = np.flatnonzero((q > 0) & forbidden[usable].all(axis=0))
    if lost.size:
        raise ValueError(f"cost: expected a bin from which bin {lost[0]} of the target is not forbidden (np.inf)")
    reached = ~forbidden[:, q > 0].all(axis=1)
    instead = FORBIDDEN * max(1.0, float(finite.max()))
    return np.where(forbidden, instead, finite), instead, reached


def _bounds(lower: ArrayLike | None, upper: ArrayLike | None, prior: Float) -> tuple[Float, Float]:
    n_bins = len(prior)
    low = _bound(0.0 if lower is None else lower, "lower", n_bins)
    high = np.minimum(_bound(1.0 if upper is None else upper, "upper", n_bins), 1.0)
    if low.min() < 0:
        raise ValueError(f"lower: expected bounds >= 0, got {low.min()} for bin {low.argmin()}")
    crossed = np.flatnonzero(low > high)
    if crossed.size:
        i = crossed[0]
        if high[i] < 0:
            raise ValueError(f"upper: expected bounds of at least 0, got {high[i]} for bin {i}")
        raise ValueError(f"lower: expected at most the upper bound, got {low[i]} > {high[i]} for bin {i}")
    excluded = np.flatnonzero((prior == 0) & (low > 0))
    if excluded.size:
        i = excluded[0]
        raise ValueError(f"lower: expected 0 where the prior is 0, got {low[i]} for bin {i}")
    high = np.where(prior > 0, high, 0.0)
    if low.sum() > 1 + _checks.PMF_TOLERANCE:
        raise ValueError(f"lower: expected bounds that sum to at most 1, got {low.sum():.12g}: no pmf lies above them")
    if high.sum() < 1 - _checks.PMF_TOLERANCE:
        raise ValueError(
            f"upper: expected bounds that sum to at least 1 over the bins where the prior is positive, "
            f"got {high.sum():.12g}: no pmf lies below them"
        )
    return low, high


def _bound(value: ArrayLike, name: str, n_bins: int) -> Float:
    array = _checks.array_of(value, name)
    if array.ndim == 0:
        return np.full(n_bins, _checks.number(array.item(), name))
    return _checks.float_array(array, name, (n_bins,))


def _frechet(
    target: BinnedDistribution,
    target_moments: tuple[ArrayLike, ArrayLike] | None,
    bin_moments: tuple[ArrayLike, ArrayLike] | None,
    usable: NDArray[np.intp],
    threads: int | None,
) -> FrechetTerm:
    bins = target.bins
    grid = bins if isinstance(bins, GridBins) and bin_moments is None and len(usable) == bins.n_bins else None
    if grid is not None:
        scales, n_axes = bins.scales(), bins.ndim
        means = within = np.zeros((0, n_axes))
    elif bin_moments is None:
        means, scales, n_axes = bins.standardized_centers(), bins.scales(), bins.ndim
        if isinstance(bins, GridBins):
            within = bins.variances / scales**2
        else:
            within = bins.covariances / (scales[:, None] * scales)
    else:
        _pair(bin_moments, "bin_moments")
        means = _checks.float_array(bin_moments[0], "bin_moments[0]", (bins.n_bins, "D"))
        n_axes = means.shape[1]
        if n_axes == 0:
            raise ValueError(f"bin_moments[0]: expected an array of shape ({bins.n_bins}, D) with D >= 1, got D = 0")
        within = _checks.covariances(bin_moments[1], "bin_moments[1]", (bins.n_bins, n_axes, n_axes))
        scales = np.ones(n_axes)
    if target_moments is None:
        mean, covariance = target.moments()
        if len(mean) != n_axes:
            raise ValueError(
                f"target_moments: expected (mean, cov) in the {n_axes} dimensions of bin_moments, got None, "
                f"and the target's own moments have {len(mean)}"
            )
    else:
        _pair(target_moments, "target_moments")
        mean = _checks.float_array(target_moments[0], "target_moments[0]", (n_axes,))
        covariance = _checks.covariances(target_moments[1], "target_moments[1]", (n_axes, n_axes))
    if bin_moments is None:
        space = bins.space
        mean = space.standardize(mean) if space else mean
        covariance = covariance / (scales[:, None] * scales)
    covariance = (covariance + covariance.T) / 2
    for name, given, numbers in (
        ("target_moments", target_moments, (mean, np.sqrt(np.abs(covariance)))),
        ("bin_moments", bin_moments, (means, np.sqrt(np.abs(within)))),
    ):
        largest = max(float(np.abs(part).max(initial=0.0)) for part in numbers)
        if given is not None and not largest <= LARGEST_MOMENT:
            raise ValueError(
                f"{name}: expected means and standard deviations up to {LARGEST_MOMENT:g}, got {largest:.3g}"
            )
    if grid is not None:
        return GridFrechetTerm(*_axes(grid), mean, covariance, threads)
    return FrechetTerm(means[usable], within[usable], mean, covariance)


def _axes(bins: GridBins) -> tuple[tuple[Float, ...], tuple[Float, ...]]:
    """Return the standardised centres and within-cell variances along each axis of a grid."""
    axes, scales = bins.space.axes, bins.scales()
    coordinates = tuple((axis.centers - axis.low) / scale for axis, scale in zip(axes, scales, strict=True))
    return coordinates, tuple(axis.variances / scale**2 for axis, scale in zip(axes, scales, strict=True))


def _pair(value: Any, name: str) -> None:
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise TypeError(f"{name}: expected a pair (means, covariances), got {type(value).__name__}")


def _transport(
    target: BinnedDistribution,
    usable: NDArray[np.intp],
    weight: float,
    metric: str | None,
    cost: ArrayLike | None,
    flow: bool,
) -> tuple[PlanTransport | GridTransport, str]:
    n_bins = target.n_bins
    if cost is not None and metric is not None:
        raise ValueError("metric: expected either a metric or a cost matrix, got both")
    if cost is not None:
        costs = np.asarray(cost, np.float64)
        metric = ""
    else:
        default = "cityblock" if isinstance(target.bins, GridBins) else "euclidean"
        metric = find(metric, default).name
    if weight == 0:  # any plan will do: one sink takes all
        return PlanTransport(np.ones(1), given=np.zeros((1, len(usable)))), metric
    sinks = np.flatnonzero(target.pmf > 0)
    on_edges, by_flow = None, False
    if isinstance(target.bins, GridBins) and metric == "cityblock":
        on_edges = GridTransport.on(*_axes(target.bins), weight, target.pmf, usable)
        n_arcs, limits = len(sinks) * len(usable), current()
        plan = n_arcs <= limits.plan_arcs or (len(sinks) <= limits.plan_sinks and n_arcs <= limits.plan_costs)
        if flow and not plan:
            return on_edges, metric
        by_flow = flow and (n_arcs > limits.plan_arcs or len(usable) > limits.flow_bins)
    masses = target.pmf[sinks]
    if cost is not None:
        return PlanTransport(masses, given=np.ascontiguousarray(weight * costs[np.ix_(usable, sinks)].T)), metric
    centers = target.bins.standardized_centers()
    positions = np.searchsorted(usable, sinks)
    inside = (positions < len(usable)).all() and (usable[np.minimum(positions, len(usable) - 1)] == sinks).all()
    used = centers if len(usable) == n_bins else centers[usable]
    geometry = Geometry(used, centers[sinks], metric, weight, positions if inside else None)
    return PlanTransport(masses, geometry, flow=on_edges, by_flow=by_flow), metric
