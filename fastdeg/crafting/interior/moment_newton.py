"""Newton's method in the moments, for problems without a transport term (w_W = 0) and with tau > 0.

The tangent of FD² at the moments z leaves a linear plus entropic problem, whose minimiser p(z) has a closed form. Its
minimum is a concave function of the tangent, a lower bound of the objective that is best where Aᵀp(z) = z.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fastdeg._types import Float
from fastdeg.crafting.problem.bounded_simplex import project
from fastdeg.crafting.problem.frechet_term import FrechetTerm
from fastdeg.crafting.problem.frechet_term_grid import GridFrechetTerm
from fastdeg.crafting.problem.problem import Dual, Primal, Problem
from fastdeg.crafting.solve import Run
from fastdeg.crafting.strategy import current
from fastdeg.kernels.crafting import row_quadratics as rows

_CHUNK = 8  # steps between certificates


@dataclass(frozen=True)
class Minimum:
    """The tangent problem at z: its minimum, and of its minimiser p(z) the moments; the rest where wanted.

    ``covariance`` is that of the moment features under p(z), over the bins that are at no bound.
    """

    z: Float
    bound: float
    moments: Float
    p: Callable[[], Float]
    covariance: Callable[[], Float]


class MomentNewton:
    """State of Newton's method: the moments z."""

    blank = False

    def __init__(self, problem: Problem, run: Run) -> None:
        self.problem = problem
        self.phi = np.zeros(problem.n_bins)
        if isinstance(problem.frechet, GridFrechetTerm) and not problem.bounded.any():
            self.minimum: Callable[[Float], Minimum] = _GridMinimum(problem, problem.frechet, run.threads)
        else:
            self.minimum = self._dense_minimum
        # the target's moments are where small taus lead to, and from where full steps do
        starts = [problem.frechet.target_moments, problem.frechet.moments(self._limit())]
        self.at = max((self.minimum(z) for z in starts if problem.frechet.inside(z)), key=lambda at: at.bound)

    @staticmethod
    def applies(problem: Problem, run: Run) -> bool:
        """Return whether there is no transport, and p follows from the moments."""
        return problem.transport.absent and problem.tau > 0 and problem.n_bins > current().moment_newton_bins

    def _limit(self) -> Float:
        return project(self.problem.prior, self.problem.lower, self.problem.upper)

    def primal(self) -> Primal:
        """Return the minimiser of the tangent problem; there is no transport."""
        p = self.at.p()
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
        step = np.linalg.solve(np.eye(len(error)) + at.covariance() @ curvature / self.problem.tau, error)
        length = 1.0
        while length > 1e-6:
            z = at.z + length * step
            if frechet.inside(z):
                moved = self.minimum(z)
                if moved.bound > at.bound:
                    self.at = moved
                    return True
            length /= 2
        return False

    def _dense_minimum(self, z: Float) -> Minimum:
        problem, frechet = self.problem, self.problem.frechet
        bound, p = problem.tangent_minimum(z, self.phi, 0.0)

        def covariance() -> Float:
            free = np.where((p > problem.lower) & (p < problem.upper), p, 0.0)
            mean = frechet.moments(free)
            return frechet.second_moments(free) - np.outer(mean, mean) / max(float(free.sum()), 1e-300)

        return Minimum(z, bound, frechet.moments(p), lambda: p, covariance)


class _GridMinimum:
    """The tangent problem on a whole grid without bounds, in one pass over the rows."""

    def __init__(self, problem: Problem, frechet: GridFrechetTerm, threads: int | None) -> None:
        self.frechet, self.weight, self.tau, self.threads = frechet, problem.frechet_weight, problem.tau, threads
        prior = problem.prior
        self.log_prior = np.log(prior[:1] if (prior == prior[0]).all() else prior)

    def __call__(self, z: Float) -> Minimum:
        frechet, features = self.frechet, self.frechet.rows
        slope = frechet.slope(*frechet.spectrum(z))
        coefficients = (self.weight / self.tau) * (frechet.linear_rows + features.coefficients(slope))
        p, sums = np.empty(len(features.x) * len(coefficients)), np.empty((len(coefficients), 6))
        peaks = np.empty(-(-len(coefficients) // rows.ROWS_PER_BLOCK))
        work = len(p) // 4
        rows.entropic_rows(
            coefficients, features.x, features.x2, self.log_prior, p, sums, peaks, threads=self.threads, work=work
        )
        peak = float(peaks.max())
        factors = np.exp(peaks - peak)
        sums *= np.repeat(factors, rows.ROWS_PER_BLOCK)[: len(sums), None]
        total = float(sums[:, 0].sum())
        sums /= total
        mean = features.contract(sums)
        least = -self.tau * (peak + np.log(total))
        bound = least + self.weight * (frechet.target_trace + _tangent_constant(frechet, z))

        def minimiser() -> Float:
            scaled = p.copy()
            rows.scale_blocks(factors / total, len(features.x), scaled, threads=self.threads, work=work)
            return scaled

        return Minimum(z, bound, mean, minimiser, lambda: features.second_moments(sums) - np.outer(mean, mean))


def _tangent_constant(frechet: FrechetTerm, z: Float) -> float:
    """Return the constant of the tangent of −2 tr (Fᵀ Σ F)^½ at z."""
    roots, _, mean = frechet.spectrum(z)
    return -float(roots.sum() + (mean**2 / roots).sum())
