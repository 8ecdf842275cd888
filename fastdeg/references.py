"""Choice of representative, diverse reference images, and what a choice covers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdeg import _checks
from fastdeg._threads import signals_as_raised, thread_count
from fastdeg._types import ByValue, Float
from fastdeg.distances.frechet import frechet_of_factors
from fastdeg.distribution import BinnedDistribution
from fastdeg.kernels.measure.diversity import distance_to_set, most_diverse, update_nearest
from fastdeg.kernels.measure.farthest import bucket_steps, lazy_steps, make_buckets

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FEW_AXES = 8  # up to which boxes around buckets of points tell them apart
LARGEST = 1e145  # whose square can be summed up
PLANE_STEPS = 6  # of the subspace iteration: a picture needs no more
WORK_PER_CALL = 2e8  # elementary operations before Python gets to see an interrupt: well under 0.3 s


class Coverage(NamedTuple):
    """Mean and maximum distance of all points to their nearest chosen one."""

    mean: float
    max: float


@dataclass(frozen=True, eq=False)
class ReferenceSelection(ByValue):
    """Reference images that `select_references` chose.

    Attributes
    ----------
    indices : (k,) int64 array
        Rows of the embeddings, in the order of choice.
    bins : (k,) int64 array
        Bin of each.
    diversity : float
        Mean distance of a chosen image to its nearest other chosen ones (0 for a single one).
    coverage : Coverage
        Mean and maximum distance of all images to their nearest reference.
    moment_distance : float
        Fréchet distance between the Gaussians of the chosen and of all embeddings.
    positions : (n, 2) array
        All embeddings in the plane of their first two principal components, for pictures.
    """

    indices: NDArray[np.int64]
    bins: NDArray[np.int64]
    diversity: float
    coverage: Coverage
    moment_distance: float
    positions: Float

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw all images in the plane of their first two principal components, the references with their rank.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            A new figure by default.

        Returns
        -------
        Axes
        """
        from fastdeg import plotting

        return plotting.references(self, ax)

    def _repr_html_(self) -> str:
        from fastdeg import plotting

        rows = [
            (
                "references",
                f"{len(self.indices)} of {len(self.positions)} images, in {len(set(self.bins.tolist()))} bins",
            ),
            ("diversity", f"{self.diversity:.4g}"),
            ("distance to the nearest reference", f"mean {self.coverage.mean:.4g}, at most {self.coverage.max:.4g}"),
            ("moment distance", f"{self.moment_distance:.4g}"),
        ]
        return plotting.card("ReferenceSelection", rows, lambda figure: self.plot(figure.subplots()))


@signals_as_raised()
def farthest_points(x: ArrayLike, k: int, *, start: int = 0, threads: int | None = None) -> NDArray[np.int64]:
    """Farthest-point traversal: each next point is the one farthest from those already chosen.

    Parameters
    ----------
    x : (n, d) array
        Points; distances are euclidean, in float64.
    k : int
        How many to choose, at most n.
    start : int
        Index of the first point.
    threads : int, optional
        Accepted as everywhere; each choice depends on the last one, and all are made by one thread.

    Returns
    -------
    (k,) int64 array
        Different indices in the order of choice; of points equally far, the lowest index.

    Raises
    ------
    ValueError
        Where the shape is wrong, a number is not finite, or ``k`` or ``start`` is out of range.

    See Also
    --------
    select_references : Diverse and representative of a target.
    fastdeg.references.coverage : How well the chosen points cover the others.

    References
    ----------
    Gonzalez, "Clustering to minimize the maximum intercluster distance", Theoret. Comput. Sci. 38 (1985): the largest
    distance to the chosen points is at most twice the smallest possible one.

    Examples
    --------
    >>> import fastdeg as fd
    >>> fd.farthest_points([[0.0], [1.0], [5.0], [9.0]], 3)
    array([0, 3, 2])
    """
    x = _checks.float_array(x, "x", ("n", "d"), keep_float32=True)
    n, n_axes = x.shape
    thread_count(threads, 0)  # refuses what is no number of threads
    if (k := _checks.integer(k, "k", 0)) > n:
        raise ValueError(f"k: expected at most the {n} points of x, got {k}")
    if n_axes == 0:
        raise ValueError("x: expected at least one axis, got shape (n, 0)")
    x, chosen = _in_ordinary_numbers(x), np.empty(k, np.int64)
    if k == 0:
        return chosen
    chosen[0] = _checks.integer(start, "start", 0, n - 1)
    nearest = np.full(n, np.inf)
    work = n * n_axes
    steps = max(1, int(WORK_PER_CALL / work))
    if n_axes <= FEW_AXES:
        buckets = make_buckets(x)
        n_buckets = buckets[2][0].shape[1]
        best, best_index = np.empty(n_buckets), np.empty(n_buckets, np.int64)
        for step in range(1, k, steps):
            bucket_steps(x, buckets, chosen, step, min(k, step + steps), nearest, best, best_index)
        return chosen
    seen = np.zeros(n, np.int64)
    for step in range(1, k, steps):
        lazy_steps(x, chosen, step, min(k, step + steps), nearest, seen)
    return chosen


