"""Earth mover's distances against POT, linear programming and brute-force certificates."""

import threading
import time

import naive_transport as naive
import numpy as np
import ot
import pytest
import scipy.stats
from numba import njit
from problems_transport import KINDS, METRICS, problem
from scipy.spatial.distance import cdist

import fastdeg as fd
from fastdeg.kernels.transport.cost_matrix import column_minima, greedy_basis_of_rows
from fastdeg.kernels.transport.metrics import BLOCK, Points
from fastdeg.kernels.transport.network.initial_basis import tree_of
from fastdeg.kernels.transport.network.leaves import strip_leaf, strip_leaves, unstrip_leaf, unstrip_leaves
from fastdeg.kernels.transport.network.pricing import Arcs, no_columns, price
from fastdeg.kernels.transport.network.simplex import FAR, OPTIMAL, search
from fastdeg.kernels.transport.network.tree import ROOT, build_tree, new_tree, refresh_potentials
from fastdeg.kernels.transport.spatial import block_points
from fastdeg.njit import emd_grid, emd_matrix, emd_points, emd_sorted, sinkhorn
from fastdeg.transport.metrics import ground_costs


def check(result, a, b, cost):
    """Value, plan, potentials and gap of a result agree with the costs and with POT."""
    unit = max(cost.max(), 1e-300)
    scale = unit * a.sum()
    value = ot.emd2(a / a.sum(), b / b.sum(), cost / unit, numItermax=10**8) * scale
    assert abs(result.value - value) <= 1e-9 * value + 1e-13 * scale
    plan = result.plan.toarray()
    np.testing.assert_allclose(plan.sum(1) / a.sum(), a / a.sum(), rtol=0, atol=1e-12)
    np.testing.assert_allclose(plan.sum(0) / a.sum(), b / a.sum(), rtol=0, atol=1e-12)
    assert plan.min() >= 0
    assert abs((plan * cost).sum() - result.value) <= 1e-12 * scale
    u, v = (p.ravel() for p in result.potentials)
    assert (cost - u[:, None] - v[None, :]).min() >= -1e-14 * unit
    assert 0 <= result.gap <= 1e-10 * value + 1e-13 * scale
    assert abs(result.value - (u @ a + v @ b)) <= result.gap + 1e-13 * scale


@pytest.mark.parametrize("kind", KINDS)
def test_points_and_matrix_match_pot(kind):
    rng = np.random.default_rng(KINDS.index(kind))
    for number in range(45):
        a, b, x, y = problem(kind, rng)
        metric = METRICS[number % 4]
        cost = cdist(x, y, metric)
        check(fd.emd(a, b, x, None if y is x else y, metric=metric), a, b, cost)
        check(fd.emd(a, b, cost=cost), a, b, cost)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_many_problems_match_pot(kind):
    """3,000 problems of all kinds, each as points and as a matrix, where it is a small grid as a grid too."""
    rng = np.random.default_rng(100 + KINDS.index(kind))
    for number in range(250):
        a, b, x, y = problem(kind, rng, largest=400 if number % 5 == 0 else 100)
        metric = METRICS[number % 4]
        cost = cdist(x, y, metric)
        check(fd.emd(a, b, x, None if y is x else y, metric=metric), a, b, cost)
        check(fd.emd(a, b, cost=cost), a, b, cost)
        if kind == "grid":
            axes = [np.unique(x[:, k]) for k in range(x.shape[1])]
            shape = [axis.size for axis in axes]
            check(fd.emd_grid(a.reshape(shape), b.reshape(shape), spacing=axes, metric=metric), a, b, cost)


