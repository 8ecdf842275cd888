"""Filters as Gaussians: a filter counts as the Gaussian that lets as much white noise through.

A filter w passes the share E = Σ w² of the variance of white noise. For a Gaussian of standard deviation s > 0.5 px
that is 1 / (4π s²) in two dimensions; a low-pass of cut-off ω passes ω² / 4π and so counts as s = 1 / ω. Equal E means
equal energy of the frequency response, whatever its shape, which is what blur does to textures and noise alike. Only
what resizes do to textures is told at one frequency, as they end where the new image ends.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdeg._types import Float
from fastdeg.degradations.steps.ringing import low_pass

SIGMAS = np.geomspace(0.05, 60, 160)
BETAS = np.geomspace(0.25, 8, 21)
CUTOFFS = np.linspace(0.1, np.pi, 64)


def _gaussian_energy(sigma: float) -> float:
    """E of the sampled Gaussian in two dimensions."""
    radius = int(np.ceil(6 * sigma)) + 1
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return float(((taps / taps.sum()) ** 2).sum() ** 2)


@lru_cache(maxsize=1)
def _table() -> tuple[Float, Float]:
    return SIGMAS, np.log([_gaussian_energy(sigma) for sigma in SIGMAS])


def energy(variance: Float) -> Float:
    """Return the share of white noise that a Gaussian of this variance lets through."""
    sigma, logs = _table()
    return np.exp(np.interp(np.log(np.sqrt(np.maximum(variance, 1e-12))), np.log(sigma), logs))


def variance_of(share: Float | float) -> Float:
    """Return the variance of the Gaussian that lets this share of white noise through: 0 for all of it."""
    sigma, logs = _table()
    reached = np.interp(-np.log(np.clip(share, 1e-9, 1)), -logs, sigma**2)
    return np.where(np.asarray(share) >= 1 - 1e-6, 0.0, reached)


@lru_cache(maxsize=16)
def _low_pass_table(size: int) -> Float:
    kernels = (low_pass(cutoff, size).astype(np.float64) for cutoff in CUTOFFS)
    return variance_of(np.array([(kernel**2).sum() for kernel in kernels]))


def low_pass_variance(cutoff: Float, size: NDArray[Any]) -> Float:
    """Return what circular low-passes count for; their cut-offs in radians per pixel, and odd widths."""
    out = np.empty(len(cutoff))
    for s in np.unique(size):
        out[size == s] = np.interp(cutoff[size == s], CUTOFFS, _low_pass_table(int(s)))
    return out


@lru_cache(maxsize=64)
def _shape_table(shape: str, size: int) -> Float:
    """Variances of a kernel of one odd size, by nominal standard deviation and exponent."""
    betas = BETAS if shape != "gaussian" else np.ones(1)
    at = np.arange(size) - size // 2
    squares = (at[:, None] ** 2 + at**2).ravel()
    radius = squares / np.square(SIGMAS)[:, None, None]
    powers = radius ** betas[:, None]
    with np.errstate(over="ignore"):
        weights = 1 / (1 + powers) if shape == "plateau" else np.exp(-0.5 * powers)
    weights /= weights.sum(axis=-1, keepdims=True)
    return variance_of((weights**2).sum(axis=-1))


def kernel_variance(shape: str, sigma: Float, beta: Float, size: Float) -> Float:
    """Return what kernels count for: Gaussian, generalized (exp(−r^2β / 2)) or plateau (1 / (1 + r^2β)), cut off.

    A size of 0 is no limit, for Gaussians only.
    """
    if shape == "gaussian" and not size.any():
        return sigma**2
    from scipy.interpolate import RegularGridInterpolator

    out = np.empty(len(sigma))
    for s in np.unique(size):
        here = size == s
        table, x = _shape_table(shape, int(s)), np.log(np.clip(sigma[here], SIGMAS[0], SIGMAS[-1]))
        if shape == "gaussian":
            out[here] = np.interp(x, np.log(SIGMAS), table[:, 0])
        else:
            y = np.log(np.clip(beta[here], BETAS[0], BETAS[-1]))
            out[here] = RegularGridInterpolator((np.log(SIGMAS), np.log(BETAS)), table)(np.stack([x, y], 1))
    return out


# ---- JPEG: how much of the variance of noise quantisation leaves

# the luma table of the JPEG standard, at quality 50
LUMA = (
    "16 11 10 16 24 40 51 61 12 12 14 19 26 58 60 55 14 13 16 24 40 57 69 56 14 17 22 29 51 87 80 62 18 22 37 56 68 "
    "109 103 77 24 35 55 64 81 104 113 92 49 64 78 87 103 121 120 101 72 92 95 98 112 100 103 99"
)
LUMA_STEPS = np.array([float(step) for step in LUMA.split(" ")])
QUALITIES = np.array([1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 99, 100.0])
NOISES = np.geomspace(0.25, 80, 24)


@lru_cache(maxsize=1)
def _jpeg_table() -> Float:
    """Share of white noise's variance that is left, by its standard deviation and the quality."""
    from scipy.special import ndtr

    scales = np.where(QUALITIES < 50, 50 / QUALITIES, 2 - QUALITIES / 50)
    steps = np.maximum(np.rint(LUMA_STEPS * scales[:, None]), 1)[None, :, :, None] / NOISES[:, None, None, None]
    k = np.arange(1, 400)
    beyond = 2 * (ndtr(-(k - 0.5) * steps) - ndtr(-(k + 0.5) * steps))
    return np.minimum((beyond * (k * steps) ** 2).sum(axis=-1).mean(axis=-1), 1.0)


