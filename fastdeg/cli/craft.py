"""The verb craft: from photos or annotations to the training distribution."""

from __future__ import annotations

import argparse
import math
from typing import Any

import numpy as np

import fastdeg as fd
from fastdeg._types import Progress
from fastdeg.bins import Bins
from fastdeg.cli import console
from fastdeg.cli.ahead import crafting_compiled
from fastdeg.cli.inputs import Annotations, read_annotations, read_space, refuse
from fastdeg.cli.photos import craft_from_photos, earlier_estimator, fit_estimator
from fastdeg.cli.prior import prior_over, read_prior
from fastdeg.distribution import BinnedDistribution
from fastdeg.images import DegradationEstimator, dct_features, read_images
from fastdeg.runs import folder as runs
from fastdeg.runs.workflow import Candidates, CraftingRun, craft_run, save_run, summarize
from fastdeg.space import DegradationSpace


def run(options: argparse.Namespace) -> None:
    """Craft the training distribution from reference photos and clean images, or from annotations."""
    generalization = _generalization(options.generalization)
    runs.check_run_folder(options.output, force=options.force)
    if options.n_references < 0:
        raise ValueError(f"--n-references: expected a whole number >= 0, got {options.n_references}")
    options.prior = read_prior(options.prior)
    estimator = None
    if (options.annotations is None) == (options.references is None and options.estimate is None):
        raise ValueError("--references, --estimate, --annotations: expected one of them")
    if options.annotations is not None:
        crafted, inputs = _craft_from_annotations(options, generalization)
    else:
        estimator, crafted, inputs = _craft_from_photos(options, generalization)
    summary = summarize(crafted, "craft", inputs, generalization_auto=generalization == "auto")
    save_run(options.output, crafted, summary, estimator=estimator, force=options.force)
    console.print_run(summary, options.output, as_json=options.json)


def _craft_from_photos(
    options: argparse.Namespace, generalization: float | str
) -> tuple[DegradationEstimator, CraftingRun, dict[str, Any]]:
    refuse(options, ("n_bins", "images"), "--annotations, not with --references or --estimate")
    if options.estimate is not None:
        refuse(options, ("clean", "space", "downsampling", "noise", "degrade"), "a fit, not with --estimate")
        estimator, references, notes, inputs = earlier_estimator(options)
    elif options.clean is None:
        raise ValueError("--clean: expected a folder of clean images beside --references, got none")
    else:
        with crafting_compiled():
            estimator, references, notes, inputs = fit_estimator(options)
    with console.progress_bar() as progress:
        crafted = craft_from_photos(
            estimator, references, options, progress, generalization=generalization, notes=notes
        )
    return estimator, crafted, inputs


def _craft_from_annotations(
    options: argparse.Namespace, generalization: float | str
) -> tuple[CraftingRun, dict[str, Any]]:
    refuse(options, ("clean", "downsampling", "noise", "degrade"), "--references, not with --annotations")
    if options.images is None:
        refuse(options, ("skip_bad",), "--references or --images, since nothing else is read from images")
    space = read_space(options.space or "dense")
    table = read_annotations(options.annotations, space)
    bins = _annotation_bins(space, options.n_bins)
    console.announce_compilation()
    target = BinnedDistribution.from_samples(bins, table.parameters)
    prior, prior_notes = prior_over(options.prior, bins)
    with console.progress_bar() as progress:
        candidates, notes = _annotated_candidates(options, table, bins, progress)
        run = craft_run(
            target,
            candidates,
            generalization=generalization,
            n_references=options.n_references,
            n_neighbors=options.n_neighbors,
            target_moments=fd.weighted_moments(table.parameters),
            prior=prior,
            prior_name="uniform" if prior is None else "prior",
            notes=[*notes, *prior_notes],
            target_name="annotated",
            progress=progress,
        )
    inputs = {"annotations": str(options.annotations), "n_rows": len(table.parameters), "n_bins": bins.n_bins}
    return run, inputs


def _annotation_bins(space: DegradationSpace, n_bins: int | None) -> Bins:
    """Return k-means bins of the space's points, or its own cells where there are no more than the bins wanted."""
    if n_bins is None:
        n_bins = 100
        if space.n_bins <= n_bins:
            return fd.GridBins(space)
    return fd.CentroidBins.fit(space.points(), n_bins, space=space)


def _annotated_candidates(
    options: argparse.Namespace, table: Annotations, bins: Bins, progress: Progress | None
) -> tuple[Candidates, list[str]]:
    """Return the rows, or those whose images can be used, as candidates for references, and notes on the images."""
    labels = bins.assign(table.parameters)
    assert bins.space is not None
    if options.images is None:
        rows = tuple(f"row {i}" for i in range(1, len(labels) + 1))
        return Candidates(table.files or rows, bins.space.standardize(table.parameters), table.parameters, labels), []
    if table.files is None:
        raise ValueError(f"{options.annotations}: expected a column 'file' beside --images, got none")
    paths = [options.images / name for name in table.files]
    photos = read_images(paths, skip_bad=options.skip_bad, progress=progress)
    unusable = {error.path for error in photos.skipped}
    usable = [i for i, path in enumerate(paths) if path not in unusable]
    features = np.stack([dct_features(image) for image in photos.images])
    spread = features.std(axis=0)
    embeddings = (features - features.mean(axis=0)) / np.where(spread > 0, spread, 1)
    files = tuple(table.files[i] for i in usable)
    return Candidates(files, embeddings, table.parameters[usable], labels[usable], photos.images), photos.notes


def _generalization(text: str) -> float | str:
    if text == "auto":
        return text
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"--generalization: expected a number >= 0 or auto, got {text!r}")
    return value
