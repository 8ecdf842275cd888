"""Photographs that ship inside installed packages, reference sets of known degradations, and awkward files."""

from __future__ import annotations

import importlib.util
import struct
import zlib
from functools import cache
from pathlib import Path

import numpy as np

import fastdeg as fd
from fastdeg.images import read_image

SETTINGS = {  # blur, noise, JPEG quality: the four applications of the paper; all x4
    1: ((0, 1), (0, 10), (80, 90)),
    2: ((0.5, 1.5), (15, 25), (75, 85)),
    3: ((1.5, 2.5), (5, 15), (75, 85)),
    4: ((2.5, 3.5), (25, 35), (65, 75)),
}


def _package_file(package: str, name: str) -> Path:
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / name


@cache
def photographs() -> tuple[np.ndarray, ...]:
    """The two photographs inside scikit-learn, 427 x 640."""
    return tuple(read_image(_package_file("sklearn", f"datasets/images/{n}.jpg")).pixels for n in ("china", "flower"))


@cache
def portrait() -> np.ndarray:
    """The photograph inside Matplotlib, 606 x 512."""
    return read_image(_package_file("matplotlib", "mpl-data/sample_data/grace_hopper.jpg")).pixels


def paper_bins() -> fd.GridBins:
    return fd.GridBins(fd.DegradationSpace.preset("paper"))


def setting_truth(setting: int, n: int = 20_000) -> fd.BinnedDistribution:
    """The setting's distribution over the paper's bins."""
    low, high = np.transpose(SETTINGS[setting])
    return fd.BinnedDistribution.from_samples(paper_bins(), np.random.default_rng(0).uniform(low, high, (n, 3)))


def references(photos, ranges, n, seed, crop=(400, 400)):
    """Degrade random crops of photographs; returns images and their true parameters (n, 3)."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(photos))
    images, parameters = [], []
    for i in range(n):
        photo = photos[order[i % len(photos)]]
        height, width = (min(a, b) for a, b in zip(photo.shape, crop, strict=False))
        top, left = rng.integers(photo.shape[0] - height + 1), rng.integers(photo.shape[1] - width + 1)
        blur, noise, quality = (rng.uniform(*r) for r in ranges)
        images.append(
            fd.degrade(
                photo[top : top + height, left : left + width],
                blur_sigma=blur, noise_sigma=noise, jpeg_quality=quality, downsampling=4, rng=rng,
            )
        )  # fmt: skip
        parameters.append((blur, noise, quality))
    return images, np.array(parameters)


def png_bomb(width: int, height: int) -> bytes:
    """A PNG that announces a huge size and holds hardly any data."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )
