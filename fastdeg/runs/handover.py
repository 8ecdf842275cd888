"""From a run folder to training: its crafted distribution as a transform, with the pipeline it was made with."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from fastdeg._checks import choice
from fastdeg.degradations.chain import Degradation
from fastdeg.degradations.history import History
from fastdeg.degradations.streams import Seed
from fastdeg.degradations.transform import DegradationTransform
from fastdeg.distribution import BinnedDistribution
from fastdeg.images import DegradationEstimator
from fastdeg.runs import folder as runs


def load_transform(
    run: str | os.PathLike[str], *, of: str = "crafted", downsampling: float | None = None, seed: Seed | None = None
) -> DegradationTransform:
    """Return the transform that draws from a run's crafted p, or its q, with the history or the pipeline of the run.

    Parameters
    ----------
    run : path
        Folder that ``fastdeg craft``, ``demo`` or ``estimate`` wrote.
    of : {"crafted", "target"}
        p, or q, which a run of ``estimate`` has too.
    downsampling : float, optional
        Factor, by default the run's; see `fastdeg.DegradationTransform`.
    seed : int or numpy.random.SeedSequence, optional

    Raises
    ------
    FileNotFoundError, ValueError
        Where the folder holds no run, or one without a crafted distribution.
    """
    folder = Path(run)
    inputs = runs.read_summary(folder)["inputs"]
    if not (folder / f"{choice(of, 'of', ('crafted', 'target'))}.npz").is_file():
        raise ValueError(f"{folder}: expected a run of craft or demo, got one without {of}.npz")
    distribution = BinnedDistribution.load(folder / f"{of}.npz")
    axes = distribution.bins.space.names if distribution.bins.space else ()
    if downsampling is None and "downsampling" not in axes:
        downsampling = inputs.get("downsampling")
    return DegradationTransform(
        distribution,
        downsampling=downsampling,
        noise=inputs.get("noise") or "gray",
        degrade=pipeline(inputs["degrade"]) if inputs.get("degrade") else None,
        history=History.from_dict(inputs["history"]) if inputs.get("history") else None,
        seed=seed,
    )


def load_estimator(run: str | os.PathLike[str]) -> DegradationEstimator:
    """Return the fitted estimator of a run that read photos, with the pipeline that it was fitted with.

    Raises
    ------
    FileNotFoundError, ValueError
        Where the folder holds no run, or one without an estimator.
    """
    folder = Path(run)
    own = runs.read_summary(folder)["inputs"].get("degrade")
    if not (folder / runs.ESTIMATOR_FILE).is_file():
        raise ValueError(
            f"{folder}: expected a run that read photos (craft --references, estimate or demo), got one without "
            f"{runs.ESTIMATOR_FILE}"
        )
    return DegradationEstimator.load(folder / runs.ESTIMATOR_FILE, degrade=pipeline(own) if own else None)


def pipeline(name: str) -> Degradation:
    """Return the function ``module:function``, of a module that is installed or lies in the working folder.

    Raises
    ------
    ValueError
        Where there is none of that name.
    """
    module, _, function = name.partition(":")
    if not module or not function:
        raise ValueError(f"--degrade: expected module:function, got {name!r}")
    try:
        with _working_folder_importable():
            found: Degradation = getattr(import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"--degrade: expected a function that can be imported, got {name!r}: {error}") from None
    if not callable(found):
        raise ValueError(f"--degrade: expected a function (image, parameters, rng) -> image, got {found!r} in {name!r}")
    return found


@contextmanager
def _working_folder_importable() -> Iterator[None]:
    here = os.getcwd()
    sys.path.insert(0, here)
    try:
        yield
    finally:
        sys.path.remove(here)
