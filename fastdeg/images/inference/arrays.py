"""Models that are made of arrays and of such models, so that they are saved without pickles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, Self, get_args, get_type_hints

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Arrays:
    """A frozen dataclass whose fields are arrays, or of this kind themselves, or None in place of that."""

    def to_arrays(self, prefix: str = "") -> dict[str, NDArray[Any]]:
        """Return the arrays under names that start with the prefix."""
        out: dict[str, NDArray[Any]] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            name = prefix + field.name
            if value is not None:
                out |= value.to_arrays(f"{name}.") if isinstance(value, Arrays) else {name: np.asarray(value)}
        return out

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], prefix: str = "") -> Self:
        """Rebuild the model from `to_arrays`."""
        hints = get_type_hints(cls)
        values: dict[str, Any] = {}
        for field in fields(cls):
            name, hint = prefix + field.name, hints[field.name]
            kinds = [kind for kind in (hint, *get_args(hint)) if isinstance(kind, type) and issubclass(kind, Arrays)]
            if not kinds:  # a file written before there was such a field lacks it
                values[field.name] = arrays[name] if name in arrays or field.default is MISSING else field.default
            elif any(key.startswith(f"{name}.") for key in arrays) or type(None) not in get_args(hint):
                values[field.name] = kinds[0].from_arrays(arrays, f"{name}.")
            else:
                values[field.name] = None
        return cls(**values)
