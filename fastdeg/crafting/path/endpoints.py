"""Between which taus a path runs: from where p leaves the target to where it is all but the prior."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fastdeg._types import Float
from fastdeg.crafting.grid.active_set import ActiveSet, flow_of
from fastdeg.crafting.path.auto_tau import limit, typical_tau
from fastdeg.crafting.problem.arguments import Setup
from fastdeg.crafting.problem.problem import Problem, Solution
from fastdeg.crafting.problem.transport_term import GridTransport
from fastdeg.crafting.result import NEAR, total_variation
from fastdeg.transport.grid import solve_grid

Solve = Callable[[float, float], Solution]

_FAR = 3.5  # largest ratio of two tau one after the other: from farther away, a solution is no good start
_TOL = 1e-4  # tolerance of what the ends are told by
_LEAK = 5.0  # shortest step of a grid over the tau at which about 1 % of the mass has left its bin
_COARSE = 3_000  # cells that tell the potential at the prior well enough


def upper(setup: Setup, solve: Solve) -> float:
    """Return the tau, to some 20 %, at which p is but 1 % of total variation away from that of an infinite one.

    ``solve`` solves for a tau to a tolerance.
    """
    problem = setup.problem
    flow = flow_of(problem.with_tau(1.0))
    if flow is not None and ActiveSet.applies(problem.with_tau(1.0), flow):
        return _near_prior(problem, flow)
    end, tau = limit(problem), 12 * typical_tau(problem)
    for _ in range(40):
        distance = total_variation(solve(tau, _TOL).p, end) / NEAR
        tau *= float(np.clip(distance, 1 / _FAR, _FAR))
        if 1 / _FAR < distance < _FAR:
            break  # so near to its limit p goes like 1 / tau
    return tau


def lower(setup: Setup, solve: Solve) -> float:
    """Return the tau, to 20 %, at which p has left its tau = 0 by 1 % of total variation; ∞ where none does.

    Raises
    ------
    ValueError
        Where p is the same for every tau.
    """
    problem = setup.problem
    start = _target(setup)
    if start is None:
        start = solve(0.0, _TOL).p
    whole = total_variation(start, limit(problem))
    if whole <= 1e-9:
        raise ValueError(
            "generalizations: expected numbers, since a path has no ends where the target is the prior, or only one "
            "distribution is allowed"
        )
    if whole <= NEAR:
        return np.inf
    return _crossing(*_first_guess(problem), lambda tau: total_variation(solve(tau, _TOL).p, start) / NEAR)


def _near_prior(problem: Problem, flow: GridTransport) -> float:
    """Return the tau at which p is the prior to 1 %: about prior · exp(−slope / tau), with the slope at the prior.

    That of the transport is a potential, which a coarser grid gives to a few per cent.
    """
    prior = problem.prior / problem.prior.sum()
    a, b, coordinates, merged = flow.merged(prior, _COARSE)
    potential = solve_grid(a, b, coordinates, 1)[0].u
    potential = potential[np.ix_(*(np.arange(n) // merged for n in flow.shape))].ravel()
    frechet = problem.frechet
    slope = problem.frechet_weight * frechet.tangent(*frechet.spectrum(frechet.moments(prior)))[1]
    slope = slope + flow.weight * flow.extract(potential)
    return max(float(prior @ np.abs(slope - prior @ slope)) / (2 * NEAR), 1e-9)


def _target(setup: Setup) -> Float | None:
    """Return the target where it is the solution for tau = 0: feasible, and with its own moments."""
    q, problem = setup.target.pmf[setup.usable], setup.problem
    feasible = q.sum() > 1 - 1e-12 and (q >= problem.lower).all() and (q <= problem.upper).all()
    return q if feasible and problem.frechet_weight * problem.frechet.value(q) <= _TOL else None


def _first_guess(problem: Problem) -> tuple[float, float]:
    """Return about where p leaves the target, and the slope there of the logarithm of how far in that of tau."""
    flow = flow_of(problem.with_tau(1.0))
    if flow is None:
        return typical_tau(problem) / 64, 1.0
    # exp(−step / tau) of the mass leaks to neighbours, a few for each bin: at tau = step / n that is e⁻ⁿ, of slope n
    return float(flow.shortest_steps.min()) / _LEAK, _LEAK


def _crossing(tau: float, slope: float, rising: Callable[[float], float]) -> float:
    """Return the tau at which a rising function of it passes 1, to 20 % in either, by its slope between two logarithms.

    ``slope``: a guess at it.
    """
    below, above = (0.0, 0.0), (np.inf, 0.0)  # tau and logarithm of the value
    for _ in range(40):
        value = float(np.log(max(rising(tau), 1e-12)))
        if abs(value) <= np.log(1.2):
            break
        if value < 0:
            below = (tau, value)
        else:
            above = (tau, value)
        if below[0] > 0 and above[0] < np.inf:
            if above[0] <= 1.2 * below[0]:
                break
            share = below[1] / (below[1] - above[1])
            tau = below[0] * (above[0] / below[0]) ** min(max(share, 0.1), 0.9)
        else:
            tau *= float(np.clip(np.exp(-value / slope), 1 / _FAR, _FAR))
    return tau
