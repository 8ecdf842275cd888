"""Rows of ``python -m bench.recovery --rows``: the history "photo", hard axes, intervals on sets of photographs.

Each row says what was asked and what was found. Photographs that are degraded are none of those that were fitted on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

import fastdeg as fd

CROP = (400, 600)  # of the photographs before downsampling
SMALL_CROP = (320, 480)  # the same where many sets of photos are made
WIDTHS = np.array([1.0, 10.0, 10.0])  # of the boxes in the paper's space that sets of photos are drawn from
SET_SIZE = 24  # photos of a set
RESAMPLES = 48
TELLING = 0.02  # probability of a cell, true or inferred, from which on its interval has something to hold
QUARTERS = (22.5, 67.5, 112.5, 157.5)  # degrees, middles of the cells of an angle
BAYER = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]]) / 16
REGULAR = fd.Axis.regular
FACTORS = fd.DegradationSpace(
    [REGULAR("blur_sigma", 0, 4, 4), REGULAR("downsampling", 2, 4, 4), REGULAR("noise_sigma", 0, 40, 4)]
)
BLURS = [REGULAR("blur_sigma_x", 0, 4, 4), REGULAR("blur_sigma_y", 0, 4, 4), REGULAR("blur_angle", 0, 180, 4)]
ANGLES = fd.DegradationSpace([*BLURS, REGULAR("noise_sigma", 0, 40, 4)])
SEVEN = fd.DegradationSpace(
    [
        REGULAR("blur_sigma_x", 0, 4, 2), REGULAR("blur_sigma_y", 0, 4, 2), REGULAR("blur_angle", 0, 180, 4),
        REGULAR("downsampling", 2, 4, 2), REGULAR("poisson_scale", 0, 3, 2), REGULAR("noise_sigma", 0, 40, 4),
        REGULAR("jpeg_quality", 30, 90, 3),
    ]
)  # fmt: skip
OF_SEVEN = ((2.4, 3.6), (0.4, 1.6), (50, 85), (2, 3), (0, 1.5), (11, 19), (52, 68))  # one cell of each axis


@dataclass(frozen=True)
class Row:
    """What was measured, what was asked, what was found."""

    measured: str
    asked: str
    found: str
    reached: bool


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a Markdown table; what was not reached in bold."""
    lines = ["| measured | asked | found |", "|---|---|---|"]
    lines += [f"| {r.measured} | {r.asked} | {r.found if r.reached else f'**{r.found}**'} |" for r in rows]
    return "\n".join(lines)


def at_most(measured: str, value: float, limit: float, unit: str = "") -> Row:
    return Row(measured, f"≤ {limit:g}{unit}", f"{value:.2f}{unit}", value <= limit)


def share(measured: str, value: float, limit: float, *, least: bool = True) -> Row:
    reached = value >= limit if least else value <= limit
    return Row(measured, f"{'≥' if least else '≤'} {100 * limit:g} %", f"{100 * value:.1f} %", reached)


def crop(photo: np.ndarray, rng: np.random.Generator, size: tuple[int, int] = CROP) -> np.ndarray:
    height, width = (min(a, b) for a, b in zip(photo.shape[:2], size, strict=True))
    top, left = rng.integers(photo.shape[0] - height + 1), rng.integers(photo.shape[1] - width + 1)
    return photo[top : top + height, left : left + width]


def made(
    photos: Sequence[np.ndarray],
    names: Sequence[str],
    parameters: np.ndarray,
    rng: np.random.Generator,
    size: tuple[int, int] = CROP,
    **settings: object,
) -> list[np.ndarray]:
    """Degrade crops of the photographs, one with each row of the parameters; × 4 unless the factor is one of them."""
    out = []
    for i, row in enumerate(parameters):
        values = {"downsampling": 4, **dict(zip(names, row, strict=True)), **settings}
        out.append(fd.degrade(crop(photos[i % len(photos)], rng, size), rng=rng, **values))
    return out


