"""Blur by kernels of a given size: Gaussians, flatter and heavier ones, as training options of the field draw them."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fastdeg.degradations.pixels import Image
from fastdeg.degradations.step import Option, Parameter, Settings, Stage, Step

SIGMA_X = Parameter("kernel_sigma_x", "width of a blur of limited size along its first axis", 0, 100, "px")
SIGMA_Y = Parameter("kernel_sigma_y", "the same along the second, the same width unless told", 0, 100, "px", None)
ANGLE = Parameter("kernel_angle", "angle of the first axis, counter-clockwise from the rows", -np.inf, unit="°")
BETA = Parameter("kernel_beta", "exponent of the generalized Gaussian, or of the plateau", 0.05, 20, neutral=1.0)
SIZE = Parameter("kernel_size", "side of the kernel, odd", 1, 101, "px", neutral=21.0, whole=True)
SHAPE = Option("kernel_shape", "exp(−r^2β / 2) or 1 / (1 + r^2β)", ("gaussian", "plateau"), "gaussian")


def _apply(x: Image, settings: Settings, rng: Any = None) -> Image:
    sigma_x = SIGMA_X.check(settings.get("kernel_sigma_x", 0))
    sigma_y = SIGMA_Y.check(settings.get("kernel_sigma_y", sigma_x))
    size = int(SIZE.check(settings.get("kernel_size", 21))) | 1
    if min(sigma_x, sigma_y) == 0 or size == 1:
        return x
    angle = np.deg2rad(ANGLE.check(settings.get("kernel_angle", 0)))
    beta = BETA.check(settings.get("kernel_beta", 1))
    kernel = generalized_kernel((sigma_x, sigma_y), angle, beta, size, SHAPE.of(settings))
    return cv2.filter2D(x, cv2.CV_32F, kernel)


def generalized_kernel(
    sigmas: tuple[float, float], angle: float, beta: float, size: int, shape: str
) -> NDArray[np.float32]:
    """Return a kernel of sum 1, the angle in radians."""
    columns, rows = np.meshgrid(np.arange(size) - size // 2, np.arange(size) - size // 2)
    along = np.cos(angle) * columns - np.sin(angle) * rows  # rows grow downwards
    across = np.sin(angle) * columns + np.cos(angle) * rows
    with np.errstate(over="ignore"):
        distance = ((along / sigmas[0]) ** 2 + (across / sigmas[1]) ** 2) ** beta
        kernel = np.exp(-distance / 2) if shape == "gaussian" else 1 / (1 + distance)
    return (kernel / kernel.sum()).astype(np.float32)


STEP = Step("kernel blur", Stage.BLUR, (SIGMA_X, SIGMA_Y, ANGLE, BETA, SIZE), _apply, options=(SHAPE,))
