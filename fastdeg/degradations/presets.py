"""Histories by name, as configurations."""

from __future__ import annotations

import math
from typing import Any

UPS_AND_DOWNS = ["area", "linear", "cubic"]

# What cameras, programs and the web do beside blur, downsampling, noise and compression, and of which kind these are.
PHOTO: list[dict[str, Any]] = [
    {"step": "blur", "probability": 0.5, "blur_ratio": {"log_uniform": [1 / 1.8, 1.8]}},
    {"step": "downsampling", "interpolation": {"choice": UPS_AND_DOWNS}},
    {
        "step": "resampling",
        "probability": 0.3,
        "resampling_scale": [0.55, 1],
        "resampling_interpolation": {"choice": ["linear", "cubic", "lanczos"]},
    },
    {"step": "Gaussian noise", "noise": {"choice": ["gray", "color"]}},
    {"step": "Gaussian noise", "probability": 0.4, "noise_signal": 1},
    {"step": "Gaussian noise", "probability": 0.3, "noise_grain": [0.3, 0.8]},
    {
        "step": "earlier JPEG",
        "probability": 0.35,
        "earlier_jpeg_quality": [35, 95],
        "earlier_jpeg_shift_x": {"integers": [0, 7]},
        "earlier_jpeg_shift_y": {"integers": [0, 7]},
    },
    {
        "one_of": [
            {"weight": 0.10, "steps": [{"step": "median", "median_size": 3}]},
            {
                "weight": 0.15,
                "steps": [{"step": "bilateral filter", "bilateral_color": [5, 40], "bilateral_space": [1, 3]}],
            },
            {"weight": 0.75, "steps": []},
        ]
    },
    {"step": "sharpening", "probability": 0.35, "sharpening_amount": [0.2, 1.5], "sharpening_radius": [0.5, 2]},
    {"step": "JPEG", "jpeg_subsampling": {"choice": ["4:2:0", "4:4:4"], "weights": [0.7, 0.3]}},
]


def _kernels(sigma: list[float], place: dict[str, str], happens: float = 1) -> dict[str, Any]:
    """Return the blur of a stage of Real-ESRGAN: six kinds of kernels, or a low-pass filter, of 7 to 21 pixels."""
    turned = {"kernel_sigma_x": sigma, "kernel_sigma_y": sigma, "kernel_angle": [-180, 180]}
    generalized = {"kernel_beta": {"choice": [[0.5, 1], [1, 4]]}}
    plateau = {"kernel_beta": {"choice": [1, [1, 2]]}, "kernel_shape": "plateau"}
    sizes = {"kernel_size": {"choice": list(range(7, 22, 2))}}
    kinds: list[tuple[float, dict[str, Any]]] = [
        (0.45, {"kernel_sigma_x": sigma}),
        (0.25, turned),
        (0.12, {"kernel_sigma_x": sigma} | generalized),
        (0.03, turned | generalized),
        (0.12, {"kernel_sigma_x": sigma} | plateau),
        (0.03, turned | plateau),
    ]
    branches: list[tuple[float, dict[str, Any]]]
    branches = [(0.9 * weight, {"step": "kernel blur"} | sizes | how) for weight, how in kinds]
    for least, sides in ((3, [7, 9, 11]), (5, [13, 15, 17, 19, 21])):
        cutoff = {"ringing_cutoff": [math.pi / least, math.pi], "ringing_size": {"choice": sides}}
        branches.append((0.1 * len(sides) / 8, {"step": "ringing"} | cutoff))
    ways: list[Any] = [{"weight": happens * weight, "steps": [step | place]} for weight, step in branches]
    return {"one_of": [*ways, {"weight": 1 - happens, "steps": []}]}


def _noise(sigma: list[float], scale: list[float], place: dict[str, str]) -> dict[str, Any]:
    """Return the noise of a stage of Real-ESRGAN, whose Poisson scale s means a variance of s² · 255 / 256 a level."""
    kind = {"noise": {"choice": ["gray", "color"], "weights": [0.4, 0.6]}}
    squares = {"poisson_scale": {"root_uniform": [s * s * 255 / 256 for s in scale]}}
    steps: list[dict[str, Any]] = [
        {"step": "Gaussian noise", "noise_sigma": sigma},
        {"step": "Poisson noise"} | squares,
    ]
    return {"one_of": [{"steps": [step | kind | place]} for step in steps]}


def _resized(up: float, down: float, weights: list[float]) -> dict[str, Any]:
    """Return a scale of Real-ESRGAN: enlarged, reduced or kept."""
    return {"choice": [[1, up], [down, 1], 1], "weights": weights}


# Wang et al., "Real-ESRGAN: Training Real-World Blind Super-Resolution with Pure Synthetic Data", ICCV workshops 2021,
# with the ranges of options/train_realesrgan_x4plus.yml and the order of BasicSR's realesrgan_model.py
FIRST = {"before": "downsampling", "label": "first"}
FINAL_FILTER: dict[str, Any] = {
    "step": "ringing",
    "probability": 0.8,
    "ringing_cutoff": [math.pi / 3, math.pi],
    "ringing_size": {"choice": list(range(7, 22, 2))},
}
REALESRGAN: list[dict[str, Any]] = [
    _kernels([0.2, 3], FIRST),
    {
        "step": "resize",
        **FIRST,
        "resize_scale": _resized(1.5, 0.15, [0.2, 0.7, 0.1]),
        "resize_interpolation": {"choice": UPS_AND_DOWNS},
    },
    _noise([1, 30], [0.05, 3], FIRST),
    {"step": "JPEG", **FIRST, "jpeg_quality": [30, 95]},
    _kernels([0.2, 1.5], {"before": "downsampling", "label": "second"}, 0.8),
    {
        "step": "resampling",
        "resampling_scale": _resized(1.2, 0.3, [0.3, 0.4, 0.3]),
        "interpolation": {"choice": UPS_AND_DOWNS},
        "resampling_interpolation": {"choice": UPS_AND_DOWNS},
    },
    _noise([1, 25], [0.05, 2.5], {}),
    {
        "one_of": [
            {"steps": [FINAL_FILTER, {"step": "JPEG", "jpeg_quality": [30, 95]}]},
            {"steps": [{"step": "JPEG", "before": "resampling", "jpeg_quality": [30, 95]}, FINAL_FILTER]},
        ]
    },
]

HISTORIES: dict[str, list[dict[str, Any]]] = {"plain": [], "photo": PHOTO, "realesrgan": REALESRGAN}
