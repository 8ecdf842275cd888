"""Slow and plain oracles for transport."""

import numpy as np
from scipy.optimize import linprog


def emd_by_linear_program(a, b, cost):
    """Optimal cost of the transport problem, by SciPy's linear programming."""
    n, m = cost.shape
    rows = np.kron(np.eye(n), np.ones(m))
    columns = np.kron(np.ones(n), np.eye(m))
    result = linprog(cost.ravel(), A_eq=np.vstack([rows, columns]), b_eq=np.concatenate([a, b]), method="highs")
    assert result.status == 0
    return result.fun


def emd_1d(x, y, a, b, p):
    """W_p^p on the line from the quantile functions, integrated between the jumps of either."""
    order_x, order_y = np.argsort(x), np.argsort(y)
    steps_x, steps_y = np.cumsum(a[order_x]) / a.sum(), np.cumsum(b[order_y]) / b.sum()
    levels = np.unique(np.concatenate([[0.0], steps_x, steps_y]).clip(0, 1))
    middle = (levels[1:] + levels[:-1]) / 2
    i = np.searchsorted(steps_x, middle).clip(max=len(x) - 1)
    j = np.searchsorted(steps_y, middle).clip(max=len(y) - 1)
    return float(np.diff(levels) @ np.abs(x[order_x][i] - y[order_y][j]) ** p)


def sinkhorn_plan(a, b, cost, reg, n_iter):
    """Plan after so many iterations in the log domain."""
    log_a, log_b = np.log(a), np.log(b)
    f, g = np.zeros(len(a)), np.zeros(len(b))

    def soft_min(z, axis):
        top = z.max(axis, keepdims=True)
        return np.squeeze(top, axis) + np.log(np.exp(z - top).sum(axis))

    for _ in range(n_iter):
        f = reg * (log_a - soft_min((g[None, :] - cost) / reg, 1))
        g = reg * (log_b - soft_min((f[:, None] - cost) / reg, 0))
    return np.exp((f[:, None] + g[None, :] - cost) / reg)
