"""The linear system of a step of the interior-point method, through a graph Laplacian over the sinks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.linalg.blas import dsyrk
from scipy.linalg.lapack import dpotrf, dpotrs

from fastdeg._types import Float
from fastdeg.crafting.interior.active_arcs import Arcs
from fastdeg.crafting.strategy import current
from fastdeg.kernels.crafting.interior import newton
from fastdeg.kernels.crafting.interior import plan as kernels

Solve = Callable[[Float], Float]

_ROWS_AT_ONCE = 65_536
_DROPPED = 1e-6  # entries of a sparse Laplacian below this share of both diagonals
_NO_ROOT = np.zeros((0, 0))  # the factor U is at hand


class NewtonSystem:
    """Solves (D + U Uᵀ) Δp + Δφ = b,  R Δφ + Wᵀ Δψ − Δp = row,  W Δφ + C Δψ = column  with W = x / s.

    R and C are the sums of W over sinks and over bins. With D alone this is one K × K Laplacian, whose diagonal is
    summed without cancellation; the low-rank part comes last, through an r × r system. Where the number of columns of U
    is given, there is room for compiled steps, which never have U as a whole; elsewhere `factor` takes any U.
    """

    def __init__(self, arcs: Arcs, n_bounded: int, n_columns: int | None) -> None:
        self.arcs = arcs
        n_bins, n_sinks = len(arcs.first) - 1, arcs.n_sinks
        self.sparse = n_sinks >= current().sparse_sinks and 2 * arcs.pairs < n_sinks**2
        self.work = newton.workspace(len(arcs.sink), n_bins, n_sinks, n_bounded, n_columns or 0)
        if n_columns is not None:
            self.root, self.matrix = np.empty((n_columns, n_columns)), np.empty((n_sinks, n_sinks))

    def factor(self, hessian_factor: Float) -> bool:
        """Factor for the ratios and sums that are in place; return whether the Laplacian is positive definite."""
        self.low_rank = hessian_factor
        solve = self._factor_sparse() if self.sparse else self._factor_dense()
        if solve is None:
            return False
        self.laplacian = solve
        return self._factor_low_rank()

    def release(self) -> None:
        """Let go of the factor U."""
        self.low_rank = np.zeros((0, 0))

    def directions(self, graph: kernels.Graph, bounds: newton.Bounds, point: newton.Point, gap: float) -> float:
        """Leave the step, predictor and corrector, in ``work``; return its length."""
        work = self.work
        newton.predictor_right(graph, bounds, point, work)
        work.dpsi[:] = self.laplacian(work.dpsi)
        newton.direction(graph, bounds, point, self.low_rank, _NO_ROOT, work)
        newton.corrector_right(graph, bounds, point, gap, work)
        work.dpsi[:] = self.laplacian(work.dpsi)
        newton.direction(graph, bounds, point, self.low_rank, _NO_ROOT, work)
        return float(newton.step_length(graph, bounds, point, work))

    def _factor_dense(self) -> Solve | None:
        """Return the solver for the Laplacian as a dense matrix; None where it is not positive definite."""
        arcs, work, n_sinks = self.arcs, self.work, self.arcs.n_sinks
        if not work.diagonal.any():
            return lambda right: (right.T / work.own).T
        scale = np.sqrt(work.diagonal / work.denominator)
        if arcs.complete:
            scaled = work.ratios.reshape(len(scale), n_sinks) * scale[:, None]
            matrix = dsyrk(-1.0, scaled.T, lower=0).T  # lower half in C order
        else:
            matrix = np.zeros((n_sinks, n_sinks))
            kernels.laplacian(arcs.first, arcs.sink, work.ratios, -(scale**2), matrix)
        kernels.close_laplacian(work.own, matrix)
        factor, failure = dpotrf(matrix.T, lower=0, overwrite_a=1, clean=0)
        return None if failure else lambda right: dpotrs(factor, right, lower=0)[0]

    def _factor_sparse(self) -> Solve | None:
        """The same for few arcs: sinks that share no bin are not joined, and in space few are."""
        from scipy.sparse import csr_array, diags_array  # takes longer than a small problem
        from scipy.sparse.linalg import splu

        arcs, work = self.arcs, self.work
        scale = np.sqrt(work.diagonal / work.denominator)
        values = work.ratios * np.repeat(scale, np.diff(arcs.first))
        weighted = csr_array((values, arcs.sink, arcs.first), (len(scale), arcs.n_sinks))
        joined = (weighted.T @ weighted).tocsc()
        joined.setdiag(0.0)
        diagonal = work.own + joined.sum(axis=0)
        least = np.minimum(diagonal[joined.indices], np.repeat(diagonal, np.diff(joined.indptr)))
        joined.data[joined.data < _DROPPED * least] = 0.0
        joined.eliminate_zeros()
        matrix = (diags_array(diagonal * (1 + 1e-14)) - joined).tocsc()
        options = {"SymmetricMode": True}
        try:
            return splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=options).solve
        except RuntimeError:  # exactly singular
            return None

    def _factor_low_rank(self) -> bool:
        """Factor 1 + Uᵀ Δp for the right-hand sides b = U, r × r: Δp itself, as large as U, is not needed."""
        factor, arcs, work = self.low_rank, self.arcs, self.work
        n_bins, r = factor.shape
        if not r:
            return True
        from_bins = np.zeros((arcs.n_sinks, r))
        if arcs.complete:
            np.matmul((work.ratios.reshape(n_bins, -1) / work.denominator[:, None]).T, factor, out=from_bins)
        else:
            divided = work.ratios / np.repeat(work.denominator, np.diff(arcs.first))
            kernels.to_sinks(arcs.first, arcs.sink, divided, factor, from_bins)
        responses = self.laplacian(from_bins)
        roots = np.sqrt(work.sources / work.denominator)
        inner = np.asfortranarray(np.eye(r) - from_bins.T @ responses)
        for start in range(0, len(roots), _ROWS_AT_ONCE):
            end = start + _ROWS_AT_ONCE
            inner = dsyrk(1.0, (factor[start:end] * roots[start:end, None]).T, 1.0, inner, overwrite_c=1)
        lower, failure = dpotrf(inner, lower=0, clean=0)
        responses = np.ascontiguousarray(responses.T)
        self.work = work._replace(from_bins=from_bins, responses=responses, inner=lower.T, inner_right=np.empty(r))
        return not failure
