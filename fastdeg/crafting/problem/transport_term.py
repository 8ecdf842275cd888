"""The earth mover's term of the crafting problem: a plan on arcs, or a flow along a grid's edges."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fastdeg._types import Float
from fastdeg.crafting.strategy import current
from fastdeg.distances.transport import emd
from fastdeg.kernels.crafting.interior.plan import c_transform, row_transform
from fastdeg.transport.grid import solve_grid
from fastdeg.transport.metrics import METRICS, ground_costs

PRICED_AT_ONCE = 64  # arcs of a c-transform that count as one elementary operation


@dataclass(frozen=True)
class Geometry:
    """Where ground costs come from: weight times a metric between points.

    Attributes
    ----------
    bins, sinks : ndarray, shapes (N, d) and (K, d)
    metric : str
    weight : float
    positions : ndarray of int, shape (K,), or None
        The bins that the sinks are, where p may use all of them.
    """

    bins: Float
    sinks: Float
    metric: str
    weight: float
    positions: NDArray[np.intp] | None = None

    def costs(self) -> Float:
        """Return the weighted ground costs (K, N)."""
        return np.ascontiguousarray(self.weight * ground_costs(self.sinks, self.bins, self.metric))


@dataclass(frozen=True)
class PlanTransport:
    """The earth mover's term w_W · W_c(p, q) by its ground costs: only bins with q > 0 are sinks.

    Attributes
    ----------
    masses : ndarray, shape (K,)
        q at the sinks.
    geometry : Geometry or None
        What the costs come from; None where they are given.
    given : ndarray, shape (K, N), or None
        The costs otherwise.
    flow : GridTransport or None
        The same term as a flow, on grids with the city-block metric.
    by_flow : bool
        Whether the methods for flows are the faster ones where the forest of flows determines p.
    """

    masses: Float
    geometry: Geometry | None = None
    given: Float | None = None
    flow: GridTransport | None = None
    by_flow: bool = False

    @cached_property
    def costs(self) -> Float:
        """Weighted ground costs (K, N) from each bin that p may use to each sink, a row for each sink."""
        if self.geometry is None:
            assert self.given is not None
            return self.given
        return self.geometry.costs()

    @property
    def absent(self) -> bool:
        """Whether no mass need be moved anywhere: w_W = 0."""
        return len(self.masses) == 1 and not self.costs.any()

    @cached_property
    def largest(self) -> float:
        return max(float(self.costs.max()), -float(self.costs.min()))

    def c_transform(self, psi: Float, threads: int | None = None) -> Float:
        """Return the largest potential φ of the bins with φ[i] + psi[j] ≤ cost[j, i]."""
        phi = np.empty(self.costs.shape[1])
        c_transform(self.costs, psi, phi, threads=threads, work=self.costs.size // PRICED_AT_ONCE)
        return phi

    def row_transform(self, phi: Float, threads: int | None = None) -> tuple[Float, NDArray[np.int64]]:
        """Return the largest potential ψ of the sinks with phi[i] + ψ[j] ≤ cost[j, i], and the bins where it meets."""
        psi, nearest = np.empty(self.costs.shape[0]), np.empty(self.costs.shape[0], np.int64)
        row_transform(self.costs, phi, psi, nearest, threads=threads, work=self.costs.size // PRICED_AT_ONCE)
        return psi, nearest

    def exact(self, p: Float, threads: int | None = None) -> float:
        """Return the cost of an optimal plan from p to q."""
        if self.flow is not None:
            return self.flow.exact(p, threads)
        geometry = self.geometry
        if geometry is None or len(self.masses) <= current().sinks_by_costs or METRICS[geometry.metric].code is None:
            return float(emd(p, self.masses, cost=self.costs.T, threads=threads).value)
        if geometry.positions is None:
            result = emd(p, self.masses, geometry.bins, geometry.sinks, metric=geometry.metric, threads=threads)
        else:
            q = np.zeros_like(p)
            q[geometry.positions] = self.masses
            result = emd(p, q, geometry.bins, metric=geometry.metric, threads=threads)
        return geometry.weight * float(result.value)

    def independent(self, p: Float) -> float:
        """Return the cost of the plan in which sources and sinks are independent."""
        return float(self.masses @ (self.costs @ p))

    def target_pmf(self) -> Float | None:
        """Return the p that is q; None where p may not use all of its bins, or nothing tells where the sinks are."""
        if self.geometry is None or self.geometry.positions is None:
            return None
        q = np.zeros(len(self.geometry.bins))
        q[self.geometry.positions] = self.masses
        return q


@dataclass(frozen=True)
class GridTransport:
    """The earth mover's term on a grid with the weighted city-block metric, as a flow along the grid's edges.

    The grid is held with its longest axis last, where rows are contiguous: see `on`.

    Attributes
    ----------
    coordinates, variances : tuple of ndarray
        Standardised centres and within-cell variances along each axis.
    axes : tuple of int
        Which axis of the bins each axis of the grid is.
    weight : float
    target : ndarray, shape (cells,)
        q on the whole grid.
    cells : ndarray of int
        The cell of each bin that p may use.
    """

    coordinates: tuple[Float, ...]
    variances: tuple[Float, ...]
    axes: tuple[int, ...]
    weight: float
    target: Float
    cells: NDArray[np.intp]
    absent = False

    @classmethod
    def on(
        cls,
        coordinates: tuple[Float, ...],
        variances: tuple[Float, ...],
        weight: float,
        target: Float,
        usable: NDArray[np.intp],
    ) -> GridTransport:
        """Lay out bins in C order, of which ``usable`` may be used, with the longest axis last."""
        shape = tuple(len(c) for c in coordinates)
        longest = max(range(len(shape)), key=lambda k: (shape[k], k))
        axes = (*(k for k in range(len(shape)) if k != longest), longest)
        index = np.unravel_index(usable, shape)
        cells = np.ravel_multi_index(tuple(index[k] for k in axes), tuple(shape[k] for k in axes))
        laid_out = np.ascontiguousarray(target.reshape(shape).transpose(axes)).ravel()
        return cls(
            tuple(coordinates[k] for k in axes), tuple(variances[k] for k in axes), axes, weight, laid_out, cells
        )

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(len(c) for c in self.coordinates)

    @cached_property
    def steps(self) -> Float:
        """Weighted lengths of the steps along each axis, shape (d, longest axis); 0 beyond the end."""
        steps = np.zeros((len(self.coordinates), max(self.shape)))
        for row, c in zip(steps, self.coordinates, strict=True):
            row[: len(c) - 1] = self.weight * np.diff(c)
        return steps

    @cached_property
    def shortest_steps(self) -> Float:
        """The least weighted length of a step along each axis; ∞ where there is none."""
        return np.array([self.weight * float(np.diff(c).min(initial=np.inf)) for c in self.coordinates])

    def reach(self, cost: float) -> float:
        """Return about how many cells lie within a cost from a cell along each axis: those of a box."""
        return float(np.minimum(1 + 2 * cost / self.shortest_steps, self.shape).prod())

    @property
    def exactly_solvable(self) -> bool:
        """Whether it is small enough for exact transport on the way."""
        return len(self.target) <= current().exact_bins

    @cached_property
    def _in_order(self) -> bool:
        return len(self.cells) == len(self.target) and self.axes == tuple(range(len(self.axes)))

    def target_pmf(self) -> Float | None:
        """Return the p that is q; None where p may not use all of its bins."""
        q = self.extract(self.target)
        return q if q.sum() > 1 - 1e-12 else None

    def embed(self, values: Float) -> Float:
        """Return values of the usable bins on the whole grid, 0 elsewhere."""
        if self._in_order:
            return values
        full = np.zeros_like(self.target)
        full[self.cells] = values
        return full

    def extract(self, values: Float) -> Float:
        """Return values of the whole grid at the usable bins."""
        return values if self._in_order else values[self.cells]

    def merged(self, p: Float, most: int) -> tuple[Float, Float, list[Float], int]:
        """Return p and q on a grid of at most so many cells, with its coordinates and how many were merged along an
        axis."""
        a, b, coordinates = self.embed(p).reshape(self.shape), self.target.reshape(self.shape), list(self.coordinates)
        merged = 1
        while a.size > most:
            merged *= 2
            for axis, n in enumerate(a.shape):
                first = np.arange(0, n, 2)
                a, b = np.add.reduceat(a, first, axis), np.add.reduceat(b, first, axis)
                coordinates[axis] = np.add.reduceat(coordinates[axis], first) / np.diff(first, append=n)
        return a, b, coordinates, merged

    def exact(self, p: Float, threads: int | None = None) -> float:
        """Return the cost of an optimal flow from p to q."""
        a, b = self.embed(p).reshape(self.shape), self.target.reshape(self.shape)
        return self.weight * solve_grid(a, b, self.coordinates, threads)[0].value

    def independent(self, p: Float) -> float:
        """Return the cost of the plan in which sources and sinks are independent."""
        total, a, b = 0.0, self.embed(p).reshape(self.shape), self.target.reshape(self.shape)
        for k, c in enumerate(self.coordinates):
            others = tuple(axis for axis in range(len(self.shape)) if axis != k)
            below_a, below_b = a.sum(axis=others).cumsum()[:-1], b.sum(axis=others).cumsum()[:-1]
            # between two levels passes what starts on one side and ends on the other
            total += float(np.diff(c) @ (below_a * (b.sum() - below_b) + (a.sum() - below_a) * below_b))
        return self.weight * total
