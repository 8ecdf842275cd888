"""Option files of training frameworks: reading what they train on, auditing them, and writing what p asks for.

One table of dialects, one file each in `fastdeg.frameworks.dialects`; `register` adds one (docs/add-a-dialect.md).
"""

from __future__ import annotations

import os
from typing import Any

from fastdeg._checks import choice
from fastdeg._files import path_of
from fastdeg.degradations import History, as_history
from fastdeg.distribution import BinnedDistribution
from fastdeg.frameworks.comparison import Audit, compare
from fastdeg.frameworks.dialect import Block, Dialect, Purpose
from fastdeg.frameworks.dialects import albumentations, gfpgan, neosr, realesrgan, tables, trainner_redux, wtp
from fastdeg.frameworks.export import Export, export
from fastdeg.frameworks.files import PARSED, read_mapping
from fastdeg.frameworks.options import Options

__all__ = [
    "Audit",
    "Block",
    "Dialect",
    "Export",
    "Options",
    "Purpose",
    "audit",
    "dialects",
    "read",
    "register",
    "unregister",
    "write",
]

# in the order in which files are recognised
BUILT_IN = (
    wtp.DIALECT, neosr.DIALECT, albumentations.DIALECT, tables.JSON, tables.CSV, gfpgan.DIALECT, trainner_redux.DIALECT,
    realesrgan.DIALECT,
)  # fmt: skip
_added: list[Dialect] = []


def dialects() -> dict[str, Dialect]:
    """Return all dialects by name, those added first."""
    return {dialect.name: dialect for dialect in (*_added, *BUILT_IN)}


def register(dialect: Dialect) -> Dialect:
    """Add a dialect to the table of this process, before the others, and return it.

    Raises
    ------
    TypeError, ValueError
        Where it is no `Dialect`, or its name is taken.
    """
    if not isinstance(dialect, Dialect):
        raise TypeError(f"dialect: expected a fastdeg.frameworks.Dialect, got {type(dialect).__name__}")
    if dialect.name in dialects():
        raise ValueError(f"dialect: expected a new name, got {dialect.name!r}")
    _added.append(dialect)
    return dialect


def unregister(dialect: Dialect) -> None:
    """Take out a dialect that `register` added."""
    if not any(dialect is one for one in _added):
        raise ValueError("dialect: expected one that register added")
    _added.remove(dialect)


def read(path: str | os.PathLike[str], *, framework: str | None = None) -> Options:
    """Read the degradations of an option file.

    Nothing of the file is run, and nothing else of it is looked at.

    Parameters
    ----------
    path : path-like
        YAML, TOML, HCL, JSON or CSV.
    framework : str, optional
        The dialect, a name of `dialects`; by default told by the keys.

    Returns
    -------
    Options
        Its ``distribution(bins)`` is what a training run with the file trains on; its ``notes`` say which keys do
        nothing, what surprises, and what no axis tells of.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    ValueError
        When it is damaged, of no known dialect, or a key holds what it must not; the message names the key.

    See Also
    --------
    audit : Compares what was read with photos.
    write : The way back.

    Examples
    --------
    >>> import pathlib, tempfile, fastdeg as fd
    >>> text = '''
    ... blur_sigma: [0.1, 10]
    ... downsample_range: [1, 8]
    ... noise_range: [0, 20]
    ... jpeg_range: [60, 100]
    ... '''
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder, "faces.yml")
    ...     _ = file.write_text(text)
    ...     options = fd.frameworks.read(file)
    >>> options
    Options(gfpgan, ×8, ranges, 2 notes)
    >>> bins = fd.GridBins(fd.DegradationSpace([fd.Axis.regular("noise_sigma", 0, 50, 5)]))
    >>> options.distribution(bins).pmf
    array([0.5, 0.5, 0. , 0. , 0. ])
    """
    table = dialects()
    path = path_of(path)
    if framework is not None:
        choice(framework, "framework", tuple(table))
    own = {dialect.suffix for dialect in table.values()} - PARSED  # of dialects that parse their files themselves
    data: dict[str, Any] | None = None if path.suffix.lower() in own else read_mapping(path)
    for dialect in [table[framework]] if framework else table.values():
        if dialect.recognises(path, data):
            return dialect.read(path, data)
    wanted = f"options of {framework}" if framework else f"options of one of {', '.join(table)}"
    keys = ", ".join(map(str, list(data or {})[:6])) or "no key"
    raise ValueError(f"{path}: expected {wanted}, with ranges of degradations, got none of their keys but {keys}")


