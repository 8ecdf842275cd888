"""The options --forecast and --allow-loss: what training on a distribution would gain, in decibels."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fastdeg as fd
from fastdeg.cli import console
from fastdeg.cli.inputs import refuse
from fastdeg.forecast import TrainingForecast
from fastdeg.images import DegradationEstimator, read_images


def check(options: argparse.Namespace) -> None:
    """Refuse what does not go together, before anything is read."""
    loss = options.allow_loss
    if loss is not None:
        if not (math.isfinite(loss) and loss >= 0):
            raise ValueError(f"--allow-loss: expected decibels >= 0, got {loss}")
        if options.generalization != "auto":
            raise ValueError("--allow-loss: chooses the weight that --generalization gives; leave one of them out")
        options.forecast = True
    if options.degrade is not None or (options.clean is None and options.estimate is None):
        refuse(options, ("forecast",), "--references and --clean or --estimate, and the built-in chain")


def fitted(
    options: argparse.Namespace, estimator: DegradationEstimator, inputs: Mapping[str, Any]
) -> TrainingForecast | None:
    """Return a forecast fitted on the clean images, for the bins and the factor of an estimator; None if not wanted.

    ``inputs``: of the run, with the folder of the clean images.
    """
    if not options.forecast:
        return None
    if inputs.get("degrade") is not None:
        raise ValueError(f"--forecast: goes with the built-in chain, which {options.estimate} was not fitted with")
    folder = Path(inputs["clean"])
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder, of the clean images; --clean says where they are now")
    scale = 4 if estimator.downsampling is None else estimator.downsampling
    if scale != int(scale):
        raise ValueError(f"--forecast: expected a whole --downsampling, got {scale:g}")
    forecast = fd.TrainingForecast(estimator.bins, scale=int(scale), history=estimator.history)
    least = forecast.least_side
    with console.progress_bar() as progress:
        clean = read_images(folder, skip_bad=options.skip_bad, min_side=least, progress=progress)
        return forecast.fit(clean.images, progress=progress)
