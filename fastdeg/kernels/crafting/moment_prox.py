"""The prox of the Fréchet term as a function of few moments, h(z) = fixed · z − 2 weight tr (Fᵀ Σ(z) F)^½."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastdeg.kernels._jit import kernel
from fastdeg.kernels.crafting.frechet_term import moment_curvature, slope, spectrum
from fastdeg.kernels.linalg.cholesky import factor_lower, solve_lower
from fastdeg.kernels.linalg.elementary import dot

MOST_STEPS = 20
SHORTEST_STEP = 0.02  # of Newton's; one that is shorter leads nowhere soon
TO_BOUNDARY = 0.1  # of the least root of Fᵀ Σ F, what a step leaves of it at least
SINGULAR = 1e-7  # ratio of the roots below which there is nothing but rounding


class Linearised(NamedTuple):
    """Moments z, the roots of Fᵀ Σ F there, and gradient and Hessian of h."""

    z: NDArray[np.float64]
    roots: NDArray[np.float64]
    gradient: NDArray[np.float64]
    hessian: NDArray[np.float64]


@kernel
def linearise(fixed, weight, vectors, mean, at):
    """Gradient and Hessian of h at the moments and roots in place, of the given spectrum."""
    root = np.empty_like(at.hessian)
    moment_curvature(at.roots, vectors, mean, root)
    at.hessian[:] = weight * np.dot(root, root.T)
    slope(at.roots, vectors, mean, at.gradient)
    for f in range(len(fixed)):
        at.gradient[f] = fixed[f] + weight * at.gradient[f]


@kernel
def start(z, fixed, weight, at):
    """Linearise h at z."""
    vectors, mean = np.empty((len(at.roots), len(at.roots))), np.empty(len(at.roots))
    at.z[:] = z
    spectrum(z, at.roots, vectors, mean)
    linearise(fixed, weight, vectors, mean, at)


@kernel
def prox(s, metric, fixed, weight, at):
    """Bring ``at`` to argmin of h(z) + ½ (z − s)ᵀ metric (z − s) by damped Newton steps from where it is.

    Returns whether they lead there, and not only to ever shorter or ever more steps.
    """
    r, k = len(s), len(at.roots)
    roots, vectors, mean = np.empty(k), np.empty((k, k)), np.empty(k)
    moved = np.empty(r)
    for _ in range(MOST_STEPS):
        off = at.z - s
        pull = np.dot(metric, off)
        gradient = at.gradient + pull
        step, matrix = -gradient, at.hessian + metric
        if not factor_lower(matrix):
            return False
        solve_lower(matrix, step)
        decrement = -dot(gradient, step, r)
        value = dot(fixed, at.z, r) - 2.0 * weight * at.roots.sum() + 0.5 * dot(off, pull, r)
        close = decrement < 1e-10 * (1e-6 + abs(value))
        length, lower = 1.0, False
        while length > SHORTEST_STEP and not lower:
            for f in range(r):
                moved[f] = at.z[f] + length * step[f]
            spectrum(moved, roots, vectors, mean)
            if roots[0] >= at.roots[0] or roots[0] >= max(TO_BOUNDARY * at.roots[0], SINGULAR * roots[k - 1]):
                off = moved - s
                after = dot(fixed, moved, r) - 2.0 * weight * roots.sum() + 0.5 * dot(off, np.dot(metric, off), r)
                lower = after <= value - 0.1 * length * decrement + 1e-14 * abs(value)
            if not lower:
                length /= 2.0
        if not lower:
            return close
        at.z[:], at.roots[:] = moved, roots
        linearise(fixed, weight, vectors, mean, at)
        if close:
            return True
    return False
