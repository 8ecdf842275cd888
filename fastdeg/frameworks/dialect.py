"""What a dialect of option files is: how it is recognised, read and written."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastdeg.degradations import History
from fastdeg.frameworks.options import Options
from fastdeg.frameworks.ranges import Range


@dataclass(frozen=True)
class Block:
    """Independent ranges over axes, their share of all, and how much of it is compressed by those qualities at all."""

    weight: float
    ranges: Mapping[str, Range]
    compressed: float = 1.0


@dataclass(frozen=True)
class Purpose:
    """What the written options are for, beside the ranges: the factor, the kind of noise, and what is said of them.

    ``history`` is what the dialect's ``history`` made of one; None where there is none, or no place for it.
    """

    scale: float = 4.0
    noise: str = "gray"
    comments: tuple[str, ...] = ()
    history: Any = None


@dataclass(frozen=True)
class Dialect:
    """A dialect of option files.

    Parameters
    ----------
    name : str
        What ``framework=`` and ``--to`` call it.
    title : str
        Whose it is, in words.
    suffix : str
        Of its files, such as ``".yml"``.
    recognises : callable (path, data) -> bool
        Whether a file is written in it; ``data`` is what YAML, TOML, JSON or HCL holds, None for other files.
    read : callable (path, data) -> Options
    write : callable (blocks, purpose) -> dict from file name to text, or None
        None: it can only be read.
    axes : tuple of str
        Axes whose ranges it can say.
    joint : bool
        Whether one file says a mixture of any number of blocks.
    highest_quality : float
        JPEG quality that stands for all above it.
    uncompressed : {"range", "share", "block"}
        How images without compression are said: as qualities above 100 like any others, as a share of each block, or
        by blocks of their own, which have quality 101; where a block holds both, one that is not ``joint`` cannot.
    history : callable (history, axes) -> (what its writer needs of it, sentences on the rest), or None
        For steps of a `History` beside a distribution over these axes; None where files have no place for any.
    notes : tuple of str
        What to know of what is written.
    """

    name: str
    title: str
    suffix: str
    recognises: Callable[[Path, Mapping[str, Any] | None], bool]
    read: Callable[[Path, Mapping[str, Any] | None], Options]
    write: Callable[[Sequence[Block], Purpose], dict[str, str]] | None = None
    axes: tuple[str, ...] = ("blur_sigma", "downsampling", "noise_sigma", "jpeg_quality")
    joint: bool = False
    highest_quality: float = math.inf
    uncompressed: str = "range"
    history: Callable[[History, Sequence[str]], tuple[Any, list[str]]] | None = None
    notes: tuple[str, ...] = ()
