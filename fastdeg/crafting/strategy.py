"""Which method solves a problem, and why: the one table where that is decided, with the thresholds that decide it.

`solve` goes down the rows and runs each method whose ``applies`` says that it can solve the problem, until one has
certified the gap: what is further down is the fallback of what is above it. Thresholds that methods look at are in
the same object. `using` changes either for the calls within:

    with strategy.using(plan_arcs=0, near_target_cells=0):  # flows along edges on grids of any size
        fd.craft(target)

Times are those of two cores (docs/performance.md). ``python -m bench.report --room crafting --only TEXT`` measures the
rows that TEXT is part of; a threshold is where the times of the two ways, one forced by `using`, are the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any


@dataclass(frozen=True)
class Row:
    """A method, the case that it is for, why it is the one to use there, and what was measured.

    ``method``: a class (see `fastdeg.crafting.solve.Method`), or its module, from `fastdeg.crafting` on, and its name.
    """

    method: Any
    case: str
    why: str
    measured: str

    def resolve(self) -> Any:
        """Return the class."""
        if not isinstance(self.method, str):
            return self.method
        module, name = self.method.split(":")
        return getattr(import_module(f"fastdeg.crafting.{module}"), name)


TABLE = (
    Row(
        "exact_cases:TargetItself",
        case="τ = 0, and p may be the target",
        why="no term is negative, so a target whose own moments are wanted is optimal as it is",
        measured="17,850 bins: 4 to 5 ms, no iteration (--only 'τ = 0')",
    ),
    Row(
        "exact_cases:Relaxation",
        case="bounds per bin, on a city-block grid",
        why="without them the active set of flows determines p, which may keep them; the lower bound holds anyway",
        measured="17,850 bins, bounds that do not bind: 41 ms, by splitting 0.48 s (--only upper)",
    ),
    Row(
        "grid.warm_start:WarmStart",
        case="city-block grid, τ > 0, no bounds; the active set of a similar problem, or a τ so small that p is near q",
        why="a network simplex on the forest of flows and Newton's method in the moments need few pivots from there",
        measured="17,850 bins, τ ≤ 0.1: 7 to 51 ms, by splitting first 30 ms more (--only 17,850)",
    ),
    Row(
        "grid.admm:GridSplitting",
        case="city-block grid whose plan has too many arcs; larger τ, bounds that bind",
        why="an iteration takes time in proportion to the bins; after some the active set is known, up to `exact_bins`",
        measured="17,850 bins, τ = 1: 67 to 94 ms; 1,178,100 bins: 3 to 16 s (python -m bench.crafting_large)",
    ),
    Row(
        "interior.moment_newton:MomentNewton",
        case="no earth mover's term, τ > 0, more than `moment_newton_bins`",
        why="p follows in closed form from the few moments, in which Newton's method takes some ten steps",
        measured="17,850 bins: 6 to 10 ms; 1,178,100 bins: 0.2 s (--only 'without transport')",
    ),
    Row(
        "interior.method:WarmInteriorPoint",
        case="any ground costs, and the solution of a similar problem",
        why="its potentials and arcs are nearly the right ones: half of the steps",
        measured="trade-off path of 75 bins: 31 ms for 20 points and their range (--only 75)",
    ),
    Row(
        "interior.multilevel:MultilevelInteriorPoint",
        case="ground costs from points, more than `arcs_at_once`",
        why="few arcs carry flow; the potentials of merged bins choose them, and reduced costs let further ones join",
        measured="1,000 and 3,000 centroids: 17 ms to 1.2 s, within 4 exact transport solves (--only centroids)",
    ),
    Row(
        "interior.method:InteriorPoint",
        case="any ground costs, up to `arcs_tried` where they come from points",
        why="certifies singular covariances, tight bounds and unreachable targets; 20 to 40 steps whatever the problem",
        measured="100 and 300 centroids: 2 to 22 ms, 10 to 132 × as fast as Clarabel (--only Clarabel)",
    ),
)


@dataclass(frozen=True)
class Strategy:
    """The rows, and the thresholds, up to which (or from which on) a way is taken; each with its unit."""

    rows: tuple[Row, ...] = TABLE

    # Plan or flow: on city-block grids, whether the earth mover's term is a plan on arcs or a flow along edges.
    # --only 17,850 with the two forced
    plan_arcs: int = 600_000  # arcs up to which it is a plan,
    plan_sinks: int = 64  # sinks up to which it is one on larger grids too,
    plan_costs: int = 40_000_000  # where the ground costs are at most so many numbers: 0.3 GB,
    flow_bins: int = 5_000  # bins from which on flows are still tried first where p follows from them
    near_target_cells: float = 5_000  # cells within reach of τ up to which the target's forest is the better start

    # Interior point or another: --only 'without transport', --only centroids
    moment_newton_bins: int = 2_000  # bins up to which the interior point is as fast without transport, and sturdier
    arcs_at_once: int = 8_000  # arcs up to which all are worked on from the start,
    arcs_at_once_many_moments: int = 1_000_000  # of more than `small_rank`: merged bins tell little then
    arcs_tried: int = 4_000_000  # arcs up to which all of them are tried where a few end in no solution
    compiled_sinks: int = 200  # sinks up to which a step is compiled as a whole, 1.9 × as fast on 75 bins (--only 75)
    sparse_sinks: int = 500  # sinks from which on a sparse Laplacian is factored as such (--only 3,000)
    steps_of_arcs: int = 100_000  # arcs times steps between certificates where all arcs are at work (--only 75)

    # Splitting and active set: --only 17,850 and python -m bench.crafting_large
    serial_cells: int = 50_000  # cells up to which launching threads costs as much as it saves
    first_active_set: tuple[int, int] = (32, 50)  # iterations until flows tell the active set, serially and in parallel
    visits_per_cell: int = 1_000  # visits of each cell on average after which pivoting gives up
    exact_bins: int = 100_000  # bins up to which transport on a grid is solved for exactly on the way

    # Small matrices: --only centroids; bench.report --room transport --only 'against 24 points'
    small_rank: int = 12  # moments' rank up to which compiled loops are faster than products of matrices
    sinks_by_costs: int = 32  # sinks up to which the transport solver is given costs rather than points


_DEFAULT = Strategy()
_current: ContextVar[Strategy] = ContextVar("strategy")


def current() -> Strategy:
    """Return the strategy of the calls from here."""
    return _current.get(_DEFAULT)


@contextmanager
def using(strategy: Strategy | None = None, /, **changes: Any) -> Iterator[Strategy]:
    """Solve with another strategy, or with changes of the current one, in the calls within."""
    token = _current.set(replace(current() if strategy is None else strategy, **changes))
    try:
        yield current()
    finally:
        _current.reset(token)
