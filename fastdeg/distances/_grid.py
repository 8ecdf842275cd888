"""Driver of the cityblock earth mover's distance on a grid, from coarse to fine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fastdeg.distances._network import Solution, n_pivots, optimise, optimise_pieces, rounding
from fastdeg.kernels.transport.grid import balanced_integers, grid_tree, match_on_tree
from fastdeg.kernels.transport.tree import NONE, Tree, new_tree, tree_flows

COARSEST = 100  # grid points at which halving ends

Floats = NDArray[np.float64]


def solve_grid(
    a: Floats, b: Floats, coordinates: Sequence[Floats], threads: int | None = None
) -> tuple[Solution, Tree]:
    """Cityblock transport between arrays of masses a and b of the grid's shape, each of sum one; no checks.

    Low-overhead entry for repeated calls: value and potentials. The plan is left to `grid_plan`, from the tree.
    """
    supply = (a - b).reshape(-1)
    shape = a.shape
    if supply.size == 1:
        return _solution(0.0, np.zeros(shape), 0.0, 0), new_tree(1)
    masses = np.empty(supply.size, np.int64)
    balanced_integers(supply, masses)
    tree = _solve_level(masses.reshape(shape), coordinates, threads)
    flow = np.empty(supply.size)
    tree_flows(tree, supply.copy(), flow)
    value = float((np.abs(flow) * tree.cost).sum())
    u = lipschitz(-tree.potential.reshape(shape), coordinates)
    gap = max(0.0, value - float((u.reshape(-1) * supply).sum()))
    return _solution(value, u, gap, n_pivots(tree)), tree


def _solution(value: float, u: Floats, gap: float, pivots: int) -> Solution:
    none = np.empty(0, np.int64)
    return Solution(value, u, -u, gap, pivots, none, none, np.empty(0))


def grid_plan(a: Floats, b: Floats, tree: Tree) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """Sources, sinks and flows of the plan that follows the tree's flow."""
    a, b = a.reshape(-1), b.reshape(-1)
    common = np.minimum(a, b)
    stay = np.flatnonzero(common)
    sources, sinks, flows = np.empty(a.size, np.int64), np.empty(a.size, np.int64), np.empty(a.size)
    count = match_on_tree(tree, a - b, sources, sinks, flows) if a.size > 1 else 0
    return (
        np.concatenate([sources[:count], stay]),
        np.concatenate([sinks[:count], stay]),
        np.concatenate([flows[:count], common[stay]]),
    )


def lipschitz(u: Floats, coordinates: Sequence[Floats]) -> Floats:
    """The largest array below u that changes by no more than the distance between grid points (removes rounding)."""
    u = u.copy()
    for axis, along in enumerate(coordinates):
        line = np.moveaxis(u, axis, 0)
        steps = np.diff(along)
        for k in range(steps.size):
            line[k + 1] = np.minimum(line[k + 1], line[k] + steps[k])
        for k in range(steps.size - 1, -1, -1):
            line[k] = np.minimum(line[k], line[k + 1] + steps[k])
    return u


def _solve_level(masses: NDArray[np.int64], coordinates: Sequence[Floats], threads: int | None) -> Tree:
    """Optimal tree for integer masses of the grid's shape."""
    shape = masses.shape
    tails, heads, costs = _edges(shape, coordinates)
    if masses.size <= COARSEST:
        order = np.argsort(costs)
    else:
        coarse = [_pairs(along) for along in coordinates]
        merged = masses
        for axis in range(masses.ndim):
            merged = np.add.reduceat(merged, np.arange(0, shape[axis], 2), axis=axis)
        tree = _solve_level(merged, coarse, threads)
        potential = tree.potential.reshape(merged.shape)
        cell = np.arange(merged.size).reshape(merged.shape)
        for axis, along in enumerate(coordinates):
            potential = _interpolate(potential, axis, coarse[axis], along)
            cell = np.take(cell, np.arange(along.size) // 2, axis)
        order = np.argsort(_start_costs(tails, heads, costs, potential.reshape(-1), cell.reshape(-1), tree))
    tree = new_tree(masses.size)
    if not grid_tree(order, tails, heads, costs, masses.reshape(-1), tree):
        raise AssertionError("transport: the first basis is not a spanning tree")
    tolerance = rounding(tree, float(costs.max()))
    optimise_pieces(tree, tails, heads, costs, tails.size, tolerance, threads, undirected=True)
    optimise(tree, tails, heads, costs, tails.size, tolerance, undirected=True)
    return tree


def _start_costs(
    tails: NDArray[np.uint32],
    heads: NDArray[np.uint32],
    costs: Floats,
    potential: Floats,
    cell: NDArray[np.int64],
    coarse: Tree,
) -> Floats:
    """Preference of the edges for the first tree: edges in or between cells as the coarse tree joins them come first.

    Among these the ones of least reduced cost under the interpolated potentials.
    """
    parent = np.where(coarse.parent == NONE, -1, coarse.parent.astype(np.int64))
    c, d = cell[tails], cell[heads]
    apart = (c != d) & (parent[c] != d) & (parent[d] != c)
    slack = costs - np.abs(potential[tails] - potential[heads])
    return slack + apart * (10 * costs.max())


def _edges(
    shape: tuple[int, ...], coordinates: Sequence[Floats]
) -> tuple[NDArray[np.uint32], NDArray[np.uint32], Floats]:
    """Edges between neighbours, sorted by their first node."""
    nodes = np.arange(int(np.prod(shape)), dtype=np.uint32).reshape(shape)
    tails, heads, costs = [], [], []
    for axis, along in enumerate(coordinates):
        line = np.moveaxis(nodes, axis, 0)
        steps = np.diff(along).reshape((-1,) + (1,) * (nodes.ndim - 1))
        tails.append(line[:-1].ravel())
        heads.append(line[1:].ravel())
        costs.append(np.broadcast_to(steps, line[1:].shape).ravel())
    tail = np.concatenate(tails)
    order = np.argsort(tail, kind="stable")
    return tail[order], np.concatenate(heads)[order], np.concatenate(costs)[order]


def _pairs(along: Floats) -> Floats:
    """Middles of each two neighbours, the last one alone where their number is odd."""
    return np.add.reduceat(along, np.arange(0, along.size, 2)) / np.bincount(np.arange(along.size) // 2)


def _interpolate(values: Floats, axis: int, coarse: Floats, fine: Floats) -> Floats:
    """Linear interpolation along one axis."""
    place = np.interp(fine, coarse, np.arange(coarse.size, dtype=float))
    low = np.minimum(place.astype(np.int64), max(coarse.size - 2, 0))
    share = (place - low).reshape((-1,) + (1,) * (values.ndim - axis - 1))
    high = np.minimum(low + 1, coarse.size - 1)
    return np.take(values, low, axis) * (1 - share) + np.take(values, high, axis) * share
