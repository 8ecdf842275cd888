"""What no history of a photo explains: statistics, each of one kind of strangeness, in the words in which it is told.

Each is small where a picture is an ordinary one, however blurred, noisy or compressed, and large where it is strange.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

# what is strange where a statistic is large, and the step, if any, that would explain it
REASONS = (
    "single pixels stand out from all around them: salt and pepper, dust or dead pixels?",
    "a pattern repeats every few pixels: halftone, screentone or dither?",
    "every second row or column is out of place: interlaced?",
    "grey levels are few, with gaps between them: posterised or a palette?",
    "flat areas are of few, evenly spaced grey levels: posterised?",
    "flat areas meet at hard steps with nothing in between: posterised, or drawn?",
    "noise is stronger than any of the space: widen noise_sigma?",
    "blocks of 8 × 8 pixels are coarser than any of the space: widen jpeg_quality?",
)
N_STATISTICS = len(REASONS)
RAW = np.arange(N_STATISTICS) >= N_STATISTICS - 2  # beyond all that the space makes, whatever is read of the photo
WINDOW = 64  # largest side of the part whose spectrum is taken
AROUND = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], np.uint8)
PEAK_SURROUNDINGS = 11  # side, in frequencies, of what a peak of the spectrum is compared with
ALONE, APART = 1, 12  # grey levels: reach of a level, and of the gap around it where levels are few
MOSTLY = 0.9  # share of the pixels within the gap that are within reach
LEAST_SHARE = 0.02  # of pixels: smaller ones mean nothing
FLAT = 10  # grey levels: largest differences within 3 × 3 pixels of flat areas
FEW = range(4, 13)  # numbers of evenly spaced levels that are sought
REACH = 5  # grey levels from one of them: what compression leaves of them
MANY_PIXELS = 400  # of flat areas: what fewer say counts by half and less
SMALL_STEP, LARGE_STEP = 3, 18  # grey levels
BLOCK = 8
MIDDLE_LEVELS = 30.0  # grey levels around the middle where strong noise is hardly clipped
LEAST_WINDOWS = 8  # windows or blocks that must tell
LEAST_COEFFICIENT = 20.0  # grey levels: smaller ones count as zero
LEAST = 10  # per cent of the coefficients that are not zero
LEVELS = np.arange(256)
IN_STEP = np.array([np.abs(LEVELS[:, None] - np.linspace(0, 255, n)).min(axis=1) <= REACH for n in FEW], np.float64)
BY_CHANCE = IN_STEP.mean(axis=1)
LOWEST = np.cos(np.pi * (2 * np.arange(BLOCK) + 1) / (2 * BLOCK)) / 2, np.full(BLOCK, 1 / np.sqrt(BLOCK))


def structure_statistics(plane: NDArray[np.float32], green: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the statistics (N_STATISTICS,) of a luma plane, float32 on 0..255, sides of at least 12 pixels; green:
    that channel of the image, or its luma, as what is done to levels is done to each channel."""
    across, down = np.diff(plane, axis=1), np.diff(plane, axis=0)
    return np.array(
        [
            _impulses(plane), _repetition(plane), max(_out_of_place(plane), _out_of_place(plane.T)),
            _levels_apart(green), _levels_in_step(green[_flat(green)]), _hard_steps(across, down),
            _noise(plane), _coarseness(plane),
        ],
        np.float32,
    )  # fmt: skip


def _impulses(plane: NDArray[np.float32]) -> float:
    """How far pixels stand out from all eight around them: logarithm of the mean square."""
    above: Any = plane - cv2.dilate(plane, AROUND)
    below: Any = cv2.erode(plane, AROUND) - plane
    out = np.maximum(np.maximum(above, below), 0)
    return float(np.log(np.square(out).mean() + 0.1))


def _repetition(plane: NDArray[np.float32]) -> float:
    """Highest peak of the spectrum off the axes over its surroundings, in logarithms of the power."""
    part = plane[:WINDOW, :WINDOW]
    height, width = part.shape
    window = np.hanning(height + 2)[1:-1, None] * np.hanning(width + 2)[None, 1:-1]
    power = np.abs(np.fft.rfft2((part - part.mean()) * window)) ** 2
    power = np.log(np.fft.fftshift(power, axes=0) + 10.0).astype(np.float32)
    middle = height // 2
    excess = power - cv2.blur(power, (PEAK_SURROUNDINGS, PEAK_SURROUNDINGS))
    excess[middle - 3 : middle + 4] = 0  # edges of pictures and blocks lie along the axes
    return float(excess[1:-1, 4:-1].max()) if width > 12 else 0.0


