"""The blocks of the splitting method: flows, the pmf, and terms in linear functions of the pmf.

Each holds its state s, its prox point y and its penalty, and knows its prox, its relaxation, how far its primal and
dual parts have moved since the last look, and how to change its penalty.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastdeg._types import Float
from fastdeg.crafting.grid.spectral import GridFeatures, moment_features
from fastdeg.crafting.problem.frechet_term_grid import RowQuadratics
from fastdeg.crafting.problem.problem import Problem
from fastdeg.crafting.problem.transport_term import GridTransport
from fastdeg.kernels.crafting import admm, moment_prox

RELAXATION = 1.8
_MOST_WAYS = 40  # stages on the way to a prox point


class Flows:
    """Block of the flows m, one along each axis: Σ step |m|, whose prox is a shrinkage that is never stored."""

    def __init__(self, transport: GridTransport, threads: int | None) -> None:
        self.shape, self.steps = np.array(transport.shape), transport.steps
        n_cells = len(transport.target)
        self.lengths = np.array(
            [
                max(float(step[: n - 1].mean()) if n > 1 else 1.0, 1e-9)
                for step, n in zip(self.steps, self.shape, strict=True)
            ]
        )
        self.s = np.zeros((len(self.shape), n_cells))
        self.rates = self.lengths * n_cells
        self.before: Float | None = None
        self.launch = {"threads": threads, "work": 20 * n_cells}

    def relax(self, potential: Float) -> None:
        admm.flow_relax(self.shape, self.steps, 1 / self.rates, RELAXATION, potential, self.s, **self.launch)

    def clipped(self, s: Float) -> Float:
        """Return what the shrinkage takes off, s between ± step / rate."""
        off = np.empty_like(s)
        for k, (steps, n) in enumerate(zip(self.steps, self.shape, strict=True)):
            limits = (steps[:n] / self.rates[k])[:, None]
            axes = (-1, n, int(np.prod(self.shape[k + 1 :])))
            np.clip(s[k].reshape(axes), -limits, limits, out=off[k].reshape(axes))
        return off

    def feasible_cost(self, potential: Float, conductance: Float) -> float:
        """Return Σ step |y − conductance · grad potential|."""
        y, total = self.s - self.clipped(self.s), 0.0
        for k, n in enumerate(self.shape):
            axes = (-1, n, int(np.prod(self.shape[k + 1 :])))
            flow = y[k].reshape(axes)[:, :-1] - conductance[k] * np.diff(potential.reshape(axes), axis=1)
            total += float(self.steps[k, : n - 1] @ np.abs(flow).sum(axis=(0, 2)))
        return total

    def subtract_divergence(self, right: Float) -> None:
        """right −= div y."""
        y = self.s - self.clipped(self.s)
        for k, n in enumerate(self.shape):
            axes = (-1, n, int(np.prod(self.shape[k + 1 :])))
            flow, at = y[k].reshape(axes)[:, :-1], right.reshape(axes)
            at[:, :-1] -= flow
            at[:, 1:] += flow

    def moves(self) -> tuple[float, float] | None:
        """Return the squared moves of the primal and the dual part since the last call; None at the first one."""
        before, self.before = self.before, self.s.copy()
        if before is None:
            return None
        taken = self.clipped(self.s) - self.clipped(before)
        kept = self.s - before - taken
        return float(self.rates @ (kept**2).sum(axis=1)), float(self.rates @ (taken**2).sum(axis=1))

    def rescale(self, factor: float) -> None:
        """Multiply the penalty by a factor; the prox point and the dual variable stay."""
        self.s += (1 / factor - 1) * self.clipped(self.s)
        self.rates = self.rates * factor
        self.before = None


class Pmf:
    """Block of p: tau KL, the bounds, and what of the linear part of FD² is no function of the moments."""

    def __init__(
        self, problem: Problem, transport: GridTransport, start: Float, terms: FlowTerms, threads: int | None
    ) -> None:
        self.tau, self.target, self.rest, self.log_prior = problem.tau, transport.target, terms.rest, terms.log_prior
        self.lower = _one_or_all(transport.embed(problem.lower))
        self.upper = _one_or_all(transport.embed(problem.upper))
        self.s = transport.embed(start).copy()
        self.y = np.maximum(self.s, 1e-12 / len(self.s))
        self.rate = 0.3 * len(self.s)
        self.before: tuple[Float, Float] | None = None
        self.launch = {"threads": threads, "work": 60 * len(self.s)}

    def relax(self, potential: Float, features: RowQuadratics, w: Float) -> None:
        admm.pmf_relax(
            1 / self.rate, RELAXATION, potential, self.y, features.x, features.x2, features.coefficients(w), self.s,
            **self.launch,
        )  # fmt: skip

    def moves(self) -> tuple[float, float] | None:
        before, self.before = self.before, (self.y.copy(), self.s - self.y)
        if before is None:
            return None
        kept, taken = (now - then for now, then in zip(self.before, before, strict=True))
        self.moved = float(np.abs(kept).sum()), self.rate * float(np.linalg.norm(taken))
        return self.rate * float(kept @ kept), self.rate * float(taken @ taken)

    def rescale(self, factor: float) -> None:
        self.s = self.y + (self.s - self.y) / factor
        self.rate *= factor
        self.before = None


def reflect(flows: Flows, pmf: Pmf, features: RowQuadratics, right: Float) -> Float:
    """Update y of p; right = (2 y − s) − q − div(2 y − s of the flows); return Aᵀ(2 y − s)."""
    sums = np.empty((len(features.constant), 3))
    term = admm.PmfTerm(pmf.target, pmf.log_prior, pmf.tau / pmf.rate, pmf.lower, pmf.upper, pmf.rest / pmf.rate)
    flow = admm.Flow(flows.shape, flows.steps, 1 / flows.rates, flows.s)
    admm.reflect(term, pmf.s, pmf.y, features.x, features.x2, flow, right, sums, **pmf.launch)
    return features.contract(sums)


class Term:
    """Block of a convex function h of z = Aᵀp, for features A of the cells that are quadratic along rows.

    A further term of the objective, or a constraint on linear functions of p, is a subclass with three methods.
    """

    def __init__(self, features: RowQuadratics, start: Float, gram: Float) -> None:
        """Start at the z of some p, given AᵀA."""
        self.features = features
        self.s = self.y = start
        r = len(start)
        spread = gram / features.n_cells - np.outer(start, start)
        spread = (spread + spread.T) / 2 + 1e-9 * max(float(np.trace(spread)), 1e-12) * np.eye(r)
        self.metric = np.asarray(0.3 * np.linalg.inv(spread) if r else np.zeros((0, 0)), np.float64)
        self.before: tuple[Float, Float] | None = None

    def minimum(self, s: Float) -> Float:
        """Return the prox point: argmin of h(z) + ½ (z − s)ᵀ Q (z − s)."""
        raise NotImplementedError

    def cost(self, z: Float) -> float:
        """Return h(z)."""
        raise NotImplementedError

    def bound(self, slope: Float) -> float:
        """Return a number that h(z) − slope · z never undercuts: −h*(slope)."""
        raise NotImplementedError

    def reflect(self) -> Float:
        """Update y; return 2 y − s."""
        self.y = self.minimum(self.s)
        return 2 * self.y - self.s

    @property
    def dual(self) -> Float:
        """The slope of h at y."""
        return self.metric @ (self.s - self.y)

    def relax(self, x: Float) -> None:
        self.s = self.s + RELAXATION * (x - self.y)

    def moves(self) -> tuple[float, float] | None:
        before, self.before = self.before, (self.y, self.s - self.y)
        if before is None:
            return None
        kept, taken = (now - then for now, then in zip(self.before, before, strict=True))
        return float(kept @ self.metric @ kept), float(taken @ self.metric @ taken)

    def rescale(self, factor: float) -> None:
        self.s = self.y + (self.s - self.y) / factor
        self.metric = self.metric * factor
        self.before = None


class Moments(Term):
    """w_F FD² but for the linear part that p keeps; `Problem` counts its cost, and bounds it by a tangent."""

    def __init__(self, problem: Problem, features: RowQuadratics, start: Float, gram: Float, slope: Float) -> None:
        super().__init__(features, start, gram)
        self.frechet, self.weight, self.slope = problem.frechet, problem.frechet_weight, slope
        self._at: moment_prox.Linearised | None = None  # the last prox point

    def minimum(self, s: Float) -> Float:
        """argmin of slope · z − 2 w_F tr (Fᵀ Σ(z) F)^½ + ½ (z − s)ᵀ Q (z − s), from the last one.

        Where Newton's method does not get there at once, s is approached from the point that the last z is best for.
        """
        if not len(s) or self.weight == 0:
            return s
        at = self._at or self._start()
        here, share = None, 1.0
        for _ in range(_MOST_WAYS):
            found = moment_prox.Linearised(*(array.copy() for array in at))
            reached = moment_prox.prox(
                s if here is None or share == 1 else here + share * (s - here),
                self.metric, self.slope, self.weight, found,
            )  # fmt: skip
            if reached:
                at = found
                if share == 1:
                    break
            here = at.z + np.linalg.solve(self.metric, at.gradient)
            share = min(2 * share, 1.0) if reached else share / 4
        self._at = at
        return at.z

    def _start(self) -> moment_prox.Linearised:
        r, k = len(self.y), self.frechet.rank
        at = moment_prox.Linearised(*(np.empty(shape) for shape in ((r,), (k,), (r,), (r, r))))
        moment_prox.start(self.y, self.slope, self.weight, at)
        return at


@dataclass(frozen=True)
class FlowTerms:
    """What the methods for flows take from a problem, the same for every tau.

    Moment features, the two parts of the linear part of FD² (see `split_linear`), and the logarithm of the prior.
    """

    problem: Problem
    features: GridFeatures
    slope: Float
    rest: Float
    log_prior: Float

    @classmethod
    def of(cls, problem: Problem, transport: GridTransport, known: FlowTerms | None = None) -> FlowTerms:
        """Return those of a problem, or known ones of one that differs in tau alone."""
        if known is not None and known._fit(problem):
            return known
        log_prior = _one_or_all(np.log(np.maximum(transport.embed(problem.prior), 1e-300)))
        return cls(problem, moment_features(problem.frechet, transport), *split_linear(problem, transport), log_prior)

    def _fit(self, problem: Problem) -> bool:
        own = self.problem
        same = own.frechet is problem.frechet and own.frechet_weight == problem.frechet_weight
        return same and own.prior is problem.prior


def split_linear(problem: Problem, transport: GridTransport) -> tuple[Float, Float]:
    """Split the linear part of w_F FD² into a function of the moments, for the prox of z, and a rest for that of p."""
    frechet, weight = problem.frechet, problem.frechet_weight
    n, r = len(frechet.linear), frechet.rank * (frechet.rank + 3) // 2
    if weight == 0 or r == 0:
        return np.zeros(r), weight * transport.embed(frechet.linear) if weight else np.zeros(0)
    some = np.linspace(0, n - 1, min(2000, n)).astype(int)
    features = frechet.features(some)
    slope = np.linalg.lstsq(np.column_stack((features, np.ones(len(some)))), frechet.linear[some], rcond=None)[0]
    rest = frechet.linear - slope[-1] - frechet.combine(slope[:-1])
    rest = rest if np.abs(rest).max() > 1e-9 * np.abs(frechet.linear).max() else np.zeros(0)
    return weight * slope[:-1], weight * (transport.embed(rest) if len(rest) else rest)


def _one_or_all(values: Float) -> Float:
    """Return one value where all are the same."""
    return values[:1].copy() if (values == values[0]).all() else values
