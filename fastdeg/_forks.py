"""Whether this process is a forked child: told from the first import of the package on, before numba is loaded."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

_forked = False


def forked() -> bool:
    """Return whether this process was forked from one that had imported the package."""
    return _forked


def at_fork(**hooks: Callable[[], Any]) -> None:
    """Register functions with `os.register_at_fork`, where there are forks."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(**hooks)


def _in_child() -> None:
    global _forked
    _forked = True


at_fork(after_in_child=_in_child)
