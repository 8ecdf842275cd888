"""The fitted statistics of the estimator: components, regression, likelihood, discriminants, limits of the space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from fastdeg._types import Float
from fastdeg.images.description import DescribedImages
from fastdeg.images.features import (
    FINEST,
    JPEG_QUALITY,
    MANY_IMAGES,
    feature_weights,
    jpeg_qualities,
    known_qualities,
)
from fastdeg.images.inference.arrays import Arrays
from fastdeg.images.inference.bin_nodes import BinNodes
from fastdeg.images.inference.conformal import OutsideTest
from fastdeg.images.inference.coordinates import Coordinates
from fastdeg.images.inference.likelihood import Likelihood, Polynomial
from fastdeg.images.inference.photo_priors import appearances
from fastdeg.images.inference.pooling import group_means
from fastdeg.images.inference.regression import Components
from fastdeg.images.inference.set_errors import possible_errors
from fastdeg.images.inference.summaries import N_LEADING, Summaries, SummarizedImages, Summarizer
from fastdeg.images.inference.synthesis import Synthetic
from fastdeg.images.reasons import reason
from fastdeg.space import DegradationSpace

N_FOLDS = 4
LEAST_QUANTIZED = 0.2  # share of synthetic patches that show a JPEG quality from which on a regression learns from it
LEAST_SCALE = 0.1  # of the built-in features: smaller differences also come from how an image is stored
N_DISCRIMINANTS = 12
N_TESTED = 16_000  # synthetic patches that photographs are compared with at most
N_PREDICTED_FROM = 2000  # synthetic patches whose parameters stand for the space in a prediction
NEIGHBORS = 300  # about so many synthetic patches make a bin's covariance


@dataclass(frozen=True)
class DegradationModel(Arrays):
    """What `DegradationEstimator.fit` learns."""

    summarizer: Summarizer  # from features to summary statistics, without the JPEG quality that quantisation shows
    jpeg_summarizer: Summarizer | None  # with it, for photographs that show one; None: hardly any synthetic patch does
    outside: OutsideTest  # whether photographs lie outside the space
    expected: Float  # (K, C), coefficients of the components given the parameters
    expected_exponents: NDArray[np.int64]
    projection: Float  # (C, D), discriminants: where the parameters show best, of unit variance within
    sample_points: NDArray[np.float32]  # (n, d), standardised parameters of the synthetic patches
    sample_components: NDArray[np.float32]  # (n, C)

    @classmethod
    def fit(
        cls,
        synthetic: Synthetic,
        z: Float,
        rng: np.random.Generator,
        *,
        n_images: int,
        own_features: bool,
        by_lower_half: NDArray[np.bool_],
        coordinates: Coordinates | None = None,
        history: bool = False,
        threads: int = 1,
    ) -> DegradationModel:
        """Learn from synthetic patches and their standardised parameters z, (n, d).

        ``n_images``: how many photographs they are of; ``own_features``: whether the features are an embedding of the
        user's; ``by_lower_half``, (d,): which parameters content can only raise, so that the lower half of a
        photograph's patches tells them; ``coordinates``: of parameters some of which are directions;
        ``history``: whether there are features for what a history does.
        """
        if coordinates is not None:
            by_lower_half = coordinates.of_targets(by_lower_half)
        features, groups, inside = synthetic.features, synthetic.groups, ~synthetic.uncompressed
        least_scale = 0.0 if own_features else LEAST_SCALE
        weights, jpeg_weights, tested_weights = (
            np.ones(features.shape[1])
            if own_features
            else feature_weights(n_images, directions=coordinates is not None, history=history, **purpose)
            for purpose in ({}, {"jpeg": True}, {"tested": True})
        )
        components, jpeg_components = Components.fit(features[inside], [weights, jpeg_weights], least_scale=least_scale)
        labels = np.unique(groups, return_inverse=True)[1]
        folds = (labels % min(N_FOLDS, labels.max() + 1)).astype(np.int64)
        a = components(features)
        summarizer, s = Summarizer.fit(components, a, z, groups, folds, by_lower_half, rng, threads, coordinates)
        jpeg_summarizer, quantized = None, np.ones(len(features), dtype=bool)
        if not own_features:
            quantized, _ = jpeg_qualities(features, np.arange(len(features)), len(features))
            if quantized[inside].mean() >= LEAST_QUANTIZED:
                a_jpeg = jpeg_components(features[quantized])
                rows = z[quantized], groups[quantized], folds[quantized]
                jpeg_summarizer, s[quantized] = Summarizer.fit(
                    jpeg_components, a_jpeg, *rows, by_lower_half, rng, threads, coordinates
                )
        plain = np.flatnonzero(inside & ~synthetic.jittered)  # in usual tones: unusual ones would hide what is odd
        some = plain[:: -(-len(plain) // N_TESTED)]
        outside = OutsideTest.fit(
            features[some], s[some], ~quantized[some] if jpeg_summarizer else None,
            _beyond(s[some], jpeg_summarizer or summarizer), tested_weights, folds[some], rng,
            least_scale=least_scale / 3, few=n_images < MANY_IMAGES, structure=history,
        )  # fmt: skip
        z, a = z[inside], a[inside, :N_LEADING]
        smooth = z if coordinates is None else coordinates.smooth(z)
        polynomial = Polynomial.of_degree(smooth.shape[1], 4, max(5, min(130, len(z) // 60)))
        expected: Any = np.linalg.lstsq(polynomial(smooth), a, rcond=None)[0]
        mean = polynomial(smooth) @ expected
        within = np.cov(a - mean, rowvar=False, ddof=0).reshape(a.shape[1], a.shape[1])
        within += (1e-6 * np.trace(within) / len(within) + 1e-12) * np.eye(len(within))
        between = np.cov(mean, rowvar=False, ddof=0).reshape(within.shape)
        _, vectors = scipy.linalg.eigh(between, within)
        model = cls(
            summarizer,
            jpeg_summarizer,
            outside,
            expected,
            polynomial.exponents,
            vectors[:, ::-1][:, : min(N_DISCRIMINANTS, len(within))],
            z.astype(np.float32),
            a.astype(np.float32),
        )
        # in the memory order that a file gives back, so that a loaded model computes the very same numbers
        return cls.from_arrays({name: np.array(x, order="C") for name, x in model.to_arrays().items()}, "")

    def summaries(self, images: DescribedImages) -> tuple[Summaries, Float]:
        """Return the summary statistics of photographs, and of each of their patches by the same regression."""
        features, owners, n = images.features, images.owners, len(images)
        s = self.summarizer(features)
        values, quantized = self.summarizer.likelihood.summaries(s, owners, n), np.zeros(n, dtype=bool)
        known = np.full(n, np.nan)
        if np.isfinite(images.qualities).any():
            known = known_qualities(features, owners, n, images.qualities)
        if self.jpeg_summarizer is not None:
            quantized, qualities = jpeg_qualities(features, owners, n)
            quantized |= known < FINEST
            qualities = np.where(np.isnan(known), qualities, known)
            own = quantized[owners]
            if own.any():
                some = features[own]
                some[:, JPEG_QUALITY] = qualities[owners[own]]
                s[own] = self.jpeg_summarizer(some)
                values[quantized] = self.jpeg_summarizer.likelihood.summaries(s[own], owners[own], n)[quantized]
        return Summaries(values, np.bincount(owners, minlength=n), quantized, known), s

    def _likelihoods(self, summaries: Summaries) -> list[tuple[NDArray[np.bool_], Likelihood]]:
        """Return which photographs are summarised each way, and the likelihood of their summaries."""
        ways = [(~summaries.quantized, self.summarizer), (summaries.quantized, self.jpeg_summarizer)]
        return [(which, way.likelihood) for which, way in ways if way is not None]

    def log_density(
        self, summaries: Summaries, z: Float, cells: Float | float = 0.0, shared_error: Float | float = 0.0
    ) -> Float:
        """Return log p(photograph | z) up to a constant of each, (n, k); the rest: see `Likelihood.log_density`."""
        out = np.empty((len(summaries.values), len(z)))
        for which, likelihood in self._likelihoods(summaries):
            some = summaries.values[which], z, summaries.n_patches[which]
            out[which] = likelihood.log_density(*some, cells, shared_error)
        return out

    def bin_log_likelihood(
        self,
        summaries: Summaries,
        nodes: BinNodes,
        space: DegradationSpace | None,
        shared_error: Float | float = 0.0,
    ) -> Float:
        """Return log p(photograph | bin) up to a constant of each, (n, N).

        space: says what the axes mean, for what photographs look like by themselves; None: take them as they come;
        shared_error: one of `shared_errors`.
        """
        return np.concatenate([self._of_bins(part, nodes, space, shared_error) for part in summaries.pieces()])

    def shared_errors(self) -> Float:
        """Return errors with which all photographs of a set may be read, each as probable, (k, m)."""
        m = self.likelihood.precision.shape[0]
        return np.zeros((1, m)) if self.likelihood.common is None else possible_errors(m)

    def _of_bins(
        self, summaries: Summaries, nodes: BinNodes, space: DegradationSpace | None, shared_error: Float | float
    ) -> Float:
        if space is None:
            return nodes.average(self.log_density(summaries, nodes.points, nodes.cells, shared_error))
        log_density = np.full((len(summaries.values), len(nodes.points)), -np.inf)
        for share, parameters in appearances(space.unstandardize(nodes.points), space.names):
            alike = np.clip(space.standardize(parameters), 0, 1)
            own = self.log_density(summaries, alike, nodes.cells, shared_error)
            log_density = np.logaddexp(log_density, np.log(share) + own)
        return nodes.average(log_density)

    def parameters(self, summaries: Summaries) -> tuple[Float, Float]:
        """Return the standardised parameters of each photograph and their standard errors, each (n, d)."""
        z = self.points
        values, errors = np.empty((len(summaries.values), z.shape[1])), np.empty((len(summaries.values), z.shape[1]))
        for which, likelihood in self._likelihoods(summaries):
            values[which], errors[which] = likelihood.best_linear(
                summaries.values[which], summaries.n_patches[which], z
            )
        return values, errors

    @property
    def points(self) -> Float:
        """Standardised parameters that stand for the space in a prediction, (n, d)."""
        return self.sample_points[:N_PREDICTED_FROM].astype(np.float64)

    @property
    def likelihood(self) -> Likelihood:
        """The likelihood of a typical photograph of the space."""
        return (self.jpeg_summarizer or self.summarizer).likelihood

    def summarized(self, images: DescribedImages) -> SummarizedImages:
        """Return all that the estimator says of photographs one by one."""
        summaries, by_patch = self.summaries(images)
        p_values, which, left = self.test_outside(images, by_patch, summaries)
        x, owners, n = self.discriminants(images.features), images.owners, len(images)
        means = group_means(x, owners, n)
        x = x - means[owners]
        products = np.einsum("pi,pj->pij", x, x).reshape(len(x), -1)
        covariances = group_means(products, owners, n).reshape(n, x.shape[1], x.shape[1])
        reasons = np.array([reason(int(k), row) for k, row in zip(which, left, strict=True)], dtype=object)
        return SummarizedImages(summaries, p_values, reasons, means, covariances, self)

    def test_outside(
        self, images: DescribedImages, s: Float, summaries: Summaries
    ) -> tuple[Float, NDArray[np.int64], Float]:
        """Return the probability that a photograph from inside the space is as unlike its images, and why: see
        `OutsideTest.p_values`.

        s, summaries: of their patches and of them, from `summaries`.
        """
        missing = None if self.jpeg_summarizer is None else ~summaries.quantized
        beyond = _beyond(group_means(s, images.owners, len(images)), self.jpeg_summarizer or self.summarizer)
        return self.outside.p_values(images.features, s, missing, beyond, images.owners, len(images))

    def discriminants(self, features: NDArray[Any]) -> Float:
        """Return the features in the discriminant space, (n, D)."""
        return self.summarizer.components(features)[:, :N_LEADING] @ self.projection

    def _expected(self, z: Float) -> Float:
        """Return the expected components given the parameters, (n, C)."""
        coordinates = self.summarizer.likelihood.coordinates
        smooth = z if coordinates is None else coordinates.smooth(z)
        return Polynomial(self.expected_exponents)(smooth) @ self.expected

    def bin_moments(self, nodes: BinNodes, n_bins: int) -> tuple[Float, Float]:
        """Return means (N, D) and covariances (N, D, D) of the bins in the discriminant space.

        The mean is the average of the smooth expectation over the bin's points. The covariance is that of the
        expectation over the bin's points plus that of the residuals of the synthetic patches nearby.
        """
        expectation = self._expected(nodes.points) @ self.projection
        means = nodes.means(expectation)
        d = means.shape[1]
        deviation = expectation - np.repeat(means, nodes.counts, axis=0)
        rows, columns = np.triu_indices(d)
        spread = nodes.means(deviation[:, rows] * deviation[:, columns])
        points = self.sample_points.astype(np.float64)
        residuals = self.sample_components - self._expected(points)
        residuals = residuals @ self.projection
        products = residuals[:, rows] * residuals[:, columns]
        centers = nodes.means(nodes.points)
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


def _beyond(s: Float, summarizer: Summarizer) -> Float:
    """Return how many standard deviations summaries lie beyond the ranges of the space, (n,)."""
    deviation = summarizer.likelihood.deviation(summarizer.likelihood.around(s))
    return (np.abs(s - np.clip(s, 0, 1)) / deviation).max(axis=1)
