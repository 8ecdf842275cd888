"""
Spaces, bins and samples
========================

An axis has cells or levels; bins are the cells of a grid, or the nearest of some centres. Both count samples, have
moments, and draw samples again.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastdeg as fd

rng = np.random.default_rng(9)
space = fd.DegradationSpace(
    [fd.Axis.edges("noise_sigma", [0, 5, 10, 20, 40], "of 255"), fd.Axis.levels("downsampling", [2, 3, 4])]
)
samples = np.column_stack((rng.gamma(4, 4, 400).clip(0, 40), rng.choice([2, 3, 4], 400, p=[0.2, 0.3, 0.5])))
grid = fd.BinnedDistribution.from_samples(fd.GridBins(space), samples)
centroids = fd.BinnedDistribution.from_samples(fd.CentroidBins.fit(samples, 6, space=space), samples)
figure, axes = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained", sharey=True)
grid.plot(axes[0])
centroids.plot(axes[1])
drawn = centroids.sample(100, rng=0)
axes[1].plot(*drawn.T, "k.", ms=2)

# %%
for name, q in (("grid", grid), ("centroids", centroids)):
    mean, covariance = q.moments()
    print(f"{name}: mean {mean.round(2)}, standard deviations {np.sqrt(np.diagonal(covariance)).round(2)}")
