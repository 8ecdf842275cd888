"""Choosing tau in decibels, by what a forecast says of training on the distributions of the path."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

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
    from fastdeg.forecast import Gain, TrainingForecast

Point: TypeAlias = "tuple[float, Gain]"  # tau, and what training on its p gains

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


def gains(setup: Setup, forecast: TrainingForecast, pmfs: list[Float]) -> list[Gain]:
    """Return what training on each pmf over all bins gains over the prior: on the target, and on the prior."""
    distributions = [BinnedDistribution(setup.target.bins, pmf) for pmf in pmfs]
    return forecast.gains(distributions, target=setup.target, prior=setup.prior)


def with_gains(setup: Setup, forecast: TrainingForecast, path: TradeoffPath) -> TradeoffPath:
    """Return a path with the gains of its crafted distributions and of its mixtures."""
    q, prior = setup.target.pmf, setup.prior.pmf
    pmfs = [result.distribution.pmf for result in path.results]
    mixed = [(1 - weight) * q + weight * prior for weight in path.mixture_weights]
    found = np.array([(gain.target, gain.prior) for gain in gains(setup, forecast, pmfs + mixed)])
    crafted, mixtures = np.split(found, 2)
    return replace(
        path,
        crafted=replace(path.crafted, target_gain=crafted[:, 0], prior_gain=crafted[:, 1]),
        mixtures=replace(path.mixtures, target_gain=mixtures[:, 0], prior_gain=mixtures[:, 1]),
    )


def most_lost(gain: Gain) -> float:
    """Return the loss over the prior, in decibels, with its standard error on top where it is known."""
    return float(np.nansum([-gain.prior, gain.prior_error]))


class Search:
    """The distributions of a path, solved roughly, and what training on them gains, by tau."""

    def __init__(
        self, solver: WarmSolver, forecast: TrainingForecast, progress: Progress | None, done: float = 0.0
    ) -> None:
        self.solver, self.forecast, self.progress, self.done = solver, forecast, progress, done
        if solver.deadline is None:  # of the search and of the last solve together
            solver.deadline = time.perf_counter() + solver.limits.seconds
        try:
            self.taus = taus_between_ends(solver, _POINTS)
        except ValueError:
            raise ValueError(
                "generalization: expected a number, since a forecast has nothing to choose from where the target is "
                "the prior, or only one distribution is allowed"
            ) from None
        self.step = float(np.sqrt(self.taus[1] / self.taus[0]))

    @property
    def late(self) -> bool:
        assert self.solver.deadline is not None
        return time.perf_counter() > self.solver.deadline

    def gain(self, tau: float) -> Gain:
        p = self.solver.roughly(tau).p
        return gains(self.solver.setup, self.forecast, [self.solver.setup.full(p / p.sum())])[0]

    def from_prior(self, enough: Callable[[list[Point]], bool]) -> list[Point]:
        """Return the points of the path, from the prior on, until those found are enough or the time is up."""
        found: list[Point] = []
        for tau in map(float, self.taus[::-1]):
            gain = self.gain(tau)
            found.append((tau, gain))
            if self.progress is not None:
                done = self.done + (_SEARCH - self.done) * len(found) / len(self.taus)
                self.progress(done, f"tau {tau:.3g}: {gain.target:+.2f} dB, {gain.prior:+.2f} dB elsewhere")
            if self.late or enough(found):
                break
        return found


def within_loss(solver: WarmSolver, forecast: TrainingForecast, loss: float, progress: Progress | None) -> CraftResult:
    """Return the p on the path that gains most on the target among those that lose at most ``loss`` dB over the prior.

    Their loss counts with its standard error over groups of images on top. Where none keeps the limit, the p next to
    the prior, with a warning.
    """
    search = Search(solver, forecast, progress)
    found = search.from_prior(  # the loss falls with tau
        lambda points: len(points) > 2 and all(most_lost(gain) > loss for _, gain in points[-2:])
    )
    allowed = [point for point in found if most_lost(point[1]) <= loss]
    if not allowed:
        warnings.warn(
            f"generalization: no p on the path loses as little as {loss:g} dB by the forecast; took the one nearest to "
            f"the prior, which loses {most_lost(found[0][1]):.3g} dB",
            stacklevel=3,
        )
        return solver.result(found[0][0], progress)
    best = max(allowed, key=lambda point: point[1].target)
    step = search.step
    for _ in range(_HALVINGS):
        if search.late:
            break
        for tau in (best[0] / step, best[0] * step):
            gain = search.gain(tau)
            if most_lost(gain) <= loss and gain.target > best[1].target:
                best = tau, gain
                break
        step = step**0.5
    tau = best[0]
    for _ in range(_NUDGES):
        result = solver.result(tau, progress)
        if most_lost(gains(solver.setup, forecast, [result.distribution.pmf])[0]) <= loss:
            break
        tau *= _NUDGE
    return result


def within_one_error(solver: WarmSolver, rule: str, forecast: TrainingForecast, progress: Progress | None) -> float:
    """Return the largest tau whose p gains as much on the target as the best on the path, to one standard error.

    The error is that of the best one's gain over groups of images: the rule of one standard error (Breiman et al. 1984)
    with the prior as the simplest model. Not less than what the ``rule`` says without a forecast.
    """

    def told(done: float, message: str) -> None:
        if progress is not None:
            progress(done / 2, message)

    least = solver.tau(rule, told)
    search = Search(solver, forecast, progress, _SEARCH / 2)
    found = search.from_prior(lambda points: points[-1][0] < least)
    best = max((gain for _, gain in found), key=lambda gain: gain.target)
    enough = float(np.nansum([best.target, -best.target_error]))
    tau = max(tau for tau, gain in found if gain.target >= enough)
    step = search.step
    for _ in range(_HALVINGS):
        if search.late:
            break
        if search.gain(tau * step).target >= enough:
            tau *= step
        step = step**0.5
    return max(tau, least)
