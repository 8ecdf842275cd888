"""Noise: Poisson's, which grows with the light, and Gaussian."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdeg._checks import generator
from fastdeg.degradations.pixels import Image, to_float
from fastdeg.degradations.step import Option, Parameter, Settings, Stage, Step

STRONGEST = 1e4  # grey levels: nothing is left of an image
FAINTEST = 1e-12  # whose noise float32 does not see
SCALE = Parameter("poisson_scale", "shot noise of variance `poisson_scale · level`", 0, STRONGEST, "levels")
SIGMA = Parameter("noise_sigma", "standard deviation of Gaussian noise", 0, STRONGEST, "of 255")
SIGNAL_MEANING = "share of its variance that grows with the level, as if it were Poisson's; the same at level 128"
SIGNAL = Parameter("noise_signal", SIGNAL_MEANING, 0, 1)
GRAIN = Parameter("noise_grain", "standard deviation of a blur of the noise, which keeps its strength", 0, 20, "px")
NOISES = ("gray", "color")
NOISE = Option("noise", "the same noise in all channels, or its own in each", NOISES, "gray")
MIDDLE = 128.0  # level at which noise that grows with the level is as strong as asked
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
RandomSource = np.random.Generator | np.random.SeedSequence | int | None


def add_gaussian_noise(image: ArrayLike, sigma: float, *, noise: str = "gray", rng: RandomSource = None) -> Image:
    """Add Gaussian noise of standard deviation ``sigma`` on the scale 0..255; float32, not clipped."""
    return _gaussian(to_float(image), {"noise_sigma": sigma, "noise": noise}, generator(rng))


def add_poisson_noise(image: ArrayLike, scale: float, *, noise: str = "gray", rng: RandomSource = None) -> Image:
    """Add shot noise of variance ``scale * level`` (levels on 0..255); "gray" draws it from the luma. float32."""
    return _poisson(to_float(image), {"poisson_scale": scale, "noise": noise}, generator(rng))


def _gaussian(x: Image, settings: Settings, rng: np.random.Generator) -> Image:
    sigma, noise = SIGMA.check(settings.get("noise_sigma", 0)), NOISE.of(settings)
    if sigma == 0:
        return x
    sample = rng.standard_normal(x.shape if noise == "color" else x.shape[:2], dtype=np.float32)
    sample *= np.float32(sigma)
    return x + _in_all_channels(_shaped(sample, x, LUMA, settings), x)


def _shaped(noise: Image, x: Image, luma: NDArray[np.float32], settings: Settings) -> Image:
    """Return white noise, which may be overwritten, correlated in space and grown with the level as asked."""
    grain, signal = GRAIN.check(settings.get("noise_grain", 0)), SIGNAL.check(settings.get("noise_signal", 0))
    if grain > 0:
        noise = correlated(noise, grain)
    if signal > 0:
        level = x @ luma if x.ndim == 3 and NOISE.of(settings) == "gray" else x
        level = level[..., None] if noise.ndim > level.ndim else level
        noise *= np.sqrt((1 - signal) + signal / MIDDLE * np.maximum(level, 0), dtype=np.float32)
    return noise


def correlated(sample: Image, sigma: float) -> Image:
    """Return noise blurred by a Gaussian, scaled to the variance that it had."""
    taps: Image = cv2.getGaussianKernel(round(8 * sigma + 1) | 1, sigma)[:, 0]
    taps /= np.sqrt(taps @ taps)  # the variance of the sum of independent numbers stays one
    return cv2.sepFilter2D(sample, cv2.CV_32F, taps, taps, borderType=cv2.BORDER_REFLECT_101)


def _poisson(x: Image, settings: Settings, rng: np.random.Generator) -> Image:
    scale, noise = SCALE.check(settings["poisson_scale"]), NOISE.of(settings)
    if scale < FAINTEST:
        return x
    level = x @ LUMA if noise == "gray" and x.ndim == 3 else x
    level = np.maximum(level, 0)
    difference = (rng.poisson(level / scale) * scale - level).astype(np.float32)
    return x + _in_all_channels(difference, x)


def _gaussian_fast(x: Image, settings: Settings, normal: NDArray[np.float32], rng: np.random.Generator) -> Image:
    noise = cut(normal, x, settings, rng) * np.float32(SIGMA.check(settings.get("noise_sigma", 0)))
    noise = _shaped(noise, x, LUMA[::-1], settings)
    noise += x
    return noise


def cut(normal: NDArray[np.float32], x: Image, settings: Settings, rng: np.random.Generator) -> Image:
    """Return normal numbers of the shape of ``x``, cut from a random place."""
    pixels = x.shape[0] * x.shape[1]
    start = rng.integers(len(normal) - pixels + 1)
    sample = normal[start : start + pixels, : x.size // pixels]
    if x.ndim == 3 and settings.get("noise") == "gray" and normal[0, 0] != normal[0, 1]:  # of a pool in colour
        sample = np.repeat(sample[:, :1], 3, axis=1)
    return sample.reshape(x.shape)


def _in_all_channels(plane: Image, image: Image) -> Image:
    return plane if plane.ndim == image.ndim else cv2.cvtColor(plane, cv2.COLOR_GRAY2RGB)


POISSON = Step("Poisson noise", Stage.NOISE, (SCALE,), _poisson, options=(NOISE,))
GAUSSIAN = Step("Gaussian noise", Stage.NOISE, (SIGMA, SIGNAL, GRAIN), _gaussian, fast=_gaussian_fast, options=(NOISE,))
