"""From a distribution to the files of a framework, and what they lose against it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastdeg import _checks
from fastdeg._types import ByValue, Float
from fastdeg.bins import GridBins
from fastdeg.degradations import History, registry
from fastdeg.degradations.steps.downsampling import DEFAULT_FACTOR
from fastdeg.degradations.steps.jpeg import BEST, UNCOMPRESSED
from fastdeg.distances.degradation import degradation_distance
from fastdeg.distribution import BinnedDistribution
from fastdeg.frameworks.boxes import WeightedBox, tightest
from fastdeg.frameworks.dialect import Block, Dialect, Purpose
from fastdeg.frameworks.mixtures import several
from fastdeg.frameworks.ranges import Range, fixed
from fastdeg.space import Axis, DegradationSpace

SMALL = 1e-3  # probability of a bin below which a joint distribution may go without it
MOST_BLOCKS = 1000  # of a joint distribution; beyond, boxes stand for bins
NO_JPEG = 101.0  # a quality beyond all: no compression


@dataclass(frozen=True, eq=False, repr=False)
class Export(ByValue):
    """Files for a framework, and what they lose.

    Attributes
    ----------
    framework : str
    files : dict of str to str
        Their contents by name.
    lost_mass : float
        Probability of what lies outside of all that is written.
    distance : float
        Earth mover's distance from what is written to the distribution, over the standardised bin centres.
    blocks : tuple of Block
        The ranges that are written, with their shares.
    notes : tuple of str
        What cannot be said in the framework's files, and what to know of them.
    """

    framework: str
    files: dict[str, str]
    lost_mass: float
    distance: float
    blocks: tuple[Block, ...]
    notes: tuple[str, ...]

    @property
    def text(self) -> str:
        """The content of the only file.

        Raises
        ------
        ValueError
            When there are several.
        """
        if len(self.files) != 1:
            raise ValueError(f"text: expected one file, got {len(self.files)}: take them from .files")
        return next(iter(self.files.values()))

    def __repr__(self) -> str:
        files = ", ".join(self.files)
        return f"Export({self.framework}: {files}; lost mass {self.lost_mass:.3g}, distance {self.distance:.3g})"


def export(
    distribution: BinnedDistribution,
    dialect: Dialect,
    *,
    history: History | None = None,
    keep: float = 0.95,
    boxes: int = 1,
    downsampling: float | None = None,
    noise: str = "gray",
) -> Export:
    """Write a distribution in a dialect; see `fastdeg.frameworks.write`."""
    if not isinstance(distribution, BinnedDistribution):
        raise TypeError(f"distribution: expected a BinnedDistribution, got {type(distribution).__name__}")
    if dialect.write is None:
        raise ValueError(f"framework: {dialect.name} can only be read, not written")
    keep = _checks.number(keep, "keep", positive=True)
    boxes = _checks.integer(boxes, "boxes", 1)
    if keep > 1:
        raise ValueError(f"keep: expected a share above 0 and at most 1, got {keep:g}")
    _checks.choice(noise, "noise", ("gray", "color"))
    space = registry.space_of(distribution.bins, "distribution", own_pipeline="*" in dialect.axes)
    notes = list(dialect.notes)
    said, mass = _said_axes(distribution, space, dialect, notes)
    scale = _scale(distribution, space, downsampling)
    pieces, lost = _pieces(mass, said, dialect, keep, boxes, notes)
    pieces = [piece for piece in pieces if piece.weight > 0]
    blocks = tuple(block for p in pieces for block in _sayable(p.weight, _ranges(p, said), dialect, notes))
    written = BinnedDistribution(GridBins(said), _normalised(sum(_uniform(b, said) for b in blocks)))
    distance = degradation_distance(written, BinnedDistribution(GridBins(said), mass.ravel()), frechet_weight=0)
    happened = None
    if history and dialect.history is not None:
        happened, untold = dialect.history(history, said.names)
        notes += untold
    elif history:
        notes.append(
            f"the history's {len(history.steps)} random steps are not in the file: `fastdeg degrade` applies them"
        )
    comments = (f"{lost:.3g} of the distribution lies outside; earth mover's distance to it {distance:.3g}",)
    blocks = tuple(replace(b, ranges=dict(b.ranges) | _unsaid(dialect, said, scale)) for b in blocks)
    files = dialect.write(blocks, Purpose(scale, noise, comments, happened))
    return Export(dialect.name, files, float(lost), float(distance), blocks, tuple(dict.fromkeys(notes)))


def _said_axes(
    p: BinnedDistribution, space: DegradationSpace, dialect: Dialect, notes: list[str]
) -> tuple[DegradationSpace, Float]:
    """Return the axes that the dialect can say, as a space, and the distribution over their cells."""
    sayable = [axis.name for axis in space.axes if axis.name in dialect.axes or "*" in dialect.axes]
    for axis in space.axes:
        if axis.name not in sayable:
            marginal = p.marginal(axis.name)
            mean = float(marginal @ axis.centers)
            notes.append(
                f"{axis.name} has no place in {dialect.name}: left out (mean {mean:.3g} in {axis.low:g}–{axis.high:g})"
            )
    if not sayable:
        raise ValueError(
            f"distribution: expected an axis that {dialect.name} can say, one of {', '.join(dialect.axes)}"
        )
    axes = [axis for axis in space.axes if axis.name in sayable]
    if isinstance(p.bins, GridBins):
        others = tuple(k for k, axis in enumerate(space.axes) if axis.name not in sayable)
        return DegradationSpace(axes), p.pmf.reshape(space.shape).sum(axis=others)
    notes.append("bins around centres are said through the cells of their space that the centres lie in")
    labels = tuple(axis.assign(p.bins.centers[:, space.axis_index(axis.name)]) for axis in axes)
    mass = np.zeros([axis.n_bins for axis in axes])
    np.add.at(mass, labels, p.pmf)
    return DegradationSpace(axes), mass


def _pieces(
    mass: Float, space: DegradationSpace, dialect: Dialect, keep: float, boxes: int, notes: list[str]
) -> tuple[list[WeightedBox], float]:
    """Return what is written, as boxes of cells, and the probability of what is not."""
    if dialect.joint and boxes == 1:
        flat = mass.ravel()
        order = np.argsort(flat, kind="stable")
        dropped = (flat[order].cumsum() <= 1 - keep) & (flat[order] < SMALL)
        kept = np.sort(order[~dropped & (flat[order] > 0)])
        if len(kept) <= MOST_BLOCKS:
            lost = float(flat.sum() - flat[kept].sum())
            if dropped.any() and lost > 0:
                few = int(np.count_nonzero(flat[order[dropped]]))
                notes.append(f"{few} bins below {SMALL:g} are left out, {lost:.3g} of all together")
            cells = np.stack(np.unravel_index(kept, mass.shape), 1)
            weights = flat[kept] / flat[kept].sum()
            return [
                WeightedBox(float(w), tuple((int(i), int(i) + 1) for i in cell))
                for w, cell in zip(weights, cells, strict=True)
            ], max(lost, 0.0)
        boxes = 64
        notes.append(f"{len(kept)} bins are more than {MOST_BLOCKS}: {boxes} boxes stand for them")
    volumes = [axis.volumes for axis in space.axes]
    if boxes == 1:
        pieces = [WeightedBox(1.0, tightest(mass, volumes, keep))]
    else:
        places = [(axis.centers - axis.low) / (axis.high - axis.low or 1) for axis in space.axes]
        pieces = several(mass, volumes, places, boxes)
    covered = np.zeros(mass.shape, bool)
    for piece in pieces:
        covered[tuple(slice(a, b) for a, b in piece.box)] = True
    if len(pieces) > 1 and not dialect.joint:
        notes.append("one file a box: train with them in turn, each for its share")
    return pieces, max(0.0, float(mass[~covered].sum()))


def _ranges(piece: WeightedBox, space: DegradationSpace) -> dict[str, Range]:
    return {axis.name: _range(axis, *ends) for axis, ends in zip(space.axes, piece.box, strict=True)}


def _sayable(weight: float, ranges: dict[str, Range], dialect: Dialect, notes: list[str]) -> list[Block]:
    """Return ranges as blocks, with the JPEG qualities that the dialect can say, and no compression as it says it."""
    jpeg, most = ranges.get("jpeg_quality"), dialect.highest_quality
    if jpeg is None or dialect.uncompressed == "range":
        return [Block(weight, ranges)]
    without = 1 - _share_below(jpeg, UNCOMPRESSED)
    limit = min(most, UNCOMPRESSED)
    compressed = ranges | {"jpeg_quality": Range(min(jpeg.low, limit), min(jpeg.high, limit))}
    if dialect.uncompressed == "block" and not dialect.joint and 0 < without < 1:
        notes.append(f"JPEG qualities above {most:g}, and no compression, are said as {most:g}")
        return [Block(weight, compressed)]
    if without < 1 and min(jpeg.high, UNCOMPRESSED) > most:
        notes.append(f"JPEG qualities above {most:g} are said as {most:g}")
    if dialect.uncompressed == "share":
        return [Block(weight, compressed, 1 - without)]
    if without > 0 and most < BEST:
        notes.append(f"no compression is said as quality {most:g}: nothing is quantised, but the chroma is halved")
    parts = ((1 - without, compressed), (without, ranges | {"jpeg_quality": fixed(NO_JPEG)}))
    return [Block(weight * share, part) for share, part in parts if share > 0]


def _share_below(values: Range, limit: float) -> float:
    if values.high <= values.low:
        return float(values.low < limit)
    return min(max((limit - values.low) / (values.high - values.low), 0.0), 1.0)


def _range(axis: Axis, first: int, end: int) -> Range:
    """Return the range of some cells, or levels, of an axis."""
    if axis.discrete and end - first == 1:
        return fixed(float(axis.centers[first]))
    low, high = float(axis.boundaries[first]), float(axis.boundaries[end])
    parameter = registry.parameters().get(axis.name)
    if axis.discrete and parameter is not None:  # half a step beyond the outer levels may be too far
        low, high = max(low, parameter.low), min(high, parameter.high)
    return Range(low, high)


def _unsaid(dialect: Dialect, said: DegradationSpace, scale: float) -> dict[str, Range]:
    """Return the ranges of the dialect's axes that the distribution has not: no effect."""
    neutral = {"blur_sigma": 0.0, "noise_sigma": 0.0, "jpeg_quality": NO_JPEG, "downsampling": scale}
    return {name: fixed(value) for name, value in neutral.items() if name in dialect.axes and name not in said.names}


def _scale(p: BinnedDistribution, space: DegradationSpace, downsampling: float | None) -> float:
    if downsampling is not None:
        return _checks.number(downsampling, "downsampling", 1)
    if "downsampling" in space.names:
        axis = space.axes[space.axis_index("downsampling")]
        return float(round(axis.centers[int(p.marginal("downsampling").argmax())]))
    return float(DEFAULT_FACTOR)


def _uniform(block: Block, space: DegradationSpace) -> Any:
    part: Float = np.array(block.weight)
    for axis in space.axes:
        shares = block.ranges[axis.name].shares(axis)
        if axis.name == "jpeg_quality" and block.compressed < 1:
            shares = block.compressed * shares + (1 - block.compressed) * fixed(NO_JPEG).shares(axis)
        part = np.multiply.outer(part, shares)
    return part.ravel()


def _normalised(pmf: Float) -> Float:
    return pmf / pmf.sum()
