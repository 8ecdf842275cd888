"""Boxes of cells: the tightest one that keeps enough of a distribution, and several that are near to it together."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastdeg._types import Float

MOST_BOXES = 2e7  # boxes of a grid up to which all are looked at
MOST_SWEEPS = 30
SCALES = (0.05, 0.2, 0.8)  # of the kernel, in shares of an axis
Box = tuple[tuple[int, int], ...]  # from the first cell of each axis to that behind the last one


@dataclass(frozen=True)
class WeightedBox:
    """A box of cells and its probability."""

    weight: float
    box: Box


def tightest(mass: Float, volumes: list[Float], keep: float) -> Box:
    """Return the box of least volume that holds ``keep`` of the mass; where there are many, by peeling faces off."""
    bounds = _bounding(mass)
    inner = mass[_slices(bounds)]
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
        held = mass[_slices(box)]
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


def several(mass: Float, volumes: list[Float], places: list[Float], count: int) -> list[WeightedBox]:
    """Return ``count`` boxes, which may overlap, whose mixture is near to the mass.

    They begin as the leaves of a tree of densities: of all cuts of all boxes that of the best gain in likelihood. Then
    each in turn is moved along one axis, all runs of cells looked at, to where the mixture is nearest in the sense of a
    kernel, and gets the weight that is best there; until nothing gains. ``places`` are the cells along each axis,
    standardised: the kernel is a sum of products exp(−|x − y| / h) over the scales h.
    """
    boxes = [_bounding(mass)]
    while len(boxes) < count:
        cuts = [(*_best_cut(mass, volumes, box), i) for i, box in enumerate(boxes)]
        gain, axis, at, i = max(cuts, key=lambda cut: cut[0])
        if gain <= 1e-12:
            break
        a, b = boxes[i][axis]
        halves = [(*boxes[i][:axis], part, *boxes[i][axis + 1 :]) for part in ((a, at), (at, b))]
        boxes[i : i + 1] = [_tightened(mass, box) for box in halves]
    weights = np.array([mass[_slices(box)].sum() for box in boxes])
    boxes, weights = _fitted(mass, volumes, places, boxes, weights / weights.sum())
    return [WeightedBox(float(w), box) for w, box in zip(weights / weights.sum(), boxes, strict=True) if w > 0]


def _fitted(
    mass: Float, volumes: list[Float], places: list[Float], boxes: list[Box], weights: Float
) -> tuple[list[Box], Float]:
    """Move boxes along axes, one at a time, while their mixture comes nearer to the mass."""
    kernels = [[np.exp(-np.abs(x[:, None] - x) / h) for x in places] for h in SCALES]
    runs = [np.array(list(itertools.combinations(range(len(v) + 1), 2))) for v in volumes]
    lengths = [_of_runs(v, r) for v, r in zip(volumes, runs, strict=True)]
    squares = [
        [
            _of_runs(_of_runs(g * v[:, None] * v, r), r, both=True) / n**2
            for g, v, r, n in zip(of_scale, volumes, runs, lengths, strict=True)
        ]
        for of_scale in kernels
    ]
    boxes = list(boxes)

    def uniform(box: Box, axis: int) -> Float:
        a, b = box[axis]
        along = np.zeros(mass.shape[axis])
        along[a:b] = volumes[axis][a:b] / volumes[axis][a:b].sum()
        return along

    def density(box: Box) -> Float:
        out: Float = np.ones(())
        for axis in range(mass.ndim):
            out = np.multiply.outer(out, uniform(box, axis))
        return out

    residual = mass - sum(w * density(box) for w, box in zip(weights, boxes, strict=True))
    for _ in range(MOST_SWEEPS):
        moved = False
        for i, axis in itertools.product(range(len(boxes)), range(mass.ndim)):
            residual += weights[i] * density(boxes[i])
            inner, square = np.zeros(len(runs[axis])), np.zeros(len(runs[axis]))
            for of_scale, own in zip(kernels, squares, strict=True):
                along, rest = residual, 1.0
                for k in reversed(range(mass.ndim)):
                    if k != axis:
                        u = uniform(boxes[i], k)
                        along = np.tensordot(along, of_scale[k] @ u, (k, 0))
                        rest *= float(u @ of_scale[k] @ u)
                inner += _of_runs((of_scale[axis] @ along) * volumes[axis], runs[axis]) / lengths[axis]
                square += rest * own[axis]
            gain = np.maximum(inner, 0) ** 2 / square
            best = int(np.argmax(gain))
            box = (*boxes[i][:axis], (int(runs[axis][best][0]), int(runs[axis][best][1])), *boxes[i][axis + 1 :])
            moved |= box != boxes[i]
            boxes[i], weights[i] = box, max(inner[best], 0.0) / square[best]
            residual -= weights[i] * density(box)
        if not moved:
            break
    return boxes, weights


def _of_runs(values: Float, runs: NDArray[np.intp], both: bool = False) -> Float:
    """Return the sums over runs along the first axis; of a matrix summed so, over those of the other."""
    if both:
        total = np.concatenate((np.zeros((len(values), 1)), values.cumsum(axis=1)), axis=1)
        rows = np.arange(len(values))
        return total[rows, runs[:, 1]] - total[rows, runs[:, 0]]
    total = np.concatenate((np.zeros((1, *values.shape[1:])), values.cumsum(axis=0)))
    return total[runs[:, 1]] - total[runs[:, 0]]


def _best_cut(mass: Float, volumes: list[Float], box: Box) -> tuple[float, int, int]:
    """Return the gain in log-likelihood, the axis and the cell of the best cut of a box."""
    held = mass[_slices(box)]
    total, best = held.sum(), (0.0, 0, 0)
    for k, (a, b) in enumerate(box):
        along = held.sum(axis=tuple(j for j in range(held.ndim) if j != k))
        for at in range(a + 1, b):
            gain = 0.0
            for part in ((a, at), (at, b)):
                m = along[part[0] - a : part[1] - a].sum()
                if m > 0:
                    tight = _tightened(mass, (*box[:k], part, *box[k + 1 :]))
                    gain += m * np.log(m / total * _volume(volumes, box) / _volume(volumes, tight))
            if gain > best[0]:
                best = (float(gain), k, at)
    return best


def _tightened(mass: Float, box: Box) -> Box:
    bounds = _bounding(mass[_slices(box)])
    return tuple((a + low, a + high) for (a, _), (low, high) in zip(box, bounds, strict=True))


def _bounding(mass: Float) -> Box:
    """Return the smallest box that holds all mass."""
    ends = []
    for k in range(mass.ndim):
        at = np.flatnonzero(mass.any(axis=tuple(j for j in range(mass.ndim) if j != k)))
        ends.append((int(at[0]), int(at[-1]) + 1) if len(at) else (0, mass.shape[k]))
    return tuple(ends)


def _volume(volumes: list[Float], box: Box) -> float:
    return float(np.prod([v[a:b].sum() for v, (a, b) in zip(volumes, box, strict=True)]))


def _slices(box: Box | list[tuple[int, int]]) -> tuple[slice, ...]:
    return tuple(slice(a, b) for a, b in box)
