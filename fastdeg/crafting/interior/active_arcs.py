"""The arcs of a plan that the interior-point method works on: all of them, or those of small slack."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fastdeg._types import Float
from fastdeg.crafting.problem.transport_term import PRICED_AT_ONCE, PlanTransport
from fastdeg.kernels.crafting.interior import plan as kernels


@dataclass(frozen=True)
class Arcs:
    """A list of arcs by bin: those of bin i are first[i] ≤ e < first[i + 1], with rising sinks.

    Attributes
    ----------
    first : ndarray of int, shape (N + 1,)
    sink : ndarray of int, shape (E,)
    costs : ndarray, shape (E,)
    n_sinks : int
    """

    first: NDArray[np.int64]
    sink: NDArray[np.int32]
    costs: Float
    n_sinks: int

    @property
    def complete(self) -> bool:
        """Whether every bin has an arc to every sink."""
        return len(self.sink) == self.n_sinks * (len(self.first) - 1)

    @property
    def bin(self) -> NDArray[np.int32]:
        """Bin of each arc."""
        return np.repeat(np.arange(len(self.first) - 1, dtype=np.int32), np.diff(self.first))

    @property
    def keys(self) -> NDArray[np.int64]:
        """Bin · K + sink of each arc."""
        return self.bin.astype(np.int64) * self.n_sinks + self.sink

    @cached_property
    def pairs(self) -> int:
        """Pairs of arcs that share a bin: the work of one Laplacian."""
        degree = np.diff(self.first)
        return int((degree * degree).sum()) // 2


def all_arcs(transport: PlanTransport) -> Arcs:
    """Return every arc."""
    n_sinks, n_bins = transport.costs.shape
    first = np.arange(n_bins + 1) * n_sinks
    return Arcs(first, np.tile(np.arange(n_sinks, dtype=np.int32), n_bins), transport.costs.T.ravel(), n_sinks)


def some_arcs(transport: PlanTransport, keys: NDArray[np.int64]) -> Arcs:
    """Return the arcs with the given keys bin · K + sink, sorted and without repetition."""
    n_sinks, n_bins = transport.costs.shape
    bins, sink = np.divmod(keys, n_sinks)
    first = np.searchsorted(bins, np.arange(n_bins + 1))
    return Arcs(first, sink.astype(np.int32), transport.costs[sink, bins], n_sinks)


def small_slack(
    transport: PlanTransport, psi: Float, phi: Float, limit: float, most: int, threads: int | None
) -> NDArray[np.int64]:
    """Return the keys of the arcs with costs − φ − ψ below the limit, at most so many of each bin."""
    n_sinks, n_bins = transport.costs.shape
    sinks = np.empty((n_bins, min(most, n_sinks)), np.int64)
    work = transport.costs.size // PRICED_AT_ONCE
    kernels.smallest_slacks(transport.costs, psi, phi, limit, sinks, np.empty(sinks.shape), threads=threads, work=work)
    bins, place = np.nonzero(sinks >= 0)
    return np.asarray(bins * n_sinks + sinks[bins, place], np.int64)


def distinct(*keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the sorted keys of several lists, each once: nearly sorted as they are, faster than `numpy.union1d`."""
    merged = np.concatenate(keys)
    merged.sort(kind="stable")
    return merged[np.diff(merged, prepend=-1) > 0]
