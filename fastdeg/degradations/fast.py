"""The chain for synthesis, several times as fast as step by step: through the steps' fast forms, where all have one.

Blur and downsampling are weighted sums along the rows and along the columns, so that one set of weights does for them
together, and no pixel is computed that is not kept. Afterwards, many variants of one picture share each call, for
threads that call often wait for one another. `fastdeg.degradations.chain` says what is meant, and serves wherever a
step that acts has no fast form.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fastdeg._threads import signals_as_raised
from fastdeg.degradations.chain import corrupt, shrink, with_events
from fastdeg.degradations.history_nodes import Event
from fastdeg.degradations.pixels import to_uint8
from fastdeg.degradations.registry import halves
from fastdeg.degradations.step import Settings, Stage
from fastdeg.degradations.steps import downsampling
from fastdeg.kernels.images.resample import AREA, CUBIC, LINEAR, resampled, weighted_rows

LEAST_POOL = 2**20  # pixels: more than a hundred patches without one in common
STRIP = 32  # rows worked on at a time: large arrays cost more to allocate than to fill
SEPARABLE = {"cubic": CUBIC, "linear": LINEAR, "area": AREA}
Weights = tuple[NDArray[np.int32], NDArray[np.float32]]  # (n, k): which of the old rows make a new one, and how much


@signals_as_raised()
def shrink_at_once(
    image: NDArray[np.uint8], settings: Settings, rng: np.random.Generator, events: Sequence[Event] = ()
) -> NDArray[np.float32]:
    """Do what `chain.shrink` does: in one pass, where all blur is separable, and the interpolation one of three."""
    taps = _taps_before_downsampling(settings)
    old, new = image.shape[:2], downsampling.target_size(image.shape, settings)
    interpolation = SEPARABLE.get(downsampling.INTERPOLATION.of(settings))
    shrunk = interpolation != AREA or (new[0] <= old[0] and new[1] <= old[1])
    if taps is None or interpolation is None or old == new or not shrunk or with_events(True, [], events):
        return shrink(image.astype(np.float32), settings, rng, events)
    rows, columns = (resampled(old[k], new[k], interpolation, taps[1 - k]) for k in (0, 1))
    return _resampled(image, rows, columns, np.float32)


def _taps_before_downsampling(settings: Settings) -> tuple[Any, Any] | None:
    """Return all blurs together as taps along the rows and along the columns, or None where a step is no such blur."""
    along_rows = along_columns = np.ones(1)
    for step in halves()[0]:
        if step is not downsampling.STEP and step.acts(settings):
            taps = step.taps(settings) if step.taps is not None and step.stage == Stage.BLUR else None
            if taps is None:
                return None
            along_rows, along_columns = np.convolve(along_rows, taps[0]), np.convolve(along_columns, taps[1])
    return along_rows, along_columns


@signals_as_raised()
def shrink_by_area(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Shrink to size (width, height): each new pixel is the mean over its area, as in OpenCV's ``INTER_AREA``."""
    rows, columns = (resampled(image.shape[k], size[1 - k], AREA, np.ones(1)) for k in (0, 1))
    return _resampled(image, rows, columns, np.uint8)


def _resampled(image: NDArray[Any], rows: Weights, columns: Weights, dtype: type) -> NDArray[Any]:
    height, width = image.shape[:2]
    shape = (len(rows[0]), len(columns[0]), *image.shape[2:])
    out = np.empty(shape, dtype)
    old = np.ascontiguousarray(image).reshape(height, -1)
    for start in range(0, shape[0], STRIP):
        strip = slice(start, start + STRIP)
        shrunk = _weighted_rows(old, (rows[0][strip], rows[1][strip]))
        turned = _weighted_rows(cv2.transpose(shrunk).reshape(width, -1), columns)
        done: Any = cv2.transpose(turned.reshape(-1, len(shrunk)))
        done = done if dtype is np.float32 else cv2.convertScaleAbs(done)  # rounds to 8 bits
        out[strip] = done.reshape(-1, *shape[1:])
    return out


def _weighted_rows(rows: NDArray[Any], weights: Weights) -> NDArray[np.float32]:
    out = np.empty((len(weights[0]), rows.shape[1]), np.float32)
    weighted_rows(rows, *weights, out)
    return out


def noise_pool(noise: str, patch_size: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw normal numbers to cut noise from, (pixels, 3): the same in all channels, or its own in each."""
    pixels = max(LEAST_POOL, 4 * patch_size**2)
    if noise == "color":
        return rng.standard_normal((pixels, 3), dtype=np.float32)
    return np.repeat(rng.standard_normal((pixels, 1), dtype=np.float32), 3, axis=1)


def in_tones(low: NDArray[np.float32], tones: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a picture in n tones (n, H, W[, 3]); tones: (n, 2), contrasts around mid-grey, and brightnesses to add.

    As blur and downsampling are linear, this is what comes of the clean picture in these tones, but for what is
    limited to 0..255; the picture with contrast 1 and brightness 0 is not.
    """
    out = np.empty((len(tones), *low.shape), np.float32)
    for picture, (contrast, brightness) in zip(out, tones, strict=True):
        np.multiply(low, contrast, out=picture)
        if contrast != 1 or brightness != 0:
            picture += np.float32(128) * (np.float32(1) - contrast) + brightness
            np.clip(picture, 0, 255, out=picture)
    return out


def corrupted_variants(
    pictures: NDArray[np.float32],
    settings: Sequence[Settings],
    normal: NDArray[np.float32],
    rng: np.random.Generator,
    events: Sequence[Sequence[Event]] | None = None,
) -> NDArray[np.uint8]:
    """Return what `chain.corrupt` makes of pictures (n, H, W[, 3]) in RGB order, each with its own settings, in BGR.

    events: those of each picture, drawn from a history.
    """
    n, height, width = pictures.shape[:3]
    acting = [step for step in halves()[1] if any(map(step.acts, settings))]
    beside = events or [()] * n
    ways = [with_events(False, [(step, s) for step in acting], e) for s, e in zip(settings, beside, strict=True)]
    forms = [[(step.fast, given) for step, given in way if step.fast is not None] for way in ways]
    x: Any = pictures
    size = settings[0].get(downsampling.SIZE, (height, width))
    if any(len(fast) < len(way) for fast, way in zip(forms, ways, strict=True)) or height * width > len(normal):
        x = np.stack([corrupt(p, s, rng, e) for p, s, e in zip(pictures, settings, beside, strict=True)])
        forms = [[]] * n
    if x.ndim == 4:
        x = cv2.cvtColor(x.reshape(-1, x.shape[2], 3), cv2.COLOR_RGB2BGR).reshape(x.shape)
    out = np.empty((n, *size, *x.shape[3:]), np.uint8)
    for k, picture in enumerate(x):  # one at a time: it stays in the cache
        for fast, given in forms[k]:
            picture = fast(picture, given, normal, rng)
        out[k] = to_uint8(picture)
    return out
