"""Selection of diverse points by their distances to the nearest of those already chosen."""

from __future__ import annotations

import numpy as np
from numba import prange

from fastdeg.kernels._jit import kernel, parallel_kernel

BLOCK = 2_048  # points of one thread in a row


@kernel
def squared_distance(a, b):
    """Squared euclidean distance in float64, summed in the order of the axes."""
    total = 0.0
    for j in range(a.shape[0]):
        difference = np.float64(a[j]) - np.float64(b[j])
        total += difference * difference
    return total


@parallel_kernel
def update_nearest(x, index, n_chosen, nearest):
    """Insert the distance to the point ``index``, the ``n_chosen``-th chosen from zero, into each row's K smallest.

    ``nearest`` (n, K) holds the K smallest distances in ascending order, as many as points are chosen.
    """
    n, n_neighbors = nearest.shape
    for block in prange((n + BLOCK - 1) // BLOCK):
        for i in range(block * BLOCK, min(n, (block + 1) * BLOCK)):
            distance = np.sqrt(squared_distance(x[i], x[index]))
            position = min(n_chosen, n_neighbors)
            if position == n_neighbors:
                if distance >= nearest[i, n_neighbors - 1]:
                    continue
                position -= 1
            while position > 0 and nearest[i, position - 1] > distance:
                nearest[i, position] = nearest[i, position - 1]
                position -= 1
            nearest[i, position] = distance


@parallel_kernel
def distance_to_set(x, chosen, out):
    """Write each point's distance to the nearest chosen one."""
    n = x.shape[0]
    for block in prange((n + BLOCK - 1) // BLOCK):
        for i in range(block * BLOCK, min(n, (block + 1) * BLOCK)):
            smallest = np.inf
            for j in range(chosen.shape[0]):
                smallest = min(smallest, squared_distance(x[i], x[chosen[j]]))
            out[i] = np.sqrt(smallest)


@kernel
def most_diverse(candidates, taken, nearest, n_chosen):
    """Position of the free candidate with the largest mean distance to its K nearest chosen points (ties: first)."""
    count = min(n_chosen, nearest.shape[1])
    largest = -1.0
    best = -1
    for position in range(candidates.shape[0]):
        i = candidates[position]
        if taken[i]:
            continue
        total = 0.0
        for j in range(count):
            total += nearest[i, j]
        if total > largest:
            largest = total
            best = position
    return best
