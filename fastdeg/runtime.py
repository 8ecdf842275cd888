"""What the package runs on: versions and the settings in force."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_PACKAGES = ("numba", "llvmlite", "numpy", "scipy", "scikit-learn", "matplotlib", "rich")


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
        "cache_folder": str(cache_folder()) if cache_folder() != Path("") else "none: not compiled, or not cached",
        "kernels_cached": kernels_cached(),
    }


def show_config() -> None:
    """Print versions, threads, threading layer and cache folder.

    See Also
    --------
    warmup : Fills the cache.

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

    stats = getattr(assign_grid.serial, "stats", None)  # none with NUMBA_DISABLE_JIT
    return Path((stats.cache_path if stats else None) or "")


def kernels_cached() -> bool:
    """Return whether some kernels' machine code is in the cache folder, that is, whether this is not the first run."""
    folder = cache_folder()
    return folder != Path("") and folder.is_dir() and any(folder.glob("*.nbi"))
