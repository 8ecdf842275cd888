"""
Regularised transport, and what it costs
========================================

`fastdeg.sinkhorn` blurs the plan by an entropy: quick, but dearer than the exact distance. As the regularisation goes
to zero, the cost of its plan goes to what `fastdeg.emd` finds at once.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastdeg as fd

rng = np.random.default_rng(6)
x, y = rng.random((60, 2)), rng.random((60, 2)) + 0.3
a = b = np.full(60, 1 / 60)
exact = fd.emd(a, b, x, y).value
weights = np.geomspace(0.02, 1, 8)
costs = [fd.sinkhorn(a, b, x, y, reg=reg).value for reg in weights]
figure, ax = plt.subplots(figsize=(5, 3.4), layout="constrained")
ax.semilogx(weights, costs, "o-", label="sinkhorn")
ax.axhline(exact, color="k", ls="--", label="emd")
ax.set(xlabel="regularisation", ylabel="cost of the plan")
ax.legend(frameon=False)
