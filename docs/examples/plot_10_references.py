"""
Representative and diverse references
=====================================

`fastdeg.select_references` gives each bin its share of the references, and takes images that differ from each other;
farthest points alone are diverse, but represent the rim.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastdeg as fd

rng = np.random.default_rng(8)
labels = rng.choice(3, 300, p=[0.6, 0.3, 0.1])
embeddings = np.array([[0, 0, 0, 0], [5, 1, 0, 0], [2, 5, 0, 0]])[labels] + rng.standard_normal((300, 4))
target = fd.BinnedDistribution.from_samples(fd.CentroidBins([[0.0], [1.0], [2.0]]), labels[:, None].astype(float))
chosen = fd.select_references(embeddings, labels, target, n_references=12)
chosen.plot()

# %%
rim = fd.farthest_points(embeddings, 12)
figure, axes = plt.subplots(1, 2, figsize=(8, 3), layout="constrained", sharey=True)
for ax, indices, title in zip(axes, (chosen.indices, rim), ("select_references", "farthest_points"), strict=True):
    ax.bar(range(3), np.bincount(labels[indices], minlength=3) / 12, alpha=0.7)
    ax.plot(range(3), target.pmf, "k_", ms=20)
    ax.set(title=title, xlabel="bin", xticks=range(3))
axes[0].set_ylabel("share of the references; –: target")
