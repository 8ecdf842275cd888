"""The estimator: which degradations made a set of unlabelled photographs."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdeg._checks import integer, number
from fastdeg._checks import progress as check_progress
from fastdeg._threads import single_blas_thread, thread_count
from fastdeg._types import Float, Progress
from fastdeg.bins import Bins
from fastdeg.degradations.chain import Degradation
from fastdeg.degradations.history import History
from fastdeg.distribution import BinnedDistribution
from fastdeg.images.archive import read_estimator, write_estimator
from fastdeg.images.description import DescribedImages, Images, described, image_list
from fastdeg.images.files.read import ImageFile
from fastdeg.images.fitted import OUTSIDE_LEVEL, FittedLikelihood
from fastdeg.images.inference import uncertainty
from fastdeg.images.inference.mixture import posterior
from fastdeg.images.inference.model import DegradationModel
from fastdeg.images.inference.photo_priors import BLUR_AXES
from fastdeg.images.inference.recipe import Embedding
from fastdeg.images.inference.results import Bootstrap, Identifiability, Inference, ReferenceCounts
from fastdeg.images.inference.synthesis import SHARE_OF_FIT, checked_clean_images, drawn_over, least_side, synthesize
from fastdeg.images.reasons import at_ends


class DegradationEstimator(FittedLikelihood):
    """Infer the distribution of degradations behind unlabelled low-resolution photographs.

    `fit` degrades patches of clean images at random places of the space, and learns from features of the results a
    smooth likelihood of what the features say, given the degradation. `estimate` turns the likelihoods of reference
    images into the mixture over bins that explains all of them best.

    Parameters
    ----------
    bins : GridBins or CentroidBins
        With a space, whose axis names say what they mean (see `fastdeg.degrade`).
    downsampling : float, optional
        Factor of the built-in chain where the space has no axis of that name; default 4.
    noise : {"gray", "color"}
        Whether all channels get the same noise.
    interpolation : {"cubic", "linear", "area", "lanczos", "nearest"}
        Of the built-in chain's downsampling.
    degrade : callable, optional
        Your own pipeline ``(image, parameters, rng) -> image`` instead of `fastdeg.degrade`: image uint8 (H, W, 3) RGB
        or (H, W); parameters a dictionary by axis name.
    history : History or str, optional
        What may have happened to the photos that is not an axis, drawn at random; or the name of a preset, ``"photo"``
        say (see `fastdeg.History`). Default: nothing.
    features : callable, optional
        Your own embedding, of a list of image patches, -> (n, D), instead of the statistics of block DCT and edges.
    n_samples : int
        Number of synthetic patches.
    patch_size : int
        Side of the patches in low-resolution pixels; references are cut into such patches.
    random_state : int
        Seed; results do not depend on the number of threads.

    Attributes
    ----------
    model_ : DegradationModel
        The fitted statistics.
    n_images_ : int
        Number of clean images it was fitted on.

    Examples
    --------
    >>> import numpy as np, fastdeg as fd
    >>> space = fd.DegradationSpace([fd.Axis.regular("noise_sigma", 0, 50, 5)])
    >>> ramp = np.add.outer(np.arange(200), np.arange(240)) // 2 % 256
    >>> estimator = fd.DegradationEstimator(fd.GridBins(space), downsampling=2, n_samples=300, patch_size=48)
    >>> estimator.fit([ramp.astype(np.uint8)]).n_images_
    1
    >>> noisy = fd.degrade(ramp.astype(np.uint8), downsampling=2, noise_sigma=25, rng=0)
    >>> estimator.estimate([noisy]).pmf.argmax()
    np.int64(2)
    """

    def __init__(
        self,
        bins: Bins,
        *,
        downsampling: float | None = None,
        noise: str = "gray",
        interpolation: str = "cubic",
        degrade: Degradation | None = None,
        history: History | str | None = None,
        features: Embedding | None = None,
        n_samples: int = 16_000,
        patch_size: int = 80,
        random_state: int = 0,
    ) -> None:
        self.bins = bins
        self.downsampling = downsampling
        self.noise = noise
        self.interpolation = interpolation
        self.degrade = degrade
        self.history = history
        self.features = features
        self.n_samples = n_samples
        self.patch_size = patch_size
        self.random_state = random_state

    @property
    def least_side(self) -> int:
        """The least side, in pixels, of a clean image that can be downsampled as the space and the arguments say."""
        return least_side(self._recipe().strongest_downsampling(self._space))

    def fit(
        self,
        clean_images: Sequence[ArrayLike | str | os.PathLike[str] | ImageFile],
        y: Any = None,
        *,
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> Self:
        """Learn from clean images.

        Parameters
        ----------
        clean_images : sequence of arrays, (H, W, 3) RGB or (H, W), or of files
            High-resolution photographs like those that the degraded ones were made of; more and more varied are better.
            Files (paths, or what `read_images` did not keep) are read where they are used: for every eight patches.
        y : ignored
        threads : int, optional
            Default: numba's setting. The result does not depend on it.
        progress : callable (fraction, message), optional

        Raises
        ------
        ValueError, TypeError
            Where there are no images, one of them is too small or no image, or a parameter is out of range.
        """
        recipe = self._recipe()
        check_progress(progress)
        if threads is not None:
            threads = integer(threads, "threads", 1)
        images = checked_clean_images(
            image_list(clean_images, "clean_images"), recipe.strongest_downsampling(self._space)
        )
        seeds = np.random.SeedSequence(integer(self.random_state, "random_state", 0, any_size=True)).spawn(2)
        synthetic = synthesize(
            images, partial(drawn_over, self._space), recipe, integer(self.n_samples, "n_samples", 50), seeds[0],
            threads=threads, progress=progress,
        )  # fmt: skip
        if progress is not None:
            progress(SHARE_OF_FIT, "learning from the features")
        # many small solves: more BLAS threads than one only get into each other's way
        with single_blas_thread():
            self.model_ = DegradationModel.fit(
                synthetic, self._space.standardize(synthetic.parameters), np.random.default_rng(seeds[1]),
                n_images=len(images), own_features=self.features is not None,
                by_lower_half=np.isin(recipe.names, BLUR_AXES), coordinates=self._coordinates(),
                history=bool(recipe.history) and self.features is None,                 threads=thread_count(threads),
            )  # fmt: skip
        self.n_images_ = len(images)
        self._nodes_cache = None
        if progress is not None:
            progress(1.0, "estimator fitted")
        return self

    def describe(self, images: Images) -> DescribedImages:
        """Describe images (arrays or paths) once; all methods, of estimators alike too, take the result in their place.

        Examples
        --------
        >>> import numpy as np, fastdeg as fd
        >>> estimator = fd.DegradationEstimator(fd.GridBins(fd.DegradationSpace.preset("paper")))
        >>> estimator.describe([np.zeros((120, 160), dtype=np.uint8)])
        DescribedImages(1 images, 6 patches)
        """
        return described(images, self._recipe())

    def log_likelihood(self, images: Images) -> Float:
        """Return log p(image | bin) up to a constant per image, shape (n, N)."""
        return self._bin_log_likelihood(self._summaries(images))

    def predict_proba(self, images: Images) -> Float:
        """Return each image's posterior over bins, (n, N), when all of the space is equally likely beforehand."""
        return posterior(self.log_likelihood(images), self.bins.volumes)

    def predict(self, images: Images) -> Float:
        """Return each image's degradation parameters, (n, d), in the units of the space."""
        return self._parameters(self._summaries(images))[0]

    def estimate(self, images: Images, *, keep_outside: bool = False) -> BinnedDistribution:
        """Return the distribution over bins that explains the images best; its ``n_samples`` is their number.

        Images outside of the space have no say in it, unless ``keep_outside`` or all of them are: those that Benjamini
        and Hochberg's procedure calls outside by their p-values, so that a false alarm among many moves nothing. Warns
        where images look like none that the space can make; `infer` tells which.
        """
        read = self.summarize(images)
        uncertainty.warn_of_outside(read.p_values, OUTSIDE_LEVEL)
        some = self._with_a_say(read, keep_outside)
        distribution = self._mixture(self._bin_log_likelihood(some))[1]
        for text in at_ends(self.bins, distribution.pmf, *self._parameters(some)):
            warnings.warn(text, stacklevel=2)
        return distribution

    def infer(self, images: Images, *, outside_level: float = OUTSIDE_LEVEL, keep_outside: bool = False) -> Inference:
        """Return the inferred distribution with all that was found on the way to it.

        Each image is called outside of the space at the level ``outside_level`` (see `outside`); which have no say in
        the distribution is decided at this level for all of them together (see `estimate`).
        """
        outside_level = number(outside_level, "outside_level", 0, 1)
        self._check_fitted()
        self.model_.outside.warn_of_too_few(outside_level)
        read = self.summarize(images)
        log_likelihood = self._bin_log_likelihood(read.summaries)
        outside = read.p_values <= outside_level
        with_a_say = uncertainty.with_a_say(read.p_values, outside_level, keep_outside)
        fit, distribution = self._mixture(log_likelihood[with_a_say])
        parameters, errors = self._parameters(read.summaries)
        return Inference(
            distribution=distribution,
            log_likelihood=fit.log_likelihood,
            n_iter=fit.n_iter,
            converged=fit.converged,
            posterior=posterior(log_likelihood, fit.weights),
            parameters=parameters,
            parameter_errors=errors,
            outside=outside,
            outside_p_values=read.p_values,
            all_inside_p_value=uncertainty.excess_p_value(int(outside.sum()), len(outside), outside_level),
            without_comb=read.summaries.without_comb & (self.model_.jpeg_summarizer is not None),
            outside_reasons=tuple(np.where(outside, read.reasons, "")),
            with_a_say=with_a_say,
            at_ends=at_ends(self.bins, distribution.pmf, parameters[with_a_say], errors[with_a_say]),
        )

    def bootstrap(
        self,
        images: Images,
        n_resamples: int = 200,
        *,
        level: float = 0.9,
        keep_outside: bool = False,
        random_state: int | None = None,
    ) -> Bootstrap:
        """Return intervals of the inferred marginals, from resampling the images (never their patches).

        Each resample is read with one of the errors that all images of a set may share, where at least 16 clean images
        told how large they are.
        """
        summaries = self._with_a_say(images, keep_outside)
        estimate = self._mixture(self._bin_log_likelihood(summaries))[1].pmf
        return uncertainty.bootstrap(
            self._with_shared_errors(summaries), estimate, self.bins, self._prior(),
            integer(n_resamples, "n_resamples", 2), number(level, "level", 0, 1), self._rng(random_state),
        )  # fmt: skip

    def reference_counts(
        self,
        images: Images,
        counts: Sequence[int] = (5, 10, 20, 40, 80),
        *,
        n_resamples: int = 100,
        level: float = 0.9,
        keep_outside: bool = False,
        random_state: int | None = None,
    ) -> ReferenceCounts:
        """Return how wide the intervals would be with other numbers of reference images like these."""
        summaries = self._with_a_say(images, keep_outside)
        return uncertainty.reference_counts(
            self._with_shared_errors(summaries), self.bins, self._prior(), counts,
            integer(n_resamples, "n_resamples", 2), number(level, "level", 0, 1), self._rng(random_state),
        )  # fmt: skip

    def identifiability(self, *, n_patches: int = 4, max_pairs: int = 20) -> Identifiability:
        """Return which neighbouring bins one image (of so many patches) cannot tell apart."""
        self._check_fitted()
        return uncertainty.identifiability(
            self.model_.likelihood, self.model_.points, self._nodes(), self.bins,
            integer(n_patches, "n_patches", 1), max_pairs,
        )  # fmt: skip

    def outside(self, images: Images, *, level: float = OUTSIDE_LEVEL) -> NDArray[np.bool_]:
        """Return which images look like none that the space can make, (n,).

        An image from inside the space is called outside with a probability of at most ``level``, so far as the clean
        images of the fit are like those that the degraded ones were made of: its patches are compared with synthetic
        ones, as patches of each clean image were with those of all the others.
        """
        level = number(level, "level", 0, 1)
        self._check_fitted()
        self.model_.outside.warn_of_too_few(level)
        return self.summarize(images).p_values <= level

    def bin_feature_moments(self) -> tuple[Float, Float]:
        """Return means (N, D) and covariances (N, D, D) of the bins in the discriminant feature space."""
        self._check_fitted()
        return self.model_.bin_moments(self._nodes(), self.bins.n_bins)

    def feature_moments(self, images: Images) -> tuple[Float, Float]:
        """Return mean (D,) and covariance (D, D) of the images' patches in the discriminant feature space."""
        return self.summarize(images).moments

    def embed(self, images: Images) -> Float:
        """Return one vector per image, (n, D): the mean of its patches in the discriminant feature space."""
        return self.summarize(images).means

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted estimator to a ``.npz`` file (no pickles); own callables are not saved."""
        self._check_fitted()
        write_estimator(path, self.get_params(deep=False), self.model_, self.n_images_)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        degrade: Degradation | None = None,
        features: Embedding | None = None,
    ) -> DegradationEstimator:
        """Read a fitted estimator; one that was fitted with own callables needs them again.

        Raises
        ------
        FileNotFoundError
            Where there is no such file.
        ValueError
            Where the file holds something else, or a callable is missing or one too many.
        """
        bins, parameters, model, n_images = read_estimator(path, {"degrade": degrade, "features": features})
        estimator = cls(bins, **parameters, degrade=degrade, features=features)
        estimator.model_, estimator.n_images_, estimator._nodes_cache = model, n_images, None
        return estimator