def through_jpeg(sigma: Float, quality: Float) -> Float:
    """Return the share of the variance of noise that JPEG's quantisation of flat areas leaves."""
    from scipy.interpolate import RegularGridInterpolator

    points = np.stack([np.log(np.clip(sigma, NOISES[0], NOISES[-1])), np.clip(quality, 1, 100)], 1)
    return RegularGridInterpolator((np.log(NOISES), QUALITIES), _jpeg_table())(points)


# ---- resizes: how much white noise their weights let through, along one axis


def _cubic(x: Float, a: float) -> Float:
    x = np.abs(x)
    return np.where(
        x < 1, (a + 2) * x**3 - (a + 3) * x**2 + 1, np.where(x < 2, a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a, 0.0)
    )


def _linear(x: Float) -> Float:
    return np.maximum(1 - np.abs(x), 0)


def _lanczos(x: Float, lobes: int) -> Float:
    return np.where(np.abs(x) < lobes, np.sinc(x) * np.sinc(x / lobes), 0.0)


INTERPOLATING = {
    "linear": _linear,
    "cubic": lambda x: _cubic(x, -0.75),
    "lanczos": lambda x: _lanczos(x, 4),
}
ANTIALIASED = {
    "linear_antialiased": _linear,
    "cubic_antialiased": lambda x: _cubic(x, -0.5),
    "lanczos_antialiased": lambda x: _lanczos(x, 3),
}
BAND = 0.7
FREQUENCIES = np.linspace(0, 0.5, 101)  # in cycles per pixel


@lru_cache(maxsize=32)
def _passed_at(mode: str, phase: float) -> float:
    """Σ w² of the taps at one phase: 0 on a pixel, 0.5 between two; the mean over phases for NaN."""
    phases = np.array([phase]) if phase == phase else (np.arange(64) + 0.5) / 64
    taps = (INTERPOLATING | ANTIALIASED)[mode](phases[:, None] + np.arange(-5, 6))
    return float(((taps / taps.sum(axis=1, keepdims=True)) ** 2).sum(axis=1).mean())


@lru_cache(maxsize=8)
def _integral_of_square(mode: str) -> float:
    x = np.linspace(-4, 4, 8001)
    return float((ANTIALIASED[mode](x) ** 2).sum() * (x[1] - x[0]))


def resize_variance(mode: str, ratio: Float) -> Float:
    """Return what a resize counts for, in pixels of the image before; ``ratio``: old by new side, above 1 shrinks."""
    shrinks = ratio > 1 + 1e-9
    if mode == "nearest":
        passed = np.ones(len(ratio))
    elif mode == "area":
        passed = np.where(shrinks, 1 / ratio, 1.0)
    elif mode in ANTIALIASED:
        passed = np.where(shrinks, _integral_of_square(mode) / ratio, _passed_at(mode, float("nan")))
    else:  # taps as far apart as the old pixels: their phases are all alike where the ratio is whole
        nearest = np.rint(ratio)
        at_whole = np.where(nearest % 2 == 0, _passed_at(mode, 0.5), _passed_at(mode, 0.0))
        passed = np.where(shrinks & (np.abs(ratio - nearest) < 1e-3), at_whole, _passed_at(mode, float("nan")))
    passed = np.where(np.abs(ratio - 1) <= 1e-6, 1.0, np.minimum(passed, 1.0))
    return variance_of(passed**2)


@lru_cache(maxsize=32)
def _responses(mode: str, phase: float) -> Float:
    """Frequency response of the taps at one phase, as in `_passed_at`, or of the kernel for NaN, at FREQUENCIES."""
    x = np.linspace(-5, 5, 4001) if phase != phase else phase + np.arange(-5, 6)
    weights = (INTERPOLATING | ANTIALIASED)[mode](x)
    return np.cos(2 * np.pi * FREQUENCIES[:, None] * x) @ weights / weights.sum()


def resize_blur(mode: str, ratio: Float) -> Float:
    """Return the variance of the Gaussian that is as soft as a resize, in pixels of the image before; as above.

    As soft at 0.7 of the highest frequency that the smaller one of both images has: what lies beyond is gone or folded
    back, and below, an antialiasing filter is flatter than a Gaussian of its energy. Below zero for what sharpens.
    """
    shrinks = ratio > 1 + 1e-9
    frequency = BAND / 2 / np.maximum(ratio, 1)
    response = np.ones(len(ratio))
    if mode == "area":
        response = np.where(shrinks, np.sinc(BAND / 2), 1.0)
    elif mode in ANTIALIASED:  # the kernel is as wide as the new pixels
        response[:] = np.interp(BAND / 2, FREQUENCIES, _responses(mode, float("nan")))
    elif mode != "nearest":
        nearest = np.rint(ratio)
        even = np.interp(frequency, FREQUENCIES, _responses(mode, 0.5))
        between = np.interp(frequency, FREQUENCIES, _responses(mode, float("nan")))
        whole = shrinks & (np.abs(ratio - nearest) < 1e-3)
        response = np.where(whole, np.where(nearest % 2 == 0, even, 1.0), between)
    response = np.where(np.abs(ratio - 1) <= 1e-6, 1.0, response)
    return -np.log(response) / (2 * np.pi**2 * frequency**2)
