"""The verb export: a run's training distribution as options of a framework."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path

import fastdeg as fd
from fastdeg._files import replaced_file
from fastdeg.cli import console
from fastdeg.cli.inputs import check_new_file
from fastdeg.degradations.history import History
from fastdeg.distribution import BinnedDistribution
from fastdeg.frameworks import Export
from fastdeg.runs import folder as runs

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)


def run(options: argparse.Namespace) -> None:
    """Write a run's crafted distribution as options of a framework, and say what they lose."""
    inputs = runs.read_summary(options.RUN)["inputs"]
    if not (options.RUN / "crafted.npz").is_file():
        raise ValueError(f"{options.RUN}: expected a run of craft or demo, got one without crafted.npz")
    p = BinnedDistribution.load(options.RUN / "crafted.npz")
    history = History.from_dict(inputs["history"]) if inputs.get("history") else None
    export = fd.frameworks.write(
        p, options.to, history=history, keep=options.keep, boxes=options.boxes,
        downsampling=inputs.get("downsampling"), noise=inputs.get("noise") or "gray",
    )  # fmt: skip
    written = _write(export, options.output, force=options.force)
    if options.json:
        facts = {"framework": export.framework, "lost_mass": export.lost_mass, "distance": export.distance}
        quantiles = {"levels": list(LEVELS), **p.quantiles(LEVELS)}
        files = {"files": export.files, "written": [str(path) for path in written]}
        console.print_json(facts | {"notes": list(export.notes), "quantiles": quantiles} | files)
        return
    console.note(f"{export.lost_mass:.3g} of p lies outside of this; earth mover's distance to p {export.distance:.3g}")
    for text in export.notes:
        console.note(text)
    if not written:
        for name, text in export.files.items():
            print(text if len(export.files) == 1 else f"# ---- {name}\n{text}", end="")
        return
    rows = [[name, *(f"{value:.4g}" for value in values)] for name, values in p.quantiles(LEVELS).items()]
    console.print_table("Crafted p", ["axis", *(f"{level:.0%}" for level in LEVELS)], rows)
    for path in written:
        console.written(path)


def _write(export: Export, path: Path | None, *, force: bool) -> list[Path]:
    """Write the only file to the path, several ones to numbered paths; nothing where one of them is in the way."""
    if path is None:
        return []
    paths = [path]
    if len(export.files) > 1:
        paths = [path.with_name(f"{path.stem}-{k}{path.suffix}") for k in range(1, len(export.files) + 1)]
    for target in paths:
        check_new_file(target, force=force)
    with ExitStack() as files:  # all are written before the first one is put in place
        for target, text in zip(paths, export.files.values(), strict=True):
            file = files.enter_context(replaced_file(target, "w"))
            file.write(text)
            file.flush()
    return paths
