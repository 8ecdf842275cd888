"""
Training pairs from a crafted distribution
==========================================

`fastdeg.DegradationTransform` draws a degradation for each image. With ``index`` and ``epoch``, a draw depends on
these numbers alone: the same for any number of workers, and after a resume.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_sample_image

import fastdeg as fd

clean = load_sample_image("flower.jpg")[140:332, 200:392]
bins = fd.GridBins(fd.DegradationSpace.preset("paper"))
q = fd.BinnedDistribution.from_samples(bins, [[0.7, 14, 80], [1.4, 22, 75], [0.9, 8, 60]])
transform = fd.DegradationTransform(fd.craft(q, generalization=0.3).distribution, downsampling=4, seed=0)
figure, axes = plt.subplots(2, 4, figsize=(10, 5.4), layout="constrained")
for index, ax in enumerate(axes.flat):
    low, used = transform(clean, index=index, epoch=0)
    ax.imshow(low)
    ax.set_title(
        f"blur {used['blur_sigma']:.1f}, noise {used['noise_sigma']:.0f}, JPEG {used['jpeg_quality']:.0f}", fontsize=8
    )
    ax.axis("off")
