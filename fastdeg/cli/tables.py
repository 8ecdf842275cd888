"""Tables as people have them: CSV with any separator and decimal mark, Parquet and Excel, read through pandas."""

from __future__ import annotations

import csv
import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastdeg._types import Float

if TYPE_CHECKING:
    import pandas as pd

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
OTHER_READERS = {".parquet": "read_parquet", ".xlsx": "read_excel", ".xls": "read_excel", ".ods": "read_excel"}


@dataclass(frozen=True)
class Table:
    """A table, with the names of its columns in lower case and without blanks around them.

    Attributes
    ----------
    frame : pandas.DataFrame
        Without blank rows.
    rows : tuple of str
        How to name each row: its number, and the line of the file where it has lines.
    notes : tuple of str
        What was assumed in reading it.
    """

    path: Path
    frame: pd.DataFrame
    rows: tuple[str, ...]
    notes: tuple[str, ...]

    def numbers(self, name: str) -> Float:
        """Return a column as numbers, NaN where there is none; a comma is a decimal mark where none separates."""
        import pandas as pd

        column = self.frame[name]
        if not pd.api.types.is_numeric_dtype(column):
            text = column.astype(str).str.strip()
            column = pd.to_numeric(text.str.replace(r"^([+-]?\d*),(\d+)$", r"\1.\2", regex=True), errors="coerce")
        numbers = column.to_numpy(np.float64, na_value=np.nan)
        return np.where(np.isfinite(numbers), numbers, np.nan)


def read_table(path: Path) -> Table:
    """Read a table by its suffix: Parquet, Excel, anything else as text with a header line.

    Raises
    ------
    FileNotFoundError, ValueError
        When there is no such file, or it is no table of that kind, or has no row below its header.
    ImportError
        When what reads it is not installed.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    if path.is_dir():
        raise ValueError(f"{path}: expected a table, got a folder")
    first: int | None
    notes: list[str]
    try:
        import pandas as pd

        if reader := OTHER_READERS.get(path.suffix.lower()):
            first, notes = None, []
            frame = getattr(pd, reader)(path)
        else:
            frame, first, notes = _read_text(path)
    except ImportError as error:
        raise ImportError(f"{path}: reading it needs more packages: pip install 'fastdeg[tables]' ({error})") from None
    except ValueError as error:
        raise ValueError(str(error) if str(error).startswith(f"{path}: ") else f"{path}: {error}") from None
    frame.columns = [str(name).strip().lower() for name in frame.columns]
    blank = frame.isna() | (frame.astype(str).apply(lambda column: column.str.strip()) == "")
    kept = np.flatnonzero(~blank.all(axis=1).to_numpy())
    if not len(kept):
        raise ValueError(f"{path}: expected at least one row below the header, got none")
    rows = [f"row {n}" + ("" if first is None else f" (line {first + i})") for n, i in enumerate(kept, start=1)]
    return Table(path, frame.iloc[kept].reset_index(drop=True), tuple(rows), tuple(notes))


def _read_text(path: Path) -> tuple[Any, int, list[str]]:
    """Return the rows below the header as text, the line of the first one, and what was assumed."""
    import pandas as pd

    text, notes = _decoded(path.read_bytes())
    lines = text.splitlines(keepends=True)
    header = next((i for i, line in enumerate(lines) if line.strip(" \t\r\n,;")), None)
    if header is None:
        raise ValueError(f"{path}: expected a table with a header line, got an empty file")
    separator = max(SEPARATORS, key=lambda mark: len(next(csv.reader([lines[header]], delimiter=mark))))
    if separator != ",":
        notes.append(f"separated by {SEPARATORS[separator]}")
    options: dict[str, Any] = {"dtype": str, "na_filter": False, "skip_blank_lines": False, "index_col": False}
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        try:
            frame = pd.read_csv(
                io.StringIO("".join(lines[header:])), sep=separator, header=None, skipinitialspace=True, **options
            )
        except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
            raise ValueError(f"{path}: expected as many values in each row as in the header: {error}") from None
    names = frame.iloc[0].fillna("")
    frame = frame.iloc[1:].fillna("").reset_index(drop=True)
    frame.columns = names
    return frame, header + 2, notes


def _decoded(data: bytes) -> tuple[str, list[str]]:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16"), ["text in UTF-16"]
    try:
        return data.decode("utf-8-sig"), []
    except UnicodeDecodeError:
        if b"\0" in data:
            raise ValueError("expected CSV text, Parquet or Excel, got binary data") from None
        return data.decode("cp1252", errors="replace"), ["text in Windows-1252"]
