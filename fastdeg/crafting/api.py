"""Crafting the training distribution: the convex problem, its solvers and their certificates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import signature
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from fastdeg import _checks
from fastdeg._threads import single_blas_thread
from fastdeg._types import Progress
from fastdeg.crafting.path.by_forecast import check_forecast, checked_loss, with_gains, within_loss, within_one_error
from fastdeg.crafting.path.curve import Curve, TradeoffPath, assemble
from fastdeg.crafting.path.follow import follow
from fastdeg.crafting.path.warm_solver import Limits, WarmSolver
from fastdeg.crafting.problem.arguments import build
from fastdeg.crafting.result import CraftResult, warn_of_extremes, warn_unless_converged
from fastdeg.distribution import BinnedDistribution

if TYPE_CHECKING:
    from fastdeg.forecast import TrainingForecast

__all__ = ["CraftResult", "Curve", "TradeoffPath", "craft", "tradeoff_path"]


def craft(
    target: BinnedDistribution,
    *,
    prior: BinnedDistribution | None = None,
    target_moments: tuple[ArrayLike, ArrayLike] | None = None,
    bin_moments: tuple[ArrayLike, ArrayLike] | None = None,
    generalization: float | str | Mapping[str, float] = "auto",
    forecast: TrainingForecast | None = None,
    wasserstein_weight: float = 1.0,
    frechet_weight: float = 1.0,
    lower: ArrayLike | None = None,
    upper: ArrayLike | None = None,
    metric: str | None = None,
    cost: ArrayLike | None = None,
    warm_start: CraftResult | None = None,
    time_limit: float | None = None,
    tol: float = 1e-6,
    max_iter: int = 20_000,
    threads: int | None = None,
    progress: Progress | None = None,
) -> CraftResult:
    r"""Craft the training distribution p for a target distribution q of degradations.

    Minimises w_F FD²(p) + w_W W(p, q) + tau KL(p ‖ prior) over the pmfs with lower ≤ p ≤ upper: the squared Fréchet
    distance of the mixture's moments to the target's, the earth mover's distance to the target over the bin centres,
    and the
    divergence from a broad prior. The problem is convex; every answer comes with a rigorous lower bound.

    Coordinates are standardised (each axis' range to [0, 1]); centroid bins without a space are taken as given.

    Parameters
    ----------
    target : BinnedDistribution
        q = P_test, estimated from references or annotations.
    prior : BinnedDistribution, optional
        The broad distribution to generalise towards, uniform by default. Bins where it is 0 are excluded.
    target_moments : (mean, cov), shapes (D,) and (D, D), optional
        Moments of the target, in the units of the bins (or those of ``bin_moments``); by default ``target.moments()``.
    bin_moments : (means, covs), shapes (N, D) and (N, D, D), optional
        Moments of each bin in some other space, taken as given: features of images degraded accordingly, say.
    generalization : float, "auto" or {"loss": float}
        The weight tau of the divergence from the prior. ``"auto"``: the largest one for which p is no farther from
        the target than 90 % of resamples of the target of the same size (see the documentation), and with a forecast
        any larger one whose p gains as much on the target as the best on the path, to one standard error of its gain.
        ``{"loss": 0.3}``: the one whose p gains most on the target among those that, by the forecast, lose at most
        0.3 dB on average over the prior, against training on the prior, one standard error included.
    forecast : TrainingForecast, optional
        Fitted, over the bins of the target; what decibels are told by.
    wasserstein_weight, frechet_weight : float
        w_W and w_F.
    lower, upper : float or array_like, shape (N,), optional
        Bounds on p. ``upper`` 0 excludes a bin.
    metric : {"euclidean", "sqeuclidean", "cityblock", "chebyshev"}, optional
        Ground metric between bin centres: by default "cityblock" on grids and "euclidean" on centroids.
    cost : array_like, shape (N, N), optional
        Ground costs from bin to bin, instead of a metric; np.inf forbids a pair.
    warm_start : CraftResult, optional
        Result of a similar problem on the same bins to start from.
    time_limit : float, optional
        Seconds after which the best point so far is returned, the search for ``"auto"`` included; on grids an exact
        transport solve for its objective is still to come.
    tol : float
        Wanted gap, relative to ``max(1, |objective|)``.
    max_iter : int
        Iterations after which the best point so far is returned.
    threads : int, optional
        Number of threads; the result does not depend on it.
    progress : callable, optional
        Called as ``progress(fraction_done, message)``.

    Returns
    -------
    CraftResult

    Raises
    ------
    TypeError, ValueError
        Where an argument is not what is expected, or no pmf satisfies the bounds, or "auto" has no answer.
    KeyboardInterrupt
        On Ctrl-C; the exception's ``result`` is the best point so far.

    Warns
    -----
    UserWarning
        When p is all but q or all but the prior, and why, for a ``generalization`` that was given; when no p keeps the
        loss that is allowed, and the nearest to the prior is returned.
    RuntimeWarning
        When the gap is above the tolerance at the end.

    See Also
    --------
    tradeoff_path : For a range of weights, to choose by eye.
    craft_many : Many problems side by side.
    fastdeg.baselines.mixture : The simple rival.

    References
    ----------
    Zhang et al., "Crafting Training Degradation Distribution for the Accuracy-Generalization Trade-off in
    Real-World Super-Resolution", ICML 2023.

    Examples
    --------
    >>> import fastdeg as fd
    >>> bins = fd.GridBins(fd.DegradationSpace([fd.Axis.regular("noise_sigma", 0, 50, 5)]))
    >>> q = fd.BinnedDistribution(bins, [0.0, 0.25, 0.5, 0.25, 0.0])
    >>> result = fd.craft(q, generalization=0.1)
    >>> result.converged, result.distribution.pmf.round(3)
    (True, array([0.026, 0.224, 0.5  , 0.224, 0.026]))
    """
    setup = build(
        target,
        prior,
        target_moments,
        bin_moments,
        wasserstein_weight,
        frechet_weight,
        lower,
        upper,
        metric,
        cost,
        threads,
    )
    _checks.progress(progress)
    if forecast is not None:
        check_forecast(forecast, target)
    solver = WarmSolver(setup, Limits.checked(time_limit, tol, max_iter, threads), warm_start)
    with single_blas_thread(), solver.interruptible():
        if isinstance(generalization, Mapping):
            loss = checked_loss(generalization, forecast)
            assert forecast is not None
            result = within_loss(solver, forecast, loss, progress)
            warn_unless_converged([result], solver.limits.tol)
            return result
        if isinstance(generalization, str) and forecast is not None:
            tau = within_one_error(solver, generalization, forecast, progress)
        else:
            tau = solver.tau(generalization, progress)
        result = solver.result(tau, progress)
    if not isinstance(generalization, str) or not result.converged:
        warn_of_extremes(setup, result)
    warn_unless_converged([result], solver.limits.tol)
    return result


def tradeoff_path(
    target: BinnedDistribution,
    generalizations: Sequence[float] | np.ndarray | None = None,
    **craft_options: Any,
) -> TradeoffPath:
    """Craft along a range of generalisation weights, from the target to the prior.

    Parameters
    ----------
    target : BinnedDistribution
    generalizations : sequence of float, optional
        Increasing taus. By default 20, geometrically spaced, from where p has left the target by 1 % of total
        variation to
        where it is the prior to 1 %.
    **craft_options
        As for `craft`, but for ``generalization``. ``progress`` is told of points, ``time_limit`` holds for each. With
        ``forecast`` the path has `target_gain` and `prior_gain`, in decibels over training on the prior.

    Returns
    -------
    TradeoffPath

    See Also
    --------
    craft : One of its points.
    TrainingForecast : Tells gains and losses in decibels.

    Examples
    --------
    >>> import fastdeg as fd
    >>> bins = fd.GridBins(fd.DegradationSpace([fd.Axis.regular("noise_sigma", 0, 50, 5)]))
    >>> q = fd.BinnedDistribution(bins, [0.0, 0.25, 0.5, 0.25, 0.0])
    >>> path = fd.tradeoff_path(q, [0.01, 0.1, 1.0])
    >>> path.effective_bins.round(2)
    array([2.83, 3.35, 4.92])
    """
    if "generalization" in craft_options:
        raise TypeError("generalization: expected generalizations=, a sequence, for a path")
    defaults = {name: option.default for name, option in signature(craft).parameters.items()}
    unknown = set(craft_options) - set(defaults)
    if unknown:
        raise TypeError(f"tradeoff_path: unknown option {unknown.pop()!r}")
    options = defaults | craft_options | {"target": target}
    del options["generalization"]
    progress, warm_start, forecast = (options.pop(name) for name in ("progress", "warm_start", "forecast"))
    _checks.progress(progress)
    if forecast is not None:
        check_forecast(forecast, target)
    time_limit, tol, max_iter = (options.pop(name) for name in ("time_limit", "tol", "max_iter"))
    limits = Limits.checked(time_limit, tol, max_iter, options["threads"])
    setup = build(**options)
    solver = WarmSolver(setup, limits, warm_start)
    with single_blas_thread(), solver.interruptible():
        path = assemble(setup, follow(solver, generalizations, progress))
    warn_unless_converged(path.results, limits.tol)
    return path if forecast is None else with_gains(setup, forecast, path)
