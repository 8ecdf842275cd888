"""Why a photo is called outside of a space, in the user's words: what is strange, and what would explain it."""

from __future__ import annotations

import numpy as np

from fastdeg._types import Float
from fastdeg.bins import Bins
from fastdeg.degradations.registry import parameters as known_parameters
from fastdeg.images.features import N_FEATURES
from fastdeg.images.structure import REASONS
from fastdeg.kernels.images.detail import N_STATISTICS as N_DETAIL_STATISTICS
from fastdeg.kernels.images.edges import N_LEVELS
from fastdeg.kernels.images.edges import N_STATISTICS as N_EDGE_STATISTICS

NO_COMB = (
    "no quantisation by JPEG shows, or one by other tables than libjpeg's, though the space always compresses: let "
    "jpeg_quality end above 100?"
)
BEYOND = "what is read lies beyond the ranges of the space: widen them?"
SHARPER = "edges are sharper than the space makes: sharpened?"
SMOOTHER = "detail is smoother than the space makes: smoothed (median, bilateral, denoised) or enlarged?"
ROUGHER = "detail is stronger than the space makes: grain, or content unlike the clean images?"
UNLIKE = "unlike anything that the space makes: drawn, or another content than the clean images?"
NOTICEABLE = 0.7  # standard deviations of features by which a photo differs from what is expected of it
DISTANCES, COMB, RANGES = 2, 2, 3  # places of the measures of `inference.conformal`; statistics of structure follow


def reason(measure: int, left: Float) -> str:
    """Return why a photo is as unlike those of a space as it is.

    measure: the one that says so; left: of each feature, what is left where what is expected of it is taken out.
    """
    if measure > RANGES:
        return REASONS[measure - RANGES - 1]
    if measure in (COMB, RANGES):
        return NO_COMB if measure == COMB else BEYOND
    if len(left) < N_FEATURES:  # an embedding of the user's
        return UNLIKE
    end = N_FEATURES - 2 - N_DETAIL_STATISTICS
    edges = left[end - N_EDGE_STATISTICS : end].reshape(N_LEVELS, -1)
    sharp = float(edges[0].mean() - edges[-1].mean())
    detail = float(left[end : end + N_DETAIL_STATISTICS].mean())
    if sharp > NOTICEABLE:
        return SHARPER
    if detail < -NOTICEABLE or sharp < -NOTICEABLE:
        return SMOOTHER
    return ROUGHER if detail > NOTICEABLE else UNLIKE


def at_ends(bins: Bins, pmf: Float, parameters: Float, errors: Float) -> tuple[str, ...]:
    """Say at which ends of axes most of the mass lies, with most photographs read at the very end: as what lies beyond
    is read. An end that no degradation is beyond, a blur of zero say, is none.

    parameters, errors: of the photographs, (n, d).
    """
    assert bins.space is not None
    known, told = known_parameters(), []
    for k, axis in enumerate(bins.space.axes):
        parameter = known.get(axis.name)
        if axis.discrete or (parameter is not None and parameter.unit == "°"):
            continue
        low, high = (0.0, np.inf) if parameter is None else (parameter.low, parameter.high)
        marginal, widths = bins.marginal(pmf, k), np.diff(axis.boundaries)
        ends = ((0, axis.low, low < axis.low), (-1, axis.high, axis.high < high))
        for place, end, goes_on in ends:
            near = np.abs(parameters[:, k] - end) <= np.minimum(1.5 * errors[:, k], 0.75 * widths[place])
            if goes_on and marginal[place] > 0.5 and near.mean() > 0.5:
                told.append(
                    f"{axis.name}: {marginal[place]:.2f} of the distribution lies in the bin that ends at {end:g}, and "
                    "most images are read at this very end, as are those beyond it: let the axis go farther"
                )
    return tuple(told)
