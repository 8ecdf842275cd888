"""Numba's cache on disk, without the registries that numba fills before it reads the first file.

They are what numba can compile, a fifth of a second of imports, and compiling fills them itself; machine code that is
read back needs the memory manager alone.
"""

from __future__ import annotations

import pickle
from contextlib import suppress
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import FunctionCache
from numba.core.runtime import rtsys

# The newest release this was tried with: a symbol that a later one takes from a registry would end the process.
NEWEST_TRIED = (0, 68)

_numba_config: Any = numba.config


class MachineCodeCache(FunctionCache):  # type: ignore[misc]
    """The cache files of one function, read without a look at the registries."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Load the machine code for the signature, or return None where there is none."""
        rtsys.initialize(target_context)
        try:
            with self._guard_against_spurious_io_errors():
                return self._load_overload(sig, target_context)
        except (AttributeError, ImportError, EOFError, pickle.UnpicklingError):
            # it names a type of an earlier release, which numba finds out only after reading it
            with suppress(OSError):
                Path(self._cache_file._index_path).unlink()
            return None


def enable(compiled: Any) -> None:
    """Keep the machine code of a compiled function on disk."""
    if _numba_config.DISABLE_JIT:  # numba hands back the Python function
        return
    compiled.enable_caching()
    if numba.version_info.short <= NEWEST_TRIED:
        compiled._cache = MachineCodeCache(compiled.py_func)
