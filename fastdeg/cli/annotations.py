"""The annotated way: q from a table of degradation parameters, its axes from the columns where no space is given."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastdeg as fd
from fastdeg._threads import ordered_map
from fastdeg._types import ByValue, Float, Progress
from fastdeg.bins import Bins
from fastdeg.cli import console
from fastdeg.cli.inputs import read_history, read_space, refuse
from fastdeg.cli.photos import read_photos
from fastdeg.cli.prior import prior_over
from fastdeg.cli.tables import Table, read_table
from fastdeg.degradations.registry import parameters as known_parameters
from fastdeg.distribution import BinnedDistribution
from fastdeg.images import ImageFile, dct_features
from fastdeg.runs.workflow import Candidates, CraftingRun, craft_run
from fastdeg.space import Axis, DegradationSpace

MOST_CELLS = 50_000  # of a grid; beyond, and where asked for, k-means of the rows
MOST_ALONG_AXIS = 50
CENTROIDS = 1000
USUAL_RANGES = {"blur_sigma": (0, 5), "noise_sigma": (0, 50), "jpeg_quality": (30, 100), "downsampling": (2, 8)}
LEVELS = ("downsampling",)  # axes of levels where all values are whole


@dataclass(frozen=True, eq=False)
class Annotations(ByValue):
    """Degradation parameters of images.

    Attributes
    ----------
    space : DegradationSpace
    parameters : ndarray, shape (n, d)
        In the units of the space's axes.
    names : tuple of str
        The column ``file``, where the table has one, or the numbers of the rows.
    has_files : bool
    assumed : tuple of str
        What was assumed in reading them.
    """

    space: DegradationSpace
    parameters: Float
    names: tuple[str, ...]
    has_files: bool
    assumed: tuple[str, ...]


def read_annotations(
    table: Table, space: DegradationSpace | None, *, outside: str = "raise", skip_bad: bool = False
) -> Annotations:
    """Return the columns that are axes of the space or, without one, of the degradation chain.

    Raises
    ------
    ValueError
        When a column is missing or there twice, or a value is no finite number, or outside of the space.
    """
    names = space.names if space else tuple(name for name in known_parameters() if name in table.frame.columns)
    columns = list(table.frame.columns)
    if missing := [name for name in names if name not in columns]:
        raise ValueError(
            f"{table.path}: expected a column for each axis ({', '.join(names)}), "
            f"missing {', '.join(missing)}; got {', '.join(columns)}"
        )
    if not names:
        raise ValueError(
            f"{table.path}: expected columns among {', '.join(known_parameters())}, got {', '.join(columns)}"
        )
    if twice := [name for name in (*names, "file") if columns.count(name) > 1]:
        raise ValueError(f"{table.path}: expected the column {twice[0]} once, got it {columns.count(twice[0])} times")
    values = np.stack([table.numbers(name) for name in names], axis=1)
    assumed = list(table.notes)
    kept: NDArray[np.bool_] = np.asarray(np.isfinite(values).all(axis=1))
    if not kept.all():
        if not skip_bad or not kept.any():
            raise ValueError(_bad_number(table, names, values))
        assumed.append(f"{(~kept).sum()} of {len(kept)} rows without numbers left out")
    if space is None:
        space = _space_of(names, values[kept])
        assumed.append("axes from the columns: " + ", ".join(map(_axis_text, space.axes)))
    values, kept = _inside(table, space, values, kept, outside, assumed)
    if unused := [name for name in columns if name not in (*names, "file")]:
        assumed.append(f"columns not used: {', '.join(unused)}")
    has_files = "file" in columns
    labels = table.frame["file"].astype(str) if has_files else [row.partition(" (")[0] for row in table.rows]
    return Annotations(
        space, values[kept], tuple(label for label, keep in zip(labels, kept, strict=True) if keep), has_files,
        tuple(assumed),
    )  # fmt: skip


def _bad_number(table: Table, names: Sequence[str], values: Float) -> str:
    rows, columns = np.nonzero(np.isnan(values))
    name = names[columns[0]]
    n_rows = len(set(rows.tolist()))
    others = f"; so in {n_rows} of {len(values)} rows, which --skip-bad leaves out" if n_rows < len(values) else ""
    got = str(table.frame[name].iloc[rows[0]])
    return f"{table.path}, {table.rows[rows[0]]}, column {name}: expected a finite number, got {got!r}{others}"


def _inside(
    table: Table, space: DegradationSpace, values: Float, kept: NDArray[np.bool_], outside: str, assumed: list[str]
) -> tuple[Float, NDArray[np.bool_]]:
    """Return the values and the rows kept, after what is outside of the space was refused, moved or left out."""
    low, high = (np.array([axis.boundaries[end] for axis in space.axes]) for end in (0, -1))
    wrong = ((values < low) | (values > high)) & kept[:, None]
    if not wrong.any():
        return values, kept
    rows, columns = np.nonzero(wrong)
    if outside == "raise":
        name, column = space.names[columns[0]], columns[0]
        raise ValueError(
            f"{table.path}, {table.rows[rows[0]]}, column {name}: expected a value of the space, from "
            f"{low[column]:g} to {high[column]:g}, got {values[rows[0], column]:g}; --space takes a wider one, and "
            f"--outside clip or drop goes on with {len(set(rows.tolist()))} such rows of {len(values)}"
        )
    n = len(set(rows.tolist()))
    assumed.append(f"{n} of {len(values)} rows outside the space {'left out' if outside == 'drop' else 'moved to it'}")
    if outside == "drop":
        kept = kept & ~wrong.any(axis=1)
        if not kept.any():
            raise ValueError(f"{table.path}: expected rows inside the space, got none")
        return values, kept
    ends = [(axis.low, axis.high) for axis in space.axes]
    return np.where(wrong, np.clip(values, *np.transpose(ends)), values), kept


def _space_of(names: Sequence[str], values: Float) -> DegradationSpace:
    """Return a space that holds the values: the usual range of each parameter, or a wider one; levels for factors."""
    columns = list(zip(names, values.T, strict=True))
    levels = [name in LEVELS and bool((column == np.rint(column)).all()) for name, column in columns]
    ranges = [_range_of(name, column) for name, column in columns]
    taken = math.prod(high - low + 1 for (low, high), by_level in zip(ranges, levels, strict=True) if by_level)
    n_cells = len(names) - sum(levels)
    along = min(MOST_ALONG_AXIS, max(1, int((MOST_CELLS / taken) ** (1 / max(n_cells, 1)))))
    units = {name: parameter.unit for name, parameter in known_parameters().items()}
    return DegradationSpace(
        [
            Axis.levels(name, np.arange(low, high + 1), units[name])
            if by_level
            else Axis.regular(name, low, high, along, units[name])
            for name, (low, high), by_level in zip(names, ranges, levels, strict=True)
        ]
    )


def _range_of(name: str, values: Float) -> tuple[float, float]:
    parameter = known_parameters()[name]
    if values.min() < parameter.low or values.max() > parameter.high:
        raise ValueError(
            f"column {name}: expected values from {parameter.low:g} to {parameter.high:g}, "
            f"got {values.min():g} to {values.max():g}"
        )
    none = values.min() if parameter.neutral is None else parameter.neutral
    low, high = USUAL_RANGES.get(name, (none, none))
    low, high = min(low, values.min()), max(high, values.max())
    return (low, high) if high > low else (low, low + 1)


def _axis_text(axis: Axis) -> str:
    return f"{axis.name} {axis.low:g}–{axis.high:g} ({axis.n_bins} {'levels' if axis.discrete else 'cells'})"


def annotation_bins(annotations: Annotations, n_bins: int | None) -> tuple[Bins, BinnedDistribution | None]:
    """Return the grid of the space or, where asked for or the grid is too large, k-means bins of the rows.

    With these goes a prior, as their volumes are shares of the rows: the share of the space nearest to each centre.
    """
    space, rows = annotations.space, annotations.parameters
    if n_bins is None and space.n_bins <= MOST_CELLS:
        return fd.GridBins(space), None
    if n_bins is None:
        n_bins = min(CENTROIDS, len(np.unique(rows, axis=0)))
    bins = fd.CentroidBins.fit(rows, n_bins, space=space)
    places = np.random.default_rng(0).random((20 * n_bins + 10_000, space.ndim))
    near = bins.histogram(space.unstandardize(places)) + 1.0  # each centre is somewhere
    return bins, BinnedDistribution(bins, near / near.sum())


def craft_from_annotations(
    options: argparse.Namespace, generalization: float | str | dict[str, float]
) -> tuple[CraftingRun, dict[str, Any]]:
    """Craft the training distribution of a table's rows; return it with the run's inputs."""
    refuse(
        options,
        ("clean", "downsampling", "noise", "degrade", "history", "keep_outside"),
        "--references, not with --annotations",
    )
    space = read_space(options.space) if options.space else None
    history = read_history(options.space, () if space is None else space.names)
    annotations = read_annotations(
        read_table(options.annotations), space, outside=options.outside or "raise", skip_bad=options.skip_bad
    )
    bins, prior = annotation_bins(annotations, options.n_bins)
    console.announce_compilation()
    target = BinnedDistribution.from_samples(bins, annotations.parameters)
    binned, moved = _binning(annotations, bins)
    wanted, prior_notes = prior_over(options.prior, bins)
    with console.progress_bar() as progress:
        candidates, notes = _candidates(options, annotations, bins, progress)
        run = craft_run(
            target,
            candidates,
            prior=prior if wanted is None else wanted,
            prior_name="uniform" if wanted is None else "prior",
            generalization=generalization,
            n_references=options.n_references,
            n_neighbors=options.n_neighbors,
            target_moments=fd.weighted_moments(annotations.parameters),
            notes=["; ".join([*annotations.assumed, binned]), *notes, *prior_notes],
            target_name="annotated",
            progress=progress,
        )
    inputs = {
        "annotations": str(options.annotations),
        "n_rows": len(annotations.parameters),
        "n_bins": bins.n_bins,
        "binning_distance": moved,
        "history": None if history is None else history.to_dict(),
    }
    return run, inputs


def _binning(annotations: Annotations, bins: Bins) -> tuple[str, dict[str, float]]:
    """Return how far the bins move the rows: for each axis, the mean distance to the centre of a row's bin.

    On a grid that is the earth mover's distance between the table and its binned form along the axis, and the sum
    over the axes, standardised, that of the whole; on centroids it is no less than that.
    """
    rows, space = annotations.parameters, annotations.space
    moved = np.abs(rows - bins.centers[bins.assign(rows)]).mean(axis=0)
    by_axis = dict(zip(space.names, map(float, moved), strict=True))
    total = float((moved / space.scales()).sum())
    kind = "the grid" if isinstance(bins, fd.GridBins) else "k-means of the rows"
    text = ", ".join(f"{name} {value:.2g}" for name, value in by_axis.items())
    return f"{kind} of {bins.n_bins} bins lies {total:.2g} from the table (EMD, standardised; {text})", {
        **by_axis,
        "standardised": total,
    }


def _candidates(
    options: argparse.Namespace, annotations: Annotations, bins: Bins, progress: Progress | None
) -> tuple[Candidates, list[str]]:
    """Return the rows, or those whose images can be used, as candidates for references, and notes on the images."""
    rows, names = annotations.parameters, annotations.names
    labels = bins.assign(rows)
    if options.images is None:
        return Candidates(names, annotations.space.standardize(rows), rows, labels), []
    if not annotations.has_files:
        raise ValueError(f"{options.annotations}: expected a column 'file' beside --images, got none")
    paths = [options.images / name for name in names]
    photos = read_photos(paths, options, progress)
    unusable = {error.path for error in photos.skipped}
    usable = [i for i, path in enumerate(paths) if path not in unusable]
    features = np.stack(list(ordered_map(_features, photos.files)))
    spread = features.std(axis=0)
    embeddings = (features - features.mean(axis=0)) / np.where(spread > 0, spread, 1)
    files = tuple(names[i] for i in usable)
    return Candidates(files, embeddings, rows[usable], labels[usable], photos.files), photos.notes


def _features(photo: ImageFile) -> NDArray[np.float32]:
    return dct_features(photo.pixels)