def _in_ordinary_numbers(x: NDArray[Any]) -> NDArray[Any]:
    """Return points in a unit in which their squares are ordinary numbers: which one is farther does not hang on it."""
    largest = max(float(x.max(initial=0.0)), -float(x.min(initial=0.0)))
    if largest == 0 or 1 / LARGEST < largest < LARGEST:
        return x
    return np.asarray(np.ldexp(np.asarray(x, np.float64), -math.frexp(largest)[1]))


def coverage(x: ArrayLike, indices: ArrayLike, *, threads: int | None = None) -> Coverage:
    """Mean and maximum distance of all points to their nearest chosen one.

    Parameters
    ----------
    x : (n, d) array
    indices : (k,) integer array
        Rows of the chosen points, at least one.
    threads : int, optional

    Raises
    ------
    ValueError
        Where there are no points or none is chosen, an index is out of range, or a distance overflows.

    Examples
    --------
    >>> from fastdeg.references import coverage
    >>> coverage([[0.0], [1.0], [5.0]], [0, 2])
    Coverage(mean=0.333..., max=1.0)
    """
    x = _checks.float_array(x, "x", ("n", "d"), keep_float32=True)
    if len(x) == 0:
        raise ValueError(f"x: expected at least one point, got shape {x.shape}")
    chosen = _checks.index_array(indices, "indices", ("k",), len(x))
    if chosen.size == 0:
        raise ValueError("indices: expected at least one chosen point, got none")
    distances = np.empty(len(x))
    distance_to_set(x, chosen, distances, threads=threads, work=x.size * len(chosen))
    if not distances.max() < np.inf:
        raise ValueError("x: expected points whose distances are within the floating-point range, got farther ones")
    return Coverage(float(distances.mean()), float(distances.max()))


def select_references(
    embeddings: ArrayLike,
    labels: ArrayLike,
    target: BinnedDistribution,
    *,
    crafted: BinnedDistribution | None = None,
    n_references: int = 10,
    n_neighbors: int = 5,
    threads: int | None = None,
) -> ReferenceSelection:
    """Choose reference images that represent the target distribution and differ from each other.

    Each bin gets its share of the references (largest remainders of ``n_references`` times its target mass). Bins are
    served by descending target mass. A bin's candidates are the images of the nearest bins that have images left and
    mass in the crafted distribution (bins without such mass serve last); among them, one after the other, the image is
    taken whose mean distance to its ``n_neighbors`` nearest already chosen ones is largest. The very first is the
    candidate nearest to the mean of all embeddings.

    Parameters
    ----------
    embeddings : (n, D) array
        Features of the candidate images; distances are euclidean.
    labels : (n,) integer array
        Bin of each image.
    target : BinnedDistribution
        What the references shall represent.
    crafted : BinnedDistribution, optional
        Distribution over the same bins that limits where images come from; the target by default.
    n_references, n_neighbors : int
        How many to choose, at most n, and how many neighbours count for the score.
    threads : int, optional

    Returns
    -------
    ReferenceSelection

    Raises
    ------
    ValueError
        Where shapes disagree, a number is not finite or its square too large, a label is out of range, the two
        distributions have different bins, or there are fewer images than references.
    TypeError
        Where labels are not integers, or a distribution is not a `BinnedDistribution`.

    See Also
    --------
    farthest_points : Diverse points, without a target.

    Examples
    --------
    >>> import fastdeg as fd
    >>> bins = fd.CentroidBins([[0.0], [1.0]])
    >>> target = fd.BinnedDistribution(bins, [0.5, 0.5])
    >>> fd.select_references([[0.0], [0.2], [5.0], [5.1]], [0, 0, 1, 1], target, n_references=2).indices
    array([1, 3])
    """
    x = _checks.float_array(embeddings, "embeddings", ("n", "D"), keep_float32=True, largest=LARGEST)
    n, n_axes = x.shape
    if n == 0 or n_axes == 0:
        raise ValueError(f"embeddings: expected at least one image and one feature, got shape ({n}, {n_axes})")
    for name, distribution in (("target", target), ("crafted", target if crafted is None else crafted)):
        if not isinstance(distribution, BinnedDistribution):
            raise TypeError(f"{name}: expected a BinnedDistribution, got {type(distribution).__name__}")
    bin_of = _checks.index_array(labels, "labels", (n,), target.n_bins, hint=": one for each row of embeddings")
    support = target if crafted is None else crafted
    if support.bins != target.bins:
        raise ValueError(f"crafted: expected the bins of target, {target.bins!r}, got {support.bins!r}")
    n_references = _checks.integer(n_references, "n_references", 1, n)
    n_neighbors = min(_checks.integer(n_neighbors, "n_neighbors", 1), max(1, n_references - 1))
    _checks.memory(8.0 * n * n_neighbors, "n_neighbors")

    mean = x.mean(axis=0, dtype=np.float64)
    indices = np.empty(n_references, np.int64)
    nearest = np.full((n, n_neighbors), np.inf)
    taken = np.zeros(n, np.bool_)
    images_left = np.bincount(bin_of, minlength=target.n_bins)
    position = target.bins.standardized_centers()
    quotas = largest_remainders(target.pmf, n_references)
    n_chosen = 0
    for bin_index in np.lexsort((np.arange(target.n_bins), -target.pmf)):
        if quotas[bin_index] == 0:
            continue
        away = np.sqrt(((position - position[bin_index]) ** 2).sum(axis=1))
        for _ in range(quotas[bin_index]):
            candidates = _candidates(bin_of, taken, images_left, support.pmf > 0, away)
            if n_chosen == 0:
                offset = x[candidates] - mean
                index = candidates[np.argmin((offset**2).sum(axis=1))]
            else:
                index = candidates[most_diverse(candidates, taken, nearest, n_chosen)]
            update_nearest(x, index, n_chosen, nearest, threads=threads, work=x.size)
            taken[index] = True
            images_left[bin_of[index]] -= 1
            indices[n_chosen] = index
            n_chosen += 1
    return ReferenceSelection(
        indices,
        bin_of[indices],
        _diversity(x[indices], n_neighbors),
        Coverage(float(nearest[:, 0].mean()), float(nearest[:, 0].max())),
        _moment_distance(x[indices] - mean, centred := x - mean),
        _principal_plane(centred),
    )


