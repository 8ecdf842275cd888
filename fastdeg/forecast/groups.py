"""Groups of bins near each other: thousands of bins share the moments of a few."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fastdeg._types import Float
from fastdeg.bins import Bins

MOST_BINS = 150  # that have moments of their own


class BinGroups:
    """A partition of bins; within a group the mass is taken to be spread as the bins' volumes are.

    Parameters
    ----------
    labels : ndarray of int, shape (N,)
        Group of each bin.
    volumes : ndarray, shape (N,)
    """

    def __init__(self, labels: NDArray[np.int64], volumes: Float) -> None:
        self.labels, self.volumes = labels, volumes
        self.n_groups = int(labels.max()) + 1

    @classmethod
    def of(cls, bins: Bins) -> BinGroups:
        """Return a group for each bin, or groups by k-means on the standardised axes where there are many."""
        if bins.n_bins <= MOST_BINS:
            return cls(np.arange(bins.n_bins), bins.volumes)
        from sklearn.cluster import KMeans

        means = KMeans(MOST_BINS, n_init=1, random_state=0)
        labels = means.fit_predict(bins.standardized_centers(), sample_weight=bins.volumes)
        return cls(np.unique(labels, return_inverse=True)[1], bins.volumes)

    def gather(self, pmf: Float) -> Float:
        """Return the mass of each group."""
        return np.bincount(self.labels, pmf, self.n_groups).astype(np.float64)

    def spread(self, by_group: Float) -> Float:
        """Return each bin's value: that of its group."""
        return by_group[self.labels]

    def draw(self, bins: Bins, group: int) -> Callable[[int, np.random.Generator], Float]:
        """Return a function that draws degradations within a group of bins."""
        members = np.flatnonzero(self.labels == group)
        shares = self.volumes[members] / self.volumes[members].sum()

        def sample(n: int, rng: np.random.Generator) -> Float:
            return bins.sample_within(members[rng.choice(len(members), n, p=shares)], rng)

        return sample

    def error(self, bins: Bins, by_group: Float) -> float:
        """Return how far a smooth function through the groups' values is from them in the bins, as root mean square."""
        if self.n_groups == bins.n_bins:
            return 0.0
        from scipy.interpolate import RBFInterpolator

        x = bins.standardized_centers()
        masses = self.gather(self.volumes)
        means = np.stack([np.bincount(self.labels, self.volumes * column, self.n_groups) for column in x.T], axis=1)
        smooth = RBFInterpolator(means / masses[:, None], by_group, kernel="thin_plate_spline")(x)
        return float(np.sqrt(self.volumes @ (smooth - by_group[self.labels]) ** 2))