@pytest.mark.parametrize(
    ("n", "m", "d", "metric"),
    [
        (1900, 1700, 2, "sqeuclidean"),
        (2000, 2000, 3, "euclidean"),
        (1500, 400, 3, "chebyshev"),
        (900, 900, 8, "cityblock"),
        (24, 2500, 3, "euclidean"),
        (1, 300, 1, "cityblock"),
        (3500, 310, 3, "sqeuclidean"),
        (3000, 70, 2, "chebyshev"),
    ],
)
@pytest.mark.parametrize("masses", ["random", "uniform", "histogram"])
def test_several_levels_match_pot(n, m, d, metric, masses):
    rng = np.random.default_rng(n + d)
    x, y = rng.random((n, d)), rng.random((m, d))
    a, b = rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(m))
    if masses == "uniform":
        a, b = np.full(n, 1 / n), np.full(m, 1 / m)
    elif masses == "histogram":
        a, b = rng.multinomial(3 * n, a) / (3 * n), rng.multinomial(3 * n, b) / (3 * n)
    check(fd.emd(a, b, x, y, metric=metric), a, b, cdist(x, y, metric))


@pytest.mark.parametrize("metric", METRICS)
def test_pricing_finds_the_most_negative_arcs_of_each_row(metric):
    rng = np.random.default_rng(1)
    (n, m), n_keep, tolerance = (70, 230), 5, 0.01
    x, y = rng.random((n, 3)), rng.random((m, 3))
    cost = cdist(x, y, metric)
    v = rng.random(m) * 0.1
    reduced = cost - v
    least = np.column_stack((reduced.min(axis=1) - 1, np.sort(reduced, axis=1)))
    row, rank = np.arange(n), np.arange(n) % 8
    u = (least[row, rank] + least[row, rank + 1]) / 2 + tolerance  # rows with 0 to 7 negative arcs
    found, code = no_columns(n, n_keep), METRICS.index(metric)
    points = block_points(x, np.arange(n)), block_points(y, np.arange(m))
    count = price(code, *points, u, v, 0.0, tolerance, found, threads=1)
    arcs, costs, row_min = found
    np.testing.assert_allclose(row_min, np.minimum(u, reduced.min(axis=1)), atol=1e-15)
    wanted = np.argsort(reduced, axis=1)[:, :n_keep]
    negative = np.take_along_axis(reduced, wanted, 1) - u[:, None] < -tolerance
    np.testing.assert_array_equal(arcs, np.where(negative, wanted, -1))
    np.testing.assert_allclose(costs[negative], np.take_along_axis(cost, wanted, 1)[negative], atol=1e-15)
    np.testing.assert_array_equal(negative.sum(axis=1), np.minimum(rank, n_keep))
    assert count == negative.sum()

    first = Points(*(part[:1] for part in points[0]))  # a block of rows alone: the same, bit by bit
    alone = no_columns(BLOCK, n_keep)
    assert price(code, first, points[1], u[:BLOCK], v, 0.0, tolerance, alone, threads=1) == negative[:BLOCK].sum()
    for part, whole in zip(alone, found, strict=True):
        known = arcs[:BLOCK] >= 0 if whole is costs else ...
        np.testing.assert_array_equal(part[known], whole[:BLOCK][known])


def test_subtrees_match_pot():
    rng = np.random.default_rng(5)
    n = 4000
    x, y = rng.random((n, 3)), rng.random((n, 3))
    a, b = rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(n))
    cost = cdist(x, y, "sqeuclidean")
    check(fd.emd(a, b, x, y, metric="sqeuclidean", threads=2), a, b, cost)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("m", "most"), [(24, 3000), (150, 8000)])  # with both sides merged: 23,000 and 13,000
def test_many_against_few_takes_few_pivots(m, most, metric):
    rng = np.random.default_rng(3)
    x, y = rng.random((6000, 3)), rng.random((m, 3))
    result = fd.emd(rng.dirichlet(np.ones(6000)), rng.dirichlet(np.ones(m)), x, y, metric=metric)
    assert result.relative_gap <= 1e-10
    assert result.n_pivots < most


