"""Where the patches of a photo lie: beside areas of one colour, which say nothing of what was done to it.

Such are bars around a film, or what was transparent. Blur, noise and compression leave no trace in them, yet they look
as if all detail had been quantised away, and the edge around them is sharper than any that was photographed.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Place = tuple[slice, slice]

GRID = 8  # patches start at multiples of it
LEAST_SIDE = 32  # of areas of one colour inside a photo: what a strong compression makes of a sky is mostly smaller
MARGIN = 8  # pixels beside bars, where blur and blocks mix them with the photo
LEAST_LEFT = 16  # pixels of a side that are left where there is a margin
LEAST_BLACK = 6  # side of areas of black, which is what transparent pixels are laid over
SMALLEST = 24  # side of patches beside areas of one colour


def without_bars(image: NDArray[Any]) -> NDArray[Any]:
    """Return an image without the rows and columns of one colour at its borders; itself where all are."""
    rows = _inner(image)
    columns = _inner(np.swapaxes(image[rows], 0, 1))
    return image[rows, columns]


def _inner(image: NDArray[Any]) -> slice:
    """Return the rows without those of one colour at both ends, and without a margin there."""
    n = len(image)
    first = next((k for k in range(n) if (image[k] != image[k, :1]).any()), n)
    if first == n:
        return slice(0, n)
    last = next(k for k in range(n, 0, -1) if (image[k - 1] != image[k - 1, :1]).any())
    start, stop = (-(-(first + MARGIN) // GRID) * GRID if first else 0), (last - MARGIN if last < n else n)
    return slice(start, stop) if stop - start >= LEAST_LEFT else slice(first, last)


def places_of_patches(image: NDArray[Any], size: int) -> list[Place]:
    """Return where overlapping patches of about size × size pixels lie that cover an image, on the 8 × 8 grid.

    Where there are areas of one colour, patches lie beside them, smaller ones where there is no place for others.
    """
    height, width = image.shape[:2]
    usual = [_place(top, left, size) for top in _starts(height, size) for left in _starts(width, size)]
    constant = _constant(image)
    if not constant.any() or constant.all():
        return usual
    sums = np.zeros((height + 1, width + 1), np.int64)
    sums[1:, 1:] = constant.cumsum(axis=0).cumsum(axis=1)
    side = size
    while side >= SMALLEST:
        down, right = min(side, height), min(side, width)
        a, b = sums[: height - down + 1 : GRID], sums[down::GRID]
        n_constant = b[:, right::GRID] - a[:, right::GRID] - b[:, : width - right + 1 : GRID]
        free = n_constant + a[:, : width - right + 1 : GRID] == 0
        places, apart = [], -(-3 * side // (5 * GRID))
        while free.any():
            i, j = np.unravel_index(int(free.argmax()), free.shape)
            places.append(_place(GRID * int(i), GRID * int(j), side))
            free[max(0, i - apart + 1) : i + apart, max(0, j - apart + 1) : j + apart] = False
        if places:
            return places
        side = 2 * side // 3
    return [min(usual, key=lambda place: int(constant[place].sum()))]


def _place(top: int, left: int, side: int) -> Place:
    return slice(top, top + side), slice(left, left + side)


def _starts(length: int, size: int) -> list[int]:
    if length < size + GRID:
        return [0]
    last = (length - size) // GRID
    count = -(-(length - size) * 5 // (size * 3)) + 1  # steps of at most 3/5 of the size
    return sorted({round(k * last / (count - 1)) * GRID for k in range(count)})


def _constant(image: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which pixels lie in squares of one colour, smaller ones of black."""
    height, width = image.shape[:2]
    constant = _opened((image == 0).reshape(height, width, -1).all(axis=2), LEAST_BLACK)
    if constant.any():  # round ones are not all of squares, and end in an edge
        around = np.ones((2 * LEAST_BLACK + 1,) * 2, np.uint8)
        constant = np.asarray(cv2.dilate(constant.astype(np.uint8), around), bool)
    half = LEAST_SIDE // 2  # each such square holds a square of half the side on their grid
    if min(height, width) < LEAST_SIDE:
        return constant
    x = image[: height // half * half, : width // half * half].reshape(height // half, half, width // half, half, -1)
    if (x == x[:, :1, :, :1]).all(axis=(1, 3, 4)).any():
        window: Any = np.ones((3, 3), np.uint8)
        alike: Any = cv2.dilate(image, window) == cv2.erode(image, window)
        inner = _opened(alike.reshape(height, width, -1).all(axis=2), LEAST_SIDE - 2)
        constant |= np.asarray(cv2.dilate(inner.astype(np.uint8), window), bool)
    return constant


def _opened(mask: NDArray[np.bool_], side: int) -> NDArray[np.bool_]:
    """Return the squares of a side that a mask holds."""
    if not mask.any():
        return mask
    square = np.ones((side, side), np.uint8)
    options: Any = {"borderType": cv2.BORDER_CONSTANT, "borderValue": [0]}
    return np.asarray(cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, square, **options), bool)
