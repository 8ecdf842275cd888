"""The trade-off between accuracy and generalisation: which taus a path has, and how it is solved along them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from fastdeg import _checks
from fastdeg._types import Float, Progress
from fastdeg.crafting.grid.active_set import flow_of
from fastdeg.crafting.path import endpoints
from fastdeg.crafting.path.warm_solver import WarmSolver
from fastdeg.crafting.result import CraftResult

N_POINTS = 20


def follow(solver: WarmSolver, generalizations: Any, progress: Progress | None) -> list[CraftResult]:
    """Solve along taus that rise, by default those between the endpoints of the path.

    Each from where the last one ended: flows from the target, whose forest is a start, plans from the prior.
    """
    taus = taus_between_ends(solver, N_POINTS) if generalizations is None else _checked(generalizations)
    rising = flow_of(solver.setup.problem.with_tau(1.0)) is not None
    results: list[CraftResult] = []
    for tau in taus if rising else taus[::-1]:
        result = solver.result(float(tau), None)
        results.append(result if tau == taus[-1] else replace(result, _state=None))
        if progress is not None:
            progress(len(results) / len(taus), f"tau {tau:.3g}, gap {result.gap:.1e}")
    return results if rising else results[::-1]


def taus_between_ends(solver: WarmSolver, n: int) -> Float:
    """Return n taus, geometrically spaced between the endpoints of the path."""
    last = endpoints.upper(solver.setup, solver.roughly)
    first = endpoints.lower(solver.setup, solver.roughly)
    return np.geomspace(*((first, max(last, 1.01 * first)) if first < np.inf else (last / 10, last)), n)


def _checked(generalizations: Any) -> Float:
    """Return the taus as an increasing array."""
    taus = _checks.float_array(generalizations, "generalizations", ("n",))
    if not len(taus) or taus.min() < 0 or (np.diff(taus) <= 0).any():
        raise ValueError("generalizations: expected at least one number, all >= 0 and increasing")
    return taus
