"""Crafting the training distribution: the convex problem, its solvers and their certificates."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastdeg import _checks
from fastdeg.crafting import path as _path
from fastdeg.crafting.generalization import automatic
from fastdeg.crafting.path import Curve, TradeoffPath
from fastdeg.crafting.problem import PlanTransport
from fastdeg.crafting.result import CraftResult, finish, warn_of_extremes
from fastdeg.crafting.setup import Setup, build
from fastdeg.crafting.solver import Progress, Solution, as_flow, single_blas_thread, solve
from fastdeg.crafting.splitting import solves_serially
from fastdeg.distribution import BinnedDistribution
from fastdeg.kernels._jit import thread_count

__all__ = ["CraftResult", "Curve", "TradeoffPath", "craft", "tradeoff_path"]


def craft(
    target: BinnedDistribution,
    *,
    prior: BinnedDistribution | None = None,
    target_moments: tuple[ArrayLike, ArrayLike] | None = None,
    bin_moments: tuple[ArrayLike, ArrayLike] | None = None,
    generalization: float | str = "auto",
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
    generalization : float or "auto"
        The weight tau of the divergence from the prior. ``"auto"``: the largest one for which p is no farther from
        the target
        than 90 % of resamples of the target of the same size (see the documentation).
    wasserstein_weight, frechet_weight : float
        w_W and w_F.
    lower, upper : float or array_like, shape (N,), optional
        Bounds on p. ``upper`` 0 excludes a bin.
    metric : {"euclidean", "sqeuclidean", "cityblock", "chebyshev"}, optional
        Ground metric between bin centres: by default "cityblock" on grids and "euclidean" on centroids.
    cost : array_like, shape (N, N), optional
        Ground costs from bin to bin, instead of a metric.
    warm_start : CraftResult, optional
        Result of a similar problem on the same bins to start from.
    time_limit : float, optional
        Seconds after which the best point so far is returned.
    tol : float
        Wanted gap, relative to max(1, |objective|).
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
        When p is all but q or all but the prior, and why.

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
    options = _limits(time_limit, tol, max_iter, warm_start, threads)
    with single_blas_thread():
        tau = _tau(setup, generalization, options)
        result = _solve(setup, tau, options, progress)
    warn_of_extremes(setup, result)
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
        As for `craft`, but for ``generalization``. ``progress`` is told of points, ``time_limit`` holds for each. On
        grids with the city-block metric the path is solved from both ends at once, unless ``threads`` is 1.

    Returns
    -------
    TradeoffPath

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
    options: dict[str, Any] = dict.fromkeys(
        ("prior", "target_moments", "bin_moments", "lower", "upper", "metric", "cost", "time_limit", "warm_start")
    )
    options |= {"wasserstein_weight": 1.0, "frechet_weight": 1.0, "tol": 1e-6, "max_iter": 20_000}
    options |= {"threads": None, "progress": None}
    unknown = set(craft_options) - set(options)
    if unknown:
        raise TypeError(f"tradeoff_path: unknown option {unknown.pop()!r}")
    options |= craft_options
    progress = options.pop("progress")
    limits = _limits(*(options.pop(key) for key in ("time_limit", "tol", "max_iter", "warm_start", "threads")))
    setup = build(target, **options, threads=limits["threads"])
    # two halves, each from its end, the prior and the target; plans go down from the prior all the way
    flow = as_flow(setup.problem.with_tau(1.0))
    upper, lower = limits, limits if flow is None else dict(limits)
    halves = _path.TwoHalves(flow is not None and solves_serially(flow) and thread_count(limits["threads"]) > 1)
    results: dict[int, CraftResult] = {}

    def follow(points: Sequence[int], keep: dict[str, Any], told: Progress | None) -> None:
        for k in points:
            result = _solve(setup, float(taus[k]), keep, halves.check)
            results[k] = result if k == len(taus) - 1 else dataclasses.replace(result, _state=None)
            if told is not None:
                told(len(results) / len(taus), f"tau {taus[k]:.3g}, gap {result.gap:.1e}")

    with single_blas_thread():
        if generalizations is None:
            first, last = _path.ends(
                setup.problem,
                lambda tau: _rough(setup, tau, upper, 1e-4, halves.check),
                lambda tau: _rough(setup, tau, lower, 1e-4, halves.check),
                halves,
            )
            taus = np.geomspace(first, last, _path.N_POINTS)
        else:
            taus = _path.checked(generalizations)
        middle = 0 if flow is None else 3 * len(taus) // 5  # points near the prior take longer
        halves(
            lambda: follow(range(len(taus) - 1, middle - 1, -1), upper, progress),
            lambda: follow(range(middle), lower, None if halves.concurrently else progress),
        )
        if progress is not None and halves.concurrently:
            progress(1.0, f"{len(taus)} points")
        return _path.assemble(setup, [results[k] for k in range(len(taus))])


def _limits(
    time_limit: float | None, tol: float, max_iter: int, warm_start: CraftResult | None, threads: int | None
) -> dict[str, Any]:
    if warm_start is not None and not isinstance(warm_start, CraftResult):
        raise TypeError(f"warm_start: expected a CraftResult or None, got {type(warm_start).__name__}")
    seconds = np.inf if time_limit is None else _checks.number(time_limit, "time_limit", positive=True)
    return {
        "tol": _checks.number(tol, "tol", 0),
        "max_iter": _checks.integer(max_iter, "max_iter", 0),
        "seconds": seconds,
        "threads": threads,
        "warm_start": None if warm_start is None else warm_start._state,
    }


def _tau(setup: Setup, generalization: float | str, limits: dict[str, Any]) -> float:
    if isinstance(generalization, str):
        _checks.choice(generalization, "generalization", ("auto",))
        return automatic(setup, lambda tau: _rough(setup, tau, limits))
    return _checks.number(generalization, "generalization", 0)


def _rough(
    setup: Setup, tau: float, limits: dict[str, Any], coarse: float = 1e-5, progress: Progress | None = None
) -> Solution:
    """Solve well enough to choose tau by, from where the last call ended; ``coarse`` is the tolerance on grids."""
    few = isinstance(setup.problem.transport, PlanTransport)
    tol = max(limits["tol"], min(1e-6, 1e-3 * tau) if few else coarse)
    return _run(setup, tau, limits | {"tol": tol}, limits, progress)


def _run(
    setup: Setup, tau: float, limits: dict[str, Any], keep: dict[str, Any], progress: Progress | None = None
) -> Solution:
    """Solve for a tau within the limits; keep where it ended, for the next one to start from."""
    solution = solve(
        setup.problem.with_tau(tau),
        tol=limits["tol"],
        max_iter=limits["max_iter"],
        deadline=time.perf_counter() + limits["seconds"],
        threads=limits["threads"],
        warm_start=limits["warm_start"],
        progress=progress,
    )
    keep["warm_start"] = solution.state
    return solution


def _solve(setup: Setup, tau: float, limits: dict[str, Any], progress: Progress | None) -> CraftResult:
    try:
        solution = _run(setup, tau, limits, limits, progress)
    except KeyboardInterrupt as interrupt:
        best: Solution = interrupt.solution  # type: ignore[attr-defined]
        interrupt.result = finish(setup, tau, best, limits["tol"], limits["threads"])  # type: ignore[attr-defined]
        raise
    return finish(setup, tau, solution, limits["tol"], limits["threads"])
