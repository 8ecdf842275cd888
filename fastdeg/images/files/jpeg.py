"""What a JPEG file says of its own compression."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from PIL.JpegImagePlugin import JpegImageFile, get_sampling

from fastdeg.kernels.images.jpeg_quality import steps_of_quality

SAMPLINGS = {0: "4:4:4", 1: "4:2:2", 2: "4:2:0"}  # by Pillow's numbers


@dataclass(frozen=True)
class JpegTables:
    """The quantisation that the decoder undid, so that of the last compression.

    Attributes
    ----------
    tables : tuple of tuples of int
        Of each channel, luma first, the steps of the 64 frequencies, row by row of the block as it is stored.
    subsampling : str or None
        Of the chroma: "4:4:4", "4:2:2" or "4:2:0"; None where there is none, or another one.

    Examples
    --------
    >>> from io import BytesIO
    >>> import PIL.Image
    >>> data = BytesIO()
    >>> PIL.Image.new("RGB", (16, 16)).save(data, "JPEG", quality=83, subsampling="4:2:2")
    >>> tables = JpegTables.of(PIL.Image.open(data))
    >>> tables.quality, tables.subsampling
    (83, '4:2:2')
    """

    tables: tuple[tuple[int, ...], ...]
    subsampling: str | None

    @classmethod
    def of(cls, image: JpegImageFile) -> JpegTables:
        """Return what the decoder found."""
        tables = tuple(tuple(image.quantization[layer[3]]) for layer in image.layer)
        return cls(tables, SAMPLINGS.get(get_sampling(image)))

    @property
    def quality(self) -> int | None:
        """The quality from 1 to 100 at which libjpeg has this table for the luma, None where it has it at none."""
        return _qualities().get(self.tables[0])


@cache
def _qualities() -> dict[tuple[int, ...], int]:
    return {tuple(int(step) for step in steps_of_quality(quality)): quality for quality in range(1, 101)}
