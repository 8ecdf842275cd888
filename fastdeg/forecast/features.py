"""The fixed features that the learner is linear in: pixels, pixels by noise level, and rectified random filters.

They are the same for every fit, so that only images and degradations differ between two of them.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from fastdeg.kernels.forecast.features import N_LINEAR, N_PIXELS, RADIUS, SIDE, patch_features, rectify

N_FILTERS = 160
N_FEATURES = N_LINEAR + N_FILTERS
_SUPPORTS = (1.2, 2.0, 3.5, 6.0)  # deviations of the filters' Gaussian windows, in pixels


@cache
def filters() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return random filters of mean 0 and norm 1 on several supports, (N_PIXELS, N_FILTERS), and biases."""
    rng = np.random.default_rng(0)
    bank = rng.normal(size=(N_PIXELS, N_FILTERS))
    y, x = np.mgrid[-RADIUS : RADIUS + 1, -RADIUS : RADIUS + 1]
    for k in range(N_FILTERS):
        support = rng.choice(_SUPPORTS)
        center = rng.uniform(-0.6 * RADIUS, 0.6 * RADIUS, 2)
        bank[:, k] *= np.exp(-((y - center[0]) ** 2 + (x - center[1]) ** 2) / (2 * support**2)).ravel()
    bank -= bank.mean(axis=0)
    bank /= np.linalg.norm(bank, axis=0)
    return bank.astype(np.float32), rng.uniform(-1, 1, N_FILTERS).astype(np.float32)


def fill(
    low: NDArray[np.uint8],
    high: NDArray[np.float32],
    places: NDArray[np.int64],
    features: NDArray[np.float32],
    targets: NDArray[np.float32],
) -> None:
    """Fill the linear features and the targets of patches around ``places`` (n, 2) of a degraded image."""
    patch_features(low, high, places[:, 0], places[:, 1], features, targets)


def complete(features: NDArray[np.float32]) -> None:
    """Fill the rectified filters beside the linear features."""
    bank, bias = filters()
    np.matmul(features[:, 1 : 1 + N_PIXELS], bank, out=features[:, N_LINEAR:])
    rectify(features, N_LINEAR, bias)


def random_places(shape: tuple[int, int], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return random centres (count, 2) of whole patches in an image of at least `SIDE` × `SIDE` pixels."""
    return rng.integers(RADIUS, (shape[0] - RADIUS, shape[1] - RADIUS), (count, 2))


__all__ = ["N_FEATURES", "SIDE", "complete", "fill", "filters", "random_places"]
