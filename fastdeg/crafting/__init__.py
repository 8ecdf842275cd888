"""Crafting the training distribution: the convex problem, its solvers and their certificates."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # named in the table of `strategy` only: told to what packs programs (PyInstaller)
    from fastdeg.crafting import exact_cases  # noqa: F401
    from fastdeg.crafting.grid import admm, warm_start  # noqa: F401
    from fastdeg.crafting.interior import method, moment_newton, multilevel  # noqa: F401
