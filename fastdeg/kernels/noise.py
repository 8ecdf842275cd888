"""Noise of several strengths on one picture, rounded to 8 bits."""

from __future__ import annotations

import numpy as np

from fastdeg.kernels._jit import kernel


@kernel
def add_and_round(exact, normal, sigma, out):
    """out = exact + sigma * normal, rounded (half to even) and limited to 0..255."""
    for k in range(out.shape[0]):
        out[k] = np.uint8(min(max(np.rint(exact[k] + sigma * normal[k]), np.float32(0)), np.float32(255)))


@kernel
def noisy_variants(exact, normal, starts, sigmas, out):
    """In each row of out (n, m) the picture (m,) with noise of strength sigmas[i], cut out of normal at starts[i]."""
    for i in range(out.shape[0]):
        add_and_round(exact, normal[starts[i] : starts[i] + exact.shape[0]], sigmas[i], out[i])
