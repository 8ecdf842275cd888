"""Statistics of a plane that tell a direction from its mirror image, which magnitudes of DCT coefficients do not.

Of the gradient (gx, gy) over the steepest pixels (see `edges`), on five scales: the logarithm of how much stronger it
is along one diagonal than along the other, Σ(gx + gy)² over Σ(gx − gy)², and along the rows than along the columns,
Σgx² over Σgy². A blur along one direction takes from the finest scales most; what the picture shows has about the
same directions on all.
"""

from __future__ import annotations

import math

import numpy as np

from fastdeg.kernels._jit import kernel
from fastdeg.kernels.images.edges import DISTANCES, MARGIN, N_LEVELS, SHARES, WIDE, smooth, steepest, steepness

N_STATISTICS = N_LEVELS * 2 * (len(SHARES) + 1)
FLOOR = 1.0  # squared grey levels


@kernel(inline="always")
def add_directions(rows, steep, thresholds, out):
    """Add gx gy and gx² − gy² and gx² + gy² of a row to the sums (5, 3) of the pixels that reach each threshold."""
    above, here, below = rows[0], rows[1], rows[2]
    for x in range(1, here.shape[0] - 1):
        across, down = here[x + 1] - here[x - 1], below[x] - above[x]
        product, squares, others = across * down, across * across, down * down
        for s in range(out.shape[0]):
            if np.int32(steep[x]) >= thresholds[s]:
                out[s, 0] += product
                out[s, 1] += squares - others
                out[s, 2] += squares + others


@kernel
def planes_directions(planes, out):
    """Statistics of each of several planes (n, height, width), contiguous float32, at least 3 × 3, in the rows of out.

    Last in each row of N_STATISTICS, by level, share and kind.
    """
    n, height, width = planes.shape
    first, second = np.empty((height, width), np.float32), np.empty((height, width), np.float32)
    steep = np.empty((height - 2, width), np.int16)
    padded = np.empty(width + 2 * MARGIN, np.float32)
    thresholds, counts = np.empty(len(SHARES) + 1, np.int32), np.empty(len(SHARES) + 1, np.int64)
    sums = np.empty((len(SHARES) + 1, 3))
    for i in range(n):
        smooth(planes[i], WIDE[1], DISTANCES[1], padded, first)
        steepness(first, padded[:width], steep)
        steepest(steep.reshape(-1), (height - 2) * (width - 2), thresholds, counts)
        place = out.shape[1] - N_STATISTICS
        for level in range(N_LEVELS):
            if level > 1:
                source, target = (first, second) if level % 2 == 0 else (second, first)
                smooth(source, WIDE[level], DISTANCES[level], padded, target)
            x = planes[i] if level == 0 else first if level % 2 == 1 else second
            sums[:] = 0
            for y in range(height - 2):
                add_directions(x[y : y + 3], steep[y], thresholds, sums)
            for s in range(len(SHARES) + 1):
                product, difference, total = sums[s, 0], sums[s, 1], sums[s, 2]
                floor = FLOOR * counts[s]
                out[i, place] = math.log((total + 2 * product + floor) / (total - 2 * product + floor))
                out[i, place + 1] = math.log((total + difference + floor) / (total - difference + floor))
                place += 2
