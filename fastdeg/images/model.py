"""The fitted statistics of the estimator: components, regression, likelihood, discriminants, limits of the space."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from fastdeg.images.regression import Components, Likelihood, Polynomial, Regression
from fastdeg.images.support import BinSupport
from fastdeg.images.synthesis import Synthetic

Float = NDArray[np.float64]

N_FOLDS = 4
N_DISCRIMINANTS = 12
OUTSIDE_QUANTILE = 0.999  # of synthetic patches: what lies beyond counts as outside of the space
OUTSIDE_DEVIATIONS = 4.0  # how far beyond the ranges the regression's own word may lie
NEIGHBORS = 300  # about so many synthetic patches make a bin's covariance


@dataclass(frozen=True)
class DegradationModel:
    """What `DegradationEstimator.fit` learns.

    Attributes
    ----------
    components, regression, likelihood
        From features to summaries, and the summaries' density given the parameters.
    expected : ndarray, (K, C)
        Polynomial coefficients of the components given the parameters.
    whitening : ndarray, (C, C)
        Whitens what is left of the components.
    residual_limit, distance_limit : ndarray, ()
        Largest squared distances, from the components' subspace and within it, of images inside of the space.
    projection : ndarray, (C, D)
        Discriminants: directions in which the parameters show best, unit variance within.
    sample_points : ndarray, (n, d)
    sample_residuals : ndarray, (n, D)
        Synthetic patches: standardised parameters, and discriminants less their expectation.
    """

    components: Components
    regression: Regression
    likelihood: Likelihood
    expected: Float
    expected_exponents: NDArray[np.int64]
    whitening: Float
    residual_limit: Float
    distance_limit: Float
    projection: Float
    sample_points: NDArray[np.float32]
    sample_residuals: NDArray[np.float32]

    @classmethod
    def fit(cls, synthetic: Synthetic, z: Float, rng: np.random.Generator) -> DegradationModel:
        """Learn from synthetic patches and their standardised parameters z, (n, d)."""
        components = Components.fit(synthetic.features)
        scores = components.scores(synthetic.features)
        a = scores @ components.basis
        labels = np.unique(synthetic.groups, return_inverse=True)[1]
        folds = (labels % min(N_FOLDS, labels.max() + 1)).astype(np.int64)
        regression, s = Regression.fit(a, z, folds, rng)
        likelihood = Likelihood.fit(s, z, synthetic.groups)

        polynomial = Polynomial.of_degree(z.shape[1], 4, max(5, min(130, len(z) // 60)))
        expected: Any = np.linalg.lstsq(polynomial(z), a, rcond=None)[0]
        mean = polynomial(z) @ expected
        within = np.cov(a - mean, rowvar=False, ddof=0).reshape(a.shape[1], a.shape[1])
        within += 1e-6 * np.trace(within) / len(within) * np.eye(len(within))
        between = np.cov(mean, rowvar=False, ddof=0).reshape(within.shape)
        _, vectors = scipy.linalg.eigh(between, within)
        projection: Float = vectors[:, ::-1][:, : min(N_DISCRIMINANTS, len(within))]

        # outside of the space: judged as a new image will be, with its own estimate for the parameters
        left = a - polynomial(np.clip(s, 0, 1)) @ expected
        values, vectors = np.linalg.eigh(np.cov(left, rowvar=False, ddof=0).reshape(within.shape))
        whitening: Float = vectors / np.sqrt(np.maximum(values, 1e-9 * values.max()))
        distance = ((left @ whitening) ** 2).sum(axis=1)
        residual = ((scores - a @ components.basis.T) ** 2).sum(axis=1)
        return cls(
            components,
            regression,
            likelihood,
            expected,
            polynomial.exponents,
            whitening,
            np.array(max(float(np.quantile(residual, OUTSIDE_QUANTILE)), 1e-9)),
            np.array(max(float(np.quantile(distance, OUTSIDE_QUANTILE)), 1e-9)),
            projection,
            z.astype(np.float32),
            ((a - mean) @ projection).astype(np.float32),
        )

    def summaries(self, features: NDArray[Any]) -> tuple[Float, Float]:
        """Return the regression's word on each patch, (n, d), and its outside score, (n,), 1 being the limit."""
        scores = self.components.scores(features)
        a = scores @ self.components.basis
        s = self.regression(a)
        inside = np.clip(s, 0, 1)
        left = a - Polynomial(self.expected_exponents)(inside) @ self.expected
        distance = ((left @ self.whitening) ** 2).sum(axis=1) / self.distance_limit
        residual = ((scores - a @ self.components.basis.T) ** 2).sum(axis=1) / self.residual_limit
        beyond = np.abs(s - inside) / (OUTSIDE_DEVIATIONS * self.likelihood.deviation(inside))
        return s, np.maximum(np.maximum(distance, residual), beyond.max(axis=1))

    def discriminants(self, features: NDArray[Any]) -> Float:
        """Return the features in the discriminant space, (n, D)."""
        return self.components(features) @ self.projection

    def bin_moments(self, support: BinSupport, n_bins: int) -> tuple[Float, Float]:
        """Return means (N, D) and covariances (N, D, D) of the bins in the discriminant space.

        The mean is the average of the smooth expectation over the bin's points. The covariance is that of the
        expectation over the bin's points plus that of the residuals of the synthetic patches nearby.
        """
        expectation = Polynomial(self.expected_exponents)(support.points) @ (self.expected @ self.projection)
        means = support.means(expectation)
        d = means.shape[1]
        deviation = expectation - np.repeat(means, support.counts, axis=0)
        rows, columns = np.triu_indices(d)
        spread = support.means(deviation[:, rows] * deviation[:, columns])
        points, residuals = self.sample_points.astype(np.float64), self.sample_residuals.astype(np.float64)
        products = residuals[:, rows] * residuals[:, columns]
        centers = support.means(support.points)
        # a Gaussian window that holds about NEIGHBORS patches of the standardised space
        varying = max(1, int((np.ptp(points, axis=0) > 0).sum()))
        width = 0.5 * min(1.0, NEIGHBORS / len(points)) ** (1 / varying)
        local = np.empty_like(spread)
        chunk = max(1, int(2e7 // len(points)))
        for start in range(0, n_bins, chunk):
            part = centers[start : start + chunk]
            squared = (part**2).sum(1)[:, None] + (points**2).sum(1) - 2 * part @ points.T
            weights = np.exp(-0.5 * np.maximum(squared, 0) / width**2)
            local[start : start + chunk] = (weights @ products) / weights.sum(axis=1, keepdims=True)
        covariances = np.empty((n_bins, d, d))
        covariances[:, rows, columns] = covariances[:, columns, rows] = spread + local
        return means, covariances

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return all of it as named arrays."""
        out: dict[str, NDArray[Any]] = {}
        for name, value in vars(self).items():
            out |= value.to_arrays(f"{name}.") if name in _PARTS else {name: np.asarray(value)}
        return out

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> DegradationModel:
        """Rebuild from `to_arrays`."""
        parts: dict[str, Any] = {name: kind.from_arrays(arrays, f"{name}.") for name, kind in _PARTS.items()}
        return cls(**parts | {n: arrays[n] for n in cls.__dataclass_fields__ if n not in parts})


_PARTS: dict[str, Any] = {"components": Components, "regression": Regression, "likelihood": Likelihood}
