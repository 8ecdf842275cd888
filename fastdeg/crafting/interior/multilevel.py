"""Coarse to fine: where the interior-point method starts on large problems, and on which arcs.

Bins and sinks that lie together are merged and the smaller problem is solved. Its potentials choose the arcs and are
where the larger one starts.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastdeg._types import Float
from fastdeg.crafting.interior.active_arcs import distinct, small_slack, some_arcs
from fastdeg.crafting.interior.method import InteriorPoint, Start
from fastdeg.crafting.problem.problem import Problem
from fastdeg.crafting.problem.transport_term import Geometry, PlanTransport
from fastdeg.crafting.solve import Run
from fastdeg.crafting.strategy import current
from fastdeg.kernels.transport.spatial import kd_order

_MERGED = 8  # bins, or sinks, in a cluster
_FEW_SINKS = 64  # are not merged any further
_MOST = 6  # arcs of a bin to begin with,
_MANY, _MOST_OF_MANY = 300_000, 4  # and of so many bins: less time and memory
_COARSE_GAP = 1e-3  # that the coarse problem is solved to, over the largest ground cost
_FIRST_GAP = 5e-2  # of the larger problem: what the potentials are wrong by


class MultilevelInteriorPoint(InteriorPoint):
    """Starts from the solution of a coarser problem, on the arcs that its potentials choose."""

    def __init__(self, problem: Problem, run: Run) -> None:
        super().__init__(problem, run, _start(problem, run))

    @staticmethod
    def applies(problem: Problem, run: Run) -> bool:
        """Return whether costs come from points, and arcs are many."""
        transport, strategy = problem.transport, current()
        if not isinstance(transport, PlanTransport) or transport.geometry is None:
            return False
        few_moments = problem.frechet.rank <= strategy.small_rank
        most = strategy.arcs_at_once if few_moments else strategy.arcs_at_once_many_moments
        return transport.costs.size > most


def _start(problem: Problem, run: Run) -> Start | None:
    """Return a start from a coarser problem; None where arcs are few."""
    transport, threads = problem.transport, run.threads
    assert isinstance(transport, PlanTransport)
    geometry = transport.geometry
    if geometry is None or transport.costs.size <= current().arcs_at_once:
        return None
    n_sinks = len(geometry.sinks)
    bins = _clusters(geometry.bins, _MERGED)
    sinks = _clusters(geometry.sinks, _MERGED if n_sinks > _FEW_SINKS else 1)
    coarse, merged = _merge(problem, transport, geometry, bins, sinks)
    method = InteriorPoint(coarse, run, _start(coarse, run))
    enough = _COARSE_GAP * transport.largest
    for _ in range(50):
        method.dual()  # lets arcs join
        if method.gap + method.dual_residual < enough or not method.advance(enough, 4):
            break
    # sinks against merged bins, then bins against sinks: the nearest pair of potentials
    assert merged.geometry is not None
    between = Geometry(merged.geometry.bins, geometry.sinks, geometry.metric, geometry.weight)
    psi, _ = PlanTransport(transport.masses, between).row_transform(method.phi, threads)
    phi = transport.c_transform(psi, threads)
    psi, nearest = transport.row_transform(phi, threads)
    most = _MOST if problem.n_bins < _MANY else _MOST_OF_MANY
    keys = small_slack(transport, psi, phi, np.inf, most, threads)
    keys = distinct(keys, nearest * n_sinks + np.arange(n_sinks))
    p = method.p[bins] * (problem.prior / coarse.prior[bins])
    return Start(phi, p, method.z, _FIRST_GAP * transport.largest, some_arcs(transport, keys))


def _clusters(points: Float, size: int) -> NDArray[np.int64]:
    """Return the cluster of each point, of `size` neighbours each."""
    order = np.arange(len(points))
    if size == 1:
        return order
    kd_order(np.ascontiguousarray(points), order)
    labels = np.empty_like(order)
    labels[order] = np.arange(len(points)) // size
    return labels


def _merge(
    problem: Problem, transport: PlanTransport, geometry: Geometry, bins: NDArray[np.int64], sinks: NDArray[np.int64]
) -> tuple[Problem, PlanTransport]:
    """Return the problem over clusters, in each of which p is in proportion to the prior."""
    prior, masses = _sums(bins, problem.prior), _sums(sinks, transport.masses)
    shares = problem.prior / prior[bins]
    merged = Geometry(
        _sums(bins, shares[:, None] * geometry.bins),
        _sums(sinks, (transport.masses / masses[sinks])[:, None] * geometry.sinks),
        geometry.metric,
        geometry.weight,
    )
    coarse = PlanTransport(masses, merged)
    frechet = problem.frechet.merged(lambda values: _sums(bins, shares[:, None] * values))
    lower, upper = _sums(bins, problem.lower), np.minimum(_sums(bins, problem.upper), 1.0)
    return Problem(frechet, problem.frechet_weight, coarse, problem.tau, prior, lower, upper), coarse


def _sums(labels: NDArray[np.int64], values: Float) -> Float:
    """Return the sums of values (n,) or (n, k) over the clusters."""
    if values.ndim == 1:
        return np.bincount(labels, values).astype(np.float64)
    sums = np.zeros((int(labels.max()) + 1, values.shape[1]))
    np.add.at(sums, labels, values)
    return sums
