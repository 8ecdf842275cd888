"""The distribution that is best in the forecast itself: mirror descent on a bilevel problem."""

from __future__ import annotations

import numpy as np

from fastdeg.distribution import BinnedDistribution
from fastdeg.forecast.training import TrainingForecast

_STEPS = 40
_LARGEST = 2.0  # of the logarithm of a ratio of masses in one step


def maximise(forecast: TrainingForecast, start: BinnedDistribution, weights: BinnedDistribution) -> BinnedDistribution:
    """Return p of the largest mean accuracy on a distribution, from a start whose bins of mass 0 keep it.

    Entropic mirror ascent, p ∝ p exp(step · gradient); a step that does not help is shortened, the best p is kept.
    """
    p, step, best = start, 1.0, (-np.inf, start)
    gradient = np.zeros(start.n_bins)
    for _ in range(_STEPS):
        value, slope = forecast.mean_psnr(p, weights)
        if value > best[0]:
            best, gradient = (value, p), slope - p.pmf @ slope
            step *= 1.3
        else:
            step /= 3
        size = np.abs(gradient[best[1].pmf > 0]).max()
        if step < 1e-3 or size < 1e-9:
            break
        masses = best[1].pmf * np.exp(np.clip(step / size * gradient, -_LARGEST, _LARGEST))
        p = BinnedDistribution(start.bins, masses / masses.sum())
    return best[1]
