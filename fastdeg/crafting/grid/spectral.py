"""What the splitting method needs of a grid in the basis of its cosine transform.

The grid's Laplacian is diagonal there, and functions of at most two axes are sparse.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastdeg._threads import thread_count
from fastdeg._types import Float
from fastdeg.crafting.problem.frechet_term import FrechetTerm
from fastdeg.crafting.problem.frechet_term_grid import RowQuadratics
from fastdeg.crafting.problem.transport_term import GridTransport

_WORK = 50  # elementary operations of a cosine transform for each cell


def cosine_transform(x: Float, shape: tuple[int, ...], threads: int | None, inverse: bool = False) -> None:
    """x ← its orthonormal DCT-II on a grid, or the inverse of that."""
    from scipy import fft  # a fifth of a second, which problems without transforms are to be spared

    transform = fft.idctn if inverse else fft.dctn
    workers = thread_count(threads, _WORK * x.size)
    x[:] = transform(x.reshape(shape), norm="ortho", overwrite_x=True, workers=workers).ravel()


def laplacian_spectrum(shape: tuple[int, ...], weights: Float) -> Float:
    """Return the eigenvalues of Σ_k weight_k L_k for the Laplacians L_k along the axes of a grid, in C order."""
    spectrum = np.zeros(1)
    for n, weight in zip(shape, weights, strict=True):
        spectrum = np.add.outer(spectrum, weight * (2 - 2 * np.cos(np.pi * np.arange(n) / n))).ravel()
    return spectrum


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
        from scipy import fft

        active = np.zeros(shape, np.int8)
        for i in np.indices(shape, sparse=True):
            active += i > 0
        self.support = np.flatnonzero(active <= 2)
        self.images = np.empty((len(self.support), len(self.square)))
        # the transform along the last axis of 1, x, x² first: the rest are transforms of the rows' coefficients
        basis = fft.dct(np.stack((np.ones_like(self.x), self.x, self.x2)), norm="ortho", axis=1)
        row, last = np.divmod(self.support, shape[-1])
        for f in range(len(self.square)):
            rows = np.stack((self.constant[:, f], self.slope[:, f], np.full(len(self.constant), self.square[f])))
            rows = fft.dctn(rows.reshape(3, *shape[:-1]), norm="ortho", axes=range(1, len(shape)))
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

    def __init__(self, transport: GridTransport, features: GridFeatures, threads: int | None) -> None:
        self.shape, self.features, self.threads = transport.shape, features, threads
        self.gram = features.gram()

    def set_penalties(self, flow_rates: Float, pmf_rate: float, metric: Float) -> None:
        """Take the penalties: per axis of the flows, of p, and the metric Q of z."""
        features = self.features
        self.inverse_rate = 1 / pmf_rate
        self.response = -1 / (laplacian_spectrum(self.shape, 1 / flow_rates) + self.inverse_rate)
        self.on_support = -self.response[features.support]
        self.covariance = np.linalg.inv(metric) if len(metric) else metric
        inner = self.gram * self.inverse_rate + self.covariance
        inner -= features.images.T @ (features.images * self.on_support[:, None]) * self.inverse_rate**2
        self.multiplier_map = np.linalg.inv(inner) if len(inner) else inner

    def multipliers(self, right: Float, mismatch: Float) -> Float:
        """Return w; right ← λ. Given are right = v − q − div v_m and Aᵀv − v_z."""
        features = self.features
        cosine_transform(right, self.shape, self.threads)
        w = mismatch
        if len(w):
            seen = right[features.support] * self.on_support
            w = self.multiplier_map @ (mismatch - (seen @ features.images) * self.inverse_rate)
            right[features.support] -= features.images @ w * self.inverse_rate
        right *= self.response
        cosine_transform(right, self.shape, self.threads, inverse=True)
        return w
