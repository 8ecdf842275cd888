"""Samples for a run's page: clean images degraded as p says, and photos, in parts that are shown pixel for pixel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdeg.runs import folder as runs
from fastdeg.runs.handover import load_transform

SAMPLES = "samples"
SAMPLES_FILE = "samples.csv"
SIDE = 160  # of the parts, in low-resolution pixels
MOST = 6


def write_samples(
    folder: Path,
    clean: Sequence[NDArray[np.uint8]],
    photos: Mapping[str, ArrayLike],
    *,
    of: str = "crafted",
    seed: int = 0,
) -> None:
    """Write parts of clean images, degraded as p or q ("crafted", "target") says, and of photos into a run folder.

    A table beside them tells what they are.
    """
    transform = load_transform(folder, of=of, seed=seed)
    pictures: list[tuple[str, NDArray[np.uint8]]] = []
    for index, image in enumerate(clean[:MOST]):
        low, parameters = transform(_middle(image, 8 * SIDE), index=index)
        said = ", ".join(
            f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in parameters.items()
        )
        pictures.append((f"drawn: {said}", _middle(low, SIDE)))
    pictures += [(f"photo: {name}", _middle(np.asarray(image), SIDE)) for name, image in list(photos.items())[:MOST]]
    (folder / SAMPLES).mkdir()
    rows = []
    for number, (caption, pixels) in enumerate(pictures, start=1):
        file = f"{SAMPLES}/{number:03d}.webp"
        stored: Any = pixels if pixels.ndim == 2 else cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2BGR)
        written, data = cv2.imencode(".webp", stored, [cv2.IMWRITE_WEBP_QUALITY, 101])  # without loss
        assert written
        (folder / file).write_bytes(data.tobytes())
        rows.append({"file": file, "caption": caption})
    runs.write_csv(folder / SAMPLES_FILE, rows)


def sample_rows(folder: Path) -> list[dict[str, str]]:
    """Return what `write_samples` wrote, nothing where it was not called."""
    file = folder / SAMPLES_FILE
    return runs.read_csv(file) if file.is_file() else []


def _middle(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    top, left = (max(0, (length - side) // 2) for length in image.shape[:2])
    return image[top : top + side, left : left + side]
