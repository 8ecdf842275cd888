"""The only file that touches ``numba.njit``: one decorator, its defaults, and the parallel kernel with its serial twin.

``@kernel`` compiles a serial function. ``@parallel_kernel`` compiles one body (loops over ``prange``) twice:
``f.parallel`` and ``f.serial``; calling ``f(*args, threads=..., work=...)`` from Python picks one of them.
Inside other kernels, and inside a user's own ``@njit`` code, name the twin: ``f_serial = f.serial``.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numba
import numba.extending
import numpy as np

import fastdeg.kernels._collector  # noqa: F401 - looks after the garbage collector from now on
from fastdeg import __version__
from fastdeg._threads import numba_threads, thread_count
from fastdeg.kernels._disk_cache import expect_compiling as expect_compiling
from fastdeg.kernels._disk_cache import keep_on_disk

# Accuracy-neutral subset of fastmath for reductions: NaN and infinity keep their meaning.
REASSOCIATE = frozenset({"nsz", "arcp", "contract", "reassoc"})

# In parallel kernels only the loops over prange run in parallel: NumPy's calls beside them win little, and compiling
# each of them as a parallel loop of its own takes a second.
ONLY_PRANGE = {
    **dict.fromkeys(("comprehension", "reduction", "inplace_binop", "setitem", "numpy", "stencil", "fusion"), False),
    "prange": True,
}

_digests: dict[int, str] = {}  # id of a compiled function -> digest of its code and of all that it calls


def kernel(
    function: Callable[..., Any] | None = None,
    *,
    fastmath: bool | Iterable[str] = False,
    inline: str = "never",
) -> Any:
    """Compile a serial function with the package's defaults: cached on disk, without the GIL, NumPy's error model.

    Kernels that Python calls return numbers, arrays and plain tuples: where a signal comes in while numba makes a named
    tuple of what a kernel returns, the process ends by a segmentation fault. A `driver` makes it.

    ``inline="always"``: for a part of one larger kernel, which is then compiled once and not at each level anew, or for
    a few operations; not with fastmath of its own, which would be lost.
    """
    if function is None:
        return lambda f: kernel(f, fastmath=fastmath, inline=inline)
    return _compile(function, fastmath=fastmath, inline=inline)


def parallel_kernel(function: Callable[..., Any] | None = None, *, fastmath: bool | Iterable[str] = False) -> Any:
    """Compile a function that loops over ``prange``, once parallel and once serial (see `ParallelKernel`)."""
    if function is None:
        return lambda f: parallel_kernel(f, fastmath=fastmath)
    return ParallelKernel(function, fastmath)


def driver(function: Callable[..., Any] | None = None, *, compiled: Any = None) -> Any:
    """Leave a function to Python, which sees interrupts between the kernels that it calls; kernels compile it.

    ``compiled``: a kernel of the same arguments, which takes the function's place within other kernels.
    """
    if function is None:
        return lambda f: driver(f, compiled=compiled)
    body = function if compiled is None else getattr(compiled, "py_func", compiled)
    numba.extending.overload(function, jit_options={"error_model": "numpy"}, strict=False)(lambda *args: body)
    _digests[id(function)] = _digest(*_referenced(body.__code__, body.__globals__), *_code_parts(body.__code__))
    return function


class ParallelKernel:
    """A compiled function in two versions with the same results, ``.parallel`` and ``.serial``.

    A call runs the parallel version on ``threads`` threads (default: the caller's numba setting, which is put back
    afterwards), and the serial one where that is the better or the only safe choice.
    """

    def __init__(self, function: Callable[..., Any], fastmath: bool | Iterable[str] = False) -> None:
        self.__doc__ = function.__doc__
        self.__name__ = getattr(function, "__name__", "kernel")
        self.serial = _compile(function, name="serial", fastmath=fastmath)
        self.parallel = _compile(function, name="parallel", fastmath=fastmath, parallel=True)

    def __call__(self, *args: Any, threads: int | None = None, work: float = float("inf")) -> Any:
        count = thread_count(threads, work)
        if count == 1:
            return self.serial(*args)
        with numba_threads(count):
            return self.parallel(*args)


def _compile(
    function: Callable[..., Any],
    *,
    name: str = "",
    fastmath: bool | Iterable[str] = False,
    inline: str = "never",
    parallel: bool = False,
) -> Any:
    """Compile a copy of the function under a name that tells its flags, what it calls, and the release.

    Numba's disk cache sees none of them: an index file is named after the function's qualified name, and only a change
    of the file that holds the function makes it stale, once it is read: a type of arguments that is gone since ends
    that. With all in the name, no edit leaves stale machine code behind, and no release reads another one's.
    """
    assert isinstance(function, FunctionType)
    flags = fastmath if isinstance(fastmath, bool) else set(fastmath)
    loops = dict(ONLY_PRANGE) if parallel else False  # a copy: numba empties it
    options = f"{__version__} {sorted(flags) if isinstance(flags, set) else flags} {loops} {inline}"
    called = _digest(options, *_referenced(function.__code__, function.__globals__))
    copy = FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    copy.__doc__, copy.__module__, copy.__kwdefaults__ = function.__doc__, function.__module__, function.__kwdefaults__
    copy.__qualname__ = "_".join(part for part in (function.__qualname__, name, called[:10]) if part)
    njit: Any = numba.njit
    compiled = njit(
        nogil=True,
        error_model="numpy",
        fastmath=flags,
        inline=inline,
        parallel=loops,
    )(copy)
    if not os.environ.get("FASTDEG_NO_CACHE"):
        keep_on_disk(compiled, copy)
    _digests[id(compiled)] = _digest(called, *_code_parts(function.__code__))
    return compiled


def _digest(*parts: str) -> str:
    return hashlib.sha1("\0".join(parts).encode()).hexdigest()


def _code_parts(code: CodeType) -> list[str]:
    parts = [code.co_code.hex(), repr(code.co_names)]
    for constant in code.co_consts:
        parts += _code_parts(constant) if isinstance(constant, CodeType) else [repr(constant)]
    return parts


def _referenced(code: CodeType, namespace: dict[str, Any]) -> list[str]:
    """What the code takes from its module: digests of the compiled functions, values of the constants."""
    parts = []
    for name in code.co_names:
        value = namespace.get(name)
        if isinstance(value, ModuleType) and value.__name__.startswith("fastdeg."):
            raise TypeError(f"{value.__name__}: kernels import the functions they call by name")
        if id(value) in _digests:
            parts += [name, _digests[id(value)]]
        elif isinstance(value, int | float | str | tuple):
            parts += [name, repr(value)]
        elif isinstance(value, np.ndarray):
            parts += [name, str(value.dtype), repr(value.shape), value.tobytes().hex()]
        elif isinstance(value, type):  # a named tuple, say
            parts += [name, repr(getattr(value, "_fields", value.__qualname__))]
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            parts += _referenced(constant, namespace)
    return parts
