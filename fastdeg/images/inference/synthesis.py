"""Synthetic training data of the estimator: patches of clean images, degraded at random places of the space."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product, starmap
from os import PathLike
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from fastdeg._checks import memory
from fastdeg._threads import ordered_map
from fastdeg._types import Float, Progress
from fastdeg.degradations.chain import corrupt, with_size
from fastdeg.degradations.fast import corrupted_variants, in_tones, noise_pool, shrink_at_once, shrink_by_area
from fastdeg.degradations.pixels import check_image, to_float, to_uint8
from fastdeg.degradations.registry import halves
from fastdeg.images.features import MANY_IMAGES, N_FEATURES, further_features, luma, luma_features, luma_plane
from fastdeg.images.files.read import ImageFile, read_image
from fastdeg.images.inference.photo_priors import PARTLY, out_of_focus
from fastdeg.images.inference.recipe import Embedding, Recipe
from fastdeg.space import DegradationSpace

Described = Sequence[NDArray[Any]] | NDArray[np.float32]  # images to be embedded, or features

# What is varied in the clean images, so that content is not mistaken for a degradation.
SCALES = (0.7, 1.3)  # sizes relative to the image: finer and coarser detail
CONTRASTS = (0.7, 1.2)
BRIGHTNESSES = (-20.0, 20.0)  # grey levels
SMALLEST_PATCH = 24  # low-resolution pixels
VARIANTS = 4  # noise and compression drawn for each blurred and downsampled patch: cheaper than another patch
JITTER = (0.7, 1.4), (-60.0, 60.0)  # further contrasts and brightnesses, of every second variant
ROUNDS_AT_ONCE = 8  # patches of one piece of content that are made in a row
SHARE_OF_FIT = 0.9  # of the progress of a fit; the rest is for learning from the features
GREY = 0.1  # share of patches without colours, in fits with a history, to which colours say something
UNCOMPRESSED_EVERY = 2  # patches: one more variant, never compressed, so that the lack of compression is known too


@dataclass(frozen=True)
class Synthetic:
    """Features of degraded patches."""

    features: NDArray[np.float32]  # (n, F)
    parameters: Float  # (n, d), what each was degraded with
    groups: NDArray[np.int64]  # piece of clean content that each came from: different ones share no pixel
    uncompressed: NDArray[np.bool_]  # beyond the space, never compressed, whose quality stands at the best of the space
    jittered: NDArray[np.bool_]  # whose contrast and brightness are varied more than those of photographs are


def drawn_over(space: DegradationSpace, n: int, rng: np.random.Generator) -> Float:
    """Draw parameters uniformly over the space."""
    columns = [rng.choice(a.centers, n) if a.discrete else rng.uniform(a.low, a.high, n) for a in space.axes]
    return np.stack(columns, axis=1).astype(np.float64)


class CleanFile(NamedTuple):
    """A clean image that is read where it is used: all of it, or one of its halves."""

    path: str | PathLike[str]
    least_side: int
    half: int | None = None

    def pixels(self) -> NDArray[Any]:
        return _half(read_image(self.path, min_side=self.least_side).pixels, self.half)


def _half(image: NDArray[Any], half: int | None) -> NDArray[Any]:
    if half is None:
        return image
    return np.array_split(image, 2, axis=0 if image.shape[0] >= image.shape[1] else 1)[half]


def pieces_of(images: Sequence[NDArray[Any] | CleanFile]) -> list[NDArray[Any] | CleanFile]:
    """Return pieces of content that share no pixel: the images, or both halves of each where they are few."""
    halves = (None,) if len(images) >= MANY_IMAGES else (0, 1)
    return [
        image._replace(half=half) if isinstance(image, CleanFile) else _half(image, half)
        for image in images
        for half in halves
    ]


def synthesize(
    images: Sequence[NDArray[Any] | CleanFile],
    draw: Callable[[int, np.random.Generator], Float],
    recipe: Recipe,
    n_samples: int,
    seed: np.random.SeedSequence,
    *,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Synthetic:
    """Degrade random patches of the images with parameters from ``draw`` and return their features.

    The result does not depend on the number of threads: each piece of work has its own seed.
    """
    memory(8.0 * N_FEATURES * n_samples, "n_samples")  # of features, of which there are two copies
    pieces = pieces_of(images)
    variants = VARIANTS if recipe.degrade is None and not _after_downsampling().isdisjoint(recipe.names) else 1
    # of few photographs this made the blur, and the test of what is outside, worse
    jittered = (np.arange(variants) % 2 == 1) & (len(images) >= MANY_IMAGES)
    rounds = max(1, -(-n_samples // (variants * len(pieces))))
    for_pool, *seeds = seed.spawn(1 + rounds * len(pieces))
    kind = "color" if recipe.history else recipe.noise  # noise that is the same in all channels is cut from either
    normal = noise_pool(kind, recipe.patch_size, np.random.default_rng(for_pool))
    jobs = list(product(range(0, rounds, ROUNDS_AT_ONCE), range(len(pieces))))  # in one job the piece is sent once
    compressed = [recipe.best_quality is None or i % UNCOMPRESSED_EVERY != 0 for i in range(rounds)]

    def patches_of_job(
        first: int, piece: int
    ) -> tuple[NDArray[Any] | CleanFile, list[tuple[np.random.SeedSequence, bool]]]:
        own = range(first, min(rounds, first + ROUNDS_AT_ONCE))
        return pieces[piece], [(seeds[i * len(pieces) + piece], not compressed[i]) for i in own]

    results: list[Any] = [None] * len(seeds)
    made = ordered_map(
        _samples_of_piece, starmap(patches_of_job, jobs), draw, recipe, normal, jittered, threads=threads
    )
    for k, ((first, piece), samples) in enumerate(zip(jobs, made, strict=True)):
        results[first * len(pieces) + piece : (first + ROUNDS_AT_ONCE) * len(pieces) : len(pieces)] = samples
        if progress is not None:
            progress(SHARE_OF_FIT * (k + 1) / len(jobs), "degrading clean images")
    described = [x for r in results for x in r[0]]
    features = embedded(recipe.embed, described) if recipe.embed is not None else np.stack(described)
    groups = np.repeat(np.arange(len(results)) % len(pieces), [len(r[0]) for r in results])
    uncompressed = np.concatenate([np.arange(len(r[0])) >= variants for r in results])
    all_jittered = np.zeros_like(uncompressed)
    all_jittered[~uncompressed] = np.tile(jittered, len(results))
    return Synthetic(features, np.concatenate([r[1] for r in results]), groups, uncompressed, all_jittered)


def _tones(jittered: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return contrasts and brightnesses, (n, 2): random ones where asked for, else those that change nothing."""
    tones = np.tile(np.array([1, 0], np.float32), (len(jittered), 1))
    low, high = np.transpose(JITTER)
    tones[jittered] = rng.uniform(low, high, (int(jittered.sum()), 2))
    return tones


