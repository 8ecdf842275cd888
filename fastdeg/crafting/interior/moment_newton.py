"""Newton's method in the moments, for problems without a transport term (w_W = 0) and with tau > 0.

The tangent of FD² at the moments z leaves a linear plus entropic problem, whose minimiser p(z) has a closed form. Its
minimum is a concave function of the tangent, a lower bound of the objective that is best where Aᵀp(z) = z.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastdeg._types import Float
from fastdeg.crafting.problem.bounded_simplex import project
from fastdeg.crafting.problem.frechet_term import FrechetTerm
from fastdeg.crafting.problem.problem import Dual, Primal, Problem
from fastdeg.crafting.solve import Run
from fastdeg.crafting.strategy import current

_CHUNK = 8  # steps between certificates


class Minimum(NamedTuple):
    """The tangent problem at z: its minimum and minimiser p(z), and the moments of that."""

    z: Float
    bound: float
    moments: Float
    p: Float


class MomentNewton:
    """State of Newton's method: the moments z."""

    blank = False

    def __init__(self, problem: Problem, run: Run) -> None:
        self.problem = problem
        self.phi = np.zeros(problem.n_bins)
        # the target's moments are where small taus lead to, and from where full steps do
        starts = [problem.frechet.target_moments, problem.frechet.moments(self._limit())]
        self.at = max((self._minimum(z) for z in starts if problem.frechet.inside(z)), key=lambda at: at.bound)

    @staticmethod
    def applies(problem: Problem, run: Run) -> bool:
        """Return whether there is no transport, and p follows from the moments."""
        return problem.transport.absent and problem.tau > 0 and problem.n_bins > current().moment_newton_bins

    def _limit(self) -> Float:
        return project(self.problem.prior, self.problem.lower, self.problem.upper)

    def primal(self) -> Primal:
        """Return the minimiser of the tangent problem; there is no transport."""
        p = self.at.p
        if self.problem.bounded.any():
            return Primal(project(p, self.problem.lower, self.problem.upper), 0.0)
        return Primal(p / p.sum(), 0.0)

    def dual(self) -> Dual:
        """Return the zero potential, and the moments of the tangent."""
        return Dual(self.phi, 0.0, self.at.z)

    def residuals(self) -> dict[str, float]:
        """Return how far the moments of p are from those of the tangent."""
        return {"primal_residual": float(np.abs(self.at.moments - self.at.z).sum()), "dual_residual": 0.0}

    def state(self) -> None:
        return None

    def advance(self, enough: float, at_most: int) -> int:
        """Make damped Newton steps on Aᵀp(z) = z until the gap seems small enough; fewer where none is possible."""
        for made in range(min(at_most, _CHUNK)):
            if (made and self._excess() < enough / 4) or not self._step():
                return made
        return min(at_most, _CHUNK)

    def _excess(self) -> float:
        """Return the gap but for rounding: how far FD² is above its tangent at the moments of p(z)."""
        frechet, at = self.problem.frechet, self.at
        if not frechet.inside(at.moments):
            return np.inf
        above = -2 * float(frechet.spectrum(at.moments)[0].sum()) - float(
            frechet.slope(*frechet.spectrum(at.z)) @ at.moments
        )
        return self.problem.frechet_weight * (above - _tangent_constant(frechet, at.z))

    def _step(self) -> bool:
        """Move where the bound rises, by a share of the step that its slope promises."""
        if not len(self.at.z):
            return False
        frechet, at = self.problem.frechet, self.at
        root = frechet.moment_curvature(*frechet.spectrum(at.z))
        curvature = (root @ root.T) * self.problem.frechet_weight
        error = at.moments - at.z
        step = np.linalg.solve(np.eye(len(error)) + self._covariance() @ curvature / self.problem.tau, error)
        length = 1.0
        while length > 1e-6:
            z = at.z + length * step
            if frechet.inside(z):
                moved = self._minimum(z)
                if moved.bound > at.bound:
                    self.at = moved
                    return True
            length /= 2
        return False

    def _minimum(self, z: Float) -> Minimum:
        bound, p = self.problem.tangent_minimum(z, self.phi, 0.0)
        return Minimum(z, bound, self.problem.frechet.moments(p), p)

    def _covariance(self) -> Float:
        """Return the covariance of the moment features under p(z), over the bins that are at no bound."""
        problem, frechet, p = self.problem, self.problem.frechet, self.at.p
        free = np.where((p > problem.lower) & (p < problem.upper), p, 0.0)
        mean = frechet.moments(free)
        return frechet.second_moments(free) - np.outer(mean, mean) / max(float(free.sum()), 1e-300)


def _tangent_constant(frechet: FrechetTerm, z: Float) -> float:
    """Return the constant of the tangent of −2 tr (Fᵀ Σ F)^½ at z."""
    roots, _, mean = frechet.spectrum(z)
    return -float(roots.sum() + (mean**2 / roots).sum())
