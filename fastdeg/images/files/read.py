"""Reading image files: what is read, what is converted with a note, and what is refused, by name."""

from __future__ import annotations

import math
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.PpmImagePlugin import PpmImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from fastdeg._checks import flag, integer, iterable
from fastdeg._checks import progress as check_progress
from fastdeg._files import path_of
from fastdeg._threads import ordered_map
from fastdeg._types import ByValue, Progress
from fastdeg.images.files.jpeg import JpegTables

PathLike = str | os.PathLike[str]

MAX_PIXELS = 200_000_000
# Format: first bytes, class that reads it, suffixes. Not by way of `PIL.Image.open`, whose limit of pixels is one for
# the whole process.
FORMATS: dict[str, tuple[tuple[bytes, ...], Any, tuple[str, ...]]] = {
    "PNG": ((b"\x89PNG\r\n\x1a\n",), PngImageFile, (".png", ".apng")),
    "JPEG": ((b"\xff\xd8\xff",), JpegImageFile, (".jpg", ".jpeg", ".jpe", ".jfif")),
    "WebP": ((b"RIFF",), WebPImageFile, (".webp",)),
    "BMP": ((b"BM",), BmpImageFile, (".bmp", ".dib")),
    "TIFF": ((b"II*\0", b"MM\0*"), TiffImageFile, (".tif", ".tiff")),
    "GIF": ((b"GIF8",), GifImageFile, (".gif",)),
    "PNM": ((b"P5", b"P6"), PpmImageFile, (".ppm", ".pgm", ".pnm")),
}
IMAGE_SUFFIXES = frozenset(suffix for _, _, suffixes in FORMATS.values() for suffix in suffixes)
OF_SYSTEMS = ("thumbs.db", "desktop.ini")  # files that nobody misses

ORIENTATION = 0x0112  # tag of EXIF
TURNS: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {  # by the tag's value; 1 is upright
    2: np.fliplr,
    3: lambda x: x[::-1, ::-1],
    4: np.flipud,
    5: lambda x: np.swapaxes(x, 0, 1),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: np.swapaxes(x[::-1, ::-1], 0, 1),
    8: np.rot90,
}


class ImageError(ValueError):
    """A file that cannot be used as an image; the message is one line that names it."""

    def __init__(self, path: PathLike, reason: str) -> None:
        super().__init__(f"{os.fspath(path)}: {reason}")
        self.path, self.reason = Path(path), reason

    def __reduce__(self) -> tuple[type[ImageError], tuple[Path, str]]:
        return type(self), (self.path, self.reason)


@dataclass(frozen=True, eq=False)
class ImageFile(ByValue):
    """One image read from a file; wherever an array is expected, its pixels.

    Attributes
    ----------
    path : Path
    pixels : uint8 array of shape (H, W, 3), RGB, or (H, W)
    notes : tuple of str
        What was converted, for instance "transparent: laid over black".
    jpeg : JpegTables or None
        How a JPEG file was compressed last, by its own tables; None for other files, and CMYK.
    orientation : int
        EXIF's tag, 1 to 8, as which the pixels were turned: 1 is upright.
    """

    path: Path
    _pixels: NDArray[np.uint8] | None = field(repr=False)
    notes: tuple[str, ...] = ()
    jpeg: JpegTables | None = None
    orientation: int = 1

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.pixels, dtype, copy=copy)

    @property
    def stored_pixels(self) -> NDArray[np.uint8]:
        """The pixels as they lie in the file, before they were turned: the grid of a JPEG starts at their corner."""
        back = {6: 8, 8: 6}.get(self.orientation, self.orientation)  # all other turns undo themselves
        return np.ascontiguousarray(TURNS[back](self.pixels)) if back in TURNS else self.pixels

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """The pixels; of a file that was only checked, read where they are asked for, and not kept."""
        return read_image(self.path, max_pixels=sys.maxsize).pixels if self._pixels is None else self._pixels

    @property
    def kept(self) -> bool:
        """Whether the pixels are in memory."""
        return self._pixels is not None


@dataclass(frozen=True, eq=False)
class ImageCollection(ByValue):
    """Images read from a folder or a list of files, one after the other.

    Attributes
    ----------
    files : tuple of ImageFile
    skipped : tuple of ImageError
        Files that could not be used (only where ``skip_bad``).
    left_out : str
        How many sub-folders and files that are no images lie beside them, in words; "" where there are none.
    """

    files: tuple[ImageFile, ...]
    skipped: tuple[ImageError, ...] = ()
    left_out: str = ""

    @property
    def images(self) -> list[NDArray[np.uint8]]:
        """The pixels, in the order of the paths."""
        return [file.pixels for file in self.files]

    @property
    def names(self) -> list[str]:
        """The files' names; where several have one name, their paths."""
        often = Counter(file.path.name for file in self.files)
        return [file.path.name if often[file.path.name] == 1 else str(file.path) for file in self.files]

    @property
    def files_by_name(self) -> dict[str, ImageFile]:
        """The files by `names`."""
        return dict(zip(self.names, self.files, strict=True))

    @property
    def by_name(self) -> dict[str, NDArray[np.uint8]]:
        """The pixels by `names`."""
        return dict(zip(self.names, self.images, strict=True))

    @property
    def paths(self) -> list[Path]:
        """Where the images came from."""
        return [file.path for file in self.files]

    @property
    def notes(self) -> list[str]:
        """One line per file that was converted, per file that was skipped, and on what lies beside them."""
        converted = [f"{file.path}: {note}" for file in self.files for note in file.notes]
        skipped = [f"skipped {error}" for error in self.skipped]
        return converted + skipped + [self.left_out] * bool(self.left_out)

    def __len__(self) -> int:
        return len(self.files)

    def __iter__(self) -> Iterator[ImageFile]:
        return iter(self.files)


