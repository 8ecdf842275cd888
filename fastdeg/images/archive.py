"""Fitted estimators as files: arrays and a header, no pickles."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdeg import __version__
from fastdeg._files import damage_told, read_archive, write_archive
from fastdeg.bins import Bins, bins_from_arrays
from fastdeg.degradations.history import History, as_history
from fastdeg.images.inference.model import DegradationModel

FORMAT = "DegradationEstimator"
VERSION = 3  # changes with what the features say: what was learned from others is of no use
SAVED = ("downsampling", "noise", "interpolation", "n_samples", "patch_size", "random_state")  # beside the bins
OLDER_NAMES = {"reading": "summarizer", "comb_reading": "jpeg_summarizer"}  # of 0.1.0, before the first dot
OWN = ("degrade", "features")  # callables, which are not saved


def write_estimator(
    path: str | os.PathLike[str], arguments: Mapping[str, Any], model: DegradationModel, n_images: int
) -> None:
    """Write a fitted estimator; arguments: those of its constructor."""
    state = arguments["bins"].to_arrays()
    arrays: dict[str, NDArray[Any]] = {f"bins.{k}": v for k, v in state.items() if isinstance(v, np.ndarray)}
    header = {
        "bins": {k: v for k, v in state.items() if not isinstance(v, np.ndarray)},
        "version": VERSION,
        "fastdeg": __version__,
        "n_images": n_images,
        "own": [name for name in OWN if arguments[name] is not None],
        "parameters": {name: arguments[name] for name in SAVED},
        "history": as_history(arguments["history"]).to_dict(),
    }
    write_archive(path, FORMAT, header, arrays | model.to_arrays())


def read_estimator(
    path: str | os.PathLike[str], own: dict[str, Any]
) -> tuple[Bins, dict[str, Any], DegradationModel, int]:
    """Return the bins, the other arguments, the model and the number of images of a fitted estimator.

    own: the user's callables by name, None for those that are built in.
    """
    header, arrays = read_archive(path, FORMAT, version=None)
    if header.get("version") != VERSION:
        raise ValueError(
            f"{os.fspath(path)}: fitted by another version of fastdeg, {header.get('fastdeg', '0.1.0 or earlier')} "
            f"(version {header.get('version')} of the file, expected {VERSION}), whose features differ: fit it again"
        )
    for name in OWN:
        if name in header["own"] and own[name] is None:
            raise ValueError(f"{os.fspath(path)}: fitted with your own {name}: pass {name}= again")
        if name not in header["own"] and own[name] is not None:
            raise ValueError(f"{os.fspath(path)}: fitted without a {name} of your own: leave {name}= out")
    split = [(*name.partition("."), value) for name, value in arrays.items()]
    arrays = {f"{OLDER_NAMES.get(part, part)}{dot}{rest}": value for part, dot, rest, value in split}
    bins_arrays = {k.removeprefix("bins."): v for k, v in arrays.items() if k.startswith("bins.")}
    with damage_told(path):
        bins, parameters = bins_from_arrays(header["bins"] | bins_arrays), header["parameters"]
        if bins.space is not None and "downsampling" in bins.space.names:
            parameters["downsampling"] = None  # files of 0.1.0 hold a factor that nothing used
        parameters["history"] = History.from_dict(header["history"]) or None if "history" in header else None
        return bins, parameters, DegradationModel.from_arrays(arrays), header["n_images"]
