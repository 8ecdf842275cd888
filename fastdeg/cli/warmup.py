"""The verb warmup: kernels compiled ahead."""

from __future__ import annotations

import argparse
import time

import fastdeg as fd
from fastdeg import runtime
from fastdeg.cli import console


def run(options: argparse.Namespace) -> None:
    """Compile the kernels of some rooms, or of all, and print the folder that holds them."""
    start = time.perf_counter()
    with console.progress_bar() as progress:
        fd.warmup(options.rooms, progress=progress)
    seconds, folder = time.perf_counter() - start, runtime.cache_folder()
    if options.json:
        console.print_json({"rooms": options.rooms, "seconds": round(seconds, 1), "cache_folder": str(folder)})
        return
    console.say(f"compiled, or found compiled, in {seconds:.1f} s")
    console.written(folder)
