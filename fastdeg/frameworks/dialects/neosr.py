"""neosr: Real-ESRGAN's chain as TOML, in a table of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fastdeg.frameworks.dialect import Block, Dialect, Purpose
from fastdeg.frameworks.dialects.realesrgan import history_keys, option_values, put_history
from fastdeg.frameworks.keys import Keys, misspelt
from fastdeg.frameworks.options import Options
from fastdeg.frameworks.second_order import BOTH_STAGES, NO_JPEG, SIZES, Reader, Rules, unused_size
from fastdeg.frameworks.text import header, literal

OWN = (*BOTH_STAGES, "second_blur_prob", "scale")


def recognises(path: Path, data: Mapping[str, Any] | None) -> bool:
    """Return whether it is TOML with the keys of two stages."""
    if path.suffix.lower() != ".toml" or data is None:
        return False
    return len([name for name in OWN if name in Keys.find(str(path), data, OWN)]) > 2


def read(path: Path, data: Mapping[str, Any] | None) -> Options:
    """Read an option file."""
    keys = Keys.find(str(path), data or {}, OWN)
    scale = keys.number("scale", 4, 1)
    reader = Reader(keys, Rules(), scale, (SIZES, SIZES, SIZES))
    chain = reader.chain()
    keys.missing = [name for name in keys.missing if name != "scale"]
    reader.tell_missing(strict=True)
    return Options(
        "neosr", chain, scale, tuple(dict.fromkeys([*unused_size(keys), *reader.without_effect])),
        tuple(dict.fromkeys(reader.traps)), tuple(misspelt(data or {}, OWN, ("patch_size", "scale"))), str(path),
    )  # fmt: skip


def write(blocks: Sequence[Block], purpose: Purpose) -> dict[str, str]:
    """Write one file a block."""
    several = len(blocks) > 1
    texts = {}
    for number, block in enumerate(blocks, start=1):
        top, dataset = option_values(block, purpose)
        del top["gt_usm"]
        put_history(purpose, top, dataset)
        values = top | dataset
        share = f"share of training {block.weight:.4g}: file {number} of {len(blocks)}" if several else ""
        lines = [*header("neosr", purpose, share), 'model_type = "otf"', f"scale = {purpose.scale:g}", ""]
        lines += ["[datasets.train]", 'type = "otf"', "", "[degradations]"]
        lines += [f"{name} = {literal(value)}" for name, value in values.items()]
        texts[f"neosr{f'-{number}' if several else ''}.toml"] = "\n".join(lines) + "\n"
    return texts


DIALECT = Dialect(
    "neosr", "neosr", ".toml", recognises, read, write, axes=("blur_sigma", "noise_sigma", "jpeg_quality"),
    highest_quality=NO_JPEG, uncompressed="block", history=history_keys,
    notes=(
        "the downscale is by area, bilinear or bicubic in thirds; fastdeg's is bicubic unless told otherwise",
        "kernels have 7 to 21 px: a blur above 1.5 px acts weaker than it is written",
    ),
)  # fmt: skip