def _out_of_place(plane: NDArray[np.float32]) -> float:
    """How much more neighbouring rows differ than those two apart, beside the same of columns."""

    def ratio(x: NDArray[np.float32]) -> float:
        near, far = np.square(x[1:] - x[:-1]).mean(), np.square(x[2:] - x[:-2]).mean()
        return float(np.log((near + 1) / (far + 1)))

    return ratio(plane) - ratio(plane.T)


def _flat(plane: NDArray[np.uint8]) -> NDArray[np.bool_]:
    window = np.ones((3, 3), np.uint8)
    return np.asarray(cv2.dilate(plane, window) - cv2.erode(plane, window)) <= FLAT


def _levels_apart(values: NDArray[np.uint8]) -> float:
    """How many pixels are of levels with a gap around, but for the most frequent one: logarithm of their share."""
    counts = _counts(values)
    own, around = (np.convolve(counts, np.ones(2 * reach + 1), "same") for reach in (ALONE, APART))
    apart = (own >= MOSTLY * around) & (np.abs(LEVELS - own.argmax()) > APART)
    return float(np.log(counts[apart].sum() / max(values.size, 1) + LEAST_SHARE))


def _levels_in_step(values: NDArray[np.uint8]) -> float:
    """How much more often than by chance pixels are near one of a few evenly spaced levels, as many as fit best.

    Frequent levels count by the root of their number: a single flat area says nothing.
    """
    counts = _counts(values)
    weights = np.sqrt(counts)
    excess = (IN_STEP @ weights / max(weights.sum(), 1) - BY_CHANCE) / (1 - BY_CHANCE)
    return float(excess.max() * counts.sum() / (counts.sum() + MANY_PIXELS))


def _counts(values: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return how many pixels are of each level, but for those that are clipped."""
    counts = np.bincount(values.ravel(), minlength=256).astype(np.float64)
    counts[[0, -1]] = 0
    return counts


def _hard_steps(across: NDArray[np.float32], down: NDArray[np.float32]) -> float:
    """How rare differences between neighbours that are neither small nor large are beside the large ones."""
    steps = np.abs(np.concatenate([across.ravel(), down.ravel()]))
    large, some = (steps > LARGE_STEP).mean(), ((steps > SMALL_STEP) & (steps <= LARGE_STEP)).mean()
    return float(np.log((large + 1e-3) / (some + 1e-3)))


def _noise(plane: NDArray[np.float32]) -> float:
    """Logarithm of the energy of the finest detail, in the middle of windows that are neither dark nor bright."""
    detail: Any = cv2.filter2D(plane, cv2.CV_32F, np.outer([1, -2, 1], [1, -2, 1]).astype(np.float32))
    energy: Any = cv2.blur(np.square(detail), (BLOCK + 1, BLOCK + 1))[::4, ::4]
    level: Any = cv2.blur(plane, (BLOCK + 1, BLOCK + 1))[::4, ::4]
    middle = energy[np.abs(level - 127.5) < MIDDLE_LEVELS]
    return float(np.log(np.median(middle) + 1)) if len(middle) >= LEAST_WINDOWS else 0.0


def _coarseness(plane: NDArray[np.float32]) -> float:
    """Logarithm of the least magnitude that coefficients of the lowest frequencies have, of those that are not zero."""
    rows, columns = (side // BLOCK for side in plane.shape)
    blocks = plane[: rows * BLOCK, : columns * BLOCK].reshape(rows, BLOCK, columns, BLOCK)
    magnitudes = np.abs(np.concatenate([np.einsum(e, blocks, *LOWEST).ravel() for e in ("aibj,i,j", "aibj,j,i")]))
    some = magnitudes[magnitudes > LEAST_COEFFICIENT]
    return float(np.log(np.percentile(some, LEAST))) if len(some) >= LEAST_WINDOWS else float(np.log(LEAST_COEFFICIENT))
