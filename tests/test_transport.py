"""Earth mover's distances against POT, linear programming and brute-force certificates."""

import numpy as np
import ot
import pytest
from scipy.spatial.distance import cdist

import fastdeg as fd


def check(result, a, b, cost):
    """Value, plan, potentials and gap of a result agree with the costs and with POT."""
    value = ot.emd2(a / a.sum(), b / b.sum(), cost, numItermax=10**8) * a.sum()
    scale = cost.max() * a.sum()
    assert abs(result.value - value) <= 1e-9 * scale
    plan = result.plan.toarray()
    np.testing.assert_allclose(plan.sum(1), a, rtol=0, atol=1e-12 * a.sum())
    np.testing.assert_allclose(plan.sum(0), b, rtol=0, atol=1e-12 * a.sum())
    assert plan.min() >= 0
    assert abs((plan * cost).sum() - result.value) <= 1e-12 * scale
    u, v = (p.ravel() for p in result.potentials)
    assert (cost - u[:, None] - v[None, :]).min() >= -1e-13 * cost.max()
    assert 0 <= result.gap <= 1e-10 * scale
    assert abs(result.value - (u @ a + v @ b)) <= result.gap + 1e-13 * scale


@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean", "cityblock", "chebyshev"])
def test_points_match_pot(metric):
    rng = np.random.default_rng(0)
    for n, m, d in ((1, 1, 1), (1, 6, 2), (7, 5, 3), (40, 60, 2), (60, 60, 8)):
        x, y = rng.random((n, d)), rng.random((m, d))
        a, b = rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(m))
        check(fd.emd(a, b, x, y, metric=metric), a, b, cdist(x, y, metric))


def test_grid_is_the_points_of_the_grid():
    rng = np.random.default_rng(1)
    a, b = rng.random((2, 4, 3, 5))
    b *= a.sum() / b.sum()
    axes = [np.cumsum(rng.random(k) + 0.1) for k in a.shape]
    points = np.stack([g.ravel() for g in np.meshgrid(*axes, indexing="ij")], 1)
    for metric in ("cityblock", "euclidean", "sqeuclidean", "chebyshev"):
        result = fd.emd_grid(a, b, spacing=axes, metric=metric)
        assert result.potentials[0].shape == a.shape
        check(result, a.ravel(), b.ravel(), cdist(points, points, metric))
