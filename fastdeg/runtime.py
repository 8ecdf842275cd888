"""What the package runs on: compiling ahead, and the settings in force."""

from __future__ import annotations

import os
import platform
import warnings
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_PACKAGES = ("numba", "llvmlite", "numpy", "scipy", "scikit-learn", "matplotlib", "rich")


def warmup() -> None:
    """Compile the kernels of the main functions ahead of their first use, for float64 input.

    The machine code is kept in numba's cache folder, so later processes start fast. Takes two minutes and a half on
    two cores, and a few seconds where the cache is filled. Crafting on more than 50,000 bins compiles for some seconds
    more at its first use, up to half a minute.

    Examples
    --------
    >>> import fastdeg as fd
    >>> fd.warmup()  # doctest: +SKIP
    """
    import numpy as np

    import fastdeg as fd
    from fastdeg.images import dct_features

    rng = np.random.default_rng(0)
    small = fd.DegradationSpace([fd.Axis.regular("blur_sigma", 0, 5, 3), fd.Axis.regular("noise_sigma", 0, 50, 3)])
    # Serial kernels serve small problems, parallel ones large ones: both are called.
    for space, n in ((small, 60), (fd.DegradationSpace.preset("dense"), 40_000)):
        samples = space.unstandardize(rng.random((n, space.ndim)))
        fd.GridBins(space).assign(samples)
        x, labels = rng.random((n, 3)), rng.integers(0, 5, n)
        mean, covariance = fd.weighted_moments(x, rng.random(n))
        means, covariances = fd.weighted_moments(x, labels=labels, n_bins=5)
        fd.frechet_distances(means, covariances, mean, covariance)
        fd.frechet_distances(np.tile(mean, (n, 1)), np.tile(covariance, (n, 1, 1)), mean, covariance)
        fd.farthest_points(x, 3)
        fd.emd_1d(x[:, 0], x[:, 1])
        bins = fd.CentroidBins(space.points()[:: space.n_bins // 9], space=space)
        target = fd.BinnedDistribution.from_samples(bins, samples)
        fd.select_references(x, bins.assign(samples), target, n_references=3)
        for binned in (bins, fd.GridBins(space)):
            target = fd.BinnedDistribution.from_samples(binned, samples[:60])
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                fd.craft(target, generalization=0.1, wasserstein_weight=0.0, tol=1e-3)
                fd.tradeoff_path(target, tol=1e-3)  # by every method that its problems are solved by
    for n in (50, 1500):
        a, b = rng.dirichlet(np.ones(n), 2)
        x = rng.random((n, 3))
        for metric in ("euclidean", "sqeuclidean", "cityblock", "chebyshev"):
            fd.emd(a, b, x, x[::-1], metric=metric)
        fd.emd(a, b, cost=rng.random((n, n)))
        fd.sinkhorn(a, b, x, x[::-1], reg=0.5, tol=1e-3)
    for shape in ((8, 8), (20, 20, 10)):
        fd.emd_grid(*rng.dirichlet(np.ones(np.prod(shape)), 2).reshape(2, *shape))
    dct_features(np.zeros((64, 64, 3), np.uint8))


def configuration() -> dict[str, Any]:
    """Return versions, threads, threading layer and cache folder."""
    import numba

    import fastdeg
    from fastdeg import opencv
    from fastdeg._threads import layer

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
        "opencv": ", ".join(opencv.installed()) or "not installed",
        "threads": numba.get_num_threads(),
        "cpu_count": os.cpu_count(),
        "threading_layer": layer(),
        "cache_folder": str(cache_folder()),
        "kernels_cached": kernels_cached(),
    }


def show_config() -> None:
    """Print versions, threads, threading layer and cache folder.

    Examples
    --------
    >>> import fastdeg as fd
    >>> fd.show_config()
    fastdeg           ...
    """
    for key, value in configuration().items():
        print(f"{key:<17} {value}")


def cache_folder() -> Path:
    """Return the folder where numba keeps the machine code of the kernels."""
    from fastdeg.kernels.measure.binning import assign_grid

    return Path(assign_grid.serial.stats.cache_path or "")


def kernels_cached() -> bool:
    """Return whether some kernels' machine code is in the cache folder, that is, whether this is not the first run."""
    folder = cache_folder()
    return folder != Path("") and folder.is_dir() and any(folder.glob("*.nbi"))
