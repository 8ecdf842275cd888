"""Models that are made of arrays and of such models, so that they are saved without pickles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self, get_type_hints

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Arrays:
    """A frozen dataclass whose fields are arrays, or of this kind themselves."""

    def to_arrays(self, prefix: str) -> dict[str, NDArray[Any]]:
        """Return the arrays under names that start with the prefix."""
        out: dict[str, NDArray[Any]] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            name = prefix + field.name
            out |= value.to_arrays(f"{name}.") if isinstance(value, Arrays) else {name: np.asarray(value)}
        return out

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], prefix: str) -> Self:
        """Rebuild the model from `to_arrays`."""
        kinds = get_type_hints(cls)
        return cls(
            **{
                f.name: kinds[f.name].from_arrays(arrays, f"{prefix}{f.name}.")
                if isinstance(kinds[f.name], type) and issubclass(kinds[f.name], Arrays)
                else arrays[prefix + f.name]
                for f in fields(cls)
            }
        )
