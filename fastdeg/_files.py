"""Files that are never half-written, and archives of arrays without pickles."""

from __future__ import annotations

import json
import os
import secrets
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray


@contextmanager
def replaced_file(path: str | os.PathLike[str], mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a temporary neighbour for writing; sync it and move it to ``path`` on success, remove it on failure."""
    target = Path(path)
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


def write_archive(
    path: str | os.PathLike[str],
    format: str,
    header: Mapping[str, Any],
    arrays: Mapping[str, NDArray[Any]],
    *,
    compressed: bool = True,
) -> None:
    """Write arrays with a JSON header to a ``.npz`` file; large ones of random digits are quicker left as they are."""
    contents: dict[str, Any] = {"header": np.array(json.dumps({"format": format, "version": 1, **header})), **arrays}
    with replaced_file(path) as file:
        (np.savez_compressed if compressed else np.savez)(file, **contents)


def read_archive(path: str | os.PathLike[str], format: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return header and arrays of a file that `write_archive` wrote in the same format.

    Raises
    ------
    FileNotFoundError, ValueError
        When there is no such file, or it holds something else.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            header: dict[str, Any] = json.loads(str(file["header"]))
            arrays = {key: file[key] for key in file.files if key != "header"}
        if header["format"] == format:
            return header, arrays
    except FileNotFoundError:
        raise FileNotFoundError(f"{os.fspath(path)}: no such file") from None
    except (ValueError, KeyError, EOFError, OSError, zipfile.BadZipFile, TypeError):
        pass
    raise ValueError(f"{os.fspath(path)}: expected a file written by {format}.save")
