"""Inference of the mixture over bins from per-image likelihoods: expectation maximisation and its uncertainty."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.special import ndtr
from scipy.stats import binom

from fastdeg._types import Float
from fastdeg.bins import Bins, GridBins
from fastdeg.images.inference.bin_nodes import BinSupport
from fastdeg.images.inference.regression import Likelihood

MAX_ITER = 1000
DUST = 1e-3  # share of a bin's equal share, 1 / N, below which nothing is left of it
# Log-likelihood of all images together that an iteration must gain. What less would change is decided by chance, and
# the unfinished iteration keeps the mixture smoother than its maximum, which is a handful of spikes.
LEAST_GAIN = 0.05
# On a grid the mixture is drawn towards the product of its own marginals with the weight of so many photos: a few tell
# how often a blur or a noise occurs, but hardly how often each pair of them does. Many photos leave nothing of it.
INDEPENDENCE = 4.0
ALIKE = 0.4  # probability of confusion from which bins count as looking alike
LOOK_ALIKES = 400  # bins for which the farthest that looks alike is sought


@dataclass(frozen=True)
class MixtureFit:
    """Mixture weights of (nearly) maximum likelihood.

    Attributes
    ----------
    weights : ndarray, shape (N,)
    log_likelihood : float
        Mean over the images, relative to each image's best bin.
    n_iter : int
    converged : bool
    """

    weights: Float
    log_likelihood: float
    n_iter: int
    converged: bool


def fit_mixture(
    log_likelihood: Float,
    prior: Float,
    *,
    shape: tuple[int, ...] | None = None,
    max_iter: int = MAX_ITER,
    tol: float = LEAST_GAIN,
) -> MixtureFit:
    """Maximise the likelihood of images over mixture weights by expectation maximisation from the prior.

    With a grid's shape, each iteration mixes in the product of the marginals, as `INDEPENDENCE` more photos.

    Parameters
    ----------
    log_likelihood : array of shape (n, N)
        log p(image | bin).
    prior : array of shape (N,)
        Where the iteration starts; bins with zero mass stay at zero.
    shape : tuple of int, optional
        Of the grid of bins, in C order.
    max_iter : int
    tol : float
        Stop where an iteration gains less in log-likelihood, summed over the images.
    """
    likelihood = _scaled(log_likelihood)
    counts = np.ones((1, len(likelihood)))
    weights, value, n_iter, converged = _expectation_maximization(likelihood, counts, prior, shape, max_iter, tol)
    return MixtureFit(_without_dust(weights)[0], float(value[0]), n_iter, converged)


def bootstrap_mixtures(
    log_likelihood: Float,
    prior: Float,
    n_resamples: int,
    rng: np.random.Generator,
    *,
    shape: tuple[int, ...] | None = None,
    n_images: int | None = None,
    max_iter: int = MAX_ITER,
) -> Float:
    """Return the mixture weights of bootstrap resamples of the images, shape (n_resamples, N)."""
    likelihood = _scaled(log_likelihood)
    n = len(likelihood)
    counts = rng.multinomial(n if n_images is None else n_images, np.full(n, 1 / n), size=n_resamples)
    out = np.empty((n_resamples, likelihood.shape[1]))
    chunk = max(1, int(2e7 // likelihood.shape[1]))
    for start in range(0, n_resamples, chunk):
        part = counts[start : start + chunk].astype(np.float64)
        out[start : start + chunk] = _expectation_maximization(likelihood, part, prior, shape, max_iter, LEAST_GAIN)[0]
    return _without_dust(out)


def _without_dust(weights: Float) -> Float:
    """Set to zero what the iteration has all but removed; rows keep their sum of one."""
    weights = np.where(weights < DUST / weights.shape[1], 0.0, weights)
    return weights / weights.sum(axis=1, keepdims=True)


def posterior(log_likelihood: Float, weights: Float) -> Float:
    """Return the posterior over bins of each image, (n, N), for a given mixture."""
    with np.errstate(divide="ignore"):
        logs = log_likelihood + np.log(weights)
    logs -= logs.max(axis=1, keepdims=True)
    out = np.exp(logs)
    return out / out.sum(axis=1, keepdims=True)


def _scaled(log_likelihood: Float) -> Float:
    return np.exp(log_likelihood - log_likelihood.max(axis=1, keepdims=True))


def _expectation_maximization(
    likelihood: Float, counts: Float, prior: Float, shape: tuple[int, ...] | None, max_iter: int, tol: float
) -> tuple[Float, Float, int, bool]:
    """All resamples at once: likelihood (n, N), counts (B, n) -> weights (B, N), mean log-likelihoods (B,)."""
    weights = np.tile(prior / prior.sum(), (len(counts), 1))
    totals = counts.sum(axis=1)
    share = INDEPENDENCE / (INDEPENDENCE + totals[:, None])  # of the product of the marginals
    value = np.full(len(counts), -np.inf)
    for iteration in range(1, max_iter + 1):
        density = np.maximum(weights @ likelihood.T, 1e-300)  # (B, n)
        new = (counts * np.log(density)).sum(axis=1) / totals
        updated = weights * ((counts / density) @ likelihood)
        updated /= updated.sum(axis=1, keepdims=True)
        weights = updated if shape is None else (1 - share) * updated + share * _product_of_marginals(weights, shape)
        if iteration > 1 and np.max((new - value) * totals) < tol:
            return weights, new, iteration, True
        value = new
    return weights, value, max_iter, False


def _product_of_marginals(weights: Float, shape: tuple[int, ...]) -> Float:
    """Return for each row the mixture with the same marginals in which the axes are independent, (B, N)."""
    joint = weights.reshape(-1, *shape)
    out = np.ones((len(weights), 1))
    for k in range(1, joint.ndim):
        marginal = joint.sum(axis=tuple(j for j in range(1, joint.ndim) if j != k))
        out = (out[:, :, None] * marginal[:, None, :]).reshape(len(weights), -1)
    return out


def grid_shape(bins: Bins) -> tuple[int, ...] | None:
    """Return the shape of a grid of bins with several axes, None for other bins."""
    return bins.space.shape if isinstance(bins, GridBins) and bins.space is not None and bins.ndim > 1 else None


@dataclass(frozen=True)
class MarginalIntervals:
    """Bootstrap intervals of one axis' marginal.

    Attributes
    ----------
    axis : str
    estimate, low, high : ndarray, shape (bins of the axis,)
    """

    axis: str
    estimate: Float
    low: Float
    high: Float


@dataclass(frozen=True)
class Bootstrap:
    """Uncertainty of an inferred distribution from which references happened to be at hand.

    Attributes
    ----------
    weights : ndarray, shape (n_resamples, N)
    marginals : tuple of MarginalIntervals
        One per axis.
    level : float
    """

    weights: Float
    marginals: tuple[MarginalIntervals, ...]
    level: float


@dataclass(frozen=True)
class ReferenceCounts:
    """How the width of the intervals shrinks with the number of reference images.

    Attributes
    ----------
    counts : ndarray of int, shape (k,)
    widths : ndarray, shape (k, d)
        Mean width of the intervals of each axis' marginal.
    names : tuple of str
        The axes.
    """

    counts: NDArray[np.int64]
    widths: Float
    names: tuple[str, ...]


@dataclass(frozen=True)
class Identifiability:
    """What one image can and cannot tell.

    Attributes
    ----------
    standard_errors : ndarray, shape (N, d)
        Standard error of each parameter from one image, at each bin's centre, in the units of the space.
    pairs : ndarray of int, shape (k, 2)
        Neighbouring bins that one image confuses most of all, worst first.
    confusion : ndarray, shape (k,)
        For each pair, the probability that one image is put into the wrong one of the two (0.5: they look alike).
    look_alikes : ndarray of int, shape (l, 2)
        Bins that one image confuses with a probability of at least 0.4, and of those with each the one that lies
        farthest away: where parameters make up for each other. Farthest first.
    notes : tuple of str
        The same in words, axis by axis.
    """

    standard_errors: Float
    pairs: NDArray[np.int64]
    confusion: Float
    look_alikes: NDArray[np.int64]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Inference:
    """All that is read out of a set of reference images.

    Attributes
    ----------
    distribution : BinnedDistribution
    log_likelihood : float
    n_iter : int
    converged : bool
    posterior : ndarray, shape (n, N)
        Over bins, of each image, given the inferred distribution.
    parameters : ndarray, shape (n, d)
        Point estimates of each image alone, in the units of the space.
    parameter_errors : ndarray, shape (n, d)
        Their root mean square errors, as far as the photographs are like the clean images of the fit.
    outside : ndarray of bool, shape (n,)
        Images unlike any of the space.
    outside_p_values : ndarray, shape (n,)
        Of each image, for the hypothesis that it lies inside.
    all_inside_p_value : float
        Of all images together: the probability that so many of them are called outside while all are inside.
    without_comb : ndarray of bool, shape (n,)
        Images without the comb of a JPEG quantisation where those of the space show one: never compressed, or resized
        or filtered since. No compression counts as the best quality of the space.
    """

    distribution: Any
    log_likelihood: float
    n_iter: int
    converged: bool
    posterior: Float
    parameters: Float
    parameter_errors: Float
    outside: NDArray[np.bool_]
    outside_p_values: Float
    all_inside_p_value: float
    without_comb: NDArray[np.bool_]


def excess_p_value(n_outside: int, n: int, level: float) -> float:
    """Return the probability that at least n_outside of n images are called outside at the level by chance."""
    return float(binom.sf(n_outside - 1, n, level))


def bootstrap(log_likelihood: Float, bins: Bins, n_resamples: int, level: float, rng: np.random.Generator) -> Bootstrap:
    """Return bootstrap intervals of each axis' marginal."""
    shape = grid_shape(bins)
    weights = bootstrap_mixtures(log_likelihood, bins.volumes, n_resamples, rng, shape=shape)
    estimate = fit_mixture(log_likelihood, bins.volumes, shape=shape).weights
    tail = (1 - level) / 2
    marginals = []
    for k, name in enumerate(bins.names):
        samples = np.stack([bins.marginal(w, k) for w in weights])
        low, high = np.clip(np.quantile(samples, [tail, 1 - tail], axis=0).round(9), 0, 1)  # 9: no dust of rounding
        marginals.append(MarginalIntervals(name, bins.marginal(estimate, k), low, high))
    return Bootstrap(weights, tuple(marginals), level)


