"""The command line ``fastdeg VERB``: a verb is a row of `VERBS`, and a module of its name with a function `run`.

Nothing heavy is imported before a verb runs, so that ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import io
import os
import shlex
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastdeg import __version__
from fastdeg.cli.examples import examples_text

if TYPE_CHECKING:  # loaded by name: told to what packs programs (PyInstaller)
    from fastdeg.cli import audit, craft, degrade, demo, estimate, export, info, report, select, space, warmup  # noqa: F401

# verb: what it does, the options that it needs, and those that it takes
VERBS = {
    "demo": ("play an application with known degradations, start to end", "", "--forecast --output --force --seed"),
    "craft": (
        "craft p from reference photos and clean images, or from annotations",
        "--output",
        "--references --estimate --annotations --clean --images --space --prior --downsampling --noise --degrade "
        "--history --keep-outside "
        "--n-bins --outside --generalization --forecast --allow-loss --n-references --n-neighbors --skip-bad --force "
        "--dask",
    ),
    "estimate": (
        "find the degradation distribution of reference photos",
        "--references --clean",
        "--space --history --downsampling --noise --degrade --keep-outside --skip-bad --output --force --dask",
    ),
    "space": (
        "propose the least space and history that explain reference photos",
        "--references --clean --output",
        "--downsampling --skip-bad --force",
    ),
    "select": (
        "select representative and diverse references among the images of a folder",
        "RUN --images",
        "--n-references --n-neighbors --skip-bad --output --force",
    ),
    "degrade": (
        "degrade clean images with parameters drawn from a run's p: paired folders for training",
        "IMAGES --run --output",
        "--downsampling --seed --workers --skip-bad --dask",
    ),
    "audit": (
        "say what an option file trains on, and how that fits the photos",
        "OPTIONS",
        "--framework --references --clean --run --simulate --space --downsampling --noise --degrade --skip-bad",
    ),
    "export": (
        "write a run's crafted distribution as options of a training framework",
        "RUN --to",
        "--keep --boxes --output --force",
    ),
    "report": ("show a run's table and write its HTML report again", "RUN", ""),
    "warmup": ("compile the kernels ahead of their first use: all, or those of some rooms", "", "--rooms"),
    "info": ("print versions, threads, threading layer, cache folder and the axes that are known", "", ""),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "RUN": {"type": Path, "help": "run folder that demo, craft or estimate wrote"},
    "IMAGES": {"type": Path, "help": "folder of clean images"},
    "--run": {"type": Path, "metavar": "RUN", "help": "run folder that demo or craft wrote"},
    "--references": {"type": Path, "metavar": "DIR", "help": "folder of low-resolution photos"},
    "--estimate": {"type": Path, "metavar": "RUN", "help": "earlier run of estimate to go on from, without fitting"},
    "--annotations": {"type": Path, "metavar": "TABLE", "help": "CSV, Parquet or Excel with a column per axis"},
    "--clean": {"type": Path, "metavar": "DIR", "help": "folder of clean images, beside --references"},
    "--images": {"type": Path, "metavar": "DIR", "help": "folder of images: of the column 'file', or to choose from"},
    "--space": {
        "metavar": "PRESET|FILE",
        "help": "paper, dense, photo, or a YAML file of axes that `fastdeg info` lists",
    },
    "OPTIONS": {"type": Path, "help": "option file of a training framework"},
    "--framework": {"metavar": "NAME", "help": "dialect of the option file (default: told by its keys)"},
    "--simulate": {"type": int, "metavar": "N", "help": "run the file's own chain on N clean images and read them"},
    "--to": {
        "metavar": "NAME",
        "help": "dialect: realesrgan, trainner-redux, neosr, gfpgan, wtp, albumentations, csv, json",
    },
    "--keep": {
        "type": float,
        "default": 0.95,
        "metavar": "SHARE",
        "help": "least share of p that is said (default 0.95)",
    },
    "--boxes": {"type": int, "default": 1, "metavar": "K", "help": "K boxes whose mixture is nearer to p (default 1)"},
    "--prior": {"type": Path, "metavar": "OPTIONS", "help": "today's option file: what it trains on is the prior"},
    "--downsampling": {"type": float, "metavar": "F", "help": "used where the space has none (default 4)"},
    "--history": {
        "metavar": "NAME",
        "help": "plain, photo or realesrgan: what else may have happened to the photos "
        "(default: that of the space's file, else photo)",
    },
    "--keep-outside": {"action": "store_true", "help": "let photos outside of the space have a say in q"},
    "--noise": {"choices": ("gray", "color"), "help": "kind of noise (default gray)"},
    "--degrade": {"metavar": "MODULE:FUNCTION", "help": "your own pipeline (image, parameters, rng) -> image"},
    "--n-bins": {"type": int, "metavar": "N", "help": "k-means of the annotations to N bins, not a grid"},
    "--outside": {"choices": ("raise", "clip", "drop"), "help": "annotations outside the space (default raise)"},
    "--generalization": {"default": "auto", "metavar": "τ", "help": "weight of KL(p‖prior), or auto (default)"},
    "--forecast": {"action": "store_true", "help": "tell what training on each distribution gains, in dB"},
    "--allow-loss": {"type": float, "metavar": "DB", "help": "gain most on the photos at this loss elsewhere, in dB"},
    "--n-references": {
        "type": int,
        "default": 10,
        "metavar": "K",
        "help": "references to select (default 10; 0: none)",
    },
    "--n-neighbors": {"type": int, "default": 5, "metavar": "K", "help": "neighbours of the score (default 5)"},
    "--skip-bad": {"action": "store_true", "help": "go on without unusable image files, and rows without numbers"},
    "--seed": {"type": int, "default": 0, "help": "seed of all that is random (default 0)"},
    "--workers": {"type": int, "metavar": "N", "help": "images at a time (default: --threads)"},
    "--output": {
        "type": Path,
        "metavar": "PATH",
        "help": "run folder to write (demo: the next of fastdeg-runs/), folder of pairs, CSV, or YAML of a space",
    },
    "--force": {"action": "store_true", "help": "replace an earlier run or file there"},
    "--rooms": {
        "nargs": "+",
        "choices": ("measuring", "transport", "crafting", "images"),
        "metavar": "ROOM",
        "help": "measuring, transport, crafting, images (default: all)",
    },
    "--json": {"action": "store_true", "help": "print JSON for machines instead of tables"},
    "--threads": {"type": int, "metavar": "N", "help": "threads of the kernels (numba's setting)"},
    "--dask": {"metavar": "ADDRESS|local", "help": "work on images on this Dask cluster, or on one started here"},
    "--quiet": {"action": "store_true", "help": "print errors, and where things were written, only"},
    "--verbose": {"action": "store_true", "help": "tell each phase with its time"},
}

OF_ALL_VERBS = "--json --threads --quiet --verbose"
MORE_PACKAGES = "the command line needs more packages: pip install 'fastdeg[cli]'"
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; return the exit status: 0, 2 for bad input (told in one line), 130 when interrupted."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what a console cannot show, τ or a strange name, comes as its number
            stream.reconfigure(errors="backslashreplace")
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.verb is None:
        return _without_verb(parser, options.print_completion)
    options.command = shlex.join(["fastdeg", *(sys.argv[1:] if arguments is None else arguments)])
    if options.quiet and options.verbose:
        return _fail("--quiet, --verbose: expected one of them")
    try:
        import rich  # noqa: F401
    except ImportError:
        return _fail(MORE_PACKAGES)
    try:
        from fastdeg._threads import numba_threads, thread_count
        from fastdeg.cli import console
        from fastdeg.kernels._jit import expect_compiling

        level = console.QUIET if options.quiet else console.VERBOSE if options.verbose else console.NORMAL
        run = import_module(f"fastdeg.cli.{options.verb}").run
        expect_compiling()  # of which verbs tell
        threads = numba_threads(thread_count(options.threads))
        with _ended_by_sigterm(), console.verbosity(level), threads, _workers(options):
            run(options)
        sys.stdout.flush()
    except (ValueError, TypeError, OSError, ImportError) as error:
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


@contextmanager
def _workers(options: argparse.Namespace) -> Iterator[None]:
    """Work on images on a Dask cluster, where one is asked for."""
    address = getattr(options, "dask", None)
    if address is None:
        yield
        return
    from fastdeg.cli import console
    from fastdeg.distributed import cluster

    with cluster(address, options.threads) as client:
        console.note(f"Dask: {len(client.scheduler_info()['workers'])} workers, dashboard {client.dashboard_link}")
        yield


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end the verb as an exception does, so that nothing half-written stays behind."""
    from fastdeg._threads import signals_as_raised

    def end(number: int, frame: object) -> None:
        signal.signal(number, signal.SIG_IGN)  # a second one is not to interrupt the tidying
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        with signals_as_raised():
            yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _fail(message: str) -> int:
    print(f"fastdeg: error: {message}", file=sys.stderr)
    return EXIT_BAD_INPUT


