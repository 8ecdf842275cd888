"""What a crafted distribution is compared with: the plain mixture, the best in a forecast, weights by bin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from fastdeg import _checks
from fastdeg._types import Float
from fastdeg.distribution import BinnedDistribution

if TYPE_CHECKING:
    from fastdeg.forecast import TrainingForecast


def mixture(q: BinnedDistribution, prior: BinnedDistribution, weight: float) -> BinnedDistribution:
    """Return the mixture (1 − weight) q + weight prior.

    Parameters
    ----------
    q, prior : BinnedDistribution
        On the same bins.
    weight : float
        Share of the prior, from 0 to 1.

    Raises
    ------
    ValueError
        When the bins differ or the weight is out of range.

    See Also
    --------
    fastdeg.craft : What the mixture is the simple rival of.

    Examples
    --------
    >>> import fastdeg as fd
    >>> bins = fd.GridBins(fd.DegradationSpace([fd.Axis.regular("noise_sigma", 0, 50, 2)]))
    >>> q = fd.BinnedDistribution(bins, [1.0, 0.0])
    >>> fd.baselines.mixture(q, fd.BinnedDistribution.uniform(bins), 0.5).pmf
    array([0.75, 0.25])
    """
    for name, value in (("q", q), ("prior", prior)):
        if not isinstance(value, BinnedDistribution):
            raise TypeError(f"{name}: expected a BinnedDistribution, got {type(value).__name__}")
    if q.bins != prior.bins:
        raise ValueError("prior: expected the bins of q, got other ones")
    weight = _checks.number(weight, "weight", 0, 1)
    return BinnedDistribution(q.bins, (1 - weight) * q.pmf + weight * prior.pmf)


def forecast_optimal(
    q: BinnedDistribution, forecast: TrainingForecast, weight: float, *, prior: BinnedDistribution | None = None
) -> BinnedDistribution:
    """Return the distribution that is best in a forecast, which is no training's: an upper mark to compare with.

    It maximises the expected accuracy on the mixture (1 − weight) q + weight prior by mirror descent on the gradient of
    a bilevel problem (what is learned minimises its own loss), from that mixture. It is judged on the images that it is
    found with.

    Parameters
    ----------
    q : BinnedDistribution
    forecast : TrainingForecast
        Fitted, over the bins of q.
    weight : float
        Share of the prior in what accuracy is wanted on, from 0 to 1.
    prior : BinnedDistribution, optional
        Uniform by default.

    Raises
    ------
    TypeError, ValueError
        When an argument is not what is expected, or the bins differ.

    See Also
    --------
    fastdeg.TrainingForecast : The forecast, and what it is good for.

    Examples
    --------
    >>> import numpy as np, fastdeg as fd
    >>> bins = fd.GridBins(fd.DegradationSpace([fd.Axis.regular("noise_sigma", 0, 50, 2)]))
    >>> clean = np.random.default_rng(0).integers(0, 256, (2, 96, 128)).astype(np.uint8)
    >>> forecast = fd.TrainingForecast(bins, scale=2).fit(list(clean))
    >>> p = fd.baselines.forecast_optimal(fd.BinnedDistribution(bins, [1, 0]), forecast, 0.1)
    >>> p.pmf.sum().round(6)
    np.float64(1.0)
    """
    from fastdeg.forecast import TrainingForecast
    from fastdeg.forecast.optimise import maximise

    if not isinstance(forecast, TrainingForecast):
        raise TypeError(f"forecast: expected a TrainingForecast, got {type(forecast).__name__}")
    if prior is None and isinstance(q, BinnedDistribution):  # others are refused below
        prior = BinnedDistribution.uniform(q.bins)
    start = mixture(q, prior, weight)  # type: ignore[arg-type]
    return maximise(forecast, start, start)


def closed_form_weights(distances: ArrayLike, alpha: float = 25) -> Float:
    """Return bin weights ∝ exp((1 − d)^alpha) − 1 over min-max scaled distances d, scored bin by bin.

    The way of the known re-implementation of the paper: each bin's distance to the references stands alone, so it
    cannot
    recover a mixture. It is here to be compared with.

    Parameters
    ----------
    distances : array_like, shape (N,)
        Distance of each bin's images to the references, not negative: Fréchet distances, say.
    alpha : float
        Sharpness, positive.

    Returns
    -------
    ndarray, shape (N,)
        Sums to one; uniform where all distances are equal.

    Raises
    ------
    ValueError
        When a distance is negative or not finite, or alpha is not positive.

    See Also
    --------
    fastdeg.craft : Takes all bins together.

    Examples
    --------
    >>> import fastdeg as fd
    >>> fd.baselines.closed_form_weights([1.0, 2.0, 3.0], alpha=1).round(3)
    array([0.726, 0.274, 0.   ])
    """
    array = _checks.float_array(distances, "distances", ("N",))
    alpha = _checks.number(alpha, "alpha", positive=True)
    if not array.size:
        raise ValueError("distances: expected at least one, got none")
    if array.min() < 0:
        raise ValueError(f"distances: expected numbers >= 0, got {array.min()}")
    span = array.max() - array.min()
    if span == 0:
        return np.full(len(array), 1 / len(array))
    weights = np.expm1((1 - (array - array.min()) / span) ** alpha)
    return weights / weights.sum()
