"""Slow oracles in plain NumPy for bin assignment, moments, Fréchet distances and diversity."""

import numpy as np


def moments(x, weights=None):
    x = np.asarray(x, np.longdouble)
    weights = np.ones(len(x), np.longdouble) if weights is None else np.asarray(weights, np.longdouble)
    mean = (weights[:, None] * x).sum(axis=0) / weights.sum()
    deviation = x - mean
    return mean, np.einsum("i,ij,ik->jk", weights, deviation, deviation) / weights.sum()


def label_moments(x, labels, n_bins, weights=None):
    x = np.asarray(x)
    weights = np.ones(len(x)) if weights is None else np.asarray(weights)
    mean, cov = np.zeros((n_bins, x.shape[1])), np.zeros((n_bins, x.shape[1], x.shape[1]))
    for label in np.unique(labels):
        members = labels == label
        if weights[members].sum() > 0:
            mean[label], cov[label] = moments(x[members], weights[members])
    return mean, cov


def frechet(mean1, cov1, mean2, cov2):
    """Through symmetric square roots: right to about the root of the rounding error where singular."""
    values, vectors = np.linalg.eigh(cov2)
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ cov1 @ root), 0)).sum()
    return ((np.asarray(mean1) - mean2) ** 2).sum() + np.trace(cov1) + np.trace(cov2) - 2 * cross


def frechet_from_factors(mean1, factor1, mean2, factor2):
    """For covariances factor @ factor.T, known to full precision however singular."""
    norm = np.linalg.svd(factor1.T @ factor2, compute_uv=False).sum()
    return ((np.asarray(mean1) - mean2) ** 2).sum() + (factor1**2).sum() + (factor2**2).sum() - 2 * norm


def squared_distances(x, y):
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    total = np.zeros((len(x), len(y)))
    for k in range(x.shape[1]):
        total += (x[:, None, k] - y[None, :, k]) ** 2
    return total


def nearest_center(samples, centers):
    return squared_distances(samples, centers).argmin(axis=1)


def farthest_points(x, k, start=0):
    chosen = [start]
    nearest = squared_distances(x, x[[start]])[:, 0]
    while len(chosen) < k:
        nearest[chosen[-1]] = -1  # none comes twice
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, squared_distances(x, x[[chosen[-1]]])[:, 0])
    return np.array(chosen[:k])
