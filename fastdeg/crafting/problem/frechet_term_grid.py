"""The Fréchet term on a whole grid: its features are quadratic along rows, and never formed for all cells."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fastdeg._types import Float
from fastdeg.crafting.problem.frechet_term import FrechetTerm
from fastdeg.kernels.crafting import row_quadratics as rows
from fastdeg.space import grid_product


class RowQuadratics:
    """Functions A of a grid's cells that are quadratic along rows: the cells that differ on the last axis alone.

    Column f of A is constant[row, f] + slope[row, f] x + square[f] x² along a row, x² with the within-cell variance.
    """

    def __init__(self, x: Float, variances: Float, constant: Float, slope: Float, square: Float) -> None:
        self.x, self.x2 = x, x**2 + variances
        self.constant, self.slope, self.square = constant, slope, square

    @classmethod
    def moments(cls, centered: Sequence[Float], variances: Sequence[Float], factor: Float) -> RowQuadratics:
        """Return first and packed second moments in a basis (d, k) of cells with given centres along each axis."""
        k = factor.shape[1]
        before, within = _product(centered[:-1]), _product(variances[:-1])
        factor, last = factor[:-1], factor[-1]
        a, b = np.triu_indices(k)
        first = before @ factor  # of a cell: first + last · x
        second = first[:, a] * first[:, b] + within @ (factor[:, a] * factor[:, b])
        cross = first[:, a] * last[b] + first[:, b] * last[a]
        return cls(
            centered[-1],
            variances[-1],
            np.concatenate((first, second), axis=1),
            np.concatenate((np.broadcast_to(last, (len(before), k)), cross), axis=1),
            np.concatenate((np.zeros(k), last[a] * last[b])),
        )

    @property
    def n_cells(self) -> int:
        return len(self.constant) * len(self.x)

    def sums(self, values: Float, products: bool = False, threads: int | None = None) -> Float:
        """Return the row sums of values against 1, x, x², and against their three products."""
        sums = np.empty((len(self.constant), 6 if products else 3))
        rows.row_sums(values, self.x, self.x2, sums, threads=threads, work=len(values) / 4)
        return sums

    def contract(self, sums: Float) -> Float:
        """Return Aᵀv for values v whose row sums are given."""
        return sums[:, 0] @ self.constant + sums[:, 1] @ self.slope + sums[:, 2].sum() * self.square

    def second_moments(self, sums: Float) -> Float:
        """Return Aᵀ diag(v) A for values v whose six row sums are given."""
        one, x, x2, xx, xx2, x2x2 = sums.T[:, :, None]
        a, b, c = self.constant, self.slope, self.square
        cross = a.T @ (x * b) + np.outer((a * x2 + b * xx2).sum(axis=0), c)
        return a.T @ (one * a) + b.T @ (xx * b) + np.outer(c, c) * x2x2.sum() + cross + cross.T

    def gram(self) -> Float:
        """Return AᵀA."""
        ones = np.stack((np.ones_like(self.x), self.x, self.x2))
        products = np.array(
            [len(self.x), self.x.sum(), self.x2.sum(), *(ones[[1, 1, 2]] * ones[[1, 2, 2]]).sum(axis=1)]
        )
        return self.second_moments(np.broadcast_to(products, (len(self.constant), 6)))

    def coefficients(self, w: Float) -> Float:
        """Return the coefficients (rows, 3) of A w against 1, x, x²."""
        coefficients = np.empty((len(self.constant), 3))
        coefficients[:, 0] = self.constant @ w
        coefficients[:, 1] = self.slope @ w
        coefficients[:, 2] = self.square @ w
        return coefficients

    def expand(self, coefficients: Float, base: Float | None = None, threads: int | None = None) -> Float:
        """Return the function with given coefficients at all cells, on top of a base."""
        out = np.empty(self.n_cells)
        base = np.zeros(0) if base is None else base
        rows.expand_rows(coefficients, self.x, self.x2, base, out, threads=threads, work=len(out) / 4)
        return out


class GridFrechetTerm(FrechetTerm):
    """`FrechetTerm` of the cells of a grid, in C order.

    Parameters
    ----------
    coordinates, variances : sequences of ndarray
        Centres and within-cell variances along each axis.
    mean, covariance : ndarray, shapes (d,) and (d, d)
        The target (m, C).
    threads : int, optional
    """

    def __init__(
        self,
        coordinates: Sequence[Float],
        variances: Sequence[Float],
        mean: Float,
        covariance: Float,
        threads: int | None = None,
    ) -> None:
        self._threads = threads
        self._take_target(covariance)
        self.center = np.array([c.mean() for c in coordinates])
        centered = [c - at for c, at in zip(coordinates, self.center, strict=True)]
        spread = [c @ c / len(c) + v.mean() for c, v in zip(centered, variances, strict=True)]
        magnitude = max(float(np.abs(c).max()) for c in coordinates)
        basis, unvaried = self._regular((self.factor.T * spread) @ self.factor, 1.0, magnitude)
        unvaried = self.factor @ unvaried
        self._take_factor(self.factor @ basis, mean, covariance)
        extent, widest = (np.array([np.abs(a).max() for a in arrays]) for arrays in (centered, variances))
        lost = np.abs(np.concatenate((unvaried, self._rest), axis=1))
        lost_moment = float((extent @ lost) @ (extent @ lost) + widest @ (lost**2).sum(axis=1))
        self._take_errors(extent**2 + widest, unvaried, lost_moment)
        self.rows = RowQuadratics.moments(centered, variances, self.factor)
        offsets = [(c - at) ** 2 + v for c, at, v in zip(coordinates, mean, variances, strict=True)]
        before = np.zeros(1)
        for offset in offsets[:-1]:
            before = np.add.outer(before, offset).ravel()
        self.linear = np.add.outer(before, offsets[-1]).ravel()

    @cached_property
    def _features(self) -> Float:
        return self.features(np.arange(len(self.linear)))

    @property
    def first(self) -> Float:  # type: ignore[override]
        """(N, k) features, for methods that need them one by one."""
        return self._features[:, : self.rank]

    @property
    def second(self) -> Float:  # type: ignore[override]
        """(N, k (k + 1) / 2) features, for methods that need them one by one."""
        return self._features[:, self.rank :]

    def all_features(self) -> Float:
        return self._features

    def moments(self, p: Float) -> Float:
        return self.rows.contract(self.rows.sums(p, threads=self._threads))

    def second_moments(self, weights: Float) -> Float:
        return self.rows.second_moments(self.rows.sums(weights, products=True, threads=self._threads))

    def features(self, bins: NDArray[np.intp]) -> Float:
        row, column = np.divmod(bins, len(self.rows.x))
        x, x2 = self.rows.x[column, None], self.rows.x2[column, None]
        return self.rows.constant[row] + self.rows.slope[row] * x + self.rows.square * x2

    def curvature(self, roots: Float, vectors: Float, mean: Float) -> Float:
        return self._features @ self.moment_curvature(roots, vectors, mean)

    def combine(self, w: Float, base: Float | None = None) -> Float:
        return self.rows.expand(self.rows.coefficients(w), base, self._threads)


def _product(values: Sequence[Float]) -> Float:
    """Return the product grid of per-axis values as rows; one empty row without axes."""
    return grid_product(values) if values else np.zeros((1, 0))
