"""The mixture over bins by expectation maximisation from per-image likelihoods."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastdeg._threads import single_blas_thread
from fastdeg._types import Float
from fastdeg.bins import Bins, GridBins

MAX_ITER = 1000
NEGLIGIBLE = 1e-3  # share of a bin's equal share, 1 / N, below which nothing is left of it
# Log-likelihood of all images together that an iteration must gain. What less would change is decided by chance, and
# the unfinished iteration keeps the mixture smoother than its maximum, which is a handful of spikes.
LEAST_GAIN = 0.05
# On a grid the mixture is drawn towards the product of its own marginals with the weight of so many photos: a few tell
# how often a blur or a noise occurs, but hardly how often each pair of them does. Many photos leave nothing of it.
INDEPENDENCE = 4.0
BATCH = 32  # resamples whose iterations run side by side


@dataclass(frozen=True)
class MixtureFit:
    """Mixture weights of (nearly) maximum likelihood."""

    weights: Float  # (N,)
    log_likelihood: float  # mean over the images, relative to each image's best bin
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

    log_likelihood: log p(image | bin), (n, N); prior: (N,), where it starts: bins with zero mass stay at zero; shape:
    of the grid of bins, in C order; tol: it stops where an iteration gains less in log-likelihood over all images.
    """
    likelihood = _scaled(log_likelihood) * (prior > 0)
    counts = np.ones((1, len(likelihood)))
    weights, values, n_iter = _expectation_maximization(likelihood, counts, prior, shape, max_iter, tol)
    return MixtureFit(_without_negligible(weights)[0], float(values[0]), abs(int(n_iter[0])), bool(n_iter[0] > 0))


def resampled(n: int, n_resamples: int, rng: np.random.Generator, size: int | None = None) -> Float:
    """Return how often each of n images is in each bootstrap resample, of n images or so many, (n_resamples, n)."""
    return rng.multinomial(n if size is None else size, np.full(n, 1 / n), size=n_resamples).astype(np.float64)


def bootstrap_mixtures(
    log_likelihood: Float,
    counts: Float,
    prior: Float,
    *,
    shape: tuple[int, ...] | None = None,
    max_iter: int = MAX_ITER,
) -> Float:
    """Return the mixture weights of bootstrap resamples of the images, (n_resamples, N); counts: from `resampled`.

    Each row hangs on its own resample only, to the last bit, however many there are.
    """
    likelihood = _scaled(log_likelihood) * (prior > 0)
    whole = np.ones((-(-len(counts) // BATCH) * BATCH, len(likelihood)))  # batches: products of matrices of one shape
    whole[: len(counts)] = counts
    batches = [
        _expectation_maximization(likelihood, whole[k : k + BATCH], prior, shape, max_iter, LEAST_GAIN)[0]
        for k in range(0, len(whole), BATCH)
    ]
    return _without_negligible(np.concatenate(batches)[: len(counts)])


def _without_negligible(weights: Float) -> Float:
    """Set to zero what the iteration has all but removed; rows keep their sum of one."""
    weights = np.where(weights < NEGLIGIBLE / weights.shape[1], 0.0, weights)
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
) -> tuple[Float, Float, NDArray[np.int64]]:
    """Iterate for several resamples side by side, each until it stops by itself.

    likelihood (n, N), counts (B, n) -> weights (B, N), mean log-likelihoods and numbers of iterations (B,), negative
    where those did not suffice.
    """
    weights = np.tile(prior / prior.sum(), (len(counts), 1))
    totals = counts.sum(axis=1)
    share = INDEPENDENCE / (INDEPENDENCE + totals[:, None])  # of the product of the marginals
    found, values = np.empty_like(weights), np.full(len(counts), -np.inf)
    n_iter = np.full(len(counts), -max_iter)
    with single_blas_thread():
        for iteration in range(1, max_iter + 1):
            density = np.maximum(weights @ likelihood.T, 1e-300)  # (B, n)
            new = (counts * np.log(density)).sum(axis=1) / totals
            marginals = None if shape is None else _product_of_marginals(weights, shape)
            weights *= (counts / density) @ likelihood
            weights /= weights.sum(axis=1, keepdims=True)
            if marginals is not None:
                weights += share * (marginals - weights)
            running, gains = n_iter < 0, (new - values) * totals
            values[running] = new[running]
            stopped = running & (gains < tol) & (iteration > 1)
            found[stopped], n_iter[stopped] = weights[stopped], iteration
            if (n_iter > 0).all():
                return found, values, n_iter
    found[n_iter < 0] = weights[n_iter < 0]
    return found, values, n_iter


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
