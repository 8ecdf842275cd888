"""What the command line shows a person: tables, notes and progress bars (rich), as much of it as is asked for."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from fastdeg import runtime
from fastdeg._types import Progress

QUIET, NORMAL, VERBOSE = -1, 0, 1
_verbosity: ContextVar[int] = ContextVar("verbosity", default=NORMAL)


@contextmanager
def verbosity(level: int) -> Iterator[None]:
    """Show less (`QUIET`: where things were written, and errors) or more (`VERBOSE`: each phase, with its time)."""
    token = _verbosity.set(level)
    try:
        yield
    finally:
        _verbosity.reset(token)


def say(text: str) -> None:
    """Print a line to the standard output."""
    if _verbosity.get() > QUIET:
        print(text)


def written(path: Path) -> None:
    """Print where a verb has written: the last line, alone on it, for scripts."""
    print(path)


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "") -> None:
    """Print a table to the standard output: the first column left-aligned, the others right."""
    if _verbosity.get() == QUIET:
        return
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, box=SIMPLE_HEAD, title_justify="left")
    for k, name in enumerate(header):
        table.add_column(name, justify="left" if k == 0 else "right", no_wrap=k == 0)
    for row in rows:
        table.add_row(*row)
    Console(highlight=False, width=None if sys.stdout.isatty() else 120).print(table)
    if caption:
        print(caption)


def print_json(value: Any) -> None:
    """Print a value as JSON on the standard output."""
    print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def print_run(summary: Mapping[str, Any], folder: Path, *, as_json: bool) -> None:
    """Print a run's answers, tables, certificate and notes, and where its files are; or its summary as JSON."""
    from fastdeg.runs import tables  # which needs OpenCV; `info` answers without

    if as_json:
        print_json(summary)
        return
    for sentence in tables.answer_sentences(summary):
        say(sentence)
    if summary.get("quantiles"):
        print_table("In numbers", *tables.quantile_table(summary))
    caption = "\n".join(filter(None, [summary.get("caption"), tables.certificate_text(summary)]))
    print_table("What was found", *tables.comparison_table(summary), caption=caption)
    for message in summary["notes"]:
        note(message)
    written(folder)


def print_estimate(summary: Mapping[str, Any]) -> None:
    """Print what the verb estimate found, for a person."""
    from fastdeg.runs import tables

    for sentence in tables.answer_sentences(summary):
        say(sentence)
    for title, header, rows in tables.estimate_tables(summary):
        print_table(title, header, rows)
    for text in tables.estimate_sentences(summary):
        say(text)
    for message in summary["notes"]:
        note(message)


def note(message: str) -> None:
    """Print a note to the standard error."""
    if _verbosity.get() > QUIET:
        print(f"fastdeg: {message}", file=sys.stderr, flush=True)


def announce_compilation() -> None:
    """Tell a person, before the wait, that the first run compiles."""
    if not runtime.kernels_cached():
        note("compiling kernels, first run only")


@contextmanager
def progress_bar() -> Iterator[Progress | None]:
    """Yield a progress callback that draws a bar on the standard error, or None where that is no terminal.

    Where more is asked for, it tells a line for each phase that begins instead, with the seconds since the start.
    """
    if _verbosity.get() == VERBOSE:
        yield _phases()
        return
    if not sys.stderr.isatty() or _verbosity.get() == QUIET:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    times = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
    columns = (BarColumn(), *times, TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=1.0)

        def update(fraction: float, message: str) -> None:
            new = message != bar.tasks[0].description  # shown even where it ends before the bar is drawn next
            bar.update(task, completed=fraction, description=message, refresh=new)

        yield update


def _phases() -> Progress:
    start, last = time.perf_counter(), ""

    def update(fraction: float, message: str) -> None:
        nonlocal last
        if message != last:
            last = message
            note(f"{time.perf_counter() - start:5.1f} s: {message}")

    return update
