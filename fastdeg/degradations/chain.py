"""The degradation chain of real-world super-resolution: blur, downsampling, noise, JPEG compression.

Every step works alone, on images that are uint8, uint16 or float in [0, 1], of shape (H, W, 3) in RGB order or (H, W).
Inside the chain pixels are float32 on the scale 0 to 255, so that nothing is rounded before the end.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdeg._checks import choice, generator, integer, number, unmasked

if TYPE_CHECKING:
    from fastdeg.distribution import BinnedDistribution

Image = NDArray[Any]
Degradation = Callable[[Image, Mapping[str, float], np.random.Generator], Image]
RandomSource = np.random.Generator | np.random.SeedSequence | int | None

# parameters of the chain that may be axes of a degradation space
PARAMETERS = (
    "blur_sigma",
    "blur_sigma_x",
    "blur_sigma_y",
    "blur_angle",
    "downsampling",
    "poisson_scale",
    "noise_sigma",
    "jpeg_quality",
)
INTERPOLATIONS = {
    "nearest": cv2.INTER_NEAREST,
    "linear": cv2.INTER_LINEAR,
    "cubic": cv2.INTER_CUBIC,
    "area": cv2.INTER_AREA,
    "lanczos": cv2.INTER_LANCZOS4,
}
NOISES = ("gray", "color")
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
_JPEG_LARGEST_SIDE = 65_500


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

    Returns
    -------
    uint8 array of shape (floor(H / downsampling), floor(W / downsampling)[, 3])

    Raises
    ------
    ValueError, TypeError
        Where an argument is out of range, or the image is smaller than the factor.

    Examples
    --------
    >>> import numpy as np, fastdeg as fd
    >>> image = np.full((64, 96, 3), 128, dtype=np.uint8)
    >>> fd.degrade(image, blur_sigma=1.2, downsampling=4, noise_sigma=10, jpeg_quality=80, rng=0).shape
    (16, 24, 3)
    """
    choice(noise, "noise", NOISES)
    x = to_float(image)
    x = shrink(
        x,
        {
            "blur_sigma": blur_sigma,
            "blur_sigma_x": blur_sigma_x,
            "blur_sigma_y": blur_sigma_y,
            "blur_angle": blur_angle,
            "downsampling": downsampling,
        },
        interpolation,
    )
    return corrupt(
        x,
        {"poisson_scale": poisson_scale, "noise_sigma": noise_sigma, "jpeg_quality": jpeg_quality},
        noise,
        generator(rng),
    )


def shrink(x: Image, parameters: Mapping[str, Any], interpolation: str = "cubic") -> Image:
    """First half of the chain, on float32 0..255 at high resolution: blur and downsampling."""
    x = gaussian_blur(
        x,
        parameters.get("blur_sigma", 0),
        sigma_x=parameters.get("blur_sigma_x"),
        sigma_y=parameters.get("blur_sigma_y"),
        angle=parameters.get("blur_angle", 0),
        _scale=1,
    )
    return downsample(x, parameters.get("downsampling", 1), interpolation, _scale=1)


