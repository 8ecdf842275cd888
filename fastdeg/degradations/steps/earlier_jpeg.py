"""An earlier JPEG compression, whose grid lies elsewhere: the picture was cropped since."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fastdeg.degradations.pixels import Image, to_uint8
from fastdeg.degradations.step import Option, Parameter, Settings, Stage, Step
from fastdeg.degradations.steps.jpeg import MEANING, SUBSAMPLINGS, jpeg_compress

QUALITY = Parameter("earlier_jpeg_quality", f"before the processing: {MEANING}", 1, 110, neutral=None, whole=True)
SHIFT_X = Parameter("earlier_jpeg_shift_x", "columns that were cropped since, of a block", 0, 15, "px", whole=True)
SHIFT_Y = Parameter("earlier_jpeg_shift_y", "rows that were cropped since", 0, 15, "px", whole=True)
SUBSAMPLING = Option("earlier_jpeg_subsampling", "of its chroma", tuple(SUBSAMPLINGS), "4:2:0")


def _apply(x: Image, settings: Settings, rng: Any = None) -> Image:
    if "earlier_jpeg_quality" not in settings:
        return x
    left, top = (int(p.check(settings.get(p.name, 0))) for p in (SHIFT_X, SHIFT_Y))
    quality, subsampling = QUALITY.check(settings["earlier_jpeg_quality"]), SUBSAMPLING.of(settings)
    wider = cv2.copyMakeBorder(to_uint8(x), top, 0, left, 0, cv2.BORDER_REFLECT_101 if min(x.shape[:2]) > 15 else 1)
    return jpeg_compress(wider, quality, subsampling=subsampling)[top:, left:]


def _fast(x: Image, settings: Settings, normal: NDArray[np.float32], rng: np.random.Generator) -> Image:
    return _apply(x[..., ::-1], settings)[..., ::-1] if x.ndim == 3 else _apply(x, settings)


STEP = Step("earlier JPEG", Stage.PROCESSING, (QUALITY, SHIFT_X, SHIFT_Y), _apply, fast=_fast, options=(SUBSAMPLING,))
