"""The fitted statistics of the estimator: components, regression, likelihood, discriminants, limits of the space."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from fastdeg.images.features import COMB_QUALITY, read_combs
from fastdeg.images.reading import N_LEADING, Reading, Summaries
from fastdeg.images.regression import Components, Likelihood, Polynomial
from fastdeg.images.support import BinSupport
from fastdeg.images.synthesis import Synthetic

Float = NDArray[np.float64]

N_FOLDS = 4
LEAST_COMBED = 0.2  # share of synthetic patches with a comb from which on they are read in a way of their own
N_DISCRIMINANTS = 12
NEIGHBORS = 300  # about so many synthetic patches make a bin's covariance
COMPARED = 500  # synthetic patches with similar summaries that a patch is compared with, to see if it is outside
TYPICAL_QUANTILE = 0.995  # of their own unlikeness: its unit
CHECKED = 1000  # synthetic patches that are compared with those of the other clean images: what unlikeness is normal
DEVIATIONS = 4.0  # of the regression's word beyond the ranges: the unit there


@dataclass(frozen=True)
class DegradationModel:
    """What `DegradationEstimator.fit` learns.

    Attributes
    ----------
    reading : Reading
        From features to summaries, without the comb of a JPEG quantisation.
    comb_reading : Reading or None
        The same with it, for photographs that show one; None where hardly any synthetic patch does.
    tested
        Components by which patches are compared in the test whether they lie outside the space.
    expected : ndarray, (K, C)
        Polynomial coefficients of the components given the parameters.
    projection : ndarray, (C, D)
        Discriminants: directions in which the parameters show best, unit variance within.
    sample_points, sample_summaries : ndarray, (n, d)
        Synthetic patches: standardised parameters, and what the regression said of them unseen.
    sample_components, sample_tested : ndarray, (n, C)
    sample_remainders : ndarray, (n,)
        Logarithm of the squared distance of their features from the subspace of the tested components.
    unlikeness : ndarray, (m, 3)
        How unlike the patches of all other clean content some synthetic patches are.
    """

    reading: Reading
    comb_reading: Reading | None
    tested: Components
    expected: Float
    expected_exponents: NDArray[np.int64]
    projection: Float
    sample_points: NDArray[np.float32]
    sample_summaries: NDArray[np.float32]
    sample_components: NDArray[np.float32]
    sample_tested: NDArray[np.float32]
    sample_remainders: NDArray[np.float32]
    unlikeness: Float

    @classmethod
    def fit(
        cls,
        synthetic: Synthetic,
        z: Float,
        rng: np.random.Generator,
        *,
        least_scale: float = 0.0,
        weights: Float | None = None,
        tested_weights: Float | None = None,
        comb_weights: Float | None = None,
        by_lower_half: NDArray[np.bool_],
        threads: int = 1,
    ) -> DegradationModel:
        """Learn from synthetic patches and their standardised parameters z, (n, d).

        ``weights``: of the features, where the parameters are read; ``tested_weights``: in the test of what is outside;
        ``comb_weights``: where they are read of patches with the comb of a JPEG quantisation. ``by_lower_half``, (d,):
        which parameters content can only raise, so that the lower half of a photograph's patches tells them.
        """
        features, groups, inside = synthetic.features, synthetic.groups, ~synthetic.uncompressed
        ones = np.ones(features.shape[1])
        weightings = [ones if w is None else w for w in (weights, tested_weights, comb_weights)]
        components, tested, with_comb = Components.fit(features[inside], weightings, least_scale=least_scale)
        labels = np.unique(groups, return_inverse=True)[1]
        folds = (labels % min(N_FOLDS, labels.max() + 1)).astype(np.int64)
        a = components(features)
        reading, s = Reading.fit(components, a, z, groups, folds, by_lower_half, rng, threads)
        comb_reading = None
        if comb_weights is not None:
            combed, _ = read_combs(features, np.arange(len(features)), len(features))
            if combed[inside].mean() >= LEAST_COMBED:
                said = with_comb(features[combed])
                comb_reading, _ = Reading.fit(
                    with_comb, said, z[combed], groups[combed], folds[combed], by_lower_half, rng, threads
                )

        features, groups, z, s = features[inside], groups[inside], z[inside], s[inside]
        a = a[inside, :N_LEADING]
        polynomial = Polynomial.of_degree(z.shape[1], 4, max(5, min(130, len(z) // 60)))
        expected: Any = np.linalg.lstsq(polynomial(z), a, rcond=None)[0]
        mean = polynomial(z) @ expected
        within = np.cov(a - mean, rowvar=False, ddof=0).reshape(a.shape[1], a.shape[1])
        within += (1e-6 * np.trace(within) / len(within) + 1e-12) * np.eye(len(within))
        between = np.cov(mean, rowvar=False, ddof=0).reshape(within.shape)
        _, vectors = scipy.linalg.eigh(between, within)
        tested_a, remainders = tested.split(features)
        model = cls(
            reading,
            comb_reading,
            tested,
            expected,
            polynomial.exponents,
            vectors[:, ::-1][:, : min(N_DISCRIMINANTS, len(within))],
            z.astype(np.float32),
            s.astype(np.float32),
            a.astype(np.float32),
            tested_a[:, :N_LEADING].astype(np.float32),
            remainders.astype(np.float32),
            np.empty((0, 3)),
        )
        model = replace(model, unlikeness=model._between_groups(groups, rng, threads))
        # in the memory order that a file gives back, so that a loaded model computes the very same numbers
        return cls.from_arrays({name: np.array(x, order="C") for name, x in model.to_arrays().items()})

    def summaries(self, features: NDArray[Any], owners: NDArray[np.int64], n: int) -> tuple[Summaries, Float]:
        """Return what is said of n photographs, and what each patch says without the comb, (len(owners), d).

        owners: which photograph each row of the features is a patch of.
        """
        s = self.reading(features)
        values, combed = self.reading.likelihood.summaries(s, owners, n), np.zeros(n, dtype=bool)
        if self.comb_reading is not None:
            combed, qualities = read_combs(features, owners, n)
            own = combed[owners]
            if own.any():
                readable = features[own]
                readable[:, COMB_QUALITY] = qualities[owners[own]]
                said = self.comb_reading.likelihood.summaries(self.comb_reading(readable), owners[own], n)
                values[combed] = said[combed]
        return Summaries(values, np.bincount(owners, minlength=n), combed), s

    def _likelihoods(self, summaries: Summaries) -> list[tuple[NDArray[np.bool_], Likelihood]]:
        """Return which photographs are read each way, and the likelihood of what is said of them."""
        ways = [(~summaries.combed, self.reading), (summaries.combed, self.comb_reading)]
        return [(which, way.likelihood) for which, way in ways if way is not None]

    def log_density(self, summaries: Summaries, z: Float) -> Float:
        """Return log p(photograph | z) up to a constant of each, (n, k)."""
        out = np.empty((len(summaries.values), len(z)))
        for which, likelihood in self._likelihoods(summaries):
            out[which] = likelihood.log_density(summaries.values[which], z, summaries.n_patches[which])
        return out

    def deviation(self, summaries: Summaries) -> Float:
        """Return the standard deviations of what is said of each photograph, (n, d)."""
        out = np.empty_like(summaries.values)
        for which, likelihood in self._likelihoods(summaries):
            shrinkage = likelihood.shrinkage(summaries.n_patches[which])
            out[which] = likelihood.deviation(np.clip(summaries.values[which], 0, 1)) * np.sqrt(shrinkage)
        return out

    @property
    def likelihood(self) -> Likelihood:
        """The likelihood of a typical photograph of the space."""
        return (self.comb_reading or self.reading).likelihood

    def outside_p_values(self, unlikeness: Float) -> Float:
        """Return the probability that a patch from inside the space, of another photograph, is as unlike, (n,).

        Each of the three measures is ranked among those of the clean images' patches, so that the long tail of one does
        not hide the others; the best rank is ranked again among theirs.
        """
        worst = _tail_shares(self.unlikeness, unlikeness).min(axis=1)
        normal = _tail_shares(self.unlikeness, self.unlikeness).min(axis=1)
        return _tail_shares(-normal[:, None], -worst[:, None])[:, 0]

    def outside_scores(self, features: NDArray[Any], s: Float) -> Float:
        """Return how unlike anything in the space patches are, by three measures, (n, 3).

        Each patch is compared with the synthetic patches of which the regression says about the same: by Mahalanobis
        distance of its components (less their trend over the summaries), by its features' distance from the components'
        subspace, and by how far beyond the ranges of the space the regression's word itself lies.
        """
        a, remainders = self.tested.split(features)
        places = self._places()
        return np.array(
            [self._unlikeness(a[i, :N_LEADING], float(remainders[i]), s[i], places, None) for i in range(len(s))]
        )

    def _places(self) -> NDArray[np.float32]:
        """Return the synthetic patches' summaries within the ranges, (d, n): rows are faster to look through."""
        return np.ascontiguousarray(np.clip(self.sample_summaries.T, 0, 1))

    def _unlikeness(
        self, a: Float, remainder: float, s: Float, places: NDArray[np.float32], others: NDArray[np.bool_] | None
    ) -> Float:
        """Compare one patch with the synthetic patches, or with some ``others`` of them, whose places lie nearest."""
        inside = np.clip(s, 0, 1)
        beyond = np.abs(s - inside) / (DEVIATIONS * self.reading.likelihood.deviation(inside[None])[0])
        distances = sum((row - np.float32(value)) ** 2 for row, value in zip(places, inside, strict=True))
        if others is not None:
            distances = np.where(others, distances, np.float32(np.inf))
        count = min(COMPARED, len(distances) if others is None else int(others.sum()))
        nearest = np.argpartition(distances, count - 1)[:count]
        # less the trend over the summaries: what is left at this patch's
        trend = np.column_stack([np.ones(count), places.T[nearest] - inside])
        gram = trend.T @ trend
        gram += 1e-12 * np.trace(gram) * np.eye(len(gram))
        compared = self.sample_tested[nearest].astype(np.float64)
        coefficients = np.linalg.solve(gram, trend.T @ compared)
        left = compared - trend @ coefficients
        covariance = left.T @ left / count
        covariance += (0.01 * np.trace(covariance) / len(covariance) + 1e-9) * np.eye(len(covariance))
        left = np.vstack([left, a - coefficients[0]])
        squares = (left @ np.linalg.inv(covariance) * left).sum(axis=1)
        typical = _quantile(squares[:-1], TYPICAL_QUANTILE)
        near = self.sample_remainders[nearest].astype(np.float64)
        center, above = _quantile(near, 0.5), _quantile(near, TYPICAL_QUANTILE)
        excess = (remainder - center) / max(above - center, 0.1)
        return np.array([squares[-1] / max(typical, 1e-9), excess, beyond.max()])

    def _between_groups(self, groups: NDArray[np.int64], rng: np.random.Generator, threads: int) -> Float:
        """Return how unlike the patches of all other clean content some patches are, (m, 3)."""
        chosen = rng.choice(len(groups), min(CHECKED, len(groups)), replace=False)
        places = self._places()

        def compare(k: int) -> Float:
            return self._unlikeness(
                self.sample_tested[k].astype(np.float64),
                float(self.sample_remainders[k]),
                self.sample_summaries[k].astype(np.float64),
                places,
                groups != groups[k],
            )

        with ThreadPoolExecutor(threads) as pool:
            return np.array(list(pool.map(compare, chosen)))

    def discriminants(self, features: NDArray[Any]) -> Float:
        """Return the features in the discriminant space, (n, D)."""
        return self.reading.components(features)[:, :N_LEADING] @ self.projection

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
        points = self.sample_points.astype(np.float64)
        residuals = self.sample_components - Polynomial(self.expected_exponents)(points) @ self.expected
        residuals = residuals @ self.projection
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
            if value is None:
                continue
            out |= value.to_arrays(f"{name}.") if name in _PARTS else {name: np.asarray(value)}
        return out

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> DegradationModel:
        """Rebuild from `to_arrays`."""
        given = {name.split(".")[0] for name in arrays}
        parts: dict[str, Any] = {
            name: kind.from_arrays(arrays, f"{name}.") if name in given else None for name, kind in _PARTS.items()
        }
        return cls(**parts | {n: arrays[n] for n in cls.__dataclass_fields__ if n not in parts})


def _quantile(values: Float, share: float) -> float:
    """Return the quantile, as NumPy interpolates it, in a fraction of the time for few values."""
    place = share * (len(values) - 1)
    low = int(place)
    high = min(low + 1, len(values) - 1)
    parted = np.partition(values, (low, high))
    return float(parted[low] + (place - low) * (parted[high] - parted[low]))


def _tail_shares(normal: Float, values: Float) -> Float:
    """Return, column by column, the share of the normal values (and the value itself) that are as large, (n, k)."""
    n = len(normal)
    below = [np.searchsorted(np.sort(a), b, side="left") for a, b in zip(normal.T, values.T, strict=True)]
    return (1 + n - np.stack(below, axis=1)) / (1 + n)


_PARTS: dict[str, Any] = {"reading": Reading, "comb_reading": Reading, "tested": Components}
