"""The forecast: what training on a distribution is expected to gain on the application, and elsewhere, in decibels."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

from fastdeg import _checks
from fastdeg._files import damage_told, read_archive, write_archive
from fastdeg._threads import single_blas_thread
from fastdeg._types import ByValue, Float, Progress
from fastdeg.bins import Bins, bins_from_arrays
from fastdeg.degradations.chain import degrade_by
from fastdeg.degradations.history import History, as_history
from fastdeg.degradations.pixels import to_float
from fastdeg.degradations.registry import space_of
from fastdeg.degradations.steps.downsampling import FACTOR
from fastdeg.degradations.steps.noise import LUMA
from fastdeg.distribution import BinnedDistribution
from fastdeg.forecast.groups import BinGroups
from fastdeg.forecast.learner import Learner, Moments
from fastdeg.forecast.moments import accumulate, least_side, pieces_of, psnr

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMAT = "TrainingForecast"
_AT_ONCE = 8  # distributions trained on together: each matrix is read once for all of them
_ARRAYS = ("features", "products", "squares", "shares")  # of the moments, in an archive


@dataclass(frozen=True, eq=False)
class Gain(ByValue):
    """What training on one distribution gains over training on another, in decibels.

    Attributes
    ----------
    target, prior : float
        On the application, and on average over the prior: what is lost elsewhere is below zero.
    target_error, prior_error : float
        Standard errors, over groups of clean images; nan where there is one group.
    """

    target: float
    prior: float
    target_error: float
    prior_error: float

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw both gains with their standard errors.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            A new figure by default.

        Returns
        -------
        Axes
        """
        from fastdeg import plotting

        return plotting.gain(self, ax)


