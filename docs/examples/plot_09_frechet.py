"""
Fréchet distances between Gaussians
===================================

The distance behind the FID: between means and covariances, singular ones too. `fastdeg.frechet_distances` compares
one Gaussian with thousands.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastdeg as fd

rng = np.random.default_rng(7)
reference = rng.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], 500)
mean, covariance = fd.weighted_moments(reference)
angles = np.linspace(0, np.pi, 60)
turns = [np.array([[np.cos(t), -np.sin(t)], [np.sin(t), np.cos(t)]]) for t in angles]
covariances = np.stack([turn @ covariance @ turn.T for turn in turns])
squared = fd.frechet_distances(np.tile(mean, (60, 1)), covariances, mean, covariance)
figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
for turn in turns[::15]:
    turned = reference @ turn.T
    left.plot(turned[:, 0], turned[:, 1], ".", ms=2)
left.set(aspect="equal", title="a cloud, turned")
right.plot(np.degrees(angles), squared)
right.set(xlabel="turned by (°)", ylabel="squared Fréchet distance")
