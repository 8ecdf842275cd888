"""
Accuracy against generalisation
===============================

`fastdeg.tradeoff_path` solves for a sequence of τ. Each point is certified; at the same generalisation, no
distribution is nearer to the target. The plain mixtures of target and prior are farther away everywhere between the
ends.
"""

import numpy as np

import fastdeg as fd

rng = np.random.default_rng(0)
bins = fd.GridBins(fd.DegradationSpace.preset("paper"))
q = fd.BinnedDistribution.from_samples(bins, bins.space.unstandardize(rng.beta(2, 6, (24, 3))))
path = fd.tradeoff_path(q)
path.plot()

# %%
for tau, distance, kl in list(zip(path.generalizations, path.distance_to_target, path.kl_to_prior, strict=True))[::5]:
    print(f"τ = {tau:6.3f}: distance to q {distance:.3f}, KL to the prior {kl:.3f}")
