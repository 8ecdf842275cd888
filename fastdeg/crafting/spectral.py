"""What the splitting method needs of a grid in the basis of its cosine transform.

The grid's Laplacian is diagonal there, and functions of at most two axes are sparse.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from fastdeg.crafting.frechet_term import FrechetTerm
from fastdeg.crafting.grid_frechet import RowQuadratics
from fastdeg.crafting.problem import GridTransport
from fastdeg.kernels import cosine
from fastdeg.kernels._jit import thread_count

Float = NDArray[np.float64]

_LONG_AXIS = 400  # cells from which a fast transform beats a product with the transform's matrix


class CosineTransform:
    """The orthonormal DCT-II of a grid, in place between two buffers."""

    def __init__(self, shape: tuple[int, ...], dtype: Any, threads: int | None) -> None:
        self.threads = threads
        self.axes = []
        for k, n in enumerate(shape):
            view = (int(np.prod(shape[:k])), n, int(np.prod(shape[k + 1 :])))
            matrix = scipy.fft.dct(np.eye(n), norm="ortho", axis=0) if n <= _LONG_AXIS else np.zeros((0, 0))
            self.axes.append((view, matrix.astype(dtype), np.ascontiguousarray(matrix.T, dtype)))

    def forward(self, x: NDArray[Any], spare: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the buffer that holds the transform of x, and the other one."""
        return self._along_all(x, spare, inverse=False)

    def inverse(self, x: NDArray[Any], spare: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the buffer that holds the inverse transform of x, and the other one."""
        return self._along_all(x, spare, inverse=True)

    def _along_all(self, x: NDArray[Any], spare: NDArray[Any], inverse: bool) -> tuple[NDArray[Any], NDArray[Any]]:
        for view, matrix, transposed in self.axes:
            if view[1] == 1:
                continue
            if not len(matrix):
                transform = scipy.fft.idct if inverse else scipy.fft.dct
                workers = thread_count(self.threads, x.size * 50)
                spare[:] = transform(x.reshape(view), axis=1, norm="ortho", workers=workers).ravel()
            else:
                pair = (transposed, matrix) if inverse else (matrix, transposed)
                cosine.transform_axis(
                    x.reshape(view), *pair, spare.reshape(view), threads=self.threads, work=x.size * view[1] / 8
                )
            x, spare = spare, x
        return x, spare


def eigenvalues(shape: tuple[int, ...], weights: Float) -> Float:
    """Return the eigenvalues of weight_k L_k for the Laplacian L_k along each axis, shape (d, longest axis)."""
    values = np.zeros((len(shape), max(shape)))
    for k, n in enumerate(shape):
        values[k, :n] = weights[k] * (2 - 2 * np.cos(np.pi * np.arange(n) / n))
    return values


class GridFeatures(RowQuadratics):
    """Functions A of a grid's cells that are quadratic along rows, with their cosine transforms, sparse where each is
    a sum of functions of at most two axes."""

    def joined(self, others: Sequence[RowQuadratics]) -> GridFeatures:
        """Return these columns and those of others."""
        parts = (self, *others)
        for other in others:
            if (other.slope.any() or other.square.any()) and not np.array_equal(other.x, self.x):
                raise ValueError("features: expected functions of the same x along rows as the moments', got another x")
        constant, slope = (
            np.concatenate(columns, axis=1) for columns in zip(*((f.constant, f.slope) for f in parts), strict=True)
        )
        return GridFeatures(self.x, self.x2 - self.x**2, constant, slope, np.concatenate([f.square for f in parts]))

    def transform(self, shape: tuple[int, ...]) -> GridFeatures:
        """Compute the transforms; return self."""
        active = np.zeros(shape, np.int8)
        for i in np.indices(shape, sparse=True):
            active += i > 0
        self.support = np.flatnonzero(active <= 2)
        self.index = np.unravel_index(self.support, shape)
        self.images = np.empty((len(self.support), len(self.square)))
        # the transform along the last axis of 1, x, x² first: the rest are transforms of the rows' coefficients
        basis = scipy.fft.dct(np.stack((np.ones_like(self.x), self.x, self.x2)), norm="ortho", axis=1)
        row, last = self.support // shape[-1], self.index[-1]
        for f in range(len(self.square)):
            rows = np.stack((self.constant[:, f], self.slope[:, f], np.full(len(self.constant), self.square[f])))
            rows = scipy.fft.dctn(rows.reshape(3, *shape[:-1]), norm="ortho", axes=range(1, len(shape)))
            rows = rows.reshape(3, -1)[:, row]
            self.images[:, f] = (rows * basis[:, last]).sum(axis=0)
        return self


def moment_features(frechet: FrechetTerm, transport: GridTransport) -> GridFeatures:
    """Return the first and second moments of the cells in the basis of the Fréchet term."""
    axes = list(transport.axes)
    centered = [c - at for c, at in zip(transport.coordinates, frechet.center[axes], strict=True)]
    features = GridFeatures.moments(centered, transport.variances, frechet.factor[axes])
    assert isinstance(features, GridFeatures)
    return features


class Projection:
    """Projection onto {div m = p − q, z = Aᵀp} in the metric of the blocks' penalties, by its multipliers.

    From p = v + (λ − A w) / ρ, m = v_m + grad λ / ρ_m and z = v_z + Q⁻¹ w follows
    (L + 1/ρ) λ = A w / ρ − (v − q − div v_m), and a system of the size of z for w.
    """

    def __init__(self, transport: GridTransport, features: GridFeatures, threads: int | None, dtype: Any) -> None:
        self.shape, self.features, self.threads = transport.shape, features, threads
        self.transform = CosineTransform(transport.shape, dtype, threads)
        self.gram = features.gram()
        self.spare = np.empty(len(transport.target), dtype)

    def set_penalties(self, flow_rates: Float, pmf_rate: float, metric: Float) -> None:
        """Take the penalties: per axis of the flows, of p, and the metric Q of z."""
        features = self.features
        self.inverse_rate = 1 / pmf_rate
        self.eigenvalues = eigenvalues(self.shape, 1 / flow_rates)
        spectrum = sum(self.eigenvalues[k, i] for k, i in enumerate(features.index)) + self.inverse_rate
        self.on_support = 1 / spectrum
        self.covariance = np.linalg.inv(metric) if len(metric) else metric
        inner = self.gram * self.inverse_rate + self.covariance
        inner -= features.images.T @ (features.images * self.on_support[:, None]) * self.inverse_rate**2
        self.multiplier_map = np.linalg.inv(inner) if len(inner) else inner

    def multipliers(self, right: NDArray[Any], mismatch: Float) -> tuple[NDArray[Any], Float]:
        """Return λ and w, given v − q − div v_m (overwritten) and Aᵀv − v_z."""
        features = self.features
        image, self.spare = self.transform.forward(right, self.spare)
        w = mismatch
        if len(w):
            seen = image[features.support] * self.on_support
            w = self.multiplier_map @ (mismatch - (seen @ features.images) * self.inverse_rate)
        cosine.scale_by_spectrum(
            image, np.array(self.shape), self.eigenvalues, self.inverse_rate, threads=self.threads, work=8 * image.size
        )
        if len(w):
            image[features.support] += self.on_support * (features.images @ w) * self.inverse_rate
        potential, self.spare = self.transform.inverse(image, self.spare)
        return potential, w
