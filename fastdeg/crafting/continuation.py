"""The method of a problem that differs from a solved one by little: it polishes that one's forest."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdeg.crafting.blocks import split_linear
from fastdeg.crafting.polish import Polish, Polished
from fastdeg.crafting.problem import GridTransport, Primal, Problem
from fastdeg.crafting.spectral import moment_features
from fastdeg.crafting.splitting import GridState, useful_threads

Float = NDArray[np.float64]


class Continuation:
    """Polishes, once, what the solution of another problem on the same grid left behind."""

    def __init__(self, problem: Problem, transport: GridTransport, state: GridState, threads: int | None) -> None:
        self.problem, self.transport, self.start = problem, transport, state
        assert state.polish is not None
        self.near = state.polish
        features, threads = moment_features(problem.frechet, transport), useful_threads(transport, threads)
        self.polish = Polish(problem, transport, features, *split_linear(problem, transport), threads)
        self.polished: Polished | None = None
        self.tried = False

    @staticmethod
    def applies(problem: Problem, transport: GridTransport, state: Any) -> bool:
        """Return whether a state is one to go on from."""
        if not isinstance(state, GridState) or state.polish is None or not Polish.applies(problem, transport):
            return False
        return state.polish.near(problem, transport)

    def advance(self, enough: float, at_most: int) -> int:
        """Polish; there is nothing more to do then."""
        if self.tried:
            return 0
        self.tried = True
        self.polished = self.polish.go_on(self.near, enough)
        return int(self.polished is not None)

    def primal(self) -> Primal:
        """Return the polished p with its cost, at first the prior with that of an independent plan."""
        if self.polished is not None:
            return Primal(self.polished.p, self.polished.transport, exact=True)
        p = self.problem.prior / self.problem.prior.sum()
        return Primal(p, self.transport.independent(p))

    def dual(self) -> tuple[Float, float, Float]:
        """Return a feasible potential, its value on the target, and the moments at which to take the tangent."""
        if self.polished is not None:
            return self.polished.phi, self.polished.dual_transport, self.polished.moments
        return np.zeros(self.problem.n_bins), 0.0, self.problem.frechet.target_moments

    def residuals(self) -> dict[str, float]:
        """There is one copy of p, which follows from the potential at the moments of the tangent."""
        wrong = np.inf if self.polished is None else self.polished.moment_error
        return {"primal_residual": 0.0, "dual_residual": wrong}

    def state(self) -> GridState:
        return replace(self.start, polish=self.polish.state() or self.near)