@pytest.mark.parametrize(("m", "most"), [(3, 1000), (24, 7500)])  # from the columns' minima: 5,000 and 7,600 or more
@pytest.mark.parametrize("lattice", [False, True])  # with many equal costs
@pytest.mark.parametrize("present", [1.0, 0.4])
def test_many_rows_against_few_columns_take_few_pivots(m, most, lattice, present):
    rng = np.random.default_rng(m)
    x = rng.integers(0, 25, (8000, 3)) / 24 if lattice else rng.random((8000, 3))
    a, b, y = rng.dirichlet(np.ones(8000)) * (rng.random(8000) < present), rng.dirichlet(np.ones(m)), x[:m]
    a /= a.sum()
    cost = cdist(x, y, "cityblock")
    by_points = fd.emd(a, b, x, y, metric="cityblock")
    for result, costs in ((fd.emd(a, b, cost=cost), cost), (fd.emd(b, a, cost=cost.T), cost.T)):
        assert result.n_pivots <= most
        assert result.value == pytest.approx(by_points.value, rel=1e-11)
        assert result.gap <= 1e-12
        plan, (u, v) = result.plan.toarray(), result.potentials
        np.testing.assert_allclose(plan.sum(np.argmax(costs.shape) ^ 1), a, atol=1e-14)
        np.testing.assert_allclose(plan.sum(np.argmax(costs.shape)), b, atol=1e-14)
        assert (costs - u[:, None] - v).min() >= -1e-13


def test_pivots_among_few_nodes_leave_no_rounding_behind():
    # five sources against 8,000 leaves of equal costs: each shifts the potentials a little, to 590 if nobody looks
    rng = np.random.default_rng(1)
    axes = [np.linspace(0, 1, n) * rng.uniform(0.5, 2) for n in (40, 40, 5)]
    x = np.stack([c.ravel() for c in np.meshgrid(*axes, indexing="ij")], axis=1)
    cost = cdist(x[rng.choice(8000, 5, replace=False)], x, "cityblock")
    a, b = rng.dirichlet(np.ones(5)), np.full(8000, 1 / 8000)
    v = np.empty(8000)
    column_minima(cost, v)
    tree, is_tree = tree_of(greedy_basis_of_rows(cost, a, b, np.arange(5), v))
    assert is_tree
    tails, heads = np.repeat(np.arange(5, dtype=np.uint32), 8000), np.tile(np.arange(5, 8005, dtype=np.uint32), 5)
    largest = max(cost.max(), np.abs(tree.potential).max())
    assert search(tree, Arcs(tails, heads, cost.ravel()), False, 1e-14 * largest, 1 << 28) == OPTIMAL
    assert np.abs(tree.potential).max() <= 2 * FAR * largest
    drifted = tree.potential.copy()
    refresh_potentials(tree)
    np.testing.assert_allclose(drifted - drifted[tree.info[ROOT]], tree.potential, atol=1e-13 * largest)
    assert (cost.ravel() + tree.potential[tails] - tree.potential[heads]).min() >= -2e-14 * largest


def test_potentials_of_points_without_mass_are_the_largest_feasible():
    rng = np.random.default_rng(4)
    x = rng.random((500, 2))
    a, b = rng.multinomial(600, np.full((2, 500), 1 / 500))
    a = a * (rng.random(500) < 0.8) + 1e-300 * (rng.random(500) < 0.5)
    u, v = fd.emd(a / a.sum(), b / b.sum(), x, metric="sqeuclidean").potentials
    cost = cdist(x, x, "sqeuclidean")
    empty = b == 0
    np.testing.assert_allclose(v[empty], (cost[a > 0] - u[a > 0, None]).min(0)[empty], rtol=0, atol=1e-15)
    np.testing.assert_allclose(u[a == 0], (cost - v).min(1)[a == 0], rtol=0, atol=1e-15)


