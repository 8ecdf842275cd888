"""The linear system of a step of the interior-point method, through a graph Laplacian over the sinks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import dsyrk
from scipy.linalg.lapack import dpotrf, dpotrs
from scipy.sparse import csr_array, diags_array
from scipy.sparse.linalg import splu

from fastdeg.crafting.arcs import Arcs
from fastdeg.kernels import interior as kernels

Float = NDArray[np.float64]
Solve = Callable[[Float], Float]

_ROWS_AT_ONCE = 65_536
_SPARSE = 500  # sinks from which on a sparse Laplacian is factored as such
_DROPPED = 1e-6  # entries of a sparse Laplacian below this share of both diagonals


class NewtonSystem:
    """Solves (D + U Uᵀ) Δp + Δφ = b,  R Δφ + Wᵀ Δψ − Δp = row,  W Δφ + C Δψ = column  with W = x / s.

    R and C are the sums of W over sinks and over bins. With D alone this is one K × K Laplacian, whose diagonal is
    summed without cancellation; the low-rank part comes last, through an r × r system.
    """

    def __init__(self, arcs: Arcs) -> None:
        self.arcs = arcs
        self.sparse = arcs.n_sinks >= _SPARSE and 2 * arcs.pairs < arcs.n_sinks**2
        self.ratios = np.empty(len(arcs.sink))
        self.sources, self.sinks = np.empty(len(arcs.first) - 1), np.empty(arcs.n_sinks)

    def factor(self, diagonal: Float, hessian_factor: Float) -> bool:
        """Factor for the ratios and sums that are in place; return whether the Laplacian is positive definite."""
        self.diagonal, self.low_rank = diagonal, hessian_factor
        self.denominator = diagonal * self.sources + 1
        self.laplacian = None
        self.own = self._to_sinks(np.ones_like(self.denominator), 1 / self.denominator)
        if diagonal.any():
            solve = self._factor_sparse() if self.sparse else self._factor_dense()
            if solve is None:
                return False
            self.laplacian = solve
        if hessian_factor.shape[1]:
            inner = self._low_rank_response()
            inner = (inner + inner.T) / 2
            inner[np.diag_indices_from(inner)] += 1
            self.inner = np.linalg.inv(inner)
        return True

    def release(self) -> None:
        """Let go of the factor U."""
        self.low_rank = np.zeros((0, 0))

    def _factor_dense(self) -> Solve | None:
        """Return the solver for the Laplacian as a dense matrix; None where it is not positive definite."""
        arcs, n_sinks = self.arcs, self.arcs.n_sinks
        scale = np.sqrt(self.diagonal / self.denominator)
        if arcs.complete:
            scaled = self.ratios.reshape(len(scale), n_sinks) * scale[:, None]
            matrix = dsyrk(-1.0, scaled.T, lower=0).T  # lower half in C order
        else:
            matrix = np.zeros((n_sinks, n_sinks))
            kernels.laplacian(arcs.first, arcs.sink, self.ratios, scale, matrix)
        kernels.close_laplacian(self.own, matrix)
        factor, failure = dpotrf(matrix.T, lower=0, overwrite_a=1, clean=0)
        return None if failure else lambda right: dpotrs(factor, right, lower=0)[0]

    def _factor_sparse(self) -> Solve | None:
        """The same for few arcs: sinks that share no bin are not joined, and in space few are."""
        arcs = self.arcs
        scale = np.sqrt(self.diagonal / self.denominator)
        values = self.ratios * np.repeat(scale, np.diff(arcs.first))
        weighted = csr_array((values, arcs.sink, arcs.first), (len(scale), arcs.n_sinks))
        joined = (weighted.T @ weighted).tocsc()
        joined.setdiag(0.0)
        diagonal = self.own + joined.sum(axis=0)
        least = np.minimum(diagonal[joined.indices], np.repeat(diagonal, np.diff(joined.indptr)))
        joined.data[joined.data < _DROPPED * least] = 0.0
        joined.eliminate_zeros()
        matrix = (diags_array(diagonal * (1 + 1e-14)) - joined).tocsc()
        options = {"SymmetricMode": True}
        try:
            return splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=options).solve
        except RuntimeError:  # exactly singular
            return None

    def _low_rank_response(self) -> Float:
        """Return Uᵀ Δp for the right-hand sides b = U, r × r: Δp itself, as large as U, is not needed."""
        factor = self.low_rank
        weights = self.sources / self.denominator
        response = np.zeros((factor.shape[1], factor.shape[1]))
        for start in range(0, len(weights), _ROWS_AT_ONCE):
            some = factor[start : start + _ROWS_AT_ONCE]
            response += some.T @ (some * weights[start : start + _ROWS_AT_ONCE, None])
        right = self._to_sinks(factor, 1 / self.denominator)
        return response - right.T @ self._solve_laplacian(right)

    def _to_sinks(self, values: Float, scale: Float) -> Float:
        """Return W diag(scale) values."""
        arcs = self.arcs
        out = np.empty((arcs.n_sinks, *values.shape[1:]))
        kernels.to_sinks(arcs.first, arcs.sink, self.ratios, scale, _columns(values), _columns(out))
        return out

    def _to_bins(self, values: Float) -> Float:
        """Return Wᵀ values."""
        out = np.empty(len(self.arcs.first) - 1)
        kernels.to_bins(self.arcs.first, self.arcs.sink, self.ratios, values, out)
        return out

    def _solve_laplacian(self, right: Float) -> Float:
        if self.laplacian is None:
            return right / (self.own[:, None] if right.ndim == 2 else self.own)
        return self.laplacian(right)

    def _solve_diagonal(self, b: Float, row: Float, column: Float) -> tuple[Float, Float]:
        """Return Δp and Δψ without the low-rank part."""
        dpsi = self._solve_laplacian(column - self._to_sinks(b + self.diagonal * row, 1 / self.denominator))
        return (self.sources * b + self._to_bins(dpsi) - row) / self.denominator, dpsi

    def solve(self, b: Float, row: Float, column: Float) -> tuple[Float, Float, Float]:
        """Return Δp, Δφ, Δψ."""
        dp, dpsi = self._solve_diagonal(b, row, column)
        if self.low_rank.shape[1]:
            b = b - self.low_rank @ (self.inner @ (self.low_rank.T @ dp))
            dp, dpsi = self._solve_diagonal(b, row, column)
        dphi = (b - self.diagonal * (self._to_bins(dpsi) - row)) / self.denominator
        return dp, dphi, dpsi


def _columns(array: Float) -> Float:
    """Return a contiguous array with one or two dimensions as a matrix, without a copy."""
    return np.ascontiguousarray(array).reshape(len(array), -1)