def history_photos(photos: Sequence[np.ndarray], n: int, seed: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Return photos made by the history "photo", and their blur, noise and JPEG quality (105: not compressed)."""
    rng = np.random.default_rng(seed)
    quality = np.where(rng.random(n) < 0.8, rng.uniform(25, 97, n), 105)
    truth = np.column_stack([rng.uniform(0, 4, n), rng.uniform(0, 40, n), quality])
    return made(photos, ("blur_sigma", "noise_sigma", "jpeg_quality"), truth, rng, history="photo"), truth


def strange(photos: Sequence[np.ndarray], n: int, seed: int) -> dict[str, list[np.ndarray]]:
    """Return pictures by kind of what the history "photo" does not contain."""
    rng = np.random.default_rng(seed)
    nothing = np.empty((n, 0))

    def impulses(x: np.ndarray) -> np.ndarray:
        drawn = rng.random(x.shape[:2])
        x = x.copy()
        x[drawn < 0.03], x[drawn > 0.97] = 0, 255
        return x

    def waves(x: np.ndarray, period: float) -> tuple[np.ndarray, np.ndarray]:
        down, across = np.indices(x.shape[:2])
        turned = (across + down, across - down)
        both = [np.cos(2 * np.pi * u / (np.sqrt(2) * period)) for u in turned]
        return both[0], both[1]

    def halftone(x: np.ndarray) -> np.ndarray:
        gray = x if x.ndim == 2 else cv2.cvtColor(x, cv2.COLOR_RGB2GRAY)
        first, second = waves(x, 5)
        return np.where(gray > 127.5 + 63.75 * (first + second), 255, 0).astype(np.uint8)

    def screentone(x: np.ndarray) -> np.ndarray:
        first, second = waves(x, 3)
        dots = 40 * first * second
        return np.clip(x + (dots if x.ndim == 2 else dots[..., None]), 0, 255).astype(np.uint8)

    def interlaced(x: np.ndarray) -> np.ndarray:
        x = x.copy()
        x[1::2] = np.roll(x[1::2], 3, axis=1)
        return x

    def dithered(x: np.ndarray) -> np.ndarray:
        rows, columns = x.shape[:2]
        threshold = np.tile(BAYER, (rows // 4 + 1, columns // 4 + 1))[:rows, :columns]
        threshold = threshold if x.ndim == 2 else threshold[..., None]
        return (np.floor(x / 255 * 3 + threshold).clip(0, 3) * 85).astype(np.uint8)

    done = {
        "salt and pepper, 3 % + 3 %": impulses,
        "halftone": halftone,
        "screentone": screentone,
        "odd rows moved by 3 px": interlaced,
        "posterised to 8 levels": lambda x: (np.round(x / 255 * 7) * 255 / 7).astype(np.uint8),
        "ordered dither": dithered,
    }
    kinds = {name: [how(x) for x in made(photos, (), nothing, rng, interpolation="area")] for name, how in done.items()}
    kinds["noise of 80"] = made(photos, (), nothing, rng, noise_sigma=80)
    kinds["JPEG quality 5"] = made(photos, (), nothing, rng, jpeg_quality=5)
    return kinds


def photo_rows(
    estimator: fd.DegradationEstimator,
    photos: Sequence[np.ndarray],
    real: Sequence[np.ndarray] | None,
    n: int,
    of_each: int,
) -> list[Row]:
    """Return what a fit with the history "photo" reads, and what it sees: n photos, so many pictures of each kind."""
    rows = []
    if real is not None:
        outside = int(estimator.outside(real).sum())
        found = f"{outside} of {len(real)}"
        rows.append(Row("real photos outside at 1 %", "≤ 4 of 20", found, outside <= len(real) / 5))
    images, truth = history_photos(photos, n, 1)
    found = estimator.infer(images)
    rows.append(share(f"{n} photos made by the history, outside at 1 %", found.outside.mean(), 0.03, least=False))
    errors = found.parameters - truth
    compressed = truth[:, 2] < 100
    rows += [
        at_most("blur, root mean square error", _rms(errors[:, 0]), 0.6, " px"),
        at_most("blur, the common error taken out", float(errors[:, 0].std()), 0.45, " px"),
        at_most("noise, root mean square error", _rms(errors[:, 1]), 4),
        at_most("JPEG quality where it was the last step", _rms(errors[compressed, 2]), 2),
    ]
    held = np.abs(errors) <= 2 * found.parameter_errors
    rows += _held("space and history photo", estimator.bins.names, held)
    for kind, pictures in strange(photos, of_each, 3).items():
        again = [fd.images.jpeg_compress(x, 85) for x in pictures]
        rows += [
            share(f"{kind}, seen", estimator.outside(pictures).mean(), 0.8),
            share(f"{kind}, saved once more as JPEG 85, seen", estimator.outside(again).mean(), 0.6),
        ]
    return rows


def hard_rows(clean: Sequence[np.ndarray], photos: Sequence[np.ndarray], n: int, **fit: int) -> list[Row]:
    """Return how true errors are, and what q says, on axes that are hard to read: n photos each."""
    rows = []
    for name, space in (("blur, factor, noise", FACTORS), ("two blurs, angle, noise", ANGLES)):
        estimator = fd.DegradationEstimator(fd.GridBins(space), **fit).fit(clean)
        rng = np.random.default_rng(1)
        truth = np.stack([rng.uniform(axis.low, axis.high, n) for axis in space.axes], axis=1)
        found = estimator.infer(made(photos, space.names, truth, rng))
        errors = found.parameters - truth
        for k in [k for k, axis in enumerate(space.axes) if axis.name == "blur_angle"]:
            errors[:, k] = (errors[:, k] + 90) % 180 - 90
        rows += _held(name, space.names, np.abs(errors) <= 2 * found.parameter_errors)
    for angle in QUARTERS:  # the last fit is that of angles
        rng = np.random.default_rng(3)
        ranges = ((3.3, 3.3), (0.6, 0.6), (angle - 15, angle + 15), (0, 40))
        images = made(photos, ANGLES.names, np.stack([rng.uniform(*r, 24) for r in ranges], axis=1), rng)
        mass = estimator.estimate(images).marginal("blur_angle")[QUARTERS.index(angle)]
        # σx and σy are one description of it, and 90° more with both exchanged the other
        rows.append(_mass(f"blur of 3.3 × 0.6 px at {angle - 15:g} – {angle + 15:g}°, its quarter", mass, 0.7))
    seven = fd.DegradationEstimator(fd.GridBins(SEVEN), **fit).fit(clean)
    rng = np.random.default_rng(4)
    truth = np.stack([rng.uniform(*r, 24) for r in OF_SEVEN], axis=1)
    q = seven.estimate(made(photos, SEVEN.names, truth, rng))
    for k, axis in enumerate(SEVEN.axes):
        cell = int(axis.assign(np.array([np.mean(OF_SEVEN[k])]))[0])
        asked = 0.8 if axis.name in ("blur_sigma_x", "blur_sigma_y", "noise_sigma", "jpeg_quality") else 0.0
        rows.append(_mass(f"seven axes at once, true cell of {axis.name}", q.marginal(axis.name)[cell], asked))
    return rows


def coverage_rows(sets: Mapping[str, tuple[fd.DegradationEstimator, Sequence[np.ndarray]]], cases: int) -> list[Row]:
    """Return which share of the truth the 90 % intervals hold: of each set of photographs so many sets of photos, drawn
    from boxes anywhere in the paper's space, by a fit on other photographs."""
    rows = []
    for name, (estimator, photos) in sets.items():
        held, telling = [], []
        axes = estimator.bins.space.axes
        for seed in range(cases):
            rng = np.random.default_rng(seed)
            low = np.array([rng.uniform(a.low, a.high - width) for a, width in zip(axes, WIDTHS, strict=True)])
            order = rng.permutation(len(photos))
            parameters = low + WIDTHS * rng.random((SET_SIZE, len(axes)))
            images = made([photos[i] for i in order], estimator.bins.names, parameters, rng, SMALL_CROP)
            for k, marginal in enumerate(estimator.bootstrap(images, RESAMPLES).marginals):
                edges = axes[k].boundaries
                within = np.minimum(edges[1:], low[k] + WIDTHS[k]) - np.maximum(edges[:-1], low[k])
                truth = np.maximum(within, 0) / WIDTHS[k]
                held.append((k, (truth >= marginal.low - 1e-6) & (truth <= marginal.high + 1e-6)))
                telling.append(np.maximum(truth, marginal.estimate) >= TELLING)
        every, some = np.concatenate([h for _, h in held]), np.concatenate(telling)
        by_axis = [np.concatenate([h for axis, h in held if axis == k]).mean() for k in range(len(axes))]
        rows.append(share(f"{name}: held by intervals of {cases} sets of {SET_SIZE} photos", every.mean(), 0.85))
        of_axes = ", ".join(f"{axis.name} {100 * v:.0f} %" for axis, v in zip(axes, by_axis, strict=True))
        rows.append(Row(f"{name}: axis by axis", "", of_axes, True))
        rows.append(Row(f"{name}: cells with anything in them", "", f"{100 * every[some].mean():.0f} %", True))
    return rows


def _rms(errors: np.ndarray) -> float:
    return float(np.sqrt(np.square(errors).mean()))


def _mass(measured: str, mass: float, limit: float) -> Row:
    return Row(measured, f"≥ {limit:g}" if limit else "wide", f"{mass:.2f}", mass >= limit)


def _held(name: str, axes: Sequence[str], held: np.ndarray) -> list[Row]:
    return [
        share(f"{name}: two standard errors hold {axis}", column.mean(), 0.85)
        for axis, column in zip(axes, held.T, strict=True)
    ]