def test_a_leaf_that_goes_back_and_forth_leaves_no_trace():
    tree = new_tree(6)
    tails, heads = np.array([0, 0, 1, 1, 2], np.uint32), np.array([3, 4, 4, 5, 5], np.uint32)
    assert build_tree(tree, tails, heads, np.arange(1, 6), np.array([1.0, 2, 3, 4, 5]))
    potentials = tree.potential.copy()
    hook, offset, n_hooked = np.empty(6, np.uint32), np.empty(6), np.empty(6, np.int32)
    strip_leaves(tree, hook, offset, n_hooked)
    leaf = np.uint32(3)
    assert hook.tolist() == [0, 1, 5, 0, 4, 5]  # the root, 0, stays
    assert n_hooked.tolist() == [1, 0, 0, 0, 0, 1]
    np.testing.assert_array_equal(tree.potential[hook] + offset, potentials)
    listed = [0, 1, 4, 5]
    assert tree.size[listed].tolist() == [4, 2, 3, 1]
    before = [array[listed].copy() for array in (tree.size, tree.next, tree.prev, n_hooked)]
    tree.potential[leaf] = np.nan
    links = tree.parent, tree.size, tree.next, tree.prev
    unstrip_leaf(*links, tree.potential, hook, offset, n_hooked, leaf)
    assert (hook[leaf], offset[leaf], n_hooked[0], tree.size[0]) == (leaf, 0, 0, 5)
    assert tree.potential[leaf] == potentials[leaf]
    strip_leaf(*links, tree.direction, tree.cost, hook, offset, n_hooked, leaf)
    for old, new in zip(before, (tree.size, tree.next, tree.prev, n_hooked), strict=True):
        np.testing.assert_array_equal(new[listed], old)
    tree.potential[[2, 3]] = np.nan
    unstrip_leaves(tree, hook, offset)
    np.testing.assert_array_equal(tree.potential, potentials)
    assert tree.size[0] == 6


def test_matrix_with_pricing_matches_pot():
    rng = np.random.default_rng(6)
    for n, m in ((300, 200), (1, 20_000), (20_000, 1), (1600, 1500)):
        cost = rng.normal(size=(n, m))
        a, b = rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(m))
        result = fd.emd(a, b, cost=cost)
        shift = cost.min()
        assert abs(result.value - shift - ot.emd2(a, b, cost - shift, numItermax=10**8)) < 1e-12
        u, v = result.potentials
        assert (cost - u[:, None] - v[None, :]).min() > -1e-14
        assert result.gap < 1e-12


def test_linear_programming_agrees():
    rng = np.random.default_rng(7)
    for kind in ("random", "lattice", "histograms with zeros"):
        a, b, x, y = problem(kind, rng, largest=25)
        cost = cdist(x, y)
        assert abs(fd.emd(a, b, x, y).value - naive.emd_by_linear_program(a, b, cost)) < 1e-9


@pytest.mark.parametrize("shape", [(7,), (1, 1), (1, 6), (9, 8), (2, 3, 4), (5, 4, 3, 2), (24, 21)])
def test_grid_is_the_points_of_the_grid(shape):
    rng = np.random.default_rng(sum(shape))
    a, b = rng.random((2, *shape)) * (rng.random((2, *shape)) < 0.7)
    a.flat[0] = b.flat[-1] = 1
    b *= a.sum() / b.sum()
    axes = [np.cumsum(rng.random(k) + 0.05) for k in shape]
    points = np.stack([g.ravel() for g in np.meshgrid(*axes, indexing="ij")], 1)
    for metric in METRICS:
        result = fd.emd_grid(a, b, spacing=axes, metric=metric)
        assert result.potentials[0].shape == shape
        check(result, a.ravel(), b.ravel(), cdist(points, points, metric))


def test_grid_spacings():
    a, b = np.zeros((2, 3, 4))
    a[0, 0] = b[2, 3] = 2
    assert fd.emd_grid(a, b).value == 10
    assert fd.emd_grid(a, b, spacing=0.5).value == 5
    assert fd.emd_grid(a, b, spacing=[1, 10]).value == 64
    assert fd.emd_grid(a, b, spacing=[[0, 1, 5], 1.0]).value == 16
    assert fd.emd_grid(a, b, spacing=[3.0, 4.0], metric="euclidean").value == 2 * np.hypot(6, 12)