def read_image(path: PathLike, *, max_pixels: int = MAX_PIXELS, min_side: int = 1) -> ImageFile:
    """Read one image file.

    16-bit files are scaled to 8 bits, transparent ones laid over black, CMYK ones converted, and files whose suffix
    does not fit their content read by their content; a note tells each. Animations and files with several pages are
    refused, and so are truncated files and any whose header announces more than ``max_pixels``, or a side of less than
    ``min_side`` pixels, before decoding.
    Pixels are turned as the orientation tag says, with a note.

    Raises
    ------
    FileNotFoundError
        Where there is no such file.
    ImageError (a ValueError)
        Where it is no usable image; the message names the file and the reason.
    """
    path = path_of(path)
    max_pixels, min_side = integer(max_pixels, "max_pixels", 1), integer(min_side, "min_side", 1)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    if path.is_dir():
        raise ImageError(path, "is a folder, not an image file")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ImageError(path, f"cannot be read: {error.strerror or error}") from None
    if not data:
        raise ImageError(path, "is empty (0 bytes)")
    name = next((name for name, (magic, _, _) in FORMATS.items() if data.startswith(magic)), None)
    if name is None:
        raise ImageError(path, f"is no {', '.join(FORMATS)} image")
    try:
        return _read(path, data, name, max_pixels, min_side)
    except ImageError:
        raise
    except Exception as error:  # the decoders raise many kinds
        raise ImageError(path, f"is a damaged or truncated {name}: {' '.join(str(error).split())}") from None


def _read(path: Path, data: bytes, name: str, max_pixels: int, min_side: int) -> ImageFile:
    _, kind, suffixes = FORMATS[name]
    image = kind(BytesIO(data))
    width, height = image.size
    if width * height > max_pixels:
        raise ImageError(
            path,
            f"announces {width} × {height} = {width * height / 1e6:.0f} megapixels, "
            f"more than the limit of {max_pixels / 1e6:.0f}",
        )
    if min(width, height) < min_side:
        raise ImageError(path, f"is {width} × {height}: expected sides of at least {min_side} pixels")
    n_frames = getattr(image, "n_frames", 1)
    if n_frames > 1:
        raise ImageError(path, f"has {n_frames} frames or pages: save the one to use as a file of its own")
    notes = []
    if path.suffix.lower() not in suffixes:
        notes.append(f"its content is {name}, whatever its name says")
    if name == "PNG":
        kind(BytesIO(data)).verify()  # checksums, which decoding does not look at
    # Pillow has no colour of 16 bits, and scales PNM itself
    deep = any(";16" in str(tile) or tile[0] == "ppm" for tile in image.tile)
    image.load()
    if image.mode == "CMYK":
        if name != "JPEG":
            raise ImageError(path, "is CMYK: save it as RGB")
        notes.append("CMYK converted to RGB without a colour profile")
    pixels = _deep_pixels(data, notes) if deep else _pixels(image)
    if pixels.dtype != np.uint8:
        raise ImageError(path, f"has pixels of type {pixels.dtype}: save it with 8 or 16 bits per channel")
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        pixels, alpha = pixels[..., :3], pixels[..., 3:]
        if alpha.min() < 255:
            pixels = np.rint(pixels * (alpha / np.float32(255))).astype(np.uint8)
            notes.append("transparent: laid over black")
    jpeg = JpegTables.of(image) if name == "JPEG" and image.mode != "CMYK" else None
    orientation = image.getexif().get(ORIENTATION, 1)
    orientation = orientation if orientation in TURNS else 1
    if orientation != 1:
        pixels = TURNS[orientation](pixels)
        notes.append("turned as its orientation tag says")
    return ImageFile(path, np.ascontiguousarray(pixels), tuple(notes), jpeg, orientation)


def _pixels(image: Any) -> NDArray[Any]:
    """Return grey, RGB or RGBA pixels; numbers that are no colours as they are."""
    if image.has_transparency_data:
        return np.array(image.convert("RGBA"))
    if image.mode == "1":
        return np.array(image.convert("L"))
    return np.array(image if image.mode in ("L", "RGB", "I", "F") else image.convert("RGB"))


def _deep_pixels(data: bytes, notes: list[str]) -> NDArray[Any]:
    pixels: Any = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels.dtype == np.uint16:
        pixels = np.rint(pixels / 257).astype(np.uint8)
        notes.append("16 bits scaled to 8")
    return pixels if pixels.ndim == 2 else pixels[..., [2, 1, 0, 3][: pixels.shape[2]]]


