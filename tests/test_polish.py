"""Polishing of active flows: kernels against plain NumPy and SciPy, results against the interior point."""

import warnings

import numpy as np
import pytest
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import cdist

import fastdeg as fd
from fastdeg.crafting.setup import build
from fastdeg.crafting.splitting import GridSplitting
from fastdeg.distances._grid import solve_grid
from fastdeg.kernels import polish
from fastdeg.kernels.transport.grid import grid_edges

SHAPE = (5, 4, 7)
N = 5 * 4 * 7


def uneven_steps(rng):
    steps = np.zeros((3, 7))
    for row, n in zip(steps, SHAPE, strict=True):
        row[: n - 1] = rng.uniform(0.5, 2.0, n - 1)
    return steps


def edges(steps):
    """Ends, lengths and axis of all edges between neighbours."""
    index = np.arange(N).reshape(SHAPE)
    for k, n in enumerate(SHAPE):
        for c in range(n - 1):
            for i, j in zip(index.take(c, k).ravel(), index.take(c + 1, k).ravel(), strict=True):
                yield int(i), int(j), float(steps[k, c]), k


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def as_flows(monkeypatch):
    """Small grids by the splitting too."""
    monkeypatch.setattr("fastdeg.crafting.setup.LARGEST_PLAN", 0)
    monkeypatch.setattr("fastdeg.crafting.setup.FEW_SINKS", 0)


def active_flows(rng, steps, share=0.3):
    """Flows down a potential whose steps are tight along them, and the pairs that they join."""
    potential = np.add.outer(
        np.add.outer(*(np.r_[0, np.cumsum(steps[k, : n - 1])] for k, n in enumerate(SHAPE[:2]))),
        np.r_[0, np.cumsum(steps[2, :6])],
    ).ravel()
    flows, joined = np.zeros((3, N)), []
    for i, j, length, k in edges(steps):
        if rng.random() < share:
            flows[k, i] = -length * rng.uniform(1.01, 300)  # towards the lower end; the threshold is the length
            joined.append((i, j))
        else:
            flows[k, i] = length * rng.uniform(-1, 1)
    return potential, flows, joined


def groups_of(flows, steps, levels=(64.0, 4.0, 1.0)):
    leader, offset = np.arange(N), np.zeros(N)
    polish.tie_active(np.array(SHAPE), steps, np.ones(3), flows, np.array(levels), leader, offset)
    return leader, offset


def test_active_flows_tie_what_they_join(rng):
    steps = uneven_steps(rng)
    potential, flows, joined = active_flows(rng, steps)
    masses = np.where(rng.random(N) < 0.2, rng.random(N), 0.0)
    group, level, mass = np.empty(N, np.int32), np.empty(N), np.empty(N)
    count = polish.number_groups(*groups_of(flows, steps), masses, group, level, mass)
    i, j = np.array(joined).T
    _, label = connected_components(coo_matrix((np.ones(len(i)), (i, j)), shape=(N, N)), directed=False)
    total = np.bincount(label, masses)
    assert count == (total > 0).sum()
    assert ((group >= 0) == (total[label] > 0)).all()
    assert (level[group < 0] == polish.LOOSE).all()
    for k in range(count):
        cells = np.flatnonzero(group == k)
        assert len(set(label[cells])) == 1
        assert mass[k] == pytest.approx(masses[cells].sum())
        np.testing.assert_allclose(np.ptp(level[cells] - potential[cells]), 0, atol=1e-12)


