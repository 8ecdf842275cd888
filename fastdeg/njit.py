"""What user code may call from its own ``@numba.njit`` functions; ``docs/numba.md`` has an example of each.

All run on the calling thread (put your own ``prange`` around them), release the lock where the caller does, and check
nothing: arrays are C-contiguous; samples float32 or float64, other numbers float64, labels int64. A function that
takes ``out`` or empty arrays fills them. Import the names themselves: compiled functions look up no attributes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastdeg._types import Float
from fastdeg.kernels._jit import kernel
from fastdeg.kernels.measure import binning, brute_force, candidate_grid, diversity, frechet, frechet_small
from fastdeg.kernels.measure import moments as _moments
from fastdeg.kernels.measure.binning import cell_index, regular_axes
from fastdeg.kernels.measure.brute_force import pack_centers
from fastdeg.kernels.measure.candidate_grid import build_cells
from fastdeg.kernels.measure.diversity import most_diverse
from fastdeg.kernels.measure.farthest import bucket_steps, make_buckets
from fastdeg.kernels.measure.moments import merge_into
from fastdeg.kernels.transport.grid import balanced_integers
from fastdeg.kernels.transport.line import emd_sorted
from fastdeg.kernels.transport.sinkhorn import absorb, iterate, new_scaling
from fastdeg.transport import cost_matrix, grid, points

__all__ = [
    "assign_cells", "assign_dense", "assign_grid", "build_cells", "cell_index", "count_grid", "distance_to_set",
    "emd_grid", "emd_matrix", "emd_points", "emd_sorted", "farthest_points", "frechet_many", "frechet_many_small",
    "label_moments", "merge_into", "moments", "most_diverse", "pack_centers", "regular_axes", "sinkhorn",
    "update_nearest",
]  # fmt: skip

Transport = tuple[float, Float, Float, NDArray[np.int64], NDArray[np.int64], Float]

assign_cells = candidate_grid.assign_cells.serial
assign_dense = brute_force.assign_dense.serial
assign_grid = binning.assign_grid.serial
count_grid = binning.count_grid.serial
distance_to_set = diversity.distance_to_set.serial
frechet_many = frechet.frechet_many.serial
frechet_many_small = frechet_small.frechet_many_small.serial
label_moments = _moments.label_moments.serial
moments = _moments.moments.serial
update_nearest = diversity.update_nearest.serial
_grid_plan, _grid_values, _solve_grid = grid.grid_plan, grid.value_and_potentials, grid.solve_levels
_iterate, _solve_points, _solve_capped = iterate.serial, points.solve_positive, cost_matrix.solve_capped


@kernel
def farthest_points(x: NDArray[np.floating], k: int, first: int) -> NDArray[np.int64]:
    """Indices of k rows of x, the first one given: each next one is the farthest from those before it (ties: first)."""
    buckets = make_buckets(x)
    n_buckets = buckets[2][0].shape[1]
    chosen = np.full(k, first)
    nearest = np.full(x.shape[0], np.inf)
    best, best_index = np.empty(n_buckets), np.empty(n_buckets, np.int64)
    bucket_steps(x, buckets, chosen, 1, k, nearest, best, best_index)
    return chosen


@kernel
def emd_points(a: Float, b: Float, x: Float, y: Float, metric: int) -> Transport:
    """Transport of masses a at x (n, d) to b at y (m, d): ``(value, u, v, sources, sinks, flows)``.

    ``metric``: 0 euclidean, 1 sqeuclidean, 2 cityblock, 3 chebyshev. Masses need positive sums, here and below, and are
    divided by them. The potentials are feasible for all pairs.
    """
    u, v, _, (value, sources, sinks, flows) = _solve_points(a / a.sum(), b / b.sum(), x, y, metric, 1)
    return value, u, v, sources, sinks, flows


@kernel
def emd_matrix(a: Float, b: Float, cost: Float) -> Transport:
    """Transport of masses a to b for a cost matrix (n, m): ``(value, u, v, sources, sinks, flows)``.

    Infinite costs forbid; ValueError where no plan is left.
    """
    u, v, _, plan = _solve_capped(a / a.sum(), b / b.sum(), cost, 1)
    value, sources, sinks, flows = plan
    return value, u, v, sources, sinks, flows


@kernel
def emd_grid(a: Float, b: Float, shape: NDArray[np.int64], coordinates: Float) -> Transport:
    """Cityblock transport of masses a to b on a grid, its points in C order: ``(value, u, v, sources, sinks, flows)``.

    ``shape``: int64, the number of points along each axis; ``coordinates``: those along each axis, one axis after the
    other. For other metrics call `emd_points` on the points of the grid.
    """
    a, b = a / a.sum(), b / b.sum()
    masses = np.empty(a.shape[0], np.int64)
    balanced_integers(a - b, masses)
    tree = _solve_grid(masses, shape, coordinates, 1)
    value, u = _grid_values(tree, a - b, shape, coordinates)
    sources, sinks, flows = _grid_plan(a, b, tree)
    return value, u, -u, sources, sinks, flows


@kernel
def sinkhorn(a: Float, b: Float, cost: Float, reg: float, tol: float, max_iter: int) -> tuple[Float, Float, float, int]:
    """Entropic transport of masses a to b, all positive: ``(f, g, error, n_iter)``.

    The plan, for masses of sum one, is ``exp((f + g - cost) / reg)``. ``error``: sum of absolute differences between
    its marginals and the masses. Infinite costs forbid; where these leave no plan, the error stays above tol.
    """
    state = new_scaling(a.shape[0], b.shape[0])
    n_iter = _iterate(state, cost, cost.T.copy(), a / a.sum(), b / b.sum(), reg, tol, max_iter)
    absorb(state, reg)
    return state.f, state.g, state.error[0], n_iter