def corrupt(x: Image, parameters: Mapping[str, Any], noise: str, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Second half of the chain, on float32 0..255 at low resolution: noise, rounding, compression."""
    x = add_poisson_noise(x, parameters.get("poisson_scale", 0), noise=noise, rng=rng, _scale=1)
    x = add_gaussian_noise(x, parameters.get("noise_sigma", 0), noise=noise, rng=rng, _scale=1)
    quality = parameters.get("jpeg_quality")
    rounded = to_uint8(x)
    return rounded if quality is None else jpeg_compress(rounded, quality)


def gaussian_blur(
    image: ArrayLike,
    sigma: float = 0,
    *,
    sigma_x: float | None = None,
    sigma_y: float | None = None,
    angle: float = 0,
    _scale: float | None = None,
) -> Image:
    """Blur with a Gaussian of standard deviation ``sigma`` pixels, or of two along axes turned by ``angle`` degrees.

    Returns float32 on 0..255. The border is mirrored.
    """
    x = to_float(image, _scale)
    sigma_x = number(sigma if sigma_x is None else sigma_x, "blur_sigma_x" if sigma_x is not None else "blur_sigma", 0)
    sigma_y = number(sigma if sigma_y is None else sigma_y, "blur_sigma_y" if sigma_y is not None else "blur_sigma", 0)
    angle = number(angle, "blur_angle")
    largest = max(sigma_x, sigma_y)
    if largest == 0:
        return x
    if largest > 1000:
        raise ValueError(f"blur_sigma: expected at most 1000 pixels, got {largest:g}")
    if sigma_x == sigma_y or angle % 90 == 0:
        if angle % 180 == 90:
            sigma_x, sigma_y = sigma_y, sigma_x
        if min(sigma_x, sigma_y) > 0:
            return cv2.GaussianBlur(x, (0, 0), sigmaX=sigma_x, sigmaY=sigma_y)
        # OpenCV takes sigmaY = 0 for "the same as sigmaX"
        return cv2.sepFilter2D(x, cv2.CV_32F, blur_kernel(sigma_x), blur_kernel(sigma_y))
    return cv2.filter2D(x, cv2.CV_32F, _turned_gaussian(sigma_x, sigma_y, np.deg2rad(angle)))


def downsample(image: ArrayLike, factor: float, interpolation: str = "cubic", *, _scale: float | None = None) -> Image:
    """Shrink both sides by ``factor`` (>= 1, whole or not) to ``floor(side / factor)``; float32 on 0..255."""
    x = to_float(image, _scale)
    factor = number(factor, "downsampling", 1)
    choice(interpolation, "interpolation", tuple(INTERPOLATIONS))
    if factor == 1:
        return x
    height, width = (int(side / factor) for side in x.shape[:2])
    if min(height, width) < 1:
        raise ValueError(
            f"image: expected sides of at least {factor:g} pixels to shrink by {factor:g}, got {_size_text(x)}"
        )
    return cv2.resize(x, (width, height), interpolation=INTERPOLATIONS[interpolation])


def add_gaussian_noise(
    image: ArrayLike, sigma: float, *, noise: str = "gray", rng: RandomSource = None, _scale: float | None = None
) -> Image:
    """Add Gaussian noise of standard deviation ``sigma`` on the scale 0..255; float32, not clipped."""
    x = to_float(image, _scale)
    sigma = number(sigma, "noise_sigma", 0)
    if sigma == 0:
        return x
    rng = generator(rng)
    shape = x.shape if noise == "color" else x.shape[:2]
    sample = rng.standard_normal(shape, dtype=np.float32)
    sample *= np.float32(sigma)
    return x + _in_all_channels(sample, x)


def add_poisson_noise(
    image: ArrayLike, scale: float, *, noise: str = "gray", rng: RandomSource = None, _scale: float | None = None
) -> Image:
    """Add shot noise of variance ``scale * level`` (levels on 0..255); "gray" draws it from the luma. float32."""
    x = to_float(image, _scale)
    scale = number(scale, "poisson_scale", 0)
    if scale == 0:
        return x
    rng = generator(rng)
    level = x @ LUMA if noise == "gray" and x.ndim == 3 else x
    level = np.maximum(level, 0)
    difference = (rng.poisson(level / scale) * scale - level).astype(np.float32)
    return x + _in_all_channels(difference, x)


def jpeg_compress(image: ArrayLike, quality: float) -> NDArray[np.uint8]:
    """Compress to JPEG bytes with OpenCV's default chroma subsampling (4:2:0) and decode them again."""
    x = to_uint8(to_float(image)) if not _is_uint8(image) else check_image(image)
    if max(x.shape[:2]) > _JPEG_LARGEST_SIDE:
        raise ValueError(f"image: expected sides of at most {_JPEG_LARGEST_SIDE} pixels for JPEG, got {_size_text(x)}")
    level = jpeg_level(quality)
    if x.ndim == 2:
        return through_jpeg(np.ascontiguousarray(x), level)
    stored: Any = cv2.cvtColor(np.ascontiguousarray(x), cv2.COLOR_RGB2BGR)
    decoded: Any = cv2.cvtColor(through_jpeg(stored, level), cv2.COLOR_BGR2RGB)
    return decoded


def jpeg_level(quality: float) -> int:
    """Return the whole number that a JPEG quality is rounded to, or raise."""
    return min(max(round(number(quality, "jpeg_quality", 0.5, 100.5 - 1e-9)), 1), 100)


def through_jpeg(stored: NDArray[np.uint8], level: int) -> NDArray[np.uint8]:
    """Encode an image in OpenCV's order of channels, or a grey one, at a quality, and decode it again."""
    encoded, data = cv2.imencode(".jpg", stored, [cv2.IMWRITE_JPEG_QUALITY, level])
    if not encoded:
        raise ValueError(f"image: OpenCV could not encode {_size_text(stored)} pixels as JPEG")
    decoded: Any = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE if stored.ndim == 2 else cv2.IMREAD_COLOR)
    return decoded


