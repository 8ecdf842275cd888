"""Choosing tau: generalise exactly as far as the evidence cannot contradict."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fastdeg.crafting.problem import Problem, Solution
from fastdeg.crafting.result import total_variation
from fastdeg.crafting.setup import Setup
from fastdeg.crafting.simplex import entropy_term, linear_entropic_minimum
from fastdeg.distances.transport import emd

N_RESAMPLES = 200
QUANTILE = 0.9
KL_SHARE = 0.7
_RELATIVE_PRECISION = 1e-3  # of tau

Solve = Callable[[float], Solution]


def distance_to_target(setup: Setup, solution: Solution) -> float:
    """Return w_F FD²(p) + w_W W(p, q)."""
    return setup.problem.frechet_weight * setup.problem.frechet.value(solution.p) + solution.transport


def automatic(setup: Setup, solve: Solve, late: Callable[[], bool]) -> float:
    """Return the tau of ``generalization="auto"``.

    The largest tau whose p is no farther from the target, in w_F FD² + w_W W, than 90 % of resamples of the target of
    its own size are; without a sample size (or where that radius is 0), the tau at which KL(p ‖ prior) is 70 % of
    KL(q ‖ prior). Once it is ``late``, the nearest to it so far.

    Raises
    ------
    ValueError
        Where the rule has no answer and a number is needed.
    """
    q = setup.target.pmf[setup.usable]
    problem = setup.problem
    if q.sum() < 1 - 1e-12:
        raise ValueError(
            "generalization: expected a number, since 'auto' needs a target that the prior and the bounds allow, got "
            f"one with a mass of {1 - q.sum():.3g} where the prior or the upper bound is 0"
        )
    if (q < problem.lower - 1e-12).any() or (q > problem.upper + 1e-12).any():
        raise ValueError("generalization: expected a number, since 'auto' needs bounds that allow the target itself")
    kl = entropy_term(q, problem.prior)
    if kl <= 1e-12:
        raise ValueError(
            "generalization: expected a number, since 'auto' has no answer for a target equal to the prior"
        )
    radius = evidence_radius(setup)
    if radius > 0:
        return _largest(problem, solve, late, lambda solution: distance_to_target(setup, solution) <= radius)
    return _largest(problem, solve, late, lambda solution: entropy_term(solution.p, problem.prior) >= KL_SHARE * kl)


def evidence_radius(setup: Setup) -> float:
    """Return the 90 % quantile of w_F FD² + w_W W between the target and its bootstrap resamples; 0 without
    evidence."""
    n_samples, problem = setup.target.n_samples, setup.problem
    if n_samples is None or (problem.frechet_weight == 0 and setup.wasserstein_weight == 0):
        return 0.0
    q = setup.target.pmf[setup.usable]
    support = np.flatnonzero(q > 0)
    resamples = np.random.default_rng(0).multinomial(n_samples, q[support] / q.sum(), size=N_RESAMPLES) / n_samples
    if len(support) == 1:
        return 0.0
    centers = setup.target.bins.standardized_centers()[setup.usable[support]]
    points = (
        {"cost": setup.cost[np.ix_(support, support)]}
        if setup.cost is not None
        else {"x": centers, "metric": setup.metric}
    )
    distances = np.zeros(N_RESAMPLES)
    resample = np.zeros_like(q)
    for b, shares in enumerate(resamples):
        resample[support] = shares
        distances[b] = problem.frechet_weight * max(problem.frechet.value(resample), 0.0)
        if setup.wasserstein_weight > 0:
            distances[b] += setup.wasserstein_weight * float(emd(shares, q[support], **points).value)
    return float(np.quantile(distances, QUANTILE))


def typical_tau(problem: Problem) -> float:
    """Return a tau of the scale of the problem: what leaving the target for the prior costs per nat."""
    cost = problem.transport.independent(problem.prior) + problem.frechet_weight * max(
        problem.frechet.value(problem.prior / problem.prior.sum()), 0.0
    )
    return max(cost, 1e-9)


def limit(problem: Problem) -> np.ndarray:
    """Return the p of an infinite tau: the feasible one nearest to the prior in KL."""
    return linear_entropic_minimum(np.zeros(problem.n_bins), problem.prior, 1.0, problem.lower, problem.upper)[1]


def _largest(problem: Problem, solve: Solve, late: Callable[[], bool], holds: Callable[[Solution], bool]) -> float:
    """Return the largest tau, to 0.1 %, at which a condition that holds for small tau holds; less exactly when late."""
    scale = typical_tau(problem)
    end = limit(problem)
    tau, factor = scale / 4, 4.0
    solution = solve(tau)
    inside = holds(solution)
    if inside:
        while inside:
            if late() or total_variation(solution.p, end) < 1e-4:
                return tau  # the limit of all tau is within the radius
            low, tau = tau, tau * factor
            solution = solve(tau)
            inside = holds(solution)
        high = tau
    else:
        while not inside:
            if late() or tau < 1e-9 * scale:
                return tau
            high, tau = tau, tau / factor
            inside = holds(solve(tau))
        low = tau
    while high > low * (1 + _RELATIVE_PRECISION) and not late():
        middle = float(np.sqrt(low * high))
        if holds(solve(middle)):
            low = middle
        else:
            high = middle
    return low
