"""The estimator: which degradations made a set of unlabelled photographs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

from fastdeg._checks import choice, generator, integer, number
from fastdeg._checks import progress as check_progress
from fastdeg._files import read_archive, write_archive
from fastdeg._threads import single_blas_thread, thread_count
from fastdeg._types import Float, Progress
from fastdeg.bins import Bins, bins_from_arrays
from fastdeg.degradations.chain import (
    INTERPOLATIONS,
    NOISES,
    Degradation,
    axis_names,
    check_axis_names,
    check_image,
    fixed_parameters,
)
from fastdeg.distribution import BinnedDistribution
from fastdeg.images.features import MANY_IMAGES, feature_weights, jpeg_grid_offset, luma, luma_features
from fastdeg.images.inference import uncertainty
from fastdeg.images.inference.bin_nodes import BinSupport, bin_support
from fastdeg.images.inference.mixture import MixtureFit, fit_mixture, grid_shape, posterior
from fastdeg.images.inference.model import DegradationModel
from fastdeg.images.inference.photo_priors import appearances, blur_columns
from fastdeg.images.inference.pooling import group_means
from fastdeg.images.inference.results import Bootstrap, Identifiability, Inference, ReferenceCounts
from fastdeg.images.inference.summaries import Summaries
from fastdeg.images.inference.synthesis import Embedding, Recipe, embedded, least_side, patches_of, synthesize

LEAST_SCALE = 0.1  # of the block statistics: smaller differences also come from how an image is stored
OUTSIDE_LEVEL = 0.01  # share of the images from inside the space that may be called outside
FORMAT = "DegradationEstimator"
VERSION = 2  # changes with what the features say: what was learned from others is of no use


class DegradationEstimator(BaseEstimator):
    """Infer the distribution of degradations behind unlabelled low-resolution photographs.

    `fit` degrades patches of clean images at random places of the space, and learns from features of the results a
    smooth likelihood of what the features say, given the degradation. `estimate` turns the likelihoods of reference
    images into the mixture over bins that explains all of them best.

    Parameters
    ----------
    bins : GridBins or CentroidBins
        With a space, whose axis names say what they mean (see `fastdeg.degrade`).
    downsampling : float
        Factor of the built-in chain where the space has no axis of that name.
    noise : {"gray", "color"}
        Whether all channels get the same noise.
    interpolation : {"cubic", "linear", "area", "lanczos", "nearest"}
        Of the built-in chain's downsampling.
    degrade : callable, optional
        Your own pipeline ``(image, parameters, rng) -> image`` instead of `fastdeg.degrade`: image uint8 (H, W, 3) RGB
        or (H, W); parameters a dictionary by axis name.
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
        downsampling: float = 4,
        noise: str = "gray",
        interpolation: str = "cubic",
        degrade: Degradation | None = None,
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
        self.features = features
        self.n_samples = n_samples
        self.patch_size = patch_size
        self.random_state = random_state

    @property
    def least_side(self) -> int:
        """The least side, in pixels, of a clean image that can be downsampled as the space and the arguments say."""
        return least_side(_strongest_downsampling(self._recipe(), self.bins))

    # -- fitting ------------------------------------------------------------------------------------------------------

    def fit(
        self,
        clean_images: Sequence[ArrayLike],
        y: Any = None,
        *,
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> Self:
        """Learn from clean images.

        Parameters
        ----------
        clean_images : sequence of arrays, (H, W, 3) RGB or (H, W)
            High-resolution photographs like those that the degraded ones were made of; more and more varied are better.
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
        images = [
            check_image(image, f"clean_images[{i}]")
            for i, image in enumerate(_image_list(clean_images, "clean_images"))
        ]
        factor = _strongest_downsampling(recipe, self.bins)
        least = least_side(factor)
        for i, image in enumerate(images):
            if min(image.shape[:2]) < least:
                raise ValueError(
                    f"clean_images[{i}]: expected sides of at least {least} pixels to downsample by {factor:g}, "
                    f"got {image.shape[1]} × {image.shape[0]}"
                )
        seeds = np.random.SeedSequence(integer(self.random_state, "random_state", 0)).spawn(2)
        synthetic = synthesize(
            images, self._draw, recipe, integer(self.n_samples, "n_samples", 50), seeds[0],
            threads=threads, progress=_scaled_progress(progress, 0.0, 0.9),
        )  # fmt: skip
        if progress is not None:
            progress(0.9, "learning from the features")
        # many small solves: more BLAS threads than one only get into each other's way
        with single_blas_thread():
            self.model_ = DegradationModel.fit(
                synthetic,
                self._standardize(synthetic.parameters),
                np.random.default_rng(seeds[1]),
                least_scale=LEAST_SCALE if self.features is None else 0.0,
                weights=feature_weights(len(images)) if self.features is None else None,
                tested_weights=feature_weights(len(images), tested=True) if self.features is None else None,
                comb_weights=feature_weights(len(images), comb=True) if self.features is None else None,
                by_lower_half=blur_columns(recipe.names),
                few=len(images) < MANY_IMAGES,
                threads=thread_count(threads),
            )
        self.n_images_ = len(images)
        self._support_cache: BinSupport | None = None
        if progress is not None:
            progress(1.0, "estimator fitted")
        return self

    def _recipe(self) -> Recipe:
        if not isinstance(self.bins, Bins):
            raise TypeError(f"bins: expected GridBins or CentroidBins, got {type(self.bins).__name__}")
        names = axis_names(self.bins)
        for name, value in (("degrade", self.degrade), ("features", self.features)):
            if value is not None and not callable(value):
                raise TypeError(f"{name}: expected a callable or None, got {value!r}")
        if self.degrade is None:
            check_axis_names(names)
        choice(self.noise, "noise", NOISES)
        choice(self.interpolation, "interpolation", tuple(INTERPOLATIONS))
        number(self.downsampling, "downsampling", 1)
        fixed = fixed_parameters(names, self.downsampling, self.degrade)
        size = integer(self.patch_size, "patch_size", 16) // 8 * 8
        best = None
        if "jpeg_quality" in names and self.degrade is None and self.features is None:
            assert self.bins.space is not None
            best = self.bins.space.axes[names.index("jpeg_quality")].high
        return Recipe(names, fixed, self.noise, self.interpolation, self.degrade, self.features, size, best)

    def _draw(self, n: int, rng: np.random.Generator) -> Float:
        """Draw parameters uniformly over the space."""
        space = self.bins.space
        assert space is not None
        columns = [rng.choice(a.centers, n) if a.discrete else rng.uniform(a.low, a.high, n) for a in space.axes]
        return np.stack(columns, axis=1).astype(np.float64)

    def _standardize(self, parameters: Float) -> Float:
        assert self.bins.space is not None
        return self.bins.space.standardize(parameters)

    # -- inference ----------------------------------------------------------------------------------------------------

    def log_likelihood(self, images: Sequence[ArrayLike]) -> Float:
        """Return log p(image | bin) up to a constant per image, shape (n, N)."""
        return self._bin_log_likelihood(self._summaries(images)[0])

    def predict_proba(self, images: Sequence[ArrayLike]) -> Float:
        """Return each image's posterior over bins, (n, N), when all of the space is equally likely beforehand."""
        return posterior(self.log_likelihood(images), self.bins.volumes)

    def predict(self, images: Sequence[ArrayLike]) -> Float:
        """Return each image's degradation parameters, (n, d), in the units of the space."""
        return self._parameters(self._summaries(images)[0])[0]

    def estimate(self, images: Sequence[ArrayLike]) -> BinnedDistribution:
        """Return the distribution over bins that explains the images best; its ``n_samples`` is their number."""
        return self._mixture(self.log_likelihood(images))[1]

    def infer(self, images: Sequence[ArrayLike], *, outside_level: float = OUTSIDE_LEVEL) -> Inference:
        """Return the inferred distribution with all that was found on the way to it.

        Images are called outside of the space at the level ``outside_level`` (see `outside`).
        """
        outside_level = number(outside_level, "outside_level", 0, 1)
        summaries, p_values = self._summaries(images, test=True)
        log_likelihood = self._bin_log_likelihood(summaries)
        outside = p_values <= outside_level
        fit, distribution = self._mixture(log_likelihood)
        parameters, errors = self._parameters(summaries)
        return Inference(
            distribution=distribution,
            log_likelihood=fit.log_likelihood,
            n_iter=fit.n_iter,
            converged=fit.converged,
            posterior=posterior(log_likelihood, fit.weights),
            parameters=parameters,
            parameter_errors=errors,
            outside=outside,
            outside_p_values=p_values,
            all_inside_p_value=uncertainty.excess_p_value(int(outside.sum()), len(outside), outside_level),
            without_comb=~summaries.combed & (self.model_.comb_reading is not None),
        )

    def bootstrap(
        self,
        images: Sequence[ArrayLike],
        n_resamples: int = 200,
        *,
        level: float = 0.9,
        random_state: int | None = None,
    ) -> Bootstrap:
        """Return intervals of the inferred marginals, from resampling the images (never their patches)."""
        log_likelihood = self.log_likelihood(images)
        return uncertainty.bootstrap(
            log_likelihood, self.bins, integer(n_resamples, "n_resamples", 2), number(level, "level", 0, 1),
            self._rng(random_state),
        )  # fmt: skip

    def reference_counts(
        self,
        images: Sequence[ArrayLike],
        counts: Sequence[int] = (5, 10, 20, 40, 80),
        *,
        n_resamples: int = 100,
        level: float = 0.9,
        random_state: int | None = None,
    ) -> ReferenceCounts:
        """Return how wide the intervals would be with other numbers of reference images like these."""
        log_likelihood = self.log_likelihood(images)
        return uncertainty.reference_counts(
            log_likelihood, self.bins, [integer(c, "counts", 1) for c in counts],
            integer(n_resamples, "n_resamples", 2), number(level, "level", 0, 1), self._rng(random_state),
        )  # fmt: skip

    def identifiability(self, *, n_patches: int = 4, max_pairs: int = 20) -> Identifiability:
        """Return which neighbouring bins one image (of so many patches) cannot tell apart."""
        self._check_fitted()
        return uncertainty.identifiability(
            self.model_.likelihood, self._support(), self.bins, integer(n_patches, "n_patches", 1), max_pairs
        )

    def outside(self, images: Sequence[ArrayLike], *, level: float = OUTSIDE_LEVEL) -> NDArray[np.bool_]:
        """Return which images look like none that the space can make, (n,).

        An image from inside the space is called outside with a probability of at most ``level``, so far as the clean
        images of the fit are like those that the degraded ones were made of: its patches are compared with synthetic
        ones, as patches of each clean image were with those of all the others.
        """
        return self._summaries(images, test=True)[1] <= number(level, "level", 0, 1)

    # -- feature space ------------------------------------------------------------------------------------------------

    def bin_feature_moments(self) -> tuple[Float, Float]:
        """Return means (N, D) and covariances (N, D, D) of the bins in the discriminant feature space."""
        self._check_fitted()
        return self.model_.bin_moments(self._support(), self.bins.n_bins)

    def feature_moments(self, images: Sequence[ArrayLike]) -> tuple[Float, Float]:
        """Return mean (D,) and covariance (D, D) of the images' patches in the discriminant feature space."""
        features, owners, n = self._patch_features(images)
        x = self.model_.discriminants(features)
        weights = 1 / np.bincount(owners, minlength=n)[owners]
        weights /= weights.sum()
        mean = weights @ x
        return mean, ((x - mean) * weights[:, None]).T @ (x - mean)

    def embed(self, images: Sequence[ArrayLike]) -> Float:
        """Return one vector per image, (n, D): the mean of its patches in the discriminant feature space."""
        features, owners, n = self._patch_features(images)
        return group_means(self.model_.discriminants(features), owners, n)

    # -- files --------------------------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted estimator to a ``.npz`` file (no pickles); own callables are not saved."""
        self._check_fitted()
        state = self.bins.to_arrays()
        arrays = {f"bins.{k}": v for k, v in state.items() if isinstance(v, np.ndarray)}
        header = {
            "bins": {k: v for k, v in state.items() if not isinstance(v, np.ndarray)},
            "version": VERSION,
            "n_images": self.n_images_,
            "own": [name for name in ("degrade", "features") if getattr(self, name) is not None],
            "parameters": {
                name: getattr(self, name)
                for name in ("downsampling", "noise", "interpolation", "n_samples", "patch_size", "random_state")
            },
        }
        write_archive(path, FORMAT, header, arrays | self.model_.to_arrays())

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
            Where the file holds something else, or a callable is missing.
        """
        header, arrays = read_archive(path, FORMAT)
        if header["version"] != VERSION:
            raise ValueError(
                f"{os.fspath(path)}: fitted by another version of fastdeg, whose features differ: fit it again"
            )
        if "features" in header["own"] and features is None:
            raise ValueError(f"{os.fspath(path)}: fitted with your own features: pass features= again")
        bins_arrays = {k.removeprefix("bins."): v for k, v in arrays.items() if k.startswith("bins.")}
        try:
            bins = bins_from_arrays(header["bins"] | bins_arrays)
            estimator = cls(bins, **header["parameters"], degrade=degrade, features=features)
            estimator.model_ = DegradationModel.from_arrays(arrays)
            estimator.n_images_ = header["n_images"]
        except KeyError as missing:
            raise ValueError(f"{os.fspath(path)}: expected the entry {missing}, got none") from None
        estimator._support_cache = None
        return estimator

    # -- inside -------------------------------------------------------------------------------------------------------

    def _check_fitted(self) -> None:
        if not hasattr(self, "model_"):
            raise NotFittedError("this DegradationEstimator is not fitted yet: call fit(clean_images) first")

    def _rng(self, random_state: int | None) -> np.random.Generator:
        return generator(self.random_state if random_state is None else random_state, "random_state")

    def _support(self) -> BinSupport:
        if self._support_cache is None:
            self._support_cache = bin_support(self.bins, self.model_.likelihood)
        return self._support_cache

    def _patch_features(self, images: Sequence[ArrayLike]) -> tuple[NDArray[np.float32], NDArray[np.int64], int]:
        """Return the features of all patches of all images, and which image each is of."""
        self._check_fitted()
        recipe = self._recipe()
        found: list[Any] = []
        owners: list[int] = []
        pictures = _image_list(images, "images")
        for i, image in enumerate(pictures):
            x = check_image(image, f"images[{i}]")
            if recipe.embed is not None:
                parts = patches_of(x, recipe.patch_size)
            else:
                plane = luma(x, f"images[{i}]")
                top, left = jpeg_grid_offset(plane) if "jpeg_quality" in recipe.names else (0, 0)
                parts = [luma_features(p[None])[0] for p in patches_of(plane[top:, left:], recipe.patch_size)]
            found += parts
            owners += [i] * len(parts)
        features = embedded(recipe.embed, found) if recipe.embed is not None else np.stack(found)
        return features, np.array(owners), len(pictures)

    def _summaries(self, images: Sequence[ArrayLike], *, test: bool = False) -> tuple[Summaries, Float]:
        """Return what the regressions say of each image, and its p-value inside (ones without the test)."""
        features, owners, n = self._patch_features(images)
        summaries, s = self.model_.summaries(features, owners, n)
        return summaries, self.model_.outside_p_values(features, s, owners, summaries) if test else np.ones(n)

    def _mixture(self, log_likelihood: Float) -> tuple[MixtureFit, BinnedDistribution]:
        fit = fit_mixture(log_likelihood, self.bins.volumes, shape=grid_shape(self.bins))
        weights = fit.weights / fit.weights.sum()
        return fit, BinnedDistribution(self.bins, weights, n_samples=len(log_likelihood))

    def _bin_log_likelihood(self, summaries: Summaries) -> Float:
        support, space = self._support(), self.bins.space
        assert space is not None
        if self.degrade is not None:  # what its axes mean is the user's
            return support.average(self.model_.log_density(summaries, support.points, support.cells))
        log_density = np.full((len(summaries.values), len(support.points)), -np.inf)
        for share, parameters in appearances(space.unstandardize(support.points), axis_names(self.bins)):
            alike = np.clip(space.standardize(parameters), 0, 1)
            own = self.model_.log_density(summaries, alike, support.cells)
            log_density = np.logaddexp(log_density, np.log(share) + own)
        return support.average(log_density)

    def _parameters(self, summaries: Summaries) -> tuple[Float, Float]:
        space = self.bins.space
        assert space is not None
        values, errors = self.model_.parameters(summaries)
        return space.unstandardize(values), errors * space.scales()


def _strongest_downsampling(recipe: Recipe, bins: Bins) -> float:
    assert bins.space is not None
    if "downsampling" in recipe.names:
        return bins.space.axes[recipe.names.index("downsampling")].high
    return float(recipe.fixed.get("downsampling", 1.0))


def _image_list(images: Any, name: str) -> list[Any]:
    if isinstance(images, np.ndarray) and images.ndim in (2, 3) and not (images.ndim == 3 and images.shape[2] > 4):
        raise TypeError(
            f"{name}: expected a sequence of images, got one array of shape {images.shape}; wrap it in a list"
        )
    if isinstance(images, str | os.PathLike):
        raise TypeError(
            f"{name}: expected a sequence of images, got the path {str(images)!r}; read_images reads folders"
        )
    try:
        pictures = list(images)
    except TypeError:
        raise TypeError(f"{name}: expected a sequence of images, got {type(images).__name__}") from None
    if not pictures:
        raise ValueError(f"{name}: expected at least one image, got none")
    return pictures


def _scaled_progress(progress: Progress | None, low: float, high: float) -> Progress | None:
    if progress is None:
        return None
    return lambda fraction, message: progress(low + (high - low) * fraction, message)
