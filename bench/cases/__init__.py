"""One module per room, each with ``CASES`` and optionally ``CURVES`` and ``FIRST_CALLS``.

A new case::

    from bench.case import Case, Rival

    CASES = [
        Case(
            name="sorting, n = 10⁶",
            setup=lambda: np.random.default_rng(0).random(1_000_000),
            run=lambda x: ours(x),
            rivals=[Rival("NumPy", np.sort, target=2.0)],
            check=lambda x, answers: np.testing.assert_array_equal(answers["fastdeg"], answers["NumPy"]),
        )
    ]
"""

from __future__ import annotations

import pkgutil
from importlib import import_module
from types import ModuleType


def rooms() -> dict[str, ModuleType]:
    """Return the rooms' modules by name."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return {name: import_module(f"{__name__}.{name}") for name in names}
