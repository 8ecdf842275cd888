r"""Splitting (ADMM) for grids with the city-block metric: the earth mover's distance as a flow along the grid's edges.

W(p, q) = min Σ_e ℓ_e |m_e| over flows m with div m = p − q (Beckmann). With the moments z = Aᵀp as a variable of
their own,
the problem is g(m, p, z) with (m, p, z) in an affine set, and both sides are easy:

    y = prox of g at s         separable: shrinkage of m, entropic prox of p, Newton's method in the few moments
    x = Π(2 y − s)             projection on {div m = p − q, z = Aᵀp}: one cosine transform and back
    s ← s + 1.8 (x − y)        over-relaxation

The grid's Laplacian is diagonal under the DCT-II, and the moment features depend on one or two axes each, so they
are sparse there.
Each block (m, p, z) has a penalty of its own, balanced by how fast its primal and dual parts move.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from fastdeg.crafting.frechet_term import FrechetTerm
from fastdeg.crafting.problem import GridTransport, Problem
from fastdeg.crafting.simplex import project
from fastdeg.kernels import admm

Float = NDArray[np.float64]

RELAXATION = 1.8
CHUNK = 25  # iterations between certificates
_BALANCE_AT = (10, 20, 40)
_BALANCE_EVERY = 50
_MANY_CELLS = 200_000  # from here on the transforms inside an iteration are in float32; certificates never


@dataclass(frozen=True)
class GridState:
    """What a run can start from: prox points and dual variables."""

    flows: Float
    flow_duals: Float
    pmf: Float
    pmf_dual: Float
    moments: Float
    moment_dual: Float


class GridSplitting:
    """State of the splitting method, and a chunk of its iterations."""

    def __init__(
        self, problem: Problem, transport: GridTransport, threads: int | None = None, warm_start: Any = None
    ) -> None:
        self.problem, self.transport, self.threads = problem, transport, threads
        n_cells = transport.target.size
        self.shape = np.array(transport.shape)
        self.steps = transport.steps
        self.features = _GridFeatures(problem.frechet, transport)
        self.n_iter = 0
        # rates: per flow axis, pmf, moments
        lengths = np.array(
            [
                max(float(step[: n - 1].mean()) if n > 1 else 1.0, 1e-9)
                for step, n in zip(self.steps, self.shape, strict=True)
            ]
        )
        prior = transport.embed(problem.prior / problem.prior.sum())
        self.lower, self.upper = transport.embed(problem.lower), transport.embed(problem.upper)
        self.log_prior = np.log(np.maximum(prior, 1e-300))
        self.flow_rates = lengths * n_cells
        self.pmf_rate = 0.3 * n_cells
        start = project(problem.prior, problem.lower, problem.upper)
        self.pmf_state = transport.embed(start)
        moments = problem.frechet.moments(start)
        r = len(moments)
        spread = self.features.gram / n_cells - np.outer(moments, moments)
        spread = (spread + spread.T) / 2 + 1e-9 * max(float(np.trace(spread)), 1e-12) * np.eye(r)
        self.moment_metric = np.asarray(0.3 * np.linalg.inv(spread) if r else np.zeros((0, 0)), np.float64)
        self.flow_state = np.zeros((len(self.shape), n_cells))
        self.moment_state = moments
        self.pmf = np.maximum(self.pmf_state, 1e-12 / n_cells)
        self.moments = moments
        self.potential = np.zeros(n_cells)
        self.transform_type = np.float32 if n_cells > _MANY_CELLS else np.float64
        self.right = np.empty(n_cells)
        self.sums = np.empty((n_cells // self.shape[-1], 3))
        self.push = np.zeros(0)
        self.moment_slope, self.linear_push = self._split_linear()
        if isinstance(warm_start, GridState) and warm_start.flows.shape == self.flow_state.shape:
            self._restore(warm_start)
        self._previous: tuple[Float, ...] | None = None
        self._residuals = {"primal_residual": np.inf, "dual_residual": np.inf}
        self._set_rates()

    # what the solver's loop asks for

    def primal(self) -> tuple[Float, float]:
        """Return a feasible p, and the cost of the flows once a Poisson solve makes them feasible too."""
        problem, transport = self.problem, self.transport
        p = project(transport.extract(self.pmf), problem.lower, problem.upper)
        inverse_flow = 1 / self.flow_rates
        error = np.empty(transport.target.size)
        admm.divergence_error(
            self.shape, self.steps, inverse_flow, self.flow_state, transport.embed(p), transport.target, error
        )
        conductance = np.array(
            [
                1 / max(float(step[: n - 1].mean()), 1e-9) if n > 1 else 1.0
                for step, n in zip(self.steps, self.shape, strict=True)
            ]
        )
        spectrum = _laplacian(self.shape, conductance)
        spectrum.flat[0] = 1.0
        image = self._transform(error.reshape(self.shape)) / spectrum
        image.flat[0] = 0.0
        correction = scipy.fft.idctn(image, norm="ortho").ravel()
        cost = admm.corrected_flow_cost(self.shape, self.steps, inverse_flow, self.flow_state, conductance, correction)
        return p, float(cost)

    def dual(self) -> tuple[Float, float, Float]:
        """Return a feasible potential, its value on the target, and the moments at which to take the tangent."""
        phi = -self.potential
        admm.lower_to_lipschitz(self.shape, self.steps, phi)
        return self.transport.extract(phi), -float(phi @ self.transport.target), self.moments

    def residuals(self) -> dict[str, float]:
        return self._residuals

    def state(self) -> GridState:
        flows = self._shrunk()
        return GridState(
            flows,
            self.flow_rates[:, None] * (self.flow_state - flows),
            self.pmf,
            self.pmf_rate * (self.pmf_state - self.pmf),
            self.moments,
            self.moment_metric @ (self.moment_state - self.moments),
        )

    def advance(self, enough: float, at_most: int) -> int:
        """Make a chunk of iterations."""
        for _ in range(min(CHUNK, at_most)):
            self._iterate()
        return min(CHUNK, at_most)

    def _restore(self, state: GridState) -> None:
        """Start from prox points and dual variables; the penalties start afresh: those of a late stage are slow."""
        self.flow_state = state.flows + state.flow_duals / self.flow_rates[:, None]
        self.pmf, self.pmf_state = state.pmf.copy(), state.pmf + state.pmf_dual / self.pmf_rate
        if state.moments.shape == self.moments.shape:  # else another target's moments
            self.moments = state.moments
            self.moment_state = state.moments + np.linalg.solve(self.moment_metric, state.moment_dual)

    # one iteration

    def _iterate(self) -> None:
        problem, shape, features = self.problem, self.shape, self.features
        work = 100 * self.pmf.size
        inverse_flow = 1 / self.flow_rates
        # y: prox of each block
        admm.separable_prox(
            shape,
            self.steps,
            inverse_flow,
            self.transport.target,
            self.log_prior,
            problem.tau / self.pmf_rate,
            self.lower,
            self.upper,
            self.push,
            self.pmf_state,
            self.flow_state,
            self.pmf,
            self.right,
            features.x,
            features.x2,
            self.sums,
            threads=self.threads,
            work=work,
        )
        self.moments = self._moment_prox(self.moment_state)
        self._balance()
        inverse_flow = 1 / self.flow_rates
        # x: projection of 2 y − s, by its multipliers: λ of div m = p − q, w of z = Aᵀp
        reflected = 2 * self.moments - self.moment_state
        image = self._transform(self.right.astype(self.transform_type, copy=False).reshape(shape)).ravel()
        mismatch = features.contract(self.sums) - reflected
        if len(mismatch):
            mismatch = (
                mismatch
                - features.images.T
                @ (self.inverse_spectrum[features.support] * image[features.support])
                / self.pmf_rate
            )
        w = self.multiplier_map @ mismatch
        image *= self.inverse_spectrum
        np.negative(image, out=image)
        if len(w):
            image[features.support] += self.inverse_spectrum[features.support] * (features.images @ w) / self.pmf_rate
        image = scipy.fft.idctn(image.reshape(shape), norm="ortho", workers=self.workers, overwrite_x=True)
        self.potential = image.ravel().astype(np.float64, copy=False)
        # s ← s + relaxation (x − y)
        admm.relaxed_update(
            shape,
            self.steps,
            inverse_flow,
            1 / self.pmf_rate,
            RELAXATION,
            self.potential,
            self.pmf,
            features.x,
            features.x2,
            features.expand(w),
            self.pmf_state,
            self.flow_state,
            threads=self.threads,
            work=work,
        )
        if len(w):
            self.moment_state = self.moment_state + RELAXATION * (reflected + self.moment_covariance @ w - self.moments)
        self.n_iter += 1

    workers = 2

    def _transform(self, array: NDArray[Any]) -> NDArray[Any]:
        return scipy.fft.dctn(array, norm="ortho", workers=self.workers)

    def _split_linear(self) -> tuple[Float, Float]:
        """Split the linear part of FD² into a function of the moments, for the prox of z, and a rest for that of p."""
        frechet = self.problem.frechet
        if self.problem.frechet_weight == 0:
            return np.zeros(len(self.moments)), np.zeros(0)
        some = np.linspace(0, len(frechet.linear) - 1, min(2000, len(frechet.linear))).astype(int)
        features = np.column_stack((frechet.first[some], frechet.second[some], np.ones(len(some))))
        slope = np.linalg.lstsq(features, frechet.linear[some], rcond=None)[0]
        k = frechet.rank
        rest = frechet.linear - (frechet.first @ slope[:k] + frechet.second @ slope[k:-1] + slope[-1])
        rest = rest if np.abs(rest).max() > 1e-9 * np.abs(frechet.linear).max() else np.zeros(0)
        weight = self.problem.frechet_weight
        return weight * slope[:-1], weight * (self.transport.embed(rest) if len(rest) else rest)

    def _set_rates(self) -> None:
        """Prepare the projection for the penalties in force."""
        features = self.features
        self.push = self.linear_push / self.pmf_rate
        spectrum = _laplacian(self.shape, 1 / self.flow_rates) + 1 / self.pmf_rate
        self.inverse_spectrum = (1 / spectrum).ravel()
        if len(self.moments):
            self.moment_covariance = np.linalg.inv(self.moment_metric)
            on = self.inverse_spectrum[features.support]
            inner = features.gram / self.pmf_rate + self.moment_covariance
            inner -= features.images.T @ (features.images * on[:, None]) / self.pmf_rate**2
            self.multiplier_map = np.linalg.inv(inner)
        else:
            self.multiplier_map = np.zeros((0, 0))

    def _moment_prox(self, v: Float) -> Float:
        """argmin of −2 w_F tr (Fᵀ Σ(z) F)^½ + ½ (z − v)ᵀ Q (z − v) by damped Newton steps from the last one."""
        frechet, weight, metric = self.problem.frechet, self.problem.frechet_weight, self.moment_metric
        z = self.moments
        if not len(z) or weight == 0:
            return v
        for _ in range(20):
            spectrum = frechet.spectrum(z)
            gradient = self.moment_slope + weight * frechet.slope(*spectrum) + metric @ (z - v)
            root = frechet.moment_curvature(*spectrum)
            step = -np.linalg.solve(weight * (root @ root.T) + metric, gradient)
            decrement = float(-gradient @ step)
            value = float(self.moment_slope @ z) - 2 * weight * float(spectrum[0].sum())
            value += 0.5 * float((z - v) @ metric @ (z - v))
            length = 1.0
            while length > 1e-10:
                moved = z + length * step
                if frechet.inside(moved):
                    after = float(self.moment_slope @ moved) - 2 * weight * float(frechet.spectrum(moved)[0].sum())
                    after += 0.5 * float((moved - v) @ metric @ (moved - v))
                    if after <= value - 0.1 * length * decrement + 1e-14 * abs(value):
                        break
                length /= 2
            else:
                break
            z = moved
            if decrement < 1e-10 * (1e-6 + abs(value)):
                break
        return z

    # penalties

    def _balance(self) -> None:
        """Rescale each block's penalty to the ratio of the moves of its dual and primal parts since the last look."""
        n = self.n_iter + 1
        if n not in _BALANCE_AT and n % _BALANCE_EVERY:
            return
        flow_primal = self._shrunk()
        now = (
            flow_primal,
            self.flow_state - flow_primal,
            self.pmf.copy(),
            self.pmf_state - self.pmf,
            self.moments,
            self.moment_state - self.moments,
        )
        before, self._previous = self._previous, now
        if before is None:
            return
        rate = self.flow_rates[:, None]
        metric = self.moment_metric
        moved = [float(np.sum(rate * (now[k] - before[k]) ** 2)) for k in (0, 1)]
        moved += [float(np.sum((now[k] - before[k]) ** 2)) for k in (2, 3)]
        moved += [float((now[k] - before[k]) @ metric @ (now[k] - before[k])) for k in (4, 5)]
        self._residuals = {
            "primal_residual": float(np.abs(now[2] - before[2]).sum()),
            "dual_residual": float(np.sqrt(moved[3]) * self.pmf_rate),
        }
        factors = [_factor(moved[k + 1], moved[k]) for k in (0, 2, 4)]
        if max(max(f, 1 / f) for f in factors) <= 1.3:
            return
        f, g, h = factors
        self.flow_state = now[0] + now[1] / f
        self.pmf_state = now[2] + now[3] / g
        self.moment_state = now[4] + now[5] / h
        self.flow_rates = self.flow_rates * f
        self.pmf_rate *= g
        self.moment_metric = self.moment_metric * h
        self._previous = None
        self._set_rates()
        self._refresh_right()

    def _refresh_right(self) -> None:
        """Recompute the right-hand side from the rescaled state: the prox points stay where they are."""
        inverse_flow = 1 / self.flow_rates
        admm.separable_prox(
            self.shape,
            self.steps,
            inverse_flow,
            self.transport.target,
            self.log_prior,
            self.problem.tau / self.pmf_rate,
            self.lower,
            self.upper,
            self.push,
            self.pmf_state,
            self.flow_state,
            self.pmf,
            self.right,
            self.features.x,
            self.features.x2,
            self.sums,
            threads=self.threads,
            work=100 * self.pmf.size,
        )

    def _shrunk(self) -> Float:
        shrunk = np.empty_like(self.flow_state)
        for k, step in enumerate(self.steps):
            n = self.shape[k]
            thresholds = np.zeros(n)
            thresholds[: n - 1] = step[: n - 1] / self.flow_rates[k]
            along = np.repeat(thresholds, int(np.prod(self.shape[k + 1 :])))
            flow = self.flow_state[k].reshape(-1, len(along))
            shrunk[k] = (np.sign(flow) * np.maximum(np.abs(flow) - along, 0)).ravel()
        return shrunk