def test_the_largest_flow_of_a_contradictory_cycle_stays():
    flows, steps = np.zeros((3, N)), np.ones((3, 7))
    # around the square 0, 1, 7, 8 of the last two axes; the flow from 7 to 8 contradicts the other three
    for cell, axis, value in ((0, 2, 50.0), (0, 1, 40.0), (1, 1, 30.0), (7, 2, -1.5)):
        flows[axis, cell] = value
    leader, offset = groups_of(flows, steps)
    group, level, mass = np.empty(N, np.int32), np.empty(N), np.empty(N)
    polish.number_groups(leader, offset, np.eye(1, N).ravel(), group, level, mass)
    assert set(np.flatnonzero(group == 0)) == {0, 1, 7, 8}
    np.testing.assert_allclose(level[[1, 7, 8]] - level[0], [-1, -1, -2])


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
def test_cells_without_a_group_join_the_nearest(rng, threads, monkeypatch):
    monkeypatch.setattr("fastdeg.kernels._jit.SMALL_WORK", 0)
    steps = uneven_steps(rng)
    inside = rng.random(N) < 0.1
    group = np.where(inside, np.arange(N), -1).astype(np.int32)
    potential = np.where(inside, rng.random(N), polish.LOOSE)
    axes = [np.r_[0, np.cumsum(steps[k, : n - 1])] for k, n in enumerate(SHAPE)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(N, 3)
    through = cdist(points, points[inside], "cityblock") + potential[inside]
    for axis in range(3):
        polish.extend_groups(np.array(SHAPE), steps, axis, potential, group, threads=threads)
    np.testing.assert_allclose(potential, through.min(axis=1), rtol=1e-13)
    assert (group == np.flatnonzero(inside)[through.argmin(axis=1)]).all()


def test_each_group_keeps_its_mass_and_moments(rng):
    exponents = rng.normal(0, 300, N)
    group = rng.integers(-1, 5, N).astype(np.int32)
    mass = rng.random(5)
    p, shift = np.empty(N), np.empty(5)
    polish.fill_groups(exponents, group, mass, p, shift)
    for k in range(5):
        cells = group == k
        weights = np.exp(exponents[cells] - exponents[cells].max())
        np.testing.assert_allclose(p[cells], mass[k] * weights / weights.sum(), rtol=1e-12, atol=1e-290)
        np.testing.assert_allclose(shift[k], exponents[cells].max() + np.log(weights.sum() / mass[k]), rtol=1e-13)
    assert (p[group < 0] == 0).all()
    x, x2, square = rng.random(7), rng.random(7), rng.random(2)
    constant, slope = rng.random((20, 2)), rng.random((20, 2))
    features = (constant[:, None] + slope[:, None] * x[:, None] + square * x2[:, None]).reshape(N, 2)
    sums = np.empty((5, 2))
    polish.group_moments(p, group, x, x2, constant, slope, square, sums)
    expected = [features[group == k].T @ p[group == k] for k in range(5)]
    np.testing.assert_allclose(sums, expected, rtol=1e-12)


def test_preferences_are_those_of_the_grids_edges(rng):
    steps = uneven_steps(rng)
    _, flows, _ = active_flows(rng, steps)
    potential = rng.random(N)
    by_ends = {
        (i, j): 1 - abs(flows[k, i]) / length
        if abs(flows[k, i]) > length
        else length - abs(potential[i] - potential[j])
        for i, j, length, k in edges(steps)
    }
    coordinates = np.concatenate([np.r_[0, np.cumsum(steps[k, : n - 1])] for k, n in enumerate(SHAPE)])
    tails, heads, _ = grid_edges(np.array(SHAPE), coordinates)
    preference = np.empty(len(tails))
    polish.edge_order(np.array(SHAPE), steps, np.ones(3), flows, potential, preference)
    expected = [by_ends[int(i), int(j)] for i, j in zip(tails, heads, strict=True)]
    np.testing.assert_allclose(preference, expected, rtol=1e-12)


def test_exact_flows_without_slack_tie_what_they_join(rng):
    steps = uneven_steps(rng)
    coordinates = [np.r_[0, np.cumsum(steps[k, : n - 1])] for k, n in enumerate(SHAPE)]
    a = rng.dirichlet(np.ones(N))
    b = a.copy()
    b[: N // 2] = rng.permutation(a[: N // 2])  # nothing need flow in the other half
    solution, tree = solve_grid(a.reshape(SHAPE), b.reshape(SHAPE), coordinates)
    potential = 2 * solution.u.ravel()
    raised = rng.random(N) < 0.2
    potential[raised] += 1e-3
    leader, offset = np.arange(N), np.zeros(N)
    polish.tie_tree(tree, 2.0, potential, 1e-9, leader, offset)
    carrying = [(x, int(tree.parent[x])) for x in range(N) if 0 < tree.parent[x] < N and tree.flow[x] > N]
    carrying += [(x, 0) for x in range(N) if tree.parent[x] == 0 and tree.flow[x] > N]
    i, j = np.array([(x, y) for x, y in carrying if raised[x] == raised[y]]).T
    assert len(i) < len(carrying) < N - 1
    _, label = connected_components(coo_matrix((np.ones(len(i)), (i, j)), shape=(N, N)), directed=False)
    group, level, mass = np.empty(N, np.int32), np.empty(N), np.empty(N)
    polish.number_groups(leader, offset, np.ones(N), group, level, mass)
    assert len(set(zip(label, group, strict=True))) == len(set(label)) == len(set(group))
    for k in set(group):
        np.testing.assert_allclose(np.ptp((level - potential)[group == k]), 0, atol=1e-9)


def grid_target(kind, levels=(0, 1, 2, 4, 5, 7, 8, 9)):
    axes = [fd.Axis.levels("a", levels), fd.Axis.regular("b", 0, 3, 15)]
    bins = fd.GridBins(fd.DegradationSpace([*axes, fd.Axis.regular("c", 0, 1, 11)]))
    rng = np.random.default_rng(3)
    x = np.where(
        rng.random(kind if isinstance(kind, int) else 2_000)[:, None] < 0.6,
        rng.normal([2, 0.9, 0.3], [1, 0.3, 0.1], (kind if isinstance(kind, int) else 2_000, 3)),
        rng.normal([7, 2.2, 0.6], [1, 0.3, 0.1], (kind if isinstance(kind, int) else 2_000, 3)),
    )
    q = fd.BinnedDistribution.from_samples(bins, x, outside="clip")
    if kind == "dense":
        q = fd.BinnedDistribution(bins, 0.8 * q.pmf + 0.2 * rng.dirichlet(np.ones(bins.n_bins)))
    return q


def craft(**options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return fd.craft(**options)


@pytest.mark.parametrize("kind", [24, 500, "dense"])
@pytest.mark.parametrize("tau", [3.0, 0.3, 0.03, 0.003])
def test_polished_flows_agree_with_the_interior_point(kind, tau, monkeypatch):
    q = grid_target(kind)
    plan = craft(target=q, generalization=tau)
    monkeypatch.setattr("fastdeg.crafting.setup.LARGEST_PLAN", 0)
    monkeypatch.setattr("fastdeg.crafting.setup.FEW_SINKS", 0)
    polished = craft(target=q, generalization=tau)
    monkeypatch.setattr("fastdeg.crafting.polish.LARGEST_EXACT", 0)
    plain = craft(target=q, generalization=tau)
    for result in (plan, polished, plain):
        assert result.converged
        assert result.objective >= plan.lower_bound - 1e-12
    assert plan.objective >= polished.lower_bound - 1e-12
    assert polished.n_iter <= plain.n_iter
    assert polished.n_iter <= 350


def test_polishing_never_uses_excluded_bins(as_flows):
    q = grid_target(500)
    usable = np.ones(q.n_bins)
    usable[::5] = 0  # among them bins that the target has mass in
    assert q.pmf[::5].sum() > 0.1
    prior = fd.BinnedDistribution(q.bins, usable / usable.sum())
    result = craft(target=q, prior=prior, generalization=0.03)
    assert result.converged
    assert (result.distribution.pmf[::5] == 0).all()
    assert abs(result.distribution.pmf.sum() - 1) < 1e-12


def test_a_group_without_usable_bins_is_no_solution(as_flows):
    q = grid_target(24)
    usable = np.ones(q.n_bins)
    usable[np.flatnonzero(q.pmf)[0]] = 0
    prior = fd.BinnedDistribution(q.bins, usable / usable.sum())
    problem = build(q, prior, None, None, 1.0, 1.0, None, None, None, None).problem.with_tau(0.1)
    method = GridSplitting(problem, problem.transport)  # without flows, each bin of q is a group
    assert method.polish(method.flows, method.moments.y, np.inf) is None


def test_a_solution_for_another_tau_is_polished_at_once(as_flows):
    q = grid_target(500)
    near = craft(target=q, generalization=0.0030)
    start = near._state.polish.tree.flow.copy()
    for _ in range(2):  # the result that one starts from stays as it is
        warm = craft(target=q, generalization=0.0031, warm_start=near)
        assert warm.converged
        assert warm.n_iter == 1
    assert (near._state.polish.tree.flow == start).all()
    cold = craft(target=q, generalization=0.0031)
    assert abs(warm.objective - cold.objective) < 2e-6


def test_the_tree_of_another_grid_is_not_taken_over(as_flows):
    here, there = grid_target(500), grid_target(500, (0, 3, 4, 5, 6, 7, 8, 9))
    near = craft(target=here, generalization=0.1, wasserstein_weight=0.5)
    for target, weight in ((here, 1.0), (there, 0.5)):
        options = {"target": target, "generalization": 0.1, "wasserstein_weight": weight}
        cold, warm = craft(**options), craft(**options, warm_start=near)
        assert warm.converged
        assert abs(warm.objective - cold.objective) < 2e-6


def test_same_bits_for_any_number_of_threads(as_flows, monkeypatch):
    monkeypatch.setattr("fastdeg.crafting.splitting._FEW_CELLS", 0)
    monkeypatch.setattr("fastdeg.kernels._jit.SMALL_WORK", 0)
    results = [craft(target=grid_target(500), generalization=0.1, threads=t) for t in (1, 2, 3, 7)]
    assert results[0].converged
    for result in results[1:]:
        assert result.distribution.pmf.tobytes() == results[0].distribution.pmf.tobytes()
        assert (result.objective, result.lower_bound) == (results[0].objective, results[0].lower_bound)
