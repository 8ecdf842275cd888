"""The likelihood of what the regressions say, s, given the true parameters z: smooth in z, so that it serves any bins.

Its mean and its log-variances are polynomials in z, its correlations constant, its tails Student's. It is fitted on
cross-validated s (content that the regressions had not seen), so its widths are honest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from fastdeg._types import Float
from fastdeg.images.inference.arrays import Arrays
from fastdeg.images.inference.coordinates import Coordinates, misses
from fastdeg.images.inference.pooling import (
    group_means,
    lower_half_expectations,
    lower_half_means,
    lower_half_variances,
)

LARGEST_POLYNOMIAL = 130  # terms
LEAST_SHARED = 0.1  # share of the variance: patches of one photograph overlap
LARGEST_DEVIATION = 3.0  # of a score, in what patches of one photograph are found to have in common
LARGEST_RATIO = 9.0  # of a square to its expectation, in fits of log-variances
N_LIKE_THIS = 80  # simulated photographs, read most alike, on whose errors those of a reading are taken from
N_SIMULATED = 64  # photographs at each place whose error is asked for
N_NEIGHBORS = 8  # patches of the same photograph, degraded most alike, that tell it
DEGREES_OF_FREEDOM = (3.0, 4.0, 6.0, 10.0, 20.0, 50.0)


@dataclass(frozen=True)
class Polynomial(Arrays):
    """All monomials up to a total degree, of variables on [0, 1]."""

    exponents: NDArray[np.int64]  # (K, d)

    @classmethod
    def of_degree(cls, ndim: int, degree: int, largest: int = LARGEST_POLYNOMIAL) -> Polynomial:
        """Return the monomials up to the degree, or up to the largest degree with few enough of them."""
        rows: list[tuple[int, ...]] = []
        for total in range(degree + 1):
            new = [
                tuple(chosen.count(k) for k in range(ndim))
                for chosen in combinations_with_replacement(range(ndim), total)
            ]
            if total > 1 and len(rows) + len(new) > largest:
                break
            rows += new
        return cls(np.array(rows, dtype=np.int64).reshape(len(rows), ndim))

    def __call__(self, z: Float) -> Float:
        centered = np.ascontiguousarray((2 * z - 1).T)
        rows = [tuple(row) for row in self.exponents.tolist()]
        place = {row: i for i, row in enumerate(rows)}
        out = np.empty((len(rows), len(z)))
        out[0] = 1
        for i, row in enumerate(rows[1:], 1):  # each is one of a lower degree times a variable
            k = next(k for k, power in enumerate(row) if power)
            np.multiply(out[place[(*row[:k], row[k] - 1, *row[k + 1 :])]], centered[k], out=out[i])
        return out.T


@dataclass(frozen=True)
class Likelihood(Arrays):
    """Smooth density of the summaries s (m) given the parameters z (d).

    A photograph's summary is the mean over its patches; in the columns that content can only raise, over the lower half
    of them, put right by how much lower that half of a normal sample is.
    """

    mean_exponents: NDArray[np.int64]
    mean_coefficients: Float  # (K, m)
    variance_exponents: NDArray[np.int64]
    variance_coefficients: Float  # (K', m), of the log-variances
    precision: Float  # (m, m), inverse of the correlations
    degrees_of_freedom: Float  # ()
    shared_exponents: NDArray[np.int64]
    shared_coefficients: Float  # (K'', m), of the share of the variance that patches of one image have in common
    by_lower_half: NDArray[np.bool_]  # (m,)
    coordinates: Coordinates | None = None  # None: parameters are read as they are, m = d
    # (m,), of the error that all photographs of a set share, in standard deviations of a patch; None: not known
    common: Float | None = None

    @classmethod
    def fit(
        cls,
        s: Float,
        z: Float,
        groups: NDArray[np.int64],
        by_lower_half: NDArray[np.bool_] | None = None,
        coordinates: Coordinates | None = None,
    ) -> Likelihood:
        few = max(10, len(s) // 60)
        z = z if coordinates is None else coordinates.smooth(z)
        for_mean = Polynomial.of_degree(z.shape[1], 5, min(LARGEST_POLYNOMIAL, few))
        for_variance = Polynomial.of_degree(z.shape[1], 3, min(LARGEST_POLYNOMIAL, few // 2))
        basis = for_mean(z)
        coefficients: Any = np.linalg.lstsq(basis, s, rcond=None)[0]
        residuals = s - basis @ coefficients
        basis = for_variance(z)
        variances = log_variances(basis, residuals**2)
        scores = residuals / np.exp(0.5 * basis @ variances)
        correlation = np.asarray(np.corrcoef(scores, rowvar=False), np.float64).reshape(s.shape[1], s.shape[1])
        precision = np.asarray(np.linalg.inv(0.98 * correlation + 0.02 * np.eye(len(correlation))), np.float64)
        for_shared = Polynomial.of_degree(z.shape[1], 1)
        shared = _intraclass_correlations(scores, z, groups, for_shared)
        distances = np.einsum("ni,ij,nj->n", scores, precision, scores)
        nu = max(DEGREES_OF_FREEDOM, key=lambda v: _student_fit(distances, s.shape[1], v))
        return cls(
            for_mean.exponents, coefficients, for_variance.exponents, variances, precision, np.array(nu),
            for_shared.exponents, shared, np.zeros(s.shape[1], bool) if by_lower_half is None else by_lower_half,
            coordinates,
        )  # fmt: skip

    def _smooth(self, z: Float) -> Float:
        return z if self.coordinates is None else self.coordinates.smooth(z)

    def mean(self, z: Float) -> Float:
        """Return the expected summaries at z, (n, m)."""
        return Polynomial(self.mean_exponents)(self._smooth(z)) @ self.mean_coefficients

    def deviation(self, z: Float) -> Float:
        """Return the standard deviations of the summaries of one patch at z, (n, m)."""
        log_variance = Polynomial(self.variance_exponents)(self._smooth(z)) @ self.variance_coefficients
        return np.exp(0.5 * np.clip(log_variance, -14, 4))

    def resolution(self, z: Float) -> Float:
        """Return by how much each parameter alone must differ at z to change a summary by its deviation, (n, d)."""
        if self.coordinates is None:
            return self.deviation(z)
        slopes = np.abs(self.coordinates.slopes(z)) / self.deviation(z)[:, :, None]
        return np.asarray(1 / np.maximum(slopes.max(axis=1), 1e-3))

    def shared(self, z: Float) -> Float:
        """Return the share of the variance at z that patches of one image have in common, (n, m)."""
        return np.clip(Polynomial(self.shared_exponents)(self._smooth(z)) @ self.shared_coefficients, LEAST_SHARED, 1)

    def shrinkage(self, n_patches: NDArray[np.int64], z: Float) -> Float:
        """Return the share of one patch's variance at z that remains in the summary of n_patches, a number or (n,)."""
        counts = np.atleast_1d(n_patches)
        own = np.where(self.by_lower_half, lower_half_variances(counts)[:, None], 1 / counts[:, None])
        shared = self.shared(z)
        return shared + (1 - shared) * own

    def summaries(self, s: Float, owners: NDArray[np.int64], n: int) -> Float:
        """Return the summaries of n photographs from those of their patches, (n, m); owners: whose each patch is."""
        out = group_means(s, owners, n)
        lower = self.by_lower_half
        if lower.any():
            half = lower_half_means(s[:, lower], owners, n)
            around = out.copy()
            around[:, lower] = half
            around = self.around(around)
            own = self.deviation(around) * np.sqrt(1 - self.shared(around))
            below = lower_half_expectations(np.bincount(owners, minlength=n))
            out[:, lower] = half - below[:, None] * own[:, lower]
        return out

    def around(self, s: Float) -> Float:
        """Return the parameters within the space that summaries name, taken at their word, (n, d)."""
        s = np.clip(s, 0, 1)
        return s if self.coordinates is None else np.clip(self.coordinates.read(s), 0, 1)

    def best_linear(self, s: Float, n_patches: NDArray[np.int64], z: Float) -> tuple[Float, Float]:
        """Return the best linear predictor of the parameters from summaries of so many patches, clipped to the space,
        and its root mean square errors, each (n, d); the points z are as probable as one another.

        Patches fall short of the ends of the space, where they may tell little; photographs of many patches need not.
        The errors are those of simulated photographs, anywhere in the space, whose summaries come nearest.
        """
        mean, correlation = self.mean(z), np.linalg.inv(self.precision)
        by_chance = np.random.default_rng(0).standard_normal(mean.shape) @ np.linalg.cholesky(correlation).T
        values, errors = np.empty((len(s), z.shape[1])), np.empty((len(s), z.shape[1]))
        for count in np.unique(n_patches):
            predict = self._line(int(count), z)
            which = n_patches == count
            values[which] = predict(s[which])
            simulated = mean + self._deviations(int(count), z) * by_chance
            squares = misses(self.coordinates, predict(simulated), z) ** 2
            spread = np.maximum(simulated.std(axis=0), 1e-12)
            _, alike = cKDTree(simulated / spread).query(s[which] / spread, k=range(1, 1 + min(N_LIKE_THIS, len(z))))
            errors[which] = np.sqrt(squares[alike].mean(axis=1))
        return values, errors

    def errors_at(self, at: Float, n_patches: int, z: Float) -> Float:
        """Return the root mean square errors of `best_linear` for photographs degraded with parameters at (k, d)."""
        predict, root = self._line(n_patches, z), np.linalg.cholesky(np.linalg.inv(self.precision))
        mean, deviation, rng = self.mean(at), self._deviations(n_patches, at), np.random.default_rng(0)
        total = np.zeros_like(at)
        for _ in range(N_SIMULATED):
            simulated = mean + deviation * (rng.standard_normal(len(root)) @ root.T)
            total += misses(self.coordinates, predict(simulated), at) ** 2
        return np.sqrt(total / N_SIMULATED)

    def shared_errors_at(self, at: Float, n_patches: int, z: Float) -> Float:
        """Return how far off all photographs of a set degraded with parameters at (k, d) are read together, root mean
        square, (k, d), zero where it is not known."""
        predict, mean, squares = self._line(n_patches, z), self.mean(at), np.zeros_like(at)
        steps = np.zeros(mean.shape[1]) if self.common is None else self.common
        for column in np.diag(steps):
            squares += misses(self.coordinates, predict(mean + column * self.deviation(at)), predict(mean)) ** 2
        return np.sqrt(squares)

    def _line(self, n_patches: int, z: Float) -> Callable[[Float], Float]:
        """Return the best linear predictor from summaries of so many patches."""
        mean, smooth = self.mean(z), self._smooth(z)
        center, middle = smooth.mean(axis=0), mean.mean(axis=0)
        deviation = self._deviations(n_patches, z)
        correlation = np.linalg.inv(self.precision)
        covariance = ((mean - middle).T @ (mean - middle) + correlation * (deviation.T @ deviation)) / len(z)
        slopes = np.linalg.solve(covariance, (mean - middle).T @ (smooth - center) / len(z))
        return lambda s: self._parameters(center + (s - middle) @ slopes)

    def _deviations(self, n_patches: int, z: Float) -> Float:
        """Return the standard deviations of the summaries of so many patches at z, (n, m)."""
        return np.sqrt(self.deviation(z) ** 2 * self.shrinkage(np.array(n_patches), z))

    def _parameters(self, smooth: Float) -> Float:
        """Return the parameters within the space of which the variables of smooth functions are nearest to these."""
        return np.clip(smooth if self.coordinates is None else self.coordinates.parameters(smooth), 0, 1)

    def log_density(
        self,
        s: Float,
        z: Float,
        n_patches: NDArray[np.int64],
        cells: Float | float = 0.0,
        shared_error: Float | float = 0.0,
    ) -> Float:
        """Return log p(s | z) up to a constant, (n, k), of images of so many patches.

        cells: variances of the parameters in the cells that the points z stand for, (d,) or (k, d); shared_error: how
        far off all of them are read, in standard deviations of what sets share, (m,).
        """
        if self.coordinates is not None:
            slopes = self.coordinates.slopes(z)
            cells = np.einsum("kmd,kd->km", slopes**2, np.broadcast_to(cells, z.shape))
        mean, variance = self.mean(z), self.deviation(z) ** 2
        if self.common is not None:
            mean += shared_error * self.common * np.sqrt(variance)
        root = np.linalg.cholesky(self.precision)
        m = s.shape[1]
        nu = float(self.degrees_of_freedom)
        out = np.empty((len(s), len(z)))
        for count in np.unique(n_patches):
            deviation = np.sqrt(variance * self.shrinkage(count, z) + cells)
            log_volume = np.log(deviation).sum(axis=1)
            for i in np.flatnonzero(n_patches == count):  # (k, m) stays small whatever the number of bins
                scores = (s[i] - mean) / deviation @ root
                distance = np.einsum("km,km->k", scores, scores)
                out[i] = -0.5 * (nu + m) * np.log1p(distance / nu) - log_volume
        return out


