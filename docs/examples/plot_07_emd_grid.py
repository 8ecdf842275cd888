"""
Distances between histograms on a grid
======================================

`fastdeg.emd_grid` compares two arrays of masses: images, joint histograms, degradation grids. Its potentials say
where mass is worth most: moving a unit from where they are high to where they are low pays.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastdeg as fd

side = np.linspace(-1, 1, 24)
gx, gy = np.meshgrid(side, side, indexing="ij")
a = np.exp(-((gx + 0.4) ** 2 + (gy + 0.3) ** 2) / 0.08)
b = np.exp(-((gx - 0.4) ** 2) / 0.05 - (gy - 0.2) ** 2 / 0.3)
a, b = a / a.sum(), b / b.sum()
found = fd.emd_grid(a, b, spacing=2 / 23)
figure, axes = plt.subplots(1, 3, figsize=(11, 3.2), layout="constrained")
for ax, values, title in zip(axes, (a, b, found.potentials[0]), ("a", "b", "potential of a"), strict=True):
    figure.colorbar(ax.imshow(values.T, origin="lower", cmap="magma_r"), ax=ax)
    ax.set_title(title)
print(f"distance {found.value:.4f}, gap {found.gap:.1e}")
