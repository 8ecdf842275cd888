"""Moments of features and targets in each bin: crops of clean images degraded, features in one pass, rank-k updates."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import starmap
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import ssyrk

from fastdeg._threads import ordered_map, single_blas_thread, thread_count
from fastdeg._types import ByValue, Float, Progress
from fastdeg.forecast import features as bank
from fastdeg.forecast.learner import Moments
from fastdeg.kernels.forecast.features import N_PIXELS, UNIT

N_GROUPS = 5  # of clean images, each judged by a learner that has seen the others
N_PATCHES = 24_000  # in each bin, of all groups together; fewer where there are many bins, which teach each other
MOST_PATCHES = 1_800_000  # in all bins
PATCHES_A_CROP = 64
CROP = 40  # side of a degraded crop
RIDGE = 5e-4  # of the mean square of a pixel; cross-fitted accuracy is flat over three orders of magnitude
_BLOCK = 4_096  # patches at a time: their features stay in the cache next to memory
_BINS_AT_ONCE = 8  # in a piece of work: elsewhere, images are sent once for all of them
_SMALLEST = bank.SIDE + 1  # side of a degraded crop with more than one patch
Draw = Callable[[int, np.random.Generator], Float]  # parameters of so many degradations
Corrupt = Callable[[NDArray[np.float32], Float, np.random.Generator], NDArray[np.uint8]]


@dataclass(frozen=True, eq=False)
class Pieces(ByValue):
    """Pieces of clean images, in grey levels, and the group of each."""

    images: list[NDArray[np.float32]]
    groups: NDArray[np.int64]


def pieces_of(images: Sequence[NDArray[np.float32]], scale: int) -> Pieces:
    """Return images in groups, every so many-th in one; few are cut in halves first, so that there are two groups.

    Two halves of an image are alike: of a single one the forecast is too good.
    """
    pieces = [_whole_blocks(image, scale) for image in images]
    while len(pieces) < 2:
        pieces = [
            _whole_blocks(part, scale)
            for piece in pieces
            for part in np.array_split(piece, 2, axis=int(piece.shape[0] < piece.shape[1]))
        ]
    groups = np.arange(len(pieces)) % min(N_GROUPS, len(pieces))
    return Pieces(pieces, groups)


def _whole_blocks(image: NDArray[np.float32], scale: int) -> NDArray[np.float32]:
    height, width = (side // scale * scale for side in image.shape)
    return np.ascontiguousarray(image[:height, :width])


def least_side(scale: int) -> int:
    """Return the least side of a clean image, in pixels; a single one is cut in two along its longer side."""
    return _SMALLEST * scale


def memory_needed(n_bins: int, n_groups: int, scale: int, threads: int) -> int:
    """Return the bytes that the moments take, and the work on them."""
    k, t = bank.N_FEATURES, scale * scale
    of_bin = 4 * (k * (k + 1) // 2 + k * t)
    return n_groups * n_bins * of_bin + threads * (2 * _BINS_AT_ONCE * of_bin + 4 * (_BLOCK * (k + t) + 2 * k * k))


def memory_at_hand() -> int | None:
    """Return the bytes of memory that are free, where the system tells."""
    try:
        with open("/proc/meminfo") as file:
            lines = dict(line.split(":", 1) for line in file)
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


class _Part(NamedTuple):
    """A piece of work: one group's images and some bins, by number, and how many crops of each image in each bin."""

    images: dict[int, NDArray[np.float32]]
    crops: NDArray[np.int64]
    draws: dict[int, Draw]