def check_image(image: ArrayLike, name: str = "image") -> Image:
    """Return the image as an array of shape (H, W, 3) or (H, W), of one of the accepted types, or raise."""
    x = unmasked(image, name)
    if x.ndim == 3 and x.shape[2] == 1:
        x = x[..., 0]
    if x.ndim not in (2, 3) or (x.ndim == 3 and x.shape[2] != 3):
        raise ValueError(f"{name}: expected shape (H, W, 3) or (H, W), got {x.shape}")
    if x.size == 0:
        raise ValueError(f"{name}: expected at least one pixel, got shape {x.shape}")
    if x.dtype not in (np.uint8, np.uint16) and x.dtype.kind != "f":
        raise TypeError(f"{name}: expected uint8, uint16 or float in [0, 1], got dtype {x.dtype}")
    return x


def to_float(image: ArrayLike, scale: float | None = None, name: str = "image") -> Image:
    """Return the image as contiguous float32 on 0..255; ``scale`` = 1 passes an image already there."""
    if scale is not None:
        return np.asarray(image)
    x = check_image(image, name)
    if x.dtype == np.uint8:
        return np.ascontiguousarray(x, dtype=np.float32)
    if x.dtype == np.uint16:
        return np.ascontiguousarray(x, dtype=np.float32) / np.float32(257)
    low, high = float(x.min()), float(x.max())
    if not (low >= -1e-6 and high <= 1 + 1e-6):  # also true for NaN
        raise ValueError(f"{name}: expected finite float pixels in [0, 1], got values from {low:g} to {high:g}")
    return np.ascontiguousarray(x, dtype=np.float32) * np.float32(255)


def to_uint8(x: Image) -> NDArray[np.uint8]:
    """Round float pixels on 0..255 to 8 bits."""
    return np.clip(np.rint(x), 0, 255).astype(np.uint8)


def chain(
    image: Image,
    parameters: Mapping[str, float],
    rng: np.random.Generator,
    *,
    noise: str = "gray",
    interpolation: str = "cubic",
) -> NDArray[np.uint8]:
    """`degrade` with the parameters in a mapping: the form that a user's own pipeline has as well."""
    named: dict[str, Any] = dict(parameters)
    return degrade(image, **named, noise=noise, interpolation=interpolation, rng=rng)


def check_axis_names(names: tuple[str, ...] | list[str]) -> None:
    """Raise unless each axis names a parameter of the chain."""
    unknown = [name for name in names if name not in PARAMETERS]
    if unknown:
        raise ValueError(
            f"space: expected axes among {', '.join(PARAMETERS)} (or your own pipeline in `degrade`), "
            f"got {', '.join(map(repr, unknown))}"
        )


