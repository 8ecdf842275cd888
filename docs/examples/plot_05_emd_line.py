"""
Earth mover's distance on a line
================================

The optimal plan moves mass without crossings: its lines show what goes where. `fastdeg.emd` returns the plan with its
potentials, which prove that no other one is cheaper.
"""

import numpy as np

import fastdeg as fd

rng = np.random.default_rng(4)
x, y = np.sort(rng.normal(0, 1, (12, 1)), axis=0), np.sort(rng.normal(1, 0.5, (10, 1)), axis=0)
found = fd.emd(rng.dirichlet(np.ones(12)), np.full(10, 0.1), x, y)
found.plot()

# %%
print(f"distance {found.value:.6f}; no plan is cheaper than this minus {found.gap:.1e}")
