"""The verb info: what the package runs on."""

from __future__ import annotations

import argparse

from fastdeg import runtime
from fastdeg.cli import console


def run(options: argparse.Namespace) -> None:
    """Print versions, threads, threading layer and cache folder."""
    if options.json:
        console.print_json(runtime.configuration())
    else:
        runtime.show_config()
