"""Numba's cache on disk, whose troubles never end a computation: one note, and on without it.

Where it does not have a kernel yet, a line of the log ``fastdeg`` tells what the wait is for.

Machine code is kept with its checksum, as a flipped bit in it may end the process or change a result. Numba has
settings for where its files lie (folders and locators), but none for what is in them: its caches are classes with a
class of how code is packed, both for others to derive from, but a dispatcher takes the one it knows. So ours is put in
its place.
"""

from __future__ import annotations

import logging
import pickle
import warnings
from contextlib import suppress
from hashlib import sha256
from types import FunctionType
from typing import Any

from numba.core.caching import CompileResultCacheImpl, FunctionCache
from numba.core.serialize import dumps
from numba.core.sigutils import normalize_signature

_told = False
_announced = False


class _WithChecksum(CompileResultCacheImpl):
    """Compiled code as bytes, after their checksum."""

    def reduce(self, cres: Any) -> tuple[bytes, bytes]:
        packed = dumps(super().reduce(cres))
        return sha256(packed).digest(), packed

    def rebuild(self, target_context: Any, payload: tuple[bytes, bytes]) -> Any:
        checksum, packed = payload
        if sha256(packed).digest() != checksum:
            raise ValueError("a file of machine code does not fit its checksum")
        return super().rebuild(target_context, pickle.loads(packed))


class _ForgivingCache(FunctionCache):
    """What cannot be read is replaced, what cannot be written is left."""

    _impl_class = _WithChecksum

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        loaded = None
        try:
            loaded = super().load_overload(sig, target_context)
            if loaded is not None and loaded.signature.args != normalize_signature(sig)[0]:
                loaded = None
                raise ValueError("its index names another file")
        except Exception as error:  # whatever a damaged file makes of pickle and LLVM, or a folder of its permissions
            _tell(error, str(self.cache_path))
            with suppress(Exception):
                self.flush()  # an empty index: the kernel is compiled and saved anew
        if loaded is None:
            _announce(str(self.cache_path))
        return loaded

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except Exception as error:
            _tell(error, str(self.cache_path))


def keep_on_disk(compiled: Any, function: FunctionType) -> None:
    """Let a compiled function use the cache on disk, where there is a place for it."""
    if not hasattr(compiled, "enable_caching"):  # NUMBA_DISABLE_JIT
        return
    try:
        compiled._cache = _ForgivingCache(function)
    except Exception as error:  # no folder can be written, say
        _tell(error, "NUMBA_CACHE_DIR is a folder that can be written")


def expect_compiling() -> None:
    """Leave the line of the log out from now on: who calls says it in other words, or was asked to compile."""
    global _announced
    _announced = True


def _announce(folder: str) -> None:
    """Tell once in a process that a kernel is compiled."""
    if not _announced:
        expect_compiling()
        logging.getLogger("fastdeg").warning(
            "fastdeg compiles what is called for the first time: seconds, for crafting up to a minute; "
            "fd.warmup() does so ahead of time, and the result is kept in %s",
            folder,
        )


def _tell(error: Exception, where: str) -> None:
    """Tell once in a process."""
    global _told
    if not _told:
        _told = True
        warnings.warn(
            f"fastdeg's kernels are compiled in this process anew, as numba's cache is out of order ({where}): "
            f"{type(error).__name__}: {error}; NUMBA_CACHE_DIR names another folder, FASTDEG_NO_CACHE=1 does without",
            stacklevel=2,
        )
