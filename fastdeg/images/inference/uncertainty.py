"""How far an inferred mixture can be trusted: bootstrap intervals, numbers of references, bins that look alike."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree
from scipy.special import ndtr
from scipy.stats import binom, false_discovery_control

from fastdeg._checks import flag, index_array, integer, memory
from fastdeg._types import Float
from fastdeg.bins import Bins, GridBins
from fastdeg.images.inference.bin_nodes import BinNodes
from fastdeg.images.inference.likelihood import Likelihood
from fastdeg.images.inference.mixture import bootstrap_mixtures, grid_shape, resampled
from fastdeg.images.inference.results import Bootstrap, Identifiability, MarginalIntervals, ReferenceCounts

ALIKE = 0.4  # probability of confusion from which bins count as looking alike
LOOK_ALIKES = 400  # bins for which the farthest that looks alike is sought
FALSE_DISCOVERIES = 0.05  # share of the photographs without a say that may be inside


def excess_p_value(n_outside: int, n: int, level: float) -> float:
    """Return the probability that at least n_outside of n images are called outside at the level by chance."""
    return float(binom.sf(n_outside - 1, n, level))


def warn_of_outside(p_values: Float, level: float) -> None:
    """Warn of photographs that look like none that the space can make."""
    outside, n = int((p_values <= level).sum()), len(p_values)
    if outside:
        warnings.warn(
            f"{outside} of {n} images look like none that the space can make, so the distribution says little of them "
            f"(if all came from inside, so many would with probability {excess_p_value(outside, n, level):.2g}); "
            "infer tells which",
            stacklevel=3,
        )


def with_a_say(p_values: Float, level: float, keep_outside: bool) -> NDArray[np.bool_]:
    """Return which photographs a mixture is estimated from: all but those outside, or all where all are or are kept.

    Outside at the level, each by itself, and so that of all that are left out one in twenty is inside at most, in
    expectation (Benjamini and Hochberg, 1995; conformal p-values depend on one another in a way that it allows: Bates,
    Candès, Lei, Romano and Sesia, Testing for outliers with conformal p-values, 2023): a false alarm among many moves
    nothing.
    """
    outside = (p_values <= level) & (false_discovery_control(p_values) <= FALSE_DISCOVERIES)
    return ~outside | flag(keep_outside, "keep_outside") | outside.all()


def bootstrap(
    log_likelihoods: Sequence[Callable[[], Float]],
    estimate: Float,
    bins: Bins,
    prior: Float,
    n_resamples: int,
    level: float,
    rng: np.random.Generator,
) -> Bootstrap:
    """Return bootstrap intervals of each axis' marginal.

    log_likelihoods: of the images, (n, N), with each of the errors that they may share, of which each resample takes
    one in turn; estimate: what the images say, (N,).
    """
    (weights,) = _replicates(log_likelihoods, [None], bins, prior, n_resamples, rng)
    marginals = [  # 9 digits: no dust of rounding
        MarginalIntervals(name, *np.clip(np.stack([bins.marginal(estimate, k), *ends]).round(9), 0, 1))
        for k, (name, ends) in enumerate(zip(bins.names, _intervals(weights, bins, level), strict=True))
    ]
    return Bootstrap(weights, tuple(marginals), level)


def reference_counts(
    log_likelihoods: Sequence[Callable[[], Float]],
    bins: Bins,
    prior: Float,
    counts: ArrayLike,
    n_resamples: int,
    level: float,
    rng: np.random.Generator,
) -> ReferenceCounts:
    """Return the mean interval width of each axis' marginal, for resamples of each size; see `bootstrap`."""
    sizes = index_array(counts, "counts", ("k",))
    if sizes.min(initial=1) < 1:
        raise ValueError(f"counts: expected numbers of images >= 1, got {sizes.min()}")
    replicates = _replicates(log_likelihoods, sizes.tolist(), bins, prior, n_resamples, rng)
    widths = [[(high - low).mean() for low, high in _intervals(weights, bins, level)] for weights in replicates]
    return ReferenceCounts(sizes, np.array(widths).reshape(len(sizes), len(bins.names)), bins.names)


def _replicates(
    log_likelihoods: Sequence[Callable[[], Float]],
    sizes: Sequence[int | None],
    bins: Bins,
    prior: Float,
    n_resamples: int,
    rng: np.random.Generator,
) -> list[Float]:
    """Return the mixture weights of resamples of each size, (n_resamples, N); None: as many as there are images."""
    memory(8.0 * n_resamples * bins.n_bins * len(sizes), "n_resamples")
    drawn: list[Float] = []
    weights = [np.empty((n_resamples, bins.n_bins)) for _ in sizes]
    for k, log_likelihood in enumerate(log_likelihoods[:n_resamples]):
        own, rows = log_likelihood(), slice(k, None, len(log_likelihoods))
        drawn = drawn or [resampled(len(own), n_resamples, rng, size) for size in sizes]
        for of_size, counts in zip(weights, drawn, strict=True):
            of_size[rows] = bootstrap_mixtures(own, counts[rows], prior, shape=grid_shape(bins))
    return weights


def _intervals(weights: Float, bins: Bins, level: float) -> list[Float]:
    """Return the lower and upper ends that hold the level's share of each axis' marginals, (2, bins of the axis)."""
    ends = [(1 - level) / 2, (1 + level) / 2]
    marginals = [np.stack([bins.marginal(w, k) for w in weights]) for k in range(len(bins.names))]
    return [np.quantile(samples, ends, axis=0) for samples in marginals]


