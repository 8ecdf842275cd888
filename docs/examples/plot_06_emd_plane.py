"""
Transport in the plane, by four metrics
=======================================

The ground metric decides which way is short: mass moves along the axes under the city-block metric, in straight lines
under the Euclidean one.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastdeg as fd

rng = np.random.default_rng(5)
x, y = rng.normal((0, 0), 0.6, (40, 2)), rng.normal((1.5, 1), 0.4, (30, 2))
a, b = np.full(40, 1 / 40), np.full(30, 1 / 30)
figure, axes = plt.subplots(2, 2, figsize=(8, 6.5), layout="constrained")
for ax, metric in zip(axes.flat, ("euclidean", "sqeuclidean", "cityblock", "chebyshev"), strict=True):
    found = fd.emd(a, b, x, y, metric=metric)
    found.plot(ax)
    ax.set_title(f"{metric}: {found.value:.3f}")
