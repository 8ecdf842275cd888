"""Choosing tau: generalise exactly as far as the evidence cannot contradict."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fastdeg._threads import thread_count, worker_pool
from fastdeg._types import Float
from fastdeg.crafting.problem.arguments import Setup
from fastdeg.crafting.problem.bounded_simplex import entropy_term, linear_entropic_minimum
from fastdeg.crafting.problem.problem import Problem, Solution
from fastdeg.crafting.result import total_variation
from fastdeg.distances.transport import emd
from fastdeg.transport.metrics import ground_costs
from fastdeg.transport.network import solve_matrix

N_RESAMPLES = 200
QUANTILE = 0.9
KL_SHARE = 0.7
_PRECISION = 1e-3  # of log tau
_FACTOR = 4.0  # from one tau to the next before it lies between two
_MOST_STEPS = 100
_LARGEST_EXCESS = 30.0  # in size, of logarithms
_FEW = 200  # bins of the target: a cost matrix and one thread are better for the transport from resamples

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
        return _largest(problem, solve, late, lambda solution: _log(distance_to_target(setup, solution) / radius))
    wanted = KL_SHARE * kl
    return _largest(problem, solve, late, lambda solution: -_log(entropy_term(solution.p, problem.prior) / wanted))


def _log(value: float) -> float:
    return float(np.log(max(value, 1e-300)))


def evidence_radius(setup: Setup) -> float:
    """Return the 90 % quantile of w_F FD² + w_W W between the target and its bootstrap resamples; 0 without
    evidence."""
    n_samples, problem, weight = setup.target.n_samples, setup.problem, setup.wasserstein_weight
    if n_samples is None or (problem.frechet_weight == 0 and weight == 0):
        return 0.0
    q = setup.target.pmf[setup.usable]
    support = np.flatnonzero(q > 0)
    if len(support) == 1:
        return 0.0
    target = q[support] / q.sum()
    resamples = np.random.default_rng(0).multinomial(n_samples, target, size=N_RESAMPLES) / n_samples
    transport = _transport_to(target, setup, support) if weight > 0 else lambda shares: 0.0

    def distance(shares: Float) -> float:
        resample = np.zeros_like(q)
        resample[support] = shares
        return problem.frechet_weight * max(problem.frechet.value(resample), 0.0) + weight * transport(shares)

    threads = setup.threads if len(support) >= _FEW and weight > 0 else 1
    return float(np.quantile(_in_threads(distance, resamples, threads), QUANTILE))


def _transport_to(target: Float, setup: Setup, support: NDArray[np.intp]) -> Callable[[Float], float]:
    """Return the earth mover's distance to the target as a function of other masses of the bins that it has mass in."""
    centers, metric = setup.target.bins.standardized_centers()[setup.usable[support]], setup.metric
    if setup.cost is None and len(support) >= _FEW:
        return lambda shares: float(emd(shares, target, centers, metric=metric, threads=1).value)
    cost = ground_costs(centers, centers, metric) if setup.cost is None else setup.cost[np.ix_(support, support)]
    return lambda shares: solve_matrix(shares, target, cost, 1).value


def _in_threads(function: Callable[[Float], float], arguments: Float, threads: int | None) -> list[float]:
    """Return the values at all arguments, which are found side by side; an interrupt ends that."""
    count = thread_count(threads)
    if count == 1:
        return [function(argument) for argument in arguments]
    with worker_pool(count) as pool:
        values = [pool.submit(function, argument) for argument in arguments]
        try:
            return [value.result() for value in values]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def typical_tau(problem: Problem) -> float:
    """Return a tau of the scale of the problem: what leaving the target for the prior costs per nat."""
    cost = problem.transport.independent(problem.prior) + problem.frechet_weight * max(
        problem.frechet.value(problem.prior / problem.prior.sum()), 0.0
    )
    return max(cost, 1e-9)


def limit(problem: Problem) -> np.ndarray:
    """Return the p of an infinite tau: the feasible one nearest to the prior in KL."""
    return linear_entropic_minimum(np.zeros(problem.n_bins), problem.prior, 1.0, problem.lower, problem.upper)[1]


def _largest(problem: Problem, solve: Solve, late: Callable[[], bool], excess: Callable[[Solution], float]) -> float:
    """Return the largest tau, to 0.1 %, at which an excess that rises with it is not positive; less exactly when late.

    By the secant of the excess over log tau, past its root as seen from the nearer end, so that both ends close in.
    """
    scale = typical_tau(problem)
    end = limit(problem)
    tau = scale / 4
    below, above = (-np.inf, 0.0), (np.inf, 0.0)  # logarithm of tau, excess
    for step in range(_MOST_STEPS):
        solution = solve(tau)
        here = float(np.log(tau)), max(excess(solution), -_LARGEST_EXCESS)
        if here[1] <= 0:
            below = here
        else:
            above = here
        width = above[0] - below[0]
        if late() or width <= _PRECISION:
            break
        if below is here and width == np.inf and total_variation(solution.p, end) < 1e-4:
            return tau  # the limit of all tau is within the radius
        if width == np.inf:
            if tau < 1e-9 * scale:
                break
            tau *= _FACTOR if below is here else 1 / _FACTOR
            continue
        share = 0.5
        if step % 3:
            share = below[1] / (below[1] - above[1])
            share += (0.4 if share < 0.5 else -0.4) * _PRECISION / width
        tau = float(np.exp(below[0] + min(max(share, 0.05), 0.95) * width))
    return float(np.exp(below[0])) if below[0] > -np.inf else tau