def _parser() -> argparse.ArgumentParser:
    as_written: Any = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="fastdeg",
        description="Craft the training degradation distribution of a super-resolution model.",
        epilog=f"{examples_text('')}\n\n`fastdeg VERB --help` has more of them.",
        formatter_class=as_written,
    )
    parser.add_argument("--version", action="version", version=f"fastdeg {__version__}")
    shells: dict[str, Any] = {"choices": ("bash", "zsh", "tcsh"), "metavar": "SHELL"}
    parser.add_argument("--print-completion", **shells, help="print what completes commands in bash, zsh or tcsh")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB")
    for verb, (description, needed, taken) in VERBS.items():
        of_verb = verbs.add_parser(
            verb, help=description, description=description, epilog=examples_text(verb), formatter_class=as_written
        )
        for name in f"{needed} {taken} {OF_ALL_VERBS}".split():
            more: dict[str, Any] = {"required": True} if name in needed.split() and name.startswith("--") else {}
            of_verb.add_argument(*(["-o"] if name == "--output" else []), name, **OPTIONS[name], **more)
    return parser


def _without_verb(parser: argparse.ArgumentParser, shell: str | None) -> int:
    """Print the script that completes commands in a shell, or what can be done."""
    if shell is None:
        parser.print_help()
        return 0
    try:
        import shtab
    except ImportError:
        return _fail(MORE_PACKAGES)
    for of_verb in parser._subparsers._group_actions[0].choices.values():  # type: ignore[union-attr, attr-defined]
        for action in of_verb._actions:
            if action.type is Path:
                action.complete = shtab.FILE
    print(shtab.complete(parser, shell))
    return 0