def accumulate(
    pieces: Pieces,
    draws: Sequence[Draw],
    corrupt: Corrupt,
    scale: int,
    seed: int,
    *,
    threads: int | None,
    progress: Progress | None,
) -> Moments:
    """Return the moments of as many bins as there are functions that draw degradations within one.

    Each piece has a seed of its own in each bin, each bin and group one sum: bits do not depend on where work is done.
    """
    n_groups, n_bins = int(pieces.groups.max()) + 1, len(draws)
    needed, free = memory_needed(n_bins, n_groups, scale, thread_count(threads)), memory_at_hand()
    if free is not None and needed > free:
        raise MemoryError(
            f"bins: expected bins whose moments fit in memory, got {n_bins}, which take {needed / 1e9:.1f} GB "
            f"of the {free / 1e9:.1f} GB at hand"
        )
    k, t = bank.N_FEATURES, scale * scale
    kept = np.empty((n_groups, n_bins, k * (k + 1) // 2), np.float32)
    products, squares = np.empty((n_groups, n_bins, k, t), np.float32), np.empty((n_groups, n_bins))
    areas = np.array([piece.size for piece in pieces.images], np.float64)
    shares = np.bincount(pieces.groups, areas) / areas.sum()
    blocks = [range(first, min(first + _BINS_AT_ONCE, n_bins)) for first in range(0, n_bins, _BINS_AT_ONCE)]
    jobs = [(g, block) for block in blocks for g in range(n_groups)]

    def part(g: int, block: range) -> _Part:
        members = np.flatnonzero(pieces.groups == g)
        count = max(1, round(min(N_PATCHES, MOST_PATCHES / n_bins) / PATCHES_A_CROP * shares[g]))
        crops = count // len(members) + (np.arange(len(members)) < count % len(members))
        return _Part({int(i): pieces.images[i] for i in members}, crops, {j: draws[j] for j in block})

    made = ordered_map(_means, starmap(part, jobs), corrupt, scale, seed, threads=threads)
    for done, ((g, block), means) in enumerate(zip(jobs, made, strict=True), 1):
        for j, (matrix, product, square) in zip(block, means, strict=True):
            kept[g, j], products[g, j], squares[g, j] = matrix, product, square
        if progress is not None:
            progress(done / len(jobs), "degrading clean images and summing moments")
    rows, columns = np.tril_indices(k)
    pixels = np.flatnonzero(rows == columns)[1 : 1 + N_PIXELS]
    ridge = RIDGE * float(shares @ kept[:, :, pixels].mean(axis=(1, 2), dtype=np.float64))
    return Moments(kept, products, squares, shares, ridge)


def _means(part: _Part, corrupt: Corrupt, scale: int, seed: int) -> list[tuple[NDArray[np.float32], Float, float]]:
    """Return what `_Sums.means` does for each bin of a part."""
    found = []
    with single_blas_thread():
        for j, draw in part.draws.items():
            sums = _Sums(bank.N_FEATURES, scale * scale)
            for (i, image), count in zip(part.images.items(), part.crops, strict=True):
                rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(i, j)))
                for parameters in draw(int(count), rng):
                    low, high = _degraded_crop(image, parameters, corrupt, scale, rng)
                    sums.add(low, high, rng)
            found.append(sums.means())
    return found


class _Sums:
    """Sums over patches, block by block."""

    def __init__(self, n_features: int, n_targets: int) -> None:
        self.features = np.empty((_BLOCK, n_features), np.float32)
        self.targets = np.empty((_BLOCK, n_targets), np.float32)
        self.matrix = np.zeros((n_features, n_features), np.float32, order="F")
        self.products = np.zeros((n_features, n_targets))
        self.squares, self.count, self.filled = 0.0, 0, 0

    def add(self, low: NDArray[np.uint8], high: NDArray[np.float32], rng: np.random.Generator) -> None:
        """Add random patches of a degraded image and what they shall predict."""
        if self.filled + PATCHES_A_CROP > _BLOCK:
            self._update()
        block = slice(self.filled, self.filled + PATCHES_A_CROP)
        places = bank.random_places((low.shape[0], low.shape[1]), PATCHES_A_CROP, rng)
        bank.fill(low, high, places, self.features[block], self.targets[block])
        self.filled = block.stop

    def _update(self) -> None:
        x, y = self.features[: self.filled], self.targets[: self.filled]
        bank.complete(x)
        self.matrix = ssyrk(1.0, x.T, beta=1.0, c=self.matrix, lower=0, overwrite_c=True)
        self.products += x.T @ y
        self.squares += float(np.vdot(y, y))
        self.count, self.filled = self.count + self.filled, 0

    def means(self) -> tuple[NDArray[np.float32], Float, float]:
        """Return E[f fᵀ], the rows of its lower triangle one after the other, E[f yᵀ] and E[yᵀ y]."""
        self._update()
        matrix = self.matrix.T[np.tril_indices(len(self.matrix))] / np.float32(self.count)
        return matrix, self.products / self.count, self.squares / self.count


def _degraded_crop(
    image: NDArray[np.float32], parameters: Float, corrupt: Corrupt, scale: int, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return a random crop, degraded to a ``scale``-th of its sides, and the crop."""
    sides = [min(CROP * scale, side) for side in image.shape]
    top, left = (int(rng.integers((n - s) // scale + 1)) * scale for n, s in zip(image.shape, sides, strict=True))
    high = np.ascontiguousarray(image[top : top + sides[0], left : left + sides[1]])
    low: Any = corrupt(high, parameters, rng)
    size = (sides[1] // scale, sides[0] // scale)
    if low.shape[1::-1] != size:  # the factor is drawn: what is learned is an image of the same size, whatever it was
        low = cv2.resize(low, size, interpolation=cv2.INTER_CUBIC)
    return low, high


def psnr(errors: Float, scale: int) -> Float:
    """Return decibels of mean squared errors of targets, which are counted in `UNIT` and summed over a block."""
    return 10 * np.log10(255**2 / (errors / scale**2 * UNIT**2))
