"""Run folders: what one run of the main job leaves behind, written completely or not at all."""

from __future__ import annotations

import csv
import json
import os
import platform
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastdeg import __version__, opencv
from fastdeg._files import hidden_neighbour, put_in_place, replaced_file

RUN_FILE = "run.json"
ESTIMATOR_FILE = "estimator.npz"  # of a run that read photos
FORMAT = "fastdeg.run"
VERSION = 1  # of what a run folder holds
FILES = {
    RUN_FILE, "report.html", "target.npz", "crafted.npz", "prior.npz", ESTIMATOR_FILE, "moments.npz", "bins.csv",
    "tradeoff.csv", "references.csv", "images.csv", "samples.csv",
}  # fmt: skip
NUMBERED = {"thumbnails": re.compile(r"\d+\.png"), "samples": re.compile(r"\d+\.webp")}  # folders and their files


@contextmanager
def new_run_folder(path: Path, *, force: bool = False) -> Iterator[Path]:
    """Yield a temporary folder that becomes ``path`` on success; on failure it vanishes, and an earlier run stays.

    A symbolic link stays: the run is written where it leads.

    Raises
    ------
    ValueError
        When ``path`` exists without ``force``, or holds anything but an earlier run.
    """
    check_run_folder(path, force=force)
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = hidden_neighbour(path)
    try:
        temporary.mkdir()
        yield temporary
        assert not _not_of_a_run(temporary), f"FILES and NUMBERED do not name {_not_of_a_run(temporary)}"
        for file in temporary.rglob("*.*"):
            if file.is_file():
                with file.open("r+b") as written:
                    os.fsync(written.fileno())
        check_run_folder(path, force=force)
        put_in_place(temporary, path)
    finally:  # what was begun, or the earlier run
        try:
            shutil.rmtree(temporary, ignore_errors=True)
        except KeyboardInterrupt:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


def check_run_folder(path: Path, *, force: bool = False) -> None:
    """Refuse a folder that a run must not replace: one that exists without ``force``, or is no earlier run.

    An earlier run is known by its summary, not by names alone, and nothing else may lie beside its files.
    """
    there = path.resolve()
    if there == Path.cwd() or there in Path.cwd().parents:
        raise ValueError(f"{path}: is the current folder, or holds it; a run needs a folder of its own")
    if not there.exists() or (there.is_dir() and not any(there.iterdir())):
        return
    try:
        read_summary(there, any_version=True)
    except (OSError, ValueError):
        raise ValueError(f"{path}: exists and is not the folder of an earlier run; choose another one") from None
    if not force:
        raise ValueError(f"{path}: holds an earlier run; pass --force to replace it, or choose another folder")
    if others := _not_of_a_run(there):
        raise ValueError(f"{path}: holds {others[0]}, which is not of the earlier run; move it first")


def _not_of_a_run(folder: Path) -> list[str]:
    """Return what lies in a folder and is no file that a run writes."""
    others = []
    for entry in sorted(folder.iterdir()):
        pattern = NUMBERED.get(entry.name)
        if pattern is None or entry.is_symlink() or not entry.is_dir():
            if entry.name not in FILES or not entry.is_file():
                others.append(entry.name)
            continue
        others += [f"{entry.name}/{file.name}" for file in entry.iterdir() if not pattern.fullmatch(file.name)]
    return others


def numbered(parent: Path, stem: str) -> Path:
    """Return the first of parent/stem-001, stem-002, … that does not exist."""
    number = 1
    while (parent / f"{stem}-{number:03d}").exists():
        number += 1
    return parent / f"{stem}-{number:03d}"


def summary_head(verb: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return what every run's summary begins with."""
    created = datetime.now(UTC).isoformat(timespec="seconds")
    head = {"format": FORMAT, "version": VERSION, "fastdeg": __version__, "verb": verb, "created": created}
    names = ("numba", "numpy", "scipy", "Pillow")
    versions = {"python": platform.python_version(), **{name: version(name) for name in names}}
    versions |= dict(found.split() for found in opencv.installed())
    return head | {"versions": versions, "inputs": dict(inputs)}


def write_json(path: Path, summary: Mapping[str, Any]) -> None:
    """Write a summary as readable JSON."""
    with replaced_file(path, "w") as file:
        file.write(json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows with the same keys as CSV, the keys as header."""
    with replaced_file(path, "w") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]) if rows else [])
        writer.writeheader()
        writer.writerows(rows)


def read_summary(run: Path, *, any_version: bool = False) -> dict[str, Any]:
    """Return the summary of a run folder.

    Raises
    ------
    FileNotFoundError, ValueError
        When the folder holds no run, or a damaged one.
    """
    file = run / RUN_FILE
    if not file.is_file():
        raise FileNotFoundError(f"{run}: not a run folder (no {RUN_FILE} in it)")
    try:
        summary = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file}: expected JSON, got {error}") from None
    if not isinstance(summary, dict) or summary.get("format") != FORMAT:
        raise ValueError(f"{file}: expected the summary of a fastdeg run")
    if summary.get("version") != VERSION and not any_version:
        raise ValueError(
            f"{file}: of another kind than this version reads, written by fastdeg {summary.get('fastdeg')}"
        )
    return summary


def read_csv(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file with a header.

    Raises
    ------
    FileNotFoundError, ValueError
        When there is no such file, or it is no text or has no header or row.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            names, rows = reader.fieldnames, list(reader)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise ValueError(f"{path}: expected a CSV file, got a folder") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: expected a CSV text file, got {error}") from None
    if not names:
        raise ValueError(f"{path}: expected a CSV file with a header line, got an empty file")
    if not rows:
        raise ValueError(f"{path}: expected at least one row below the header, got none")
    for number, row in enumerate(rows, start=1):
        if None in row or None in row.values():
            got = "more" if None in row else "fewer"
            raise ValueError(f"{path}, row {number}: expected {len(names)} values, got {got}")
    return rows
