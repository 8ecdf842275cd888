"""Models that are made of arrays only, so that they are saved without pickles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Arrays:
    """A frozen dataclass whose fields are arrays."""

    def to_arrays(self, prefix: str) -> dict[str, NDArray[Any]]:
        """Return the arrays under names that start with the prefix."""
        return {prefix + f.name: np.asarray(getattr(self, f.name)) for f in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], prefix: str) -> Self:
        """Rebuild the model from `to_arrays`."""
        return cls(**{f.name: arrays[prefix + f.name] for f in fields(cls)})
