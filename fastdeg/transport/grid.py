"""Driver of the cityblock earth mover's distance on a grid, from coarse to fine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fastdeg.kernels.transport.grid import (
    COARSEST,
    balanced_integers,
    carry,
    edge_preference,
    grid_edges,
    grid_tree,
    halve_grid,
    lower_to_lipschitz,
    match_on_tree,
)
from fastdeg.kernels.transport.network.tree import Tree, new_tree, tree_flows
from fastdeg.transport.network import Solution, n_pivots, optimise, optimise_pieces, rounding

Floats = NDArray[np.float64]


def solve_grid(
    a: Floats,
    b: Floats,
    coordinates: Sequence[Floats],
    threads: int | None = None,
    preference: Floats | None = None,
    tree: Tree | None = None,
) -> tuple[Solution, Tree]:
    """Cityblock transport between arrays of masses a and b of the grid's shape, each of sum one; no checks.

    Low-overhead entry for repeated calls: value and potentials. The plan is left to `grid_plan`, from the tree.
    ``preference``: of the edges in the order of `grid_edges`, the lower the better for the first tree; by default it
    comes from coarser grids. ``tree``: the one of other masses on the same grid, to start from; it is overwritten.
    """
    supply = (a - b).reshape(-1)
    shape = a.shape
    if supply.size == 1:
        return _solution(0.0, np.zeros(shape), 0.0, 0), new_tree(1)
    masses = np.empty(supply.size, np.int64)
    balanced_integers(supply, masses)
    sizes, along = np.array(shape), np.concatenate(coordinates)
    if tree is None:
        tree = _solve_level(masses, sizes, along, threads, preference)
    else:
        carry(tree, masses)
        tails, heads, costs = grid_edges(sizes, along)
        optimise(tree, tails, heads, costs, tails.size, rounding(tree, float(costs.max())), undirected=True)
    flow = np.empty(supply.size)
    tree_flows(tree, supply.copy(), flow)
    value = float((np.abs(flow) * tree.cost).sum())
    u = -tree.potential
    lower_to_lipschitz(u, sizes, along)
    gap = max(0.0, value - float((u * supply).sum()))
    return _solution(value, u.reshape(shape), gap, n_pivots(tree)), tree


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


def _solve_level(
    masses: NDArray[np.int64],
    shape: NDArray[np.int64],
    coordinates: Floats,
    threads: int | None,
    preference: Floats | None = None,
) -> Tree:
    """Optimal tree for integer masses of the grid's points."""
    tails, heads, costs = grid_edges(shape, coordinates)
    if preference is None and masses.size <= COARSEST:
        preference = costs
    elif preference is None:
        merged, coarse_shape, middles = halve_grid(masses, shape, coordinates)
        coarse = _solve_level(merged, coarse_shape, middles, threads)
        preference = edge_preference(tails, heads, costs, shape, coordinates, coarse_shape, middles, coarse)
    tree = new_tree(masses.size)
    if not grid_tree(np.argsort(preference), tails, heads, costs, masses, tree):
        raise AssertionError("transport: the first basis is not a spanning tree")
    tolerance = rounding(tree, float(costs.max()))
    optimise_pieces(tree, tails, heads, costs, tails.size, tolerance, threads, undirected=True)
    optimise(tree, tails, heads, costs, tails.size, tolerance, undirected=True)
    return tree
