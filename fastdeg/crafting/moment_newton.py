"""Newton's method in the moments, for problems without a transport term (w_W = 0) and with tau > 0.

The tangent of FD² at the moments z leaves a linear plus entropic problem, whose minimiser p(z) has a closed form. Its
minimum
is a concave function of the tangent, a lower bound of the objective that is best where Aᵀp(z) = z.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastdeg.crafting.problem import Problem
from fastdeg.crafting.simplex import project

Float = NDArray[np.float64]


class MomentNewton:
    """State of Newton's method: the moments z."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.phi = np.zeros(problem.n_bins)
        self.z = problem.frechet.moments(project(problem.prior, problem.lower, problem.upper))
        self.bound, self.p = problem.tangent_minimum(self.z, self.phi, 0.0)

    def primal(self) -> tuple[Float, float]:
        """Return the minimiser of the tangent problem; there is no transport."""
        return project(self.p, self.problem.lower, self.problem.upper), 0.0

    def dual(self) -> tuple[Float, float, Float]:
        """Return the zero potential, and the moments of the tangent."""
        return self.phi, 0.0, self.z

    def residuals(self) -> dict[str, float]:
        """Return how far the moments of p are from those of the tangent."""
        error = float(np.abs(self.problem.frechet.moments(self.p) - self.z).sum())
        return {"primal_residual": error, "dual_residual": 0.0}

    def state(self) -> None:
        return None

    def advance(self, enough: float, at_most: int) -> int:
        """Make one damped Newton step on Aᵀp(z) = z; 0 where no length of it raises the bound."""
        if not len(self.z):
            return 0
        step = self._step()
        length = 1.0
        while length > 1e-6:
            z = self.z + length * step
            if self.problem.frechet.inside(z):
                bound, p = self.problem.tangent_minimum(z, self.phi, 0.0)
                if bound > self.bound:
                    self.z, self.bound, self.p = z, bound, p
                    return 1
            length /= 2
        return 0

    def _step(self) -> Float:
        problem, frechet = self.problem, self.problem.frechet
        root = frechet.moment_curvature(*frechet.spectrum(self.z))
        free = np.where((self.p > problem.lower) & (self.p < problem.upper), self.p, 0.0)
        mean = frechet.moments(free)
        covariance = frechet.second_moments(free) - np.outer(mean, mean) / max(float(free.sum()), 1e-300)
        system = np.eye(len(mean)) + covariance @ (root @ root.T) * (problem.frechet_weight / problem.tau)
        return np.asarray(np.linalg.solve(system, frechet.moments(self.p) - self.z), np.float64)
