"""The degradation chain of real-world super-resolution: blur, downsampling, noise, JPEG compression, and what is added.

Images are uint8, uint16 or float in [0, 1], of shape (H, W, 3) in RGB order or (H, W). Between the steps pixels are
float32 on the scale 0 to 255, so that nothing is rounded before the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdeg._checks import generator
from fastdeg.degradations import registry
from fastdeg.degradations.history import History, as_history
from fastdeg.degradations.history_nodes import Drawn, Event
from fastdeg.degradations.pixels import Image, to_float, to_uint8
from fastdeg.degradations.step import Settings, Step
from fastdeg.degradations.steps.downsampling import DEFAULT_FACTOR, FACTOR, SIZE, low_size
from fastdeg.degradations.steps.noise import RandomSource

# what `degrade` does unless told, and so no choice of the caller's
DEFAULTS: dict[str, Any] = {"blur_sigma": 0, "blur_angle": 0, "downsampling": 1, "poisson_scale": 0, "noise_sigma": 0}
DEFAULTS |= {"noise": "gray", "interpolation": "cubic"}
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
    history: History | str | None = None,
    rng: RandomSource = None,
    **added: float | str,
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
    interpolation : {"cubic", "linear", "area", "lanczos", "nearest", "cubic_antialiased", …}
        Interpolation of the downsampling: OpenCV's, without antialiasing except "area"; or Pillow's, with it:
        "linear_antialiased", "cubic_antialiased", "lanczos_antialiased".
    poisson_scale : float
        Grey levels per photon: shot noise of variance ``poisson_scale * level``; 0 for none.
    noise_sigma : float
        Standard deviation of the Gaussian noise, on the scale 0 to 255.
    noise : {"gray", "color"}
        Whether all channels get the same noise or each its own.
    jpeg_quality : float, optional
        JPEG quality, 1 to 100, rounded to an integer; None, or above 100 (up to 110), for no compression.
    rng : numpy.random.Generator, SeedSequence, int, optional
        Source of the noise.
    history : History or str, optional
        What else happens, drawn from ``rng``: a `History`, or the name of a preset. What is given here is crafted, the
        history adds its steps at their places. Default: nothing.
    **added : float or str
        Parameters and options of all other steps: docs/images.md lists them, `fastdeg.degradations.register` adds more.

    Returns
    -------
    uint8 array of shape (floor(H / downsampling), floor(W / downsampling)[, 3])

    Raises
    ------
    ValueError, TypeError
        Where an argument is out of range or unknown, or drawn from the history too, or the image is smaller than the
        factor.

    See Also
    --------
    DegradationTransform : Draws the parameters from a distribution.
    History : What else happens to photos.
    fastdeg.degradations.register : Adds a step.

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
    settings |= added
    source, drawn_from = generator(rng), as_history(history)
    if drawn_from:
        settings = {
            name: value for name, value in settings.items() if value is not None and value != DEFAULTS.get(name)
        }
        drawn_from.check(settings)
    return degrade_by(image, settings, source, drawn_from.draw(source))


def degrade_by(
    image: ArrayLike, settings: Settings, rng: np.random.Generator, drawn: Drawn | None = None
) -> NDArray[np.uint8]:
    """`degrade` with all arguments in a mapping, and what was drawn from a history; None is as good as not given."""
    unknown = settings.keys() - registry.parameters().keys() - registry.options().keys()
    if unknown:
        raise TypeError(
            f"degrade: expected parameters among {', '.join(registry.parameters())}, "
            f"got {', '.join(map(repr, sorted(unknown)))}"
        )
    given = {name: value for name, value in settings.items() if value is not None}
    x = to_float(image)
    events: Sequence[Event] = ()
    if drawn is not None:
        given, events = given | drawn.settings, drawn.events
    given = with_size(given, x.shape[:2], events)
    return corrupt(shrink(x, given, rng, events), given, rng, events)


def fixed_parameters(
    names: tuple[str, ...], downsampling: float | None, degrade: Degradation | None
) -> dict[str, float]:
    """Return the parameters that are no axes: the downsampling factor, 4 in the built-in chain unless told."""
    if downsampling is not None and FACTOR.name in names:
        raise ValueError(f"downsampling: expected None, as the space has an axis of that name, got {downsampling}")
    if FACTOR.name in names or (downsampling is None and degrade is not None):
        return {}
    return {FACTOR.name: FACTOR.check(DEFAULT_FACTOR if downsampling is None else downsampling)}


def checked_history(
    history: History | str | None,
    crafted: Iterable[str],
    noise: str,
    interpolation: str,
    degrade: Degradation | None,
) -> History:
    """Return the history of an argument; crafted: names of axes and of fixed parameters."""
    checked = as_history(history)
    if checked and degrade is not None:
        raise ValueError("history: expected None beside degrade, whose callable does all that happens to an image")
    words = {"noise": noise, "interpolation": interpolation}
    checked.check([*crafted, *(name for name, word in words.items() if word != DEFAULTS[name])])
    return checked


def with_size(settings: dict[str, Any], shape: tuple[int, ...], events: Sequence[Event] = ()) -> dict[str, Any]:
    """Return settings that say what size comes of a clean image, where something changes sizes on the way."""
    resized = any("resize_scale" in given for given in (settings, *(event.settings for event in events)))
    if not resized and "resampling_scale" not in settings:
        return settings
    return {"downsampling": 1, **settings, SIZE: low_size(shape, settings)}


def shrink(x: Image, settings: Settings, rng: np.random.Generator, events: Sequence[Event] = ()) -> Image:
    """First half of the chain, on float32 0..255 at high resolution: blur and downsampling, and events among them."""
    return _through(True, x, settings, rng, events)


def corrupt(x: Image, settings: Settings, rng: np.random.Generator, events: Sequence[Event] = ()) -> NDArray[np.uint8]:
    """Second half of the chain, on float32 0..255 at low resolution: noise, rounding, compression, and events."""
    return to_uint8(_through(False, x, settings, rng, events))


def _through(first: bool, x: Image, settings: Settings, rng: np.random.Generator, events: Sequence[Event]) -> Image:
    for step, given in acting_steps(first, settings, events):
        x = step.apply(np.asarray(x, np.float32), given, rng)
    return x


def acting_steps(first: bool, settings: Settings, events: Sequence[Event] = ()) -> list[tuple[Step, Settings]]:
    """Return the steps of the first or the second half that were given a parameter, in order, with their settings."""
    steps = registry.halves()[0 if first else 1]
    acting = [(step, settings) for step in steps if step.is_given(settings)]
    return with_events(first, acting, events)


def with_events(
    first: bool, acting: list[tuple[Step, Settings]], events: Sequence[Event]
) -> list[tuple[Step, Settings]]:
    """Return steps of the first or the second half in order, with the events that happen in it among them."""
    if not events:
        return acting
    placed = [(registry.place(step.name), step, settings) for step, settings in acting]
    by_name = {step.name: step for step in registry.steps()}
    for event in events:
        at = registry.place(event.after or event.before, 1 if event.after else -1)
        if (at < registry.place_of_halving()) is first:
            placed.append((at, by_name[event.step], event.settings))
    placed.sort(key=lambda entry: entry[0])  # equal places stay in order
    return [(step, given) for _, step, given in placed]
