"""Choosing tau: generalise exactly as far as the evidence cannot contradict."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from fastdeg._types import Float, Progress
from fastdeg.crafting.problem.arguments import Setup
from fastdeg.crafting.problem.bounded_simplex import entropy_term, linear_entropic_minimum
from fastdeg.crafting.problem.problem import Problem, Solution
from fastdeg.crafting.problem.transport_term import GridTransport
from fastdeg.crafting.result import total_variation
from fastdeg.crafting.strategy import current
from fastdeg.transport.cost_matrix import solve_matrix
from fastdeg.transport.grid import solve_grid
from fastdeg.transport.metrics import ground_costs, obeys_triangle

N_RESAMPLES = 200
N_EXACT, EXACT_BINS = 20, 50_000  # resamples with an exact transport, and the bins between which they move mass
QUANTILE = 0.9
KL_SHARE = 0.7
_MOST_ARCS = 1_000_000  # of a cost matrix for the transport from a resample
_BLOCK = 1_000_000  # masses of resamples at a time
_RADIUS_DONE = 0.2  # share of the search for tau, as progress is told
_PRECISION = 1e-3  # of log tau
_FACTOR = 4.0  # at most from one tau to the next before it lies between two
_MOST_STEPS = 100
_LARGEST_EXCESS = 30.0  # in size, of logarithms

Solve = Callable[[float, Progress], Solution]


def distance_to_target(setup: Setup, solution: Solution) -> float:
    """Return w_F FD²(p) + w_W W(p, q)."""
    return setup.problem.frechet_weight * setup.problem.frechet.value(solution.p) + solution.transport


def automatic(setup: Setup, solve: Solve, late: Callable[[], bool], told: Progress) -> tuple[float, Solution]:
    """Return the tau of ``generalization="auto"`` and its solution.

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
    radius, wanted = evidence_radius(setup, late, told), KL_SHARE * kl

    def excess(solution: Solution) -> float:
        if radius > 0:
            return _log(distance_to_target(setup, solution) / radius)
        return -_log(entropy_term(solution.p, problem.prior) / wanted)

    scale = typical_tau(problem)
    start = (scale * radius) ** 0.5 / 2 if radius > 0 else scale / 8  # about what it will be
    return _largest(start, problem, solve, late, told, excess)


def _log(value: float) -> float:
    return float(np.log(max(value, 1e-300)))