class DegradationTransform:
    """Degrade images with parameters drawn from a distribution: the training side of a crafted distribution.

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
    rng : int or numpy.random.SeedSequence, optional
        Seed. Each worker process draws its own stream from it.

    Examples
    --------
    >>> import numpy as np, fastdeg as fd
    >>> bins = fd.GridBins(fd.DegradationSpace.preset("paper"))
    >>> transform = fd.DegradationTransform(fd.BinnedDistribution.uniform(bins), rng=0)
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
        rng: int | np.random.SeedSequence | None = None,
    ) -> None:
        self.distribution = distribution
        self.names = axis_names(distribution.bins, "distribution")
        if degrade is None:
            check_axis_names(self.names)
        elif not callable(degrade):
            raise TypeError(f"degrade: expected a callable (image, parameters, rng) -> image, got {degrade!r}")
        self.noise = choice(noise, "noise", NOISES)
        self.interpolation = choice(interpolation, "interpolation", tuple(INTERPOLATIONS))
        self.degrade = degrade
        self.fixed = fixed_parameters(self.names, downsampling, degrade)
        if rng is not None and not isinstance(rng, np.random.SeedSequence):
            rng = np.random.SeedSequence(integer(rng, "rng", 0))
        self._seed = rng or np.random.SeedSequence()
        self._worker: tuple[int, ...] | None = None
        self._rng: np.random.Generator | None = None

    def __call__(self, image: ArrayLike) -> tuple[Image, dict[str, float]]:
        rng = self._generator()
        values = self.distribution.sample(1, rng)[0]
        parameters = {**self.fixed, **dict(zip(self.names, map(float, values), strict=True))}
        if self.degrade is not None:
            return self.degrade(check_image(image), parameters, rng), parameters
        low = chain(check_image(image), parameters, rng, noise=self.noise, interpolation=self.interpolation)
        return low, parameters

    def _generator(self) -> np.random.Generator:
        # A worker of a data loader inherits a copy of this object: its place among the workers makes its own stream.
        worker = tuple(multiprocessing.current_process()._identity)
        if self._rng is None or worker != self._worker:
            seed = np.random.SeedSequence(self._seed.entropy, spawn_key=(*self._seed.spawn_key, *worker))
            self._worker, self._rng = worker, np.random.default_rng(seed)
        return self._rng


def axis_names(bins: Any, name: str = "bins") -> tuple[str, ...]:
    """Return the axis names of the bins' space, which say what the parameters mean."""
    space = getattr(bins, "space", None)
    if space is None:
        raise ValueError(f"{name}: expected bins over a DegradationSpace, whose axis names say what to do; got none")
    return tuple(space.names)


def fixed_parameters(
    names: tuple[str, ...], downsampling: float | None, degrade: Degradation | None
) -> dict[str, float]:
    """Return the parameters that are no axes: the downsampling factor of the built-in chain."""
    if "downsampling" in names:
        return {}
    if downsampling is None and degrade is not None:
        return {}
    return {"downsampling": number(4 if downsampling is None else downsampling, "downsampling", 1)}


def _in_all_channels(plane: Image, image: Image) -> Image:
    return plane if plane.ndim == image.ndim else cv2.cvtColor(plane, cv2.COLOR_GRAY2RGB)


def _is_uint8(image: ArrayLike) -> bool:
    return getattr(image, "dtype", None) == np.uint8


def blur_kernel(sigma: float) -> Image:
    """Return the taps of the blur along one axis: a single one where there is none."""
    return cv2.getGaussianKernel(_kernel_size(sigma) if sigma > 0 else 1, sigma or 1.0)[:, 0]


def _kernel_size(sigma: float) -> int:
    return round(sigma * 8 + 1) | 1  # as OpenCV sizes the kernel for float images


def _turned_gaussian(sigma_x: float, sigma_y: float, angle: float) -> NDArray[np.float32]:
    radius = _kernel_size(max(sigma_x, sigma_y)) // 2
    columns, rows = np.meshgrid(np.arange(-radius, radius + 1), np.arange(-radius, radius + 1))
    along = np.cos(angle) * columns - np.sin(angle) * rows  # rows grow downwards
    across = np.sin(angle) * columns + np.cos(angle) * rows
    # an axis without blur keeps a little width, or a turned line would miss most pixels
    kernel = np.exp(-0.5 * ((along / max(sigma_x, 0.3)) ** 2 + (across / max(sigma_y, 0.3)) ** 2))
    return (kernel / kernel.sum()).astype(np.float32)


def _size_text(x: Image) -> str:
    return f"{x.shape[1]} × {x.shape[0]}"
