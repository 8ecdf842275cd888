"""First-order chains of face restoration: GFPGAN, CodeFormer, DiffBIR's first stage, StableSR for faces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fastdeg.degradations.steps.jpeg import BEST
from fastdeg.frameworks.chain import Branch, Chain, Jpeg, Noise, Other, RandomStep, Resize, maybe
from fastdeg.frameworks.dialect import Block, Dialect, Purpose
from fastdeg.frameworks.keys import Keys, mappings, misspelt
from fastdeg.frameworks.options import Options
from fastdeg.frameworks.ranges import Range
from fastdeg.frameworks.second_order import SHAPES, kernels
from fastdeg.frameworks.text import header, yaml_lines

OWN = (
    "blur_kernel_size", "kernel_list", "kernel_prob", "blur_sigma", "downsample_range", "noise_range", "jpeg_range",
    "color_jitter_prob", "color_jitter_shift", "color_jitter_pt_prob", "gray_prob", "gt_gray", "use_motion_kernel",
    "motion_kernel_prob", "use_corrupt", "blur_sigma_large", "downsample_range_large", "noise_range_large",
    "jpeg_range_large",
)  # fmt: skip


def recognises(path: Path, data: Mapping[str, Any] | None) -> bool:
    """Return whether a range of downsampling is there, which the two-stage chain has not."""
    return any("downsample_range" in mapping for _, mapping in mappings(data))


def read(path: Path, data: Mapping[str, Any] | None) -> Options:
    """Read an option file."""
    keys = Keys.find(str(path), data or {}, OWN)
    traps = [
        "the image is enlarged to its clean size after the JPEG; what is said here is of the small one",
        'each channel has its own noise: an estimator with noise="gray" reads .67 of it',
    ]
    chain = _chain(keys, "")
    if "downsample_range_large" in keys:
        chain = (Branch(((0.5, chain), (0.5, _chain(keys, "_large")))),)
        traps.append("half of training is read as of the ranges …_large, which the file has beside the others")
    more: list[RandomStep] = []
    for name, what in (("color_jitter_prob", "color jitter"), ("color_jitter_pt_prob", "color jitter (contrast …)"),
                       ("gray_prob", "conversion to grey")):  # fmt: skip
        if name in keys and (p := keys.probability(name, 0.0)) > 0:
            more.append(maybe(p, Other(what)))
    if "use_motion_kernel" in keys and keys.flag("use_motion_kernel", False):
        more.append(maybe(keys.probability("motion_kernel_prob", 0.0), Other("motion blur")))
    if keys.range("downsample_range", [1, 1], 0.01).low < 1:
        traps.append(f"{keys.path('downsample_range')}: below 1 enlarges; an axis downsampling begins at 1")
    return Options(
        "gfpgan", (*chain, *more), keys.range("downsample_range", [1, 1], 0.01).high, (), tuple(traps),
        tuple(misspelt(data or {}, OWN)), str(path),
    )  # fmt: skip


def _chain(keys: Keys, kind: str) -> Chain:
    names = keys.names("kernel_list", ["iso"], SHAPES)
    weights = keys.probabilities("kernel_prob", [1 / len(names)] * len(names), len(names))
    size = int(keys.number("blur_kernel_size", 41, 1, 999))
    if size % 2 == 0:
        raise keys.error("blur_kernel_size", "an odd whole number")
    sigma = keys.range("blur_sigma" + kind, [0.1, 10])
    blurs = kernels(names, weights, sigma, {"generalized": Range(0.5, 8), "plateau": Range(1, 2)}, (size,))
    steps: list[RandomStep] = [Branch(tuple(blur for blur in blurs if blur[0] > 0))]
    steps.append(Resize("factor", keys.range("downsample_range" + kind, [1, 8], 0.01), (("linear", 1.0),)))
    if keys.value("noise_range" + kind, None) is not None:
        steps.append(Noise(keys.range("noise_range" + kind, [0, 20], 0, 255)))
    if keys.value("jpeg_range" + kind, None) is not None:
        steps.append(Jpeg(keys.range("jpeg_range" + kind, [60, 100], 0, 100)))
    return tuple(steps)


def write(blocks: Sequence[Block], purpose: Purpose) -> dict[str, str]:
    """Write one file a block: the chain is fastdeg's own, with linear interpolation."""
    several = len(blocks) > 1
    texts = {}
    for number, block in enumerate(blocks, start=1):
        r, jpeg = block.ranges, block.ranges["jpeg_quality"]
        values = {
            "blur_kernel_size": 41, "kernel_list": ["iso"], "kernel_prob": [1.0],
            "blur_sigma": [r["blur_sigma"].low, max(r["blur_sigma"].high, r["blur_sigma"].low + 1e-6)],
            "downsample_range": [r["downsampling"].low, r["downsampling"].high],
            "noise_range": [r["noise_sigma"].low, r["noise_sigma"].high],
            "jpeg_range": None if jpeg.low > BEST else [jpeg.low, min(jpeg.high, BEST)],
        }  # fmt: skip
        share = f"share of training {block.weight:.4g}: file {number} of {len(blocks)}" if several else ""
        lines = [*header("GFPGAN / CodeFormer / DiffBIR", purpose, share), "datasets:", "  train:"]
        texts[f"gfpgan{f'-{number}' if several else ''}.yml"] = "\n".join([*lines, *yaml_lines(values, 4), ""])
    return texts


DIALECT = Dialect(
    "gfpgan", "GFPGAN, CodeFormer, DiffBIR (first stage), StableSR (faces)", ".yml", recognises, read, write,
    highest_quality=100,
    uncompressed="block",
    notes=(
        'the downscale is linear: fastdeg\'s interpolation="linear"; each channel has its own noise (noise="color")',
        "the image is enlarged to its clean size after the JPEG",
    ),
)  # fmt: skip
