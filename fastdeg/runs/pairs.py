"""Pairs on disk for training: degraded and clean images, and the parameters of each; many at a time, and resumable."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fastdeg._files import replaced_file
from fastdeg._threads import ordered_map
from fastdeg._types import Progress
from fastdeg.degradations.transform import DegradationTransform
from fastdeg.images import ImageError, read_image
from fastdeg.runs.folder import write_csv

JOURNAL = "pairs.jsonl"  # in its first line the settings, then a line for each pair that is complete
FOLDERS = ("lq", "hq")


@dataclass(frozen=True)
class Pairs:
    """What `write_pairs` left: a row of parameters for each pair, how many are new, and the files it passed over."""

    rows: tuple[Mapping[str, Any], ...]
    n_new: int
    skipped: tuple[ImageError, ...]


def write_pairs(
    images: Sequence[Path],
    transform: DegradationTransform,
    folder: Path,
    settings: Mapping[str, Any],
    *,
    workers: int = 1,
    skip_bad: bool = False,
    progress: Progress | None = None,
) -> Pairs:
    """Degrade image files into ``folder``: lq/, hq/ (both PNG), and parameters.csv.

    Each file's degradation comes from the transform's seed and the file's name, so it is the same for any number of
    workers, and whichever other files there are. Clean images are cut to a multiple of a whole factor. What an earlier
    call with the same settings has completed is kept.

    Raises
    ------
    ValueError
        Where ``folder`` holds anything else, or pairs of other settings; of an image that cannot be used, unless
        ``skip_bad``.
    """
    done = _begin(folder, settings)
    for name in FOLDERS:
        (folder / name).mkdir(exist_ok=True)
        for left_over in (folder / name).glob(".*"):  # by a kill in the middle of a file
            left_over.unlink()
    often = Counter(path.stem for path in images)
    names = {path: (path.stem if often[path.stem] == 1 else path.name) + ".png" for path in images}
    missing = [path for path in images if not _is_complete(folder, done.get(names[path]))]
    rows = {name: row for path, name in names.items() if (row := done.get(name)) and path not in set(missing)}
    skipped: list[ImageError] = []
    # threads suffice: reading, degrading and writing all release the GIL
    items = ((path, names[path]) for path in missing)
    results = ordered_map(_write_pair, items, transform, folder, threads=workers)
    with closing(results), (folder / JOURNAL).open("a", encoding="utf-8") as journal:
        for number, (path, result) in enumerate(zip(missing, results, strict=True), start=1):
            if isinstance(result, ImageError):
                if not skip_bad:
                    raise result
                skipped.append(result)
            else:
                rows[names[path]] = result
                journal.write(json.dumps(result, ensure_ascii=False) + "\n")
                journal.flush()
            if progress is not None:
                progress(number / len(missing), "degrading images")
    ordered = [rows[name] for name in names.values() if name in rows]
    columns = dict.fromkeys(key for row in ordered for key in row)
    write_csv(folder / "parameters.csv", [{key: row.get(key, "") for key in columns} for row in ordered])
    return Pairs(tuple(ordered), len(missing) - len(skipped), tuple(skipped))


def _write_pair(item: tuple[Path, str], transform: DegradationTransform, folder: Path) -> dict[str, Any] | ImageError:
    path, name = item
    try:
        clean = read_image(path).pixels
    except ImageError as error:
        return error
    index = int.from_bytes(hashlib.sha256(path.name.encode()).digest()[:8], "big")
    try:
        low, parameters = transform(clean, index=index)
    except ValueError as error:
        return ImageError(path, str(error))
    factor = round(clean.shape[0] / low.shape[0])
    if all(old // factor == new for old, new in zip(clean.shape[:2], low.shape[:2], strict=True)):
        clean = clean[: low.shape[0] * factor, : low.shape[1] * factor]
    for subfolder, pixels in zip(FOLDERS, (low, clean), strict=True):
        with replaced_file(folder / subfolder / name) as file:
            file.write(_png(pixels))
    return {"file": name, **parameters}


def _png(pixels: NDArray[np.uint8]) -> bytes:
    stored: Any = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    written, data = cv2.imencode(".png", stored)
    assert written
    return data.tobytes()


def _is_complete(folder: Path, row: Mapping[str, Any] | None) -> bool:
    return row is not None and all((folder / name / row["file"]).is_file() for name in FOLDERS)


def _begin(folder: Path, settings: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the rows of the pairs that an earlier call has completed, by file; leave the journal ready for more."""
    journal, head = folder / JOURNAL, json.dumps(settings, ensure_ascii=False)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder}: expected a folder, got a file")
    if not journal.is_file() and folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder}: exists and holds no pairs of degrade; choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    lines = journal.read_text(encoding="utf-8").splitlines(keepends=True) if journal.is_file() else []
    lines = [line for line in lines if line.endswith("\n")]  # the last one may be cut
    if lines and lines[0] != head + "\n":
        earlier = json.loads(lines[0])
        name = next(key for key in {**earlier, **settings} if earlier.get(key) != settings.get(key))
        raise ValueError(
            f"{folder}: holds pairs made with another {name} ({earlier.get(name)}, not {settings.get(name)}); "
            "choose another folder"
        )
    with replaced_file(journal, "w") as file:
        file.writelines(lines or [head + "\n"])
    return {row["file"]: row for row in map(json.loads, lines[1:])}
