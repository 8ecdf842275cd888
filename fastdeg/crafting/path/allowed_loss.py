"""Choosing tau by decibels: the p that gains most on the target among those that lose no more than is allowed."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fastdeg import _checks
from fastdeg._types import Float, Progress
from fastdeg.crafting.path.curve import TradeoffPath
from fastdeg.crafting.path.follow import taus_between_ends
from fastdeg.crafting.path.warm_solver import WarmSolver
from fastdeg.crafting.problem.arguments import Setup
from fastdeg.crafting.result import CraftResult
from fastdeg.distribution import BinnedDistribution

if TYPE_CHECKING:
    from fastdeg.forecast import TrainingForecast

_POINTS = 12  # of the path on which the best one is sought
_HALVINGS = 6  # of the step between two of them, in log tau: to 1 % where they are a factor of 2 apart
_SEARCH = 0.9  # share of it, as progress is told
_NUDGE, _NUDGES = 1.01, 10  # of tau, where what was solved to the tolerance loses a little more


def checked_loss(generalization: Mapping[Any, Any], forecast: Any) -> float:
    """Return the loss that ``generalization={"loss": ...}`` allows, in decibels, or raise."""
    if set(generalization) != {"loss"}:
        given = ", ".join(map(repr, generalization)) or "none"
        raise ValueError(f'generalization: expected the key "loss" alone, got {given}')
    if forecast is None:
        raise ValueError('generalization: {"loss": ...} needs forecast=, a fitted TrainingForecast, got None')
    return _checks.number(generalization["loss"], 'generalization["loss"]', 0)


def check_forecast(forecast: Any, target: BinnedDistribution) -> None:
    """Raise where a forecast is none for the target's bins."""
    from fastdeg.forecast import TrainingForecast

    if not isinstance(forecast, TrainingForecast):
        raise TypeError(f"forecast: expected a TrainingForecast or None, got {type(forecast).__name__}")
    if forecast.bins != target.bins:
        raise ValueError("forecast: expected one for the bins of the target, got one for other bins")


def gains(setup: Setup, forecast: TrainingForecast, pmfs: list[Float]) -> tuple[Float, Float]:
    """Return what training on each pmf over all bins gains over the prior: on the target, and on the prior."""
    distributions = [BinnedDistribution(setup.target.bins, pmf) for pmf in pmfs]
    found = forecast.gains(distributions, target=setup.target, prior=setup.prior)
    return np.array([gain.target for gain in found]), np.array([gain.prior for gain in found])


def with_gains(setup: Setup, forecast: TrainingForecast, path: TradeoffPath) -> TradeoffPath:
    """Return a path with the gains of its crafted distributions and of its mixtures."""
    q, prior = setup.target.pmf, setup.prior.pmf
    pmfs = [result.distribution.pmf for result in path.results]
    mixed = [(1 - weight) * q + weight * prior for weight in path.mixture_weights]
    target_gain, prior_gain = (np.split(gain, 2) for gain in gains(setup, forecast, pmfs + mixed))
    return replace(
        path,
        crafted=replace(path.crafted, target_gain=target_gain[0], prior_gain=prior_gain[0]),
        mixtures=replace(path.mixtures, target_gain=target_gain[1], prior_gain=prior_gain[1]),
    )


def within_loss(solver: WarmSolver, forecast: TrainingForecast, loss: float, progress: Progress | None) -> CraftResult:
    """Return the p on the path that gains most on the target and loses at most ``loss`` dB over the prior.

    Where none does, the p next to the prior, with a warning.
    """
    setup, deadline = solver.setup, time.perf_counter() + solver.limits.seconds
    solver.deadline = deadline  # of the search and of the last solve together
    try:
        taus = taus_between_ends(solver, _POINTS)
    except ValueError:
        raise ValueError(
            'generalization: expected a number, since {"loss": ...} has nothing to choose from where the target is the '
            "prior, or only one distribution is allowed"
        ) from None

    def judged(tau: float) -> tuple[float, float, float]:
        p = solver.roughly(tau).p
        gain, prior_gain = gains(setup, forecast, [setup.full(p / p.sum())])
        return tau, float(gain[0]), -float(prior_gain[0])

    found: list[tuple[float, float, float]] = []  # tau, gain, loss
    for tau in taus[::-1]:
        found.append(judged(float(tau)))
        if progress is not None:
            told = f"tau {tau:.3g}: {found[-1][1]:+.2f} dB, loss {found[-1][2]:.2f} dB"
            progress(_SEARCH * len(found) / len(taus), told)
        if time.perf_counter() > deadline or (len(found) > 2 and all(point[2] > loss for point in found[-2:])):
            break  # the loss falls with tau
    allowed = [point for point in found if point[2] <= loss]
    if not allowed:
        warnings.warn(
            f"generalization: no p on the path loses as little as {loss:g} dB by the forecast; took the one nearest to "
            f"the prior, which loses {found[0][2]:.3g} dB",
            stacklevel=3,
        )
        return solver.result(found[0][0], progress)
    best = max(allowed, key=lambda point: point[1])
    step = float(np.sqrt(taus[1] / taus[0]))
    for _ in range(_HALVINGS):
        if time.perf_counter() > deadline:
            break
        for tau in (best[0] / step, best[0] * step):
            point = judged(tau)
            if point[2] <= loss and point[1] > best[1]:
                best = point
                break
        step = step**0.5
    tau = best[0]
    for _ in range(_NUDGES):
        result = solver.result(tau, progress)
        if -gains(setup, forecast, [result.distribution.pmf])[1][0] <= loss:
            break
        tau *= _NUDGE
    return result
