"""The verb audit: what an option file trains on, against the photos."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

import fastdeg as fd
from fastdeg.bins import GridBins
from fastdeg.cli import console
from fastdeg.cli.inputs import read_space, refuse
from fastdeg.cli.photos import fit_estimator
from fastdeg.distribution import BinnedDistribution
from fastdeg.frameworks.comparison import LEVELS, WORDS, Audit, describe, simulate, worded
from fastdeg.images import read_images
from fastdeg.runs import folder as runs
from fastdeg.runs.handover import load_estimator


def run(options: argparse.Namespace) -> None:
    """Say what an option file trains on, and how that fits the photos."""
    read = fd.frameworks.read(options.OPTIONS, framework=options.framework)
    if options.run is not None and options.references is not None:
        raise ValueError("--run, --references: expected at most one of them")
    if options.references is None and options.clean is not None and options.run is None:
        raise ValueError("--clean: goes with --references, or with --run and --simulate")
    if options.simulate is not None and (options.simulate < 1 or options.clean is None):
        raise ValueError("--simulate: expected a number of images >= 1, and --clean with a folder of clean images")
    if options.references is None:
        refuse(options, ("downsampling", "noise", "degrade"), "--references")
    if options.run is not None:
        refuse(options, ("space",), "--references, or neither of --references and --run")
    if options.simulate is not None and options.references is None and options.run is None:
        raise ValueError("--simulate: goes with --references, or with --run of a run that read photos")
    estimator = None
    if options.run is not None:
        target, crafted = _of_run(options.run)
        found = fd.frameworks.audit(read, target, crafted=crafted)
        estimator = load_estimator(options.run) if options.simulate else None
    elif options.references is not None:
        if options.clean is None:
            raise ValueError("--clean: expected a folder of clean images beside --references, got none")
        estimator, references, notes, _ = fit_estimator(options)
        found = fd.frameworks.audit(read, estimator.estimate(list(references.values())))
        for text in notes:
            console.note(text)
    else:
        found = describe(read, GridBins(read_space(options.space or "paper")))
    if options.simulate is not None and estimator is not None:
        images = read_images(
            options.clean, skip_bad=options.skip_bad, min_side=estimator.least_side, max_images=options.simulate
        ).images
        found = dataclasses.replace(found, simulated=simulate(read, estimator, images, options.simulate))
    if options.json:
        console.print_json(found.to_dict())
    else:
        _print(found)


def _of_run(folder: Path) -> tuple[BinnedDistribution, BinnedDistribution | None]:
    """Return what a run inferred of the photos, and what it crafted, where it did."""
    runs.read_summary(folder)
    crafted = folder / "crafted.npz"
    return (
        BinnedDistribution.load(folder / "target.npz"),
        BinnedDistribution.load(crafted) if crafted.is_file() else None,
    )


def _print(found: Audit) -> None:
    for sentence in found.sentences:
        console.say(sentence)
    options = found.options
    for title, lines in (
        ("Keys without effect", options.without_effect),
        ("To know", options.traps),
        ("Unknown keys", options.unknown),
        ("Beyond the axes", [f"{name} (probability {p:.2g})" for name, p in options.outside.items()]),
    ):
        if lines:
            console.say(f"\n{title}:")
            for line in lines:
                console.say(f"  - {line}")
    header = ["axis", *(f"trained {level:.0%}" for level in LEVELS)]
    compared = found.target is not None
    header += [*(f"photos {level:.0%}" for level in LEVELS), "verdict"] if compared else []
    rows: list[Any] = []
    for axis in found.axes:
        numbers = [worded(axis.name, value, 3) for value in (*axis.training, *(axis.photos or ()))]
        rows.append([WORDS.get(axis.name, axis.name), *numbers, *([axis.verdict or ""] if compared else [])])
    console.say("")
    console.print_table(f"{options.framework}, ×{options.scale:g}", header, rows)
