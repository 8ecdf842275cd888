"""What a fitted estimator's answers are made of: summaries of images, likelihoods of bins, and their mixture."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

from fastdeg import _checks
from fastdeg._checks import generator
from fastdeg._types import Float, Progress
from fastdeg.bins import Bins, GridBins
from fastdeg.degradations.chain import Degradation
from fastdeg.degradations.steps.jpeg import QUALITY
from fastdeg.distribution import BinnedDistribution
from fastdeg.images.description import Images, in_pieces
from fastdeg.images.inference import uncertainty
from fastdeg.images.inference.bin_nodes import BinNodes, bin_nodes
from fastdeg.images.inference.coordinates import Coordinates, first_descriptions
from fastdeg.images.inference.mixture import MixtureFit, fit_mixture, grid_shape
from fastdeg.images.inference.model import DegradationModel
from fastdeg.images.inference.recipe import Recipe, recipe_of
from fastdeg.images.inference.summaries import Summaries, SummarizedImages, joined
from fastdeg.space import DegradationSpace

OF_FIT = ("n_samples", "random_state")  # arguments that say how much is learned from, not of what
OUTSIDE_LEVEL = 0.01  # share of the images from inside the space that may be called outside
ROUNDING = 12**-0.5  # standard deviation of what is rounded to a whole number


class FittedLikelihood(BaseEstimator):
    """The likelihood of images that `DegradationEstimator` has learned, in the terms of its arguments."""

    bins: Bins
    degrade: Degradation | None
    random_state: int
    model_: DegradationModel
    _nodes_cache: BinNodes | None

    def summarize(self, images: Images, *, progress: Progress | None = None) -> SummarizedImages:
        """Read images (arrays or paths) once, in little memory; all other methods take the result in their place."""
        _checks.progress(progress)
        self._check_fitted()
        if not isinstance(images, SummarizedImages):
            parts = [self.model_.summarized(x) for x in in_pieces(images, self._recipe(), progress)]
            return joined(parts)
        if images.model is not self.model_:
            raise ValueError("images: summarized by another estimator")
        return images

    def _recipe(self) -> Recipe:
        return recipe_of(**{name: value for name, value in self.get_params(deep=False).items() if name not in OF_FIT})

    def _coordinates(self) -> Coordinates | None:
        """Return how directions among the axes are read; an own pipeline's axes are read as they are."""
        return None if self.degrade is not None else Coordinates.of(self._space)

    @property
    def _space(self) -> DegradationSpace:
        assert self.bins.space is not None
        return self.bins.space

    def _check_fitted(self) -> None:
        if not hasattr(self, "model_"):
            raise NotFittedError("this DegradationEstimator is not fitted yet: call fit(clean_images) first")

    def _rng(self, random_state: int | None) -> np.random.Generator:
        return generator(self.random_state if random_state is None else random_state, "random_state")

    def _nodes(self) -> BinNodes:
        if self._nodes_cache is None:
            self._nodes_cache = bin_nodes(self.bins, self.model_.likelihood)
        return self._nodes_cache

    def _summaries(self, images: Images) -> Summaries:
        self._check_fitted()
        if isinstance(images, SummarizedImages):
            return self.summarize(images).summaries
        return Summaries.joined([self.model_.summaries(x)[0] for x in in_pieces(images, self._recipe())])

    def _with_a_say(self, images: Images, keep_outside: bool) -> Summaries:
        read = self.summarize(images)
        return read.summaries.of(uncertainty.with_a_say(read.p_values, OUTSIDE_LEVEL, keep_outside))

    def _prior(self) -> Float:
        """Return where mixtures start, (N,): all of the space, each blur that can be told apart by one description."""
        if self.degrade is not None:
            return self.bins.volumes
        return self.bins.volumes * first_descriptions(self.bins.centers, self._space)

    def _mixture(self, log_likelihood: Float) -> tuple[MixtureFit, BinnedDistribution]:
        fit = fit_mixture(log_likelihood, self._prior(), shape=grid_shape(self.bins))
        weights = fit.weights / fit.weights.sum()
        return fit, BinnedDistribution(self.bins, weights, n_samples=len(log_likelihood))

    def _bin_log_likelihood(self, summaries: Summaries, shared_error: Float | float = 0.0) -> Float:
        """Return log p(image | bin), (n, N): of no bin without the JPEG quality that an image is known to have."""
        space = None if self.degrade is not None else self._space  # what the axes of an own pipeline mean is the user's
        out = self.model_.bin_log_likelihood(summaries, self._nodes(), space, shared_error)
        known = np.isfinite(summaries.known)
        if space is not None and QUALITY.name in space.names and known.any():
            out[known] += quality_log_likelihood(summaries.known[known], self.bins, space)
        return out

    def _with_shared_errors(self, summaries: Summaries) -> list[Callable[[], Float]]:
        """Return log-likelihoods of the bins, to be computed, with each of the errors that all images may share."""
        return [partial(self._bin_log_likelihood, summaries, error) for error in self.model_.shared_errors()]

    def _parameters(self, summaries: Summaries) -> tuple[Float, Float]:
        values, errors = self.model_.parameters(summaries)
        values, errors = self._space.unstandardize(values), errors * self._space.scales()
        if self.degrade is None and QUALITY.name in self._space.names:
            column = self._space.axis_index(QUALITY.name)
            axis, known = self._space.axes[column], np.isfinite(summaries.known)
            values[known, column] = np.clip(summaries.known[known], axis.low, axis.high)
            errors[known, column] = ROUNDING
        return values, errors


def quality_log_likelihood(qualities: Float, bins: Bins, space: DegradationSpace) -> Float:
    """Return the logarithm of how probable files of these JPEG qualities are in each bin, (n, N), up to a constant.

    A file's quality is a whole number, to which those of half a step around it were rounded. What is beyond the axis
    counts as its end. Bins without cells have normal distributions.
    """
    column = space.axis_index(QUALITY.name)
    axis = space.axes[column]
    value = np.clip(qualities, axis.low, axis.high)[:, None]
    if isinstance(bins, GridBins):
        low, high = axis.boundaries[:-1], axis.boundaries[1:]
        shared = np.minimum(high, value + 0.5) - np.maximum(low, value - 0.5)
        with np.errstate(divide="ignore"):
            by_cell = np.log(np.maximum(shared, 0) / (high - low))
        return np.asarray(by_cell[:, axis.assign(bins.centers[:, column])])
    # as far as neighbouring bins are apart, where those of one axis make a grid
    spacing = (axis.high - axis.low) / bins.n_bins ** (1 / bins.ndim)
    variance = bins.covariances[:, column, column] + spacing**2 / 12 + ROUNDING**2
    return np.asarray(-0.5 * ((value - bins.centers[:, column]) ** 2 / variance + np.log(variance)))
