"""Arguments of exact and entropic transport, checked; and what is said of a result that is not exact."""

from __future__ import annotations

import math
import warnings

import numpy as np
from numpy.typing import ArrayLike

from fastdeg import _checks
from fastdeg._types import Float
from fastdeg.kernels.transport.cost_matrix import NEAR_ZERO, OPEN
from fastdeg.transport.network import Solution

MASS_TOLERANCE = 1e-9
LARGEST_COST = 1e150
OF_PAIRS = ": a row for each mass of a, a column for each of b"
PRODUCTS = "a, b: expected masses and costs whose products are numbers, got a distance above 1.8e308"


def points_of(a: Float, b: Float, x: ArrayLike | None, y: ArrayLike | None) -> tuple[Float, Float]:
    """The points of the masses; the same array twice where y is None."""
    if x is None:
        raise ValueError("x: expected points, or a cost matrix as cost=, got None")
    x = _checks.float_array(x, "x", (a.size, "d"), hint=": one point for each mass of a")
    if x.shape[1] == 0:
        raise ValueError(f"x: expected at least one coordinate, got shape {x.shape}")
    y = x if y is None else _checks.float_array(y, "y", (b.size, x.shape[1]), hint=": one point for each mass of b")
    if y.shape[0] != b.size:
        raise ValueError(f"b: expected one mass for each of the {y.shape[0]} points, got {b.size}")
    return x, y


def mass_tolerance(a: ArrayLike, b: ArrayLike) -> float:
    """How much totals may differ, relative: 1e-9, or what the precision allows in which masses are given."""
    return max(MASS_TOLERANCE, 16 * _checks.precision(a), 16 * _checks.precision(b))


def common_total(a: Float, b: Float, tolerance: float = MASS_TOLERANCE) -> float:
    """Total mass of a; an error where that of b differs."""
    total_a, total_b = float(a.sum()), float(b.sum())
    if not math.isfinite(total_a):
        raise ValueError(f"a: expected a finite total mass, got {total_a!r}")
    if abs(total_a - total_b) > tolerance * max(total_a, total_b):
        within = f"within {tolerance:.2g} relative"
        raise ValueError(f"b: expected the same total mass as a, {total_a!r}, {within}, got {total_b!r}")
    return total_a


def cost_matrix(cost: ArrayLike, a: Float, b: Float) -> Float:
    """Costs (n, m) of masses a and b, infinite ones for forbidden pairs; refuses masses with forbidden pairs alone."""
    matrix = costs_of_pairs(cost, (a.size, b.size), OF_PAIRS)
    if not math.isinf(matrix.max()):
        return matrix
    for name, masses, others, costs in (("a", a, b, matrix), ("b", b, a, matrix.T)):
        alone = np.flatnonzero((masses > 0) & (costs[:, others > 0] == np.inf).all(axis=1))
        if alone.size:
            raise ValueError(
                f"cost: expected a plan over the pairs that are not forbidden (np.inf), got none for {name}[{alone[0]}]"
            )
    return matrix


def costs_of_pairs(cost: ArrayLike, shape: tuple[int, int], hint: str = "") -> Float:
    """Costs, infinite ones for forbidden pairs, checked."""
    matrix = _checks.float_array(cost, "cost", shape, finite=False, hint=hint)
    with np.errstate(invalid="ignore"):
        highest, lowest = float(matrix.max()), float(matrix.min())
    if math.isfinite(highest) and math.isfinite(lowest):
        return check_costs(matrix)
    if math.isnan(highest) or lowest == -math.inf:
        _checks.float_array(np.where(matrix == np.inf, 0.0, matrix), "cost")  # names the entry
    check_costs(np.where(matrix == np.inf, 0.0, matrix))
    return matrix


def check_costs(matrix: Float, name: str = "cost") -> Float:
    """Refuse costs that are too large."""
    largest = max(float(matrix.max()), -float(matrix.min()))  # without a copy of its size
    if largest > LARGEST_COST:
        raise ValueError(f"{name}: expected costs up to {LARGEST_COST:g}, got {largest:g}")
    return matrix


def finite_value(value: float, message: str = PRODUCTS) -> float:
    """Refuse a distance that is no number."""
    if not math.isfinite(value):
        raise ValueError(message)
    return value


def warn_of_gap(solution: Solution) -> None:
    """Warn where the gap is more than rounding, of the value or, where that is near 0, of the potentials."""
    if solution.gap <= OPEN * abs(solution.value):
        return
    largest = float(np.abs(solution.u).max() + np.abs(solution.v).max())
    if solution.gap > NEAR_ZERO * largest:
        warnings.warn(
            f"the optimum is not reached within rounding: the distance is {solution.value:g}, and at least "
            f"{solution.value - solution.gap:g} (for masses of sum one); do the costs span too many orders?",
            RuntimeWarning,
            stacklevel=4,
        )
