"""Generators of transport problems, with the awkward cases of practice."""

import numpy as np

METRICS = ("euclidean", "sqeuclidean", "cityblock", "chebyshev")
KINDS = (
    "random",
    "lattice",
    "uniform masses",
    "collinear",
    "histograms with zeros",
    "one huge mass",
    "tiny masses",
    "same points",
    "same points, histograms",
    "huge costs",
    "grid",
    "duplicates",
)


def problem(kind, rng, largest=60):
    """Masses a, b of equal totals at points x, y; y is x where the points are the same."""
    d = int(rng.choice([1, 2, 3, 8]))
    n, m = (int(k) for k in rng.integers(1, largest, 2))
    x, y = rng.random((n, d)), rng.random((m, d))
    if kind.startswith("same points"):
        y, m = x, n
    if kind == "grid":
        d = int(rng.integers(1, 4))
        axes = [np.cumsum(rng.random(rng.integers(1, 5))) for _ in range(d)]
        x = y = np.stack([g.ravel() for g in np.meshgrid(*axes, indexing="ij")], 1)
        n = m = len(x)
    a, b = rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(m))
    if kind == "lattice":
        x, y = (rng.integers(0, 3, p.shape).astype(float) for p in (x, y))
    elif kind == "uniform masses":
        a, b = np.full(n, 1 / n), np.full(m, 1 / m)
    elif kind == "collinear":
        x, y = (np.outer(rng.random(len(p)), np.ones(d)) for p in (x, y))
    elif kind.endswith("zeros") or kind.endswith("histograms"):
        a, b = rng.multinomial(30, a) / 30, rng.multinomial(30, b) / 30
    elif kind == "one huge mass":
        a[0] += 1e6
    elif kind == "tiny masses":
        a, b = a * 1e-300, b * 1e-300
    elif kind == "huge costs":
        x, y = x * 1e32, y * 1e32
    elif kind == "duplicates":
        x, y = x[rng.integers(0, n, n)], y[rng.integers(0, m, m)]
        x[: min(n, m) // 2] = y[: min(n, m) // 2]
    return a, b * (a.sum() / b.sum()), x, y