def embedded(embed: Embedding, images: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
    """Return the user's embedding of the images, checked."""
    x = np.asarray(embed(list(images)), dtype=np.float32)
    if x.ndim != 2 or len(x) != len(images):
        raise ValueError(f"features: expected an array of shape ({len(images)}, D) from the callable, got {x.shape}")
    if not np.isfinite(x).all():
        raise ValueError("features: expected finite numbers from the callable, got NaN or infinity")
    return x


def _after_downsampling() -> set[str]:
    """Return the parameters that variants of one blurred and downsampled patch may differ in."""
    return {parameter.name for step in halves()[1] for parameter in step.parameters}


def _samples_of_piece(
    job: tuple[NDArray[Any] | CleanFile, Sequence[tuple[np.random.SeedSequence, bool]]],
    draw: Callable[[int, np.random.Generator], Float],
    recipe: Recipe,
    normal: NDArray[np.float32],
    jittered: NDArray[np.bool_],
) -> list[tuple[Described, Float]]:
    """Return samples of a piece for each seed, and whether one of them shall be never compressed."""
    piece, patches = job
    if isinstance(piece, CleanFile):
        piece = piece.pixels()
    return [
        _samples(piece, draw, recipe, normal, jittered, uncompressed, np.random.default_rng(seed))
        for seed, uncompressed in patches
    ]


def _samples(
    piece: NDArray[Any],
    draw: Callable[[int, np.random.Generator], Float],
    recipe: Recipe,
    normal: NDArray[np.float32],
    jittered: NDArray[np.bool_],
    uncompressed: bool,
    rng: np.random.Generator,
) -> tuple[Described, Float]:
    """Return features of variants of a patch, and of one never compressed if asked for, and parameters."""
    parameters = draw(len(jittered) + uncompressed, rng)
    shared = [k for k, name in enumerate(recipe.names) if name not in _after_downsampling()]
    parameters[:, shared] = parameters[0, shared]
    named = [{**recipe.fixed, **dict(zip(recipe.names, map(float, row), strict=True))} for row in parameters]
    if uncompressed:
        del named[-1]["jpeg_quality"]
        parameters[-1, recipe.names.index("jpeg_quality")] = recipe.best_quality
    clean = _varied(piece, recipe.patch_size * recipe.factor(named[0]), recipe.factor(named[0]), rng)
    if recipe.history and clean.ndim == 3 and rng.random() < GREY:
        clean = np.asarray(cv2.cvtColor(clean, cv2.COLOR_RGB2GRAY), np.uint8)
    if recipe.degrade is not None:
        degraded = [check_image(recipe.degrade(clean, p, rng), "image returned by degrade") for p in named]
        degraded = [x[: recipe.patch_size, : recipe.patch_size] for x in degraded]
    else:
        drawn = recipe.drawn(len(named), rng)
        fixed = {"noise": recipe.noise, "interpolation": recipe.interpolation}
        settings = [
            with_size(fixed | p | d.settings, clean.shape[:2], d.events) for p, d in zip(named, drawn, strict=True)
        ]
        events = [d.events for d in drawn]
        low = shrink_at_once(clean, settings[0], rng, events[0])
        pictures = in_tones(low, _tones(np.append(jittered, np.zeros(int(uncompressed), bool)), rng))
        if recipe.embed is None:
            x = corrupted_variants(pictures, settings, normal, rng, events)
            planes = luma_plane(x.reshape(-1, *x.shape[2:]), "BGR").reshape(x.shape[:3])
            features = luma_features(planes, directions=recipe.directions)
            if recipe.history:
                features = np.hstack([features, further_features(x, planes, "BGR")])
            return features, parameters
        degraded = [corrupt(x, s, rng, e) for x, s, e in zip(pictures, settings, events, strict=True)]
    if recipe.embed is not None:
        return degraded, parameters
    return luma_features(np.stack([luma(x) for x in degraded]), directions=recipe.directions), parameters


def least_side(factor: float) -> int:
    """Return the least side, in pixels, of a clean image to downsample by a factor."""
    return int(np.ceil(SMALLEST_PATCH * factor))


def checked_clean_images(images: Sequence[Any], factor: float) -> list[NDArray[Any] | CleanFile]:
    """Return clean images that can be downsampled by a factor; one that cannot is an error that names it.

    Those that are not in memory are checked where they are read.
    """
    least, checked = least_side(factor), list[NDArray[Any] | CleanFile]()
    for i, given in enumerate(images):
        source = given.path if isinstance(given, ImageFile) and not given.kept else given
        if isinstance(source, str | PathLike):
            checked.append(CleanFile(source, least))
            continue
        image = check_image(source.pixels if isinstance(source, ImageFile) else source, f"clean_images[{i}]")
        checked.append(image)
        if min(image.shape[:2]) < least:
            raise ValueError(
                f"clean_images[{i}]: expected sides of at least {least:.12g} pixels for a downsampling by {factor:g}, "
                f"got {image.shape[1]} × {image.shape[0]}"
            )
    return checked


def _varied(piece: NDArray[Any], side: float, factor: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Cut a random square of about ``side`` clean pixels and vary its size, orientation, focus and tones."""
    scale = rng.uniform(*SCALES)
    height, width = (min(length, int(side / scale)) for length in piece.shape[:2])
    top, left = rng.integers(piece.shape[0] - height + 1), rng.integers(piece.shape[1] - width + 1)
    x: Any = piece[top : top + height, left : left + width]
    x = np.ascontiguousarray(x) if x.dtype == np.uint8 else to_uint8(to_float(x))  # 8 bits: several times as fast
    mirrored = int(rng.integers(4))
    if mirrored < 3:  # OpenCV: 0 upside down, 1 left to right, -1 both
        x = cv2.flip(x, mirrored - 1)
    if rng.integers(2):
        x = cv2.transpose(x)
    least = least_side(factor)
    size = (max(least, int(x.shape[1] * scale)), max(least, int(x.shape[0] * scale)))
    if scale < 1 and size[0] <= x.shape[1] and size[1] <= x.shape[0]:
        x = shrink_by_area(x, size)
    else:
        x = cv2.resize(x, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    if rng.random() < PARTLY:
        x = out_of_focus(x, rng)
    contrast, brightness = rng.uniform(*CONTRASTS), rng.uniform(*BRIGHTNESSES)
    return cv2.addWeighted(x, contrast, x, 0, 128 * (1 - contrast) + brightness)
