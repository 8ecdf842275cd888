"""The command line: ``fastdeg VERB``. A verb is a row of `VERBS`, its options, and a module with a function `run`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from fastdeg import __version__
from fastdeg.cli import options as options_of

# verb, whose module is fastdeg.cli.<verb>: its options, and what it does
VERBS = {
    "demo": (options_of.demo, "play an application with known degradations, start to end"),
    "craft": (options_of.craft, "craft p from reference photos and clean images, or from annotations"),
    "estimate": (options_of.estimate, "find the degradation distribution of reference photos"),
    "select": (options_of.select, "select representative and diverse references among the images of a folder"),
    "report": (options_of.report, "show a run's table and write its HTML report again"),
    "info": (options_of.info, "print versions, threads, threading layer, cache folder and the axes that are known"),
}

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
        from fastdeg._threads import numba_threads, thread_count

        run = import_module(f"fastdeg.cli.{options.verb}").run
        with numba_threads(thread_count(options.threads)):
            run(options)
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
    for verb, (add_options, description) in VERBS.items():
        of_verb = verbs.add_parser(verb, help=description, description=description)
        of_verb.add_argument("--json", action="store_true", help="print JSON for machines instead of tables")
        of_verb.add_argument("--threads", type=int, metavar="N", help="threads of the kernels (numba's setting)")
        add_options(of_verb)
    return parser
