"""What the splitting method needs of a grid in the basis of its cosine transform.

The grid's Laplacian is diagonal there, and functions of at most two axes are sparse.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from fastdeg._threads import thread_count
from fastdeg._types import Float
from fastdeg.crafting.problem.frechet_term import FrechetTerm
from fastdeg.crafting.problem.frechet_term_grid import RowQuadratics
from fastdeg.crafting.problem.problem import GridTransport
from fastdeg.kernels.crafting import cosine

_LONG_AXIS = 400  # cells from which a fast transform beats a product with the transform's matrix
_SLAB = 32_768  # cells that stay in the second cache
_LEAST_SLAB = 16_384  # cells that are worth a task


class CosineTransform:
    """The orthonormal DCT-II of a grid, in place.

    The last axes are transformed together, slab by slab, the first one and those before the slabs each on its own.
    """

    def __init__(self, shape: tuple[int, ...], dtype: Any, threads: int | None) -> None:
        self.threads = threads
        views = [(int(np.prod(shape[:k])), n, int(np.prod(shape[k + 1 :]))) for k, n in enumerate(shape)]
        self.begin = len(shape)  # of the axes within slabs
        while self.begin > 1 and np.prod(shape[self.begin - 1 :]) <= _SLAB and shape[self.begin - 1] <= _LONG_AXIS:
            self.begin -= 1
        self.alone = [(k, view) for k, view in enumerate(views[: self.begin]) if view[1] > 1]
        self.slab = np.array(shape[self.begin :], np.int64)
        parts = [
            _matrices(n, transposed=k >= self.begin and inner == 1) if n <= _LONG_AXIS else np.zeros((2, 0))
            for k, (_, n, inner) in enumerate(views)
        ]
        self.matrices, self.inverses = np.concatenate(parts, axis=1).astype(dtype)
        self.offsets = np.cumsum([0, *(part.shape[1] for part in parts)])

    def forward(self, x: NDArray[Any]) -> None:
        """x ← its transform."""
        self._along_all(x, inverse=False)

    def inverse(self, x: NDArray[Any]) -> None:
        """x ← its inverse transform."""
        self._along_all(x, inverse=True)

    def _along_all(self, x: NDArray[Any], inverse: bool) -> None:
        matrices = self.inverses if inverse else self.matrices
        if self.slab.max(initial=1) > 1:
            slabs = x.reshape(-1, int(self.slab.prod()))
            cosine.transform_slabs(
                slabs, max(1, _LEAST_SLAB // slabs.shape[1]), self.slab, matrices, self.offsets[self.begin :], inverse,
                threads=self.threads, work=x.size * self.slab.sum() / 16,
            )  # fmt: skip
        for axis, view in self.alone:
            if view[1] > _LONG_AXIS:
                transform = scipy.fft.idct if inverse else scipy.fft.dct
                workers = thread_count(self.threads, x.size * 50)
                x[:] = transform(x.reshape(view), axis=1, norm="ortho", workers=workers).ravel()
            else:
                cosine.transform_panels(
                    x.reshape(view), matrices, self.offsets[axis], inverse,
                    threads=self.threads, work=x.size * view[1] / 16,
                )  # fmt: skip


def _matrices(n: int, transposed: bool) -> Float:
    """Return the matrix of the transform with its even and odd rows, as far as these differ; and of the inverse."""
    matrix, half = scipy.fft.dct(np.eye(n), norm="ortho", axis=0), n // 2
    parts = (matrix, matrix[::2, : n - half], matrix[1::2, :half])
    there, back = (np.concatenate([part.ravel() for part in ps]) for ps in (parts, [part.T for part in parts]))
    return np.stack((back, there) if transposed else (there, back))


class Laplacian:
    """Σ_k weight_k L_k + constant for the Laplacians L_k along the axes of a grid, in its cosine transform's basis."""

    def __init__(self, shape: tuple[int, ...], weights: Float, constant: float, dtype: Any) -> None:
        self.eigenvalues = [w * (2 - 2 * np.cos(np.pi * np.arange(n) / n)) for w, n in zip(weights, shape, strict=True)]
        self.constant = constant
        rest = np.array([constant])
        for values in self.eigenvalues[1:]:
            rest = np.add.outer(rest, values).ravel()
        self.first, self.rest = self.eigenvalues[0].astype(dtype), rest.astype(dtype)

    def at(self, index: Sequence[NDArray[np.intp]]) -> Float:
        """Return the eigenvalues at the cells of an index for each axis."""
        return sum((values[i] for values, i in zip(self.eigenvalues, index, strict=True)), np.array(self.constant))

    def solve(self, image: NDArray[Any], threads: int | None) -> None:
        """image ← −(its solution)."""
        cosine.divide_by_spectrum(
            image.reshape(len(self.first), -1), self.first, self.rest, threads=threads, work=2 * image.size
        )


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
        self.dtype = dtype

    def set_penalties(self, flow_rates: Float, pmf_rate: float, metric: Float) -> None:
        """Take the penalties: per axis of the flows, of p, and the metric Q of z."""
        features = self.features
        self.inverse_rate = 1 / pmf_rate
        self.laplacian = Laplacian(self.shape, 1 / flow_rates, self.inverse_rate, self.dtype)
        self.on_support = 1 / self.laplacian.at(features.index)
        self.covariance = np.linalg.inv(metric) if len(metric) else metric
        inner = self.gram * self.inverse_rate + self.covariance
        inner -= features.images.T @ (features.images * self.on_support[:, None]) * self.inverse_rate**2
        self.multiplier_map = np.linalg.inv(inner) if len(inner) else inner

    def multipliers(self, right: NDArray[Any], mismatch: Float) -> Float:
        """Return w; right ← λ. Given are right = v − q − div v_m and Aᵀv − v_z."""
        features = self.features
        self.transform.forward(right)
        w = mismatch
        if len(w):
            seen = right[features.support] * self.on_support
            w = self.multiplier_map @ (mismatch - (seen @ features.images) * self.inverse_rate)
            right[features.support] -= features.images @ w * self.inverse_rate
        self.laplacian.solve(right, self.threads)
        self.transform.inverse(right)
        return w
