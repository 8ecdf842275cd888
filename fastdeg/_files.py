"""Files that are never half-written, and archives of arrays without pickles."""

from __future__ import annotations

import ctypes
import json
import os
import secrets
import sys
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

VERSION = 1
LARGE = 200_000_000  # bytes unpacked, from which on a file is looked at twice
DENSE = 200  # bytes unpacked for each one packed, beyond which there is nothing in them
HERE, EXCHANGE = -100, 2  # of renameat2: relative paths start at the current folder; the two change places
DAMAGE = (
    KeyError, IndexError, TypeError, AttributeError, AssertionError, ArithmeticError, RecursionError, MemoryError,
    np.linalg.LinAlgError,
)  # fmt: skip


def path_of(value: Any, name: str = "path") -> Path:
    """Return the path of an argument, or raise where it is none."""
    if not isinstance(value, str | os.PathLike) or not isinstance(os.fspath(value), str):
        raise TypeError(f"{name}: expected a path, got {type(value).__name__} {value!r:.60}")
    if not os.fspath(value) or "\0" in os.fspath(value):
        raise ValueError(f"{name}: expected a path, got {os.fspath(value)!r}")
    return Path(value)


@contextmanager
def replaced_file(path: str | os.PathLike[str], mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a temporary neighbour for writing; sync it and move it to ``path`` on success, remove it on failure."""
    target = path_of(path)
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{target.parent}: no such folder to write {target.name} into")
    # names of files that are no UTF-8 are written as JSON escapes them
    text = {"encoding": "utf-8", "newline": "", "errors": "backslashreplace"}
    options: dict[str, Any] = {} if "b" in mode else text
    temporary = hidden_neighbour(target)
    try:
        with temporary.open(mode.replace("w", "x"), **options) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def hidden_neighbour(path: Path) -> Path:
    """Return a path beside ``path`` where nothing is, to make a file or folder with the permissions of any other."""
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}")


def put_in_place(new: Path, path: Path) -> None:
    """Move a folder to a path where an earlier one may be, which is then where the new one was.

    At every moment one of the two is at the path, whole, where the system can swap them in one step (Linux, on most of
    its file systems); elsewhere for all but a kill between two renamings, after which the earlier one lies beside it.
    """
    if not path.exists():
        new.rename(path)
        return
    if _swapped(new, path):
        return
    earlier = new.with_name(new.name + ".earlier")
    try:
        path.rename(earlier)
        new.rename(path)
        earlier.rename(new)
    except BaseException:
        if earlier.exists():
            if path.exists():
                path.rename(new)
            earlier.rename(path)
        raise


def _swapped(a: Path, b: Path) -> bool:
    """Let two folders change places, where the system has a call for it."""
    if sys.platform != "linux":
        return False
    rename: Any = getattr(ctypes.CDLL(None), "renameat2", None)
    return rename is not None and rename(HERE, os.fsencode(a), HERE, os.fsencode(b), EXCHANGE) == 0


def write_archive(
    path: str | os.PathLike[str],
    format: str,
    header: Mapping[str, Any],
    arrays: Mapping[str, NDArray[Any]],
    *,
    compressed: bool = True,
) -> None:
    """Write arrays with a JSON header to a ``.npz`` file; large ones of random digits are quicker left as they are."""
    contents: dict[str, Any] = {
        "header": np.array(json.dumps({"format": format, "version": VERSION, **header})),
        **arrays,
    }
    with replaced_file(path) as file:
        (np.savez_compressed if compressed else np.savez)(file, **contents)


def read_archive(
    path: str | os.PathLike[str], format: str, *, version: int | None = VERSION
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return header and arrays of a file that `write_archive` wrote in the same format and version (None: any).

    Raises
    ------
    FileNotFoundError, ValueError
        When there is no such file, or it holds something else.
    """
    name = os.fspath(path_of(path))
    try:
        with zipfile.ZipFile(path) as file:
            size = sum(member.file_size for member in file.infolist())
            if size > LARGE and size > DENSE * os.path.getsize(path):
                raise ValueError(f"{name}: expected arrays, got {size / 1e9:.3g} GB of next to nothing, not unpacked")
        with np.load(path, allow_pickle=False) as file:
            header: dict[str, Any] = json.loads(str(file["header"]))
            if not isinstance(header, dict) or header.get("format") != format:
                raise TypeError
            if version is not None and header.get("version") != version:
                raise ValueError(f"{name}: of version {header.get('version')!r}, which this fastdeg does not read")
            return header, {key: file[key] for key in file.files if key != "header"}
    except FileNotFoundError:
        raise FileNotFoundError(f"{name}: no such file") from None
    except IsADirectoryError:
        raise ValueError(f"{name}: expected a file written by {format}.save, got a folder") from None
    except PermissionError:
        raise PermissionError(f"{name}: may not be read (permissions)") from None
    except ValueError as error:
        if str(error).startswith(f"{name}: "):
            raise
    except (*DAMAGE, EOFError, OSError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError):
        pass
    raise ValueError(f"{name}: expected a file written by {format}.save")


@contextmanager
def damage_told(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn what goes wrong while something is made of a file's contents into a ValueError that names the file."""
    name = os.fspath(path_of(path))
    try:
        yield
    except KeyError as missing:
        raise ValueError(f"{name}: expected the entry {missing}, got none") from None
    except ValueError as error:
        if str(error).startswith(name):
            raise
        raise ValueError(f"{name}: damaged: {error}") from None
    except DAMAGE as error:
        raise ValueError(f"{name}: damaged: {type(error).__name__} {error}") from None
