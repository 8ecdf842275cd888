"""What is read of the parameters, and in what a smooth function of them is one: angles go round, and blurs turn.

An angle of 179° is next to one of 1°, so that functions of it are functions of the cosine and the sine of twice the
angle. And of a blur along two axes with an angle, no picture tells (σx, σy, θ) from (σy, σx, θ + 90°): what can be read
is how wide it is, and how much wider along which direction. Other parameters are read as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastdeg._types import Float
from fastdeg.degradations import registry
from fastdeg.images.inference.arrays import Arrays
from fastdeg.space import DegradationSpace

TURN = 180.0  # degrees after which a direction is the same again
AXES_OF_BLUR = ("blur_sigma_x", "blur_sigma_y", "blur_angle")
STEP = 1e-4  # of numerical derivatives


def directions(names: Sequence[str]) -> NDArray[np.bool_]:
    """Return which parameters of the built-in chain are directions, in degrees, (d,)."""
    known = registry.parameters()
    return np.array([name in known and known[name].unit == "°" for name in names])


@dataclass(frozen=True)
class Coordinates(Arrays):
    """Of standardised parameters (d) some of which are directions."""

    origin: Float  # (d,), direction at the lower end of its axis, in turns; 0 for other parameters
    span: Float  # (d,), length of its axis in turns; 0 for other parameters
    blur: NDArray[np.int64]  # (3,), places of both widths and the angle of a blur, or (0,)
    width: Float  # (2, 2), lower end and length of the axes of both widths, in units of the largest

    @classmethod
    def of(cls, space: DegradationSpace) -> Coordinates | None:
        """Return the coordinates of a space, None where none of its parameters is a direction."""
        angles = directions(space.names)
        if not angles.any():
            return None
        low, length = (np.array(v, float) for v in zip(*((a.low, a.high - a.low) for a in space.axes), strict=True))
        turning = set(AXES_OF_BLUR) <= set(space.names)
        blur = [space.names.index(name) for name in AXES_OF_BLUR] if turning else []
        largest = max((low + length)[blur[:2]]) if turning else 1.0
        width = np.stack([low, length])[:, blur[:2]] / largest if turning else np.zeros((2, 0))
        return cls(np.where(angles, low / TURN, 0), np.where(angles, length / TURN, 0), np.array(blur, np.int64), width)

    @property
    def angles(self) -> NDArray[np.bool_]:
        """Which parameters are directions, (d,)."""
        return self.span > 0

    def turned(self, z: Float) -> Float:
        """Return twice the directions, in radians, (n, number of directions)."""
        return 2 * np.pi * (self.origin + z * self.span)[:, self.angles]

    def smooth(self, z: Float) -> Float:
        """Return the variables, within [0, 1], of which smooth functions of the parameters are polynomials, (n, d')."""
        turned = self.turned(z)
        return np.hstack([z[:, ~self.angles], 0.5 + 0.5 * np.cos(turned), 0.5 + 0.5 * np.sin(turned)])

    def parameters(self, smooth: Float) -> Float:
        """Return the parameters of which smooth functions' variables are these, or point the same way, (n, d)."""
        count, angles = int(self.angles.sum()), self.angles
        out = np.empty((len(smooth), len(angles)))
        others = len(angles) - count
        out[:, ~angles] = smooth[:, :others]
        cosine, sine = smooth[:, others : others + count] - 0.5, smooth[:, others + count :] - 0.5
        turns = np.arctan2(sine, cosine) / (2 * np.pi) - self.origin[angles]
        span = self.span[angles]
        turns -= np.floor(turns)
        over = (turns - span) > np.minimum(1 - turns, span)  # off the axis: nearer to its lower end
        out[:, angles] = np.where(over & (span < 1), 0, turns / span)
        return out

    def targets(self, z: Float) -> Float:
        """Return what is read of the parameters, within [0, 1], (n, m)."""
        out = self.smooth(z)
        if len(self.blur):
            low, length = self.width
            first, second = (low + z[:, self.blur[:2]] * length).T
            place, count = self.blur[2] - (~self.angles[: self.blur[2]]).sum(), int(self.angles.sum())
            others = out.shape[1] - 2 * count
            for column in (others + place, others + count + place):  # how much wider, along and across
                out[:, column] = 0.5 + (first - second) * (out[:, column] - 0.5)
            rank = [int((~self.angles[:k]).sum()) for k in self.blur[:2]]
            out[:, rank[0]] = np.sqrt((first**2 + second**2) / 2)
            out = np.delete(out, rank[1], axis=1)
        return out

    def read(self, targets: Float) -> Float:
        """Return the parameters whose targets these are, (n, d); of two blurs that look alike the one with σx ≥ σy."""
        if not len(self.blur):
            return self.parameters(targets)
        low, length = self.width
        rank = [int((~self.angles[:k]).sum()) for k in self.blur[:2]]
        smooth = np.insert(targets, rank[1], 0, axis=1)
        count = int(self.angles.sum())
        column = smooth.shape[1] - 2 * count + int(self.angles[: self.blur[2]].sum())
        wider = 2 * np.hypot(smooth[:, column] - 0.5, smooth[:, column + count] - 0.5)
        middle = np.sqrt(np.maximum(smooth[:, rank[0]] ** 2 - wider**2 / 4, 0))
        for sign, place, k in ((1, rank[0], 0), (-1, rank[1], 1)):
            smooth[:, place] = (middle + sign * wider / 2 - low[k]) / length[k]
        return self.parameters(smooth)

    def of_targets(self, which: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return for a property (d,) of parameters that are no directions which targets have it, (m,)."""
        kept = ~self.angles
        if len(self.blur):
            kept[self.blur[1]] = False
        return np.concatenate([which[kept], np.zeros(2 * int(self.angles.sum()), bool)])

    def slopes(self, z: Float) -> Float:
        """Return the derivatives of the targets by the parameters, (n, m, d)."""
        steps = STEP * np.eye(z.shape[1])
        return np.stack([(self.targets(z + s) - self.targets(z - s)) / (2 * STEP) for s in steps], axis=2)


def misses(coordinates: Coordinates | None, values: Float, z: Float) -> Float:
    """Return how far values lie from the parameters z, both (n, d) or broadcast; directions the shorter way round."""
    left = values - z
    if coordinates is not None:
        turn = 1 / np.where(coordinates.angles, coordinates.span, 1)
        left = np.where(coordinates.angles, left - turn * np.round(left / turn), left)
    return left


def first_descriptions(centers: Float, space: DegradationSpace) -> NDArray[np.bool_]:
    """Return bins (N,) without the second one of two descriptions of a blur that no picture tells apart: σx < σy."""
    out = np.ones(len(centers), bool)
    if set(AXES_OF_BLUR) <= set(space.names):
        x, y, angle = (space.names.index(name) for name in AXES_OF_BLUR)
        low, high = np.transpose([(axis.low, axis.high) for axis in space.axes])
        other = centers[:, [y, x, angle]]
        other[:, 2] += TURN / 2
        other[:, 2] -= TURN * np.floor((other[:, 2] - low[angle]) / TURN)
        there = ((other >= low[[x, y, angle]]) & (other <= high[[x, y, angle]])).all(axis=1)
        out = ~(there & (centers[:, y] > centers[:, x]))
    return out