def reference_counts(
    log_likelihood: Float, bins: Bins, counts: Sequence[int], n_resamples: int, level: float, rng: np.random.Generator
) -> ReferenceCounts:
    """Return the mean interval width of each axis' marginal, for resamples of each size."""
    tail = (1 - level) / 2
    widths = np.empty((len(counts), len(bins.names)))
    for i, count in enumerate(counts):
        weights = bootstrap_mixtures(
            log_likelihood, bins.volumes, n_resamples, rng, shape=grid_shape(bins), n_images=count
        )
        for k in range(len(bins.names)):
            samples = np.stack([bins.marginal(w, k) for w in weights])
            low, high = np.quantile(samples, [tail, 1 - tail], axis=0)
            widths[i, k] = (high - low).mean()
    return ReferenceCounts(np.asarray(counts), widths, bins.names)


def identifiability(
    likelihood: Likelihood, support: BinSupport, bins: Bins, n_patches: int, max_pairs: int
) -> Identifiability:
    """Compare each bin with its neighbours along the axes by the density of the summaries."""
    assert bins.space is not None
    centers = bins.standardized_centers()
    mean = support.means(likelihood.mean(support.points))
    spread = support.means(likelihood.mean(support.points) ** 2) - mean**2
    deviation = likelihood.deviation(centers) * np.sqrt(likelihood.shrinkage(np.array(n_patches), centers))
    slopes = _slopes(likelihood, centers)
    errors = deviation / np.maximum(np.abs(slopes), 1e-3)
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


def _slopes(likelihood: Likelihood, z: Float, step: float = 0.02) -> Float:
    """Derivative of each summary by its own parameter, (n, d)."""
    out = np.empty_like(z)
    for k in range(z.shape[1]):
        ahead, behind = z.copy(), z.copy()
        ahead[:, k] = np.minimum(ahead[:, k] + step, 1)
        behind[:, k] = np.maximum(behind[:, k] - step, 0)
        out[:, k] = (likelihood.mean(ahead) - likelihood.mean(behind))[:, k] / (ahead - behind)[:, k]
    return out


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
