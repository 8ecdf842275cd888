"""A small neural network beside the ridge regression: it errs elsewhere, so their mean is better than either."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor

from fastdeg.images.arrays import Arrays

Float = NDArray[np.float64]

HIDDEN = (64, 64)
EPOCHS = 30
PENALTY = 0.1
LEARNING_RATE = 3e-3
LARGEST_BATCH = 512
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

        def train(k: int) -> MLPRegressor:
            others = folds != labels[k] if len(labels) > 1 else np.ones(len(folds), bool)
            network = MLPRegressor(
                hidden_layer_sizes=HIDDEN, alpha=PENALTY, learning_rate_init=LEARNING_RATE, max_iter=EPOCHS,
                batch_size=min(LARGEST_BATCH, int(others.sum())), random_state=seed + k,
            )  # fmt: skip
            return network.fit(x[others], y[others] if y.shape[1] > 1 else y[others, 0])

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a fixed number of epochs is meant
            with ThreadPoolExecutor(threads) as pool:
                networks = list(pool.map(train, range(len(labels))))
        arrays = [np.stack([n.coefs_[k] for n in networks]) for k in range(3)]
        arrays += [np.stack([n.intercepts_[k] for n in networks]) for k in range(3)]
        model = cls(np.array(scale), *(a.astype(np.float32) for a in arrays))
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