def test_large_grid_is_certified():
    rng = np.random.default_rng(8)
    a, b = rng.random((2, 40, 30, 12)) ** 8
    b *= a.sum() / b.sum()
    result = fd.emd_grid(a, b, spacing=[0.1, 0.2, 1.0])
    u, v = result.potentials
    for axis, step in enumerate((0.1, 0.2, 1.0)):
        assert np.abs(np.diff(u, axis=axis)).max() <= step * (1 + 1e-13)
    np.testing.assert_array_equal(v, -u)
    assert result.gap <= 1e-13 * result.value
    assert abs(result.plan.sum() - a.sum()) < 1e-11 * a.sum()
    np.testing.assert_allclose(result.plan.sum(1), a.ravel(), atol=1e-12 * a.sum())
    np.testing.assert_allclose(result.plan.sum(0), b.ravel(), atol=1e-12 * a.sum())


@pytest.mark.parametrize("p", [1, 1.5, 2, 3])
def test_line(p):
    rng = np.random.default_rng(9)
    for n, m in ((1, 1), (5, 5), (7, 3), (400, 611)):
        x, y = rng.normal(size=n).round(1), rng.normal(size=m).round(1)
        a, b = rng.random(n), rng.random(m)
        assert np.isclose(fd.emd_1d(x, y, a, b, p=p), naive.emd_1d(x, y, a, b, p), rtol=1e-11, atol=1e-15)
        assert np.isclose(fd.emd_1d(x, y, p=p), naive.emd_1d(x, y, np.ones(n), np.ones(m), p), rtol=1e-11, atol=1e-15)
        assert np.isclose(fd.emd_1d(x, y, a, b), scipy.stats.wasserstein_distance(x, y, a, b), rtol=1e-11, atol=1e-15)
        assert np.isclose(fd.emd_1d(x, y, a), scipy.stats.wasserstein_distance(x, y, a), rtol=1e-11, atol=1e-15)


def test_extremes():
    x = np.array([[0.0, 0.0], [3.0, 4.0]])
    for unit in (1e-250, 1e-100, 1.0, 1e32, 1e140):
        assert np.isclose(fd.emd([1, 0], [0, 1], x * unit).value, 5 * unit, rtol=1e-15, atol=0)
    assert fd.emd([5e-324], [5e-324], [[0.0]], [[2.0]]).value == 1e-323
    assert fd.emd([1.0, 2.0], [1.0, 2.0], x).value == 0
    assert fd.emd([1.0, 2.0], [2.0, 1.0], np.ones((2, 3))).value == 0
    assert fd.emd([1.0, 2.0], [2.0, 1.0], np.ones((2, 3)), np.ones((2, 3)), metric="sqeuclidean").value == 0


def test_huge_costs_duplicates_and_denormal_masses():
    rng = np.random.default_rng(15)
    n = 120
    x, y = rng.random((2, n, 3))[:, rng.integers(0, 20, n)]
    a, b = rng.dirichlet(np.ones(n), 2)
    for metric in METRICS:
        cost = cdist(x, y, metric)
        expected = ot.emd2(a, b, cost, numItermax=10**8)
        unit = 1e16 if metric == "sqeuclidean" else 1e32
        for result in (fd.emd(a, b, x * unit, y * unit, metric=metric), fd.emd(a, b, cost=cost * 1e32)):
            assert abs(result.value / 1e32 - expected) <= 1e-9 * expected
            assert result.relative_gap <= 1e-10
        # masses of 5e-324 each, the smallest numbers there are, and of a few of them
        tiny_a, tiny_b = np.full(n, 5e-324), np.zeros(n)
        tiny_b[:40] = 3 * 5e-324
        result = fd.emd(tiny_a, tiny_b, x, y, metric=metric)
        expected_tiny = ot.emd2(np.full(n, 1 / n), tiny_b / tiny_b.sum(), cost, numItermax=10**8) * n
        assert abs(result.value / 5e-324 - expected_tiny) <= 1  # the value is a multiple of 5e-324 itself


