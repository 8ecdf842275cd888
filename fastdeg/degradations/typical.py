"""Each step of the table as it may have happened to a photo: in ranges in which it shows and is no accident."""

from __future__ import annotations

import math
from typing import Any

from fastdeg.degradations import registry

# what is done to the clean image, in pixels of the small one
BEFORE: dict[str, dict[str, Any]] = {
    "motion blur": {"motion_length": [2, 6]},
    "defocus": {"defocus_radius": [1, 3]},
    "kernel blur": {"kernel_sigma_x": [0.5, 1.5], "kernel_sigma_y": [0.5, 1.5]},
}
OF_ANGLE: dict[str, dict[str, Any]] = {
    "motion blur": {"motion_angle": [0, 180]},
    "kernel blur": {"kernel_angle": [0, 180], "kernel_beta": {"choice": [[0.5, 1], [1, 4]]}},
}
AFTER: dict[str, dict[str, Any]] = {
    "resize": {"resize_scale": {"log_uniform": [0.1, 0.6]}},
    "Poisson noise": {"poisson_scale": [1, 8]},
    "grain": {"grain_sigma": [4, 25], "grain_size": [0.5, 2]},
    "earlier JPEG": {
        "earlier_jpeg_quality": [20, 85],
        "earlier_jpeg_shift_x": {"integers": [0, 7]},
        "earlier_jpeg_shift_y": {"integers": [0, 7]},
    },
    "median": {"median_size": {"choice": [3, 5]}},
    "bilateral filter": {"bilateral_color": [10, 60], "bilateral_space": [1, 4]},
    "non-local means": {"nlm_strength": [4, 20]},
    "resampling": {
        "resampling_scale": [0.4, 0.85],
        "resampling_interpolation": {"choice": ["linear", "cubic", "lanczos"]},
    },
    "ringing": {"ringing_cutoff": [math.pi / 5, math.pi / 1.5], "ringing_size": 21},
    "sharpening": {"sharpening_amount": [0.4, 2.5], "sharpening_radius": [0.5, 2.5]},
    "WebP": {"webp_quality": [5, 80]},
    "H.264": {"h264_crf": [22, 45]},
}


def typical_steps(crafted: frozenset[str], factor: float) -> dict[str, dict[str, Any]]:
    """Return configurations of the steps that may stand in a history, by name, for photos reduced by a factor.

    crafted: names of parameters that are axes: steps of theirs are left out, and so are those that need a module that
    is not installed, and those of the user's of which some parameter has no ends.

    Examples
    --------
    >>> typical_steps(frozenset(), 4)["defocus"]
    {'step': 'defocus', 'defocus_radius': [4, 12]}
    """
    found = {}
    for step in registry.steps():
        if step.name in BEFORE:
            scaled = {name: [factor * end for end in ends] for name, ends in BEFORE[step.name].items()}
            parameters = scaled | OF_ANGLE.get(step.name, {})
        elif step.name in AFTER:
            parameters = AFTER[step.name]
        elif step in registry.BUILT_IN or not all(
            math.isfinite(p.low) and math.isfinite(p.high) for p in step.parameters
        ):
            continue
        else:
            parameters = {p.name: [p.low, p.high] for p in step.parameters}
        if not crafted.isdisjoint(p.name for p in step.parameters):
            continue
        try:
            step.check_installed()
        except ValueError:
            continue
        found[step.name] = {"step": step.name, **parameters}
    return found
