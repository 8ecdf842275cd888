"""What the package runs on: compiling ahead, and the settings in force."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_PACKAGES = ("numba", "llvmlite", "numpy", "scipy", "scikit-learn", "opencv-python", "matplotlib", "rich")


def warmup() -> None:
    """Compile the kernels of the main functions ahead of their first use, for float64 input.

    The machine code is kept in numba's cache folder, so later processes start fast. Takes under two minutes on two
    cores, and a second or two where the cache is filled.

    Examples
    --------
    >>> import fastdeg as fd
    >>> fd.warmup()  # doctest: +SKIP
    """
    import numpy as np

    import fastdeg as fd

    rng = np.random.default_rng(0)
    space = fd.DegradationSpace([fd.Axis.regular("blur_sigma", 0, 5, 3), fd.Axis.regular("noise_sigma", 0, 50, 3)])
    grid = fd.GridBins(space)
    centroids = fd.CentroidBins.fit(space.points(), 5, space=space)
    samples = space.unstandardize(rng.random((60, 2)))
    for bins in (grid, centroids):
        target = fd.BinnedDistribution.from_samples(bins, samples)
        fd.craft(target, generalization=0.1)
        fd.craft(target, generalization=0.1, wasserstein_weight=0.0)
        fd.degradation_distance(target, fd.BinnedDistribution.uniform(bins))
    masses = rng.random((2, 300))
    masses /= masses.sum(axis=1, keepdims=True)
    x = rng.random((300, 2))
    for metric in ("euclidean", "sqeuclidean", "cityblock", "chebyshev"):
        fd.emd(*masses, x, x[::-1], metric=metric)
    fd.emd(*masses, cost=rng.random((300, 300)))
    fd.emd_1d(x[:, 0], x[:, 1])
    fd.sinkhorn(*masses, x, x[::-1], reg=0.1)
    mean, covariance = fd.weighted_moments(x, masses[0])
    fd.weighted_moments(x, labels=rng.integers(0, 3, 300), n_bins=3)
    fd.frechet_distances(mean[None], covariance[None], mean, covariance)
    fd.farthest_points(x, 3)


def configuration() -> dict[str, Any]:
    """Return versions, threads, threading layer and cache folder."""
    import numba

    import fastdeg
    from fastdeg.kernels import _jit

    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "fastdeg": fastdeg.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        **versions,
        "threads": numba.get_num_threads(),
        "cpu_count": os.cpu_count(),
        "threading_layer": _jit.layer(),
        "cache_folder": str(cache_folder()),
        "kernels_cached": kernels_cached(),
    }


def show_config() -> None:
    """Print versions, threads, threading layer and cache folder.

    Examples
    --------
    >>> import fastdeg as fd
    >>> fd.show_config()
    fastdeg           0.1.0
    ...
    """
    for key, value in configuration().items():
        print(f"{key:<17} {value}")


def cache_folder() -> Path:
    """Return the folder where numba keeps the machine code of the kernels."""
    from fastdeg.kernels.binning import assign_grid

    return Path(assign_grid.serial.stats.cache_path or "")


def kernels_cached() -> bool:
    """Return whether some kernels' machine code is in the cache folder, that is, whether this is not the first run."""
    folder = cache_folder()
    return folder != Path("") and folder.is_dir() and any(folder.glob("*.nbi"))
