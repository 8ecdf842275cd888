"""The learner: least squares in fixed features, trained on any distribution over bins by one linear solve.

With A = E[f fᵀ], B = E[f yᵀ] and c = E[yᵀ y] of each bin, training on p gives W = (Σ p A + λ I)⁻¹ Σ p B, and the mean
squared error in a bin is c − 2 ⟨B, W⟩ + ⟨A, W Wᵀ⟩: smooth in p. All sums over bins are products with one matrix.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from fastdeg._types import ByValue, Float


@dataclass(frozen=True, eq=False)
class Moments(ByValue):
    """Second moments of features and targets in each bin, by group of clean images.

    Attributes
    ----------
    features : ndarray, shape (G, N, K (K + 1) / 2)
        E[f fᵀ], the rows of its lower triangle one after the other.
    products : ndarray, shape (G, N, K, T)
        E[f yᵀ].
    squares : ndarray, shape (G, N)
        E[yᵀ y].
    shares : ndarray, shape (G,)
        Of the groups in the whole; they sum to one.
    ridge : float
        λ, the same for every p.
    """

    features: NDArray[Any]
    products: NDArray[Any]
    squares: Float
    shares: Float
    ridge: float

    @property
    def n_groups(self) -> int:
        """Number of groups of clean images, G."""
        return len(self.shares)

    @property
    def n_features(self) -> int:
        """Number of features, K."""
        return int(self.products.shape[2])


@dataclass(frozen=True, eq=False)
class Trained(ByValue):
    """What training on each of n distributions gives, on all groups but one, for each."""

    weights: Float  # (n, G, K, T)
    factors: list[list[Any]]  # Cholesky's, of the systems


class Learner:
    """Trains on a distribution with all groups but one, for each, and is judged on the one left out.

    Of a single group it is trained and judged on the same images.
    """

    def __init__(self, moments: Moments) -> None:
        self.moments = moments
        n, g = moments.n_features, moments.n_groups
        lower = np.tril_indices(n)
        self._lower = np.ravel_multi_index(lower, (n, n))
        self._twice = np.where(lower[0] == lower[1], 1.0, 2.0)
        others = np.broadcast_to(moments.shares, (g, g)) * (1 - np.eye(g)) if g > 1 else np.ones((1, 1))
        self._training = others / others.sum(axis=1, keepdims=True)  # (judged, trained on)

    def train(self, pmfs: Float) -> Trained:
        """Return the weights for pmfs over the bins, (n, N)."""
        moments = self.moments
        p = pmfs.astype(moments.features.dtype)
        n_bins = p.shape[1]
        features = np.stack([p @ by_bin for by_bin in moments.features])
        products = np.stack([p @ by_bin.reshape(n_bins, -1) for by_bin in moments.products]).astype(np.float64)
        products = products.reshape(*products.shape[:2], *moments.products.shape[2:])
        weights = np.empty((len(p), moments.n_groups, *moments.products.shape[2:]))
        factors: list[list[Any]] = [[] for _ in p]
        for k in range(len(p)):
            for g, share in enumerate(self._training):
                matrix = self._square(np.tensordot(share, features[:, k], 1))
                matrix[np.diag_indices(len(matrix))] += moments.ridge
                factor = cho_factor(matrix, overwrite_a=True, check_finite=False)  # reads the upper triangle
                weights[k, g] = cho_solve(factor, np.tensordot(share, products[:, k], 1), check_finite=False)
                factors[k].append(factor)
        return Trained(weights, factors)

    def errors(self, trained: Trained) -> Float:
        """Return the mean squared error in each bin on each group left out, (n, G, N)."""
        moments = self.moments
        dtype = moments.features.dtype
        errors = np.empty((len(trained.weights), *moments.squares.shape))
        for g, by_bin in enumerate(moments.features):
            weights = trained.weights[:, g]
            grams = np.stack([self._packed(w @ w.T) for w in weights]).astype(dtype)
            linear = moments.products[g].reshape(len(by_bin), -1) @ weights.reshape(len(weights), -1).T.astype(dtype)
            errors[:, g] = moments.squares[g] + (by_bin @ grams.T - 2 * linear).T
        return np.maximum(errors, 1e-12)

    def gradient(self, trained: Trained, slopes: Float) -> Float:
        """Return the derivative of a function of the errors with respect to the first pmf trained on, (N,).

        ``slopes``: its derivatives with respect to the errors, (G, N). By the adjoint of the linear solves.
        """
        moments = self.moments
        dtype = moments.features.dtype
        quadratics, adjoints = [], []
        for g, weights in enumerate(trained.weights[0]):
            slope = slopes[g].astype(dtype)
            upper = self._square((slope @ moments.features[g]).astype(np.float64))
            features = upper + np.triu(upper, 1).T
            products = np.tensordot(slope, moments.products[g], 1)
            adjoint = cho_solve(trained.factors[0][g], 2 * (features @ weights - products), check_finite=False)
            adjoints.append(adjoint)
            quadratics.append(self._packed((adjoint @ weights.T + weights @ adjoint.T) / 2))
        total = np.zeros(moments.squares.shape[1])
        quadratic = (self._training.T @ np.array(quadratics)).astype(dtype)  # by the group trained on
        linear = np.tensordot(self._training.T, np.array(adjoints), 1).astype(dtype)
        for h in range(moments.n_groups):
            total += moments.products[h].reshape(len(total), -1) @ linear[h].ravel()
            total -= moments.features[h] @ quadratic[h]
        return total

    def _square(self, packed: Float) -> Float:
        """Return the matrix of a packed triangle, in Fortran's order, of which the upper triangle is filled."""
        n = self.moments.n_features
        out = np.zeros(n * n)
        out[self._lower] = packed
        return out.reshape(n, n).T

    def _packed(self, matrix: Float) -> Float:
        """Return a symmetric matrix such that its product with a packed one is ⟨·, ·⟩ of the whole matrices."""
        packed: Float = matrix.ravel()[self._lower] * self._twice
        return packed
