"""Slow plain-NumPy versions of the degradation chain's steps and of the features."""

from __future__ import annotations

import numpy as np
from scipy.fft import dctn


def gaussian_blur(x: np.ndarray, sigma: float) -> np.ndarray:
    """Separable Gaussian blur of a plane, mirrored border, kernel of 8 sigma + 1 taps rounded to odd."""
    radius = (round(8 * sigma + 1) | 1) // 2
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    taps /= taps.sum()
    for axis in (0, 1):
        padded = np.pad(x, [(radius, radius) if a == axis else (0, 0) for a in (0, 1)], mode="reflect")
        x = sum(t * np.take(padded, range(k, k + x.shape[axis]), axis=axis) for k, t in enumerate(taps))
    return x


def cubic_downsample(x: np.ndarray, factor: float) -> np.ndarray:
    """Keys cubic interpolation (a = -0.75) at the centres of the large pixels, without antialiasing."""
    for axis in (0, 1):
        n = int(x.shape[axis] / factor)
        scale = x.shape[axis] / n
        out = []
        for i in range(n):
            center = (i + 0.5) * scale - 0.5
            first = int(np.floor(center))
            t = center - first
            weights = [_keys(1 + t), _keys(t), _keys(1 - t), _keys(2 - t)]
            index = np.clip(np.arange(first - 1, first + 3), 0, x.shape[axis] - 1)
            out.append(np.tensordot(weights, np.take(x, index, axis=axis), axes=(0, axis)))
        x = np.stack(out, axis=axis)
    return x


def _keys(t: float, a: float = -0.75) -> float:
    if t <= 1:
        return (a + 2) * t**3 - (a + 3) * t**2 + 1
    return a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a


def block_magnitudes(plane: np.ndarray, top: int, left: int) -> np.ndarray:
    """Magnitudes of the DCT of all whole 8 x 8 blocks that start at (top, left), shape (n, 64)."""
    rows, columns = (plane.shape[0] - top) // 8, (plane.shape[1] - left) // 8
    blocks = plane[top : top + 8 * rows, left : left + 8 * columns].reshape(rows, 8, columns, 8).transpose(0, 2, 1, 3)
    return np.abs(dctn(blocks.astype(np.float64), axes=(2, 3), norm="ortho")).reshape(-1, 64)


def block_statistics(plane: np.ndarray, top: int, left: int) -> np.ndarray:
    """The seven statistics of each frequency but the mean, shape (63, 7)."""
    d = block_magnitudes(plane, top, left)
    n = len(d)
    low = [f for f in range(1, 64) if f // 8 + f % 8 <= 3]
    order = np.argsort(d[:, low].sum(axis=1))
    ranked = np.sort(d, axis=0)
    columns = [
        (d < 1.05).mean(axis=0),
        (d < 2.55).mean(axis=0),
        np.log(d + 0.3).mean(axis=0),
        np.log(d[order[-max(1, n // 4) :]].mean(axis=0) + 0.2),
        np.log(d[order[-max(1, n // 16) :]].mean(axis=0) + 0.2),
        np.log(ranked[n // 4] + 0.2),
        np.log(ranked[3 * n // 4] + 0.2),
    ]
    return np.stack(columns, axis=1)[1:]


def edge_statistics(plane: np.ndarray) -> np.ndarray:
    """Logarithms of mean squared gradient and mean absolute Laplacian, by scale and share of steepest pixels, flat."""
    scales = [plane.astype(np.float64)]
    for taps in ([1, 2, 1], [1, 4, 6, 4, 1], [1, 0, 2, 0, 1], [1, 0, 4, 0, 6, 0, 4, 0, 1]):
        x, radius = scales[-1], len(taps) // 2
        for axis in (0, 1):
            padded = np.pad(x, [(radius, radius) if a == axis else (0, 0) for a in (0, 1)], mode="edge")
            x = sum(t / sum(taps) * np.take(padded, range(k, k + x.shape[axis]), axis) for k, t in enumerate(taps))
        scales.append(x)
    squares, curvatures = [], []
    for x in scales:
        left, right, above, below, here = x[1:-1, :-2], x[1:-1, 2:], x[:-2, 1:-1], x[2:, 1:-1], x[1:-1, 1:-1]
        squares.append(((right - left) ** 2 + (below - above) ** 2).ravel())
        curvatures.append(np.abs(4 * here - left - right - above - below).ravel())
    # ranked in classes of 1/128 of an octave and more, squares below 2^-8 alike, as the bits of float32 have it
    classes = np.maximum(squares[1].astype(np.float32), 2**-8).view(np.int32) >> 16
    out = []
    for g, c in zip(squares, curvatures, strict=True):
        for share in (0.01, 0.03, 0.1, 0.3, 1.0):
            last = np.sort(classes)[-max(1, int(share * len(classes)))]
            out += [np.log(g[classes >= last].mean() + 0.3), np.log(c[classes >= last].mean() + 0.3)]
    return np.array(out)


def detail_statistics(plane: np.ndarray) -> np.ndarray:
    """Logarithms of quantiles of the mean squared response to Immerkær's mask in windows, by scale and side, flat."""
    out, x = [], plane.astype(np.float64)
    surroundings = np.lib.stride_tricks.sliding_window_view(plane, (5, 5))[::2, ::2]
    unclipped = ((surroundings > 0) & (surroundings < 255)).all(axis=(2, 3))
    if unclipped.mean() < 0.05:
        unclipped[:] = True
    for level in range(3):
        if level > 0:
            padded = np.pad(x, 1, mode="edge")
            rows = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
            x = (rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]) / 4
        second = np.diff(np.diff(x, 2, axis=0), 2, axis=1)
        for side in (3, 9):
            windows = np.lib.stride_tricks.sliding_window_view(second**2, (side, side))[::2, ::2]
            energies = windows.mean(axis=(2, 3))
            ranked = np.sort(energies[unclipped] if side == 3 else energies, axis=None)
            out += [np.log(ranked[int(q * len(ranked))] + 0.05) for q in (0.01, 0.03, 0.1, 0.25, 0.5, 0.75, 0.9)]
    return np.array(out)


def em(likelihood: np.ndarray, prior: np.ndarray, n_iter: int) -> np.ndarray:
    """Expectation maximisation over mixture weights, one image after the other."""
    weights = prior / prior.sum()
    for _ in range(n_iter):
        total = np.zeros_like(weights)
        for row in likelihood:
            r = row * weights
            total += r / r.sum()
        weights = total / len(likelihood)
    return weights
