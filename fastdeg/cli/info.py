"""The verb info: what the package runs on."""

from __future__ import annotations

import argparse

from fastdeg import runtime
from fastdeg.cli import console


def run(options: argparse.Namespace) -> None:
    """Print versions, threads, threading layer and cache folder, and what the axes of a space may be named."""
    try:
        from fastdeg.degradations.registry import parameters

        axes, failure = list(parameters()), ""
    except ImportError as error:  # OpenCV's: what a report of that needs is printed all the same
        axes, failure = [], str(error)
    if options.json:
        console.print_json(runtime.configuration() | {"axes": axes} | ({"failure": failure} if failure else {}))
    else:
        runtime.show_config()
        print(f"{'axes':<17} {', '.join(axes) or failure}")
