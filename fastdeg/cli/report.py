"""The verb report: a run's table again, and its page."""

from __future__ import annotations

import argparse

from fastdeg.cli import console
from fastdeg.runs import folder as runs
from fastdeg.runs import report


def run(options: argparse.Namespace) -> None:
    """Show a run's table and write its HTML report again."""
    summary = runs.read_summary(options.RUN)
    report.write_report(options.RUN, options.RUN / "report.html")
    if summary["verb"] == "estimate" and not options.json:
        console.print_estimate(summary)
        return
    console.print_run(summary, options.RUN, as_json=options.json)
