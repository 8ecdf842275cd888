"""Search for the nearest of given centres: which kernel does it, and the tables that it needs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdeg._threads import signals_as_raised
from fastdeg._types import Float
from fastdeg.kernels.measure.brute_force import assign_dense, pack_centers
from fastdeg.kernels.measure.candidate_grid import assign_cells, build_cells

MOST_AXES = 6  # with cells; above, lists of candidates are as long as the list of centres
MOST_HALVINGS = 17  # of the box: 131,072 cells


class NearestCenter:
    """Exact nearest of the centres (N, d), by squared differences in float64, ties to the lowest index.

    A table of cells is built once ``cells_after`` samples have been asked for: by default when it pays.
    """

    def __init__(self, centers: Float, cells_after: float | None = None) -> None:
        self._centers = np.ascontiguousarray(centers)
        n = len(self._centers)
        self._n_halvings = min(MOST_HALVINGS, max(6, int(np.ceil(np.log2(n))) + 5))
        self._cells_after = 2 ** (self._n_halvings - 1) if cells_after is None else cells_after
        self._samples_seen = 0
        self._cells: tuple[NDArray[Any], ...] | None = None
        self._packed: tuple[Any, ...] | None = None

    @signals_as_raised()
    def __call__(self, samples: NDArray[Any], *, threads: int | None = None) -> NDArray[np.int64]:
        """Return the nearest centre of each row, -1 for a row with NaN."""
        n, n_axes = samples.shape
        out = np.empty(n, np.int64)
        self._samples_seen += n
        if n_axes > MOST_AXES or (self._cells is None and self._samples_seen < self._cells_after):
            self._dense(samples, out, threads)
            return out
        if self._cells is None:
            self._cells = self._built()
        if assign_cells(samples, self._centers, *self._cells, out, threads=threads, work=16 * samples.size):
            rows = np.flatnonzero(out < 0)
            beyond = np.empty(len(rows), np.int64)
            self._dense(samples[rows], beyond, threads)
            out[rows] = beyond
        return out

    def _dense(self, samples: NDArray[Any], out: NDArray[np.int64], threads: int | None) -> None:
        if self._packed is None:
            self._packed = pack_centers(self._centers)
        work = samples.size * len(self._centers)
        assign_dense(samples, self._centers, *self._packed, out, threads=threads, work=work)

    def _built(self) -> tuple[NDArray[Any], ...]:
        low, high = self._centers.min(axis=0), self._centers.max(axis=0)
        with np.errstate(all="ignore"):  # where the box overflows, no sample is found to be inside
            widths = high - low
            spacing = np.prod(np.maximum(widths, 1e-3 * widths.max()) / len(self._centers) ** (1 / len(widths)))
            spacing = spacing ** (1 / len(widths))
            margin = max(spacing, 1e-6 * np.abs(self._centers).max()) or 1.0
            low, widths = low - margin, widths + 2 * margin
            counts, starts, packets = build_cells(self._centers, low, widths, self._n_halvings)
            return low, counts / widths, counts, starts, packets