def test_bad_input_is_named():
    good = {"a": [0.5, 0.5], "b": [0.5, 0.5], "x": [[0.0], [1.0]]}
    for changes, message in (
        ({"x": [[0.0], [np.nan]]}, "x: expected finite"),
        ({"y": [[0.0], [np.inf]]}, "y: expected finite"),
        ({"a": [np.nan, 1.0]}, "a: expected finite"),
        ({"a": [-0.5, 1.5]}, "a: expected masses >= 0"),
        ({"b": [0.5, np.inf]}, "b: expected finite"),
        ({"b": [1.5, -0.5]}, "b: expected masses >= 0"),
        ({"a": [0.0, 0.0]}, "a: expected a positive total"),
        ({"b": [0.0, 0.0]}, "b: expected a positive total"),
        ({"x": [[0.0], [-np.inf]]}, "x: expected finite"),
        ({"x": [0.0, 1.0]}, "x: expected shape"),
        ({"x": None, "cost": [[0.0, -np.inf], [1.0, 1.0]]}, "cost: expected finite"),
        ({"x": None, "cost": [[np.inf, np.inf], [1.0, 1.0]]}, r"cost: expected a plan .* got none for a\[0\]"),
        ({"x": None, "cost": [[0.0, -1e151], [1.0, 1.0]]}, "cost: expected costs up to"),
        ({"x": [[0.0], [1e151]]}, "x, y: expected points with costs"),
        ({"b": [0.5, 0.5 + 1e-8]}, "b: expected the same total mass"),
        ({"b": [1.0]}, "one mass for each"),
        ({"a": [1.0]}, "x: expected shape"),
        ({"y": [[0.0, 1.0], [1.0, 1.0]]}, "y: expected shape"),
        ({"metric": "cosine"}, "metric: expected one of"),
        ({"x": None}, "x: expected points"),
        ({"cost": np.ones((2, 2))}, "cost: expected either"),
        ({"x": None, "cost": np.ones((2, 3))}, "cost: expected shape"),
        ({"x": None, "cost": [[0.0, np.nan], [1.0, 1.0]]}, "cost: expected finite"),
        ({"x": None, "cost": [[0.0, 1e151], [1.0, 1.0]]}, "cost: expected costs up to"),
        ({"x": [[0.0], [1e100]], "metric": "sqeuclidean"}, "x, y: expected points with costs"),
    ):
        with pytest.raises(ValueError, match=message):
            fd.emd(**(good | changes))
    for masses, message in (
        ([[np.nan, 1.0]], "a: expected finite"),
        ([[-1.0, 3.0]], "a: expected masses >= 0"),
        ([[0.0, 0.0]], "a: expected a positive total"),
        ([[1.0, 1.0 + 1e-8]], "b: expected the same total mass"),
    ):
        for metric in METRICS:
            with pytest.raises(ValueError, match=message):
                fd.emd_grid(masses, [[1.0, 1.0]], metric=metric)
    for changes, message in (
        ({"x": [np.nan]}, "x: expected finite"),
        ({"y": [np.inf]}, "y: expected finite"),
        ({"a": [-1.0]}, "a: expected masses >= 0"),
        ({"b": [0.0]}, "b: expected a positive total"),
        ({"a": [1.0, 1.0]}, "a: expected shape"),
    ):
        with pytest.raises(ValueError, match=message):
            fd.emd_1d(**({"x": [0.0], "y": [1.0]} | changes))
    with pytest.raises(ValueError, match="spacing"):
        fd.emd_grid(np.ones((2, 2)), np.ones((2, 2)), spacing=[1.0])
    with pytest.raises(ValueError, match="increasing"):
        fd.emd_grid(np.ones((2, 2)), np.ones((2, 2)), spacing=[[0.0, 0.0], 1.0])
    with pytest.raises(ValueError, match="b: expected the shape"):
        fd.emd_grid(np.ones((2, 2)), np.ones((2, 3)))
    with pytest.raises(ValueError, match="p: "):
        fd.emd_1d([0.0], [1.0], p=0.5)
    with pytest.raises(ValueError, match="x: "):
        fd.emd_1d([], [1.0])
    assert fd.emd([0.5, 0.5], [0.5, 0.5 + 1e-10], [[0.0], [1.0]]).value < 1e-9


