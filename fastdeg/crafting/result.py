"""What crafting returns."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from fastdeg._types import ByValue, Float
from fastdeg.crafting.problem.arguments import Setup
from fastdeg.crafting.problem.bounded_simplex import entropy_term
from fastdeg.crafting.problem.problem import Solution
from fastdeg.crafting.problem.transport_term import PlanTransport
from fastdeg.crafting.strategy import current
from fastdeg.distances.transport import emd
from fastdeg.distribution import BinnedDistribution

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORBIDDEN_MASS = 1e-12  # on forbidden pairs, that is rounding
NEAR = 0.01  # total variation below which two distributions count as the same


@dataclass(frozen=True, eq=False)
class CraftResult(ByValue):
    """A crafted training distribution with its certificate.

    Attributes
    ----------
    distribution : BinnedDistribution
        The crafted p, over the target's bins.
    objective : float
        w_F FD²(p) + w_W W(p, q) + tau KL(p ‖ prior), with W from an exact transport solve (above 100,000 bins: the cost
        of a feasible flow, which is above W by no more than the gap).
    terms : dict
        The unweighted terms ``"frechet"`` (squared), ``"wasserstein"`` and ``"kl"`` (nats). Where w_W is 0, the
        earth mover's distance is not needed, and nan.
    lower_bound : float
        No feasible distribution has a lower objective, whatever rounding does: see the documentation.
    gap : float
        ``objective - lower_bound``. A negative one is an error of ours, which warns.
    converged : bool
        Whether the gap is not negative and at most ``tol * max(1, |objective|)``.
    generalization : float
        The tau in the objective.
    primal_residual, dual_residual : float
        How far the method's own copies of p are from agreeing, and its potentials from being stationary.
    n_iter : int
    history : dict of ndarray
        By iteration: ``"iteration"``, ``"seconds"``, ``"objective"``, ``"lower_bound"``, ``"gap"`` (the best so
        far), and
        the residuals of the method's blocks.
    """

    distribution: BinnedDistribution
    objective: float
    terms: dict[str, float]
    lower_bound: float
    gap: float
    converged: bool
    generalization: float
    primal_residual: float
    dual_residual: float
    n_iter: int
    history: dict[str, Float]
    _state: Any = field(default=None, repr=False, compare=False)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw how the solve converged: certified gap and residuals by iteration, on a logarithmic scale.

        The crafted distribution itself is drawn by ``result.distribution.plot()``.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            A new figure by default.

        Returns
        -------
        Axes
        """
        from fastdeg import plotting

        return plotting.history(self, ax)

    def _repr_html_(self) -> str:
        from fastdeg import plotting

        state = "certified" if self.converged else "not converged"
        rows = [("objective", f"{self.objective:.6g}, gap {self.gap:.1e} ({state})")]
        rows += [("generalization τ", f"{self.generalization:.4g}"), *plotting.summary(self.distribution)]
        return plotting.card("CraftResult", rows, plotting.marginals_thumbnail(self.distribution))

    def __repr__(self) -> str:
        state = "converged" if self.converged else "not converged"
        return (
            f"CraftResult(objective={self.objective:.6g}, gap={self.gap:.1e}, {state}, "
            f"generalization={self.generalization:.4g}, effective_bins={self.distribution.effective_bins():.1f})"
        )


