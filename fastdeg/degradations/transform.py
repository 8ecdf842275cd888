"""The training side of a distribution: images degraded with parameters drawn from it."""

from __future__ import annotations

import warnings
from typing import Any

from numpy.typing import ArrayLike

from fastdeg._checks import choice, integer
from fastdeg.degradations import registry
from fastdeg.degradations.chain import Degradation, checked_history, degrade_by, fixed_parameters
from fastdeg.degradations.draws import Draws
from fastdeg.degradations.history import Drawn, History
from fastdeg.degradations.pixels import Image, check_image
from fastdeg.degradations.steps.downsampling import FACTOR, INTERPOLATIONS
from fastdeg.degradations.steps.noise import NOISES
from fastdeg.degradations.streams import MOST_EPOCHS, Seed, Streams
from fastdeg.distribution import BinnedDistribution


class DegradationTransform:
    """Degrade images with parameters drawn from a distribution: the training side of a crafted distribution.

    Calling it with an image returns the degraded image and the parameters that were used. With the image's number in
    the data set, ``transform(image, index=i, epoch=k)``, they depend on ``(seed, epoch, index)`` alone: the same
    whichever worker or rank asks, and after a restart. Without, each process draws its own stream from the seed: every
    worker of a data loader and every rank of a distributed run (torch's, or by the variable RANK) its own.

    Parameters
    ----------
    distribution : BinnedDistribution
        Where the parameters come from; its bins need a space, whose axis names say what they mean.
    downsampling : float, optional
        Factor where the space has no axis of that name; default 4. Where it has one, all images are shrunk by this
        factor, and the other parameters come from the distribution given that factor: small images of equal size, as
        batches need them.
    noise : {"gray", "color"}
        Whether all channels get the same noise.
    interpolation : {"cubic", "linear", "area", "lanczos", "nearest"}
        Of the downsampling.
    degrade : callable, optional
        Your own pipeline ``(image, parameters, rng) -> image``, instead of `fastdeg.degrade`; ``parameters`` is a
        dictionary from axis name to value.
    history : History or str, optional
        What else happens to the images: a `History`, or the name of a preset. What was drawn of it is returned too.
    seed : int or numpy.random.SeedSequence, optional
        None draws one, which ``.seed`` tells and copies share.
    rng : int or numpy.random.SeedSequence, optional
        Earlier name of ``seed``; deprecated.

    Attributes
    ----------
    seed : int or numpy.random.SeedSequence
    epoch : int
        Where a call tells none; see `set_epoch`.

    Raises
    ------
    TypeError, ValueError
        Where an argument is not what it should be, or the distribution gives a factor no probability.

    See Also
    --------
    degrade : One image, with parameters that are given.
    fastdeg.runs.handover.load_transform : The transform of a run folder.

    Examples
    --------
    >>> import numpy as np, fastdeg as fd
    >>> bins = fd.GridBins(fd.DegradationSpace.preset("paper"))
    >>> transform = fd.DegradationTransform(fd.BinnedDistribution.uniform(bins), seed=0)
    >>> low, parameters = transform(np.zeros((64, 64, 3), np.uint8), index=7, epoch=1)
    >>> low.shape, sorted(parameters)
    ((16, 16, 3), ['blur_sigma', 'downsampling', 'jpeg_quality', 'noise_sigma'])
    >>> transform(np.zeros((64, 64, 3), np.uint8), index=7, epoch=1)[1] == parameters
    True
    """

    def __init__(
        self,
        distribution: BinnedDistribution,
        *,
        downsampling: float | None = None,
        noise: str = "gray",
        interpolation: str = "cubic",
        degrade: Degradation | None = None,
        history: History | str | None = None,
        seed: Seed | None = None,
        rng: Seed | None = None,
    ) -> None:
        if not isinstance(distribution, BinnedDistribution):
            raise TypeError(f"distribution: expected a BinnedDistribution, got {type(distribution).__name__}")
        if degrade is not None and not callable(degrade):
            raise TypeError(f"degrade: expected a callable (image, parameters, rng) -> image, got {degrade!r}")
        self.names = registry.space_of(distribution.bins, "distribution", own_pipeline=degrade is not None).names
        self.noise = choice(noise, "noise", NOISES)
        self.interpolation = choice(interpolation, "interpolation", tuple(INTERPOLATIONS))
        self.degrade = degrade
        if downsampling is not None and FACTOR.name in self.names:
            self.fixed = {FACTOR.name: FACTOR.check(downsampling)}
            distribution = _given(distribution, FACTOR.name, self.fixed[FACTOR.name])
        else:
            self.fixed = fixed_parameters(self.names, downsampling, degrade)
        self.distribution = distribution
        self._draws = Draws(distribution)
        if rng is not None:
            if seed is not None:
                raise ValueError("rng: expected None beside seed, of which it is the earlier name")
            warnings.warn("rng: of DegradationTransform is named seed now", DeprecationWarning, stacklevel=2)
        self.history = checked_history(history, (*self.names, *self.fixed), noise, interpolation, degrade)
        known = registry.parameters()  # looked up once; axes lie within the ranges, so that draws need rounding only
        self._whole = [name for name in self.names if name in known and known[name].whole]
        self._options = {"noise": self.noise, "interpolation": self.interpolation}
        self.epoch = 0
        self._streams = Streams(rng if seed is None else seed)

    @property
    def seed(self) -> Seed:
        """What all streams come from."""
        return self._streams.seed

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of calls that tell none, as samplers have it: before an epoch's workers start.

        Workers that live on (``persistent_workers=True``) have copies that this does not reach: pass them
        ``epoch=`` with the index.

        Raises
        ------
        TypeError, ValueError
            Where it is no whole number >= 0.
        """
        self.epoch = integer(epoch, "epoch", 0, MOST_EPOCHS)

    def __call__(
        self, image: ArrayLike, *, index: int | None = None, epoch: int | None = None
    ) -> tuple[Image, dict[str, Any]]:
        """Degrade an image (uint8, uint16 or float in [0, 1]; (H, W, 3) in RGB order or (H, W)).

        Parameters
        ----------
        image : array_like
        index : int, optional
            The image's number in the data set.
        epoch : int, optional
            Beside ``index``; by default what `set_epoch` said, 0 at first.

        Returns
        -------
        low : array
            uint8, unless your own pipeline returns something else.
        parameters : dict
            As used: JPEG qualities are whole. What was drawn of the history is among them, by its names.

        Raises
        ------
        TypeError, ValueError
            Where the image, the index or the epoch is not what it should be.
        """
        if index is not None:
            epoch = self.epoch if epoch is None else integer(epoch, "epoch", 0, MOST_EPOCHS)
            rng = self._streams.of_item(epoch, integer(index, "index", 0, any_size=True))
        elif epoch is not None:
            raise ValueError(f"epoch: expected an index beside it, got {epoch} alone; set_epoch sets it for all calls")
        else:
            rng = self._streams.of_worker(self.epoch)
        parameters = dict(zip(self.names, self._draws(rng), strict=True)) | self.fixed
        if self.degrade is not None:
            return self.degrade(check_image(image), parameters, rng), parameters
        for name in self._whole:
            parameters[name] = float(round(parameters[name]))
        drawn = self.history.draw(rng) if self.history else Drawn()
        return degrade_by(image, parameters | self._options, rng, drawn), parameters | drawn.parameters

    def __repr__(self) -> str:
        fixed = "".join(f", {name}={value:g}" for name, value in self.fixed.items())
        own = f", degrade={self.degrade!r}" if self.degrade is not None else ""
        own += f", history={self.history!r}" if self.history else ""
        return f"DegradationTransform({self.distribution!r}{fixed}{own}, seed={self.seed})"


def _given(distribution: BinnedDistribution, name: str, value: float) -> BinnedDistribution:
    """Return the distribution given the cell or level of one parameter."""
    bins = distribution.bins
    assert bins.space is not None
    along = bins.space.axis_index(name)
    axis = bins.space.axes[along]
    inside = axis.boundaries[0] <= value <= axis.boundaries[-1] and (not axis.discrete or value in axis.centers)
    mass = distribution.pmf * (axis.assign(bins.centers[:, along]) == axis.assign(value)) * inside
    if not mass.any():
        raise ValueError(f"{name}: expected a value to which the distribution gives probability, got {value:g}")
    return BinnedDistribution(bins, mass / mass.sum(), n_samples=distribution.n_samples)
