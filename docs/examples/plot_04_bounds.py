"""
Bounds: never more than so much of one degradation
==================================================

``upper=`` and ``lower=`` bound the probability of each bin. A training set that must not spend more than a tenth on
any of them:
"""

import matplotlib.pyplot as plt

import fastdeg as fd

bins = fd.GridBins(
    fd.DegradationSpace(
        [fd.Axis.regular("blur_sigma", 0, 4, 8, "px"), fd.Axis.regular("noise_sigma", 0, 40, 8, "of 255")]
    )
)
q = fd.BinnedDistribution.from_samples(bins, [[0.7, 12.0]] * 6 + [[1.2, 17.0]] * 3 + [[3.1, 4.0]])
figure, axes = plt.subplots(1, 3, figsize=(11, 3.2), layout="constrained")
for ax, upper in zip(axes[1:], (1.0, 0.1), strict=True):
    p = fd.craft(q, generalization=0.1, upper=upper).distribution
    p.plot(ax)
    ax.set_title(f"upper = {upper:g}: at most {p.pmf.max():.2f}")
q.plot(axes[0])
axes[0].set_title("target q")
