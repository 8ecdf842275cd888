"""A small neural network beside the ridge regression: it errs elsewhere, so their mean is better than either."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod

import numpy as np
from numpy.typing import NDArray

from fastdeg._threads import worker_pool
from fastdeg._types import Float
from fastdeg.images.inference.arrays import Arrays

HIDDEN = (64, 64)
EPOCHS = 30
PENALTY = 0.1
LEARNING_RATE = 6e-3
LARGEST_BATCH = 512
ADAM = (0.9, 0.999, 1e-8)  # decay of the mean and of the square of the gradient, least root of the latter
SPREAD = 4.0  # of the targets: the network sees z on [-2, 2] instead of [0, 1]


@dataclass(frozen=True)
class Network(Arrays):
    """Mean of the networks that leave out one fold each; every array has the folds in front."""

    scale: Float  # (), of the inputs
    weights0: NDArray[np.float32]
    weights1: NDArray[np.float32]
    weights2: NDArray[np.float32]
    biases0: NDArray[np.float32]
    biases1: NDArray[np.float32]
    biases2: NDArray[np.float32]

    @classmethod
    def fit(
        cls, components: Float, targets: Float, folds: NDArray[np.int64], seed: int, threads: int
    ) -> tuple[Network, Float]:
        """Return the mean network, and what each network says of the fold that it has not seen, (n, d)."""
        scale = max(float(components.std(axis=0).mean()), 1e-12)
        x = (components / scale).astype(np.float32)
        y = (SPREAD * (targets - 0.5)).astype(np.float32)
        labels = np.unique(folds)

        def train(k: int) -> list[NDArray[np.float32]]:
            others = folds != labels[k] if len(labels) > 1 else np.ones(len(folds), bool)
            return _train(x[others], y[others], np.random.default_rng(seed + k))

        with worker_pool(threads) as pool:
            networks = list(pool.map(train, range(len(labels))))
        model = cls(np.array(scale), *(np.stack(arrays) for arrays in zip(*networks, strict=True)))
        said = model._each(components)
        held_out = np.empty_like(targets)
        for k, label in enumerate(labels):
            held_out[folds == label] = said[k][folds == label]
        return model, held_out

    def __call__(self, components: Float) -> Float:
        return self._each(components).mean(axis=0)

    def _each(self, components: Float) -> Float:
        """Return what each network says, (folds, n, d)."""
        x = (components / self.scale).astype(np.float32)
        x = np.maximum(x @ self.weights0 + self.biases0[:, None], 0)
        x = np.maximum(x @ self.weights1 + self.biases1[:, None], 0)
        return (x @ self.weights2 + self.biases2[:, None]).astype(np.float64) / SPREAD + 0.5


def _train(x: NDArray[np.float32], y: NDArray[np.float32], rng: np.random.Generator) -> list[NDArray[np.float32]]:
    """Return weights and biases after a fixed number of epochs of Adam: all weights (n, m), then all biases (m,).

    In NumPy: networks this small spend half of their time between the products of a general library's trainer.
    """
    sizes = list(pairwise((x.shape[1], *HIDDEN, y.shape[1])))
    shapes = [*sizes, *((m,) for _, m in sizes)]
    values, gradient, mean, square = (np.zeros(sum(map(prod, shapes)), np.float32) for _ in range(4))
    parts, slopes = _parts(values, shapes), _parts(gradient, shapes)
    for k, (n, m) in enumerate(sizes):
        reach = np.sqrt(6 / (n + m))  # Glorot and Bengio's
        parts[k][:], parts[3 + k][:] = rng.uniform(-reach, reach, (n, m)), rng.uniform(-reach, reach, m)
    w0, w1, w2, b0, b1, b2 = parts
    n_weights = sum(map(prod, sizes))
    keep, keep_square, least = ADAM
    batch = min(LARGEST_BATCH, len(x))
    step = 0
    for _ in range(EPOCHS):
        order = rng.permutation(len(x))
        for start in range(0, len(x), batch):
            rows = order[start : start + batch]
            inputs = x[rows]
            first = np.maximum(inputs @ w0 + b0, 0)
            second = np.maximum(first @ w1 + b1, 0)
            error = second @ w2 + b2 - y[rows]
            for k, (into, out) in enumerate(((second, w2), (first, w1), (inputs, None))):
                np.matmul(into.T, error, out=slopes[2 - k])
                error.sum(axis=0, out=slopes[5 - k])
                if out is not None:
                    error = (error @ out.T) * (into > 0)
            gradient[:n_weights] += np.float32(PENALTY) * values[:n_weights]
            gradient /= np.float32(len(rows))
            step += 1
            mean += np.float32(1 - keep) * (gradient - mean)
            square += np.float32(1 - keep_square) * (gradient * gradient - square)
            rate = LEARNING_RATE * np.sqrt(1 - keep_square**step) / (1 - keep**step)
            values -= np.float32(rate) * mean / (np.sqrt(square) + np.float32(least))
    return parts


def _parts(flat: NDArray[np.float32], shapes: Sequence[tuple[int, ...]]) -> list[NDArray[np.float32]]:
    """Return views of consecutive parts of a flat array, in the given shapes."""
    ends = np.cumsum([prod(shape) for shape in shapes])
    return [flat[end - prod(shape) : end].reshape(shape) for end, shape in zip(ends, shapes, strict=True)]
