"""The verb degrade: pairs of clean and degraded images on disk, drawn from a run's crafted distribution."""

from __future__ import annotations

import argparse
import hashlib

from fastdeg._threads import thread_count
from fastdeg.cli import console
from fastdeg.images.files.read import list_images
from fastdeg.runs.handover import load_transform
from fastdeg.runs.pairs import write_pairs


def run(options: argparse.Namespace) -> None:
    """Write a degraded image beside each clean one, and the parameters of all."""
    if options.workers is not None and options.workers < 1:
        raise ValueError(f"--workers: expected a whole number >= 1, got {options.workers}")
    transform = load_transform(options.run, downsampling=options.downsampling, seed=options.seed)
    images = list_images(options.IMAGES)
    settings = {
        "distribution": hashlib.sha256((options.run / "crafted.npz").read_bytes()).hexdigest()[:16],
        "seed": options.seed,
        "downsampling": transform.fixed.get("downsampling"),
        "history": transform.history.to_dict()["steps"],
    }
    with console.progress_bar() as progress:
        pairs = write_pairs(
            images, transform, options.output, settings, workers=options.workers or thread_count(options.threads),
            skip_bad=options.skip_bad, progress=progress,
        )  # fmt: skip
    for error in pairs.skipped:
        console.note(f"skipped {error}")
    if options.json:
        console.print_json(settings | {"pairs": list(pairs.rows), "new": pairs.n_new})
        return
    console.say(f"{len(pairs.rows)} pairs, {pairs.n_new} of them new: lq, hq and parameters.csv")
    console.written(options.output)
