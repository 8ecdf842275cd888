r"""Splitting (ADMM) for grids with the city-block metric: the earth mover's distance as a flow along the grid's edges.

W(p, q) = min Σ_e ℓ_e |m_e| over flows m with div m = p − q (Beckmann). With the moments z = Aᵀp as a variable of
their own, the problem is g(m) + g(p) + g(z) with (m, p, z) in an affine set, and both sides are easy:

    y = prox of g at s         block by block: shrinkage of m, entropic prox of p, Newton's method in the few moments
    x = Π(2 y − s)             projection on {div m = p − q, z = Aᵀp}: one cosine transform and back
    s ← s + 1.8 (x − y)        over-relaxation

Each block has a penalty of its own, balanced by how fast its primal and dual parts move.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdeg.crafting.problem import GridTransport, Problem
from fastdeg.crafting.simplex import project
from fastdeg.crafting.spectral import CosineTransform, GridFeatures, Projection, eigenvalues, moment_features
from fastdeg.kernels import admm, cosine

Float = NDArray[np.float64]

RELAXATION = 1.8
_CHUNK = 25  # iterations between certificates, at first
_LONGEST_CHUNK = 50
_BALANCE_AT = (10, 20, 40)
_BALANCE_EVERY = 50
_FEW_CELLS = 50_000  # up to here the launch of threads costs as much as it saves
_MANY_CELLS = 200_000  # from here on the first iterations have their transforms in float32; certificates never
_ROUGH_ITERATIONS = 300  # after them the penalties may be so large that the rounding of float32 shows in the bound


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

    def subtract_divergence(self, right: NDArray[Any], times: float) -> None:
        """right −= div(2 y − s) for ``times`` = 2, div y for 1."""
        admm.subtract_divergence(self.shape, self.steps, 1 / self.rates, times, self.s, right, **self.launch)

    def relax(self, potential: NDArray[Any]) -> None:
        admm.flow_relax(self.shape, self.steps, 1 / self.rates, RELAXATION, potential, self.s, **self.launch)

    def moves(self) -> tuple[float, float] | None:
        """Return the squared moves of the primal and the dual part since the last call; None at the first one."""
        before, self.before = self.before, self.s.copy()
        if before is None:
            return None
        n_rows = self.s.shape[1] // self.shape[-1]
        moves = np.empty((-(-n_rows // admm.ROWS_PER_BLOCK), len(self.shape), 2))
        admm.flow_moves(self.shape, self.steps, 1 / self.rates, self.s, before, moves, **self.launch)
        kept, taken = self.rates @ moves.sum(axis=0)
        return float(kept), float(taken)

    def rescale(self, factor: float) -> None:
        """Multiply the penalty by a factor; the prox point and the dual variable stay."""
        admm.rescale_flows(self.shape, self.steps, 1 / self.rates, 1 / factor, self.s, **self.launch)
        self.rates = self.rates * factor
        self.before = None


class Pmf:
    """Block of p: tau KL, the bounds, and what of the linear part of FD² is no function of the moments."""

    def __init__(self, problem: Problem, transport: GridTransport, start: Float, rest: Float, threads: Any) -> None:
        prior = transport.embed(problem.prior / problem.prior.sum())
        self.tau, self.target, self.rest = problem.tau, transport.target, rest
        self.log_prior = _one_or_all(np.log(np.maximum(prior, 1e-300)))
        self.lower = _one_or_all(transport.embed(problem.lower))
        self.upper = _one_or_all(transport.embed(problem.upper))
        self.s = transport.embed(start).copy()
        self.y = np.maximum(self.s, 1e-12 / len(self.s))
        self.rate = 0.3 * len(self.s)
        self.before: tuple[Float, Float] | None = None
        self.launch = {"threads": threads, "work": 60 * len(self.s)}

    def prox(self, features: GridFeatures, right: NDArray[Any]) -> Float:
        """Update y; right = 2 y − s − q; return Aᵀ(2 y − s)."""
        sums = np.empty((len(features.constant), 3))
        admm.pmf_prox(
            self.target, self.log_prior, self.tau / self.rate, self.lower, self.upper, self.rest / self.rate, self.s,
            self.y, right, features.x, features.x2, sums, **self.launch,
        )  # fmt: skip
        return features.contract(sums)

    def relax(self, potential: NDArray[Any], features: GridFeatures, w: Float) -> None:
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


class Moments:
    """Block of z = Aᵀp: w_F FD² but for the linear part that p keeps. A further term in z is a class like this."""

    def __init__(self, problem: Problem, features: GridFeatures, start: Float, slope: Float) -> None:
        self.frechet, self.weight, self.slope = problem.frechet, problem.frechet_weight, slope
        self.s = self.y = start
        n_cells, r = len(features.constant) * len(features.x), len(start)
        spread = features.gram / n_cells - np.outer(start, start)
        spread = (spread + spread.T) / 2 + 1e-9 * max(float(np.trace(spread)), 1e-12) * np.eye(r)
        self.metric = np.asarray(0.3 * np.linalg.inv(spread) if r else np.zeros((0, 0)), np.float64)
        self.before: tuple[Float, Float] | None = None

    def prox(self) -> Float:
        """Update y by damped Newton steps from the last one; return 2 y − s."""
        if len(self.s) and self.weight > 0:
            self.y = self._minimum(self.y)
        else:
            self.y = self.s
        return 2 * self.y - self.s

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

    def _minimum(self, z: Float) -> Float:
        """argmin of slope · z − 2 w_F tr (Fᵀ Σ(z) F)^½ + ½ (z − s)ᵀ Q (z − s)."""
        frechet, weight, metric = self.frechet, self.weight, self.metric
        for _ in range(20):
            spectrum = frechet.spectrum(z)
            off = z - self.s
            pull = metric @ off
            gradient = self.slope + weight * frechet.slope(*spectrum) + pull
            root = frechet.moment_curvature(*spectrum)
            step = -np.linalg.solve(weight * (root @ root.T) + metric, gradient)
            decrement = float(-gradient @ step)
            value = self._value(z, spectrum[0], off @ pull)
            length = 1.0
            while length > 1e-10:
                moved = z + length * step
                if frechet.inside(moved):
                    off = moved - self.s
                    after = self._value(moved, frechet.spectrum(moved)[0], off @ metric @ off)
                    if after <= value - 0.1 * length * decrement + 1e-14 * abs(value):
                        break
                length /= 2
            else:
                break
            z = moved
            if decrement < 1e-10 * (1e-6 + abs(value)):
                break
        return z

    def _value(self, z: Float, roots: Float, distance: Any) -> float:
        return float(self.slope @ z) - 2 * self.weight * float(roots.sum()) + 0.5 * float(distance)


@dataclass(frozen=True)
class GridState:
    """What a run can start from."""

    flows: Float
    flow_rates: Float
    pmf: tuple[Float, Float]
    pmf_rate: float
    moments: tuple[Float, Float]
    metric: Float


class GridSplitting:
    """The splitting method: its blocks, and a chunk of its iterations."""

    def __init__(
        self, problem: Problem, transport: GridTransport, threads: int | None = None, warm_start: Any = None
    ) -> None:
        threads = 1 if len(transport.target) <= _FEW_CELLS else threads
        self.problem, self.transport, self.threads = problem, transport, threads
        start = project(problem.prior, problem.lower, problem.upper)
        slope, rest = _split_linear(problem, transport)
        self.features = moment_features(problem.frechet, transport)
        self.flows = Flows(transport, threads)
        self.pmf = Pmf(problem, transport, start, rest, threads)
        self.moments = Moments(problem, self.features, problem.frechet.moments(start), slope)
        self.blocks: tuple[Flows | Pmf | Moments, ...] = (self.flows, self.pmf, self.moments)
        n_cells = len(transport.target)
        rough = n_cells > _MANY_CELLS
        self.projection = Projection(transport, self.features, threads, np.float32 if rough else np.float64)
        self.potential: NDArray[Any] = np.zeros(n_cells, np.float32 if rough else np.float64)
        self.n_iter = 0
        self._residuals = {"primal_residual": np.inf, "dual_residual": np.inf}
        if isinstance(warm_start, GridState) and warm_start.flows.shape == self.flows.s.shape:
            self._restore(warm_start)
        self._set_penalties()

    def _iterate(self) -> None:
        right, mismatch, reflected = self._reflect()
        if self._balance():
            right, mismatch, reflected = self._reflect()
        # x = Π(2 y − s), by its multipliers: λ of div m = p − q, w of z = Aᵀp
        self.potential, w = self.projection.multipliers(right, mismatch)
        # s ← s + relaxation (x − y)
        self.pmf.relax(self.potential, self.features, w)
        self.flows.relax(self.potential)
        self.moments.relax(reflected + self.projection.covariance @ w)
        self.n_iter += 1

    def _reflect(self) -> tuple[NDArray[Any], Float, Float]:
        """Update y; return what 2 y − s lacks of the two constraints, and its moments."""
        right = self.potential  # the buffer of the last λ
        mismatch = self.pmf.prox(self.features, right)
        self.flows.subtract_divergence(right, 2.0)
        reflected = self.moments.prox()
        return right, mismatch - reflected, reflected

    def _balance(self) -> bool:
        """Rescale each block's penalty to the ratio of the moves of its dual and primal parts since the last look."""
        n = self.n_iter + 1
        if n not in _BALANCE_AT and n % _BALANCE_EVERY:
            return False
        moves = [block.moves() for block in self.blocks]
        factors = [_factor(*pair) for pair in moves if pair is not None]
        if len(factors) < len(moves):
            return False
        self._residuals = {"primal_residual": self.pmf.moved[0], "dual_residual": self.pmf.moved[1]}
        if max(max(f, 1 / f) for f in factors) <= 1.3:
            return False
        for block, factor in zip(self.blocks, factors, strict=True):
            block.rescale(factor)
        self._set_penalties()
        return True

    def _set_penalties(self) -> None:
        self.projection.set_penalties(self.flows.rates, self.pmf.rate, self.moments.metric)

    # what the solver's loop asks for

    def advance(self, enough: float, at_most: int) -> int:
        """Make a chunk of iterations."""
        chunk = min(max(_CHUNK, self.n_iter // 8), _LONGEST_CHUNK, at_most)
        if self.n_iter >= _ROUGH_ITERATIONS and self.potential.dtype != np.float64:
            self.potential = self.potential.astype(np.float64)
            self.projection = Projection(self.transport, self.features, self.threads, np.float64)
            self._set_penalties()
        for _ in range(chunk):
            self._iterate()
        return chunk

    def primal(self) -> tuple[Float, float]:
        """Return a feasible p, and the cost of the flows once a Poisson solve makes them feasible too."""
        problem, transport, flows = self.problem, self.transport, self.flows
        if not self.n_iter and (stay := self._target()) is not None:
            return stay, 0.0
        p = transport.extract(self.pmf.y)
        p = project(p, problem.lower, problem.upper) if problem.bounded.any() or not p.any() else p / p.sum()
        error = transport.embed(p) - transport.target
        flows.subtract_divergence(error, 1.0)
        conductance = np.where(flows.shape > 1, 1 / flows.lengths, 1.0)
        poisson = CosineTransform(transport.shape, np.float64, self.threads)
        image, spare = poisson.forward(error, np.empty_like(error))
        weights = eigenvalues(transport.shape, conductance)
        image[0] = 0.0
        cosine.scale_by_spectrum(image, flows.shape, weights, 1e-300, threads=self.threads, work=8 * image.size)
        correction, _ = poisson.inverse(image, spare)
        n_rows = len(correction) // flows.shape[-1]
        costs = np.empty(-(-n_rows // admm.ROWS_PER_BLOCK))
        admm.corrected_flow_cost(
            flows.shape, flows.steps, 1 / flows.rates, flows.s, -conductance, correction, costs, **flows.launch
        )
        return p, float(costs.sum())

    def _target(self) -> Float | None:
        """Return q itself where it is feasible: nothing need be moved then, and at tau = 0 it may be the answer."""
        q = self.transport.extract(self.transport.target)
        feasible = q.sum() > 1 - 1e-12 and (q >= self.problem.lower).all() and (q <= self.problem.upper).all()
        return q if feasible else None

    def dual(self) -> tuple[Float, float, Float]:
        """Return a feasible potential, its value on the target, and the moments at which to take the tangent."""
        phi = -self.potential.astype(np.float64)
        for axis in range(len(self.transport.shape)):
            admm.lower_to_lipschitz(
                self.flows.shape, self.flows.steps, axis, phi, threads=self.threads, work=4 * phi.size
            )
        return self.transport.extract(phi), -float(phi @ self.transport.target), self.moments.y

    def residuals(self) -> dict[str, float]:
        return self._residuals

    def state(self) -> GridState:
        return GridState(
            self.flows.s, self.flows.rates, (self.pmf.y, self.pmf.s), self.pmf.rate,
            (self.moments.y, self.moments.s), self.moments.metric,
        )  # fmt: skip

    def _restore(self, state: GridState) -> None:
        """Start from prox points and dual variables; the penalties start afresh: those of a late stage are slow."""
        flows, pmf, moments = self.flows, self.pmf, self.moments
        fresh, flows.rates = flows.rates, state.flow_rates
        flows.s = state.flows.copy()
        flows.rescale(float(np.exp(np.mean(np.log(fresh / state.flow_rates)))))
        pmf.y, pmf.s = state.pmf[0].copy(), state.pmf[0] + (state.pmf[1] - state.pmf[0]) * (state.pmf_rate / pmf.rate)
        if state.moments[0].shape == moments.y.shape:  # else another target's moments
            y, s = state.moments
            moments.y, moments.s = y, y + np.linalg.solve(moments.metric, state.metric @ (s - y))


def _split_linear(problem: Problem, transport: GridTransport) -> tuple[Float, Float]:
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


def _factor(primal: float, dual: float) -> float:
    """Return the factor for a penalty, damped, from the squared moves of the primal and dual parts."""
    if not primal > 0 or not dual > 0:
        return 1.0
    ratio = np.sqrt(dual / primal)
    return float(min(max(np.sqrt(ratio), 0.25), 4.0)) if 1e-8 < ratio < 1e8 else 1.0
