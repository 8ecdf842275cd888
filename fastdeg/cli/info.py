"""The verb info: what the package runs on."""

from __future__ import annotations

import argparse

from fastdeg import runtime
from fastdeg.cli import console
from fastdeg.degradations.registry import parameters


def run(options: argparse.Namespace) -> None:
    """Print versions, threads, threading layer and cache folder, and what the axes of a space may be named."""
    if options.json:
        console.print_json(runtime.configuration() | {"axes": list(parameters())})
    else:
        runtime.show_config()
        print(f"{'axes':<17} {', '.join(parameters())}")