def test_any_layout_and_no_mutation():
    rng = np.random.default_rng(10)
    n = 30
    x = np.asfortranarray(rng.random((n, 6)))[:, ::2]
    a, b = rng.dirichlet(np.ones(n), 2)
    cost = cdist(x, x, "sqeuclidean")
    expected = fd.emd(a, b, x, metric="sqeuclidean").value
    for array in (x, a, b, cost):
        array.flags.writeable = False
    copies = [z.copy() for z in (a, b, x, cost)]
    for matrix in (cost, np.asfortranarray(cost), cost[::-1][::-1], cost.tolist()):
        result = fd.emd(a, b, cost=matrix)
        assert abs(result.value - expected) < 1e-15
        np.testing.assert_allclose(result.plan.sum(1), a)
    for array, copy in zip((a, b, x, cost), copies, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_threads_do_not_change_the_result():
    rng = np.random.default_rng(11)
    n = 5200  # nodes enough for subtrees in parallel, pairs enough for pricing in parallel
    x, y = rng.random((n, 2)), rng.random((n, 2))
    a, b = rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(n))
    results = [fd.emd(a, b, x, y, threads=threads) for threads in (1, 2, 7)]
    for other in results[1:]:
        assert other.value == results[0].value
        assert other.n_pivots == results[0].n_pivots
        np.testing.assert_array_equal(other.potentials[0], results[0].potentials[0])


@pytest.mark.parametrize("same", [True, False])
def test_small_and_large_problems_agree(same):
    rng = np.random.default_rng(16)
    for metric in METRICS:  # a point far off, of no mass, takes the problem past what is solved by all arcs
        x = rng.random((100, 3))
        y = x if same else rng.random((100, 3))
        a, b = rng.dirichlet(np.full(100, 0.3)), rng.dirichlet(np.full(100, 0.3))
        small = fd.emd(a, b, x, None if same else y, metric=metric)
        check(small, a, b, cdist(x, y, metric))
        far = np.full((1, 3), 3.0)
        more = np.append(x, far, axis=0), None if same else np.append(y, far, axis=0)
        large = fd.emd(np.append(a, 0), np.append(b, 0), *more, metric=metric)
        assert small.value == pytest.approx(large.value, rel=1e-12)


def test_callable_from_compiled_code():
    @njit
    def distances(a, b, x, y, cost):
        by_points = emd_points(a, b, x, y, 1)
        by_matrix = emd_matrix(a, b, cost)
        return by_points[0], by_matrix[0], by_points[1], by_points[2], emd_sorted(x[:, 0], y[:, 0], a, b, 1)

    rng = np.random.default_rng(12)
    n, m = 500, 400
    x, y = np.sort(rng.random((n, 1)), 0), np.sort(rng.random((m, 1)), 0)
    a, b = rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(m))
    cost = cdist(x, y, "sqeuclidean")
    by_points, by_matrix, u, v, on_line = distances(a, b, x, y, cost)
    expected = fd.emd_1d(x[:, 0], y[:, 0], a, b, p=2)
    np.testing.assert_allclose([by_points, by_matrix, u @ a + v @ b], expected, rtol=1e-12)
    assert (cost - u[:, None] - v[None, :]).min() > -1e-15
    np.testing.assert_allclose(on_line, fd.emd_1d(x[:, 0], y[:, 0], a, b), rtol=1e-12)


@pytest.mark.parametrize(("n", "m"), [(1500, 40), (40, 1500), (1600, 300), (250, 200)])
def test_uneven_sides_from_compiled_code(n, m):
    rng = np.random.default_rng(n)
    a, b = rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(m))
    x, y = rng.random((n, 3)), rng.random((m, 3))
    for code, metric in enumerate(METRICS):
        cost = cdist(x, y, metric)
        value, u, v, sources, sinks, flows = emd_points(a, b, x, y, code)
        assert abs(value - fd.emd(a, b, x, y, metric=metric).value) < 1e-12 * value
        assert (cost - u[:, None] - v[None, :]).min() > -1e-14
        assert abs(value - (u @ a + v @ b)) < 1e-12
        assert abs(value - (flows * cost[sources, sinks]).sum()) < 1e-12
        np.testing.assert_allclose(np.bincount(sources, flows, n), a, rtol=0, atol=1e-14)
        np.testing.assert_allclose(np.bincount(sinks, flows, m), b, rtol=0, atol=1e-14)


