"""The verb select: representative and diverse images of a folder, for the target of an earlier run."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import fastdeg as fd
from fastdeg.cli import console
from fastdeg.cli.inputs import check_new_file
from fastdeg.cli.photos import photo_candidates, photo_notes, read_photos
from fastdeg.distribution import BinnedDistribution
from fastdeg.images import DegradationEstimator
from fastdeg.runs import folder as runs
from fastdeg.runs import tables
from fastdeg.runs.handover import load_estimator
from fastdeg.runs.workflow import reference_rows, selection_summary


def run(options: argparse.Namespace) -> None:
    """Select references among the images of a folder, by the estimator and the distributions of an earlier run."""
    if options.output is not None:
        check_new_file(options.output, force=options.force)
    estimator, target, crafted = _read_run(options.RUN)
    with console.progress_bar() as progress:
        photos = read_photos(options.images, options, progress)
    _check_number(options.n_references, len(photos), f"the images of {options.images}")
    console.announce_compilation()
    with console.progress_bar() as progress:
        read = estimator.summarize(photos.files, progress=progress)
    inference = estimator.infer(read)
    candidates = photo_candidates(estimator, inference, read, photos.files_by_name)
    _check_number(options.n_references, len(candidates.names), f"the images of {options.images} inside the space")
    selection = fd.select_references(
        candidates.embeddings, candidates.labels, target, crafted=crafted, n_references=options.n_references,
        n_neighbors=options.n_neighbors,
    )  # fmt: skip
    rows = reference_rows(selection, candidates, target.bins.names)
    summary: dict[str, Any] = {
        "fastdeg": fd.__version__,
        "verb": "select",
        "inputs": {"run": str(options.RUN), "images": str(options.images), "n_images": len(photos)},
        "selection": selection_summary(selection),
        "references": rows,
        "notes": [*photos.notes, *photo_notes(inference, list(photos.files_by_name))],
    }
    if options.output is not None:
        runs.write_csv(options.output, rows)
    if options.json:
        console.print_json(summary)
        return
    console.print_table(f"Selected of {len(photos)} images", *tables.reference_table(rows))
    console.say(tables.selection_text(summary))
    for message in summary["notes"]:
        console.note(message)
    if options.output is not None:
        console.written(options.output)


def _check_number(n_references: int, most: int, of: str) -> None:
    if not 1 <= n_references <= most:
        raise ValueError(f"--n-references: expected 1 to {most}, {of}, got {n_references}")


def _read_run(folder: Path) -> tuple[DegradationEstimator, BinnedDistribution, BinnedDistribution | None]:
    """Return the estimator of a run, its target and, where it has one, its crafted distribution."""
    estimator, crafted = load_estimator(folder), folder / "crafted.npz"
    return (
        estimator,
        BinnedDistribution.load(folder / "target.npz"),
        BinnedDistribution.load(crafted) if crafted.is_file() else None,
    )
