"""Metrics added to the table from outside the package, as docs/add-a-metric.md does it."""

import pickle
import re
from pathlib import Path

import numpy as np
import ot
import pytest
from scipy.spatial.distance import cdist

import fastdeg as fd
from fastdeg.transport.metrics import METRICS, Metric, register

PAGE = Path(__file__).parent.parent / "docs" / "add-a-metric.md"


@pytest.fixture(scope="module")
def page():
    names: dict = {}
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    exec(compile(code, str(PAGE), "exec"), names)
    yield names
    for name in ("minkowski3", "power 3/2"):
        del METRICS[name]


def test_exact_and_entropic_transport(page):
    a, b, x = page["a"], page["b"], page["x"]
    cost = cdist(x, x, "minkowski", p=3)
    result = page["exact"]
    assert result.value == pytest.approx(ot.emd2(a, b, cost), rel=1e-12)
    u, v = result.potentials
    assert (cost - u[:, None] - v).min() >= -1e-14
    assert page["entropic"].value == pytest.approx(fd.sinkhorn(a, b, cost=cost, reg=0.05).value, rel=1e-12)


def test_on_grids(page):
    p, q, axes = page["p"], page["q"], page["axes"]
    points = np.stack([g.ravel() for g in np.meshgrid(*axes, indexing="ij")], 1)
    cost = (abs(points[:, None] - points) ** 1.5).sum(-1)
    plan = ot.sinkhorn(p.ravel(), q.ravel(), cost, 0.1, method="sinkhorn_log", stopThr=1e-12, numItermax=10_000)
    np.testing.assert_allclose(page["on_grid"].plan, plan, atol=1e-9)
    assert fd.emd_grid(p, q, spacing=axes, metric="power 3/2").value == pytest.approx(
        ot.emd2(p.ravel(), q.ravel(), cost), rel=1e-12
    )
    with pytest.raises(ValueError, match="metric: expected one of 'sqeuclidean', 'cityblock', 'power 3/2', got"):
        fd.sinkhorn(p, q, axes, metric="minkowski3", reg=0.1)


def test_crafting(page):
    target, result = page["target"], page["crafted"]
    centers = target.bins.standardized_centers()
    cost = cdist(centers, centers, "minkowski", p=3)
    assert result.converged
    assert result.terms["wasserstein"] == pytest.approx(ot.emd2(result.distribution.pmf, target.pmf, cost), abs=1e-9)
    by_cost = fd.craft(target, generalization=0.1, cost=cost)
    assert abs(result.objective - by_cost.objective) <= result.gap + by_cost.gap


def test_rows_of_the_package_stay(page):
    with pytest.raises(ValueError, match="name: expected one that the table does not come with, got 'euclidean'"):
        register(Metric("euclidean", "sqeuclidean"))


def test_a_metric_of_scipy_by_its_name():
    register(Metric("canberra", "canberra", is_metric=True, separable=True))
    rng = np.random.default_rng(0)
    a, b, x = rng.dirichlet(np.ones(12)), rng.dirichlet(np.ones(12)), rng.random((12, 2))
    result = fd.sinkhorn(a, b, x, metric="canberra", reg=0.2)
    again = pickle.loads(pickle.dumps(result))
    np.testing.assert_array_equal(again.plan, result.plan)
    assert fd.emd(a, b, x, metric="canberra").value == pytest.approx(ot.emd2(a, b, cdist(x, x, "canberra")), rel=1e-12)
