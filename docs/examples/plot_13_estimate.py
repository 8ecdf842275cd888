"""
Reading degradations out of photos
==================================

The estimator learns on clean images how degradations show, and reads photos that it has never seen. Here the truth is
known: blur 0.5–1.5 px and noise 8–16 on one photograph, for an estimator fitted on another one.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_image

import fastdeg as fd

rng = np.random.default_rng(0)
space = fd.DegradationSpace(
    [fd.Axis.regular("blur_sigma", 0, 4, 4, "px"), fd.Axis.regular("noise_sigma", 0, 40, 5, "of 255")]
)
estimator = fd.DegradationEstimator(fd.GridBins(space), downsampling=2, n_samples=800).fit(
    [load_sample_image("china.jpg")]
)
flower = load_sample_image("flower.jpg")
truth = np.column_stack((rng.uniform(0.5, 1.5, 8), rng.uniform(8, 16, 8)))
photos = [
    fd.degrade(flower[y : y + 256, x : x + 320], downsampling=2, blur_sigma=blur, noise_sigma=noise, rng=rng)
    for (blur, noise), y, x in zip(truth, rng.integers(0, 170, 8), rng.integers(0, 320, 8), strict=True)
]
found = estimator.infer(photos)
panels = found.plot()
for ax, column in zip(panels, truth.T, strict=True):
    ax.plot(column, range(8), "k|", ms=12, label="truth")
panels[0].legend(frameon=False)

# %%
# Together they make q, the target of crafting:
found.distribution.plot()
plt.show()
