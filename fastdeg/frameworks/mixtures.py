"""Several boxes of cells whose mixture is near to a distribution."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog, nnls
from scipy.sparse import csr_array, hstack

from fastdeg._types import Float
from fastdeg.frameworks.boxes import Box, WeightedBox, bounding, slices, volume

MOST_SWEEPS = 20
MOST_CELLS = 3000  # of a grid on which weights are found by transport
BEST_TRIALS = 4
SCALES = (0.05, 0.2, 0.8)  # of the kernel, in shares of an axis


def several(mass: Float, volumes: list[Float], places: list[Float], count: int) -> list[WeightedBox]:
    """Return ``count`` boxes, which may overlap, whose mixture is near to the mass.

    Near in the sense of a kernel, a sum of products exp(−|x − y| / h) over scales h: its squared distance is quadratic
    in the weights, and for the ends of a box along one axis all runs of cells can be looked at together. Boxes are
    moved so one after the other until nothing gains. A box more begins as the other half of the likeliest cut of one,
    inside one, or as the cell that lacks most; the best of these is kept. On small grids the weights are those of the
    least earth mover's distance in the end. ``places`` are the cells along each axis, standardised.
    """
    fit = _Fit(mass, volumes, places)
    best = fit.moved([bounding(mass)])
    trials = [best]
    while len(best[1]) < count:
        lacking = mass - sum(w * fit.density(box) for box, w in zip(*best[1:], strict=True))
        cell = np.unravel_index(int(np.argmax(lacking)), mass.shape)
        starts = [*_starts(mass, volumes, best[1]), [*best[1], tuple((int(i), int(i) + 1) for i in cell)]]
        trials = sorted((fit.moved(start) for start in starts), key=lambda trial: trial[0])
        if trials[0][0] >= best[0] * (1 - 1e-9):
            trials = [best]
            break
        best = trials[0]
    _, boxes, weights = best
    if mass.size <= MOST_CELLS:
        ends = [(*fit.transported(boxes), boxes) for _, boxes, _ in trials[:BEST_TRIALS]]
        _, weights, boxes = min(ends, key=lambda end: end[0])
    return [WeightedBox(float(w), box) for w, box in zip(weights / weights.sum(), boxes, strict=True) if w > 0]


def _starts(mass: Float, volumes: list[Float], boxes: list[Box]) -> Iterator[list[Box]]:
    """Yield lists of one box more: one of them cut in two, or one of them twice, the second time its middle half."""
    for i, box in enumerate(boxes):
        cut = _best_cut(mass, volumes, box)
        if cut is not None:
            yield [*boxes[:i], *cut, *boxes[i + 1 :]]
        inner = tuple((a + (b - a) // 4, b - (b - a) // 4) for a, b in box)
        if inner != box:
            yield [*boxes, inner]


class _Fit:
    """The squared kernel distance of mixtures of boxes to a mass on a grid."""

    def __init__(self, mass: Float, volumes: list[Float], places: list[Float]) -> None:
        self.mass, self.volumes, self.places = mass, volumes, places
        self.kernels = [[np.exp(-np.abs(x[:, None] - x) / h) for x in places] for h in SCALES]
        self.runs = [np.array(list(itertools.combinations(range(len(v) + 1), 2))) for v in volumes]
        self.lengths = [_of_runs(v, r) for v, r in zip(volumes, self.runs, strict=True)]
        self.squares = [
            [self._squares(kernel, axis) for axis, kernel in enumerate(of_scale)] for of_scale in self.kernels
        ]

    def _squares(self, kernel: Float, axis: int) -> Float:
        """Return the squared norm of the uniform distribution on each run of an axis."""
        v, runs = self.volumes[axis], self.runs[axis]
        sums = _of_runs(kernel * v[:, None] * v, runs)
        total = np.concatenate((np.zeros((len(sums), 1)), sums.cumsum(axis=1)), axis=1)
        rows = np.arange(len(sums))
        return (total[rows, runs[:, 1]] - total[rows, runs[:, 0]]) / self.lengths[axis] ** 2

    def moved(self, boxes: list[Box]) -> tuple[float, list[Box], Float]:
        """Move boxes along axes, one at a time, while the mixture comes nearer; return distance, boxes and weights."""
        boxes = list(boxes)
        weights = self._weights(boxes)
        for _ in range(MOST_SWEEPS):
            before = list(boxes)
            residual = self._residual(boxes, weights)
            for i, axis in itertools.product(range(len(boxes)), range(self.mass.ndim)):
                residual += weights[i] * self.density(boxes[i])
                boxes[i], weights[i] = self._best_run(residual, boxes[i], axis)
                residual -= weights[i] * self.density(boxes[i])
            weights = self._weights(boxes)
            if boxes == before:
                break
        return self._distance(self._residual(boxes, weights)), boxes, weights

    def _best_run(self, residual: Float, box: Box, axis: int) -> tuple[Box, float]:
        """Return the box with the best ends along one axis, and the weight that it should have."""
        inner, square = np.zeros(len(self.runs[axis])), np.zeros(len(self.runs[axis]))
        for of_scale, own in zip(self.kernels, self.squares, strict=True):
            along, rest = residual, 1.0
            for k in reversed(range(self.mass.ndim)):
                if k != axis:
                    u = self._uniform(box, k)
                    smooth = of_scale[k] @ u
                    along = np.tensordot(along, smooth, (k, 0))
                    rest *= float(u @ smooth)
            sums = _of_runs((of_scale[axis] @ along) * self.volumes[axis], self.runs[axis])
            inner += sums / self.lengths[axis]
            square += rest * own[axis]
        best = int(np.argmax(np.maximum(inner, 0) ** 2 / square))
        first, end = self.runs[axis][best]
        return (*box[:axis], (int(first), int(end)), *box[axis + 1 :]), float(max(inner[best], 0.0) / square[best])

    def _weights(self, boxes: list[Box]) -> Float:
        """Return the weights >= 0 of boxes that are nearest to the mass."""
        n = len(boxes)
        gram, inner = np.zeros((n, n)), np.zeros(n)
        for of_scale in self.kernels:
            product = np.ones((n, n))
            smooth = self.mass
            for k, kernel in enumerate(of_scale):
                u = np.stack([self._uniform(box, k) for box in boxes])
                product *= u @ kernel @ u.T
                smooth = np.moveaxis(np.tensordot(kernel, smooth, (1, k)), 0, k)
            gram += product
            inner += [float((smooth * self.density(box)).sum()) for box in boxes]
        values, vectors = np.linalg.eigh(gram)
        root = np.sqrt(np.maximum(values, values[-1] * 1e-12))
        return nnls(root[:, None] * vectors.T, (vectors.T @ inner) / root)[0]

    def transported(self, boxes: list[Box]) -> tuple[float, Float]:
        """Return the least earth mover's distance of a mixture of boxes, city-block along the axes, and its weights.

        A linear program: flows between neighbouring cells take the mixture to the mass.
        """
        cells = np.arange(self.mass.size).reshape(self.mass.shape)
        pairs, costs = [], []
        for k, x in enumerate(self.places):
            one, other = np.take(cells, range(len(x) - 1), k), np.take(cells, range(1, len(x)), k)
            steps = np.diff(x).reshape([-1 if j == k else 1 for j in range(cells.ndim)])
            for ends in ((one, other), (other, one)):
                pairs.append(np.stack([end.ravel() for end in ends]))
                costs.append(np.broadcast_to(steps, one.shape).ravel())
        (sources, sinks), cost = np.concatenate(pairs, axis=1), np.concatenate(costs)
        arcs = np.arange(len(cost))
        values = np.concatenate((np.ones(len(cost)), -np.ones(len(cost))))
        rows, columns = np.concatenate((sources, sinks)), np.concatenate((arcs, arcs))
        flow = csr_array((values, (rows, columns)), (self.mass.size, len(cost)))
        boxed = np.stack([self.density(box).ravel() for box in boxes], axis=1)
        found = linprog(
            np.concatenate((cost, np.zeros(len(boxes)))), A_eq=hstack([flow, -boxed]), b_eq=-self.mass.ravel()
        )
        return float(found.fun), np.maximum(found.x[len(cost) :], 0)

    def _residual(self, boxes: list[Box], weights: Float) -> Float:
        return self.mass - sum(w * self.density(box) for w, box in zip(weights, boxes, strict=True))

    def _distance(self, residual: Float) -> float:
        total = 0.0
        for of_scale in self.kernels:
            smooth = residual
            for k, kernel in enumerate(of_scale):
                smooth = np.moveaxis(np.tensordot(kernel, smooth, (1, k)), 0, k)
            total += float((smooth * residual).sum())
        return total

    def _uniform(self, box: Box, axis: int) -> Float:
        a, b = box[axis]
        along = np.zeros(self.mass.shape[axis])
        along[a:b] = self.volumes[axis][a:b] / self.volumes[axis][a:b].sum()
        return along

    def density(self, box: Box) -> Float:
        """Return the distribution that is uniform in a box."""
        out: Float = np.ones(())
        for axis in range(self.mass.ndim):
            out = np.multiply.outer(out, self._uniform(box, axis))
        return out


def _of_runs(values: Float, runs: NDArray[np.intp]) -> Float:
    """Return the sums over runs along the first axis."""
    total = np.concatenate((np.zeros((1, *values.shape[1:])), values.cumsum(axis=0)))
    return total[runs[:, 1]] - total[runs[:, 0]]


def _best_cut(mass: Float, volumes: list[Float], box: Box) -> tuple[Box, Box] | None:
    """Return the halves of a box, as tight as can be, under which the mass is likeliest, if uniform within each."""
    held = mass[slices(box)]
    total, best, found = held.sum(), 1e-12, None
    for k, (a, b) in enumerate(box):
        along = held.sum(axis=tuple(j for j in range(held.ndim) if j != k))
        for at in range(a + 1, b):
            gain, halves = 0.0, []
            for part in ((a, at), (at, b)):
                m = along[part[0] - a : part[1] - a].sum()
                half = (*box[:k], part, *box[k + 1 :])
                if m > 0:
                    half = _tightened(mass, half)
                    gain += m * np.log(m / total * volume(volumes, box) / volume(volumes, half))
                halves.append(half)
            if gain > best:
                best, found = float(gain), (halves[0], halves[1])
    return found


def _tightened(mass: Float, box: Box) -> Box:
    ends = bounding(mass[slices(box)])
    return tuple((a + low, a + high) for (a, _), (low, high) in zip(box, ends, strict=True))
