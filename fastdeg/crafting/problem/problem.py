"""The crafting problem as one object: its terms, its objective and its rigorous lower bound."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastdeg._types import Float
from fastdeg.crafting.problem.bounded_simplex import entropy_term, linear_entropic_minimum
from fastdeg.crafting.problem.frechet_term import FrechetTerm
from fastdeg.crafting.problem.transport_term import GridTransport, PlanTransport

_ROUNDING = 16 * float(np.finfo(float).eps)


class Primal(NamedTuple):
    """A feasible p with the (weighted) cost of a plan or flow from p to q: an optimal one where ``exact``.

    With its objective where that is known.
    """

    p: Float
    transport: float
    exact: bool = False
    objective: float | None = None


class Dual(NamedTuple):
    """A feasible potential φ of the bins, ⟨ψ, q⟩, and the moments at which to take the tangent; the bound if known."""

    phi: Float
    transport: float
    moments: Float
    bound: float | None = None


@dataclass(frozen=True)
class Problem:
    """minimise w_F FD²(p) + w_W W_c(p, q) + tau KL(p ‖ prior) over Σp = 1, lower ≤ p ≤ upper.

    All arrays are over the bins that p may use (prior > 0 and upper > 0).
    """

    frechet: FrechetTerm
    frechet_weight: float
    transport: PlanTransport | GridTransport
    tau: float
    prior: Float
    lower: Float
    upper: Float

    @property
    def n_bins(self) -> int:
        return len(self.prior)

    @cached_property
    def bounded(self) -> NDArray[np.bool_]:
        """Bins whose bounds say more than p ≥ 0."""
        return (self.lower > 0) | (self.upper < 1)

    def with_tau(self, tau: float) -> Problem:
        return replace(self, tau=tau)

    def objective(self, p: Float, transport: float) -> float:
        """Return the objective, given the (weighted) cost of a transport plan from p to q."""
        value = self.frechet_weight * self.frechet.value(p) + transport
        return value + self.tau * entropy_term(p, self.prior) if self.tau > 0 else value

    def lower_bound(self, z: Float, phi: Float, dual_transport: float) -> float:
        """Return a number that no feasible p undercuts: see `tangent_minimum`."""
        return self.tangent_minimum(z, phi, dual_transport)[0]

    def tangent_minimum(self, z: Float, phi: Float, dual_transport: float) -> tuple[float, Float]:
        """Return a lower bound of the objective, and the p at which the function behind it is least.

        A minorant of FD², its tangent at the moments z but for rounding, plus ⟨φ, p⟩ + ``dual_transport`` ≤
        w_W W_c(p, q) for a feasible potential (φ, ψ) with ``dual_transport`` = ⟨ψ, q⟩, plus tau KL: minimised in closed
        form over the bounded simplex. A slack covers the rounding of the sums.
        """
        constant, coefficients = self.frechet.minorant(z)
        costs = self.frechet_weight * coefficients + phi
        least, p = linear_entropic_minimum(costs, self.prior, self.tau, self.lower, self.upper)
        size = (
            abs(self.frechet_weight * constant)
            + abs(dual_transport)
            + float((self.frechet_weight * np.abs(coefficients) + np.abs(phi)) @ p)
            + abs(least)
            + abs(float(costs.min()))
            + self.tau
        )
        return self.frechet_weight * constant + dual_transport + least - _ROUNDING * size, p


@dataclass
class Solution:
    """The best point and the best bound so far."""

    p: Float
    transport: float
    exact: bool = False  # whether that is the cost of an optimal plan
    objective: float = np.inf
    lower_bound: float = 0.0  # no term of the objective is negative
    n_iter: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    state: Any = None

    @property
    def gap(self) -> float:
        return self.objective - self.lower_bound

    def closed(self, tol: float) -> bool:
        return bool(np.isfinite(self.gap)) and self.gap <= tol * max(1.0, abs(self.objective))
