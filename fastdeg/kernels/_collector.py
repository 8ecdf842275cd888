"""Python's garbage collector waits while kernels are compiled: a tenth of the time, over objects that all live on."""

from __future__ import annotations

import gc

from numba.core import event

PACKAGE = __name__.partition(".")[0]


class CollectorWaits(event.Listener):
    """Collection is off while a kernel of this package is compiled, and what compiling it takes; then as it was.

    Compilations are one inside another, on one thread at a time: numba holds a lock while it compiles.
    """

    def __init__(self) -> None:
        self._depth = 0
        self._was_on = False

    def on_start(self, told: event.Event) -> None:
        if _is_ours(told):
            if not self._depth:
                self._was_on = gc.isenabled()
                gc.disable()
            self._depth += 1

    def on_end(self, told: event.Event) -> None:
        if _is_ours(told):
            self._depth -= 1
            if not self._depth and self._was_on:
                gc.enable()


def _is_ours(told: event.Event) -> bool:
    dispatcher = told.data["dispatcher"]
    return str(getattr(dispatcher, "__module__", "")).partition(".")[0] == PACKAGE


event.register("numba:compile", CollectorWaits())
