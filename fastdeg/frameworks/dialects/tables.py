"""fastdeg's own files of ranges: a row or an entry a block, with its probability; CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fastdeg.degradations import registry
from fastdeg.frameworks.chain import Product
from fastdeg.frameworks.dialect import Block, Dialect, Purpose
from fastdeg.frameworks.files import read_text
from fastdeg.frameworks.keys import SUM_TOLERANCE, Keys
from fastdeg.frameworks.options import Options
from fastdeg.frameworks.ranges import Range, Values

FORMAT = "fastdeg.blocks"


def recognises_csv(path: Path, data: Mapping[str, Any] | None) -> bool:
    """Return whether it is a table."""
    return path.suffix.lower() == ".csv"


def recognises_json(path: Path, data: Mapping[str, Any] | None) -> bool:
    """Return whether it is a file of this format."""
    return isinstance(data, Mapping) and data.get("format") == FORMAT


def read_csv(path: Path, data: Mapping[str, Any] | None) -> Options:
    """Read a table: columns ``axis_low``, ``axis_high`` and ``probability``; or one column an axis, rows alike."""
    reader = csv.DictReader(io.StringIO(read_text(path)))
    names = list(reader.fieldnames or [])
    known = registry.parameters()
    pairs = [name[:-4] for name in names if name.endswith("_low") and name[:-4] in known]
    plain = [name for name in names if name in known]
    if not pairs and not plain:
        raise ValueError(
            f"{path}: expected columns named after axes (`fastdeg info` lists them), got {', '.join(names)[:120]}"
        )
    blocks: list[tuple[float, Product]] = []
    for number, row in enumerate(reader, start=1):
        ends = {name: (f"{name}_low", f"{name}_high") for name in pairs} | {name: (name, name) for name in plain}
        product: Product = {}
        for name, columns in ends.items():
            low, high = (_cell(path, number, column, row.get(column)) for column in columns)
            product[name] = _checked(f"{path}: row {number}, {columns[0]}", low, high)
        weight = _cell(path, number, "probability", row["probability"]) if "probability" in names else 1.0
        blocks.append((weight, product))
    return _options("csv", path, blocks, normalised="probability" in names)


def read_json(path: Path, data: Mapping[str, Any] | None) -> Options:
    """Read a list of blocks: a probability, and [low, high] for each axis."""
    entries = (data or {}).get("blocks")
    if not isinstance(entries, list) or not entries:
        raise ValueError(f"{path}: blocks: expected a list of blocks, got {str(entries)[:80]}")
    blocks = []
    for number, entry in enumerate(entries):
        if not isinstance(entry, Mapping):
            raise ValueError(f"{path}: blocks[{number}]: expected a mapping, got {str(entry)[:80]}")
        keys = Keys(str(path), {name: (f"blocks[{number}].{name}", value) for name, value in entry.items()})
        unknown = set(entry) - registry.parameters().keys() - {"probability"}
        if unknown:
            raise keys.error(sorted(unknown)[0], "the name of an axis")
        product: Product = {name: keys.range(name, [0, 0], -1e9) for name in entry if name != "probability"}
        blocks.append((keys.number("probability", 0, 0, 1), product))
    return _options("json", path, blocks, normalised=True)


def _options(name: str, path: Path, blocks: list[tuple[float, Product]], *, normalised: bool) -> Options:
    total = sum(weight for weight, _ in blocks)
    if not blocks or not total > 0 or (normalised and abs(total - 1) > SUM_TOLERANCE):
        raise ValueError(f"{path}: probability: expected probabilities that sum to 1, got a sum of {total:.6g}")
    scale = max((product["downsampling"].high for _, product in blocks if "downsampling" in product), default=1.0)
    return Options(
        name, (), scale, source=str(path), _products=[(weight / total, product) for weight, product in blocks]
    )


def _cell(path: Path, row: int, column: str, text: str | None) -> float:
    try:
        return float(text or "")
    except ValueError:
        raise ValueError(f"{path}: row {row}, {column}: expected a number, got {text!r}") from None


def _checked(where: str, low: float, high: float) -> Values:
    if not low <= high:
        raise ValueError(f"{where}: expected low <= high, got {low:g} and {high:g}")
    return Range(low, high)


def write_csv(blocks: Sequence[Block], purpose: Purpose) -> dict[str, str]:
    """Write one row a block."""
    names = list(blocks[0].ranges)
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*(f"{name}_{end}" for name in names for end in ("low", "high")), "probability"])
    for block in blocks:
        ends = [repr(float(v)) for name in names for v in (block.ranges[name].low, block.ranges[name].high)]
        writer.writerow([*ends, repr(float(block.weight))])
    return {"degradations.csv": file.getvalue()}


def write_json(blocks: Sequence[Block], purpose: Purpose) -> dict[str, str]:
    """Write one entry a block."""
    entries = [
        {"probability": float(b.weight), **{n: [float(r.low), float(r.high)] for n, r in b.ranges.items()}}
        for b in blocks
    ]
    content = {"format": FORMAT, "noise": purpose.noise, "comments": list(purpose.comments), "blocks": entries}
    return {"degradations.json": json.dumps(content, indent=1) + "\n"}


CSV = Dialect("csv", "a table of ranges", ".csv", recognises_csv, read_csv, write_csv, axes=("*",), joint=True)
JSON = Dialect("json", "a list of ranges", ".json", recognises_json, read_json, write_json, axes=("*",), joint=True)
