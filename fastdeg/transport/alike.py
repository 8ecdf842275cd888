"""Rows, and columns, of a cost matrix that are the same: solved as one, their plan shared out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fastdeg._types import Float
from fastdeg.transport.network import Plan

MOST_DISTINCT = 0.5  # share of distinct columns up to which it pays to merge the others
AT_ONCE = 2_000_000  # entries looked at at once

Solve = Callable[[Float, Float, Float], tuple[Float, Float, int, Plan]]


def solve_distinct(a: Float, b: Float, cost: Float, solve: Solve) -> tuple[Float, Float, int, Plan]:
    """Potentials, pivots and plan, by a function that solves the problem of the distinct rows and columns.

    The network simplex takes long where many columns are alike, as the best arcs of a row all lead to these.
    """
    return _by_columns(a, b, cost, lambda a, b, cost: _by_rows(a, b, cost, solve))


def _by_rows(a: Float, b: Float, cost: Float, solve: Solve) -> tuple[Float, Float, int, Plan]:
    if alike(cost.T) is None:
        return solve(a, b, cost)
    return _turned(*_by_columns(b, a, cost.T, lambda b, a, cost: _turned(*solve(a, b, np.ascontiguousarray(cost.T)))))


def _turned(u: Float, v: Float, pivots: int, plan: Plan) -> tuple[Float, Float, int, Plan]:
    value, sources, sinks, flows = plan
    return v, u, pivots, (value, sinks, sources, flows)


def _by_columns(a: Float, b: Float, cost: Float, solve: Solve) -> tuple[Float, Float, int, Plan]:
    classes = alike(cost)
    if classes is None:
        return solve(a, b, cost)
    first, member = classes
    merged = np.bincount(member, b).astype(np.float64, copy=False)
    u, v, pivots, (value, sources, sinks, flows) = solve(a, merged, np.ascontiguousarray(cost[:, first]))
    return u, v[member], pivots, (value, *share_out(sources, sinks, flows, b, member))


def alike(cost: Float) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """The first column of each class of equal ones, and the class of each; None where few are equal."""
    n, m = cost.shape
    most = int(MOST_DISTINCT * m)
    if any(np.unique(cost[i]).size > most for i in (0, n // 2)):  # quick: by far the commonest case
        return None
    random = np.random.default_rng(0).integers(1, 2**63, (n, 1), dtype=np.uint64)
    key = np.zeros(m, np.uint64)
    step = max(1, AT_ONCE // m)
    for start in range(0, n, step):
        bits = np.ascontiguousarray(cost[start : start + step]).view(np.uint64)
        key += np.asarray((bits * random[start : start + step]).sum(axis=0))
    _, first, member = np.unique(key, return_index=True, return_inverse=True)
    if first.size > most:
        return None
    for start in range(0, n, step):
        rows = cost[start : start + step]
        if not np.array_equal(rows[:, first[member]], rows):
            return None
    return first, member


def share_out(
    sources: NDArray[np.int64], sinks: NDArray[np.int64], flows: Float, b: Float, member: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], Float]:
    """The plan of the members from that of their classes: one member after the other is filled, the largest last."""
    order = np.lexsort((b, member))
    last = np.cumsum(np.bincount(member)) - 1
    position = np.concatenate(([0], last[:-1] + 1))
    left = b[order[position]]
    shares = []
    for source, sink, flow in zip(sources.tolist(), sinks.tolist(), flows.tolist(), strict=True):
        while flow > left[sink] and position[sink] < last[sink]:
            shares.append((source, order[position[sink]], left[sink]))
            flow -= left[sink]
            position[sink] += 1
            left[sink] = b[order[position[sink]]]
        shares.append((source, order[position[sink]], flow))
        left[sink] -= flow
    rows, columns, amounts = zip(*((*pair, flow) for *pair, flow in shares if flow > 0), strict=True)
    return np.array(rows, np.int64), np.array(columns, np.int64), np.array(amounts)
