"""Variants of one picture: in other tones, and with noise of several strengths, rounded to 8 bits."""

from __future__ import annotations

import numpy as np

from fastdeg.kernels._jit import kernel
from fastdeg.kernels.linalg.elementary import assign


@kernel
def add_and_round(exact, normal, sigma, out):
    """out = exact + sigma * normal, rounded (half to even) and limited to 0..255."""
    for k in range(out.shape[0]):
        out[k] = np.uint8(min(max(np.rint(exact[k] + sigma * normal[k]), np.float32(0)), np.float32(255)))


@kernel
def adjust(exact, contrast, brightness, out):
    """out = 128 + contrast * (exact - 128) + brightness, limited to 0..255."""
    shift = np.float32(128) * (np.float32(1) - contrast) + brightness
    for k in range(out.shape[0]):
        out[k] = min(max(contrast * exact[k] + shift, np.float32(0)), np.float32(255))


@kernel
def toned_variants(exact, contrasts, brightnesses, out):
    """In each row of out (n, m) the picture (m,) in other tones; as it is where the contrast is 1, the brightness 0."""
    for i in range(out.shape[0]):
        if contrasts[i] == 1 and brightnesses[i] == 0:
            assign(out[i], exact)
        else:
            adjust(exact, contrasts[i], brightnesses[i], out[i])


@kernel
def noisy_variants(exact, normal, starts, sigmas, out):
    """In each row of out (n, m) that of exact with noise of strength sigmas[i], cut out of normal at starts[i]."""
    for i in range(out.shape[0]):
        add_and_round(exact[i], normal[starts[i] : starts[i] + exact.shape[1]], sigmas[i], out[i])
