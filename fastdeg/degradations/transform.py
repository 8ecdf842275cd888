"""The training side of a distribution: images degraded with parameters drawn from it."""

from __future__ import annotations

import multiprocessing

import numpy as np
from numpy.typing import ArrayLike

from fastdeg._checks import choice, integer
from fastdeg.degradations import registry
from fastdeg.degradations.chain import Degradation, degrade_by, fixed_parameters
from fastdeg.degradations.pixels import Image, check_image
from fastdeg.degradations.steps.downsampling import INTERPOLATIONS
from fastdeg.degradations.steps.noise import NOISES
from fastdeg.distribution import BinnedDistribution

Seed = int | np.random.SeedSequence | None


class DegradationTransform:
    """Degrade images with parameters drawn from a distribution: the training side of a crafted distribution.

    Calling it with an image returns the degraded image and the parameters that were used.

    Parameters
    ----------
    distribution : BinnedDistribution
        Where the parameters come from; its bins need a space, whose axis names say what they mean.
    downsampling : float, optional
        Factor where the space has no axis of that name; default 4.
    noise : {"gray", "color"}
        Whether all channels get the same noise.
    interpolation : {"cubic", "linear", "area", "lanczos", "nearest"}
        Of the downsampling.
    degrade : callable, optional
        Your own pipeline ``(image, parameters, rng) -> image``, instead of `fastdeg.degrade`; ``parameters`` is a
        dictionary from axis name to value.
    seed : int or numpy.random.SeedSequence, optional
        Each worker process draws its own stream from it.
    rng : int or numpy.random.SeedSequence, optional
        Earlier name of ``seed``.

    Examples
    --------
    >>> import numpy as np, fastdeg as fd
    >>> bins = fd.GridBins(fd.DegradationSpace.preset("paper"))
    >>> transform = fd.DegradationTransform(fd.BinnedDistribution.uniform(bins), seed=0)
    >>> low, parameters = transform(np.zeros((64, 64, 3), np.uint8))
    >>> low.shape, sorted(parameters)
    ((16, 16, 3), ['blur_sigma', 'downsampling', 'jpeg_quality', 'noise_sigma'])
    """

    def __init__(
        self,
        distribution: BinnedDistribution,
        *,
        downsampling: float | None = None,
        noise: str = "gray",
        interpolation: str = "cubic",
        degrade: Degradation | None = None,
        seed: Seed = None,
        rng: Seed = None,
    ) -> None:
        if not isinstance(distribution, BinnedDistribution):
            raise TypeError(f"distribution: expected a BinnedDistribution, got {type(distribution).__name__}")
        self.distribution = distribution
        if degrade is not None and not callable(degrade):
            raise TypeError(f"degrade: expected a callable (image, parameters, rng) -> image, got {degrade!r}")
        self.names = registry.space_of(distribution.bins, "distribution", own_pipeline=degrade is not None).names
        self.noise = choice(noise, "noise", NOISES)
        self.interpolation = choice(interpolation, "interpolation", tuple(INTERPOLATIONS))
        self.degrade = degrade
        self.fixed = fixed_parameters(self.names, downsampling, degrade)
        if seed is not None and rng is not None:
            raise ValueError("rng: expected None beside seed, of which it is the earlier name")
        seed = rng if seed is None else seed
        if seed is not None and not isinstance(seed, np.random.SeedSequence):
            seed = np.random.SeedSequence(integer(seed, "seed", 0))
        self._seed = seed or np.random.SeedSequence()
        self._worker: tuple[int, ...] | None = None
        self._rng: np.random.Generator | None = None

    def __call__(self, image: ArrayLike) -> tuple[Image, dict[str, float]]:
        rng = self._generator()
        values = self.distribution.sample(1, rng)[0]
        parameters = {**self.fixed, **dict(zip(self.names, map(float, values), strict=True))}
        if self.degrade is not None:
            return self.degrade(check_image(image), parameters, rng), parameters
        known = registry.parameters()
        used = {name: known[name].check(value) if name in known else value for name, value in parameters.items()}
        return degrade_by(image, used | {"noise": self.noise, "interpolation": self.interpolation}, rng), used

    def _generator(self) -> np.random.Generator:
        # A worker of a data loader inherits a copy of this object: its place among the workers makes its own stream.
        worker = tuple(multiprocessing.current_process()._identity)
        if self._rng is None or worker != self._worker:
            seed = np.random.SeedSequence(self._seed.entropy, spawn_key=(*self._seed.spawn_key, *worker))
            self._worker, self._rng = worker, np.random.default_rng(seed)
        return self._rng
