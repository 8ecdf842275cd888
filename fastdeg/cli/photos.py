"""What the verbs that read photos share: fitting on clean images, and what is said and crafted of the photos."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastdeg as fd
from fastdeg import baselines
from fastdeg._types import Progress
from fastdeg.cli import console
from fastdeg.cli.inputs import read_history, read_space, refuse
from fastdeg.cli.prior import prior_over
from fastdeg.degradations.history import History, as_history
from fastdeg.degradations.history_nodes import located
from fastdeg.degradations.steps.downsampling import DEFAULT_FACTOR
from fastdeg.distribution import BinnedDistribution
from fastdeg.forecast import TrainingForecast
from fastdeg.images import DegradationEstimator, ImageCollection, ImageFile, SummarizedImages, list_images, read_images
from fastdeg.images.inference.results import Bootstrap, Inference
from fastdeg.runs import folder as runs
from fastdeg.runs.handover import load_estimator, pipeline
from fastdeg.runs.samples import MOST
from fastdeg.runs.workflow import Candidates, CraftingRun, craft_run
from fastdeg.space import DegradationSpace

LEVEL = 0.9  # of the intervals
N_UNIFORM = 20_000  # points that stand for the uniform distribution over another space
MOST_NAMED = 20  # photos that a note names
DEFAULT_HISTORY = "photo"  # reads real photos better than "plain": docs/histories.md has the figures
# bytes of pixels in memory; beyond, files are read again where they are used
KEPT_PHOTOS, KEPT_CLEAN = 64 << 20, 2 << 30
MOST_CLEAN = 4000  # clean images: a fit takes four of its 16,000 patches from one place of an image
Photos = Mapping[str, Any]  # files or arrays
Fitted = tuple[DegradationEstimator, dict[str, ImageFile], list[str], dict[str, Any]]


def fit_estimator(options: argparse.Namespace) -> Fitted:
    """Read both folders and fit the estimator; return it with the references by name, the notes and the inputs."""
    space = read_space(options.space or "paper")
    given = {name: getattr(options, name) for name in ("downsampling", "noise") if getattr(options, name) is not None}
    if options.degrade is not None:
        refuse(options, ("noise",), "the built-in chain, not with --degrade")
        given["degrade"] = pipeline(options.degrade)
    elif "downsampling" not in space.names:
        given.setdefault("downsampling", DEFAULT_FACTOR)
    elif options.downsampling is not None:
        raise ValueError("--downsampling: the space has an axis of that name, which says it")
    history = _history(options, space.names)
    estimator = fd.DegradationEstimator(fd.GridBins(space), **given, history=history)
    with console.progress_bar() as progress:
        references = read_photos(options.references, options, progress)
        clean, clean_notes = read_clean(options, estimator.least_side, progress)
    console.announce_compilation()
    with console.progress_bar() as progress:
        estimator.fit(clean.files, progress=progress)
    inputs = {
        "references": str(options.references),
        "n_references": len(references),
        "clean": str(options.clean),
        "n_clean": len(clean),
        "downsampling": given.get("downsampling"),
        "noise": estimator.noise,
        "degrade": options.degrade,
        "history": None if history is None else history.to_dict(),
    }
    return estimator, references.files_by_name, [*references.notes, *clean_notes], inputs


def read_photos(
    source: Path | Sequence[Path], options: argparse.Namespace, progress: Progress | None
) -> ImageCollection:
    """Return the photos of a folder or a list, all of them checked."""
    return read_images(source, skip_bad=options.skip_bad, max_bytes=KEPT_PHOTOS, progress=progress)


def read_clean(
    options: argparse.Namespace, least_side: int, progress: Progress | None
) -> tuple[ImageCollection, list[str]]:
    """Return the clean images, of very many some, and what is to be said of them."""
    count = len(list_images(options.clean))
    clean = read_images(
        options.clean, skip_bad=options.skip_bad, min_side=least_side, max_images=MOST_CLEAN, max_bytes=KEPT_CLEAN,
        progress=progress,
    )  # fmt: skip
    some = [f"{options.clean}: {MOST_CLEAN:,} of {count:,} clean images, evenly spaced, are enough to learn from"]
    return clean, [*clean.notes, *(some if count > MOST_CLEAN else [])]


def _history(options: argparse.Namespace, names: Sequence[str]) -> History | None:
    """Return what else may have happened to the photos, as the options or the space's file say; None for nothing.

    Where they do not, it is the default one, but for what is an axis, or an option, or an own pipeline's to say.
    """
    named = getattr(options, "history", None)
    if named is not None:
        refuse(options, ("degrade",), "the built-in chain, not with --history")
        with located("--history"):
            history = as_history(named)
            history.check(names)
        return history or None
    found = read_history(options.space, names)
    if found is None and options.degrade is None:
        said = (*names, "noise") if options.noise is not None else names
        return History.preset(DEFAULT_HISTORY).without(said)
    return found or None


def earlier_estimator(options: argparse.Namespace) -> Fitted:
    """Return what `fit_estimator` does, of an earlier run of estimate: its estimator, and its photos read again."""
    summary = runs.read_summary(options.estimate)
    if summary["verb"] != "estimate":
        raise ValueError(f"--estimate: expected a run of the verb estimate, got one of {summary['verb']}")
    inputs = {**summary["inputs"], "estimate": str(options.estimate)}
    folder = options.references or Path(inputs["references"])
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder}: no such folder, of the photos of {options.estimate}; --references says where they are now"
        )
    with console.progress_bar() as progress:
        references = read_photos(folder, options, progress)
    then = {row["file"] for row in summary["images"]}
    if then != (now := references.files_by_name.keys()):
        changed = ", ".join(sorted(then ^ now)[:3])
        raise ValueError(f"{folder}: expected the {len(then)} photos of {options.estimate}, got others ({changed} …)")
    inputs |= {"references": str(folder)} | ({} if options.clean is None else {"clean": str(options.clean)})
    return load_estimator(options.estimate), references.files_by_name, references.notes, inputs


def photo_notes(inference: Inference, names: Sequence[str], *, keep_outside: bool = False) -> list[str]:
    """Return notes on photos that look like none the space can make, by reason, and on those without compression."""
    outside = [name for name, is_outside in zip(names, inference.outside, strict=True) if is_outside]
    without_comb = [name for name, is_without in zip(names, inference.without_comb, strict=True) if is_without]
    notes = []
    if outside:
        left_out = int((~inference.with_a_say).sum())
        consequence = f"{left_out} of them have no say in q, the others may be called so by chance"
        if left_out == len(outside):
            consequence = "they have no say in q"
        if keep_outside or len(outside) == len(names):
            consequence = "q says little of them"
        by_reason = Counter(why for why in inference.outside_reasons if why).most_common()
        reasons = "; ".join(f"{count}: {why}" for why, count in by_reason)
        notes.append(
            f"{len(outside)} of {len(names)} photos look like none that the space can make, so {consequence} "
            f"(if all came from inside, so many would with probability {inference.all_inside_p_value:.2g}): "
            + _some(outside)
            + "; selections leave them out"
            + (f". {reasons}" if reasons else "")
        )
    if without_comb:
        notes.append(
            f"{len(without_comb)} of {len(names)} photos show no quantisation by JPEG (never compressed, or resized or "
            "filtered since), which counts as the best quality of the space: " + _some(without_comb)
        )
    return [*notes, *inference.at_ends]


def _some(names: Sequence[str]) -> str:
    """Return names, of many the first ones and how many more there are."""
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more (listed in images.csv)" if more > 0 else "")


def frechet_of(
    estimator: DegradationEstimator, photos: SummarizedImages, q: BinnedDistribution
) -> dict[str, float] | None:
    """Return the Fréchet distances, in features, between photos and what q and the uniform distribution over the preset
    "paper" make of the clean images; None where the space has other axes or the estimator's features are the user's."""
    space, paper = q.bins.space, DegradationSpace.preset("paper")
    if space is None or not set(paper.names) <= set(space.names) or estimator.features is not None:
        return None
    rng = np.random.default_rng(0)
    ranges = {axis.name: (axis.low, axis.high) for axis in (*space.axes, *paper.axes)}
    samples = np.stack([rng.uniform(*ranges[name], N_UNIFORM) for name in space.names], axis=1)
    uniform = BinnedDistribution.from_samples(q.bins, samples, outside="clip").pmf
    means, covariances = estimator.bin_feature_moments()
    found = {}
    for name, weights in (("q", q.pmf), ("paper", uniform)):
        mean = weights @ means
        left = means - mean
        covariance = np.einsum("n,nij->ij", weights, covariances) + (left * weights[:, None]).T @ left
        found[name] = fd.frechet_distance(mean, covariance, *estimator.feature_moments(photos), squared=False)
    return found


def photo_candidates(
    estimator: DegradationEstimator,
    inference: Inference,
    read: SummarizedImages,
    photos: Photos,
) -> Candidates:
    """Return the photos inside the space as candidates for references: in the bins of what was inferred of each."""
    inside = np.flatnonzero(~inference.outside)
    parameters = inference.parameters[inside]
    labels = estimator.bins.assign(parameters, outside="clip")
    names, images = list(photos), list(photos.values())
    return Candidates(
        tuple(names[i] for i in inside), estimator.embed(read)[inside], parameters, labels,
        [images[i] for i in inside],
    )  # fmt: skip


def marginal_rows(q: BinnedDistribution, bootstrap: Bootstrap) -> dict[str, list[dict[str, Any]]]:
    """Return for each axis the probability of each cell or level, with its interval."""
    space = q.bins.space
    assert space is not None
    tables = {}
    for k, (axis, intervals) in enumerate(zip(space.axes, bootstrap.marginals, strict=True)):
        cells = (
            [f"{level:g}" for level in axis.centers]
            if axis.discrete
            else [f"{low:g} – {high:g}" for low, high in zip(axis.boundaries, axis.boundaries[1:], strict=False)]
        )
        columns = zip(cells, q.marginal(k), intervals.low, intervals.high, strict=True)
        tables[axis.name] = [
            {"cell": cell, "probability": float(mass), "low": float(low), "high": float(high)}
            for cell, mass, low, high in columns
        ]
    return tables


def craft_from_photos(
    estimator: DegradationEstimator,
    references: Photos,
    options: argparse.Namespace,
    progress: Progress | None,
    *,
    generalization: float | str | dict[str, float],
    notes: Sequence[str] = (),
    forecast: TrainingForecast | None = None,
) -> CraftingRun:
    read = estimator.summarize(list(references.values()), progress=progress)
    keep_outside = getattr(options, "keep_outside", False)
    inference = estimator.infer(read, keep_outside=keep_outside)
    target = inference.distribution
    # on one thread: the version for more compiles for longer than it could ever save here
    moments = *estimator.bin_feature_moments(), *estimator.feature_moments(read)
    distances = fd.frechet_distances(*moments, threads=1)
    closed_form = baselines.closed_form_weights(distances)
    prior, prior_notes = prior_over(getattr(options, "prior", None), target.bins, estimator.downsampling)
    return craft_run(
        target,
        photo_candidates(estimator, inference, read, references),
        generalization=generalization,
        n_references=getattr(options, "n_references", 10),
        n_neighbors=getattr(options, "n_neighbors", 5),
        prior=prior,
        prior_name="uniform" if prior is None else "prior",
        other_baselines={"closed-form weights": BinnedDistribution(target.bins, closed_form)},
        marginals=marginal_rows(target, estimator.bootstrap(read, level=LEVEL)),
        level=LEVEL,
        notes=[*notes, *photo_notes(inference, list(references), keep_outside=keep_outside), *prior_notes],
        forecast=forecast,
        progress=progress,
    )


def some_clean_images(inputs: Mapping[str, Any]) -> list[NDArray[np.uint8]]:
    """Return some of a run's clean images, to draw samples on; none where they are not there any more."""
    folder = Path(inputs.get("clean", ""))
    if "clean" not in inputs or not folder.is_dir():
        return []
    return read_images(folder, skip_bad=True, max_images=MOST).images
