"""The crafting problem as one object: its terms, its objective and its rigorous lower bound."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fastdeg.crafting.frechet_term import FrechetTerm
from fastdeg.crafting.simplex import entropy_term, linear_entropic_minimum

Float = NDArray[np.float64]

_ROUNDING = 16 * float(np.finfo(float).eps)


@dataclass(frozen=True)
class Transport:
    """The earth mover's term w_W · W_c(p, q): only bins with q > 0 are sinks.

    Attributes
    ----------
    costs : ndarray, shape (K, N)
        Weighted ground costs from each bin that p may use to each sink, a row for each sink.
    masses : ndarray, shape (K,)
        q at the sinks.
    """

    costs: Float
    masses: Float

    @cached_property
    def largest(self) -> float:
        return float(np.abs(self.costs).max())

    def c_transform(self, psi: Float) -> Float:
        """Return the largest potential φ of the bins with φ[i] + psi[j] ≤ cost[j, i]."""
        return (self.costs - psi[:, None]).min(axis=0)


@dataclass(frozen=True)
class Problem:
    """minimise w_F FD²(p) + w_W W_c(p, q) + tau KL(p ‖ prior) over Σp = 1, lower ≤ p ≤ upper.

    All arrays are over the bins that p may use (prior > 0 and upper > 0).
    """

    frechet: FrechetTerm
    frechet_weight: float
    transport: Transport
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
        """Return a number that no feasible p undercuts.

        The tangent of FD² at the moments z, plus ⟨φ, p⟩ + ``dual_transport`` ≤ w_W W_c(p, q) for a feasible
        potential (φ, ψ) with ``dual_transport`` = ⟨ψ, q⟩, plus tau KL: minimised in closed form over the bounded
        simplex.
        A slack covers the rounding of the sums.
        """
        constant, coefficients = self.frechet.tangent(*self.frechet.spectrum(z))
        costs = self.frechet_weight * coefficients + phi
        least, p = linear_entropic_minimum(costs, self.prior, self.tau, self.lower, self.upper)
        size = (
            abs(self.frechet_weight * constant)
            + abs(dual_transport)
            + float((self.frechet_weight * np.abs(coefficients) + np.abs(phi)) @ p)
            + abs(least)
        )
        return self.frechet_weight * constant + dual_transport + least - _ROUNDING * size
