"""The error that a set of photographs shares: unlike content is read with one common error, in all photographs alike.

Photographs of one set (a camera, a place, a scanner) look alike, and no fit has seen their like. How far off such a set
is read is found by leaving groups of clean images that look alike out of what is learned, one at a time: what readings
of different images of a group then have in common, no number of photographs averages away. It is a variance component,
that of the groups' means (a random effect), in units of the variance of one patch.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from fastdeg._types import Float
from fastdeg.images.inference.likelihood import LARGEST_DEVIATION, Likelihood, Polynomial, pairs_alike
from fastdeg.images.inference.pooling import group_means
from fastdeg.images.inference.regression import Regression

LEAST_IMAGES = 16  # clean images from which on groups of them can be left out
N_GROUPS = 8
N_LOOKS = 12  # components, what the degradations do to them taken out, whose means say what an image looks like
N_ERRORS = 8  # errors that stand for those that a set may have


def common_deviations(
    a: Float,
    targets: Float,
    z: Float,
    images: NDArray[np.int64],
    likelihood: Likelihood,
    rng: np.random.Generator,
    threads: int,
) -> Float | None:
    """Return the standard deviations of the error that a set shares, in those of one patch, (m,), of each target.

    None where clean images are too few to tell.

    a: components that the regression learns from, (n, C); z: the parameters; images: which image each patch is of.
    """
    _, owners = np.unique(images, return_inverse=True)
    n_images = int(owners.max()) + 1
    if n_images < LEAST_IMAGES:
        return None
    from sklearn.cluster import KMeans

    smooth = z if likelihood.coordinates is None else likelihood.coordinates.smooth(z)
    basis = Polynomial(likelihood.mean_exponents)(smooth)

    def left(x: Float) -> Float:
        """Return x less what the degradations explain of it."""
        return np.asarray(x - basis @ np.linalg.lstsq(basis, x, rcond=None)[0])

    looks = group_means(left(a[:, :N_LOOKS]), owners, n_images)
    looks /= np.maximum(looks.std(axis=0), 1e-12)
    groups = KMeans(N_GROUPS, n_init=4, random_state=0).fit_predict(looks)[owners].astype(np.int64)
    _, unseen = Regression.fit(a, targets, groups, rng, threads)
    scores = np.clip(left(unseen) / likelihood.deviation(z), -LARGEST_DEVIATION, LARGEST_DEVIATION)
    variances = [(scores[i] * scores[j]).mean(axis=0) for i, j in pairs_alike(smooth, groups, owners)]
    return np.sqrt(np.maximum(np.mean(variances, axis=0), 0)) if variances else None


def possible_errors(m: int) -> Float:
    """Return errors that stand for those that a set may have in m targets, in standard deviations, (N_ERRORS, m).

    Quantiles of Student's distribution, of whose width as many groups tell as there are, brought to its variance, in an
    order of its own for each target: a Latin hypercube.
    """
    quantiles = stdtrit(N_GROUPS, (np.arange(N_ERRORS) + 0.5) / N_ERRORS)
    quantiles *= np.sqrt(N_GROUPS / (N_GROUPS - 2) / np.square(quantiles).mean())
    rng = np.random.default_rng(0)
    return np.stack([rng.permutation(quantiles) for _ in range(m)], axis=1)