def log_variances(basis: Float, squares: Float, n_iter: int = 25) -> Float:
    """Fit log-variances linear in the basis, (K, m), by maximum Gaussian likelihood (scoring), outliers limited."""
    pseudo_inverse = np.linalg.pinv(basis, rcond=1e-8)
    floor = 1e-4 * squares.mean(axis=0) + 1e-12
    level = np.log(squares.mean(axis=0) + floor)
    g = pseudo_inverse @ np.broadcast_to(level, squares.shape)
    for _ in range(n_iter):
        ratio = np.minimum(squares / np.exp(np.clip(basis @ g, np.log(floor), 6)), LARGEST_RATIO)
        step = pseudo_inverse @ (ratio - 1)
        g = g + step
        if np.abs(step).max() < 1e-4:
            break
    return g


def pairs_alike(z: Float, groups: NDArray[np.int64], apart: NDArray[np.int64] | None = None) -> list[NDArray[np.int64]]:
    """Return of each group with several members pairs of those that were degraded nearly alike, (2, number).

    apart: those with the same label, patches of one photograph, make no pair.
    """
    pairs, reach = [], N_NEIGHBORS if apart is None else 3 * N_NEIGHBORS
    for label in np.unique(groups):
        members = np.flatnonzero(groups == label)
        count = min(len(members), reach + 1)
        if count > 1:
            _, nearest = cKDTree(z[members]).query(z[members], k=range(2, count + 1))
            found = np.stack([np.repeat(members, count - 1), members[nearest.ravel()]])
            pairs.append(found if apart is None else found[:, apart[found[0]] != apart[found[1]]])
    return [found for found in pairs if found.size]


