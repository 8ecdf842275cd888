"""The least space and history that explain photos: axes and steps that buy something, in the ranges that are read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastdeg._types import ByValue, Float, Progress
from fastdeg.bins import GridBins
from fastdeg.degradations.history import History
from fastdeg.images.estimator import DegradationEstimator
from fastdeg.images.files.read import ImageFile
from fastdeg.images.inference.results import Inference
from fastdeg.images.step_classifier import CRAFTED, MANNERS, Addition, StepClassifier
from fastdeg.space import Axis, DegradationSpace

MOST_STEPS = 4  # beside the axes
N_SAMPLES = 4_000
LEAST_SHARE = 0.05  # probability of a step
LEAST_CELLS = 2  # of an axis
AXES = {axis.name: axis for axis in DegradationSpace.preset("photo").axes}


@dataclass(frozen=True, eq=False)
class Proposal(ByValue):
    """What `propose` returns.

    Attributes
    ----------
    space : DegradationSpace
    history : History
    additions : tuple of Addition
        What each step buys that was taken, those of the axes too; the one that explains most first.
    n_outside : dict
        Number of photos outside at the level of 1 %, with the axes alone (``""``) and after each step of the history.
    """

    space: DegradationSpace
    history: History
    additions: tuple[Addition, ...]
    n_outside: dict[str, int] = field(default_factory=dict)


def propose(
    classifier: StepClassifier,
    photos: Iterable[ArrayLike],
    clean_images: Sequence[ArrayLike | ImageFile],
    *,
    n_samples: int = N_SAMPLES,
    progress: Progress | None = None,
) -> Proposal:
    """Return the least space and history that explain photos.

    Of blur, noise and JPEG quality those are axes that the classifier finds at work, in the cells of the preset
    "photo" that hold what is read. Other steps are added in the order in which they explain most, as long as not more
    photos are outside than before.

    Parameters
    ----------
    classifier : StepClassifier
        Fitted on the clean images.
    photos : sequence of arrays or image files
        Of files, what they say of their compression is used.
    clean_images : sequence of arrays
    n_samples : int
        Synthetic patches of the fits that tell who is outside, and what is read.
    progress : callable (fraction, message), optional
    """
    photos = list(photos)
    report = progress or (lambda fraction, message: None)
    additions = classifier.additions(photos)
    explaining = {addition.step for addition in additions}
    names = [name for name, step in CRAFTED.items() if step in explaining] or ["blur_sigma"]
    further = [addition for addition in additions if addition.step not in CRAFTED.values()][:MOST_STEPS]
    bins = GridBins(DegradationSpace([AXES[name] for name in names]))
    settings: dict[str, Any] = {"downsampling": classifier.downsampling, "n_samples": n_samples}

    def read(steps: Sequence[dict[str, Any]]) -> Inference:
        report(len(steps) / (MOST_STEPS + len(names) + 1), "reading the photos with each step")
        estimator = DegradationEstimator(bins, history=History(steps), **settings).fit(clean_images)
        return estimator.infer(photos)

    steps, taken = _manners(names, photos), []
    found = read(steps)
    n_outside = {"": int(found.outside.sum())}
    for addition in further:
        probability = round(float(np.clip(addition.share, LEAST_SHARE, 1)), 2)
        longer = [*steps, classifier.candidates[addition.step] | {"probability": probability}]
        tried = read(longer)
        if tried.outside.sum() > found.outside.sum():
            break
        steps, found = longer, tried
        taken.append(addition.step)
        n_outside[addition.step] = int(found.outside.sum())
    report(1.0, "proposed")
    told = found.with_a_say
    axes = zip(bins.space.axes, found.parameters[told].T, found.parameter_errors[told].T, strict=True)
    space = DegradationSpace([_narrowed(axis, values - errors, values + errors) for axis, values, errors in axes])
    kept = {*taken, *CRAFTED.values()}
    return Proposal(space, History(steps), tuple(a for a in additions if a.step in kept), n_outside)


def _manners(names: Sequence[str], photos: Iterable[Any]) -> list[dict[str, Any]]:
    """Return how the steps of the axes act: JPEG with the subsampling of the chroma that files tell."""
    steps = [manner for manner in MANNERS if manner["step"] not in CRAFTED.values()]
    steps += [manner for name in names for manner in MANNERS if manner["step"] == CRAFTED[name]]
    tables = [photo.jpeg for photo in photos if isinstance(photo, ImageFile) and photo.jpeg is not None]
    told = Counter(table.subsampling for table in tables if table.subsampling is not None)
    if told and "jpeg_quality" in names:
        steps[-1] = {"step": "JPEG", "jpeg_subsampling": {"choice": list(told), "weights": list(told.values())}}
    return steps


def _narrowed(axis: Axis, low: Float, high: Float) -> Axis:
    """Return the cells of an axis that hold all between the least and the largest of some numbers."""
    first, last = int(axis.assign(low.min())), int(axis.assign(high.max()))
    while last - first + 1 < LEAST_CELLS:
        first, last = (first - 1, last) if last == axis.n_bins - 1 else (first, last + 1)
    return Axis.edges(axis.name, axis.boundaries[first : last + 2], axis.unit)
