"""Small transport problems in one compiled call: by a cost matrix, between points, or masses of the same points."""

from __future__ import annotations

import numpy as np

from fastdeg.kernels._jit import kernel
from fastdeg.kernels.linalg.elementary import assign
from fastdeg.kernels.transport.cost_matrix import column_minima, greedy_basis_of_rows, row_minima
from fastdeg.kernels.transport.metrics import costs_from
from fastdeg.kernels.transport.network.initial_basis import tree_of
from fastdeg.kernels.transport.network.pricing import Arcs
from fastdeg.kernels.transport.network.simplex import BUDGET, PAUSED, search
from fastdeg.kernels.transport.network.tree import PIVOTS, read_plan


@kernel
def solve_small(a, b, x, y, cost, metric, common_stays, tolerance):
    """Status, pivots, potentials u and v, plan (value, sources, sinks, flows) for masses a and b of sum one.

    All arcs are in the list from the start. ``cost``: the matrix, without rows where points x and y are given. Common
    mass stays where it is, if told so: for the same points under a metric. ``tolerance``: reduced costs below this
    share of the largest cost or potential are rounding.
    """
    n, m = a.shape[0], b.shape[0]
    rows, columns = np.empty(n, np.int64), np.empty(m, np.int64)
    left_a, left_b = np.empty(n), np.empty(m)
    n_rows, n_columns = 0, 0
    moved, taken = 0.0, 0.0
    for i in range(n):
        left = a[i] - min(a[i], b[i]) if common_stays else a[i]
        if left > 0 or not common_stays:
            rows[n_rows] = i
            left_a[n_rows] = left
            moved += left
            n_rows += 1
    for j in range(m):
        left = b[j] - min(a[j], b[j]) if common_stays else b[j]
        if left > 0 or not common_stays:
            columns[n_columns] = j
            left_b[n_columns] = left
            taken += left
            n_columns += 1
    given = cost.shape[0] > 0
    u, v = np.zeros(n), np.zeros(m)
    sources, sinks, flows = np.empty(n + m, np.int64), np.empty(n + m, np.int64), np.empty(n + m)
    status, pivots, value, count = 0, 0, 0.0, 0
    if n_rows > 0 and n_columns > 0:
        from_rows, largest = np.empty((n_rows, n_columns)), 0.0
        tails, heads = np.empty(n_rows * n_columns, np.uint32), np.empty(n_rows * n_columns, np.uint32)
        targets = np.empty((y.shape[1], n_columns))
        for j in range(0 if given else n_columns):
            for k in range(y.shape[1]):
                targets[k, j] = y[columns[j], k]
        for i in range(n_rows):
            if given:
                assign(from_rows[i], cost[i])
            else:
                costs_from(metric, x[rows[i]], targets, from_rows[i])
            for j in range(n_columns):
                largest = max(largest, abs(from_rows[i, j]))
                tails[i * n_columns + j] = i
                heads[i * n_columns + j] = n_rows + j
        mass_a, mass_b, w = np.empty(n_rows), np.empty(n_columns), np.empty(n_columns)
        order = np.empty(n_rows, np.int64)
        for i in range(n_rows):  # loops here and below: arithmetic with arrays takes long to compile
            mass_a[i] = left_a[i] / moved
            order[i] = i
        for j in range(n_columns):
            mass_b[j] = left_b[j] / taken
        column_minima(from_rows, w)
        tree, _ = tree_of(greedy_basis_of_rows(from_rows, mass_a, mass_b, order, w))
        for k in range(n_rows + n_columns):
            largest = max(largest, abs(tree.potential[k]))
        arcs = Arcs(tails, heads, from_rows.reshape(n_rows * n_columns))
        status = PAUSED
        while status == PAUSED:
            status = search(tree, arcs, tolerance < 0, tolerance * largest, np.int64(BUDGET))
        pivots = tree.info[PIVOTS]
        value, from_, to, amounts = read_plan(tree, mass_a, mass_b)
        count = from_.shape[0]
        for k in range(count):
            sources[k], sinks[k], flows[k] = rows[from_[k]], columns[to[k]], amounts[k] * moved
        value *= moved
        for j in range(n_columns):
            w[j] = tree.potential[n_rows + j]
        if common_stays:  # 1-Lipschitz, so that (u, -u) is feasible for all pairs
            costs = np.empty(n_columns)
            for i in range(n):
                costs_from(metric, x[i], targets, costs)
                u[i] = np.inf
                for j in range(n_columns):
                    u[i] = min(u[i], costs[j] - w[j])
                v[i] = -u[i]
        else:
            row_minima(from_rows, w, u)
            for j in range(m):
                v[j] = w[j]
    if common_stays:
        for i in range(n):
            if min(a[i], b[i]) > 0:
                sources[count], sinks[count], flows[count] = i, i, min(a[i], b[i])
                count += 1
    return status, pivots, u, v, (value, sources[:count], sinks[:count], flows[:count])
