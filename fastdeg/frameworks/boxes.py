"""Boxes of cells, and the tightest one that keeps enough of a distribution."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from fastdeg._types import Float

MOST_BOXES = 3e6  # boxes of a grid up to which all are looked at
Box = tuple[tuple[int, int], ...]  # from the first cell of each axis to that behind the last one


@dataclass(frozen=True)
class WeightedBox:
    """A box of cells and its probability."""

    weight: float
    box: Box


def tightest(mass: Float, volumes: list[Float], keep: float) -> Box:
    """Return the box of least volume that holds ``keep`` of the mass; where there are many, by peeling faces off."""
    bounds = bounding(mass)
    inner = mass[slices(bounds)]
    inside = [v[a:b] for v, (a, b) in zip(volumes, bounds, strict=True)]
    needed = keep * mass.sum() * (1 - 1e-12)
    count = np.prod([n * (n + 1) / 2 for n in inner.shape])
    box = _by_search(inner, inside, needed) if count <= MOST_BOXES else _by_peeling(inner, inside, needed)
    return tuple((a + low, a + high) for (a, _), (low, high) in zip(bounds, box, strict=True))


def _by_search(mass: Float, volumes: list[Float], needed: float) -> Box:
    """Look at all boxes: sums over runs of cells along each axis in turn."""
    runs = [np.array(list(itertools.combinations(range(n + 1), 2))) for n in mass.shape]
    best: tuple[float, Box] = (np.inf, tuple((0, n) for n in mass.shape))
    lengths = [np.concatenate(([0], v.cumsum()))[r] @ [-1, 1] for v, r in zip(volumes, runs, strict=True)]
    below = np.concatenate((np.zeros((1, *mass.shape[1:])), mass.cumsum(axis=0)))
    for first, (a, b) in enumerate(runs[0]):
        part = below[b] - below[a]
        if part.sum() < needed or lengths[0][first] >= best[0]:
            continue
        sizes = np.array(lengths[0][first])
        for k, r in enumerate(runs[1:], start=1):
            total = np.concatenate(
                (np.zeros((*part.shape[: k - 1], 1, *part.shape[k:])), part.cumsum(axis=k - 1)), k - 1
            )
            part = np.take(total, r[:, 1], k - 1) - np.take(total, r[:, 0], k - 1)
            sizes = np.multiply.outer(sizes, lengths[k])
        sizes = np.where(part >= needed, sizes, np.inf)
        at = np.unravel_index(int(np.argmin(sizes)), sizes.shape)
        if sizes[at] < best[0] * (1 - 1e-12):
            rest = tuple((int(r[i][0]), int(r[i][1])) for r, i in zip(runs[1:], at, strict=True))
            best = float(sizes[at]), ((int(a), int(b)), *rest)
    return best[1]


def _by_peeling(mass: Float, volumes: list[Float], needed: float) -> Box:
    """Take off faces while enough is left, that with the least mass for its volume first."""
    box = [(0, n) for n in mass.shape]
    while True:
        held = mass[slices(box)]
        choices = []
        for k, (a, b) in enumerate(box):
            if b - a < 2:
                continue
            share = volumes[k][a:b] / volumes[k][a:b].sum()
            for side, cell in ((0, 0), (1, -1)):
                lost = float(np.take(held, cell, k).sum())
                if held.sum() - lost >= needed:
                    choices.append((lost / share[cell], k, side))
        if not choices:
            return tuple(box)
        _, k, side = min(choices)
        a, b = box[k]
        box[k] = (a + 1, b) if side == 0 else (a, b - 1)


def bounding(mass: Float) -> Box:
    """Return the smallest box that holds all mass."""
    ends = []
    for k in range(mass.ndim):
        at = np.flatnonzero(mass.any(axis=tuple(j for j in range(mass.ndim) if j != k)))
        ends.append((int(at[0]), int(at[-1]) + 1) if len(at) else (0, mass.shape[k]))
    return tuple(ends)


def volume(volumes: list[Float], box: Box) -> float:
    """Return the share of the space that a box covers."""
    return float(np.prod([v[a:b].sum() for v, (a, b) in zip(volumes, box, strict=True)]))


def slices(box: Box | list[tuple[int, int]]) -> tuple[slice, ...]:
    """Return the box as an index of arrays over the grid."""
    return tuple(slice(a, b) for a, b in box)
