"""The command line: ``fastdeg demo | craft | estimate | select | report | info``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastdeg import __version__

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; return the exit status: 0, 2 for bad input (told in one line), 130 when interrupted."""
    options = _parser().parse_args(arguments)
    try:
        import rich  # noqa: F401
    except ImportError:
        return _fail("the command line needs more packages: pip install 'fastdeg[cli]'")
    try:
        from fastdeg.cli import verbs

        verbs.VERBS[options.verb](options)
        sys.stdout.flush()
    except (ValueError, TypeError, OSError) as error:
        if isinstance(error, BrokenPipeError):  # the reader of our output has left: nothing more to say
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        if os.environ.get("FASTDEG_DEBUG"):
            raise
        return _fail(" ".join(str(error).split()))
    except KeyboardInterrupt:
        print("fastdeg: interrupted, nothing was written", file=sys.stderr)
        return EXIT_INTERRUPTED
    return 0


def _fail(message: str) -> int:
    print(f"fastdeg: error: {message}", file=sys.stderr)
    return EXIT_BAD_INPUT


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fastdeg", description="Craft the training degradation distribution of a super-resolution model."
    )
    parser.add_argument("--version", action="version", version=f"fastdeg {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    demo = _verb(verbs, "demo", "play an application with known degradations, start to end")
    _run_folder_options(demo, required=False)
    demo.add_argument("--seed", type=int, default=0, help="seed of the references and of the fit (default 0)")

    craft = _verb(verbs, "craft", "craft p from reference photos and clean images, or from annotations")
    source = craft.add_mutually_exclusive_group(required=True)
    source.add_argument("--references", type=Path, metavar="DIR", help="folder of low-resolution photos")
    source.add_argument("--annotations", type=Path, metavar="CSV", help="table with one column per axis")
    craft.add_argument("--clean", type=Path, metavar="DIR", help="folder of clean images (with --references)")
    craft.add_argument("--images", type=Path, metavar="DIR", help="folder of the column 'file' (with --annotations)")
    _space_options(craft)
    craft.add_argument("--n-bins", type=int, metavar="N", help="k-means to N bins (with --annotations; default 100)")
    craft.add_argument("--generalization", default="auto", metavar="τ", help="weight of KL(p‖prior), or auto (default)")
    _selection_options(craft)
    _run_folder_options(craft, required=True)

    estimate = _verb(verbs, "estimate", "find the degradation distribution of reference photos")
    estimate.add_argument(
        "--references", type=Path, metavar="DIR", required=True, help="folder of low-resolution photos"
    )
    estimate.add_argument("--clean", type=Path, metavar="DIR", required=True, help="folder of clean images")
    _space_options(estimate)
    estimate.add_argument("--skip-bad", action="store_true", help="go on without unusable image files")
    _run_folder_options(estimate, required=False)

    select = _verb(verbs, "select", "select representative and diverse references among the images of a folder")
    select.add_argument("run", type=Path, metavar="RUN", help="folder that craft --references, estimate or demo wrote")
    select.add_argument("--images", type=Path, metavar="DIR", required=True, help="folder of the images to choose from")
    _selection_options(select)
    select.add_argument("-o", "--output", type=Path, metavar="CSV", help="table to write")
    select.add_argument("--force", action="store_true", help="replace an earlier table")

    report = _verb(verbs, "report", "show a run's table and write its HTML report again")
    report.add_argument("folder", type=Path, metavar="RUN", help="folder that demo, craft or estimate wrote")

    _verb(verbs, "info", "print versions, threads, threading layer and cache folder")
    return parser


def _verb(verbs: Any, name: str, description: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=description, description=description)
    parser.add_argument("--json", action="store_true", help="print JSON for machines instead of tables")
    if name not in ("info", "report"):
        parser.add_argument(
            "--threads", type=int, metavar="N", help="threads of the kernels (default: numba's setting)"
        )
    return parser


def _space_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--space", metavar="PRESET|FILE", help="paper, dense, or a YAML file (see docs/spaces.md)")
    parser.add_argument("--downsampling", type=float, default=4, metavar="F", help="used where the space has none (4)")
    parser.add_argument("--noise", choices=("gray", "color"), default="gray", help="kind of noise (default gray)")


def _selection_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--n-references", type=int, default=10, metavar="K", help="references to select (default 10)")
    parser.add_argument("--n-neighbors", type=int, default=5, metavar="K", help="neighbours of the score (default 5)")
    parser.add_argument("--skip-bad", action="store_true", help="go on without unusable image files")


def _run_folder_options(parser: argparse.ArgumentParser, *, required: bool) -> None:
    default = " (default: the next of fastdeg-runs/demo-001, …)" if parser.prog.endswith("demo") else ""
    shown = f"run folder to write{default}"
    parser.add_argument("-o", "--output", type=Path, metavar="RUN", required=required, help=shown)
    parser.add_argument("--force", action="store_true", help="replace an earlier run in that folder")
