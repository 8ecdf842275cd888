"""Images described once: the features of their patches, which all that an estimator says of them is made of."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdeg._checks import mask, memory
from fastdeg._threads import ordered_map
from fastdeg._types import ByValue, Float, Progress
from fastdeg.degradations.pixels import check_image
from fastdeg.images.features import (
    at_least_smallest,
    eight_bits,
    further_features,
    jpeg_grid_offset,
    luma_features,
    luma_plane,
)
from fastdeg.images.files.read import ImageFile, read_image
from fastdeg.images.inference.recipe import Embedding, Recipe
from fastdeg.images.inference.summaries import SummarizedImages
from fastdeg.images.inference.synthesis import Described, embedded
from fastdeg.images.patches import places_of_patches, without_bars


@dataclass(frozen=True, eq=False)
class DescribedImages(ByValue):
    """What `DegradationEstimator.describe` returns and its other methods take in place of images.

    Attributes
    ----------
    features : ndarray of float32, shape (P, F)
        Of all patches of all images.
    owners : ndarray of int, shape (P,)
        Which image each patch is of.
    n_images : int
    described_by : tuple
        Side of the patches, whether they lie on the JPEG grid of each image, upright, whether directions, and what a
        history needs, are described too, and the embedding, None for the built-in one: estimators that agree in these
        share descriptions.
    qualities : ndarray, shape (n_images,)
        The JPEG quality that each image's file tells of itself, NaN where it tells none.
    """

    features: NDArray[np.float32]
    owners: NDArray[np.int64]
    n_images: int
    described_by: tuple[int, bool, bool, bool, bool, Embedding | None]
    qualities: Float

    def __len__(self) -> int:
        return self.n_images

    def of(self, which: NDArray[np.bool_]) -> DescribedImages:
        """Return some of the images, described."""
        which = mask(which, "which", self.n_images)
        rows, number = which[self.owners], np.cumsum(which) - 1
        owners, qualities = number[self.owners[rows]], self.qualities[which]
        return DescribedImages(self.features[rows], owners, int(which.sum()), self.described_by, qualities)

    def __repr__(self) -> str:
        return f"DescribedImages({self.n_images} images, {len(self.owners)} patches)"


PIECE = 500  # images of which the features of all patches are held at a time, where summaries are all that is wanted

Images: TypeAlias = Iterable[ArrayLike | str | os.PathLike[str] | ImageFile] | DescribedImages | SummarizedImages


def in_pieces(images: Images, recipe: Recipe, progress: Progress | None = None) -> Iterator[DescribedImages]:
    """Describe so many images at a time, so that the memory needed does not grow with their number."""
    if isinstance(images, DescribedImages):
        yield described(images, recipe)
        return
    pictures = image_list(images, "images")
    for first in range(0, len(pictures), PIECE):
        if progress is not None:
            progress(first / len(pictures), "reading what happened to the photos")
        yield described(pictures[first : first + PIECE], recipe, first)


def described(images: Images, recipe: Recipe, first: int = 0) -> DescribedImages:
    """Describe images, or return what was described before by an estimator of the same recipe.

    Paths are read where they are described, one by one. Messages call the first image by the number given.
    """
    axes = "jpeg_quality" in recipe.names, recipe.upright, recipe.directions
    by = (recipe.patch_size, *axes, bool(recipe.history), recipe.embed)
    if isinstance(images, DescribedImages):
        if images.described_by != by:
            raise ValueError("images: described by an estimator with another patch_size, features or JPEG axis")
        return images
    pictures = image_list(images, "images")
    parts: list[Any] = []
    owners: list[int] = []
    qualities = np.full(len(pictures), np.nan)
    for i, (own, quality) in enumerate(ordered_map(_described_image, enumerate(pictures, first), recipe)):
        parts += list(own) if recipe.embed is not None else [own]
        owners += [i] * len(own)
        qualities[i] = np.nan if quality is None else quality
    features = embedded(recipe.embed, parts) if recipe.embed is not None else np.concatenate(parts)
    return DescribedImages(features, np.array(owners), len(pictures), by, qualities)


def _described_image(numbered: tuple[int, Any], recipe: Recipe) -> tuple[Described, int | None]:
    """Return the patches of one image to be embedded, or their features and the JPEG quality that its file tells."""
    i, image = numbered
    if isinstance(image, str | os.PathLike):
        image = read_image(image)
    if recipe.embed is not None:
        x = without_bars(check_image(image, f"images[{i}]"))
        return [x[place] for place in places_of_patches(x, recipe.patch_size)], None
    quality, searched = None, "jpeg_quality" in recipe.names
    if isinstance(image, ImageFile) and image.jpeg is not None:
        quality = image.jpeg.quality
        if image.orientation == 1 or not recipe.upright:  # in a turned picture grid and tables are turned too
            image, searched = image.stored_pixels, searched and quality is None
    x = without_bars(check_image(image, f"images[{i}]"))
    pixels = at_least_smallest(eight_bits(x, f"images[{i}]"))
    plane = luma_plane(pixels)
    top, left = jpeg_grid_offset(plane) if searched else (0, 0)
    pixels, plane = pixels[top:, left:], plane[top:, left:]
    places = places_of_patches(pixels, recipe.patch_size)
    features = np.concatenate([luma_features(plane[place][None], directions=recipe.directions) for place in places])
    if not recipe.history:
        return features, quality
    further = [further_features(pixels[place][None], plane[place][None], "RGB") for place in places]
    return np.hstack([features, np.concatenate(further)]), quality


def image_list(images: Any, name: str) -> list[Any]:
    """Return the images as a list of at least one; one array or a path instead is an error that says so."""
    if isinstance(images, np.ndarray) and images.ndim in (2, 3) and not (images.ndim == 3 and images.shape[2] > 4):
        raise TypeError(
            f"{name}: expected a sequence of images, got one array of shape {images.shape}; wrap it in a list"
        )
    if isinstance(images, str | os.PathLike):
        raise TypeError(
            f"{name}: expected a sequence of images, got the path {str(images)!r}; read_images reads folders"
        )
    if isinstance(images, np.ndarray):
        memory(4.0 * images.size, name)  # of what is broadcast
    try:
        pictures = list(images)
    except TypeError:
        raise TypeError(f"{name}: expected a sequence of images, got {type(images).__name__}") from None
    if not pictures:
        raise ValueError(f"{name}: expected at least one image, got none")
    return pictures
