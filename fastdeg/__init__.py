"""Craft the training degradation distribution of a real-world super-resolution model.

Everything public is importable from here; each name is loaded on first use, so that ``import fastdeg``
compiles nothing and loads neither OpenCV, scikit-learn nor matplotlib.

The method is Zhang et al., "Crafting Training Degradation Distribution for the Accuracy-Generalization
Trade-off in Real-World Super-Resolution", ICML 2023 (arXiv:2305.18107).
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import fastdeg._forks  # noqa: F401 - looks after forks from now on

__version__ = "0.2.0"

# public name -> module that defines it
_PUBLIC = {
    "Axis": "space",
    "DegradationSpace": "space",
    "GridBins": "bins",
    "CentroidBins": "bins",
    "BinnedDistribution": "distribution",
    "weighted_moments": "moments",
    "Accumulator": "accumulator",
    "frechet_distance": "distances.frechet",
    "frechet_distances": "distances.frechet",
    "emd": "distances.transport",
    "emd_1d": "distances.transport",
    "emd_grid": "distances.transport",
    "emd_many": "distances.many",
    "EMDResult": "distances.transport",
    "sinkhorn": "distances.sinkhorn",
    "SinkhornResult": "distances.sinkhorn",
    "degradation_distance": "distances.degradation",
    "craft": "crafting.api",
    "tradeoff_path": "crafting.api",
    "craft_many": "crafting.many",
    "CraftResult": "crafting.result",
    "TradeoffPath": "crafting.path.curve",
    "farthest_points": "references",
    "select_references": "references",
    "ReferenceSelection": "references",
    "degrade": "images",
    "History": "degradations",
    "DegradationEstimator": "images",
    "DegradationTransform": "images",
    "TrainingForecast": "forecast",
    "Gain": "forecast",
    "warmup": "compiling",
    "show_config": "runtime",
}
_MODULES = ("baselines", "frameworks")

__all__ = ["__version__", *_MODULES, *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_PUBLIC[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
