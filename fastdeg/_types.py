"""Types that all rooms share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Float: TypeAlias = NDArray[np.float64]
Progress: TypeAlias = Callable[[float, str], None]  # told of the fraction done and of what is being done
