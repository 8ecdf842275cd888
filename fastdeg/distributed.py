"""Dask: what is computed of each chunk of a collection, merged in the order of the chunks; clusters to run it on.

A merge takes the result so far and the next few chunks, so that the answer is that of the chunks merged one after the
other, bit for bit, on any number of workers, and no worker holds more than a few of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

MERGED_AT_ONCE = 16  # chunks
NEEDED = "Dask is not installed: pip install 'fastdeg[dask]'"


def is_collection(value: Any) -> bool:
    """Return whether the value is an array, a data frame or a column of Dask."""
    return type(value).__module__.split(".")[0] in ("dask", "dask_expr") and hasattr(value, "__dask_graph__")


def fold(part: Callable[..., Any], merge: Callable[..., Any], collections: dict[str, Any]) -> Any:
    """Compute ``part`` of each chunk and ``merge(*parts)`` of all, in the order of the chunks.

    ``collections``: by the names that messages call them by, the first one in chunks of rows, others of as many rows,
    or None. Runs where Dask runs by default: on the client's cluster, else on threads of this process.

    Raises
    ------
    ValueError, TypeError
        What a chunk raises, with its number and its first row.
    """
    from dask import delayed

    parts = [chunk for chunk, _ in _computed_chunks(part, collections)]
    result = delayed(merge, pure=False)(*parts[:MERGED_AT_ONCE])
    for first in range(MERGED_AT_ONCE, len(parts), MERGED_AT_ONCE):
        result = delayed(merge, pure=False)(result, *parts[first : first + MERGED_AT_ONCE])
    return result.compute()


def labels_of(assign: Callable[..., Any], samples: Any) -> Any:
    """Return a Dask array of the labels that ``assign`` gives the samples of each chunk, not computed yet."""
    import dask.array as da

    chunks = _computed_chunks(assign, {"samples": samples})
    labels = [da.from_delayed(chunk, (size,), dtype=np.int64) for chunk, size in chunks]
    return da.concatenate(labels, allow_unknown_chunksizes=True)


def _computed_chunks(part: Callable[..., Any], collections: dict[str, Any]) -> list[tuple[Any, float]]:
    """Return ``part`` of each chunk, and the number of its rows, NaN where that is not known."""
    from dask import delayed

    (name, samples), *others = collections.items()
    if not is_collection(samples):
        raise TypeError(f"{name}: expected an array or a data frame of Dask, as the others are, got {type(samples)}")
    of_frame: dict[str, Any] = {}
    sizes: Sequence[float]
    if hasattr(samples, "columns"):
        blocks, of_frame = _partitions(samples, {what: other for what, other in others if hasattr(other, "to_frame")})
        sizes = (np.nan,) * len(blocks)
    else:
        blocks, sizes = _blocks(samples.rechunk({1: -1}) if samples.ndim == 2 else samples), samples.chunks[0]
    starts = np.concatenate(([0.0], np.cumsum(sizes)))  # NaN from the first unknown one on
    columns = [of_frame[what] if what in of_frame else _aligned(other, sizes, starts, what) for what, other in others]
    shared = delayed(part, traverse=False)  # one node of the graph: sent to a worker once
    call = delayed(_of_chunk, pure=False)
    return [
        (call(shared, i, None if np.isnan(start) else int(start), *arrays), size)
        for i, (start, size, *arrays) in enumerate(zip(starts[:-1], sizes, blocks, *columns, strict=True))
    ]


def _partitions(frame: Any, columns: dict[str, Any]) -> tuple[list[Any], dict[str, list[Any]]]:
    """Return the partitions of a data frame, and of columns that belong to it.

    In one frame, since Dask joins small partitions of a file: those of two columns apart may be other ones.
    """
    added = {what: f"{what} of the samples" for what in columns}
    blocks = _blocks(frame.assign(**{key: columns[what] for what, key in added.items()}))
    if not added:
        return blocks, {}
    own = list(frame.columns)
    return [block[own] for block in blocks], {what: [block[key] for block in blocks] for what, key in added.items()}


def _blocks(collection: Any) -> list[Any]:
    return list(np.ravel(np.asarray(collection.to_delayed(), dtype=object)))


def _aligned(other: Any, sizes: Sequence[float], starts: Any, name: str) -> Sequence[Any]:
    """Return the parts of weights or labels that belong to the chunks of the samples."""
    if other is None:
        return [None] * len(sizes)
    known = not np.isnan(starts).any()
    if not is_collection(other):
        array = np.asarray(other)
        if not known or array.shape != (int(starts[-1]),):
            rows = f"one number for each of the {int(starts[-1]):,} samples" if known else "a collection of Dask"
            raise ValueError(f"{name}: expected {rows}, got an array of shape {array.shape}")
        return np.split(array, starts[1:-1].astype(np.int64))
    if hasattr(other, "rechunk") and known and not np.isnan(other.chunks[0]).any():
        if other.shape != (int(starts[-1]),):
            raise ValueError(f"{name}: expected shape ({int(starts[-1])},), got {other.shape}")
        other = other.rechunk((tuple(sizes),))
    blocks = _blocks(other)
    if len(blocks) != len(sizes):
        raise ValueError(f"{name}: expected the {len(sizes)} chunks of the samples, got {len(blocks)}")
    return blocks


def _of_chunk(part: Callable[..., Any], number: int, start: int | None, *arrays: Any) -> Any:
    try:
        return part(*arrays)
    except (ValueError, TypeError) as error:
        where = "" if start is None else f", which begins with row {start}"
        raise type(error)(f"chunk {number}{where}: {error}") from None


@contextmanager
def cluster(address: str, workers: int | None = None) -> Iterator[Any]:
    """Connect to the Dask scheduler of that address, or start a cluster on this machine ("local"); close it at the end.

    Within, the work on images of joblib runs there, and so do computations of Dask.

    Raises
    ------
    ValueError
        Where Dask is not installed, or no scheduler answers.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        raise ValueError(NEEDED) from None
    from joblib import parallel_config

    if address == "local":
        local = LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=":0")
        with local, Client(local) as client, parallel_config("dask", client=client):
            yield client
        return
    try:
        client = Client(address, timeout=10)
    except (OSError, ValueError) as error:
        raise ValueError(f"--dask: no scheduler answers at {address!r}: {error}") from None
    with client, parallel_config("dask", client=client):
        yield client
