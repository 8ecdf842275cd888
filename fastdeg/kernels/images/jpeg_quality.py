"""Evidence for each JPEG quality from the comb that quantisation leaves in the DCT coefficients of 8 × 8 blocks.

A coefficient that was quantised in steps of t lies within rounding of a multiple of t, which it would hardly do by
chance: that speaks for t with log(t / (s √2π)) - e² / 2s², where e is its distance to the multiple. Coefficients near
zero say nothing. Pixels that were clipped at black or white spoil a whole block, so that each block only ever speaks
for a quality: the sum over its coefficients, where it is large enough. Where nothing was quantised on this grid no
quality has much evidence, and the one that has most means nothing: see `VISIBLE`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastdeg.kernels._jit import REASSOCIATE, kernel
from fastdeg.kernels.linalg.elementary import add

# Luma quantisation of the JPEG standard (annex K), which its quality setting scales; by frequency, row by row
LUMA_STEPS = (
    16, 11, 10, 16, 24, 40, 51, 61,
    12, 12, 14, 19, 26, 58, 60, 55,
    14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77,
    24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101,
    72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip
QUALITIES = np.arange(10, 101)
N_FREQUENCIES = 20  # those with the finest steps, whose coefficients are seldom all zero
FREQUENCIES = np.sort(np.argsort(LUMA_STEPS, kind="stable")[:N_FREQUENCIES])
SPREAD = 0.6  # of a coefficient around its multiple: pixels are rounded, and some clipped
MIDDLE = np.float32(1024)  # what the standard takes off the mean before it is quantised
NEAR_ZERO = np.float32(1.05)
LOWEST = np.float32(-3)  # what a single coefficient may say against a step
ENOUGH = np.float32(2)  # what a block has to say before it counts
MOST_BLOCKS = 128  # that are looked at
VISIBLE = 12.0  # least evidence of a comb; without one, chance gives a photograph's 100 blocks about 2, seldom 8
ALIKE = 0.6  # least share of what frequencies say, each for the step that fits it best, that a table of theirs has


def steps_of_quality(quality: int) -> Any:
    """Quantisation steps (64,) of the luma at a quality of 1 to 100, as libjpeg scales them."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    return np.clip((np.array(LUMA_STEPS) * scale + 50) // 100, 1, 255)


STEPS = np.stack([steps_of_quality(int(q))[FREQUENCIES] for q in QUALITIES]).astype(np.float32)


@kernel(fastmath=REASSOCIATE)
def evidence_for_step(coefficients, speaking, step, out):
    """What one coefficient of each block says for a step; return the sum."""
    reach = np.float32(math.log(step / (SPREAD * math.sqrt(2 * math.pi))))
    inverse, sharpness = np.float32(1) / step, np.float32(0.5 / SPREAD**2)
    total = np.float32(0)
    for k in range(coefficients.shape[0]):
        error = coefficients[k] - np.rint(coefficients[k] * inverse) * step
        out[k] = speaking[k] * max(reach - sharpness * error * error, LOWEST)
        total += out[k]
    return total


@kernel(fastmath=REASSOCIATE)
def sum_of_positive(values):
    """Sum of the values above zero."""
    total = np.float32(0)
    for k in range(values.shape[0]):
        total += max(values[k], np.float32(0))
    return total


@kernel(inline="always")
def expected_quality(magnitudes, frequencies, steps, qualities):
    """The mean of the qualities, weighted by the evidence for them in the magnitudes (64, n) of blocks' DCT, and the
    evidence for the best one: negative where it speaks for a table that is none of theirs."""
    n = magnitudes.shape[1]
    count = min(n, MOST_BLOCKS)
    coefficients = np.empty((frequencies.shape[0], count), np.float32)
    speaking = np.empty((frequencies.shape[0], count), np.float32)
    for f in range(frequencies.shape[0]):
        shift = MIDDLE if frequencies[f] == 0 else np.float32(0)
        for k in range(count):
            x = abs(magnitudes[frequencies[f], k * n // count] - shift)
            coefficients[f, k] = x
            speaking[f, k] = np.float32(x > NEAR_ZERO)
    said, totals = np.empty(count, np.float32), np.full((qualities.shape[0], count), -ENOUGH)
    for f in range(frequencies.shape[0]):
        for q in range(qualities.shape[0]):  # neighbouring qualities often share a step
            if q == 0 or steps[q, f] != steps[q - 1, f]:
                evidence_for_step(coefficients[f], speaking[f], steps[q, f], said)
            add(totals[q], said, np.float32(1))
    evidence, most, best = np.empty(qualities.shape[0]), 0.0, 0
    for q in range(qualities.shape[0]):
        evidence[q] = sum_of_positive(totals[q])
        if evidence[q] > most:
            most, best = evidence[q], q
    total, weighted = 0.0, 0.0
    for q in range(qualities.shape[0]):
        weight = math.exp(evidence[q] - most)
        total += weight
        weighted += weight * qualities[q]
    of_table, of_frequencies = 0.0, 0.0  # what the blocks that speak for the best say for its steps, and for the best
    for f in range(frequencies.shape[0]):
        for k in range(count):
            speaking[f, k] *= np.float32(totals[best, k] > 0)
        own, largest, spoken = 0.0, 0.0, 0.0
        for q in range(qualities.shape[0]):
            if q == 0 or steps[q, f] != steps[q - 1, f]:
                spoken = evidence_for_step(coefficients[f], speaking[f], steps[q, f], said)
                largest = max(largest, spoken)
            if q == best:
                own = spoken
        of_table += own
        of_frequencies += largest
    return weighted / total, most if of_table >= ALIKE * of_frequencies else -most
