"""What each verb of the command line does with its parsed options."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastdeg as fd
from fastdeg import baselines, runtime
from fastdeg.bins import Bins
from fastdeg.cli import console
from fastdeg.cli.ahead import crafting_compiled
from fastdeg.cli.estimate import estimate, fit_estimator, photo_candidates, photo_notes, print_estimate
from fastdeg.cli.inputs import Annotations, read_annotations, read_space
from fastdeg.cli.select import select
from fastdeg.distribution import BinnedDistribution
from fastdeg.images import DegradationEstimator, dct_features, read_images
from fastdeg.runs import folder as runs
from fastdeg.runs import report
from fastdeg.runs.workflow import Candidates, CraftingRun, Progress, craft_run, save_run, summarize
from fastdeg.space import DegradationSpace

RUNS_FOLDER = Path("fastdeg-runs")


def demo(options: argparse.Namespace) -> None:
    """Play an application whose degradations are known, and compare what was found with the truth."""
    from fastdeg.cli.demo import DOWNSAMPLING, play_application

    folder = options.output or runs.numbered(RUNS_FOLDER, "demo")
    runs.check_run_folder(folder, force=options.force)
    console.announce_compilation()
    rng = np.random.default_rng(options.seed)
    with console.progress_bar() as progress:
        with crafting_compiled():
            application = play_application(rng)
            estimator = fd.DegradationEstimator(
                application.truth.bins, downsampling=DOWNSAMPLING, n_samples=8_000, random_state=options.seed
            ).fit(list(application.clean.values()), threads=options.threads, progress=progress)
        run = _craft_from_photos(estimator, application.references, options, progress, generalization="auto")
    inputs = {"clean": sorted(application.clean), "references": len(application.references), "seed": options.seed}
    summary = summarize(run, "demo", inputs, truth=application.truth, generalization_auto=True)
    summary["caption"] = _demo_caption(summary["comparison"], application)
    save_run(folder, run, summary, estimator=estimator, force=options.force)
    _show(options, summary, folder)


def craft(options: argparse.Namespace) -> None:
    """Craft the training distribution from reference photos and clean images, or from annotations."""
    generalization = _generalization(options.generalization)
    runs.check_run_folder(options.output, force=options.force)
    estimator = None
    if options.annotations is not None:
        run, inputs = _craft_from_annotations(options, generalization)
    else:
        if options.clean is None:
            raise ValueError("--clean: expected a folder of clean images beside --references, got none")
        for name in ("n_bins", "images"):
            if getattr(options, name) is not None:
                raise ValueError(f"--{name.replace('_', '-')}: goes with --annotations, not with --references")
        with crafting_compiled():
            estimator, references, notes, inputs = fit_estimator(options)
        with console.progress_bar() as progress:
            run = _craft_from_photos(
                estimator, references, options, progress, generalization=generalization, notes=notes
            )
    summary = summarize(run, "craft", inputs, generalization_auto=generalization == "auto")
    save_run(options.output, run, summary, estimator=estimator, force=options.force)
    _show(options, summary, options.output)


def report_run(options: argparse.Namespace) -> None:
    """Show a run's table and write its HTML report again."""
    summary = runs.read_summary(options.folder)
    report.write_report(options.folder, options.folder / "report.html")
    if summary["verb"] == "estimate" and not options.json:
        print_estimate(summary)
        return
    _show(options, summary, options.folder)


def info(options: argparse.Namespace) -> None:
    """Print versions, threads, threading layer and cache folder."""
    if options.json:
        console.print_json(runtime.configuration())
    else:
        runtime.show_config()


def _craft_from_photos(
    estimator: DegradationEstimator,
    references: Mapping[str, NDArray[Any]],
    options: argparse.Namespace,
    progress: Progress | None,
    *,
    generalization: float | str,
    notes: Sequence[str] = (),
) -> CraftingRun:
    images = list(references.values())
    inference = estimator.infer(images)
    target = inference.distribution
    # on one thread: the version for more compiles for longer than it could ever save here
    moments = *estimator.bin_feature_moments(), *estimator.feature_moments(images)
    distances = fd.frechet_distances(*moments, threads=1)
    closed_form = baselines.closed_form_weights(distances)
    return craft_run(
        target,
        photo_candidates(estimator, inference, references),
        generalization=generalization,
        n_references=getattr(options, "n_references", 10),
        n_neighbors=getattr(options, "n_neighbors", 5),
        other_baselines={"closed-form weights": BinnedDistribution(target.bins, closed_form)},
        notes=[*notes, *photo_notes(inference, list(references))],
        threads=options.threads,
        progress=progress,
    )


def _craft_from_annotations(
    options: argparse.Namespace, generalization: float | str
) -> tuple[CraftingRun, dict[str, Any]]:
    if options.clean is not None:
        raise ValueError("--clean: goes with --references, not with --annotations")
    space = read_space(options.space or "dense")
    table = read_annotations(options.annotations, space)
    bins = _annotation_bins(space, options.n_bins)
    console.announce_compilation()
    target = BinnedDistribution.from_samples(bins, table.parameters, threads=options.threads)
    with console.progress_bar() as progress:
        run = craft_run(
            target,
            _annotated_candidates(options, table, bins),
            generalization=generalization,
            n_references=options.n_references,
            n_neighbors=options.n_neighbors,
            target_moments=fd.weighted_moments(table.parameters, threads=options.threads),
            target_name="annotated",
            threads=options.threads,
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


def _annotated_candidates(options: argparse.Namespace, table: Annotations, bins: Bins) -> Candidates:
    labels = bins.assign(table.parameters, threads=options.threads)
    assert bins.space is not None
    rows = tuple(f"row {i}" for i in range(1, len(labels) + 1))
    if options.images is None:
        return Candidates(table.files or rows, bins.space.standardize(table.parameters), table.parameters, labels)
    if table.files is None:
        raise ValueError(f"{options.annotations}: expected a column 'file' beside --images, got none")
    images = read_images([options.images / name for name in table.files]).images
    features = np.stack([dct_features(image) for image in images])
    spread = features.std(axis=0)
    embeddings = (features - features.mean(axis=0)) / np.where(spread > 0, spread, 1)
    return Candidates(table.files, embeddings, table.parameters, labels, images)


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


def _demo_caption(comparison: list[dict[str, Any]], application: Any) -> str:
    inferred = comparison[0]["mass_on_true_bins"]
    text = (
        f"Truth: uniform on {int((application.truth.pmf > 0).sum())} of {application.truth.n_bins} joint bins; "
        f"{len(application.references)} references from a photograph not used for fitting."
    )
    if inferred < 0.8:
        text += f" The embedded photographs carry only {inferred:.2f} of the inferred q to the true bins."
    return text


def _show(options: argparse.Namespace, summary: dict[str, Any], folder: Path) -> None:
    if options.json:
        console.print_json(summary)
    else:
        console.print_run(summary, folder)


VERBS = {"demo": demo, "craft": craft, "estimate": estimate, "select": select, "report": report_run, "info": info}
