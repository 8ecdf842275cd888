"""What user code may call from its own ``@numba.njit`` functions; ``docs/numba.md`` has an example of each.

All run on the calling thread (put your own ``prange`` around them), release the lock where the caller does, and check
nothing: arrays are C-contiguous; samples float32 or float64, other numbers float64, labels int64. A function that
takes ``out`` or empty arrays fills them. Import the names themselves: compiled functions look up no attributes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastdeg.kernels._jit import kernel
from fastdeg.kernels.measure import binning, brute_force, candidate_grid, diversity, frechet, frechet_small
from fastdeg.kernels.measure import moments as _moments
from fastdeg.kernels.measure.binning import cell_index, regular_axes
from fastdeg.kernels.measure.brute_force import pack_centers
from fastdeg.kernels.measure.candidate_grid import build_cells
from fastdeg.kernels.measure.diversity import most_diverse
from fastdeg.kernels.measure.farthest import bucket_steps, make_buckets
from fastdeg.kernels.measure.moments import merge_into
from fastdeg.kernels.transport.compiled import emd_grid, emd_matrix, emd_points, emd_sorted, sinkhorn

__all__ = [
    "assign_cells", "assign_dense", "assign_grid", "build_cells", "cell_index", "count_grid", "distance_to_set",
    "emd_grid", "emd_matrix", "emd_points", "emd_sorted", "farthest_points", "frechet_many", "frechet_many_small",
    "label_moments", "merge_into", "moments", "most_diverse", "pack_centers", "regular_axes", "sinkhorn",
    "update_nearest",
]  # fmt: skip

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