def largest_remainders(shares: ArrayLike, total: int) -> NDArray[np.int64]:
    """Whole numbers with the given total, proportional to the shares (Hare quota; ties to the lowest index).

    Examples
    --------
    >>> from fastdeg.references import largest_remainders
    >>> largest_remainders([0.5, 0.3, 0.2], 4)
    array([2, 1, 1])
    """
    shares = _checks.masses(shares, "shares")
    ideal = shares / shares.sum() * _checks.integer(total, "total", 0)
    whole = np.floor(ideal).astype(np.int64)
    missing = total - int(whole.sum())
    order = np.argsort(-(ideal - whole), kind="stable")
    whole[order[:missing]] += 1
    return whole


def _candidates(
    bin_of: NDArray[np.int64],
    taken: NDArray[np.bool_],
    images_left: NDArray[np.int64],
    supported: NDArray[np.bool_],
    away: Float,
) -> NDArray[np.int64]:
    """Free images of the nearest occupied bins, all of those equally near."""
    usable = (images_left > 0) & supported
    if not usable.any():
        usable = images_left > 0
    nearest_bins = usable & (away <= away[usable].min() * (1 + 1e-12))
    return np.flatnonzero(nearest_bins[bin_of] & ~taken)


def _diversity(chosen: NDArray[Any], n_neighbors: int) -> float:
    count = min(n_neighbors, len(chosen) - 1)
    if count == 0:
        return 0.0
    distances = np.sqrt(((chosen[:, None].astype(np.float64) - chosen[None]) ** 2).sum(axis=2))
    np.fill_diagonal(distances, np.inf)
    return float(np.sort(distances, axis=1)[:, :count].mean())


def _moment_distance(chosen: Float, everything: Float) -> float:
    """Squared Fréchet distance between the moments of some rows and those of all, whose mean is zero.

    The centred rows are factors of the covariances, so that these, of many axes, need not be formed.
    """
    mean = chosen.mean(axis=0)
    factors = [rows / np.sqrt(len(rows)) for rows in (chosen - mean, everything)]
    factors = [np.linalg.qr(rows, mode="r") if len(chosen) > rows.shape[1] else rows for rows in factors]
    return frechet_of_factors(mean, *factors)


def _principal_plane(centred: Float) -> Float:
    """Coordinates of centred rows, (n, D), in the plane of their first two principal components, (n, 2).

    By subspace iteration: a few products with the rows, where the covariance of many features would be large.
    """
    n_axes = centred.shape[1]
    plane = np.linalg.qr(np.random.default_rng(0).standard_normal((n_axes, min(2, n_axes))))[0]
    for _ in range(PLANE_STEPS):
        scores = centred @ plane
        plane = np.linalg.qr(centred.T @ (scores / (np.abs(scores).max() or 1.0)))[0]
    within = np.linalg.svd(centred @ plane, full_matrices=False)
    return np.pad(within[0] * within[1], ((0, 0), (0, 2 - min(2, *centred.shape))))
