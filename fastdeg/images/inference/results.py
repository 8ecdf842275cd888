"""What the estimator returns: frozen dataclasses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastdeg._types import ByValue, Float

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False)
class MarginalIntervals(ByValue):
    """Bootstrap intervals of one axis' marginal.

    Attributes
    ----------
    axis : str
    estimate, low, high : ndarray, shape (bins of the axis,)
    """

    axis: str
    estimate: Float
    low: Float
    high: Float


@dataclass(frozen=True, eq=False)
class Bootstrap(ByValue):
    """Uncertainty of an inferred distribution from which references happened to be at hand.

    Attributes
    ----------
    weights : ndarray, shape (n_resamples, N)
    marginals : tuple of MarginalIntervals
        One per axis.
    level : float
    """

    weights: Float
    marginals: tuple[MarginalIntervals, ...]
    level: float

    def plot(self, ax: Axes | None = None) -> Any:
        """Draw the marginal of each axis with its intervals.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            For a space of one axis; a new figure with a panel for each axis by default.

        Returns
        -------
        Axes, or ndarray of Axes
        """
        from fastdeg import plotting

        return plotting.intervals(self.marginals, self.level, ax)


@dataclass(frozen=True, eq=False)
class ReferenceCounts(ByValue):
    """How the width of the intervals shrinks with the number of reference images.

    Attributes
    ----------
    counts : ndarray of int, shape (k,)
    widths : ndarray, shape (k, d)
        Mean width of the intervals of each axis' marginal.
    names : tuple of str
        The axes.
    """

    counts: NDArray[np.int64]
    widths: Float
    names: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Identifiability(ByValue):
    """What one image can and cannot tell.

    Attributes
    ----------
    standard_errors : ndarray, shape (N, d)
        Standard error of each parameter from one image, at each bin's centre, in the units of the space.
    pairs : ndarray of int, shape (k, 2)
        Neighbouring bins that one image confuses most of all, worst first.
    confusion : ndarray, shape (k,)
        For each pair, the probability that one image is put into the wrong one of the two (0.5: they look alike).
    look_alikes : ndarray of int, shape (l, 2)
        Bins that one image confuses with a probability of at least 0.4, and of those with each the one that lies
        farthest away: where parameters make up for each other. Farthest first.
    notes : tuple of str
        The same in words, axis by axis.
    """

    standard_errors: Float
    pairs: NDArray[np.int64]
    confusion: Float
    look_alikes: NDArray[np.int64]
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Inference(ByValue):
    """All that is read out of a set of reference images.

    Attributes
    ----------
    distribution : BinnedDistribution
    log_likelihood : float
    n_iter : int
    converged : bool
    posterior : ndarray, shape (n, N)
        Over bins, of each image, given the inferred distribution.
    parameters : ndarray, shape (n, d)
        Point estimates of each image alone, in the units of the space.
    parameter_errors : ndarray, shape (n, d)
        Their root mean square errors, as far as the photographs are like the clean images of the fit.
    outside : ndarray of bool, shape (n,)
        Images unlike any of the space, each judged alone.
    outside_p_values : ndarray, shape (n,)
        Of each image, for the hypothesis that it lies inside.
    all_inside_p_value : float
        Of all images together: the probability that so many of them are called outside while all are inside.
    without_comb : ndarray of bool, shape (n,)
        Images without the comb of a JPEG quantisation where those of the space show one: never compressed, or resized
        or filtered since. No compression counts as the best quality of the space.
    with_a_say : ndarray of bool, shape (n,)
        Images that the distribution was inferred from: all but those that are outside even where it is taken into
        account how many were tested.
    outside_reasons : tuple of str
        Of each image that is outside: what is strange about it, and what would explain it; "" for the others.
    at_ends : tuple of str
        Where most of the distribution lies in the outermost bin of an axis, with most images read at its very end, as
        are those beyond it.
    """

    distribution: Any
    log_likelihood: float
    n_iter: int
    converged: bool
    posterior: Float
    parameters: Float
    parameter_errors: Float
    outside: NDArray[np.bool_]
    outside_p_values: Float
    all_inside_p_value: float
    without_comb: NDArray[np.bool_]
    with_a_say: NDArray[np.bool_]
    outside_reasons: tuple[str, ...] = ()
    at_ends: tuple[str, ...] = ()

    def plot(self, ax: Axes | None = None, *, axis: int | str | Sequence[int | str] | None = None) -> Any:
        """Draw what each photo says of each axis: its estimate and the error of it; hollow where it is outside.

        The inferred distribution is drawn by ``found.distribution.plot()``, its intervals by ``bootstrap(…).plot()``.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw one axis; a new figure with a panel for each axis by default.
        axis : str, int, or sequence of them, optional
            Names or positions of the axes to draw; all by default.

        Returns
        -------
        Axes, or ndarray of Axes
        """
        from fastdeg import plotting

        return plotting.estimates(self, ax, axis)

    def _repr_html_(self) -> str:
        from fastdeg import plotting

        rows = [("photos", f"{len(self.outside)}, of which {int(self.outside.sum())} outside the space")]
        rows += plotting.summary(self.distribution)
        return plotting.card("Inference", rows, plotting.marginals_thumbnail(self.distribution))
