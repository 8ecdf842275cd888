"""What each verb adds to its parser. Nothing heavy is imported here, so that ``--help`` answers at once."""

from __future__ import annotations

import argparse
from pathlib import Path


def demo(parser: argparse.ArgumentParser) -> None:
    _run_folder(parser, required=False)
    parser.add_argument("--seed", type=int, default=0, help="seed of the references and of the fit (default 0)")


def craft(parser: argparse.ArgumentParser) -> None:
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--references", type=Path, metavar="DIR", help="folder of low-resolution photos")
    source.add_argument("--annotations", type=Path, metavar="CSV", help="table with one column per axis")
    parser.add_argument("--clean", type=Path, metavar="DIR", help="folder of clean images (with --references)")
    parser.add_argument("--images", type=Path, metavar="DIR", help="folder of the column 'file' (with --annotations)")
    _space(parser)
    parser.add_argument("--n-bins", type=int, metavar="N", help="k-means to N bins (with --annotations; default 100)")
    parser.add_argument(
        "--generalization", default="auto", metavar="τ", help="weight of KL(p‖prior), or auto (default)"
    )
    _selection(parser)
    _run_folder(parser, required=True)


def estimate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--references", type=Path, metavar="DIR", required=True, help="folder of low-resolution photos")
    parser.add_argument("--clean", type=Path, metavar="DIR", required=True, help="folder of clean images")
    _space(parser)
    _skip_bad(parser)
    _run_folder(parser, required=False)


def select(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="folder that craft --references, estimate or demo wrote")
    parser.add_argument("--images", type=Path, metavar="DIR", required=True, help="folder of the images to choose from")
    _selection(parser)
    parser.add_argument("-o", "--output", type=Path, metavar="CSV", help="table to write")
    parser.add_argument("--force", action="store_true", help="replace an earlier table")


def report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="RUN", help="folder that demo, craft or estimate wrote")


def info(parser: argparse.ArgumentParser) -> None:
    """Take no options of its own."""


def _space(parser: argparse.ArgumentParser) -> None:
    help_text = "paper, dense, or a YAML file (see docs/spaces.md) of axes that `fastdeg info` lists"
    parser.add_argument("--space", metavar="PRESET|FILE", help=help_text)
    parser.add_argument("--downsampling", type=float, metavar="F", help="used where the space has none (default 4)")
    parser.add_argument("--noise", choices=("gray", "color"), help="kind of noise (default gray)")


def _selection(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--n-references", type=int, default=10, metavar="K", help="references to select (default 10)")
    parser.add_argument("--n-neighbors", type=int, default=5, metavar="K", help="neighbours of the score (default 5)")
    _skip_bad(parser)


def _skip_bad(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--skip-bad", action="store_true", help="go on without unusable image files")


def _run_folder(parser: argparse.ArgumentParser, *, required: bool) -> None:
    default = " (default: the next of fastdeg-runs/demo-001, …)" if parser.prog.endswith("demo") else ""
    shown = f"run folder to write{default}"
    parser.add_argument("-o", "--output", type=Path, metavar="RUN", required=required, help=shown)
    parser.add_argument("--force", action="store_true", help="replace an earlier run in that folder")
