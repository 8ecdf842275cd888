"""Many transports at once have the values of one after the other."""

import numpy as np
import pytest
from naive_transport import emd_by_linear_program
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.distance import cdist

import fastdeg as fd
from fastdeg.transport.metrics import Metric, register


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def sparse_masses(rng, n, n_points, total=1.0):
    p = rng.dirichlet(np.full(n_points, 0.2), n)
    p[p < 1e-3] = 0
    return total * p / p.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean", "cityblock", "chebyshev"])
def test_all_pairs_between_points(rng, metric):
    x, p, q = rng.normal(size=(20, 3)), sparse_masses(rng, 5, 20, 7.0), sparse_masses(rng, 4, 20, 7.0)
    ours = fd.emd_many(p, q, x, metric=metric)
    cost = cdist(x, x, metric)
    expected = [[7 * emd_by_linear_program(a / 7, b / 7, cost) for b in q] for a in p]
    assert_allclose(ours, expected, rtol=1e-6)
    one_by_one = np.array([[fd.emd(a, b, x, metric=metric).value for b in q] for a in p])
    assert_allclose(ours, one_by_one, rtol=1e-12)
    own = fd.emd_many(p, x=x, metric=metric)
    assert_array_equal(own, own.T)
    assert_array_equal(np.diag(own), 0)
    assert_allclose(own, fd.emd_many(p, p, x, metric=metric), rtol=1e-12, atol=1e-15)


def test_costs_that_are_no_metric(rng):
    cost, p = rng.normal(size=(12, 12)), sparse_masses(rng, 4, 12)
    ours = fd.emd_many(p, cost=cost)  # asymmetric: each pair both ways, and each with itself
    assert_allclose(ours, [[fd.emd(a, b, cost=cost).value for b in p] for a in p], rtol=1e-12)
    symmetric = cost + cost.T
    ours = fd.emd_many(p, cost=symmetric)
    assert_allclose(ours, [[fd.emd(a, b, cost=symmetric).value for b in p] for a in p], rtol=1e-12)


@pytest.mark.parametrize("large", [1e6, 1e12, 1e15, np.inf])
def test_forbidden_pairs_and_costs_of_many_orders(rng, large):
    cost, p = rng.random((12, 12)), rng.dirichlet(np.ones(12), 4)
    cost[(cost > 0.85) & (np.eye(12) == 0)] = large
    ours = fd.emd_many(p, cost=cost)
    assert_allclose(ours, [[fd.emd(a, b, cost=cost).value for b in p] for a in p], rtol=1e-12)
    symmetric = np.minimum(cost, cost.T)
    ours = fd.emd_many(p, cost=symmetric)
    assert_allclose(ours, [[fd.emd(a, b, cost=symmetric).value for b in p] for a in p], rtol=1e-12)
    assert_array_equal(ours, ours.T)


def test_totals_agree_within_the_precision_they_are_given_in(rng):
    x, p = rng.random((40, 2)), rng.dirichlet(np.ones(40), 9).astype(np.float32)
    assert np.ptp(p.astype(float).sum(axis=1)) > 1e-8
    assert_allclose(fd.emd_many(p, x=x), [[fd.emd(a, b, x).value for b in p] for a in p], rtol=1e-6)
    with pytest.raises(ValueError, match=r"P\[\d\]: expected the same total mass as P\[0\]"):
        fd.emd_many(p.astype(float), x=x)


def test_threads_change_no_bit(rng):
    x, p = rng.random((40, 2)), rng.dirichlet(np.ones(40), 30)
    assert_array_equal(fd.emd_many(p, x=x, threads=1), fd.emd_many(p, x=x, threads=2))


def test_large_distributions_are_solved_one_by_one(rng):
    x, p = rng.random((230, 2)), rng.dirichlet(np.ones(230), 3)
    assert_allclose(fd.emd_many(p, x=x)[0, 1:], [fd.emd(p[0], b, x).value for b in p[1:]], rtol=1e-12)


@pytest.mark.parametrize("unit", [1e-200, 1e120])
def test_very_small_and_large_coordinates(rng, unit):
    x, p = rng.random((9, 2)), rng.dirichlet(np.ones(9), 3)
    assert_allclose(fd.emd_many(p, x=unit * x), unit * fd.emd_many(p, x=x), rtol=1e-12)


def test_metrics_of_the_table(rng):
    register(Metric("bray-curtis of the test", "braycurtis"))
    x, p = rng.random((9, 2)), rng.dirichlet(np.ones(9), 3)
    ours = fd.emd_many(p, x=x, metric="bray-curtis of the test")
    assert_allclose(ours, fd.emd_many(p, cost=cdist(x, x, "braycurtis")), rtol=1e-12)


def test_what_is_refused(rng):
    x, p = rng.random((5, 2)), np.full((3, 5), 0.2)
    split = np.where(np.arange(5)[:, None] == np.arange(5), 1.0, np.inf)
    negative, empty, heavy = p.copy(), p.copy(), p.copy()
    negative[2, 1], empty[1], heavy[2] = -1, 0, 1
    for call, message in (
        (lambda: fd.emd_many(p), "exactly one of them, got neither"),
        (lambda: fd.emd_many(p, x=x, cost=np.ones((5, 5))), "exactly one of them, got both"),
        (lambda: fd.emd_many(p, metric="cityblock", cost=np.ones((5, 5))), "metric: expected either"),
        (lambda: fd.emd_many(negative, x=x), r"P\[2\]: expected masses >= 0, got -1"),
        (lambda: fd.emd_many(p, empty, x), r"Q\[1\]: expected a positive total mass"),
        (lambda: fd.emd_many(heavy, x=x), r"P\[2\]: expected the same total mass as P\[0\]"),
        (lambda: fd.emd_many(p, heavy, x), r"Q\[2\]: expected the same total mass as P\[0\]"),
        (lambda: fd.emd_many(p, p[:, 1:], x), "Q: expected rows of 5 masses"),
        (lambda: fd.emd_many(p, x=x[1:]), r"x: expected shape \(5, d\)"),
        (lambda: fd.emd_many(p, cost=np.full((5, 5), 1e200)), "cost: expected costs up to 1e"),
        (lambda: fd.emd_many(p, x=1e100 * x, metric="sqeuclidean"), "x: expected costs up to 1e"),
        (
            lambda: fd.emd_many(p, [[0.4, 0.1, 0.1, 0.2, 0.2]], cost=split),
            r"P\[0\], Q\[0\]: cost: .* a plan .*, got none",
        ),
        (lambda: fd.emd_many(1e300 * p, 1e300 * np.eye(5)[:1], 1e100 * x), "got a distance above 1.8e308"),
        (lambda: fd.emd_many(p[0], x=x), r"P: expected shape \(K, N\)"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
