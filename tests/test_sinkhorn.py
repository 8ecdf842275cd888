"""Entropic transport against a plain log-domain iteration and POT."""

import pickle

import naive_transport as naive
import numpy as np
import ot
import pytest
from scipy.spatial.distance import cdist

import fastdeg as fd


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    x, y = rng.random((40, 2)), rng.random((55, 2))
    return rng.dirichlet(np.ones(40)), rng.dirichlet(np.ones(55)), x, y


@pytest.mark.parametrize("reg", [0.03, 0.3, 10.0])
def test_matches_plain_iteration_and_pot(problem, reg):
    a, b, x, y = problem
    cost = cdist(x, y)
    result = fd.sinkhorn(a, b, x, y, reg=reg, tol=1e-12)
    assert result.converged
    assert result.marginal_error <= 1e-12
    np.testing.assert_allclose(result.plan, naive.sinkhorn_plan(a, b, cost, reg, 3000), atol=1e-10)
    plan = ot.sinkhorn(a, b, cost, reg, method="sinkhorn_log", stopThr=1e-12, numItermax=10_000)
    np.testing.assert_allclose(result.plan, plan, atol=1e-10)
    assert np.isclose(result.value, (plan * cost).sum())
    errors = abs(result.plan.sum(1) - a).sum() + abs(result.plan.sum(0) - b).sum()
    assert abs(errors - result.marginal_error) < 1e-12


@pytest.mark.parametrize("reg", [1e-2, 1e-3, 1e-5, 1e-9])
def test_small_reg_stays_finite_and_honest(problem, reg):
    a, b, x, y = problem
    result = fd.sinkhorn(a, b, x, y, reg=reg, max_iter=300)
    assert np.isfinite(result.value)
    assert np.isfinite(result.plan).all()
    errors = abs(result.plan.sum(1) - a).sum() + abs(result.plan.sum(0) - b).sum()
    assert abs(errors - result.marginal_error) <= 1e-6
    assert result.converged == (result.marginal_error <= 1e-9)
    assert result.n_iter <= 300


def test_approaches_the_exact_distance(problem):
    a, b, x, y = problem
    exact = fd.emd(a, b, x, y).value
    values = [fd.sinkhorn(a, b, x, y, reg=reg, max_iter=50_000, tol=1e-7).value for reg in (0.1, 0.01, 0.002)]
    assert values[0] > values[1] > values[2] > exact - 1e-6
    assert values[2] < exact * 1.05


def test_zero_masses_totals_and_cost_matrix(problem):
    a, b, x, y = problem
    a, b = a * (np.arange(40) % 3 > 0), b * (np.arange(55) % 5 > 0)
    a, b = 7 * a / a.sum(), 7 * b / b.sum()
    cost = cdist(x, y, "sqeuclidean")
    result = fd.sinkhorn(a, b, cost=cost, reg=0.1)
    np.testing.assert_allclose(result.plan.sum(1), a, atol=1e-8)
    np.testing.assert_allclose(result.plan.sum(0), b, atol=1e-8)
    assert np.isclose(result.value, fd.sinkhorn(a, b, x, y, reg=0.1, metric="sqeuclidean").value)
    assert np.isclose(result.value, 7 * fd.sinkhorn(a / 7, b / 7, cost=cost, reg=0.1).value)
    assert (result.potentials[0][a == 0] == -np.inf).all()


def test_threads_do_not_change_the_result():
    rng = np.random.default_rng(1)
    n = 2_000  # entries enough for several threads
    a, b, x = rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(n)), rng.random((n, 3))
    results = [fd.sinkhorn(a, b, x, reg=0.05, max_iter=8, threads=threads) for threads in (1, 2, 7)]
    for other in results[1:]:
        np.testing.assert_array_equal(other.potentials, results[0].potentials)


def test_on_a_grid_it_is_separable():
    rng = np.random.default_rng(2)
    shape = (6, 5, 4)
    axes = [np.cumsum(rng.random(k)) for k in shape]
    points = np.stack([g.ravel() for g in np.meshgrid(*axes, indexing="ij")], 1)
    a, b = rng.random((2, *shape)) * (rng.random((2, *shape)) < 0.8)
    b *= a.sum() / b.sum()
    for metric in ("sqeuclidean", "cityblock"):
        for reg in (0.05, 1.0):
            grid = fd.sinkhorn(a, b, axes, reg=reg, metric=metric, tol=1e-11)
            flat = fd.sinkhorn(a.ravel(), b.ravel(), points, reg=reg, metric=metric, tol=1e-11)
            assert grid.converged
            assert np.isclose(grid.value, flat.value, rtol=1e-9)
            assert grid.potentials[0].shape == shape
            np.testing.assert_allclose(grid.plan, flat.plan, atol=1e-10)
    with pytest.raises(ValueError, match="metric"):
        fd.sinkhorn(a, b, axes, reg=0.1, metric="euclidean")


def test_a_grid_refuses_what_it_does_not_use():
    a, axes = np.full((2, 3), 1 / 6), [np.arange(2.0), np.arange(3.0)]
    for name, value in (("cost", np.ones((6, 6))), ("y", axes)):
        with pytest.raises(ValueError, match=f"{name}: expected x alone, coordinates along each axis"):
            fd.sinkhorn(a, a, axes, reg=1.0, metric="cityblock", **{name: value})


def test_a_metric_beside_a_cost_matrix_is_refused(problem):
    a, b, x, y = problem
    for call in (fd.emd, lambda *args, **options: fd.sinkhorn(*args, reg=0.1, **options)):
        with pytest.raises(ValueError, match="metric: expected either a metric or a cost matrix, got both"):
            call(a, b, cost=cdist(x, y), metric="cityblock")


def test_results_are_pickled_with_their_plans(problem):
    a, b, x, y = problem
    axes = [np.arange(5.0), np.arange(8.0)]
    for result in (
        fd.sinkhorn(a, b, x, y, reg=0.1),
        fd.sinkhorn(a, b, cost=cdist(x, y), reg=0.1),
        fd.sinkhorn(a.reshape(5, 8), a[::-1].reshape(5, 8), axes, reg=1.0, metric="cityblock"),
    ):
        again = pickle.loads(pickle.dumps(result))
        assert (again.value, again.n_iter, again.converged) == (result.value, result.n_iter, result.converged)
        np.testing.assert_array_equal(again.plan, result.plan)


def test_bad_input_is_named(problem):
    a, b, x, y = problem
    for changes, message in (
        ({"reg": 0}, "reg: "),
        ({"reg": np.nan}, "reg: "),
        ({"max_iter": 0}, "max_iter: "),
        ({"tol": -1.0}, "tol: "),
        ({"x": x[:-1]}, "x: expected shape"),
        ({"a": a[:-1]}, "x: expected shape"),
        ({"b": b * 2}, "b: expected the same total"),
        ({"y": y * np.nan}, "y: expected finite"),
        ({"metric": "cosine"}, "metric: "),
    ):
        with pytest.raises(ValueError, match=message):
            fd.sinkhorn(**({"a": a, "b": b, "x": x, "y": y, "reg": 0.1} | changes))
