"""What a fitted estimator's answers are made of: summaries of images, likelihoods of bins, and their mixture."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

from fastdeg._checks import generator
from fastdeg._types import Float
from fastdeg.bins import Bins
from fastdeg.degradations.chain import Degradation
from fastdeg.distribution import BinnedDistribution
from fastdeg.images.description import Images, in_pieces
from fastdeg.images.inference import uncertainty
from fastdeg.images.inference.bin_nodes import BinNodes, bin_nodes
from fastdeg.images.inference.coordinates import Coordinates, first_descriptions
from fastdeg.images.inference.mixture import MixtureFit, fit_mixture, grid_shape
from fastdeg.images.inference.model import DegradationModel
from fastdeg.images.inference.recipe import Recipe, recipe_of
from fastdeg.images.inference.summaries import Summaries
from fastdeg.space import DegradationSpace

OF_FIT = ("n_samples", "random_state")  # arguments that say how much is learned from, not of what
OUTSIDE_LEVEL = 0.01  # share of the images from inside the space that may be called outside


class FittedLikelihood(BaseEstimator):
    """The likelihood of images that `DegradationEstimator` has learned, in the terms of its arguments."""

    bins: Bins
    degrade: Degradation | None
    random_state: int
    model_: DegradationModel
    _nodes_cache: BinNodes | None

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
        return Summaries.joined([self.model_.summaries(x)[0] for x in in_pieces(images, self._recipe())])

    def _tested(self, images: Images) -> tuple[Summaries, Float, tuple[NDArray[np.int64], Float]]:
        """Return the summaries, the p-value of each image inside, and which measure and what features say so."""
        self._check_fitted()
        parts = zip(*(self.model_.tested(x) for x in in_pieces(images, self._recipe())), strict=True)
        summaries, p_values, which, left = map(list, parts)
        return Summaries.joined(summaries), np.concatenate(p_values), (np.concatenate(which), np.concatenate(left))

    def _with_a_say(self, images: Images, keep_outside: bool) -> Summaries:
        summaries, p_values, _ = self._tested(images)
        return summaries.of(uncertainty.with_a_say(p_values, OUTSIDE_LEVEL, keep_outside))

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
        own_pipeline = self.degrade is not None  # what its axes mean is the user's
        space = None if own_pipeline else self._space
        return self.model_.bin_log_likelihood(summaries, self._nodes(), space, shared_error)

    def _with_shared_errors(self, summaries: Summaries) -> list[Callable[[], Float]]:
        """Return log-likelihoods of the bins, to be computed, with each of the errors that all images may share."""
        return [partial(self._bin_log_likelihood, summaries, error) for error in self.model_.shared_errors()]

    def _parameters(self, summaries: Summaries) -> tuple[Float, Float]:
        values, errors = self.model_.parameters(summaries)
        return self._space.unstandardize(values), errors * self._space.scales()