class TrainingForecast(BaseEstimator):
    """Forecast of the accuracy, in decibels and in each bin, after training on any distribution of degradations.

    A super-resolution learner that is linear in fixed features of patches of the degraded image (pixels, pixels by
    noise level, rectified random filters) is trained on a distribution p by one linear solve from second moments of
    each bin; its error in each bin follows from the same moments. It is trained on some clean images and judged on the
    others (cross-fitting over five groups). Sizes are those of this learner: networks gain and lose in nearly the
    same order, and lose more (see the documentation).

    Parameters
    ----------
    bins : GridBins or CentroidBins
        With a space, whose axis names say what they mean (see `fastdeg.degrade`).
    scale : int
        Factor of the super-resolution, 2 to 8. Without an axis ``downsampling`` images are shrunk by it; with one, they
        are shrunk as drawn and resized to it.
    history : History or str, optional
        What else may happen to images, drawn at random and integrated over; of a preset, its name.
    random_state : int
        Seed; results do not depend on the number of threads.

    Attributes
    ----------
    moments_ : Moments
        Of features and clean pixels, by group of images and bin (or group of bins).
    n_images_ : int
    grouping_error_ : float
        Decibels by which the accuracy in a bin differs from that of its group, as root mean square; 0 up to 150 bins,
        each of which is its own group.

    See Also
    --------
    fastdeg.craft : ``generalization={"loss": 0.3}, forecast=`` crafts p for a loss elsewhere that is allowed.
    fastdeg.baselines.forecast_optimal : The p that is best in the forecast itself.

    Examples
    --------
    >>> import numpy as np, fastdeg as fd
    >>> bins = fd.GridBins(fd.DegradationSpace([fd.Axis.regular("noise_sigma", 0, 50, 2)]))
    >>> clean = np.random.default_rng(0).integers(0, 256, (2, 96, 128)).astype(np.uint8)
    >>> forecast = fd.TrainingForecast(bins, scale=2).fit(list(clean))
    >>> forecast.psnr(fd.BinnedDistribution.uniform(bins)).shape
    (2,)
    >>> forecast.gain(fd.BinnedDistribution.uniform(bins), target=fd.BinnedDistribution(bins, [1, 0])).target
    0.0
    """

    def __init__(
        self, bins: Bins, *, scale: int = 4, history: History | str | None = None, random_state: int = 0
    ) -> None:
        self.bins = bins
        self.scale = scale
        self.history = history
        self.random_state = random_state

    @property
    def least_side(self) -> int:
        """The least side of a clean image, in pixels."""
        space = space_of(self.bins, "bins", own_pipeline=False)
        factor = max((axis.high for axis in space.axes if axis.name == FACTOR.name), default=0)
        return max(least_side(self.scale), math.ceil(factor))

    def fit(
        self,
        clean_images: Sequence[ArrayLike],
        y: Any = None,
        *,
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> Self:
        """Learn the moments from clean images.

        Parameters
        ----------
        clean_images : sequence of arrays, (H, W, 3) RGB or (H, W)
            Photographs like those that will be trained on; of fewer than five there are fewer groups.
        y : ignored
        threads : int, optional
            Default: numba's setting. The result does not depend on it.
        progress : callable (fraction, message), optional

        Raises
        ------
        ValueError, TypeError
            Where there are no images, one of them is too small or no image, or a parameter is out of range.
        MemoryError
            Where the moments would not fit in memory; nothing is taken before that.
        """
        groups, corrupt = self._checked()
        _checks.progress(progress)
        pieces = pieces_of(self._gray(clean_images), self.scale)
        draws = [groups.draw(self.bins, k) for k in range(groups.n_groups)]
        seed = _checks.integer(self.random_state, "random_state", 0, any_size=True)
        moments = accumulate(pieces, draws, corrupt, self.scale, seed, threads=threads, progress=progress)
        self._set(moments, groups, len(clean_images))
        return self

    def psnr(self, p: BinnedDistribution) -> Float:
        """Return the expected accuracy in each bin after training on p, in decibels, shape (N,).

        Means over groups of clean images of the PSNR on luma, each of a learner that has not seen the group.
        """
        by_group = self._psnr(self._pmf(p, "p")[None])[0].mean(axis=0)
        return self.groups_.spread(by_group)

    def gain(
        self, p: BinnedDistribution, *, target: BinnedDistribution, prior: BinnedDistribution | None = None
    ) -> Gain:
        """Return what training on p gains over training on the prior, on the target and over the prior.

        Parameters
        ----------
        p, target : BinnedDistribution
            What is trained on, and the distribution of the application.
        prior : BinnedDistribution, optional
            The broad distribution, uniform by default.
        """
        return self.gains([p], target=target, prior=prior)[0]

    def gains(
        self,
        distributions: Sequence[BinnedDistribution],
        *,
        target: BinnedDistribution,
        prior: BinnedDistribution | None = None,
    ) -> list[Gain]:
        """Return `gain` for each of several distributions; training on the prior is forecast once."""
        if not isinstance(distributions, Sequence):
            raise TypeError(f"distributions: expected a sequence of them, got {_checks.shown(distributions)}")
        broad = BinnedDistribution.uniform(self.bins) if prior is None else prior
        weights = np.stack([self._pmf(target, "target"), self._pmf(broad, "prior")])
        accuracy = self._psnr(np.stack([weights[1], *(self._pmf(p, "p") for p in distributions)]))
        found = []
        for by_group in (accuracy[1:] - accuracy[0]) @ weights.T:
            n = len(by_group)
            errors = by_group.std(axis=0, ddof=1) / np.sqrt(n) if n > 1 else np.full(2, np.nan)
            found.append(Gain(*map(float, (*by_group.mean(axis=0), *errors))))
        return found

    def mean_psnr(self, p: BinnedDistribution, weights: BinnedDistribution) -> tuple[float, Float]:
        """Return the accuracy on a distribution after training on p, and its derivative with respect to p, (N,)."""
        wanted, pmf = self._pmf(weights, "weights"), self._pmf(p, "p")
        learner = self.learner_
        with single_blas_thread():
            trained = learner.train(pmf[None])
            errors = learner.errors(trained)[0]
            slopes = -10 / np.log(10) * wanted / errors / len(errors)
            return float((psnr(errors, self.scale) @ wanted).mean()), self.groups_.spread(
                learner.gradient(trained, slopes)
            )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted forecast to a ``.npz`` file (no pickles); an existing file is replaced in one step."""
        self._check_fitted()
        state = {f"bins_{key}": value for key, value in self.bins.to_arrays().items()}
        arrays = {key: value for key, value in state.items() if isinstance(value, np.ndarray)}
        header = {key: value for key, value in state.items() if key not in arrays} | {
            "scale": self.scale,
            "history": as_history(self.history).to_dict(),
            "random_state": self.random_state,
            "ridge": self.moments_.ridge,
            "n_images": self.n_images_,
        }
        arrays |= {name: getattr(self.moments_, name) for name in _ARRAYS}
        write_archive(path, FORMAT, header, arrays | {"labels": self.groups_.labels}, compressed=False)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> TrainingForecast:
        """Read a forecast that `save` wrote.

        Raises
        ------
        FileNotFoundError, ValueError
            When there is no such file, or it holds something else.
        """
        header, arrays = read_archive(path, FORMAT)
        with damage_told(path):
            both = header | arrays
            state = {key.removeprefix("bins_"): value for key, value in both.items() if key.startswith("bins_")}
            steps = History.from_dict(header["history"])
            found = cls(
                bins_from_arrays(state),
                scale=header["scale"],
                history=steps or None,
                random_state=header["random_state"],
            )
            moments = Moments(**{name: arrays[name] for name in _ARRAYS}, ridge=header["ridge"])
            groups = BinGroups(arrays["labels"], found.bins.volumes)
            found._set(moments, groups, header["n_images"])
        return found

    def _set(self, moments: Moments, groups: BinGroups, n_images: int) -> None:
        self.moments_, self.groups_, self.n_images_ = moments, groups, n_images
        self.learner_ = Learner(moments)
        uniform = BinnedDistribution.uniform(self.bins)
        self.grouping_error_ = groups.error(self.bins, self._psnr(self._pmf(uniform, "p")[None])[0].mean(axis=0))

    def _psnr(self, pmfs: Float) -> Float:
        """Return the accuracy after training on each pmf over groups of bins, (n, groups of images, groups of bins)."""
        learner = self.learner_
        with single_blas_thread():
            errors = [
                learner.errors(learner.train(part)) for part in np.split(pmfs, range(_AT_ONCE, len(pmfs), _AT_ONCE))
            ]
        return psnr(np.concatenate(errors), self.scale)

    def _check_fitted(self) -> None:
        if not hasattr(self, "moments_"):
            raise NotFittedError("this TrainingForecast is not fitted yet: call fit(clean_images) first")

    def _pmf(self, distribution: BinnedDistribution, name: str) -> Float:
        """Return the masses of a distribution by group of bins."""
        self._check_fitted()
        if not isinstance(distribution, BinnedDistribution):
            raise TypeError(f"{name}: expected a BinnedDistribution, got {type(distribution).__name__}")
        if distribution.bins != self.bins:
            raise ValueError(f"{name}: expected the bins that the forecast was fitted with, got other ones")
        return self.groups_.gather(distribution.pmf)

    def _checked(self) -> tuple[BinGroups, Callable[..., NDArray[np.uint8]]]:
        if not isinstance(self.bins, Bins):
            raise TypeError(f"bins: expected GridBins or CentroidBins, got {type(self.bins).__name__}")
        space = space_of(self.bins, "bins", own_pipeline=False)
        scale = _checks.integer(self.scale, "scale", 2, 8)
        fixed = {} if FACTOR.name in space.names else {FACTOR.name: float(scale)}
        names, history = space.names, as_history(self.history)
        history.check((*names, *fixed))

        def corrupt(image: NDArray[np.float32], values: Float, rng: np.random.Generator) -> NDArray[np.uint8]:
            settings = fixed | dict(zip(names, map(float, values), strict=True))
            return degrade_by(image / np.float32(255), settings, rng, history.draw(rng))

        return BinGroups.of(self.bins), corrupt

    def _gray(self, clean_images: Sequence[ArrayLike]) -> list[NDArray[np.float32]]:
        """Return the luma of clean images, in grey levels, or raise where one is too small."""
        if isinstance(clean_images, np.ndarray | str | os.PathLike) or not isinstance(clean_images, Sequence):
            raise TypeError(f"clean_images: expected a sequence of images, got {type(clean_images).__name__}")
        if not clean_images:
            raise ValueError("clean_images: expected at least one image, got none")
        gray: list[NDArray[np.float32]] = []
        least = self.least_side
        for i, image in enumerate(clean_images):
            x = to_float(image, f"clean_images[{i}]")
            x = x if x.ndim == 2 else x @ LUMA
            needed = 2 * least if len(clean_images) == 1 else least  # a single one is cut in two
            if min(x.shape) < least or max(x.shape) < needed:
                raise ValueError(
                    f"clean_images[{i}]: expected sides of at least {least} pixels, and {needed} along the longer "
                    f"one, for a scale of {self.scale}, got {x.shape[1]} × {x.shape[0]}"
                )
            gray.append(x)
        return gray
