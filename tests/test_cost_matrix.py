"""Transport by a cost matrix: exact where many costs are alike or span many orders, and where pairs are forbidden."""

import warnings

import numpy as np
import ot
import pytest
from numba import njit
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

import fastdeg as fd
from fastdeg.njit import emd_matrix, sinkhorn

SIDES = ("random", "lattice", "line", "few places")
MASSES = ("uniform", "many orders", "one huge", "mostly none", "powers of two", "few values")
SPECIAL = 2  # costs besides those between points: random, and small whole numbers


def masses(kind, n, rng):
    a = {
        "uniform": lambda: np.ones(n),
        "many orders": lambda: 10 ** rng.uniform(-15, 0, n),
        "one huge": lambda: np.r_[1e6, rng.random(n - 1)],
        "mostly none": lambda: (rng.random(n) < 0.1) + 0.0,
        "powers of two": lambda: 2.0 ** -rng.integers(0, 60, n),
        "few values": lambda: rng.integers(1, 4, n).astype(float),
    }[kind]()
    a[rng.integers(n)] += a.sum() == 0
    return a / a.sum()


def places(kind, n, rng):
    if kind == "lattice":
        return rng.integers(0, 8, (n, 2)).astype(float)
    if kind == "line":
        return np.c_[rng.random(n), np.zeros(n)]
    points = rng.random((n, 2))
    return points[rng.integers(0, 1 + n // 10, n)] if kind == "few places" else points


def hard_problem(seed, largest):
    """Masses and costs of the kinds in which a column generation may come to a standstill."""
    rng = np.random.default_rng(seed)
    n, m = (int(k) for k in np.exp(rng.uniform(np.log(2), np.log(largest), 2)))
    a, b = masses(rng.choice(MASSES), n, rng), masses(rng.choice(MASSES), m, rng)
    x, y = places(rng.choice(SIDES), n, rng), places(rng.choice(SIDES), m, rng)
    cost = cdist(x, y, rng.choice(["euclidean", "sqeuclidean", "cityblock", "chebyshev"]))
    kind = rng.integers(10)
    if kind < SPECIAL:
        cost = rng.random((n, m)) if kind else rng.integers(0, 6, (n, m)).astype(float)
    return a, b, cost


def check(a, b, cost):
    """Plan and potentials prove the value, and POT has the same one, but for its own rounding."""
    result = fd.emd(a, b, cost=cost)
    u, v = result.potentials
    plan, scale = result.plan.toarray(), cost.max()
    assert plan.min() >= 0
    assert np.abs(plan.sum(1) - a).sum() <= 1e-12
    assert np.abs(plan.sum(0) - b).sum() <= 1e-12
    assert abs((plan * cost).sum() - result.value) <= 1e-12 * scale
    assert (cost - u[:, None] - v[None, :]).min() >= -1e-13 * scale
    assert result.value - (u @ a + v @ b) <= 1e-10 * result.value + 1e-13 * scale
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # POT's about its own convergence
        assert abs(ot.emd2(a, b, cost, numItermax=10**7) - result.value) <= 1e-9 * result.value + 1e-10 * scale


def test_many_columns_alike_and_masses_of_many_orders_are_exact():
    r = np.random.default_rng(0)
    n, m = 2122, 1955
    x, y = np.c_[r.random(n), np.zeros(n)], r.integers(0, 8, (m, 2)).astype(float)
    a, b = (r.random(n) < 0.1) + 0.0, 10 ** r.uniform(-15, 0, m)
    a, b = a / a.sum(), b / b.sum()
    cost = cdist(x, y, "chebyshev")
    check(a, b, cost)
    result = fd.emd(a, b, cost=cost)
    assert result.value == pytest.approx(4.513275317379, rel=1e-12)
    assert result.n_pivots < 5_000
    nearly = fd.emd(a, b, cost=cost + 1e-9 * r.random((n, m)))  # none is the same as another
    assert nearly.value == pytest.approx(result.value, abs=1e-9)
    assert nearly.relative_gap < 1e-12


@pytest.mark.parametrize("seed", range(60))
def test_hard_problems_are_exact(seed):
    check(*hard_problem(seed, 300))


@pytest.mark.slow
@pytest.mark.parametrize("part", range(50))
def test_many_hard_problems_are_exact(part):
    """5,000 of them."""
    for seed in range(1000 + 100 * part, 1100 + 100 * part):
        check(*hard_problem(seed, 2500))


@pytest.mark.parametrize("large", [1e3, 1e6, 1e9, 1e12, 1e15, np.inf])
def test_forbidden_pairs_and_very_large_costs(large):
    rng = np.random.default_rng(0)
    for n in (20, 150):
        cost = rng.random((n, n))
        np.fill_diagonal(cost, 0.4)
        cost[cost > 0.5] = large
        uniform = np.full(n, 1 / n)
        finite = np.where(cost < 1, cost, 1e3)
        best = finite[linear_sum_assignment(finite)].mean()
        assert best < 1
        result = fd.emd(uniform, uniform, cost=cost)
        assert result.value == pytest.approx(best, rel=1e-12)
        u, v = result.potentials
        assert (u[:, None] + v <= cost + 1e-12).all()
        assert result.gap <= 1e-12
        assert not result.plan.toarray()[cost > 1].any()


def test_a_plan_over_the_diagonal_alone():
    n = 40
    masses = np.random.default_rng(0).dirichlet(np.ones(n))
    for far in (np.inf, 1e15):
        result = fd.emd(masses, masses, cost=np.where(np.eye(n) > 0, 2.0, far))
        assert result.value == pytest.approx(2.0, rel=1e-13)
        assert result.gap <= 1e-12


def test_costs_that_are_large_but_needed_count():
    cost = [[1.0, 1e15], [np.inf, 2.0]]
    result = fd.emd([0.75, 0.25], [0.5, 0.5], cost=cost)
    assert result.value == pytest.approx(0.5 + 0.25e15 + 0.5)
    assert result.plan.toarray().tolist() == [[0.5, 0.25], [0.0, 0.25]]


def test_rows_without_mass_may_be_forbidden():
    cost = [[np.inf, np.inf, np.inf], [1.0, np.inf, 3.0]]
    result = fd.emd([0.0, 1.0], [0.25, 0.0, 0.75], cost=cost)
    assert result.value == pytest.approx(2.5)
    assert np.isfinite(result.potentials[0]).all()
    assert np.isfinite(result.potentials[1]).all()


def split(cost):
    """Two blocks of unequal mass without a pair between them: no plan."""
    cost = cost.copy()
    cost[:2, 2:] = cost[2:, :2] = np.inf
    return np.array([0.3, 0.3, 0.2, 0.2]), np.full(4, 0.25), cost


@pytest.mark.parametrize("call", [fd.emd, lambda a, b, cost: fd.sinkhorn(a, b, cost=cost, reg=0.1)])
def test_no_plan_is_an_error(call):
    a, b, cost = split(np.ones((4, 4)))
    with pytest.raises(ValueError, match=r"cost: expected a plan over the pairs that are not forbidden .*, got none$"):
        call(a, b, cost=cost)
    cost[1] = np.inf
    with pytest.raises(ValueError, match=r"cost: .* got none for a\[1\]"):
        call(a, b, cost=cost)


def test_compiled_callers_may_forbid_pairs():
    @njit
    def value(a, b, cost):
        return emd_matrix(a, b, cost)[0]

    rng = np.random.default_rng(3)
    a, b, cost = split(rng.random((4, 4)))
    with pytest.raises(ValueError, match="got none"):
        value(a, b, cost)
    b = np.array([0.5, 0.1, 0.2, 0.2])
    assert value(a, b, cost) == pytest.approx(fd.emd(a, b, cost=cost).value, rel=1e-13)
    assert value(a, b, np.minimum(cost, 1e15)) == pytest.approx(fd.emd(a, b, cost=cost).value, rel=1e-13)
    f, g, error, _ = sinkhorn(a, b, cost, 0.1, 1e-9, 1000)
    assert error <= 1e-9
    plan = np.exp((f[:, None] + g - cost) / 0.1)
    assert not plan[cost == np.inf].any()


def test_sinkhorn_moves_nothing_where_it_is_forbidden():
    rng = np.random.default_rng(1)
    cost = rng.random((12, 12))
    cost[(cost > 0.7) & (np.eye(12) == 0)] = np.inf
    uniform = np.full(12, 1 / 12)
    result = fd.sinkhorn(uniform, uniform, cost=cost, reg=0.02)
    assert result.converged
    assert not result.plan[cost == np.inf].any()
    exact = fd.emd(uniform, uniform, cost=cost).value
    assert exact - 1e-9 <= result.value <= exact + 0.1


def test_sinkhorn_tells_where_it_has_not_converged():
    with pytest.warns(RuntimeWarning, match=r"not converged after 1 iterations \(max_iter\)"):
        fd.sinkhorn([0.5, 0.5], [0.2, 0.8], [[0.0], [1.0]], reg=0.01, max_iter=1)
    with pytest.raises(ValueError, match="reg: expected a regularisation up to"):
        fd.sinkhorn([0.5, 0.5], [0.2, 0.8], [[0.0], [1.0]], reg=1.7e308)
