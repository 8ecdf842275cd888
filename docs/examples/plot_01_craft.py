"""
From what photos have suffered to what to train on
==================================================

A target q, known from a table of 24 annotated photos, and the training distribution p that `fastdeg.craft` makes of
it: near q where the evidence is, broad where it is not.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastdeg as fd

rng = np.random.default_rng(1)
bins = fd.GridBins(fd.DegradationSpace.preset("paper"))
photos = np.column_stack((rng.uniform(0.5, 1.8, 24), rng.normal(18, 4, 24), rng.uniform(65, 88, 24)))
q = fd.BinnedDistribution.from_samples(bins, photos)
result = fd.craft(q)
print(result)

# %%
# Both over blur and noise. How far p reaches beyond q is chosen by the number of photos: ``generalization="auto"``.
figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
q.plot(left, axis=["blur_sigma", "noise_sigma"])
result.distribution.plot(right, axis=["blur_sigma", "noise_sigma"])
left.set_title("target q, 24 photos")
right.set_title(f"crafted p, τ = {result.generalization:.2f}")

# %%
# All axes at once:
result.distribution.plot()
