"""Bins of a degradation space: the cells of a grid, or centroids with their nearest points."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fastdeg.bins.base import Bins
from fastdeg.bins.centroids import CentroidBins
from fastdeg.bins.grid import GridBins
from fastdeg.space import DegradationSpace

__all__ = ["Bins", "CentroidBins", "GridBins", "bins_from_arrays"]


def bins_from_arrays(state: Mapping[str, Any]) -> Bins:
    """Rebuild bins from what `Bins.to_arrays` returned."""
    space = None if state["space"] is None else DegradationSpace.from_dict(state["space"])
    if state["kind"] == "grid":
        assert space is not None
        return GridBins(space)
    return CentroidBins(
        state["centers"], state["covariances"], space=space, _volumes=np.asarray(state["volumes"], np.float64)
    )
