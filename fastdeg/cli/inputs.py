"""What the verbs share of their options: spaces and histories as YAML, and what is refused."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from fastdeg.degradations import History, as_history
from fastdeg.frameworks.files import read_mapping
from fastdeg.space import PRESETS, DegradationSpace


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


def read_history(name: str | None, crafted: Collection[str] = ()) -> History | None:
    """Return the history that the YAML file of a space holds, None where it holds none or the space is a preset.

    Its key ``history`` is the name of a preset, a list of steps, or a mapping as `History.from_dict` takes it; crafted:
    names of axes, which it may not draw.

    Raises
    ------
    FileNotFoundError, ValueError
        When there is no such file, or what it holds is no history.
    """
    if name is None or name in PRESETS:
        return None
    path, config = _read_yaml(name)
    given = config.get("history") if isinstance(config, Mapping) else None
    if given is None:
        return None
    try:
        if isinstance(given, str):
            history = as_history(given)
        else:
            history = History.from_dict(given) if isinstance(given, Mapping) else History(given)
        history.check(crafted)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from None
    return history


def _read_yaml(name: str) -> tuple[Path, Any]:
    """Return the path and the content of a space's file."""
    path = Path(name)
    if not path.is_file():
        raise FileNotFoundError(f"--space: expected {', '.join(PRESETS)} or a YAML file, got {name!r}")
    return path, read_mapping(path)


def check_new_file(path: Path, *, force: bool) -> None:
    """Refuse to write a file where a folder is, or another file that is not to be replaced."""
    if path.is_dir():
        raise ValueError(f"{path}: expected a file to write, got a folder")
    if path.exists() and not force:
        raise ValueError(f"{path}: exists; pass --force to replace it, or choose another file")


def refuse(options: argparse.Namespace, names: Sequence[str], where: str) -> None:
    """Refuse options that would have no effect."""
    for name in names:
        if getattr(options, name) not in (None, False):
            raise ValueError(f"--{name.replace('_', '-')}: goes with {where}")
