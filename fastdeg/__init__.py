"""Craft the training degradation distribution of a real-world super-resolution model.

Everything public is importable from here; each name is loaded on first use, so that ``import fastdeg``
compiles nothing and loads neither OpenCV, scikit-learn nor matplotlib.

The method is Zhang et al., "Crafting Training Degradation Distribution for the Accuracy-Generalization
Trade-off in Real-World Super-Resolution", ICML 2023 (arXiv:2305.18107).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import fastdeg._forks  # noqa: F401 - looks after forks from now on

if TYPE_CHECKING:  # what reads code without running it (type checkers, editors, PyInstaller) sees no computed names
    from fastdeg import baselines as baselines
    from fastdeg import frameworks as frameworks
    from fastdeg.accumulator import Accumulator as Accumulator
    from fastdeg.bins import CentroidBins as CentroidBins
    from fastdeg.bins import GridBins as GridBins
    from fastdeg.compiling import warmup as warmup
    from fastdeg.crafting.api import craft as craft
    from fastdeg.crafting.api import tradeoff_path as tradeoff_path
    from fastdeg.crafting.many import craft_many as craft_many
    from fastdeg.crafting.path.curve import TradeoffPath as TradeoffPath
    from fastdeg.crafting.result import CraftResult as CraftResult
    from fastdeg.degradations import History as History
    from fastdeg.distances.degradation import degradation_distance as degradation_distance
    from fastdeg.distances.frechet import frechet_distance as frechet_distance
    from fastdeg.distances.frechet import frechet_distances as frechet_distances
    from fastdeg.distances.many import emd_many as emd_many
    from fastdeg.distances.sinkhorn import SinkhornResult as SinkhornResult
    from fastdeg.distances.sinkhorn import sinkhorn as sinkhorn
    from fastdeg.distances.transport import EMDResult as EMDResult
    from fastdeg.distances.transport import emd as emd
    from fastdeg.distances.transport import emd_1d as emd_1d
    from fastdeg.distances.transport import emd_grid as emd_grid
    from fastdeg.distribution import BinnedDistribution as BinnedDistribution
    from fastdeg.forecast import Gain as Gain
    from fastdeg.forecast import TrainingForecast as TrainingForecast
    from fastdeg.images import DegradationEstimator as DegradationEstimator
    from fastdeg.images import DegradationTransform as DegradationTransform
    from fastdeg.images import degrade as degrade
    from fastdeg.moments import weighted_moments as weighted_moments
    from fastdeg.references import ReferenceSelection as ReferenceSelection
    from fastdeg.references import farthest_points as farthest_points
    from fastdeg.references import select_references as select_references
    from fastdeg.runtime import show_config as show_config
    from fastdeg.space import Axis as Axis
    from fastdeg.space import DegradationSpace as DegradationSpace

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
