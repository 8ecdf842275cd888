"""Features of patches of degraded images, and what they shall predict, in one pass over the patches."""

from __future__ import annotations

import numpy as np

from fastdeg.kernels._jit import kernel

RADIUS = 5  # of a patch, in degraded pixels
SIDE = 2 * RADIUS + 1
N_PIXELS = SIDE * SIDE
INNER = 3  # radius of the part of a patch that the gates multiply
N_INNER = (2 * INNER + 1) ** 2
KNOTS = np.log(np.array([1.0, 4.0, 10.0, 25.0]))  # of the logarithm of a patch's noise level, where the gates peak
N_GATES = len(KNOTS)
N_LINEAR = 1 + N_PIXELS + N_GATES * N_INNER
SMALL = np.float32(0.3)  # of features beside the pixels: the ridge prefers what serves all degradations alike
UNIT = 20.0  # grey levels: pixels are counted in it, so that all features are of a size
_TO_SIGMA = np.sqrt(np.pi / 2) / 6  # of the mean absolute value of the filter below to the deviation of white noise


@kernel
def patch_features(low, high, rows, columns, features, targets):
    """Fill the features that are linear in the pixels, and the targets, for patches around places of a degraded image.

    low: (h, w) grey levels; high: (s h, s w) float32, the clean image; rows, columns: (n,) centres, at least RADIUS
    within; features: (n, at least N_LINEAR) float32, of which a constant, the pixels about their mean and, for each
    gate, the inner pixels times the gate are written; targets: (n, s²) float32, the clean block about the same mean.
    """
    scale = int(np.sqrt(targets.shape[1]) + 0.5)
    for k in range(len(rows)):
        top, left = rows[k] - RADIUS, columns[k] - RADIUS
        total = 0.0
        for i in range(SIDE):
            for j in range(SIDE):
                total += low[top + i, left + j]
        mean = total / N_PIXELS
        row = features[k]
        row[0] = 1.0
        for i in range(SIDE):
            for j in range(SIDE):
                row[1 + i * SIDE + j] = (low[top + i, left + j] - mean) / UNIT
        level = np.log(max(_noise_level(row), 1e-3))
        at = 1 + N_PIXELS
        for gate in range(N_GATES):
            weight = SMALL * _hat(level, gate)
            for i in range(RADIUS - INNER, RADIUS + INNER + 1):
                for j in range(RADIUS - INNER, RADIUS + INNER + 1):
                    row[at] = weight * row[1 + i * SIDE + j]
                    at += 1
        for i in range(scale):
            for j in range(scale):
                clean = high[rows[k] * scale + i, columns[k] * scale + j]
                targets[k, i * scale + j] = (clean - mean) / UNIT


@kernel(inline="always")
def _noise_level(row):
    """Return the deviation of the noise in a patch, in grey levels: what a filter lets pass that is blind to ramps.

    Immerkær, "Fast Noise Variance Estimation", 1996.
    """
    total = 0.0
    for i in range(1, SIDE - 1):
        for j in range(1, SIDE - 1):
            at = 1 + i * SIDE + j
            above, below = at - SIDE, at + SIDE
            passed = (
                row[above - 1] - 2 * row[above] + row[above + 1]
                - 2 * row[at - 1] + 4 * row[at] - 2 * row[at + 1]
                + row[below - 1] - 2 * row[below] + row[below + 1]
            )  # fmt: skip
            total += abs(passed)
    return UNIT * _TO_SIGMA * total / ((SIDE - 2) * (SIDE - 2))


@kernel(inline="always")
def _hat(level, gate):
    """Return the height of a gate at a noise level: 1 at its knot, 0 from the next one on; the outer ones stay at 1."""
    if gate == 0 and level <= KNOTS[0]:
        return 1.0
    if gate == N_GATES - 1 and level >= KNOTS[N_GATES - 1]:
        return 1.0
    if gate > 0 and KNOTS[gate - 1] < level <= KNOTS[gate]:
        return (level - KNOTS[gate - 1]) / (KNOTS[gate] - KNOTS[gate - 1])
    if gate < N_GATES - 1 and KNOTS[gate] < level < KNOTS[gate + 1]:
        return (KNOTS[gate + 1] - level) / (KNOTS[gate + 1] - KNOTS[gate])
    return 0.0


@kernel
def rectify(features, first, bias):
    """Add a bias to the columns from ``first`` on, set what is below zero to zero, and scale as `SMALL` says."""
    for row in features:
        for k in range(len(bias)):
            row[first + k] = SMALL * max(row[first + k] + bias[k], np.float32(0.0))