def _intraclass_correlations(u: Float, z: Float, groups: NDArray[np.int64], polynomial: Polynomial) -> Float:
    """Fit the correlation of scores u (n, m) within groups, where z is about the same, as a polynomial in z, (K, m).

    What content does to a summary differs from one end of the space to the other, so that only neighbours in z tell.
    """
    limited = np.clip(u, -LARGEST_DEVIATION, LARGEST_DEVIATION)
    limited /= np.sqrt(np.square(limited).mean(axis=0))
    pairs = pairs_alike(z, groups)
    out = np.zeros((len(polynomial.exponents), u.shape[1]))
    if len(pairs) < 2:  # one photograph, or one patch of each: all may be in common
        out[0] = 1
        return out
    first, second = np.concatenate(pairs, axis=1)
    return np.asarray(np.linalg.lstsq(polynomial(z[first]), limited[first] * limited[second], rcond=None)[0])


def _student_fit(distances: Float, m: int, nu: float) -> float:
    """Mean log-likelihood of squared distances under a Student density of unit covariance scale, best scale."""
    from scipy.special import gammaln

    scale = 1.0
    for _ in range(30):  # fixed point of the scale's likelihood equation
        scale = float(np.mean(distances * (nu + m) / (nu + distances / scale))) / m
    return float(
        gammaln((nu + m) / 2)
        - gammaln(nu / 2)
        - 0.5 * m * np.log(nu * np.pi * scale)
        - 0.5 * (nu + m) * np.mean(np.log1p(distances / (nu * scale)))
    )
