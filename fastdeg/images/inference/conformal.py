"""Does a photograph look like any that the space can make? A conformal test by four measures and more.

What the features of a patch should be follows from what the regressions say of it, and from what it shows: both are
learned, as smooth functions. The measures are the Mahalanobis distances of what is left, before and after what the
patch shows is allowed for; how clearly the multiples that JPEG quantises to are missing; and how far beyond the ranges
of the space the regressions' word lies. Each is ranked among the same of synthetic patches whose content was left out.
Where a history explains most of what may be strange, distances see little: then statistics of what no history does
join the measures, one by one (`fastdeg.images.structure`), as far as what is read of the photograph and what it shows
do not explain them.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from fastdeg._types import Float
from fastdeg.images.features import JPEG_EVIDENCE
from fastdeg.images.inference.arrays import Arrays
from fastdeg.images.inference.likelihood import LARGEST_RATIO, Polynomial, log_variances
from fastdeg.images.inference.pooling import group_means
from fastdeg.images.inference.regression import radial
from fastdeg.images.structure import N_STATISTICS as N_STRUCTURE
from fastdeg.images.structure import RAW
from fastdeg.kernels.images.jpeg_quality import VISIBLE

Float32 = NDArray[np.float32]

N_COMPONENTS = 80  # of what is left of the features
N_LEADING = 12  # whose distance is taken before what a patch shows is allowed for
N_DISTANCES = 2  # measures that are distances from everything that the space makes
N_CONTENT = 4  # that say what a patch shows
N_LANDMARKS = 200
WIDTH = 2.0  # of the radial functions: exponent per mean squared distance
PENALTY = 1e-5
LARGEST_RESIDUAL = 6.0  # of a feature: others are clipped
LARGEST_SCORE = 8.0  # of a component
LARGEST_LEVERAGE = 0.9
OTHER_TABLE = 1000.0  # more than evidence can be lacking
LEAST_STRUCTURE = 0.02  # of a statistic of structure: smaller differences mean nothing
SHRINKAGE = 0.02  # of the covariances, towards a multiple of the identity
SHARED = 0.5  # share of the variance that the mean over a photograph's patches keeps, however many they are
SHARED_OF_FEW = 0.75  # the same where clean images are few: they hardly show how photographs differ


@dataclass(frozen=True)
class Trend(Arrays):
    """Expectation given some conditions: ridge regression on radial functions of them."""

    landmarks: Float  # (L, c)
    width: Float  # ()
    mean: Float32  # (m,)
    coefficients: Float32  # (1 + c + L, m)
    scale: Float32  # (m,), of what is left

    @classmethod
    def fit(
        cls,
        x: Float32,
        given: Float,
        folds: NDArray[np.int64],
        rng: np.random.Generator,
        *,
        least_scale: float = 0.0,
    ) -> tuple[Trend, Float32]:
        """Return the trend, and what it leaves of each fold where that was left out, in units of its spread."""
        count = max(1, min(N_LANDMARKS, len(given) // 10))
        landmarks = given[np.sort(rng.choice(len(given), count, replace=False))]
        width = np.array(WIDTH / max(2 * float(given.var(axis=0).sum()), 1e-12))
        mean = x.mean(axis=0, dtype=np.float64).astype(np.float32)
        empty = cls(landmarks, width, mean, *(np.empty(0, np.float32),) * 2)
        design, left = empty.design(given), x - mean
        folds_rows = [folds == k for k in np.unique(folds)]
        grams = [(design[rows].T @ design[rows]).astype(np.float64) for rows in folds_rows]
        crosses = [(design[rows].T @ left[rows]).astype(np.float64) for rows in folds_rows]
        gram: Any = sum(grams) + PENALTY * len(x) * np.eye(design.shape[1])
        cross: Any = sum(crosses)
        for rows, own_gram, own_cross in zip(folds_rows, grams, crosses, strict=True):
            others = (gram - own_gram, cross - own_cross) if len(grams) > 1 else (gram, cross)
            left[rows] -= design[rows] @ scipy.linalg.solve(*others, assume_a="pos").astype(np.float32)
        coefficients = scipy.linalg.solve(gram, cross, assume_a="pos").astype(np.float32)
        scale = np.maximum(left.std(axis=0), np.float32(max(least_scale, 1e-12)))
        left /= scale
        return cls(landmarks, width, mean, coefficients, scale), left

    def design(self, given: Float) -> Float32:
        """Return constant, linear part and radial functions, (n, 1 + c + L)."""
        functions = radial(given, self.landmarks, float(self.width))
        return np.hstack([np.ones((len(given), 1)), given, functions]).astype(np.float32)

    def __call__(self, x: Float32, given: Float) -> Float32:
        return np.asarray((x - self.mean - self.design(given) @ self.coefficients) / self.scale, np.float32)


@dataclass(frozen=True)
class Spread(Arrays):
    """Standard deviations given some conditions: log-variances are polynomials of them."""

    exponents: NDArray[np.int64]
    coefficients: Float  # (K, m)

    @classmethod
    def fit(cls, x: NDArray[Any], given: Float) -> tuple[Spread, Float]:
        """Return the spread, and each row of x in units of what the spread is where the row is left out.

        Leaving it out takes a step of Fisher's scoring: the leverage of the row times its own part of the score.
        """
        exponents = Polynomial.of_degree(given.shape[1], 2, max(5, len(x) // 60)).exponents
        basis, squares = Polynomial(exponents)(given), np.square(x, dtype=np.float64)
        spread = cls(exponents, log_variances(basis, squares, n_iter=8))
        leverage = np.clip(np.einsum("ij,ji->i", basis, np.linalg.pinv(basis)), 0, LARGEST_LEVERAGE)[:, None]
        log_variance = basis @ spread.coefficients
        own = np.minimum(squares / np.exp(np.clip(log_variance, -14, 6)), LARGEST_RATIO) - 1
        return spread, _scaled(x, log_variance - leverage / (1 - leverage) * own)

    def __call__(self, x: NDArray[Any], given: Float) -> Float:
        return _scaled(x, Polynomial(self.exponents)(given) @ self.coefficients)


def _scaled(x: NDArray[Any], log_variance: Float) -> Float:
    return np.clip(x / np.exp(0.5 * np.clip(log_variance, -14, 6)), -LARGEST_SCORE, LARGEST_SCORE)


@dataclass(frozen=True)
class StructureTest(Arrays):
    """Statistics of structure, as far as what is read of a patch and what it shows do not explain them."""

    trend: Trend
    spread: Spread

    @classmethod
    def fit(
        cls, structure: Float32, content: Float, folds: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[StructureTest, Float]:
        """Return the test, and the measures (n, k) of each patch where its fold was left out."""
        trend, left = Trend.fit(structure.copy(), content, folds, rng, least_scale=LEAST_STRUCTURE)
        spread, scores = Spread.fit(left, content)
        return cls(trend, spread), np.where(RAW, structure, scores)

    def __call__(self, structure: Float32, content: Float) -> Float:
        return np.where(RAW, structure, self.spread(self.trend(structure, content), content))


@dataclass(frozen=True)
class OutsideTest(Arrays):
    """What synthetic patches look like, and how unlike the others those are whose content was left out."""

    trend: Trend  # of the features, given the summaries
    basis: Float32  # (F, K), principal components of what is left of them, weighted
    spread: Spread  # of these components
    whitening: Float  # of the leading ones
    content_trend: Trend  # of the others and of the log-evidence for a JPEG quality, given the first components too
    content_spread: Spread
    content_whitening: Float  # of the others
    measures: Float32  # (n, 4 + k), of each synthetic patch
    shared: Float  # (), share of the variance that the mean over a photograph's patches keeps
    structure: StructureTest | None = None

    @classmethod
    def fit(
        cls,
        features: Float32,
        summaries: Float,
        missing: NDArray[np.bool_] | None,
        beyond: Float,
        weights: Float,
        folds: NDArray[np.int64],
        rng: np.random.Generator,
        *,
        least_scale: float = 0.0,
        few: bool = False,
        structure: bool = False,
    ) -> OutsideTest:
        """Learn from synthetic patches, of which the regressions said the summaries (n, d) without having seen them.

        missing: which show no JPEG quality, None where those of the space show none; beyond: how far beyond the ranges
        of the space they lie; weights: of the features; folds: patches of the same content are in the same one;
        least_scale: smaller differences between features mean nothing; few: whether they show few photographs only;
        structure: whether the last features are statistics of structure, to be tested one by one.
        """
        given = np.clip(summaries, 0, 1)
        trend, left = Trend.fit(features, given, folds, rng, least_scale=least_scale)
        np.clip(left, -LARGEST_RESIDUAL, LARGEST_RESIDUAL, out=left)
        products = (left.T @ left) * (weights[:, None] * weights)
        n, count = len(weights), min(N_COMPONENTS, int(np.count_nonzero(weights)))
        _, vectors = scipy.linalg.eigh(products, subset_by_index=(n - count, n - 1))
        basis = (weights[:, None] * vectors[:, ::-1]).astype(np.float32)
        spread, components = Spread.fit(left @ basis, given)
        leading, whitening = whitened(components[:, :N_LEADING], folds)
        x, content = _by_content(components, features, given, missing)
        content_trend, left = Trend.fit(x, content, folds, rng)
        content_spread, scores = Spread.fit(left, content)
        others, content_whitening = whitened(scores[:, :-1], folds)
        evidence = scores[:, -1]
        if missing is not None and not structure:
            evidence = _or_other_table(evidence, features[:, JPEG_EVIDENCE])
        measures = _measures(leading, others, evidence, missing, beyond)
        own = None
        if structure:
            own, more = StructureTest.fit(features[:, -N_STRUCTURE:], content, folds, rng)
            measures = np.hstack([measures, more])
        return cls(
            trend, basis, spread, whitening,
            content_trend, content_spread, content_whitening, measures.astype(np.float32),
            np.array(SHARED_OF_FEW if few else SHARED), own,
        )  # fmt: skip

    def warn_of_too_few(self, level: float) -> None:
        """Warn where so few patches are compared with that no p-value can be as small as the level."""
        n = len(self.measures)
        if 0 < level < 1 / (n + 1):
            warnings.warn(
                f"level {level:g}: no image can be called outside, since p-values are at least 1 / {n + 1} where "
                f"{n} synthetic patches are compared with; fit with more n_samples",
                stacklevel=4,
            )

    def p_values(
        self,
        features: Float32,
        summaries: Float,
        missing: NDArray[np.bool_] | None,
        beyond: Float,
        owners: NDArray[np.int64],
        n: int,
    ) -> tuple[Float, NDArray[np.int64], Float]:
        """Return the probability that a photograph from inside the space is as unlike its images, (n,), which of the
        measures says so, (n,), and the mean of what is left of each feature, (n, F).

        features, summaries: of patches; missing, beyond: of photographs; owners: which photograph each patch is of.
        """
        given = np.clip(summaries, 0, 1)
        left = np.clip(self.trend(features, given), -LARGEST_RESIDUAL, LARGEST_RESIDUAL)
        components = self.spread(left @ self.basis, given)
        x, content = _by_content(components, features, given, missing)
        scores = self.content_spread(self.content_trend(x, content), content)
        # patches of a photograph have in common what is unusual about it, be it from inside or not
        kept = np.sqrt(self.shared + (1 - self.shared) / np.bincount(owners, minlength=n))
        leading = group_means(components[:, :N_LEADING] @ self.whitening, owners, n) / kept[:, None]
        others = group_means(scores[:, :-1] @ self.content_whitening, owners, n) / kept[:, None]
        evidence = group_means(scores[:, -1:], owners, n) / kept[:, None]
        if missing is not None and self.structure is None:
            comb = group_means(features[:, JPEG_EVIDENCE, None].astype(np.float64), owners, n)
            evidence = _or_other_table(evidence, comb)
        measures = _measures(leading, others, evidence[:, 0], missing, beyond / kept)
        if self.structure is not None:
            scores = group_means(self.structure(features[:, -N_STRUCTURE:], content), owners, n)
            measures = np.hstack([measures, np.where(RAW, scores, scores / kept[:, None])])
        p_values, which = smallest_rank_p_values(self.measures, measures.astype(np.float32))
        return p_values, which, group_means(left.astype(np.float64), owners, n)


def _by_content(
    components: Float, features: Float32, given: Float, missing: NDArray[np.bool_] | None
) -> tuple[Float32, Float]:
    """Return what depends on what a patch shows, and the conditions, what it shows among them."""
    count = min(N_CONTENT, components.shape[1] // 2)
    evidence = np.zeros(len(given)) if missing is None else np.log1p(np.maximum(features[:, JPEG_EVIDENCE], 0))
    others = np.column_stack([components[:, count:], evidence]).astype(np.float32)
    return others, np.hstack([given, np.clip(components[:, :count] / 2, -2, 2)])


def _or_other_table(evidence: Float, comb: NDArray[Any]) -> Float:
    """Return how much evidence of a comb is lacking, and more than ever where there is a comb of another table, whose
    evidence is negative. A history may end with programs of other makers, so that it says nothing there."""
    return np.where(comb < -VISIBLE, comb - OTHER_TABLE, evidence)


def whitened(x: Float, folds: NDArray[np.int64]) -> tuple[Float, Float]:
    """Return x uncorrelated and of unit variance, by the covariance of the other folds, and the matrix for others."""

    def whitening(covariance: Float) -> Float:
        covariance = covariance + (SHRINKAGE * np.trace(covariance) / len(covariance) + 1e-12) * np.eye(len(covariance))
        return np.linalg.inv(np.linalg.cholesky(covariance)).T

    labels = np.unique(folds)
    products = [x[folds == k].T @ x[folds == k] for k in labels]
    out = np.empty_like(x)
    for k, own in zip(labels, products, strict=True):
        rows = folds == k
        others = (sum(products) - own) / (~rows).sum() if len(labels) > 1 else own / len(x)
        out[rows] = x[rows] @ whitening(others)
    return out, whitening(sum(products) / len(x))


def _measures(
    leading: Float, others: Float, evidence: Float, missing: NDArray[np.bool_] | None, beyond: Float
) -> Float:
    """Return the four measures of patches or photographs, (n, 4); a JPEG quality that is not missing says nothing."""
    distances = [(x**2).sum(axis=1) for x in (leading, others)]
    return np.stack([*distances, np.where(False if missing is None else missing, -evidence, -np.inf), beyond], axis=1)


def smallest_rank_p_values(calibration: Float32, observed: Float32) -> tuple[Float, NDArray[np.int64]]:
    """Return for each row observed its conformal p-value, the share of rows as extreme in any of their columns, and
    the column in which it is most extreme, each (n,).

    Calibration rows (m, k), large values extreme. Each observed row is ranked together with the calibration rows, as
    one of them would be: only then may the smallest of its ranks be compared with the smallest of each of theirs.
    """
    m = len(calibration)
    ranks = m - np.stack([np.searchsorted(np.sort(a), a) for a in calibration.T], axis=1)  # 1: the largest
    middle = np.where(np.isfinite(calibration), calibration, 0).mean(axis=0)
    reach = np.maximum(np.quantile(calibration, 0.99, axis=0, method="nearest") - middle, 1e-6)
    counts, which = np.empty(len(observed)), np.empty(len(observed), np.int64)
    for i, row in enumerate(observed):
        beside = row >= calibration  # those whose rank it lowers
        own = 1 + (row <= calibration).sum(axis=0)
        # of several that are as extreme the farthest off, those that have a reason before distances from everything
        far = np.where(own == own.min(), (row - middle) / reach, -np.inf)
        far[N_DISTANCES:] += np.where(far[N_DISTANCES:] > 1, 1e6, 0)
        which[i] = far.argmax()
        counts[i] = ((ranks + beside).min(axis=1) <= own.min()).sum()
    return (1 + counts) / (1 + m), which
