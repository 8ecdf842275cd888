"""What the command line shows a person: tables, notes and progress bars (rich)."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastdeg import runtime
from fastdeg._types import Progress
from fastdeg.runs import report


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "") -> None:
    """Print a table to the standard output: the first column left-aligned, the others right."""
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


def print_run(summary: Mapping[str, Any], written: Path, *, as_json: bool) -> None:
    """Print a run's comparison table, its certificate and notes, and where its files are; or its summary as JSON."""
    if as_json:
        print_json(summary)
        return
    caption = "\n".join(filter(None, [summary.get("caption"), report.certificate_text(summary)]))
    print_table("What was found", *report.comparison_table(summary), caption=caption)
    for message in summary["notes"]:
        note(message)
    print(f"Written: {written}")


def print_estimate(summary: Mapping[str, Any]) -> None:
    """Print what the verb estimate found, for a person."""
    for title, header, rows in report.estimate_tables(summary):
        print_table(title, header, rows)
    for text in report.estimate_sentences(summary):
        print(text)
    for message in summary["notes"]:
        note(message)


def note(message: str) -> None:
    """Print a note to the standard error."""
    print(f"fastdeg: {message}", file=sys.stderr, flush=True)


def announce_compilation() -> None:
    """Tell a person, before the wait, that the first run compiles."""
    if not runtime.kernels_cached():
        note("compiling kernels, first run only")


@contextmanager
def progress_bar() -> Iterator[Progress | None]:
    """Yield a progress callback that draws a bar on the standard error, or None where that is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=1.0)

        def update(fraction: float, message: str) -> None:
            new = message != bar.tasks[0].description  # shown even where it ends before the bar is drawn next
            bar.update(task, completed=fraction, description=message, refresh=new)

        yield update