def evidence_radius(setup: Setup, late: Callable[[], bool] = lambda: False, told: Progress = lambda *_: None) -> float:
    """Return the 90 % quantile of w_F FD² + w_W W between the target and its bootstrap resamples; 0 without
    evidence.

    W is found for the first few resamples only. For the others it follows by linear regression on the sum of the
    earth mover's distances along each coordinate, whose correlation with W is about 0.95. Once it is ``late``, of as
    many resamples as are known by then.
    """
    n_samples, problem, weight = setup.target.n_samples, setup.problem, setup.wasserstein_weight
    if n_samples is None or (problem.frechet_weight == 0 and weight == 0):
        return 0.0
    q = setup.target.pmf[setup.usable]
    support = np.flatnonzero(q > 0)
    if len(support) == 1:
        return 0.0
    rng, target = np.random.default_rng(0), q[support] / q.sum()
    centers = setup.target.bins.standardized_centers()[setup.usable[support]]
    levels = [np.unique(x, return_inverse=True) for x in centers.T]
    features, linear = problem.frechet.features(support), problem.frechet.linear[support]
    frechet, along_axes, first = np.empty(0), np.empty(0), np.empty((0, len(support)))
    while len(frechet) < N_RESAMPLES and not (len(frechet) and late()):
        size = min(max(_BLOCK // len(support), 1), N_RESAMPLES - len(frechet))
        shares = _resamples(rng, n_samples, target, size)
        frechet = np.append(frechet, problem.frechet_weight * problem.frechet.values(shares, features, linear))
        along_axes = np.append(along_axes, weight * _transport_along_axes(shares - target, levels))
        first = np.concatenate((first, shares[: N_EXACT - len(first)]))
        told(_RADIUS_DONE / 2 * len(frechet) / N_RESAMPLES, f"{len(frechet)} resamples of the target")
    if weight == 0:
        return float(np.quantile(frechet, QUANTILE))
    exact, n_bins = np.empty(0), 0.0
    for shares in first:
        moved, between = _transport_to_target(setup, shares, target, support, centers)
        exact, n_bins = np.append(exact, weight * moved), n_bins + between
        told(_RADIUS_DONE / 2 * (1 + len(exact) / N_EXACT), f"transport from resample {len(exact)} to the target")
        if n_bins >= EXACT_BINS or late():
            break
    known, slope, errors = along_axes[: len(exact)], 1.0, np.zeros(1)  # large shifts add to W what they do along axes
    if len(exact) >= N_EXACT // 2:
        slope = float(np.cov(known, exact)[0, 1] / max(known.var(ddof=1), 1e-300))
        errors = exact - exact.mean() - slope * (known - known.mean())
        errors *= np.sqrt(len(exact) / (len(exact) - 2))
    fit = frechet + exact.mean() + slope * (along_axes - known.mean())
    return float(np.quantile(fit[:, None] + errors, QUANTILE))


def _resamples(rng: np.random.Generator, n_samples: int, target: Float, count: int) -> Float:
    """Return the shares of ``count`` resamples."""
    if n_samples > len(target):
        return rng.multinomial(n_samples, target, size=count) / n_samples
    cumulated = target.cumsum()
    drawn = np.searchsorted(cumulated / cumulated[-1], rng.random((count, n_samples)), side="right")
    return np.array([np.bincount(row, minlength=len(target)) for row in drawn]) / n_samples


def _transport_along_axes(surplus: Float, levels: list[tuple[Float, NDArray[np.intp]]]) -> Float:
    """Return the sum of the earth mover's distances along each coordinate, for each row of differences of masses.

    ``levels``: the values of each coordinate, increasing, and which of them each bin has.
    """
    total = np.zeros(len(surplus))
    for values, at in levels:
        marginals = np.array([np.bincount(at, row) for row in surplus])
        total += np.abs(np.cumsum(marginals, axis=1)[:, :-1]) @ np.diff(values)
    return total


def _transport_to_target(
    setup: Setup, shares: Float, target: Float, support: NDArray[np.intp], centers: Float
) -> tuple[float, float]:
    """Return the earth mover's distance from a resample to the target, and between how many bins mass is moved; ∞ where
    that is a flow on the whole grid, which takes as long as many others."""
    supply, demand = shares, target
    if obeys_triangle(setup.metric):  # what both have in common stays where it is
        supply, demand = np.maximum(shares - target, 0.0), np.maximum(target - shares, 0.0)
    source, sink = np.flatnonzero(supply), np.flatnonzero(demand)
    if not len(source) or not len(sink):
        return 0.0, 0.0
    if len(source) * len(sink) > _MOST_ARCS:
        resample = np.zeros(len(setup.usable))
        resample[support] = shares
        transport = setup.problem.transport
        if isinstance(transport, GridTransport):
            a, b, coordinates, _ = transport.merged(resample, current().exact_bins)
            return solve_grid(a, b, coordinates, 1)[0].value, np.inf
        return transport.exact(resample, 1) / setup.wasserstein_weight, np.inf
    if setup.cost is not None:
        cost = setup.cost[np.ix_(support[source], support[sink])]
    else:
        cost = ground_costs(centers[source], centers[sink], setup.metric)
    moved = float(supply.sum())
    return moved * solve_matrix(supply[source] / moved, demand[sink] / demand.sum(), cost, 1).value, len(source) + len(
        sink
    )


def typical_tau(problem: Problem) -> float:
    """Return a tau of the scale of the problem: what leaving the target for the prior costs per nat."""
    cost = problem.transport.independent(problem.prior) + problem.frechet_weight * max(
        problem.frechet.value(problem.prior / problem.prior.sum()), 0.0
    )
    return max(cost, 1e-9)


def limit(problem: Problem) -> np.ndarray:
    """Return the p of an infinite tau: the feasible one nearest to the prior in KL."""
    return linear_entropic_minimum(np.zeros(problem.n_bins), problem.prior, 1.0, problem.lower, problem.upper)[1]


def _tell(told: Progress, done: float, tau: float, fraction: float, message: str) -> None:
    told(done, f"tau {tau:.3g}: {message}")


def _largest(
    start: float,
    problem: Problem,
    solve: Solve,
    late: Callable[[], bool],
    told: Progress,
    excess: Callable[[Solution], float],
) -> tuple[float, Solution]:
    """Return the largest tau, to 0.1 %, at which an excess that rises with it is not positive, and its solution.

    By the secant of the excess over log tau, past its root as seen from the nearer end, so that both ends close in.
    Less exactly when late.
    """
    end, done, slope, best = limit(problem), _RADIUS_DONE, 1.0, None
    x, least = float(np.log(start)), 1e-9 * start
    low, high, last, widths = -np.inf, np.inf, None, []
    for _ in range(_MOST_STEPS):
        tau = float(np.exp(x))
        solution = solve(tau, partial(_tell, told, done, tau))
        value = max(excess(solution), -_LARGEST_EXCESS)
        if value <= 0:
            low, best = x, (tau, solution)
        else:
            high = x
        widths.append(high - low)
        if late() or widths[-1] <= _PRECISION:
            break
        if last is not None and (value - last[1]) * (x - last[0]) > 0:
            slope = (value - last[1]) / (x - last[0])
        last, root = (x, value), x - value / slope
        if np.isfinite(widths[-1]):
            done = max(done, 1 - (1 - _RADIUS_DONE) * float(np.log(widths[-1] / _PRECISION)) / _LARGEST_EXCESS)
            x = root + (0.4 if root - low < high - root else -0.4) * _PRECISION
            if not low < x < high or (len(widths) > 3 and widths[-1] > widths[-4] / 2):
                x = (low + high) / 2
            continue
        if best is not None and value <= 0 and total_variation(solution.p, end) < 1e-4:
            break  # the limit of all tau is within the radius
        if tau < least:
            break
        step = float(np.clip(root - x, -np.log(_FACTOR), np.log(_FACTOR)))
        x += step + np.copysign(_PRECISION, step)  # past the root
    return best if best is not None else (tau, solution)