def list_images(folder: PathLike) -> list[Path]:
    """Return the image files of a folder (not of its subfolders) by their suffixes, sorted by name.

    Raises
    ------
    FileNotFoundError
        Where there is no such folder, or no image file in it.
    NotADirectoryError
        Where it is a file.
    """
    folder = path_of(folder, "folder")
    if not folder.exists():
        raise FileNotFoundError(f"{folder}: no such folder")
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder}: expected a folder of images, got a file")
    files = [p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith(".")]
    files = sorted(p for p in files if not p.is_dir())
    if not files:
        raise FileNotFoundError(
            f"{folder}: no image files in this folder (looked for {', '.join(sorted(IMAGE_SUFFIXES))})"
        )
    return files


def read_images(
    source: PathLike | Iterable[PathLike],
    *,
    skip_bad: bool = False,
    max_images: int | None = None,
    max_pixels: int = MAX_PIXELS,
    min_side: int = 1,
    max_bytes: int | None = None,
    progress: Progress | None = None,
) -> ImageCollection:
    """Read the images of a folder, or the files of a list, several at a time.

    Parameters
    ----------
    source : path of a folder, or paths of files
    skip_bad : bool
        Go on without the files that cannot be used (they are told in ``skipped``) instead of raising.
    max_images : int, optional
        Read at most so many, evenly spaced over the sorted names.
    max_pixels : int
        Refuse, before decoding, files with more pixels.
    min_side : int
        Refuse, before decoding, images with a shorter side, in pixels.
    max_bytes : int, optional
        Keep so many bytes of pixels at most: files beyond are checked now, and read again where they are used.
    progress : callable (fraction, message), optional

    Raises
    ------
    FileNotFoundError
        Where the folder or a file is missing, or the folder has no images.
    ImageError (a ValueError)
        One line: the first file that cannot be used and how many more there are; or that none can be used.

    Examples
    --------
    >>> read_images("no/such/folder")
    Traceback (most recent call last):
        ...
    FileNotFoundError: no/such/folder: no such folder
    """
    if isinstance(source, str | os.PathLike):
        paths, left_out = list_images(source), _left_out(path_of(source, "source"))
    else:
        files_of = iterable(source, "source", "a folder, or paths of files")
        paths, left_out = [path_of(path, "source") for path in files_of], ""
    if not paths:
        raise ValueError("source: expected at least one image file, got an empty list")
    if max_images is not None and len(paths) > integer(max_images, "max_images", 1):
        paths = [paths[i] for i in np.linspace(0, len(paths) - 1, max_images).round().astype(int)]
    flag(skip_bad, "skip_bad")
    check_progress(progress)
    files: list[ImageFile] = []
    bad: list[ImageError] = []
    left = math.inf if max_bytes is None else integer(max_bytes, "max_bytes", 0)
    # told to workers, which need not send back what is beyond
    items = ((path, left >= 0) for path in paths)
    limits = max_pixels, integer(min_side, "min_side", 1)
    with closing(ordered_map(_one_of_many, items, *limits)) as results:
        for i, (found, n_bytes) in enumerate(results):
            if isinstance(found, ImageError):
                bad.append(found)
            else:
                left -= n_bytes
                files.append(found if left >= 0 else replace(found, _pixels=None))
            if progress is not None:
                progress((i + 1) / len(paths), "reading images")
    if bad and (not skip_bad or not files):
        raise ImageError(bad[0].path, bad[0].reason + _others(bad, bool(files)))
    return ImageCollection(tuple(files), tuple(bad), left_out)


def _left_out(folder: Path) -> str:
    """Return what of a folder is not looked at, in words."""
    entries = [p for p in folder.iterdir() if not p.name.startswith(".") and p.name.lower() not in OF_SYSTEMS]
    n_folders = sum(p.is_dir() for p in entries)
    n_others = sum(p.suffix.lower() not in IMAGE_SUFFIXES for p in entries if not p.is_dir())
    counts = {"sub-folders": n_folders, "files that are no images": n_others}
    told = " and ".join(f"{what} ({n})" for what, n in counts.items() if n)
    return f"{folder}: left out {told}" if told else ""


def _one_of_many(item: tuple[Path, bool], max_pixels: int, min_side: int) -> tuple[ImageFile | ImageError, int]:
    """Return a file, its pixels if they are wanted, and their bytes; or why it cannot be used."""
    path, wanted = item
    try:
        file = read_image(path, max_pixels=max_pixels, min_side=min_side)
    except ImageError as error:
        return error, 0
    except FileNotFoundError:
        if not path.is_symlink():
            raise
        return ImageError(path, "is a link to a file that is not there"), 0
    return (file if wanted else replace(file, _pixels=None)), file.pixels.nbytes


def _others(bad: Sequence[ImageError], some_good: bool) -> str:
    text = ""
    if len(bad) > 1:
        names = ", ".join(error.path.name for error in bad[1:])
        text = f" (and {len(bad) - 1} more unusable: {names})"
    return text if some_good else text + " (no file is usable)"
