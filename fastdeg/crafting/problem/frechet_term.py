"""The squared Fréchet distance of a mixture to a Gaussian, as a convex function of the mixture's weights."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fastdeg._types import Float
from fastdeg.crafting.strategy import current
from fastdeg.kernels.crafting import frechet_term as kernels

_RANK_TOLERANCE = 1e-14
_ROUNDING = 16 * float(np.finfo(float).eps)


class FrechetTerm:
    r"""FD²(p) = ‖μ(p) − m‖² + tr Σ(p) + tr C − 2 tr (Fᵀ Σ(p) F)^½ with C = F Fᵀ.

    The first two terms together are linear in p. F has full column rank, and is further restricted to the directions in
    which some mixture of the bins varies: what it loses adds nothing to the last trace, and what is left is
    regular for every p that is positive on all bins. So a rank-deficient C and bins without any covariance are no
    special cases.

    Parameters
    ----------
    means : ndarray, shape (N, D)
    variances_or_covariances : ndarray, shape (N, D) or (N, D, D)
        Covariance within each bin; diagonals for diagonal ones.
    mean, covariance : ndarray, shapes (D,) and (D, D)
        The target (m, C).

    Attributes
    ----------
    rounding : ndarray, shape (k,)
        How far off the diagonal of Fᵀ Σ F may be. Where an eigenvalue is 0, its root is off by the root of that.
    truncation : float
        The most that the directions which F has lost can add to 2 tr (C^½ Σ C^½)^½.
    """

    def __init__(self, means: Float, variances_or_covariances: Float, mean: Float, covariance: Float) -> None:
        self._take_target(covariance)
        diagonal = variances_or_covariances.ndim == 2
        within_trace = variances_or_covariances.sum(1) if diagonal else np.einsum("iaa->i", variances_or_covariances)
        self.linear = within_trace + ((means - mean) ** 2).sum(axis=1)
        self.center = means.mean(axis=0)
        factor = self.factor
        projected = (means - self.center) @ factor
        total = variances_or_covariances.sum(axis=0)
        spread = projected.T @ projected + (factor.T * total if diagonal else factor.T @ total) @ factor
        basis, unvaried = self._regular(spread, len(means), float(np.abs(means).max(initial=0.0)))
        unvaried, deviations = factor @ unvaried, means - self.center
        lost = np.concatenate((unvaried, self._rest), axis=1)
        lost_moments = ((deviations @ lost) ** 2).sum(axis=1)
        if diagonal:
            along = variances_or_covariances
            lost_moments += along @ (lost**2).sum(axis=1)
        else:
            along = np.einsum("iaa->ia", variances_or_covariances)
            lost_moments += np.tensordot(variances_or_covariances, lost @ lost.T)
        projected, factor = projected @ basis, factor @ basis
        self._take_factor(factor, mean, covariance)
        self._take_errors((deviations**2 + along).max(axis=0), unvaried, float(lost_moments.max()))
        rows, columns = self._rows, self._columns
        within = (
            variances_or_covariances @ (factor[:, rows] * factor[:, columns])
            if diagonal
            else _congruence(variances_or_covariances, factor)[:, rows, columns]
        )
        self.first = np.ascontiguousarray(projected)  # (N, k): means in the basis F
        self.second = np.ascontiguousarray(within + projected[:, rows] * projected[:, columns])  # (N, k (k + 1) / 2)

    def _take_target(self, covariance: Float) -> None:
        values, vectors = np.linalg.eigh(covariance)
        kept = values > _RANK_TOLERANCE * max(float(values[-1]), 1e-300)
        self.factor = vectors[:, kept] * np.sqrt(values[kept])  # (D, k)
        self.target_trace = float(values[kept].sum())
        self._rest = vectors[:, ~kept] * np.sqrt(np.maximum(values[~kept], 0.0))  # C = F Fᵀ + rest restᵀ

    def _take_factor(self, factor: Float, mean: Float, covariance: Float) -> None:
        self.factor, self.rank = factor, factor.shape[1]
        self._rows, self._columns = np.triu_indices(self.rank)
        first = (mean - self.center) @ factor
        second = factor.T @ covariance @ factor + np.outer(first, first)
        self.target_moments = np.concatenate((first, second[self._rows, self._columns]))

    def _take_errors(self, spread: Float, unvaried: Float, lost_moment: float) -> None:
        """Bound the errors of what is left, given the largest second moments of the bins along each axis.

        ``lost_moment``: the largest trace of a bin's second moments along what `_regular` took from F and
        ``self._rest``; the former as it is known, to rounding.
        """
        self.rounding = _ROUNDING * (spread @ self.factor**2)
        n_lost = unvaried.shape[1] + np.count_nonzero(self._rest.any(axis=0))
        lost_moment = max(lost_moment, 0.0) + _ROUNDING * float((spread @ unvaried**2).sum())
        self.truncation = 2 * float(np.sqrt(n_lost * lost_moment))

    def _regular(self, spread: Float, n_bins: float, magnitude: float) -> tuple[Float, Float]:
        """Return bases of the directions of F in which the bins' means or covariances vary, and of the others."""
        if not len(spread):
            return spread, spread
        values, vectors = np.linalg.eigh(spread)
        # what is nothing but rounding of the means is no spread
        rounding = 1e-28 * n_bins * magnitude**2 * float((self.factor**2).sum())
        kept = values > max(_RANK_TOLERANCE * float(values[-1]), rounding, 1e-300)
        return vectors[:, kept], vectors[:, ~kept]

    def merged(self, average: Callable[[Float], Float]) -> FrechetTerm:
        """Return the term for clusters of bins, given what takes their features (N, k) to the clusters' means."""
        term = FrechetTerm.__new__(FrechetTerm)
        term.factor, term.rank, term.center = self.factor, self.rank, self.center
        term.target_trace, term.target_moments = self.target_trace, self.target_moments
        term.rounding, term.truncation = self.rounding, self.truncation
        term._rows, term._columns = self._rows, self._columns
        term.linear = average(self.linear[:, None])[:, 0]
        term.first, term.second = average(self.first), average(self.second)
        return term

    def moments(self, p: Float) -> Float:
        """Return the moments z = (first, packed second) that the distance depends on, besides its linear part."""
        return np.concatenate((p @ self.first, p @ self.second))

    def second_moments(self, weights: Float) -> Float:
        """Return Aᵀ diag(weights) A of the moment features A, shape (r, r)."""
        features = self.all_features()
        return features.T @ (features * weights[:, None])

    def value(self, p: Float) -> float:
        """Return FD²(p)."""
        return max(self.at(p, self.moments(p))[0], 0.0)

    def values(self, masses: Float, features: Float, linear: Float) -> Float:
        """Return FD² for rows of masses (m, n) of some bins, with their features and linear part."""
        roots = [self.spectrum(z)[0].sum() for z in masses @ features]
        return np.maximum(masses @ linear + self.target_trace - 2 * np.array(roots), 0.0)

    def at(self, p: Float, z: Float) -> tuple[float, Float, Float, Float]:
        """Return FD²(p), and the square roots (k,), eigenvectors (k, k) and mean (k,) in their basis behind it."""
        linear = float(self.linear @ p) + self.target_trace
        roots, vectors, mean = self.spectrum(z)
        return linear - 2 * float(roots.sum()), roots, vectors, mean

    def along(self, p: Float, other: Float) -> Callable[[float], float]:
        """Return FD² of (1 − λ) p + λ other as a function of λ, in which all that it depends on is linear."""
        linear, there = float(self.linear @ p), float(self.linear @ other)
        z, z_there = self.moments(p), self.moments(other)

        def value(share: float) -> float:
            roots = self.spectrum((1 - share) * z + share * z_there)[0]
            return (1 - share) * linear + share * there + self.target_trace - 2 * float(roots.sum())

        return value

    def spectrum(self, z: Float) -> tuple[Float, Float, Float]:
        """Return square roots and eigenvectors of Fᵀ Σ F, and the mean in the basis of the eigenvectors."""
        k = self.rank
        if not k:
            return np.zeros(0), np.zeros((0, 0)), np.zeros(0)
        if k <= current().small_rank:
            roots, vectors, turned = np.empty(k), np.empty((k, k)), np.empty(k)
            kernels.spectrum(z, roots, vectors, turned)
            return roots, vectors, turned
        matrix = np.empty((k, k))
        matrix[self._rows, self._columns] = z[k:]
        matrix[self._columns, self._rows] = z[k:]
        mean = z[:k]
        values, vectors = np.linalg.eigh(matrix - np.outer(mean, mean))
        floor = 1e-30 * max(float(values[-1]), 1e-270)
        return np.sqrt(np.maximum(values, floor)), vectors, vectors.T @ mean

    def inside(self, z: Float) -> bool:
        """Return whether Fᵀ Σ F is positive definite at the moments z."""
        return bool(kernels.inside(z, self.rank))

    def tangent(self, roots: Float, vectors: Float, mean: Float) -> tuple[float, Float]:
        """Return constant and coefficients (N,) of a linear function of p that is nowhere above FD².

        From 2 tr H^½ ≤ tr HY + tr Y⁻¹ with Y = V diag(1/roots) Vᵀ, and MᵀYM ≥ 2 MᵀYa − aᵀYa with a the given mean. It
        holds for any roots and mean, and touches FD² at the p that they come from.
        """
        if not self.rank:
            return self.target_trace, self.linear
        slope = self.slope(roots, vectors, mean)
        coefficients = self.combine(slope, self.linear)
        return self.target_trace - float(roots.sum() + (mean**2 / roots).sum()), coefficients

    def minorant(self, z: Float) -> tuple[float, Float]:
        """Return constant and coefficients (N,) of a linear function of p that is nowhere above FD², whatever rounding
        has done to H = Fᵀ Σ F: an error E adds at most tr EY to the tangent's 2 tr H^½ ≤ tr HY + tr Y⁻¹.

        That is least for roots of H's eigenvalues and their errors, where they are 0 of the errors alone.
        """
        roots, vectors, mean = self.spectrum(z)
        errors = self.rounding @ vectors**2
        roots = np.sqrt(roots**2 + errors)
        constant, coefficients = self.tangent(roots, vectors, mean)
        return constant - float((errors / roots).sum()) - self.truncation, coefficients

    def all_features(self) -> Float:
        """Return the features (N, r) of all bins."""
        return np.concatenate((self.first, self.second), axis=1)

    def features(self, bins: NDArray[np.intp]) -> Float:
        """Return the features A of some bins, shape (n, r)."""
        return np.concatenate((self.first[bins], self.second[bins]), axis=1)

    def combine(self, w: Float, base: Float | None = None) -> Float:
        """Return base + A w, shape (N,), for coefficients w of the moment features A."""
        combined = self.first @ w[: self.rank] + self.second @ w[self.rank :]
        return combined if base is None else base + combined

    def slope(self, roots: Float, vectors: Float, mean: Float) -> Float:
        """Return the gradient of −2 tr (Fᵀ Σ F)^½ in the moments, shape (r,)."""
        if self.rank <= current().small_rank:
            slope = np.empty(self.rank + len(self._rows))
            kernels.slope(roots, vectors, mean, slope)
            return slope
        inverse = (vectors / roots) @ vectors.T
        weights = inverse[self._rows, self._columns] * np.where(self._rows == self._columns, 1.0, 2.0)
        return np.concatenate((2 * (vectors / roots) @ mean, -weights))

    def curvature(self, roots: Float, vectors: Float, mean: Float) -> Float:
        """Return U, shape (N, r) with r = k + k (k + 1) / 2, such that the Hessian of FD² in p is U Uᵀ."""
        k = self.rank
        if not k:
            return np.zeros((len(self.linear), 0))
        rows, columns = self._rows, self._columns
        if k <= current().small_rank:
            stacked = self.moment_curvature(roots, vectors, mean)
            return self.first @ stacked[:k] + self.second @ stacked[k:]
        place = np.empty((k, k), np.intp)
        place[rows, columns] = place[columns, rows] = np.arange(len(rows))
        matrices = self.second.take(place, axis=1)
        projected = self.first @ vectors
        shift = projected[:, :, None] * mean
        rotated = _congruence(matrices, vectors)
        rotated -= shift
        rotated -= shift.transpose(0, 2, 1)
        stacked = np.empty((len(self.first), k + len(rows)))
        np.multiply(projected, np.sqrt(2 / roots), out=stacked[:, :k])
        np.multiply(
            rotated.reshape(-1, k * k).take(rows * k + columns, axis=1), self._pair_scale(roots), out=stacked[:, k:]
        )
        return stacked

    def moment_curvature(self, roots: Float, vectors: Float, mean: Float) -> Float:
        """Return T, shape (r, r), such that the Hessian of −2 tr (Fᵀ Σ F)^½ in the moments is T Tᵀ."""
        size = self.rank + len(self._rows)
        stacked = np.empty((size, size))
        kernels.moment_curvature(roots, vectors, mean, stacked)
        return stacked

    def _pair_scale(self, roots: Float) -> Float:
        rows, columns = self._rows, self._columns
        pair = np.where(rows == columns, 1.0, np.sqrt(2.0))
        return pair / np.sqrt((roots[rows] + roots[columns]) * roots[rows] * roots[columns])


def _congruence(matrices: Float, basis: Float) -> Float:
    return basis.T @ (matrices @ basis)
