"""The verb space: the least space and history that explain reference photos, as a file for --space."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

import yaml

import fastdeg as fd
from fastdeg._files import replaced_file
from fastdeg.cli import console
from fastdeg.cli.inputs import check_new_file
from fastdeg.degradations.steps.downsampling import DEFAULT_FACTOR
from fastdeg.images import read_images
from fastdeg.images.proposal import Proposal, propose
from fastdeg.images.step_classifier import CRAFTED, StepClassifier


def run(options: argparse.Namespace) -> None:
    """Propose a space and a history, write them as a file, and say what each step buys."""
    check_new_file(options.output, force=options.force)
    classifier = StepClassifier(DEFAULT_FACTOR if options.downsampling is None else options.downsampling)
    with console.progress_bar() as progress:
        photos = read_images(options.references, skip_bad=options.skip_bad, progress=progress)
        least = classifier.least_side
        clean = read_images(options.clean, skip_bad=options.skip_bad, min_side=least, progress=progress)
    console.announce_compilation()
    with console.progress_bar() as progress:
        classifier.fit(clean.images, progress=progress)
    with console.progress_bar() as progress:
        found = propose(classifier, photos, clean.images, progress=progress)
    config = {**found.space.to_dict(), "history": found.history.to_dict()["steps"]}
    with replaced_file(options.output, "w") as file:
        file.write(f"# proposed by fastdeg space for {options.references}\n")
        file.write(yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
    notes = [*photos.notes, *clean.notes]
    if options.json:
        console.print_json(_summary(options, found, len(photos)) | config | {"notes": notes})
        return
    _print(found, len(photos))
    for message in notes:
        console.note(message)
    console.written(options.output)


def _summary(options: argparse.Namespace, found: Proposal, n: int) -> dict[str, Any]:
    return {
        "fastdeg": fd.__version__,
        "verb": "space",
        "inputs": {"references": str(options.references), "n_references": n, "clean": str(options.clean)},
        "additions": [
            {"step": a.step, "gain": a.gain, "share": a.share, "n_outside": found.n_outside.get(a.step)}
            for a in found.additions
        ],
        "n_outside_by_axes": found.n_outside[""],
    }


def _print(found: Proposal, n: int) -> None:
    axes: Mapping[str, str] = {
        CRAFTED[axis.name]: f"{axis.name} {axis.low:g} – {axis.high:g} {axis.unit}".rstrip()
        for axis in found.space.axes
    }
    rows = [
        [
            addition.step,
            f"{addition.gain:+.2f}",
            f"{100 * addition.share:.0f} %",
            axes.get(addition.step, "history"),
            str(found.n_outside.get(addition.step, "")),
        ]
        for addition in found.additions
    ]
    header = ["step", "log-likelihood per photo", "of the photos", "stands as", f"outside, of {n}"]
    console.print_table("What each step buys", header, rows)
    console.say(f"With the axes alone, {found.n_outside['']} of {n} photos are outside at the level of 1 %.")
