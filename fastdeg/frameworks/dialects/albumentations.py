"""Albumentations' serialised pipelines, of both generations of keys; `OneOf` says any joint distribution."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastdeg.frameworks.chain import Blur, Branch, Chain, Jpeg, Noise, Other, RandomStep, Resize, maybe
from fastdeg.frameworks.dialect import Block, Dialect, Purpose
from fastdeg.frameworks.dialects.wtp import whole_qualities
from fastdeg.frameworks.keys import Keys, is_number
from fastdeg.frameworks.options import Options
from fastdeg.frameworks.ranges import Points, Range, Values, fixed, whole

VERSION = "2.0.8"  # whose names are written
INTERPOLATIONS = {0: "nearest", 1: "linear", 2: "cubic", 3: "area", 4: "lanczos"}
NO_DEGRADATION = (
    "NoOp", "HorizontalFlip", "VerticalFlip", "Transpose", "RandomRotate90", "D4", "RandomCrop", "CenterCrop",
    "PadIfNeeded", "Normalize", "ToTensorV2", "ToFloat", "FromFloat",
)  # fmt: skip
SERIAL = ("Compose", "Sequential", "ReplayCompose", "BasicCompose")
KNOWN: dict[str, tuple[str, ...]] = {
    "GaussianBlur": ("blur_limit", "sigma_limit", "blur_range", "sigma_range"),
    "GaussNoise": ("var_limit", "std_range", "mean", "mean_range", "per_channel", "noise_scale_factor"),
    "ImageCompression": ("quality_lower", "quality_upper", "quality_range", "compression_type"),
    "Downscale": ("scale_min", "scale_max", "scale_range", "interpolation", "interpolation_pair"),
    "RandomScale": ("scale_limit", "interpolation", "mask_interpolation", "area_for_downscale"),
}


def recognises(path: Path, data: Mapping[str, Any] | None) -> bool:
    """Return whether it is a serialised transform."""
    return isinstance(data, Mapping) and isinstance(data.get("transform", data), Mapping) and (
        "__class_fullname__" in data.get("transform", data)
    )  # fmt: skip


class _Reader:
    def __init__(self, file: str) -> None:
        self.file = file
        self.traps: list[str] = []
        self.unknown: list[str] = []
        self.factor = 1.0

    def step(self, node: Any, path: str, forced: bool = False) -> Chain:
        if not isinstance(node, Mapping) or not isinstance(node.get("__class_fullname__"), str):
            raise ValueError(f"{self.file}: {path}: expected a transform with __class_fullname__, got {str(node)[:80]}")
        name = node["__class_fullname__"].rsplit(".", 1)[-1]
        keys = Keys(self.file, {key: (f"{path}.{key}", value) for key, value in node.items()})
        p = keys.probability("p", 1.0 if name in SERIAL else 0.5)
        inner = node.get("transforms", [])
        if name in SERIAL:
            parts = [self.step(part, f"{path}.transforms[{i}]") for i, part in enumerate(inner)]
            steps = tuple(step for part in parts for step in part)
            return steps if forced or p == 1 else (maybe(p, *steps),)
        if name == "OneOf":
            weights = [Keys(self.file, {"p": (f"{path}.transforms[{i}].p", part.get("p", 0.5))}).probability("p", 0.5)
                       for i, part in enumerate(inner)]  # fmt: skip
            if not sum(weights) > 0:
                raise ValueError(f"{self.file}: {path}.transforms: expected some p above 0, got none")
            chains = [self.step(part, f"{path}.transforms[{i}]", True) for i, part in enumerate(inner)]
            one = Branch(tuple((w, c) for w, c in zip(weights, chains, strict=True) if w > 0))
            return (one,) if forced or p == 1 else (maybe(p, one),)
        steps = self._transform(name, keys)
        for key in sorted(set(node) - {"__class_fullname__", "p", "always_apply", *KNOWN.get(name, node)}):
            self.unknown.append(f"{keys.path(key)}: unknown in {name}")
        return steps if forced or p == 1 or not steps else (maybe(p, *steps),)

    def _transform(self, name: str, keys: Keys) -> Chain:
        if name in NO_DEGRADATION:
            return ()
        if name == "GaussianBlur":
            return (self._blur(keys),)
        if name == "GaussNoise":
            return (self._noise(keys),)
        if name == "ImageCompression":
            return (self._compression(keys),)
        if name == "Downscale":
            return self._downscale(keys)
        if name == "RandomScale":
            ends = keys.range("scale_limit", [-0.1, 0.1], -0.999)
            mode = ((INTERPOLATIONS.get(keys.value("interpolation", 1), "linear"), 1.0),)
            if ends.low == ends.high:
                self.factor = 1 / (1 + ends.low)
                return (Resize("clean", fixed(1 + ends.low), mode),)
            return (Resize("here", Range(1 + ends.low, 1 + ends.high), mode),)
        return (Other(name),)

    def _blur(self, keys: Keys) -> RandomStep:
        sigma = self._range(keys, ("sigma_range", "sigma_limit"), [0.5, 3.0], 0)
        size = self._range(keys, ("blur_range", "blur_limit"), [0, 0], 0)
        if size.high <= 0:
            return Blur(sigma)
        odd = tuple(range(max(3, int(size.low) | 1), int(size.high) + 1, 2)) or (3,)
        if sigma.high <= 0:  # OpenCV's rule from the width of the kernel
            return Blur(Points(tuple(0.3 * ((k - 1) * 0.5 - 1) + 0.8 for k in odd)))
        return Blur(sigma, sizes=odd)

    def _noise(self, keys: Keys) -> RandomStep:
        gray = float(not keys.flag("per_channel", "std_range" not in keys))
        if keys.value("mean_range", [0, 0]) not in ([0, 0], (0, 0), [0.0, 0.0]) or keys.value("mean", 0) != 0:
            self.traps.append(f"{keys.path('mean_range' if 'mean_range' in keys else 'mean')}: shifts the brightness")
        if keys.number("noise_scale_factor", 1.0, 0, 1) < 1:
            self.traps.append(f"{keys.path('noise_scale_factor')}: makes noise coarser than pixels; not composed here")
        sigma: Values
        if "var_limit" in keys:
            variance = self._range(keys, ("var_limit",), [10, 50], 0)
            sigma = Range(variance.low**0.5, variance.high**0.5, 0.5)
            self.traps.append(f"{keys.path('var_limit')}: is a variance on 0..255: standard deviations of {sigma}")
        else:
            std = self._range(keys, ("std_range",), [0.2, 0.44], 0, 1)
            sigma = Range(255 * std.low, 255 * std.high)
            if "std_range" not in keys:
                self.traps.append("GaussNoise without std_range: its default .2–.44 of the maximum is σ 51–112 of 255")
        return Noise(sigma, gray=gray)

    def _compression(self, keys: Keys) -> RandomStep:
        if str(keys.value("compression_type", "jpeg")).lower() not in ("jpeg", "0", "imagecompressiontype.jpeg"):
            return Other("compression by WebP")
        if "quality_range" in keys:
            ends = keys.range("quality_range", [99, 100], 1, 100)
        else:
            ends = Range(keys.number("quality_lower", 99, 0, 100), keys.number("quality_upper", 100, 0, 100))
            if ends.low > ends.high:
                raise keys.error("quality_lower", f"at most quality_upper, {ends.high:g}")
        return Jpeg(whole(int(ends.low), int(ends.high)))

    def _downscale(self, keys: Keys) -> Chain:
        if "scale_range" in keys:
            by = keys.range("scale_range", [0.25, 0.25], 1e-3, 1)
        else:
            by = Range(keys.number("scale_min", 0.25, 1e-3, 1), keys.number("scale_max", 0.25, 1e-3, 1))
        pair = keys.value("interpolation_pair", {})
        pair = pair if isinstance(pair, Mapping) else {}
        down, up = (INTERPOLATIONS.get(pair.get(way, 0), "nearest") for way in ("downscale", "upscale"))
        self.traps.append(f"{keys.path('scale_range')}: shrinks and enlarges again: the image keeps its size")
        return Resize("here", by, ((down, 1.0),)), Resize("clean", fixed(1 / self.factor), ((up, 1.0),))

    def _range(self, keys: Keys, names: Sequence[str], default: list[float], low: float, high: float = np.inf) -> Range:
        """Read a range by any of its names; a number n is the range up to n."""
        name = next((name for name in names if name in keys), names[0])
        value = keys.value(name, default)
        if is_number(value):
            return Keys(self.file, {name: (keys.path(name), [min(0, value), value])}).range(name, default, low, high)
        return keys.range(name, default, low, high)


def read(path: Path, data: Mapping[str, Any] | None) -> Options:
    """Read a serialised pipeline."""
    reader = _Reader(str(path))
    transform = (data or {}).get("transform", data)
    chain = reader.step(transform, "transform")
    return Options("albumentations", chain, reader.factor, (), tuple(dict.fromkeys(reader.traps)),
                   tuple(dict.fromkeys(reader.unknown)), str(path))  # fmt: skip


def write(blocks: Sequence[Block], purpose: Purpose) -> dict[str, str]:
    """Write one pipeline: one of the blocks by weight, for `albumentations.load`; it makes the small image too."""
    branches = [_transform("Compose", block.weight, transforms=_chain(block, purpose)) for block in blocks]
    pipeline = _transform("Compose", 1.0, transforms=[_transform("OneOf", 1.0, transforms=branches)])
    text = {"__version__": VERSION, "transform": pipeline}
    return {"albumentations.json": json.dumps(text, indent=1) + "\n"}


def _chain(block: Block, purpose: Purpose) -> list[dict[str, Any]]:
    r = block.ranges
    chain = []
    if r["blur_sigma"].high > 0:
        ends = [r["blur_sigma"].low, r["blur_sigma"].high]
        chain.append(_transform("GaussianBlur", 1.0, blur_limit=[0, 0], sigma_limit=ends))
    if (factor := (r["downsampling"].low + r["downsampling"].high) / 2) > 1:
        share = 1 / factor - 1
        chain.append(_transform("RandomScale", 1.0, interpolation=2, mask_interpolation=0, scale_limit=[share, share]))
    if r["noise_sigma"].high > 0:
        std = [r["noise_sigma"].low / 255, r["noise_sigma"].high / 255]
        chain.append(_transform("GaussNoise", 1.0, std_range=std, mean_range=[0.0, 0.0], noise_scale_factor=1.0,
                                per_channel=purpose.noise == "color"))  # fmt: skip
    qualities = whole_qualities(r["jpeg_quality"])
    if qualities is not None:
        chain.append(_transform("ImageCompression", 1.0, compression_type="jpeg", quality_range=list(qualities)))
    return chain or [_transform("NoOp", 1.0)]


def _transform(name: str, p: float, **values: Any) -> dict[str, Any]:
    return {"__class_fullname__": name, "p": p, **values}


DIALECT = Dialect(
    "albumentations", "Albumentations (serialised pipelines)", ".json", recognises, read, write, joint=True,
    uncompressed="block",
    notes=("the pipeline makes the small image of the clean one, by bicubic interpolation as fastdeg does",),
)  # fmt: skip