def finish(setup: Setup, tau: float, solution: Solution, tol: float, threads: int | None) -> CraftResult:
    """Recompute the objective of the solution's p with an exact transport solve."""
    problem = setup.problem.with_tau(tau)
    p = solution.p / solution.p.sum()
    weight = setup.wasserstein_weight
    transport = solution.transport if np.isfinite(solution.transport) else problem.transport.independent(p)
    if weight > 0 and not solution.exact and problem.n_bins <= current().exact_bins:
        transport = problem.transport.exact(p, threads)
    if setup.forbidden < np.inf and transport > weight * setup.forbidden * FORBIDDEN_MASS:
        transport = _without_forbidden(setup, p, transport, solution.closed(tol))
    frechet, kl = problem.frechet.value(p), entropy_term(p, problem.prior)
    objective = problem.frechet_weight * frechet + transport + problem.tau * kl
    terms = {
        "frechet": frechet,
        "wasserstein": transport / weight if weight > 0 else float("nan"),
        "kl": kl,
    }
    gap = objective - solution.lower_bound
    if gap < 0:
        warnings.warn(
            f"the certificate is wrong: the lower bound {solution.lower_bound:.17g} is above the objective "
            f"{objective:.17g}; please report this problem",
            RuntimeWarning,
            stacklevel=2,
        )
    last = solution.history[-1] if solution.history else {"primal_residual": np.inf, "dual_residual": np.inf}
    history = {key: np.array([record.get(key, np.nan) for record in solution.history]) for key in last}
    return CraftResult(
        distribution=BinnedDistribution(setup.target.bins, setup.full(p)),
        objective=objective,
        terms=terms,
        lower_bound=solution.lower_bound,
        gap=gap,
        converged=bool(0 <= gap <= tol * max(1.0, abs(objective)) < np.inf),
        generalization=tau,
        primal_residual=last["primal_residual"],
        dual_residual=last["dual_residual"],
        n_iter=solution.n_iter,
        history=history,
        _state=solution.state,
    )


def _without_forbidden(setup: Setup, p: Float, transport: float, closed: bool) -> float:
    """Return the transport cost over the pairs that are not forbidden: infinite where p leaves no plan."""
    assert isinstance(setup.problem.transport, PlanTransport)
    costs = setup.problem.transport.costs.T
    limit = setup.wasserstein_weight * setup.forbidden
    try:
        return float(emd(p, setup.problem.transport.masses, cost=np.where(costs < limit, costs, np.inf)).value)
    except ValueError:
        if closed:  # the best of all
            raise ValueError(
                "cost: expected a distribution within the bounds that has a plan to the target over the pairs that are "
                "not forbidden (np.inf), got none"
            ) from None
        return np.inf


def warn_unless_converged(results: Sequence[CraftResult], tol: float) -> None:
    """Warn where the gap is not closed, of the worst of the results."""
    open_ = [result for result in results if not result.converged]
    if open_:
        worst = max(open_, key=lambda result: result.gap / max(1.0, abs(result.objective)))
        which = "" if len(results) == 1 else f" at {len(open_)} of {len(results)} points, at worst"
        warnings.warn(
            f"not converged{which}: after {worst.n_iter} iterations the objective {worst.objective:.6g} may be up to "
            f"{worst.gap:.2g} above the least, where tol={tol:g} was asked for; max_iter and time_limit end a search, "
            "and rounding does",
            RuntimeWarning,
            stacklevel=3,
        )


def total_variation(a: Float, b: Float) -> float:
    """Return ½ Σ |a − b|."""
    return float(np.abs(a - b).sum()) / 2


def warn_of_extremes(setup: Setup, result: CraftResult) -> None:
    """Warn when the crafted distribution is all but the target or all but the prior."""
    p, q, prior = result.distribution.pmf, setup.target.pmf, setup.prior.pmf
    if total_variation(q, prior) < NEAR:
        return
    if total_variation(p, q) < NEAR:
        warnings.warn(
            f"the crafted distribution is all but the target (total variation {total_variation(p, q):.1e}): the "
            f"earth mover's term holds it there until generalization, now {result.generalization:.3g}, nears the "
            "ground distance between bins; tradeoff_path shows where it starts to matter",
            stacklevel=3,
        )
    elif total_variation(p, prior) < NEAR:
        usable = p[setup.usable]
        room = min(np.sum(setup.problem.upper - usable), np.sum(usable - setup.problem.lower))
        why = f"generalization {result.generalization:.3g} outweighs the distance to the target; choose a smaller one"
        if not result.converged:
            why = "the solver ended before it had left the prior; allow it more time or iterations"
        elif setup.wasserstein_weight == 0 and setup.problem.frechet_weight == 0:
            why = "frechet_weight and wasserstein_weight are 0, so nothing draws it to the target"
        elif room < NEAR:
            why = "lower and upper leave no room between them"
        warnings.warn(
            f"the crafted distribution is all but the prior (total variation {total_variation(p, prior):.1e}): {why}",
            stacklevel=3,
        )
