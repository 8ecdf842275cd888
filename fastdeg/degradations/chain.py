"""The degradation chain of real-world super-resolution: blur, downsampling, noise, JPEG compression, and what is added.

Images are uint8, uint16 or float in [0, 1], of shape (H, W, 3) in RGB order or (H, W). Between the steps pixels are
float32 on the scale 0 to 255, so that nothing is rounded before the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdeg._checks import generator
from fastdeg.degradations import registry
from fastdeg.degradations.pixels import Image, to_float, to_uint8
from fastdeg.degradations.step import Settings, Step
from fastdeg.degradations.steps.downsampling import DEFAULT_FACTOR, FACTOR
from fastdeg.degradations.steps.noise import RandomSource

Degradation = Callable[[Image, Mapping[str, float], np.random.Generator], Image]


def degrade(
    image: ArrayLike,
    *,
    blur_sigma: float = 0,
    blur_sigma_x: float | None = None,
    blur_sigma_y: float | None = None,
    blur_angle: float = 0,
    downsampling: float = 1,
    interpolation: str = "cubic",
    poisson_scale: float = 0,
    noise_sigma: float = 0,
    noise: str = "gray",
    jpeg_quality: float | None = None,
    rng: RandomSource = None,
    **added: float,
) -> NDArray[np.uint8]:
    """Degrade an image: blur, then downsampling, then noise, then rounding to 8 bits, then JPEG compression.

    Parameters
    ----------
    image : array of shape (H, W, 3), RGB, or (H, W)
        uint8, uint16 or float in [0, 1].
    blur_sigma : float
        Standard deviation of the Gaussian blur, in pixels of ``image``.
    blur_sigma_x, blur_sigma_y, blur_angle : float, optional
        Anisotropic blur: standard deviations along two perpendicular axes (default: ``blur_sigma``) and the angle of
        the first of them, in degrees, counter-clockwise from the rows.
    downsampling : float
        Factor by which both sides shrink, >= 1; the new sides are ``floor(side / downsampling)``.
    interpolation : {"cubic", "linear", "area", "lanczos", "nearest"}
        Interpolation of the downsampling (OpenCV's, without antialiasing except "area").
    poisson_scale : float
        Grey levels per photon: shot noise of variance ``poisson_scale * level``; 0 for none.
    noise_sigma : float
        Standard deviation of the Gaussian noise, on the scale 0 to 255.
    noise : {"gray", "color"}
        Whether all channels get the same noise or each its own.
    jpeg_quality : float, optional
        JPEG quality, 1 to 100, rounded to an integer; None for no compression.
    rng : numpy.random.Generator, SeedSequence, int, optional
        Source of the noise.
    **added : float
        Parameters of steps that `fastdeg.degradations.register` added.

    Returns
    -------
    uint8 array of shape (floor(H / downsampling), floor(W / downsampling)[, 3])

    Raises
    ------
    ValueError, TypeError
        Where an argument is out of range or unknown, or the image is smaller than the factor.

    Examples
    --------
    >>> import numpy as np, fastdeg as fd
    >>> image = np.full((64, 96, 3), 128, dtype=np.uint8)
    >>> fd.degrade(image, blur_sigma=1.2, downsampling=4, noise_sigma=10, jpeg_quality=80, rng=0).shape
    (16, 24, 3)
    """
    settings: dict[str, Any] = {
        "blur_sigma": blur_sigma,
        "blur_sigma_x": blur_sigma_x,
        "blur_sigma_y": blur_sigma_y,
        "blur_angle": blur_angle,
        "downsampling": downsampling,
        "interpolation": interpolation,
        "poisson_scale": poisson_scale,
        "noise_sigma": noise_sigma,
        "noise": noise,
        "jpeg_quality": jpeg_quality,
    }
    return degrade_by(image, settings | added, generator(rng))


def degrade_by(image: ArrayLike, settings: Settings, rng: np.random.Generator) -> NDArray[np.uint8]:
    """`degrade` with all arguments in a mapping; those that are None are as good as not given."""
    unknown = settings.keys() - registry.parameters().keys() - {"interpolation", "noise"}
    if unknown:
        raise TypeError(
            f"degrade: expected parameters among {', '.join(registry.parameters())}, "
            f"got {', '.join(map(repr, sorted(unknown)))}"
        )
    given = {name: value for name, value in settings.items() if value is not None}
    return corrupt(shrink(to_float(image), given, rng), given, rng)


def fixed_parameters(
    names: tuple[str, ...], downsampling: float | None, degrade: Degradation | None
) -> dict[str, float]:
    """Return the parameters that are no axes: the downsampling factor, 4 in the built-in chain unless told."""
    if downsampling is not None and FACTOR.name in names:
        raise ValueError(f"downsampling: expected None, as the space has an axis of that name, got {downsampling}")
    if FACTOR.name in names or (downsampling is None and degrade is not None):
        return {}
    return {FACTOR.name: FACTOR.check(DEFAULT_FACTOR if downsampling is None else downsampling)}


def shrink(x: Image, settings: Settings, rng: np.random.Generator) -> Image:
    """First half of the chain, on float32 0..255 at high resolution: blur and downsampling."""
    return _through(registry.halves()[0], x, settings, rng)


def corrupt(x: Image, settings: Settings, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Second half of the chain, on float32 0..255 at low resolution: noise, rounding, compression."""
    return to_uint8(_through(registry.halves()[1], x, settings, rng))


def _through(steps: Iterable[Step], x: Image, settings: Settings, rng: np.random.Generator) -> Image:
    for step in steps:
        if any(parameter.name in settings for parameter in step.parameters):
            x = step.apply(np.asarray(x, np.float32), settings, rng)
    return x
