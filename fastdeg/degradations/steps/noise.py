"""Noise: Poisson's, which grows with the light, and Gaussian."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdeg._checks import choice, generator
from fastdeg.degradations.pixels import Image, to_float
from fastdeg.degradations.step import Parameter, Settings, Stage, Step

SCALE = Parameter("poisson_scale", "shot noise of variance `poisson_scale · level`", unit="of 255")
MEANING = 'Gaussian noise; `noise="gray"`: the same in all channels, `"color"`: each its own'
SIGMA = Parameter("noise_sigma", MEANING, unit="of 255")
NOISES = ("gray", "color")
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
RandomSource = np.random.Generator | np.random.SeedSequence | int | None


def add_gaussian_noise(image: ArrayLike, sigma: float, *, noise: str = "gray", rng: RandomSource = None) -> Image:
    """Add Gaussian noise of standard deviation ``sigma`` on the scale 0..255; float32, not clipped."""
    return _gaussian(to_float(image), {"noise_sigma": sigma, "noise": noise}, generator(rng))


def add_poisson_noise(image: ArrayLike, scale: float, *, noise: str = "gray", rng: RandomSource = None) -> Image:
    """Add shot noise of variance ``scale * level`` (levels on 0..255); "gray" draws it from the luma. float32."""
    return _poisson(to_float(image), {"poisson_scale": scale, "noise": noise}, generator(rng))


def _gaussian(x: Image, settings: Settings, rng: np.random.Generator) -> Image:
    sigma, noise = SIGMA.check(settings["noise_sigma"]), _kind(settings)
    if sigma == 0:
        return x
    sample = rng.standard_normal(x.shape if noise == "color" else x.shape[:2], dtype=np.float32)
    sample *= np.float32(sigma)
    return x + _in_all_channels(sample, x)


def _poisson(x: Image, settings: Settings, rng: np.random.Generator) -> Image:
    scale, noise = SCALE.check(settings["poisson_scale"]), _kind(settings)
    if scale == 0:
        return x
    level = x @ LUMA if noise == "gray" and x.ndim == 3 else x
    level = np.maximum(level, 0)
    difference = (rng.poisson(level / scale) * scale - level).astype(np.float32)
    return x + _in_all_channels(difference, x)


def _gaussian_fast(x: Image, settings: Settings, normal: NDArray[np.float32], rng: np.random.Generator) -> Image:
    """Add noise that is cut out of ``normal`` at a random place."""
    pixels = x.shape[0] * x.shape[1]
    start = rng.integers(len(normal) - pixels + 1)
    sample = normal[start : start + pixels, : x.size // pixels].reshape(x.shape)
    noisy = sample * np.float32(SIGMA.check(settings.get("noise_sigma", 0)))
    noisy += x
    return noisy


def _kind(settings: Settings) -> str:
    return choice(settings.get("noise", "gray"), "noise", NOISES)


def _in_all_channels(plane: Image, image: Image) -> Image:
    return plane if plane.ndim == image.ndim else cv2.cvtColor(plane, cv2.COLOR_GRAY2RGB)


POISSON = Step("Poisson noise", Stage.NOISE, (SCALE,), _poisson)
GAUSSIAN = Step("Gaussian noise", Stage.NOISE, (SIGMA,), _gaussian, fast=_gaussian_fast)
