"""Driver of the cityblock earth mover's distance on a grid, from coarse to fine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fastdeg._threads import signals_as_raised
from fastdeg._types import Float
from fastdeg.kernels._jit import driver
from fastdeg.kernels.transport.grid import (
    COARSEST,
    balanced_integers,
    edge_preference,
    grid_edges,
    grid_tree,
    halve_grid,
    lower_to_lipschitz,
    match_on_tree,
)
from fastdeg.kernels.transport.network.pricing import Arcs
from fastdeg.kernels.transport.network.tree import Tree, new_tree, tree_flows
from fastdeg.transport.network import Solution, n_pivots, optimise, optimise_subtrees, rounding


@signals_as_raised()
def solve_grid(
    a: Float,
    b: Float,
    coordinates: Sequence[Float],
    threads: int | None = None,
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
    sizes, along = np.array(shape), np.concatenate(coordinates)
    tree = solve_levels(masses, sizes, along, threads)
    value, u = value_and_potentials(tree, supply, sizes, along)
    gap = max(0.0, value - float((u * supply).sum()))
    return _solution(value, u.reshape(shape), gap, n_pivots(tree)), tree


def _solution(value: float, u: Float, gap: float, pivots: int) -> Solution:
    none = np.empty(0, np.int64)
    return Solution(value, u, -u, gap, pivots, none, none, np.empty(0))


@driver
def value_and_potentials(
    tree: Tree, supply: Float, shape: NDArray[np.int64], coordinates: Float
) -> tuple[float, Float]:
    """Cost of the flow that the float supplies force on the tree, and potentials feasible for all pairs."""
    flow = np.empty(supply.size)
    tree_flows(tree, supply.copy(), flow)
    u = -tree.potential
    lower_to_lipschitz(u, shape, coordinates)
    return float((np.abs(flow) * tree.cost).sum()), u


@driver
def grid_plan(a: Float, b: Float, tree: Tree) -> tuple[NDArray[np.int64], NDArray[np.int64], Float]:
    """Sources, sinks and flows of the plan that follows the tree's flow, for masses in C order."""
    common = np.minimum(a, b)
    stay = np.flatnonzero(common)
    sources, sinks, flows = np.empty(a.size, np.int64), np.empty(a.size, np.int64), np.empty(a.size)
    count = match_on_tree(tree, a - b, sources, sinks, flows) if a.size > 1 else 0
    return (
        np.concatenate((sources[:count], stay)),
        np.concatenate((sinks[:count], stay)),
        np.concatenate((flows[:count], common[stay])),
    )


@driver
def solve_levels(masses: NDArray[np.int64], shape: NDArray[np.int64], coordinates: Float, threads: int | None) -> Tree:
    """Optimal tree for integer masses of the grid's points, from coarse to fine."""
    levels = [(masses, shape, coordinates)]
    while levels[-1][0].size > COARSEST:
        levels.append(halve_grid(levels[-1][0], levels[-1][1], levels[-1][2]))
    tree = new_tree(1)
    for depth in range(len(levels) - 1, -1, -1):
        masses, shape, coordinates = levels[depth]
        tails, heads, costs = grid_edges(shape, coordinates)
        preference = costs
        if depth < len(levels) - 1:
            _, coarse_shape, middles = levels[depth + 1]
            preference = edge_preference(tails, heads, costs, shape, coordinates, coarse_shape, middles, tree)
        tree = new_tree(masses.size)
        if not grid_tree(np.argsort(preference), tails, heads, costs, masses, tree):
            raise AssertionError("transport: the first basis is not a spanning tree")
        if costs.size > 0:
            arcs, tolerance = Arcs(tails, heads, costs), rounding(tree, costs.max())
            optimise_subtrees(tree, arcs, True, tolerance, threads)
            optimise(tree, arcs, True, tolerance)
    return tree
