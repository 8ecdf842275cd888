"""A compiled function of two numbers, by numba alone: what the first call of anything compiled takes at least."""

import numba


@numba.njit(cache=True)
def smaller(a: float, b: float) -> float:
    """Return the smaller number."""
    return min(a, b)
