"""What a trade-off path shows: accuracy against generalisation of what was crafted, and of mixtures beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import xlogy

from fastdeg import baselines
from fastdeg.crafting.problem import Problem
from fastdeg.crafting.result import CraftResult
from fastdeg.crafting.setup import TRUE_METRICS, Setup
from fastdeg.crafting.simplex import entropy_term
from fastdeg.crafting.solver import as_flow
from fastdeg.crafting.splitting import GridState
from fastdeg.distribution import BinnedDistribution

Float = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Curve:
    """Accuracy against generalisation of a sequence of distributions.

    Attributes
    ----------
    distance_to_target : ndarray
        w_F FD² + w_W W to the target: small is accurate on the application.
    kl_to_prior : ndarray
        KL to the broad prior in nats: small is general.
    effective_bins : ndarray
        exp(entropy).
    worst_axis_coverage : ndarray
        Overlap Σ min(p, prior) of the marginals on the axis where it is least; of the joint pmfs for bins without axes.
    """

    distance_to_target: Float
    kl_to_prior: Float
    effective_bins: Float
    worst_axis_coverage: Float


@dataclass(frozen=True, eq=False)
class TradeoffPath:
    """Crafted distributions from the target to the prior, and the plain mixtures beside them.

    Attributes
    ----------
    results : tuple of CraftResult
        One for each tau, each with its certificate.
    generalizations : ndarray
        The taus, increasing.
    crafted : Curve
    mixture_weights : ndarray
        λ of the mixture (1 − λ) q + λ prior that is as general (in KL to the prior) as each crafted distribution.
    mixtures : Curve
        Of those mixtures.
    """

    results: tuple[CraftResult, ...]
    generalizations: Float
    crafted: Curve
    mixture_weights: Float
    mixtures: Curve

    @property
    def distance_to_target(self) -> Float:
        """Of the crafted distributions."""
        return self.crafted.distance_to_target

    @property
    def kl_to_prior(self) -> Float:
        """Of the crafted distributions."""
        return self.crafted.kl_to_prior

    @property
    def effective_bins(self) -> Float:
        """Of the crafted distributions."""
        return self.crafted.effective_bins

    @property
    def worst_axis_coverage(self) -> Float:
        """Of the crafted distributions."""
        return self.crafted.worst_axis_coverage


def assemble(setup: Setup, results: list[CraftResult]) -> TradeoffPath:
    """Measure the crafted distributions and the mixtures of the same KL to the prior."""
    target, prior = setup.target, setup.prior
    weights, mixtures = [], []
    kl_to_prior = [result.terms["kl"] for result in results]
    for kl in kl_to_prior:
        weight = _matching_weight(target.pmf, prior.pmf, kl)
        weights.append(weight)
        mixtures.append(baselines.mixture(target, prior, weight))
    distances = [
        setup.problem.frechet_weight * result.terms["frechet"]
        + (setup.wasserstein_weight * result.terms["wasserstein"] if setup.wasserstein_weight > 0 else 0.0)
        for result in results
    ]
    crafted = [result.distribution for result in results]
    return TradeoffPath(
        results=tuple(results),
        generalizations=np.array([result.generalization for result in results]),
        crafted=_curve(setup, crafted, distances, kl_to_prior),
        mixture_weights=np.array(weights),
        mixtures=_curve(
            setup,
            mixtures,
            _mixture_distances(setup, weights, results[-1]._state),
            [_kl(mixture.pmf, prior.pmf) for mixture in mixtures],
        ),
    )


def _mixture_distances(setup: Setup, weights: list[float], state: Any) -> list[float]:
    """Return w_F FD² + w_W W of mixtures to the target; nan where they have mass on bins that p may not use.

    W((1 − λ) q + λ prior, q) is λ W(prior, q) for a metric, which leaves common mass where it is.
    """
    problem, usable = setup.problem, setup.usable
    target, prior = setup.target.pmf, setup.prior.pmf
    moving = setup.wasserstein_weight > 0
    whole: float | None = None
    distances = []
    for weight in weights:
        mixture = (1 - weight) * target + weight * prior
        p = mixture[usable]
        if p.sum() < 1 - 1e-9:
            distances.append(float("nan"))
            continue
        distance = problem.frechet_weight * max(problem.frechet.value(p), 0.0)
        if moving and setup.metric in TRUE_METRICS:
            if whole is None:
                whole = _exact(problem, prior[usable] / prior[usable].sum(), state)
            distance += weight * whole
        elif moving:
            distance += problem.transport.exact(p / p.sum())
        distances.append(distance)
    return distances


def _exact(problem: Problem, p: Float, state: Any) -> float:
    """Return the exact cost of transport from p to q, found from where the solution for a p nearby ended."""
    flow = as_flow(problem.with_tau(1.0))
    if flow is None or not isinstance(state, GridState) or state.polish is None:
        return problem.transport.exact(p)
    return flow.exact(p, near=state.polish.tree)


def _kl(p: Float, prior: Float) -> float:
    if (p[prior == 0] > 0).any():
        return float("inf")
    positive = prior > 0
    return entropy_term(p[positive], prior[positive])


def _matching_weight(q: Float, prior: Float, kl: float) -> float:
    """Return the λ at which KL((1 − λ) q + λ prior ‖ prior), which falls with λ, is ``kl``."""
    here = q > 0
    if (prior[here] == 0).any():
        return 1.0  # with any of q, the divergence is infinite
    ratio, weights = q[here] / prior[here], prior[here]
    elsewhere = 1 - float(weights.sum())  # where q is 0, the mixture over the prior is λ

    def excess(weight: float) -> float:
        mixed = (1 - weight) * ratio + weight
        return float(weights @ (mixed * np.log(mixed))) + elsewhere * float(xlogy(weight, weight)) - kl

    if excess(0.0) <= 0:
        return 0.0
    return float(brentq(excess, 0.0, 1.0, xtol=1e-12)) if excess(1.0) < 0 else 1.0


def _curve(
    setup: Setup, distributions: list[BinnedDistribution], distances: list[float], kl_to_prior: list[float]
) -> Curve:
    broad = _marginals(setup.prior)
    coverages = [
        min(float(np.minimum(*pair).sum()) for pair in zip(_marginals(distribution), broad, strict=True))
        for distribution in distributions
    ]
    return Curve(
        distance_to_target=np.array(distances),
        kl_to_prior=np.array(kl_to_prior),
        effective_bins=np.array([distribution.effective_bins() for distribution in distributions]),
        worst_axis_coverage=np.array(coverages),
    )


def _marginals(distribution: BinnedDistribution) -> list[Float]:
    """Return the pmf along each axis; of bins without axes, the joint one."""
    space = distribution.bins.space
    return [distribution.pmf] if space is None else [distribution.marginal(axis) for axis in range(space.ndim)]