@pytest.mark.parametrize("shape", [(1,), (2,), (1, 6), (30, 1, 5), (9, 8), (24, 21), (5, 4, 3, 2)])
def test_grids_from_compiled_code(shape):
    @njit
    def on_grid(a, b, shape, coordinates):
        return emd_grid(a, b, shape, coordinates)

    rng = np.random.default_rng(len(shape))
    a, b = rng.random((2, *shape)) * (rng.random((2, *shape)) < 0.7)
    a.flat[0] = b.flat[-1] = 1
    a, b = a / a.sum(), b / b.sum()
    axes = [np.cumsum(rng.random(k) + 0.05) for k in shape]
    value, u, v, sources, sinks, flows = on_grid(a.ravel(), b.ravel(), np.array(shape), np.concatenate(axes))
    expected = fd.emd_grid(a, b, spacing=axes)
    assert abs(value - expected.value) <= 1e-12
    assert abs(u @ a.ravel() + v @ b.ravel() - value) <= 1e-12
    points = np.stack([g.ravel() for g in np.meshgrid(*axes, indexing="ij")], 1)
    cost = cdist(points, points, "cityblock")
    assert (cost - u[:, None] - v[None, :]).min() >= -1e-14
    plan = np.zeros(cost.shape)
    np.add.at(plan, (sources, sinks), flows)
    assert plan.min() >= 0
    np.testing.assert_allclose(plan.sum(1), a.ravel(), rtol=0, atol=1e-12)
    np.testing.assert_allclose(plan.sum(0), b.ravel(), rtol=0, atol=1e-12)
    assert abs((plan * cost).sum() - value) <= 1e-12


@pytest.mark.parametrize("reg", [1e-3, 0.05])
def test_sinkhorn_from_compiled_code(reg):
    @njit
    def entropic(a, b, cost, reg):
        return sinkhorn(a, b, cost, reg, 1e-9, 10_000)

    rng = np.random.default_rng(14)
    x, y = rng.random((30, 2)), rng.random((40, 2))
    a, b = rng.dirichlet(np.ones(30)), rng.dirichlet(np.ones(40))
    cost = cdist(x, y)
    f, g, error, n_iter = entropic(a, b, cost, reg)
    expected = fd.sinkhorn(a, b, cost=cost, reg=reg)
    plan = np.exp((f[:, None] + g - cost) / reg)
    np.testing.assert_allclose(plan, expected.plan, rtol=0, atol=1e-12)
    assert n_iter == expected.n_iter
    assert (error <= 1e-9) == expected.converged


def test_solver_releases_the_lock():
    rng = np.random.default_rng(13)
    n = 1500
    a, b, cost = rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(n)), rng.random((n, n))
    emd_matrix(a[:3], b[:3], cost[:3, :3].copy())  # compiles
    worker, beats = threading.Thread(target=emd_matrix, args=(a, b, cost)), 0  # one compiled call
    worker.start()
    while worker.is_alive():
        beats += 1
        time.sleep(0.0001)
    assert beats > 20


@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean", "cityblock", "chebyshev"])
@pytest.mark.parametrize("n", [1, 30, 200])  # the last beyond what is summed axis by axis
def test_ground_costs_are_those_of_scipy(metric, n):
    rng = np.random.default_rng(n)
    x, y = 1e3 * rng.normal(size=(n, 5)), rng.normal(size=(n + 4, 5))
    np.testing.assert_allclose(ground_costs(x, y, metric), cdist(x, y, metric), rtol=1e-15)  # the same but for FMA
