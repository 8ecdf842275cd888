"""Pairs of degraded and clean patches: a pool in each bin to train on, and sets to judge by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

import fastdeg as fd
from bench.evidence import settings

SCALE = settings.DOWNSAMPLING


@dataclass(frozen=True)
class Pairs:
    """Luma of degraded patches (n, h, w) and of the clean ones, uint8."""

    low: NDArray[np.uint8]
    high: NDArray[np.uint8]


def gray(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return image if image.ndim == 2 else np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))


def pair(image: NDArray[np.uint8], side: int, parameters: dict[str, float], rng: np.random.Generator) -> Any:
    """Return a random crop of ``side`` degraded pixels, and the clean one."""
    reach = side * SCALE
    top, left = (int(rng.integers((n - reach) // SCALE + 1)) * SCALE for n in image.shape)
    high = image[top : top + reach, left : left + reach]
    if rng.integers(2):
        high = high[:, ::-1]
    high = np.ascontiguousarray(high)
    return fd.degrade(high, downsampling=SCALE, rng=rng, **parameters), high


def pool(images: Sequence[NDArray[np.uint8]], side: int, n: int, seed: int) -> Pairs:
    """Return n pairs in each bin, bin after bin."""
    bins, found = settings.bins(), []
    for j in range(bins.n_bins):
        rng = np.random.default_rng([seed, j])
        for values in bins.sample_within(np.full(n, j), rng):
            image = images[int(rng.integers(len(images)))]
            found.append(pair(image, side, dict(zip(settings.AXES, map(float, values), strict=True)), rng))
    return Pairs(*(np.stack(part) for part in zip(*found, strict=True)))


def within(images: Sequence[NDArray[np.uint8]], side: int, n: int, ranges: Any, seed: int) -> Pairs:
    """Return n pairs degraded uniformly within ranges."""
    rng = np.random.default_rng(seed)
    found = [pair(images[k % len(images)], side, settings.draw(ranges, rng), rng) for k in range(n)]
    return Pairs(*(np.stack(part) for part in zip(*found, strict=True)))


def pages(n: int, seed: int) -> list[NDArray[np.uint8]]:
    """Return pages of text, drawn with Matplotlib's fonts."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rng, drawn = np.random.default_rng(seed), []
    words = ("degradation", "blur", "noise", "light", "camera", "lens", "paper", "scan", "letter", "figure", "table")
    for _ in range(n):
        figure = Figure(figsize=(4, 4), dpi=100, facecolor=str(rng.uniform(0.8, 1)))
        canvas = FigureCanvasAgg(figure)
        for line in np.arange(0.95, 0, -0.07):
            text = " ".join(rng.choice(words, 7))
            family = rng.choice(["serif", "sans-serif", "monospace"])
            figure.text(0.02, line, text, family=family, size=rng.uniform(8, 15), color=str(rng.uniform(0, 0.3)))
        canvas.draw()
        drawn.append(gray(np.asarray(canvas.buffer_rgba())[..., :3].copy()))
    return drawn
