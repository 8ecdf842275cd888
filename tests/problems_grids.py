"""A small grid with uneven steps, and flows along its edges."""

import numpy as np

SHAPE = (5, 4, 7)
N = 5 * 4 * 7


def uneven_steps(rng):
    steps = np.zeros((3, 7))
    for row, n in zip(steps, SHAPE, strict=True):
        row[: n - 1] = rng.uniform(0.5, 2.0, n - 1)
    return steps


def edges(steps):
    """Ends, lengths and axis of all edges between neighbours."""
    index = np.arange(N).reshape(SHAPE)
    for k, n in enumerate(SHAPE):
        for c in range(n - 1):
            for i, j in zip(index.take(c, k).ravel(), index.take(c + 1, k).ravel(), strict=True):
                yield int(i), int(j), float(steps[k, c]), k


def active_flows(rng, steps, share=0.3):
    """Flows down a potential whose steps are tight along them, and the pairs that they join."""
    potential = np.add.outer(
        np.add.outer(*(np.r_[0, np.cumsum(steps[k, : n - 1])] for k, n in enumerate(SHAPE[:2]))),
        np.r_[0, np.cumsum(steps[2, :6])],
    ).ravel()
    flows, joined = np.zeros((3, N)), []
    for i, j, length, k in edges(steps):
        if rng.random() < share:
            flows[k, i] = -length * rng.uniform(1.01, 300)  # towards the lower end; the threshold is the length
            joined.append((i, j))
        else:
            flows[k, i] = length * rng.uniform(-1, 1)
    return potential, flows, joined


def split_small_grids(use_strategy):
    """Have grids of any size crafted by the splitting, not by plans or from the target's forest."""
    use_strategy(plan_arcs=0, plan_sinks=0, near_target_cells=0)
