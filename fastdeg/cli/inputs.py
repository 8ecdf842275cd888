"""What the command line reads: degradation spaces as YAML, and tables of annotations."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from fastdeg._types import ByValue, Float
from fastdeg.degradations import History, as_history
from fastdeg.runs.folder import read_csv
from fastdeg.space import PRESETS, DegradationSpace


@dataclass(frozen=True, eq=False)
class Annotations(ByValue):
    """Degradation parameters of images.

    Attributes
    ----------
    parameters : ndarray, shape (n, d)
        In the units of the space's axes.
    files : tuple of str, or None
        The column ``file``, where the table has one.
    """

    parameters: Float
    files: tuple[str, ...] | None


def read_annotations(path: Path, space: DegradationSpace) -> Annotations:
    """Read a CSV table whose header names the axes of the space; other columns are ignored, but for ``file``.

    Raises
    ------
    FileNotFoundError, ValueError
        When the file is missing or no CSV, lacks a column, or a value is not a finite number inside of the space.
    """
    rows = read_csv(path)
    missing = [name for name in space.names if name not in rows[0]]
    if missing:
        raise ValueError(
            f"{path}: expected a column for each axis ({', '.join(space.names)}), "
            f"missing {', '.join(missing)}; got {', '.join(rows[0])}"
        )
    parameters = np.empty((len(rows), space.ndim))
    for i, row in enumerate(rows):
        for k, (name, axis) in enumerate(zip(space.names, space.axes, strict=True)):
            try:
                parameters[i, k] = float(row[name])
            except ValueError:
                parameters[i, k] = math.nan
            if not math.isfinite(parameters[i, k]):
                raise ValueError(f"{path}, row {i + 1}, column {name}: expected a finite number, got {row[name]!r}")
            low, high = axis.boundaries[0], axis.boundaries[-1]
            if not low <= parameters[i, k] <= high:
                raise ValueError(
                    f"{path}, row {i + 1}, column {name}: expected a value of the space, from {low:g} to {high:g}, "
                    f"got {row[name]}; --space takes a wider one"
                )
    return Annotations(parameters, tuple(row["file"] for row in rows) if "file" in rows[0] else None)


def read_space(name: str) -> DegradationSpace:
    """Return a preset by name, or the space that a YAML file describes.

    Raises
    ------
    FileNotFoundError, ValueError
        When there is no such preset or file, or the file describes no space.
    """
    if name in PRESETS:
        return DegradationSpace.preset(name)
    path, config = _read_yaml(name)
    try:
        return DegradationSpace.from_dict(config)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from None


def read_history(name: str) -> History | None:
    """Return the history that the YAML file of a space holds, None where it holds none or the space is a preset.

    Its key ``history`` is the name of a preset, or a list of steps.

    Raises
    ------
    FileNotFoundError, ValueError
        When there is no such file, or what it holds is no history.
    """
    if name in PRESETS:
        return None
    path, config = _read_yaml(name)
    given = config.get("history") if isinstance(config, Mapping) else None
    try:
        return given if given is None else as_history(given) if isinstance(given, str) else History(given)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from None


def _read_yaml(name: str) -> tuple[Path, Any]:
    """Return the path and the content of a space's file."""
    path = Path(name)
    if not path.is_file():
        raise FileNotFoundError(f"--space: expected {', '.join(PRESETS)} or a YAML file, got {name!r}")
    try:
        return path, yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: expected YAML, got {error}") from None


def refuse(options: argparse.Namespace, names: Sequence[str], where: str) -> None:
    """Refuse options that would have no effect."""
    for name in names:
        if getattr(options, name) not in (None, False):
            raise ValueError(f"--{name.replace('_', '-')}: goes with {where}")