def identifiability(
    likelihood: Likelihood, points: Float, nodes: BinNodes, bins: Bins, n_patches: int, max_pairs: int
) -> Identifiability:
    """Compare each bin with its neighbours along the axes by the density of the summaries.

    points: of the whole space, from which one photo's parameters are predicted.
    """
    max_pairs = integer(max_pairs, "max_pairs", 0)
    assert bins.space is not None
    centers = bins.standardized_centers()
    mean = nodes.means(likelihood.mean(nodes.points))
    spread = nodes.means(likelihood.mean(nodes.points) ** 2) - mean**2
    deviation = likelihood.deviation(centers) * np.sqrt(likelihood.shrinkage(np.array(n_patches), centers))
    errors = likelihood.errors_at(centers, n_patches, points)
    total = np.sqrt(deviation**2 + np.maximum(spread, 0))
    first, second, axes = _neighbors(bins)
    root = np.linalg.cholesky(likelihood.precision)

    def confused(i: NDArray[np.int64], j: NDArray[np.int64]) -> Float:
        pooled = np.sqrt((total[i] ** 2 + total[j] ** 2) / 2)
        return ndtr(-0.5 * np.linalg.norm((mean[i] - mean[j]) / np.maximum(pooled, 1e-12) @ root, axis=-1))

    confusion = confused(first, second)
    order = np.argsort(-confusion, kind="stable")[:max_pairs]
    notes = []
    for k, name in enumerate(bins.names):
        along = axes == k
        if not along.any():
            continue
        worst = first[along][np.argmax(confusion[along])]
        where = ", ".join(f"{n} {c:.3g}" for n, c in zip(bins.names, bins.centers[worst], strict=True))
        average, least = (100 * (1 - c) for c in (confusion[along].mean(), confusion[along].max()))
        notes.append(
            f"{name}: one image tells neighbouring bins apart in {average:.0f} % of cases on average, "
            f"and in {least:.0f} % at worst, near {where} (50 % is a guess)"
        )
    shared = np.sqrt(np.square(likelihood.shared_errors_at(centers, n_patches, points)).mean(axis=0))
    notes += [
        f"{name}: photos of another kind than the clean images may all be read {error:.2g} too high or too low together"
        for name, error in zip(bins.names, shared * bins.space.scales(), strict=True)
        if error > 0
    ]
    look_alikes = _look_alikes(confused, centers)
    for i, j in look_alikes[:1]:
        here, there = (
            ", ".join(f"{n} {c:.3g}" for n, c in zip(bins.names, bins.centers[k], strict=True)) for k in (i, j)
        )
        chance = 100 * confused(np.array([i]), np.array([j]))[0]
        notes.append(f"farthest apart of what looks alike: {here} is taken for {there} in {chance:.0f} % of cases")
    return Identifiability(
        errors * bins.space.scales(),
        np.stack([first, second], axis=1)[order],
        confusion[order],
        look_alikes[:max_pairs],
        tuple(notes),
    )


def _look_alikes(confused: Callable[[Any, Any], Float], centers: Float) -> NDArray[np.int64]:
    """Return for (at most so many) bins the farthest one that looks alike, farthest pairs first, (l, 2)."""
    pairs, distances = [], []
    others = np.arange(len(centers))
    for i in np.unique(np.linspace(0, len(centers) - 1, min(len(centers), LOOK_ALIKES)).round().astype(np.int64)):
        distance = np.linalg.norm(centers - centers[i], axis=1)
        distance[confused(i, others) < ALIKE] = 0
        j = int(distance.argmax())
        if distance[j] > 0:
            pairs.append(sorted((int(i), j)))
            distances.append(distance[j])
    order = np.argsort(-np.array(distances), kind="stable")
    unique = dict.fromkeys(tuple(pairs[k]) for k in order)
    return np.array(list(unique), dtype=np.int64).reshape(-1, 2)


def _neighbors(bins: Bins) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return pairs of neighbouring bins and the axis along which they (mostly) differ."""
    if isinstance(bins, GridBins):
        assert bins.space is not None
        index = np.arange(bins.n_bins).reshape(bins.space.shape)
        pairs = [
            (np.moveaxis(index, k, 0)[:-1].ravel(), np.moveaxis(index, k, 0)[1:].ravel()) for k in range(index.ndim)
        ]
        axes = np.repeat(np.arange(len(pairs)), [len(a) for a, _ in pairs])
        return np.concatenate([a for a, _ in pairs]), np.concatenate([b for _, b in pairs]), axes
    centers = bins.standardized_centers()
    count = min(2 * bins.ndim + 1, bins.n_bins)
    _, nearest = cKDTree(centers).query(centers, k=range(1, count + 1))
    first = np.repeat(np.arange(bins.n_bins), count - 1)
    second = nearest[:, 1:].ravel()
    both = np.unique(np.sort(np.stack([first, second], axis=1), axis=1), axis=0)
    both = both[both[:, 0] != both[:, 1]]
    axes = np.abs(centers[both[:, 0]] - centers[both[:, 1]]).argmax(axis=1)
    return both[:, 0], both[:, 1], axes
