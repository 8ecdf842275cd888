"""From features to degradation parameters: principal components, and a ridge regression on them.

Its design is a linear part and Gaussian radial functions around random landmarks (Nyström); one linear solve per fold.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from fastdeg._threads import worker_pool
from fastdeg._types import Float
from fastdeg.images.inference.arrays import Arrays

N_COMPONENTS = 60
N_LANDMARKS = 800
WIDTH = 0.4  # of the radial functions: exponent per mean squared norm of the components
PENALTY = 0.01
LEAST_NORM = 1e-6  # that the ridge penalty sees in functions of any landmarks, also of ones that coincide
LINEAR_SCALE = 0.05  # of the linear part beside the radial functions: what the ridge penalty weighs it with
LARGEST_SCORE = 5.0  # standardised features beyond are clipped
ROWS = 512  # of features that are worked on at a time


@dataclass(frozen=True)
class Components(Arrays):
    """Standardisation, clipping and principal components of the features."""

    mean: Float
    scale: Float
    weights: Float  # of the clipped scores
    basis: Float  # (F, C)

    @classmethod
    def fit(cls, x: NDArray[Any], weightings: Sequence[Float], *, least_scale: float = 0.0) -> list[Components]:
        """Find the components for each of several weightings of the features.

        Features that vary by less than ``least_scale`` are not blown up to unit scale.
        """
        mean = x.mean(axis=0, dtype=np.float64)
        squares = sum((np.square(x[i : i + ROWS] - mean).sum(axis=0) for i in range(0, len(x), ROWS)), np.zeros(1))
        scale = np.sqrt(squares / len(x))
        scale = np.maximum(np.where(scale > 1e-6, scale, 1.0), least_scale)
        shift, covariance = np.zeros(len(mean)), np.zeros((len(mean), len(mean)))
        for _, scores in _standardized(x, mean, scale):
            shift += scores.sum(axis=0, dtype=np.float64) / len(x)
            covariance += scores.T @ scores / len(x)
        covariance -= shift[:, None] * shift
        count = min(N_COMPONENTS, len(mean), max(1, len(x) - 1))
        found = []
        for weights in weightings:
            weighted = covariance * (weights[:, None] * weights)
            _, vectors = scipy.linalg.eigh(weighted, subset_by_index=(len(mean) - count, len(mean) - 1))
            vectors = vectors[:, ::-1]
            signs = np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(count)])
            found.append(cls(mean + shift * scale, scale, weights, vectors * signs))
        return found

    def __call__(self, x: NDArray[Any]) -> Float:
        basis = (self.weights[:, None] * self.basis).astype(x.dtype)
        out = np.empty((len(x), basis.shape[1]))
        for rows, scores in _standardized(x, self.mean, self.scale):
            out[rows] = scores @ basis
        return out


def _standardized(x: NDArray[Any], mean: Float, scale: Float) -> Iterator[tuple[slice, NDArray[Any]]]:
    """Yield standardised and clipped features, in their own precision, so many rows at a time that the cache holds."""
    mean, scale = mean.astype(x.dtype), scale.astype(x.dtype)
    for start in range(0, len(x), ROWS):
        rows = slice(start, start + ROWS)
        scores = x[rows] - mean
        scores /= scale
        yield rows, np.clip(scores, -LARGEST_SCORE, LARGEST_SCORE, out=scores)


@dataclass(frozen=True)
class Regression(Arrays):
    """Ridge regression on principal components and radial functions of them."""

    landmarks: Float  # (L, C)
    width: Float  # ()
    coefficients: Float  # (1 + C + L, d)

    @classmethod
    def fit(
        cls, components: Float, targets: Float, folds: NDArray[np.int64], rng: np.random.Generator, threads: int = 1
    ) -> tuple[Regression, Float]:
        """Return the mean of the models that leave out one fold each, and what each says of its own fold, (n, d)."""
        n = len(components)
        count = min(N_LANDMARKS, n)
        landmarks = components[np.sort(rng.choice(n, count, replace=False))]
        width = np.asarray(WIDTH / max(float((components**2).sum(axis=1).mean()), 1e-12))
        empty = cls(landmarks, width, np.empty((0, 0)))
        labels = np.unique(folds)

        def sums(label: int) -> tuple[Float, Float, Float]:
            design = empty.design(components[folds == label])
            return design, design.T @ design, design.T @ targets[folds == label]

        def solve(k: int) -> Float:
            others = [j for j in range(len(labels)) if j != k] or [k]
            gram = sum((grams[j] for j in others), penalty)
            return scipy.linalg.solve(gram, sum(crosses[j] for j in others), assume_a="pos")

        # Nyström: the norm of the function that the landmarks span is penalised, that of the linear part, no constant
        penalty = PENALTY * np.eye(1 + components.shape[1] + count)
        penalty[0, 0] = 1e-9
        penalty[-count:, -count:] = PENALTY * (radial(landmarks, landmarks, float(width)) + LEAST_NORM * np.eye(count))
        with worker_pool(threads) as pool:
            designs, grams, crosses = zip(*pool.map(sums, labels), strict=True)
            solutions = list(pool.map(solve, range(len(labels))))
        held_out = np.empty_like(targets)
        for label, design, solution in zip(labels, designs, solutions, strict=True):
            held_out[folds == label] = design @ solution
        return cls(landmarks, width, np.mean(solutions, axis=0)), held_out

    def design(self, components: Float) -> Float:
        """Return constant, linear part and radial functions, (n, 1 + C + L)."""
        out = np.empty((len(components), 1 + components.shape[1] + len(self.landmarks)))
        out[:, 0] = 1
        out[:, 1 : 1 + components.shape[1]] = LINEAR_SCALE * components
        out[:, 1 + components.shape[1] :] = radial(components, self.landmarks, float(self.width))
        return out

    def __call__(self, components: Float) -> Float:
        return self.design(components) @ self.coefficients


def radial(x: Float, landmarks: Float, width: float) -> Float:
    """Return Gaussian functions around each landmark, (n, L)."""
    # minus the squared distances, as one product
    left = np.column_stack([x, (x**2).sum(axis=1), np.ones(len(x))])
    right = np.column_stack([2 * landmarks, -np.ones(len(landmarks)), -(landmarks**2).sum(axis=1)])
    out = left @ (width * right).T
    np.minimum(out, 0, out=out)
    return np.exp(out, out=out)
