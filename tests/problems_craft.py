"""Random crafting problems, as arguments of `craft`."""

import warnings

import numpy as np
from scipy.spatial.distance import cdist

import fastdeg as fd

LARGE = fd.GridBins(fd.DegradationSpace.preset("dense"))
METRICS = ("euclidean", "sqeuclidean", "cityblock", "chebyshev", "random")


def random_problem(rng, sizes=(2, 3, 5, 20, 60, 150, 300, 600)):
    """Weights from 0.01 to 100, tau from 0 to 100, any rank, duplicates, one-bin targets, bounds on a quarter."""
    n, d = int(rng.choice(sizes)), int(rng.choice([1, 2, 3, 5, 8]))
    tau = float(rng.choice([0, 1e-3, 1e-2, 0.1, 1, 10, 100]))
    metric = str(rng.choice(METRICS))
    frechet_weight = float(rng.choice([0, 0.01, 1, 1, 1, 100]))
    wasserstein_weight = float(rng.choice([0, 0.01, 1, 1, 10, 100]))
    means = rng.random((n, d))
    if rng.random() < 0.15:  # duplicates
        means = means[rng.integers(0, max(1, n // 2), n)]
    kind = rng.integers(4)
    if kind == 0:
        covs = np.zeros((n, d, d))
    elif kind == 1:
        covs = np.broadcast_to(np.eye(d) * rng.choice([1e-4, 0.01]), (n, d, d)).copy()
    else:
        rank = int(rng.integers(1, d + 1))
        roots = 0.1 * rng.standard_normal((n, d, rank))
        covs = roots @ roots.transpose(0, 2, 1)
    if rng.random() < 0.1:
        q = np.eye(n)[rng.integers(n)]
    else:
        q = rng.dirichlet(np.full(n, rng.choice([0.1, 1.0])))
        q[q < 1e-12] = 0
        q /= q.sum()
    prior = np.maximum(rng.dirichlet(np.ones(n)), 1e-9)
    if rng.random() < 0.2 and n > 3:
        prior[rng.random(n) < 0.3] = 0
        prior[0] = 0.1
    prior /= prior.sum()
    rank = int(rng.integers(0, d + 1))
    sample = rng.normal(0.4, 0.2, (50, max(rank, 1))) @ rng.standard_normal((max(rank, 1), d))
    if rng.random() < 0.5:  # reachable, or nearly
        sample = 0.4 + 0.1 * (sample - sample.mean(axis=0))
    mean, cov = sample.mean(axis=0), np.atleast_2d(np.cov(sample.T, ddof=0)) * (rank > 0)
    lower = upper = None
    if rng.random() < 0.25:
        tightness = float(rng.choice([0.3, 0.9, 0.999]))
        lower, upper = prior * tightness, np.minimum(1, prior / tightness)
    bins = fd.CentroidBins(means, covs)
    arguments = {
        "target": fd.BinnedDistribution(bins, q),
        "prior": fd.BinnedDistribution(bins, prior),
        "target_moments": (mean, cov),
        "generalization": tau,
        "wasserstein_weight": wasserstein_weight,
        "frechet_weight": frechet_weight,
        "lower": lower,
        "upper": upper,
    }
    if metric == "random":
        arguments["cost"] = rng.random((n, n))
    else:
        arguments["metric"] = metric
    return arguments


def ground_costs(arguments):
    if "cost" in arguments:
        return arguments["cost"]
    centers = arguments["target"].bins.centers
    return cdist(centers, centers, arguments["metric"])


def two_blobs(n, d=3, seed=0):
    """Samples in the unit cube around two centres."""
    rng = np.random.default_rng(seed)
    first, second = np.array([0.25, 0.3, 0.35, 0.3])[:d], np.array([0.65, 0.7, 0.55, 0.6])[:d]
    x = np.where(rng.random(n)[:, None] < 0.6, rng.normal(first, 0.08, (n, d)), rng.normal(second, 0.10, (n, d)))
    return np.clip(x, 0, 0.999999)


def tiny_problem(rng):
    """Two or three bins with moments of their own: of any rank, duplicates, none or little spread, far away, graded."""
    arguments = random_problem(rng, sizes=(2, 3))
    n, d = arguments["target"].n_bins, int(rng.choice([1, 2, 3, 5]))
    scales = 10.0 ** rng.uniform(-3, 0, d) if rng.random() < 0.2 else np.ones(d)
    means = rng.standard_normal((n, d)) * scales
    if rng.random() < 0.2:
        means = np.rint(2 * means)
    if rng.random() < 0.1:
        means[-1] = means[0]
    if rng.random() < 0.1:
        means += 100
    rank = int(rng.integers(0, d + 1))
    roots = rng.standard_normal((n, d, rank)) * scales[:, None] * 10.0 ** rng.uniform(-3, 0)
    if rng.random() < 0.3:
        roots[1:] = roots[0]
    covs = roots @ roots.transpose(0, 2, 1)
    if rng.random() < 0.5:  # those of a mixture of the bins, or of one that is nearly
        weights = rng.dirichlet(np.full(n, 0.5))
        mean = weights @ means
        away = means - mean
        cov = np.einsum("i,iab->ab", weights, covs) + (away * weights[:, None]).T @ away
        mean = mean + rng.choice([0, 0, 1e-6, 0.1]) * rng.standard_normal(d)
    else:
        root = rng.standard_normal((d, int(rng.integers(1, d + 1)))) * scales[:, None]
        mean, cov = means[0] + rng.standard_normal(d), root @ root.T
    return arguments | {"bin_moments": (means, covs), "target_moments": (mean, (cov + cov.T) / 2)}


def craft(**options):
    """Craft without the warnings about extremes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return fd.craft(**options)


def few_bins(bins, masses):
    """A target of given masses in some bins."""
    pmf = np.zeros(bins.n_bins)
    pmf[list(masses)] = list(masses.values())
    return fd.BinnedDistribution(bins, pmf)