def audit(
    options: Options | str | os.PathLike[str],
    distribution: BinnedDistribution,
    *,
    crafted: BinnedDistribution | None = None,
) -> Audit:
    """Compare what an option file trains on with what the photos are.

    Parameters
    ----------
    options : Options or path-like
        What `read` returned, or the file.
    distribution : BinnedDistribution
        The photos' q, as `DegradationEstimator.estimate` finds it.
    crafted : BinnedDistribution, optional
        What training shall be on instead, to compare it too.

    Returns
    -------
    Audit
        Axis by axis too wide, too narrow, off or fitting; ``coverage``, ``wasted``, ``emd``, ``frechet``, and in
        ``sentences``.

    Raises
    ------
    TypeError, ValueError
        When an argument is of another kind, or the bins have no space.

    See Also
    --------
    read : Reads the file alone.
    write : Writes what should stand there.

    Examples
    --------
    >>> import pathlib, tempfile, fastdeg as fd
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder, "faces.yml")
    ...     _ = file.write_text("{downsample_range: [1, 8], noise_range: [0, 10], jpeg_range: [60, 100]}")
    ...     options = fd.frameworks.read(file)
    >>> bins = fd.GridBins(fd.DegradationSpace([fd.Axis.regular("noise_sigma", 0, 50, 5)]))
    >>> fd.frameworks.audit(options, fd.BinnedDistribution(bins, [0.0, 0.5, 0.5, 0.0, 0.0]))
    Audit(gfpgan: noise_sigma off; coverage 0.00, wasted 1.00)
    """
    return compare(options if isinstance(options, Options) else read(options), distribution, crafted=crafted)


def write(
    distribution: BinnedDistribution,
    framework: str,
    *,
    history: History | str | None = None,
    keep: float = 0.95,
    boxes: int = 1,
    downsampling: float | None = None,
    noise: str = "gray",
) -> Export:
    """Write a distribution as the options of a framework.

    Where a file can only say independent ranges, it holds the tightest box that keeps ``keep`` of the distribution, or
    several boxes whose mixture is nearer to it. wtp, Albumentations, CSV and JSON say the joint distribution by bins.

    Parameters
    ----------
    distribution : BinnedDistribution
        Over a space of parameters of the chain.
    framework : str
        A name of `dialects`.
    history : History or str, optional
        What the distribution is meant to go with. The two-stage chains and wtp say those of its steps that they have a
        place for; the notes tell the others.
    keep : float
        Least probability of what is written.
    boxes : int
        Number of boxes; above one also where the joint distribution could be said.
    downsampling : float, optional
        The factor where no axis says it, default 4.
    noise : {"gray", "color"}
        Kind of the noise.

    Returns
    -------
    Export
        With ``files``, ``lost_mass``, ``distance`` (earth mover's, standardised) and ``notes``.

    Raises
    ------
    TypeError, ValueError
        When an argument is out of range, or the dialect cannot say any axis.

    See Also
    --------
    fastdeg.DegradationTransform : Hands over all of the distribution, where you train by code of your own.

    Examples
    --------
    >>> import fastdeg as fd
    >>> bins = fd.GridBins(fd.DegradationSpace([fd.Axis.regular("noise_sigma", 0, 50, 5)]))
    >>> p = fd.BinnedDistribution(bins, [0.0, 0.5, 0.5, 0.0, 0.0])
    >>> done = fd.frameworks.write(p, "realesrgan")
    >>> done.lost_mass, done.distance
    (0.0, 0.0)
    >>> [line for line in done.text.splitlines() if line.startswith("noise_range2")]
    ['noise_range2: [10, 30]']
    """
    dialect = dialects()[choice(framework, "framework", tuple(dialects()))]
    return export(
        distribution, dialect, history=as_history(history), keep=keep, boxes=boxes, downsampling=downsampling,
        noise=noise,
    )  # fmt: skip
