"""The verb craft: from photos or annotations to the training distribution."""

from __future__ import annotations

import argparse
import math
from typing import Any

from fastdeg.cli import console, forecasting
from fastdeg.cli.ahead import crafting_compiled
from fastdeg.cli.annotations import craft_from_annotations
from fastdeg.cli.inputs import refuse
from fastdeg.cli.photos import craft_from_photos, earlier_estimator, fit_estimator, some_clean_images
from fastdeg.cli.prior import read_prior
from fastdeg.images import DegradationEstimator
from fastdeg.runs import folder as runs
from fastdeg.runs.answers import answers
from fastdeg.runs.workflow import CraftingRun, save_run, summarize


def run(options: argparse.Namespace) -> None:
    """Craft the training distribution from reference photos and clean images, or from annotations."""
    forecasting.check(options)
    generalization = _generalization(options.generalization)
    if options.allow_loss is not None:
        generalization = {"loss": options.allow_loss}
    runs.check_run_folder(options.output, force=options.force)
    if options.n_references < 0:
        raise ValueError(f"--n-references: expected a whole number >= 0, got {options.n_references}")
    options.prior = read_prior(options.prior)
    estimator = None
    if (options.annotations is None) == (options.references is None and options.estimate is None):
        raise ValueError("--references, --estimate, --annotations: expected one of them")
    if options.annotations is not None:
        crafted, inputs = craft_from_annotations(options, generalization)
    else:
        estimator, crafted, inputs = _craft_from_photos(options, generalization)
    if options.prior is not None:
        inputs["prior"] = options.prior.source
    found = answers(crafted, inputs, options.prior)
    summary = summarize(
        crafted, "craft", inputs, generalization_auto=generalization == "auto", command=options.command, **found
    )
    clean = some_clean_images(inputs)
    save_run(options.output, crafted, summary, estimator=estimator, clean=clean, force=options.force)
    console.print_run(summary, options.output, as_json=options.json)


def _craft_from_photos(
    options: argparse.Namespace, generalization: float | str | dict[str, float]
) -> tuple[DegradationEstimator, CraftingRun, dict[str, Any]]:
    refuse(options, ("n_bins", "images", "outside"), "--annotations, not with --references or --estimate")
    if options.estimate is not None:
        fit = ("space", "downsampling", "noise", "degrade", "history")
        refuse(options, fit if options.forecast else ("clean", *fit), "a fit, not with --estimate")
        estimator, references, notes, inputs = earlier_estimator(options)
    elif options.clean is None:
        raise ValueError("--clean: expected a folder of clean images beside --references, got none")
    else:
        with crafting_compiled():
            estimator, references, notes, inputs = fit_estimator(options)
    forecast = forecasting.fitted(options, estimator, inputs)
    with console.progress_bar() as progress:
        crafted = craft_from_photos(
            estimator, references, options, progress, generalization=generalization, notes=notes, forecast=forecast
        )
    return estimator, crafted, inputs


def _generalization(text: str) -> float | str | dict[str, float]:
    if text == "auto":
        return text
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"--generalization: expected a number >= 0 or auto, got {text!r}")
    return value
