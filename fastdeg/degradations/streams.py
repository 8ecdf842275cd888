"""Streams of random numbers for training: of an item by (seed, epoch, index), or of a worker of a rank."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import secrets
import sys
from typing import Any

import numpy as np
from numpy.random.bit_generator import ISeedSequence
from numpy.typing import NDArray

from fastdeg._checks import integer

Seed = int | np.random.SeedSequence
RANKS = ("RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "PMI_RANK")  # of torchrun, Slurm, Open MPI, MPICH
MOST_EPOCHS = 2**32 - 1  # a word of the key
ITEM, WORKER = 0, 1  # first words of the keys, so that no item has the stream of a worker


class Digest(ISeedSequence):
    """Seeds a bit generator with the hash of a text: a third of the time of `numpy.random.SeedSequence`."""

    def __init__(self, text: str) -> None:
        self._text = text

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> NDArray[Any]:
        """Return the state; only what 64 bytes hold is asked for."""
        size = n_words * np.dtype(dtype).itemsize
        return np.frombuffer(hashlib.blake2b(self._text.encode(), digest_size=size).digest(), dtype)


class Streams:
    """All streams of one seed.

    Parameters
    ----------
    seed : int or numpy.random.SeedSequence, optional
        None draws one.
    """

    def __init__(self, seed: Seed | None) -> None:
        self.seed: Seed
        if isinstance(seed, np.random.SeedSequence):
            self.seed, self._root = seed, f"{seed.entropy} {seed.spawn_key}"
        else:
            self.seed = secrets.randbits(63) if seed is None else integer(seed, "seed", 0, any_size=True)
            self._root = f"{self.seed} ()"
        self._rank: int | None = None  # of the process in which this was pickled
        self._key: tuple[int, ...] | None = None
        self._rng: np.random.Generator | None = None

    def of_item(self, epoch: int, index: int) -> np.random.Generator:
        """Return a new stream of one item in one epoch: the same wherever and whenever it is asked for."""
        return self._stream(ITEM, epoch, index)

    def of_worker(self, epoch: int) -> np.random.Generator:
        """Return the stream of this process, which goes on from call to call: its own for each worker and rank."""
        rank = _rank(self._rank)
        key = (epoch, 0 if rank is None else rank + 1, *_worker())
        if self._rng is None or key != self._key:
            self._key, self._rng = key, self._stream(WORKER, *key)
        return self._rng

    def _stream(self, *key: int) -> np.random.Generator:
        return np.random.Generator(np.random.PCG64(Digest(f"{self._root} {key}")))  # type: ignore[arg-type]

    def __getstate__(self) -> dict[str, Any]:
        # a worker that is spawned knows its rank from the process that sends it this
        return {**self.__dict__, "_rank": _rank(self._rank)}


def _rank(otherwise: int | None) -> int | None:
    """Return the rank of this process in a distributed run; torch is asked only where the caller has imported it."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        return int(distributed.get_rank())
    told = next((value for name in RANKS if (value := os.environ.get(name, "")).isdecimal()), None)
    return otherwise if told is None else int(told)


def _worker() -> tuple[int, ...]:
    """Return what tells this process from the others of its rank.

    In a worker of a torch data loader: its number, and the loader's own seed, which is new in each epoch; elsewhere
    the place among the children of its parent.
    """
    data = sys.modules.get("torch.utils.data")
    worker = data.get_worker_info() if data is not None else None
    if worker is not None:
        return (1, worker.id, worker.seed)
    return (0, *multiprocessing.current_process()._identity)  # type: ignore[attr-defined]
