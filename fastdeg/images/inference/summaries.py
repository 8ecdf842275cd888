"""Summary statistics: what two regressions on components of the features say of the parameters, and their likelihood.

Fearnhead and Prangle, Constructing summary statistics for approximate Bayesian computation, 2012.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdeg._checks import mask
from fastdeg._types import ByValue, Float
from fastdeg.images.inference.arrays import Arrays
from fastdeg.images.inference.coordinates import Coordinates
from fastdeg.images.inference.likelihood import Likelihood
from fastdeg.images.inference.network import Network
from fastdeg.images.inference.regression import Components, Regression
from fastdeg.images.inference.set_errors import common_deviations

PIECE = 250  # photographs
N_LEADING = 40  # components that all but the network use


@dataclass(frozen=True)
class Summarizer(Arrays):
    """From features to summaries (the mean of two regressions), and the summaries' density given the parameters."""

    components: Components
    regression: Regression
    network: Network
    likelihood: Likelihood

    @classmethod
    def fit(
        cls,
        components: Components,
        a: Float,
        z: Float,
        groups: NDArray[np.int64],
        folds: NDArray[np.int64],
        by_lower_half: NDArray[np.bool_],
        rng: np.random.Generator,
        threads: int,
        coordinates: Coordinates | None = None,
    ) -> tuple[Summarizer, Float]:
        """Learn from the components a of synthetic patches; return also what is said of each one unseen, (n, m)."""
        targets = z if coordinates is None else coordinates.targets(z)
        regression, s = Regression.fit(a[:, :N_LEADING], targets, folds, rng, threads)
        network, other = Network.fit(a, targets, folds, int(rng.integers(2**31)), threads)
        s = (s + other) / 2
        likelihood = Likelihood.fit(s, z, groups, by_lower_half, coordinates)
        own_rng = rng.spawn(1)[0]  # what else is drawn stays the same
        common = common_deviations(a[:, :N_LEADING], targets, z, groups, likelihood, own_rng, threads)
        return cls(components, regression, network, replace(likelihood, common=common)), s

    def __call__(self, features: NDArray[Any]) -> Float:
        """Return the regressions' word on each patch, (n, m)."""
        a = self.components(features)
        return (self.regression(a[:, :N_LEADING]) + self.network(a)) / 2


@dataclass(frozen=True, eq=False)
class Summaries(ByValue):
    """What is said of photographs."""

    values: Float  # (n, m), of each one's patches together
    n_patches: NDArray[np.int64]
    quantized: NDArray[np.bool_]  # those that show the JPEG quality by which they were quantised, which was used too
    known: Float  # (n,), JPEG quality that the file tells and the pixels bear out, NaN where none is

    def pieces(self) -> Iterator[Summaries]:
        """Return those of a few photographs at a time: what is computed of each and all bins takes much room."""
        for first in range(0, len(self.values), PIECE):
            yield self.of(slice(first, first + PIECE))

    @classmethod
    def joined(cls, parts: Sequence[Summaries]) -> Summaries:
        """Return those of the photographs of several parts."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))

    def of(self, which: NDArray[np.bool_] | slice) -> Summaries:
        """Return those of some of the photographs."""
        return Summaries(*(getattr(self, field.name)[which] for field in fields(self)))

    @property
    def without_comb(self) -> NDArray[np.bool_]:
        """Which photographs show no quantisation, and are not known to have been compressed."""
        return ~self.quantized & np.isnan(self.known)


@dataclass(frozen=True, eq=False)
class SummarizedImages(ByValue):
    """What `DegradationEstimator.summarize` returns and its other methods take in place of images.

    A few hundred numbers for each image, however large it is.

    Attributes
    ----------
    summaries : Summaries
    p_values : ndarray, shape (n,)
        Probability that an image from inside the space is as unlike its images.
    reasons : ndarray of str, shape (n,)
        Why, where that is improbable.
    means, covariances : ndarray, shape (n, D) and (n, D, D)
        Of the patches of each image in the discriminant feature space.
    """

    summaries: Summaries
    p_values: Float
    reasons: NDArray[np.object_]
    means: Float
    covariances: Float
    model: Any = field(repr=False, compare=False)  # of the estimator that can take them

    def __len__(self) -> int:
        return len(self.p_values)

    def __repr__(self) -> str:
        return f"SummarizedImages({len(self)} images, {self.summaries.n_patches.sum()} patches)"

    def of(self, which: NDArray[np.bool_]) -> SummarizedImages:
        """Return some of the images."""
        which = mask(which, "which", len(self))
        arrays = {name: getattr(self, name)[which] for name in _OF_EACH}
        return replace(self, summaries=self.summaries.of(which), **arrays)

    @property
    def moments(self) -> tuple[Float, Float]:
        """Mean (D,) and covariance (D, D) of all patches, where each image weighs the same, however many it has."""
        mean = self.means.mean(axis=0)
        left = self.means - mean
        return mean, self.covariances.mean(axis=0) + left.T @ left / len(left)


_OF_EACH = ("p_values", "reasons", "means", "covariances")


def joined(parts: Sequence[SummarizedImages]) -> SummarizedImages:
    """Return the images of several parts, read by one estimator."""
    arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _OF_EACH}
    return replace(parts[0], summaries=Summaries.joined([part.summaries for part in parts]), **arrays)
