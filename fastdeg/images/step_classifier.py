"""Which step made a photo: what each step of the table makes of clean images, told apart by a classifier.

Clean patches are degraded by one step of the table each, or none, beside blur, noise and compression that happen to
half of them. What a classifier says of photos, p(step | photo) over the step's share of the patches, is a ratio of
likelihoods (Sugiyama et al., Density Ratio Estimation in Machine Learning, 2012), so that photos are a mixture of what
the steps make. Steps are added one by one, each time the one whose mixture is most likely to have made photos that its
weights were not fitted on.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.decomposition import PCA
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from fastdeg._checks import choice, integer, number
from fastdeg._threads import single_blas_thread
from fastdeg._types import Float, Progress
from fastdeg.bins import GridBins
from fastdeg.degradations.history import History
from fastdeg.degradations.typical import typical_steps
from fastdeg.images.description import DescribedImages, Images, described, image_list
from fastdeg.images.features import JPEG_EVIDENCE, JPEG_QUALITY, MANY_IMAGES, feature_weights
from fastdeg.images.files.read import ImageFile
from fastdeg.images.inference.mixture import fit_mixture
from fastdeg.images.inference.pooling import group_means
from fastdeg.images.inference.recipe import Recipe, recipe_of
from fastdeg.images.inference.synthesis import checked_clean_images, least_side, synthesize
from fastdeg.space import Axis, DegradationSpace

CRAFTED = {"blur_sigma": "blur", "noise_sigma": "Gaussian noise", "jpeg_quality": "JPEG"}  # axes, and their steps
OFF = np.array([0.0, 0.0, 110.0])  # values of the axes at which their steps do nothing
PATCH = 80
N_PER_STEP = 800  # synthetic patches
N_COMPONENTS = 100
HIDDEN = (96,)
PENALTY = 1.0
EPOCHS = 25
OTHER_WEIGHT = 4.0  # of the comb and of the statistics of structure, each beside many of the DCT
LARGEST = 5.0  # standardised features beyond are clipped
LEAST_GAIN = 2.0  # of log-likelihood, all photos together, for which a step is worth its place
MOST_FOLDS = 10  # of photos
LEAST_WEIGHT = 0.05  # of what weights start from, in those that photos held out are told by
# how steps of the axes act, whatever else happened
MANNERS: tuple[dict[str, Any], ...] = (
    {"step": "downsampling", "interpolation": {"choice": ["area", "linear", "cubic"]}},
    {"step": "Gaussian noise", "noise": {"choice": ["gray", "color"]}},
    {"step": "JPEG", "jpeg_subsampling": {"choice": ["4:2:0", "4:4:4"], "weights": [0.7, 0.3]}},
)


@dataclass(frozen=True)
class Addition:
    """A step that explains photos.

    Attributes
    ----------
    step : str
        Its name in the table.
    gain : float
        Log-likelihood per photo, of photos held out, that it adds to what the steps before it say.
    share : float
        Of the photos to which it happened.
    """

    step: str
    gain: float
    share: float


class StepClassifier:
    """Tells which step made photos, from what the steps make of clean images.

    Parameters
    ----------
    downsampling : float
        By which the photos were reduced.
    steps : collection of str, optional
        Names of the steps beside blur, noise and JPEG that are thought of. Default: all of the table.
    n_per_step : int
        Synthetic patches of each step.
    random_state : int
        Seed; results do not depend on the number of threads.
    """

    def __init__(
        self,
        downsampling: float = 4,
        *,
        steps: Collection[str] | None = None,
        n_per_step: int = N_PER_STEP,
        random_state: int = 0,
    ) -> None:
        self.downsampling, self.n_per_step = (
            number(downsampling, "downsampling", 1),
            integer(n_per_step, "n_per_step", 1),
        )
        self.random_state = integer(random_state, "random_state", 0)
        known = typical_steps(frozenset(CRAFTED), self.downsampling)
        wanted = known if steps is None else [choice(step, "steps", tuple(known)) for step in steps]
        self.candidates = {step: known[step] for step in wanted}
        self._bins = GridBins(_drawn_space(self.downsampling))

    @property
    def least_side(self) -> int:
        """The least side, in pixels, of a clean image."""
        return least_side(self.downsampling)

    def fit(
        self,
        clean_images: Sequence[ArrayLike | ImageFile],
        *,
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> StepClassifier:
        """Degrade clean images by each step, and learn to tell them apart."""
        images = checked_clean_images(image_list(clean_images, "clean_images"), self.downsampling)
        ways: list[list[dict[str, Any]]] = [[], *([config] for config in self.candidates.values())]
        seeds = np.random.SeedSequence(self.random_state).spawn(len(ways))
        features, parameters = [], []
        for k, (way, seed) in enumerate(zip(ways, seeds, strict=True)):
            made = synthesize(
                images, partial(_drawn, self._bins.space), self._recipe(way), self.n_per_step, seed, threads=threads
            )
            features.append(made.features)
            parameters.append(made.parameters)
            if progress is not None:
                progress((k + 1) / (len(ways) + 1), "degrading clean images by each step")
        labels = np.repeat(np.arange(len(ways)), [len(x) for x in features])
        x, happened = np.concatenate(features), np.concatenate(parameters) != OFF
        weights = feature_weights(max(len(images), MANY_IMAGES), history=True)
        weights[weights == 0] = OTHER_WEIGHT
        with single_blas_thread():
            self._components = make_pipeline(
                FunctionTransformer(_logarithmic),
                StandardScaler(),
                FunctionTransformer(_weighted, kw_args={"weights": weights}),
                PCA(min(N_COMPONENTS, *x.shape), whiten=True, svd_solver="randomized", random_state=self.random_state),
            ).fit(x)
            components = self._components.transform(x)
            self._of_step, self._of_axes = (self._network().fit(components, y) for y in (labels, happened))
        self._shares = np.log(np.bincount(labels) / len(labels)), happened.mean(axis=0)
        if progress is not None:
            progress(1.0, "learnt what each step makes")
        return self

    def _network(self) -> MLPClassifier:
        return MLPClassifier(
            HIDDEN,
            alpha=PENALTY,
            learning_rate_init=3e-3,
            random_state=self.random_state,
            tol=1e9,
            n_iter_no_change=EPOCHS,
            max_iter=2 * EPOCHS,  # so many epochs, whatever they gain
        )

    def _recipe(self, steps: Sequence[Mapping[str, Any]] = ()) -> Recipe:
        history = History([*MANNERS, *steps])
        return recipe_of(self._bins, self.downsampling, "gray", "cubic", None, history, None, PATCH)

    def describe(self, images: Images) -> DescribedImages:
        """Describe photos once, for `log_ratios` and `additions`."""
        return described(images, self._recipe())

    def log_ratios(self, images: Images) -> Mapping[str, Float]:
        """Return by step the log-likelihood ratio of each image, (n,), of the step to its absence."""
        x = self.describe(images)
        with single_blas_thread():
            components = self._components.transform(x.features)
            of_step = self._of_step.predict_log_proba(components) - self._shares[0]
            of_axes = np.clip(self._of_axes.predict_proba(components), 1e-6, 1 - 1e-6)
        share = self._shares[1]
        both = np.hstack(
            [of_step[:, 1:] - of_step[:, :1], np.log(of_axes / (1 - of_axes)) - np.log(share / (1 - share))]
        )
        by_image = group_means(both, x.owners, len(x))  # patches of one image do not count as several
        return dict(zip([*self.candidates, *CRAFTED.values()], by_image.T, strict=True))

    def additions(self, images: Images) -> list[Addition]:
        """Return the steps that explain images, those that explain most first."""
        ratios = self.log_ratios(images)
        found = [Addition(step, *_held_out([ratios[step]])) for step in CRAFTED.values()]
        chosen: list[Float] = []
        before, left = 0.0, set(self.candidates)
        while left:
            tried = {step: _held_out([*chosen, ratios[step]]) for step in sorted(left)}
            best = max(tried, key=lambda step: tried[step][0])
            after, share = tried[best]
            if (after - before) * len(ratios[best]) < LEAST_GAIN:
                break
            found.append(Addition(best, after - before, share))
            chosen, before = [*chosen, ratios[best]], after
            left.remove(best)
        worth = [addition for addition in found if addition.gain * len(ratios[addition.step]) >= LEAST_GAIN]
        return sorted(worth, key=lambda addition: -addition.gain)


def _drawn_space(factor: float) -> DegradationSpace:
    """Return what blur, noise and compression are drawn from where they happen."""
    ranges = {"blur_sigma": (0.3 * factor, 1.25 * factor), "noise_sigma": (3, 50), "jpeg_quality": (10, 110)}
    return DegradationSpace([Axis.regular(name, low, high, 1) for name, (low, high) in ranges.items()])


def _drawn(space: DegradationSpace, n: int, rng: np.random.Generator) -> Float:
    """Draw parameters uniformly over the space, each set to what does nothing with a probability of a half."""
    drawn = np.stack([rng.uniform(axis.low, min(axis.high, 97), n) for axis in space.axes], axis=1)
    return np.where(rng.random(drawn.shape) < 0.5, OFF, drawn)


def _logarithmic(x: NDArray[Any]) -> NDArray[Any]:
    x = x.copy()
    evidence = x[:, JPEG_EVIDENCE]  # below 0 where a comb speaks against libjpeg's tables
    x[:, JPEG_EVIDENCE] = np.sign(evidence) * np.log1p(np.abs(evidence))
    x[:, JPEG_QUALITY] *= x[:, JPEG_EVIDENCE] > 1  # without a comb it means nothing
    return x


def _weighted(x: NDArray[Any], weights: Float) -> NDArray[Any]:
    return np.asarray(np.clip(x, -LARGEST, LARGEST) * weights)


def _held_out(log_ratios: Sequence[Float]) -> tuple[float, float]:
    """Return the log-likelihood per photo of a mixture of nothing and of steps, of which log-ratios (n,) to nothing are
    given, and the share of the last step.

    The photos of each fold are told by the mixture that was fitted on the others.
    """
    log_likelihood = np.stack([np.zeros(len(log_ratios[0])), *log_ratios], axis=1)
    prior = np.array([0.5, *np.full(len(log_ratios), 0.5 / len(log_ratios))])
    folds = np.arange(len(log_likelihood)) % min(len(log_likelihood), MOST_FOLDS)
    total = 0.0
    for fold in np.unique(folds):
        others, own = log_likelihood[folds != fold], log_likelihood[folds == fold]
        weights = fit_mixture(others, prior).weights if len(others) else prior
        weights = (1 - LEAST_WEIGHT) * weights + LEAST_WEIGHT * prior
        total += float(np.logaddexp.reduce(own + np.log(weights), axis=1).sum())
    return total / len(log_likelihood), float(fit_mixture(log_likelihood, prior).weights[-1])
