"""The fitted statistics of the estimator: components, regression, likelihood, discriminants, limits of the space."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from fastdeg._types import Float
from fastdeg.images.features import COMB_QUALITY, read_combs
from fastdeg.images.inference.bin_nodes import BinSupport
from fastdeg.images.inference.conformal import OutsideTest
from fastdeg.images.inference.likelihood import Likelihood, Polynomial
from fastdeg.images.inference.pooling import group_means
from fastdeg.images.inference.regression import Components
from fastdeg.images.inference.summaries import N_LEADING, Reading, Summaries
from fastdeg.images.inference.synthesis import Synthetic

N_FOLDS = 4
LEAST_COMBED = 0.2  # share of synthetic patches with a comb from which on they are read in a way of their own
N_DISCRIMINANTS = 12
N_TESTED = 16_000  # synthetic patches that photographs are compared with at most
N_PREDICTED_FROM = 2000  # synthetic patches whose parameters stand for the space in a prediction
NEIGHBORS = 300  # about so many synthetic patches make a bin's covariance


@dataclass(frozen=True)
class DegradationModel:
    """What `DegradationEstimator.fit` learns.

    Attributes
    ----------
    reading : Reading
        From features to summaries, without the comb of a JPEG quantisation.
    comb_reading : Reading or None
        The same with it, for photographs that show one; None where hardly any synthetic patch does.
    outside : OutsideTest
        Whether photographs lie outside the space.
    expected : ndarray, (K, C)
        Polynomial coefficients of the components given the parameters.
    projection : ndarray, (C, D)
        Discriminants: directions in which the parameters show best, unit variance within.
    sample_points : ndarray, (n, d)
        Synthetic patches: standardised parameters.
    sample_components : ndarray, (n, C)
    """

    reading: Reading
    comb_reading: Reading | None
    outside: OutsideTest
    expected: Float
    expected_exponents: NDArray[np.int64]
    projection: Float
    sample_points: NDArray[np.float32]
    sample_components: NDArray[np.float32]

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
        few: bool = False,
        threads: int = 1,
    ) -> DegradationModel:
        """Learn from synthetic patches and their standardised parameters z, (n, d).

        ``weights``: of the features, where the parameters are read; ``tested_weights``: in the test of what is outside;
        ``comb_weights``: where they are read of patches with the comb of a JPEG quantisation. ``by_lower_half``, (d,):
        which parameters content can only raise, so that the lower half of a photograph's patches tells them.
        ``few``: whether the patches are of few photographs.
        """
        features, groups, inside = synthetic.features, synthetic.groups, ~synthetic.uncompressed
        ones = np.ones(features.shape[1])
        weightings = [ones if w is None else w for w in (weights, comb_weights)]
        components, with_comb = Components.fit(features[inside], weightings, least_scale=least_scale)
        labels = np.unique(groups, return_inverse=True)[1]
        folds = (labels % min(N_FOLDS, labels.max() + 1)).astype(np.int64)
        a = components(features)
        reading, s = Reading.fit(components, a, z, groups, folds, by_lower_half, rng, threads)
        comb_reading, combed = None, np.ones(len(features), dtype=bool)
        if comb_weights is not None:
            combed, _ = read_combs(features, np.arange(len(features)), len(features))
            if combed[inside].mean() >= LEAST_COMBED:
                said = with_comb(features[combed])
                comb_reading, s[combed] = Reading.fit(
                    with_comb, said, z[combed], groups[combed], folds[combed], by_lower_half, rng, threads
                )
        plain = np.flatnonzero(inside & ~synthetic.jittered)  # in usual tones: unusual ones would hide what is odd
        some = plain[:: -(-len(plain) // N_TESTED)]
        outside = OutsideTest.fit(
            features[some], s[some], ~combed[some] if comb_reading else None, _beyond(s[some], comb_reading or reading),
            ones if tested_weights is None else tested_weights, folds[some], rng,
            least_scale=least_scale / 3, few=few, threads=threads,
        )  # fmt: skip
        z, a = z[inside], a[inside, :N_LEADING]
        polynomial = Polynomial.of_degree(z.shape[1], 4, max(5, min(130, len(z) // 60)))
        expected: Any = np.linalg.lstsq(polynomial(z), a, rcond=None)[0]
        mean = polynomial(z) @ expected
        within = np.cov(a - mean, rowvar=False, ddof=0).reshape(a.shape[1], a.shape[1])
        within += (1e-6 * np.trace(within) / len(within) + 1e-12) * np.eye(len(within))
        between = np.cov(mean, rowvar=False, ddof=0).reshape(within.shape)
        _, vectors = scipy.linalg.eigh(between, within)
        model = cls(
            reading,
            comb_reading,
            outside,
            expected,
            polynomial.exponents,
            vectors[:, ::-1][:, : min(N_DISCRIMINANTS, len(within))],
            z.astype(np.float32),
            a.astype(np.float32),
        )
        # in the memory order that a file gives back, so that a loaded model computes the very same numbers
        return cls.from_arrays({name: np.array(x, order="C") for name, x in model.to_arrays().items()})

    def summaries(self, features: NDArray[Any], owners: NDArray[np.int64], n: int) -> tuple[Summaries, Float]:
        """Return what is said of n photographs, and of each patch by the same reading, (len(owners), d).

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
                s[own] = self.comb_reading(readable)
                values[combed] = self.comb_reading.likelihood.summaries(s[own], owners[own], n)[combed]
        return Summaries(values, np.bincount(owners, minlength=n), combed), s

    def _likelihoods(self, summaries: Summaries) -> list[tuple[NDArray[np.bool_], Likelihood]]:
        """Return which photographs are read each way, and the likelihood of what is said of them."""
        ways = [(~summaries.combed, self.reading), (summaries.combed, self.comb_reading)]
        return [(which, way.likelihood) for which, way in ways if way is not None]

    def log_density(self, summaries: Summaries, z: Float, cells: Float | float = 0.0) -> Float:
        """Return log p(photograph | z) up to a constant of each, (n, k); cells: see `Likelihood.log_density`."""
        out = np.empty((len(summaries.values), len(z)))
        for which, likelihood in self._likelihoods(summaries):
            out[which] = likelihood.log_density(summaries.values[which], z, summaries.n_patches[which], cells)
        return out

    def parameters(self, summaries: Summaries) -> tuple[Float, Float]:
        """Return the standardised parameters of each photograph and their standard errors, each (n, d)."""
        z = self.sample_points[:N_PREDICTED_FROM].astype(np.float64)
        values, errors = np.empty_like(summaries.values), np.empty_like(summaries.values)
        for which, likelihood in self._likelihoods(summaries):
            values[which], errors[which] = likelihood.best_linear(
                summaries.values[which], summaries.n_patches[which], z
            )
        return values, errors

    @property
    def likelihood(self) -> Likelihood:
        """The likelihood of a typical photograph of the space."""
        return (self.comb_reading or self.reading).likelihood

    def outside_p_values(
        self, features: NDArray[Any], s: Float, owners: NDArray[np.int64], summaries: Summaries
    ) -> Float:
        """Return the probability that a photograph from inside the space is as unlike its images, (n,).

        features, s, owners, summaries: of and from `summaries`.
        """
        missing = None if self.comb_reading is None else ~summaries.combed
        n = len(summaries.values)
        beyond = _beyond(group_means(s, owners, n), self.comb_reading or self.reading)
        return self.outside.p_values(features, s, missing, beyond, owners, n)

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


def _beyond(s: Float, reading: Reading) -> Float:
    """Return how many standard deviations summaries lie beyond the ranges of the space, (n,)."""
    inside = np.clip(s, 0, 1)
    return (np.abs(s - inside) / reading.likelihood.deviation(inside)).max(axis=1)


_PARTS: dict[str, Any] = {"reading": Reading, "comb_reading": Reading, "outside": OutsideTest}
