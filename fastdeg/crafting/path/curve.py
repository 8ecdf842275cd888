"""What a trade-off path shows: accuracy against generalisation of what was crafted, and of mixtures beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fastdeg._types import ByValue, Float
from fastdeg.crafting.problem.arguments import Setup
from fastdeg.crafting.result import CraftResult
from fastdeg.distribution import BinnedDistribution
from fastdeg.transport.metrics import obeys_triangle

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_KL_TOL = 1e-12  # of a mixture's divergence from the one that is wanted, relative
_NEWTON_STEPS = 200
_NEARLY_ALL = 1 - 2.0**-53  # the largest weight of a mixture that is not the prior
_ALL = 1 - 1e-9  # mass on bins that p may use


@dataclass(frozen=True, eq=False)
class Curve(ByValue):
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
    target_gain, prior_gain : ndarray or None
        Decibels over training on the prior, on the target and over the prior, where a forecast was given.
    """

    distance_to_target: Float
    kl_to_prior: Float
    effective_bins: Float
    worst_axis_coverage: Float
    target_gain: Float | None = None
    prior_gain: Float | None = None


@dataclass(frozen=True, eq=False)
class TradeoffPath(ByValue):
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

    @property
    def target_gain(self) -> Float | None:
        """Of the crafted distributions, in decibels on the target; None without a forecast."""
        return self.crafted.target_gain

    @property
    def prior_gain(self) -> Float | None:
        """Of the crafted distributions, in decibels over the prior; None without a forecast."""
        return self.crafted.prior_gain

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw accuracy against generalisation: the crafted distributions, and the mixtures beside them.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            A new figure by default.

        Returns
        -------
        Axes
        """
        from fastdeg import plotting

        return plotting.tradeoff(self, ax)

    def __repr__(self) -> str:
        certified = sum(result.converged for result in self.results)
        ends = f"τ {self.generalizations[0]:.3g}..{self.generalizations[-1]:.3g}" if self.results else "none"
        return f"TradeoffPath({len(self.results)} points, {ends}, {certified} certified)"

    def _repr_html_(self) -> str:
        from fastdeg import plotting

        rows = [
            (f"τ = {tau:.3g}", f"distance to target {distance:.4g}, KL to prior {kl:.4g}, {bins:.1f} effective bins")
            for tau, distance, kl, bins in zip(
                self.generalizations, self.distance_to_target, self.kl_to_prior, self.effective_bins, strict=True
            )
        ]
        shown = rows if len(rows) <= 8 else [*rows[:4], ("…", ""), *rows[-3:]]
        return plotting.card("TradeoffPath", shown, lambda figure: plotting.tradeoff(self, figure.subplots()))


def assemble(setup: Setup, results: list[CraftResult]) -> TradeoffPath:
    """Measure the crafted distributions and the mixtures of the same KL to the prior."""
    broad, narrow = _marginals(setup.prior), _marginals(setup.target)
    kl_to_prior = np.array([result.terms["kl"] for result in results])
    mixtures = Mixtures(setup.target.pmf, setup.prior.pmf)

    weights: list[float] = []
    mixture_kl: list[float] = []
    for kl in kl_to_prior:
        weight, reached = mixtures.matching(float(kl), weights[-1] if weights else 0.0)
        weights.append(weight)
        mixture_kl.append(reached)
    crafted = Curve(
        distance_to_target=np.array([_distance(setup, result) for result in results]),
        kl_to_prior=kl_to_prior,
        effective_bins=np.array([result.distribution.effective_bins() for result in results]),
        worst_axis_coverage=np.array([_coverage(_marginals(result.distribution), broad) for result in results]),
    )
    whole = _prior_transport(setup)
    return TradeoffPath(
        results=tuple(results),
        generalizations=np.array([result.generalization for result in results]),
        crafted=crafted,
        mixture_weights=np.array(weights),
        mixtures=Curve(
            distance_to_target=np.array(_mixture_distances(setup, weights, whole)),
            kl_to_prior=np.array(mixture_kl),
            effective_bins=np.array([mixtures.effective_bins(*pair) for pair in zip(weights, mixture_kl, strict=True)]),
            worst_axis_coverage=np.array(
                [
                    _coverage([(1 - w) * q + w * prior for q, prior in zip(narrow, broad, strict=True)], broad)
                    for w in weights
                ]
            ),
        ),
    )


class Mixtures:
    """The mixtures (1 − λ) q + λ prior by their weight λ, with no need of their pmfs."""

    def __init__(self, q: Float, prior: Float) -> None:
        here = q > 0
        self.outside = bool((prior[here] == 0).any())  # then the divergence is infinite for all but the prior
        self.prior, self.ratio = prior[here], q[here] / np.where(prior[here] > 0, prior[here], 1.0)
        self.elsewhere = max(1 - float(self.prior.sum()), 0.0)  # where q is 0, the mixture over the prior is λ
        logs = np.log(np.where(prior > 0, prior, 1.0))
        self.cross = float(q @ logs), float(prior @ logs)
        self.largest_kl = self.divergence(0.0)[0]

    def divergence(self, weight: float) -> tuple[float, float]:
        """Return KL(mixture ‖ prior), which falls with the weight, and its derivative with respect to the weight."""
        if weight == 1:
            return 0.0, 0.0
        if self.outside:
            return float("inf"), 0.0
        mixed = (1 - weight) * self.ratio + weight
        logs = np.log(mixed)
        value, slope = float(self.prior @ (mixed * logs)), float(self.prior @ ((1 - self.ratio) * (logs + 1)))
        if weight > 0:
            log = float(np.log(weight))
            value, slope = value + self.elsewhere * weight * log, slope + self.elsewhere * (log + 1)
        return max(value, 0.0), slope

    def matching(self, kl: float, start: float) -> tuple[float, float]:
        """Return the weight of the mixture of a given KL to the prior, and that mixture's; ``start`` is a guess.

        Newton's steps, or else bisection, for log KL as a function of −log(1 − weight): KL is at most linear and, near
        the prior, quadratic in 1 − weight, so it is nearly a line.
        """
        if self.outside or kl <= 0:
            return 1.0, 0.0
        if self.largest_kl <= kl:
            return 0.0, self.largest_kl
        low, high, x = 0.0, np.inf, -np.log1p(-min(start, _NEARLY_ALL))
        for _ in range(_NEWTON_STEPS):
            weight = -float(np.expm1(-x))
            value, slope = self.divergence(weight)
            if abs(value - kl) <= _KL_TOL * kl:
                break
            if value > kl:
                low = x
            else:
                high = x
            slope *= 1 - weight
            proposal = x + value * np.log(kl / value) / slope if value > 0 and slope < 0 else np.inf
            if not low < proposal < high:
                proposal = (low + high) / 2 if high < np.inf else 2 * low + 1e-15
            if not low < proposal < high:
                break  # no number is left between them
            x = proposal
        return weight, value

    def effective_bins(self, weight: float, kl: float) -> float:
        """Return exp(entropy): the entropy is −KL − Σ mixture log prior."""
        return float(np.exp(-kl - (1 - weight) * self.cross[0] - weight * self.cross[1]))


def _distance(setup: Setup, result: CraftResult) -> float:
    """Return w_F FD² + w_W W of a crafted distribution to the target."""
    moved = setup.wasserstein_weight * result.terms["wasserstein"] if setup.wasserstein_weight > 0 else 0.0
    return setup.problem.frechet_weight * result.terms["frechet"] + moved


def _mixture_distances(setup: Setup, weights: list[float], whole: float | None) -> list[float]:
    """Return w_F FD² + w_W W of mixtures to the target; nan where they have mass on bins that p may not use.

    ``whole``: what `_prior_transport` returns.
    """
    problem, usable = setup.problem, setup.usable
    q, prior = setup.target.pmf[usable], setup.prior.pmf[usable]
    frechet = problem.frechet.along(q, prior)
    distances = []
    for weight in weights:
        if (1 - weight) * q.sum() + weight * prior.sum() < _ALL:
            distances.append(float("nan"))
            continue
        distance = problem.frechet_weight * max(frechet(weight), 0.0)
        if whole is not None:
            distance += weight * whole
        elif setup.wasserstein_weight > 0:
            p = (1 - weight) * q + weight * prior
            distance += problem.transport.exact(p / p.sum(), setup.threads)
        distances.append(distance)
    return distances


def _prior_transport(setup: Setup) -> float | None:
    """Return w_W W(prior, q); None where mixtures do without.

    W((1 − λ) q + λ prior, q) is λ W(prior, q) for a metric, which leaves common mass where it is.
    """
    prior = setup.prior.pmf[setup.usable]
    needed = max(prior.sum(), setup.target.pmf[setup.usable].sum()) >= _ALL
    if not needed or setup.wasserstein_weight == 0 or not obeys_triangle(setup.metric):
        return None
    return setup.problem.transport.exact(prior / prior.sum(), setup.threads)


def _coverage(marginals: list[Float], broad: list[Float]) -> float:
    """Return the overlap Σ min(p, prior) of the marginals on the axis where it is least."""
    return min(float(np.minimum(*pair).sum()) for pair in zip(marginals, broad, strict=True))


def _marginals(distribution: BinnedDistribution) -> list[Float]:
    """Return the pmf along each axis; of bins without axes, the joint one."""
    space = distribution.bins.space
    return [distribution.pmf] if space is None else [distribution.marginal(axis) for axis in range(space.ndim)]
