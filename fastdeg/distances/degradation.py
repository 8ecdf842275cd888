"""The degradation distance between two distributions over the same bins."""

from __future__ import annotations

import numpy as np

from fastdeg import _checks
from fastdeg._types import Float
from fastdeg.bins import GridBins
from fastdeg.distances.frechet import frechet_of_factors
from fastdeg.distances.transport import emd, emd_grid
from fastdeg.distribution import BinnedDistribution
from fastdeg.transport.metrics import find


def degradation_distance(
    p: BinnedDistribution,
    q: BinnedDistribution,
    *,
    wasserstein_weight: float = 1.0,
    frechet_weight: float = 1.0,
    metric: str | None = None,
) -> float:
    """Return w_F FD² + w_W W: squared Fréchet distance of the mixtures' moments plus earth mover's distance.

    Both in standardised coordinates (each axis' range to [0, 1]; centroid bins without a space as given), the earth
    mover's distance between the pmfs over the bin centres: what `craft` minimises, for the same metric.

    Parameters
    ----------
    p, q : BinnedDistribution
        On the same bins.
    wasserstein_weight, frechet_weight : float
        w_W and w_F, not negative.
    metric : {"euclidean", "sqeuclidean", "cityblock", "chebyshev"}, optional
        Ground metric between bin centres: by default "cityblock" on grids and "euclidean" on centroids, as in `craft`.

    Returns
    -------
    float
        Zero for p = q, symmetric.

    Raises
    ------
    TypeError, ValueError
        When p or q is not a distribution, the bins differ or a weight is negative.

    See Also
    --------
    craft : Minimises it, with a pull towards a prior.
    emd, frechet_distance : Its two parts.

    Examples
    --------
    >>> import fastdeg as fd
    >>> bins = fd.GridBins(fd.DegradationSpace([fd.Axis.levels("downsampling", [2, 4])]))
    >>> p, q = fd.BinnedDistribution(bins, [1.0, 0.0]), fd.BinnedDistribution(bins, [0.0, 1.0])
    >>> fd.degradation_distance(p, q), fd.degradation_distance(p, p)
    (2.0, 0.0)
    """
    for name, value in (("p", p), ("q", q)):
        if not isinstance(value, BinnedDistribution):
            raise TypeError(f"{name}: expected a BinnedDistribution, got {type(value).__name__}")
    if p.bins != q.bins:
        raise ValueError("q: expected the bins of p, got other ones")
    wasserstein_weight = _checks.number(wasserstein_weight, "wasserstein_weight", 0)
    frechet_weight = _checks.number(frechet_weight, "frechet_weight", 0)
    bins = p.bins
    distance = 0.0
    if frechet_weight > 0:
        scales = bins.scales()
        (mean_p, cov_p), (mean_q, cov_q) = p.moments(), q.moments()
        squares = scales[:, None] * scales
        factors = _factor(cov_p / squares), _factor(cov_q / squares)
        distance += frechet_weight * frechet_of_factors((mean_p - mean_q) / scales, *factors)
    metric = find(metric, "cityblock" if isinstance(bins, GridBins) else "euclidean").name
    if wasserstein_weight > 0 and isinstance(bins, GridBins) and metric == "cityblock":
        along = [(axis.centers - axis.low) / s for axis, s in zip(bins.space.axes, bins.scales(), strict=True)]
        a, b = p.pmf.reshape(bins.space.shape), q.pmf.reshape(bins.space.shape)
        distance += wasserstein_weight * emd_grid(a, b, spacing=along).value
    elif wasserstein_weight > 0:
        sources, sinks = p.pmf > 0, q.pmf > 0
        x = bins.standardized_centers()
        result = emd(p.pmf[sources], q.pmf[sinks], x[sources], x[sinks], metric=metric)
        distance += wasserstein_weight * float(result.value)
    return distance


def _factor(covariance: Float) -> Float:
    """Return f with fᵀf the covariance."""
    values, vectors = np.linalg.eigh(covariance)
    return np.sqrt(np.maximum(values, 0))[:, None] * vectors.T
