"""What an image file says about itself before its pixels are decoded: format, size, depth, frames, completeness.

Enough of each format to refuse a decompression bomb or a half-written file by name; decoding itself is OpenCV's.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from zlib import crc32

SUFFIXES = {
    "PNG": (".png", ".apng"),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "WebP": (".webp",),
    "BMP": (".bmp", ".dib"),
    "TIFF": (".tif", ".tiff"),
    "GIF": (".gif",),
    "PNM": (".ppm", ".pgm", ".pnm"),
}


class HeaderError(ValueError):
    """The bytes are no image of a known format, or not all of one."""


@dataclass(frozen=True)
class Header:
    """Format and size of an image file, and whether it is CMYK or has several frames."""

    format: str
    width: int
    height: int
    cmyk: bool = False
    n_frames: int = 1


def read_header(data: bytes) -> Header:
    """Return what the file's first bytes (and its structure, without decoding) tell; raise `HeaderError`."""
    if not data:
        raise HeaderError("is empty (0 bytes)")
    for magic, parse in _PARSERS:
        if data.startswith(magic):
            try:
                header = parse(data)
            except (struct.error, IndexError, StopIteration):
                raise HeaderError("is truncated: its header is incomplete") from None
            if header.width < 1 or header.height < 1:
                raise HeaderError(f"has no pixels ({header.width} × {header.height})")
            return header
    raise HeaderError("is no PNG, JPEG, WebP, BMP, TIFF, GIF or PNM image")


def _png(data: bytes) -> Header:
    width, height = struct.unpack_from(">II", data, 16)
    frames, position, complete = 1, 8, False
    while position + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        if kind == b"acTL":
            frames = struct.unpack_from(">I", data, position + 8)[0]
        end = position + 8 + length
        # Of what a picture cannot do without (capital letters); the decoder would complain on the standard error only
        needed = kind[:1].isupper() and end + 4 <= len(data)
        if needed and crc32(memoryview(data)[position + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            raise HeaderError(f"is damaged: the checksum of its {kind.decode('ascii', 'replace')} data is wrong")
        if kind == b"IEND":
            complete = True
            break
        position = end + 4
    return _complete(Header("PNG", width, height, n_frames=frames), complete)


def _jpeg(data: bytes) -> Header:
    position, header = 2, None
    while True:
        if data[position] != 0xFF:
            raise HeaderError("is damaged: a JPEG marker is missing")
        while data[position + 1] == 0xFF:  # fill bytes
            position += 1
        marker = data[position + 1]
        (length,) = struct.unpack_from(">H", data, position + 2)
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width, channels = struct.unpack_from(">HHB", data, position + 5)
            header = Header("JPEG", width, height, cmyk=channels == 4)
        if marker == 0xDA:  # start of the coded pixels
            break
        position += 2 + length
    if header is None:
        raise HeaderError("is damaged: its JPEG header has no size")
    return _complete(header, data.rfind(b"\xff\xd9") > position)


def _webp(data: bytes) -> Header:
    if data[8:12] != b"WEBP":
        raise HeaderError("is no image (a RIFF file, but not WebP)")
    size = struct.unpack_from("<I", data, 4)[0]
    kind, frames = data[12:16], 1
    if kind == b"VP8X":
        width = int.from_bytes(data[24:27], "little") + 1
        height = int.from_bytes(data[27:30], "little") + 1
        if data[20] & 2:
            frames = max(2, data.count(b"ANMF"))
    elif kind == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        width, height = (bits & 0x3FFF) + 1, ((bits >> 14) & 0x3FFF) + 1
    else:
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    return _complete(Header("WebP", width, height, n_frames=frames), len(data) >= size + 8)


def _bmp(data: bytes) -> Header:
    if struct.unpack_from("<I", data, 14)[0] == 12:
        width, height = struct.unpack_from("<HH", data, 18)
    else:
        width, height = (abs(side) for side in struct.unpack_from("<ii", data, 18))
    return Header("BMP", width, height)


def _tiff(data: bytes) -> Header:
    order = "<" if data[:2] == b"II" else ">"
    width = height = frames = 0
    cmyk = False
    (position,) = struct.unpack_from(order + "I", data, 4)
    while position and frames < 1000:
        (count,) = struct.unpack_from(order + "H", data, position)
        for k in range(count):
            at = position + 2 + 12 * k
            tag, kind = struct.unpack_from(order + "HH", data, at)
            if tag in (256, 257, 262) and frames == 0:
                (value,) = struct.unpack_from(order + ("H" if kind == 3 else "I"), data, at + 8)
                width = value if tag == 256 else width
                height = value if tag == 257 else height
                cmyk = cmyk or (tag == 262 and value == 5)
        frames += 1
        (position,) = struct.unpack_from(order + "I", data, position + 2 + 12 * count)
    return Header("TIFF", width, height, cmyk=cmyk, n_frames=frames)


def _gif(data: bytes) -> Header:
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    position, frames = 13 + _gif_table(flags), 0
    while data[position] != 0x3B:
        if data[position] == 0x2C:  # image: descriptor, own palette, code size, data
            frames += 1
            position += 10 + _gif_table(data[position + 9]) + 1
        elif data[position] == 0x21:  # extension
            position += 2
        else:
            raise HeaderError("is damaged: an unknown GIF block")
        while data[position]:
            position += 1 + data[position]
        position += 1
    return Header("GIF", width, height, n_frames=frames)


def _gif_table(flags: int) -> int:
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def _pnm(data: bytes) -> Header:
    lines = (line.split(b"#")[0] for line in data[:4096].splitlines())
    numbers = iter([word for line in lines for word in line.split()][1:])
    try:
        width, height = int(next(numbers)), int(next(numbers))
    except ValueError:
        raise HeaderError("is damaged: its PNM header has no size") from None
    return Header("PNM", width, height)


def _complete(header: Header, complete: bool) -> Header:
    if not complete:
        raise HeaderError(f"is truncated: the {header.format} data breaks off")
    return header


_PARSERS = (
    (b"\x89PNG\r\n\x1a\n", _png),
    (b"\xff\xd8\xff", _jpeg),
    (b"RIFF", _webp),
    (b"BM", _bmp),
    (b"II*\0", _tiff),
    (b"MM\0*", _tiff),
    (b"GIF8", _gif),
    (b"P5", _pnm),
    (b"P6", _pnm),
)