class _GridFeatures:
    """The moment features A of a grid's cells as polynomials along rows, and their sparse cosine transform."""

    def __init__(self, frechet: FrechetTerm, transport: GridTransport) -> None:
        shape, k = transport.shape, frechet.rank
        centers = [np.asarray(c) - frechet.center[a] for a, c in enumerate(transport.coordinates)]
        variances = transport.variances
        rows = np.stack(np.meshgrid(*centers[:-1], indexing="ij"), -1).reshape(-1, len(shape) - 1)
        row_variances = np.stack(np.meshgrid(*variances[:-1], indexing="ij"), -1).reshape(-1, len(shape) - 1)
        factor, last = frechet.factor[:-1], frechet.factor[-1]
        a, b = np.triu_indices(k)
        first = rows @ factor  # of a cell: first + last · x
        second = first[:, a] * first[:, b] + row_variances @ (factor[:, a] * factor[:, b])
        cross = first[:, a] * last[b] + first[:, b] * last[a]
        self.x = centers[-1]
        self.x2 = self.x**2 + variances[-1]
        n_rows, r = len(rows), k + len(a)
        self.constant = np.concatenate((first, second), axis=1)
        self.slope = np.concatenate((np.broadcast_to(last, (n_rows, k)), cross), axis=1)
        self.square = np.concatenate((np.zeros(k), last[a] * last[b]))
        # cosine transform: a feature is a sum of products of functions of at most two axes
        support = np.zeros(shape, bool)
        index = np.indices(shape, sparse=True)
        active = sum((i > 0).astype(np.int8) for i in index)
        support[:] = active <= 2
        self.support = np.flatnonzero(support)
        self.images = np.empty((len(self.support), r))
        for f in range(r):
            values = self.constant[:, f, None] + self.slope[:, f, None] * self.x + self.square[f] * self.x2
            self.images[:, f] = scipy.fft.dctn(values.reshape(shape), norm="ortho").ravel()[self.support]
        self.gram = self.images.T @ self.images

    def contract(self, sums: Float) -> Float:
        """Return the moments of values whose row sums against 1, x, x² are given."""
        return sums[:, 0] @ self.constant + sums[:, 1] @ self.slope + sums[:, 2].sum() * self.square

    def expand(self, w: Float) -> Float:
        """Return the coefficients (rows, 3) of A w against 1, x, x²."""
        coefficients = np.empty((len(self.constant), 3))
        coefficients[:, 0] = self.constant @ w
        coefficients[:, 1] = self.slope @ w
        coefficients[:, 2] = self.square @ w
        return coefficients


def _laplacian(shape: NDArray[np.int_], weights: Float) -> Float:
    """Return the eigenvalues of the grid's Laplacian Σ_k weight_k L_k under the DCT-II."""
    total = np.zeros(tuple(shape))
    for k, n in enumerate(shape):
        along = [1] * len(shape)
        along[k] = n
        total += weights[k] * (2 - 2 * np.cos(np.pi * np.arange(n) / n)).reshape(along)
    return total


def _factor(dual: float, primal: float) -> float:
    """Return the factor for a penalty, damped, from the squared moves of the dual and primal parts."""
    if not primal > 0 or not dual > 0:
        return 1.0
    ratio = np.sqrt(dual / primal)
    return float(min(max(np.sqrt(ratio), 0.25), 4.0)) if 1e-8 < ratio < 1e8 else 1.0
