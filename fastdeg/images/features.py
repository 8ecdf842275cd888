"""Degradation-sensitive, content-insensitive features: statistics of 8 × 8 DCT magnitudes, of edges and fine detail.

Blur lowers the high frequencies, noise raises all of them alike, and JPEG sets many to exactly zero on its own 8 × 8
grid and leaves edges on a shifted one. Logarithms and order statistics keep strong content from drowning this. How
much fine detail there is depends on what a photograph shows; how sharp its sharpest edges are hardly does, so that
these tell how blurred it is. Fine texture looks like noise, but is seldom as strong everywhere: how strong the finest
detail is around each place, from the smoothest on, tells the one from the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdeg._checks import integer, shown
from fastdeg._types import Float
from fastdeg.degradations.pixels import check_image, to_float, to_uint8
from fastdeg.images.structure import N_STATISTICS as N_STRUCTURE_STATISTICS
from fastdeg.images.structure import structure_statistics
from fastdeg.kernels.images.block_statistics import BASIS, N_STATISTICS, SHIFT, planes_features, zero_shares
from fastdeg.kernels.images.detail import N_STATISTICS as N_DETAIL_STATISTICS
from fastdeg.kernels.images.detail import planes_detail
from fastdeg.kernels.images.directions import N_STATISTICS as N_DIRECTION_STATISTICS
from fastdeg.kernels.images.directions import planes_directions
from fastdeg.kernels.images.edges import N_STATISTICS as N_EDGE_STATISTICS
from fastdeg.kernels.images.jpeg_quality import FREQUENCIES, QUALITIES, STEPS, VISIBLE

BLOCK = 8
SMALLEST = BLOCK + SHIFT  # smallest side with a whole block on both grids
GRID_SEARCH = 136  # side of the part of the image that the search for the JPEG grid looks at
GRID_ODDS_RATIO = 1.8  # excess of zeros that makes a grid believed; without compression chance gives up to 1.4
N_FEATURES = 2 * 63 * N_STATISTICS + N_EDGE_STATISTICS + N_DETAIL_STATISTICS + 2
JPEG_QUALITY, JPEG_EVIDENCE = N_FEATURES - 2, N_FEATURES - 1  # places of the quality and of the evidence for it
NEAR_QUALITY = 1.5  # between the quality that a comb tells and that of the file, where they agree
AGREEING = 3.0  # least evidence of a comb that tells the same quality; by chance it would be about 2
FINEST = 94  # quality from which on no comb need show: steps are as small as the rounding of pixels
MANY_IMAGES = 8  # from this number on, clean images show what photographs can be
JPEG_WEIGHT = 20.0  # of the one number that JPEG's quantisation gives: more exact than all others
EDGE_WEIGHT = 2.0  # of the few edge statistics beside the many of the DCT, where components are sought
DETAIL_WEIGHT = 4.0  # of the statistics of the finest detail, likewise
DIRECTION_WEIGHT = 2.0  # of the statistics of directions, where a space has some
TESTED_EDGE_WEIGHT = 4.0  # the same in the test of what is outside: as much as all those of the DCT
TESTED_DETAIL_WEIGHT = 1.0  # more hides a second compression


def feature_weights(
    n_images: int, *, directions: bool = False, history: bool = False, jpeg: bool = False, tested: bool = False
) -> Float:
    """Return the weights of the features in a fit on so many clean images: those of the DCT alone for few; with the
    quality that JPEG's quantisation shows, or without; or those in the test of what is outside.

    directions, history: whether there are those of directions, and those of colours and of structure, besides.
    """
    edges, detail = (TESTED_EDGE_WEIGHT, TESTED_DETAIL_WEIGHT) if tested else (EDGE_WEIGHT, DETAIL_WEIGHT)
    if n_images < MANY_IMAGES:  # few do not show how sharp edges and how fine textures can be: what is learned misleads
        edges = detail = 0.0
    turned, colour = (0.0, 0.0) if tested else (DIRECTION_WEIGHT, DETAIL_WEIGHT)
    return np.repeat(
        [1.0, edges, detail, JPEG_WEIGHT if jpeg else 0.0, 0.0, turned, colour, 0.0],
        [
            2 * 63 * N_STATISTICS, N_EDGE_STATISTICS, N_DETAIL_STATISTICS, 1, 1, N_DIRECTION_STATISTICS * directions,
            N_DETAIL_STATISTICS * history, N_STRUCTURE_STATISTICS * history,
        ],
    )  # fmt: skip


def jpeg_qualities(features: NDArray[np.float32], owners: NDArray[np.int64], n: int) -> tuple[NDArray[np.bool_], Float]:
    """Return which of n images show the comb of a JPEG quantisation, and the quality it gives, each (n,).

    owners: which image each row of the features is a patch of. What one patch leaves in doubt the others may tell.
    """
    evidence = features[:, JPEG_EVIDENCE].astype(np.float64)
    totals = np.bincount(owners, evidence, minlength=n)
    qualities = np.bincount(owners, evidence * features[:, JPEG_QUALITY], minlength=n) / np.maximum(totals, 1e-300)
    counts = np.bincount(owners, minlength=n)
    return totals >= VISIBLE * np.maximum(counts, 1), qualities


def known_qualities(features: NDArray[np.float32], owners: NDArray[np.int64], n: int, told: Float) -> Float:
    """Return the JPEG qualities that are known of n images, (n,): those that files tell and pixels bear out, else NaN.

    A file that was compressed twice tells of the second time only, whereas its comb may be that of the first.
    """
    visible, qualities = jpeg_qualities(features, owners, n)
    evidence = np.bincount(owners, features[:, JPEG_EVIDENCE], minlength=n) / np.bincount(owners, minlength=n)
    agree = (np.abs(qualities - told) <= NEAR_QUALITY) & (evidence >= AGREEING)
    return np.where(agree | ~visible & (told >= FINEST), told, np.nan)


def dct_features(image: ArrayLike, *, offset: tuple[int, int] = (0, 0)) -> NDArray[np.float32]:
    """Return the features of one image: statistics of its luma's block DCT on two grids, of its edges and of its fine
    detail, the JPEG quality that the comb of the quantised coefficients speaks for, and how much evidence there is.

    Parameters
    ----------
    image : array of shape (H, W, 3), RGB, or (H, W)
        Sides under 12 pixels are mirrored up to that.
    offset : (int, int)
        Row and column where the JPEG grid starts, 0 to 7 (see `jpeg_grid_offset`).

    Returns
    -------
    float32 array of shape (N_FEATURES,)

    Examples
    --------
    >>> import numpy as np
    >>> dct_features(np.zeros((64, 48), dtype=np.uint8)).shape
    (976,)
    """
    if not isinstance(offset, Sequence | np.ndarray) or getattr(offset, "ndim", 1) != 1 or len(offset) != 2:
        raise TypeError(f"offset: expected two integers from 0 to 7, got {shown(offset)}")
    top, left = (integer(start, "offset", 0, BLOCK - 1) for start in offset)
    return luma_features(luma(image)[None], (top, left))[0]


def luma(image: ArrayLike, name: str = "image") -> NDArray[np.float32]:
    """Return the luma, rounded, as float32 on 0..255, with sides of at least `SMALLEST` pixels."""
    return luma_plane(eight_bits(image, name))


def eight_bits(image: ArrayLike, name: str = "image") -> NDArray[np.uint8]:
    """Return an image with 8 bits per channel."""
    x = check_image(image, name)
    return np.ascontiguousarray(x if x.dtype == np.uint8 else to_uint8(to_float(x, name=name)))


def luma_plane(image: NDArray[np.uint8], channels: str = "RGB") -> NDArray[np.float32]:
    """Return `luma` of an 8-bit image with its channels in the order "RGB" or "BGR", or of a grey one."""
    gray: Any = image
    if image.ndim == 3:
        gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY if channels == "RGB" else cv2.COLOR_BGR2GRAY)
    plane: Any = gray.astype(np.float32)  # whole numbers: grey and colour images carry the same rounding noise
    return np.asarray(at_least_smallest(plane), np.float32)


def luma_features(
    planes: NDArray[np.float32], offset: tuple[int, int] = (0, 0), *, directions: bool = False
) -> NDArray[np.float32]:
    """Return the features (n, N_FEATURES) of luma planes (n, H, W), float32 on 0..255, sides of at least `SMALLEST`.

    directions: add those of directions, (n, N_FEATURES + N_DIRECTION_STATISTICS).
    """
    planes = np.ascontiguousarray(planes)
    out = np.empty((len(planes), N_FEATURES), dtype=np.float32)
    planes_features(planes, *offset, BASIS, FREQUENCIES, STEPS, QUALITIES, out)
    if not directions:
        return out
    of_directions = np.empty((len(planes), N_DIRECTION_STATISTICS), dtype=np.float32)
    planes_directions(planes, of_directions)
    return np.hstack([out, of_directions])


def further_features(images: NDArray[np.uint8], planes: NDArray[np.float32], channels: str) -> NDArray[np.float32]:
    """Return the features of colours and of structure of 8-bit images (n, H, W[, 3]) and their luma, for fits with a
    history: noise of its own in each channel shows in the colours, whatever the luma shows.

    The mean over both differences of colour of the statistics of the finest detail, and those of `structure`.
    """
    colours = np.empty((2, len(planes), N_DETAIL_STATISTICS), np.float32)
    converted = [_colours(image, channels) for image in images]
    for k in range(2):
        planes_detail(np.stack([both[k] for both in converted]), colours[k])
    greens = [image[..., 1] if image.ndim == 3 else image for image in images]
    structure = [structure_statistics(plane, green) for plane, green in zip(planes, greens, strict=True)]
    return np.hstack([colours.mean(axis=0), np.stack(structure)])


def _colours(image: NDArray[np.uint8], channels: str) -> list[NDArray[np.float32]]:
    if image.ndim == 2:
        return [np.zeros(image.shape, np.float32)] * 2
    code = cv2.COLOR_RGB2YCrCb if channels == "RGB" else cv2.COLOR_BGR2YCrCb
    return [np.ascontiguousarray(x, np.float32) for x in cv2.split(cv2.cvtColor(image, code))[1:]]


def at_least_smallest(image: NDArray[Any]) -> NDArray[Any]:
    """Return an image with sides of at least `SMALLEST` pixels, mirrored up to that."""
    short = [max(0, SMALLEST - side) for side in image.shape[:2]]
    if any(short):
        return np.asarray(cv2.copyMakeBorder(image, 0, short[0], 0, short[1], cv2.BORDER_REFLECT))
    return image


def jpeg_grid_offset(plane: NDArray[np.float32]) -> tuple[int, int]:
    """Return where the 8 × 8 grid of a JPEG compression starts in a luma plane, (0, 0) where none shows.

    Cropping shifts the grid. On the true one, quantisation left many coefficients zero; on the 63 others hardly more
    than anywhere else. The middle of the image is enough to see it.
    """
    top, left = (max(0, side - GRID_SEARCH) // 2 for side in plane.shape)
    part = np.ascontiguousarray(plane[top : top + GRID_SEARCH, left : left + GRID_SEARCH])
    shares = np.empty((BLOCK, BLOCK))
    memory = np.empty(128 * (part.shape[0] // BLOCK) * (part.shape[1] // BLOCK), dtype=np.float32)
    if memory.size == 0:
        return 0, 0
    zero_shares(part, BASIS, memory, shares)
    best = int(shares.argmax())
    others = np.delete(shares.ravel(), best)
    most, typical = float(shares.flat[best]), float(others.mean())
    if most * (1 - typical) <= GRID_ODDS_RATIO * typical * (1 - most) or most < typical + 3 * others.std():
        return 0, 0
    return (best // BLOCK + top) % BLOCK, (best % BLOCK + left) % BLOCK
