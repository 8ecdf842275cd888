"""Polishing of active flows: kernels against plain NumPy, results against the interior point."""

import numpy as np
import pytest
from problems_craft import LARGE, craft, few_bins
from problems_grids import N, split_small_grids

import fastdeg as fd
from fastdeg.crafting.grid.admm import GridSplitting
from fastdeg.crafting.problem.arguments import build
from fastdeg.crafting.solve import Run
from fastdeg.kernels.crafting.forest import component_newton


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def as_flows(use_strategy):
    """Small grids by the splitting too."""
    split_small_grids(use_strategy)


def test_each_group_keeps_its_mass_and_moments(rng):
    exponents = rng.normal(0, 300, N)
    group = rng.integers(0, 5, N).astype(np.int32)
    mass = rng.random(5)
    p, shift = np.empty(N), np.empty(5)
    component_newton.fill_groups(exponents, group, mass, p, shift)
    for k in range(5):
        cells = group == k
        weights = np.exp(exponents[cells] - exponents[cells].max())
        np.testing.assert_allclose(p[cells], mass[k] * weights / weights.sum(), rtol=1e-12, atol=1e-290)
        np.testing.assert_allclose(shift[k], exponents[cells].max() + np.log(weights.sum() / mass[k]), rtol=1e-13)
    x, x2, square = rng.random(7), rng.random(7), rng.random(2)
    constant, slope = rng.random((20, 2)), rng.random((20, 2))
    features = (constant[:, None] + slope[:, None] * x[:, None] + square * x2[:, None]).reshape(N, 2)
    sums = np.empty((5, 2))
    component_newton.group_moments(component_newton.Features(x, x2, constant, slope, square), p, group, sums)
    expected = [features[group == k].T @ p[group == k] for k in range(5)]
    np.testing.assert_allclose(sums, expected, rtol=1e-12)


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


@pytest.mark.parametrize("kind", [24, 500, "dense"])
@pytest.mark.parametrize("tau", [3.0, 0.3, 0.03, 0.003])
def test_polished_flows_agree_with_the_interior_point(kind, tau, use_strategy):
    q = grid_target(kind)
    plan = craft(target=q, generalization=tau)
    split_small_grids(use_strategy)
    polished = craft(target=q, generalization=tau)
    use_strategy(exact_bins=0)
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


def test_mass_of_the_target_where_p_may_have_none_moves_on(as_flows):
    q = grid_target(24)
    usable = np.ones(q.n_bins)
    usable[np.flatnonzero(q.pmf)[0]] = 0
    prior = fd.BinnedDistribution(q.bins, usable / usable.sum())
    problem = build(q, prior, None, None, 1.0, 1.0, None, None, None, None).problem.with_tau(0.1)
    method = GridSplitting(problem, Run())  # without flows, each bin of q is a tree
    polished = method.active_set(method.flows, method.moments.y, 1e-9)
    primal, dual = polished.primal, polished.dual
    bound = problem.lower_bound(dual.moments, dual.phi, dual.transport)
    assert problem.objective(primal.p, primal.transport) - bound <= 1e-9
    assert primal.transport == pytest.approx(problem.transport.exact(primal.p), rel=1e-10)


@pytest.mark.parametrize("tau", [0.0031, 0.02, 0.3, 3.0])
def test_a_solution_for_another_tau_is_polished_at_once(as_flows, tau):
    q = grid_target(500)
    near = craft(target=q, generalization=tau)
    start = near._state.active_set.basis.copy(), near._state.active_set.potential.copy()
    for _ in range(2):  # the result that one starts from stays as it is
        warm = craft(target=q, generalization=1.1 * tau, warm_start=near)
        assert warm.converged
        assert warm.n_iter == 1
        assert warm.primal_residual == 0
        assert warm.dual_residual < 1e-3
    assert (near._state.active_set.basis == start[0]).all()
    assert (near._state.active_set.potential == start[1]).all()
    cold = craft(target=q, generalization=1.1 * tau)
    assert abs(warm.objective - cold.objective) < 2e-6


@pytest.mark.parametrize("weight", [30, 300])
@pytest.mark.parametrize("tau", [0.02, 0.1, 0.4])
def test_polishing_goes_as_far_as_the_optimum_needs_not_the_prior(as_flows, tau, weight):
    q = grid_target(24)
    near = craft(target=q, generalization=tau * weight, wasserstein_weight=weight)
    warm = craft(target=q, generalization=1.3 * tau * weight, wasserstein_weight=weight, warm_start=near)
    assert warm.converged
    assert warm.n_iter == 1


@pytest.mark.parametrize("kind", [24, "dense"])
def test_the_solution_for_another_target_and_prior_is_a_start(as_flows, kind):
    near = craft(target=grid_target(500), generalization=0.1)
    q = grid_target(kind)
    usable = np.ones(q.n_bins)
    usable[::5] = 0
    prior = fd.BinnedDistribution(q.bins, usable / usable.sum())
    for options in ({}, {"prior": prior}):
        cold = craft(target=q, generalization=0.1, **options)
        warm = craft(target=q, generalization=0.1, warm_start=near, **options)
        assert warm.converged
        assert abs(warm.objective - cold.objective) < 2e-6


def test_a_tau_far_away_is_no_start(as_flows):
    q = grid_target(500)
    near = craft(target=q, generalization=0.003)
    assert craft(target=q, generalization=3.0, warm_start=near).n_iter > 1


@pytest.mark.parametrize("kind", [24, 500, "dense"])
@pytest.mark.parametrize("tau", [0.003, 0.05, 0.2, 1.5])
def test_near_the_target_its_own_forest_is_polished(as_flows, kind, tau, use_strategy):
    q = grid_target(kind)
    split = craft(target=q, generalization=tau, tol=1e-9)
    assert split.n_iter > 1
    use_strategy(near_target_cells=5_000.0)
    at_once = craft(target=q, generalization=tau, tol=1e-9)
    assert at_once.converged
    assert at_once.n_iter == 1
    assert abs(at_once.objective - split.objective) < 2e-9


@pytest.mark.parametrize("kind", [24, "dense"])
def test_on_grids_too_large_for_exact_solves_the_target_is_a_start_too(kind, use_strategy):
    q = grid_target(kind)
    plans = [craft(target=q, generalization=tau) for tau in (0.05, 2.0)]
    use_strategy(exact_bins=100, flow_bins=0, near_target_cells=200.0)  # flows are tried for few sinks too
    near, far = (craft(target=q, generalization=tau) for tau in (0.05, 2.0))
    assert near.n_iter == 1
    assert far.n_iter > 1
    for flow, plan in zip((near, far), plans, strict=True):
        assert flow.converged
        assert abs(flow.objective - plan.objective) < 2e-6


def test_where_polishing_comes_to_nothing_the_splitting_goes_on(as_flows, use_strategy):
    q = grid_target(500)
    near = craft(target=q, generalization=0.1)
    polished = craft(target=q, generalization=0.11)
    use_strategy(visits_per_cell=0)
    for result in (craft(target=q, generalization=0.11), craft(target=q, generalization=0.11, warm_start=near)):
        assert result.converged
        assert result.n_iter > polished.n_iter
        assert abs(result.objective - polished.objective) < 2e-6


def test_the_tree_of_another_grid_is_not_taken_over(as_flows):
    here, there = grid_target(500), grid_target(500, (0, 3, 4, 5, 6, 7, 8, 9))
    near = craft(target=here, generalization=0.1, wasserstein_weight=0.5)
    for target, weight in ((here, 1.0), (there, 0.5)):
        options = {"target": target, "generalization": 0.1, "wasserstein_weight": weight}
        cold, warm = craft(**options), craft(**options, warm_start=near)
        assert warm.converged
        assert abs(warm.objective - cold.objective) < 2e-6


def test_same_bits_for_any_number_of_threads(as_flows, use_strategy):
    use_strategy(serial_cells=0)
    q = fd.BinnedDistribution.from_samples(
        LARGE, np.random.default_rng(0).normal((1.5, 15, 50), (0.2, 4, 9), (500, 3)), outside="clip"
    )
    for tau in (0.1, 1.0):
        results = [craft(target=q, generalization=tau, threads=t) for t in (1, 2, 3, 7)]
        assert results[0].converged
        for result in results[1:]:
            assert result.distribution.pmf.tobytes() == results[0].distribution.pmf.tobytes()
            assert (result.objective, result.lower_bound) == (results[0].objective, results[0].lower_bound)


SQUARE = fd.GridBins(fd.DegradationSpace([fd.Axis.regular("a", 0, 1, 100), fd.Axis.regular("b", 0, 1, 100)]))


def samples_at_one_downsampling():
    rng = np.random.default_rng(0)
    return np.column_stack((rng.uniform(1, 2, 24), rng.uniform(10, 20, 24), np.full(24, 4)))


@pytest.mark.parametrize("tau", [10.0, 1.0, 0.1])
@pytest.mark.parametrize(
    "target",
    [
        fd.BinnedDistribution.from_samples(SQUARE, np.random.default_rng(0).normal(0.5, 0.1, (2000, 2))),
        fd.BinnedDistribution.from_samples(LARGE, samples_at_one_downsampling()),
        few_bins(LARGE, {10: 0.5, 11: 0.3, 25: 0.2}),
        few_bins(LARGE, {5810: 0.01, 9079: 0.39, 11691: 0.42, 12412: 0.18}),
    ],
    ids=["blob", "one downsampling", "three bins", "four bins"],
)
def test_narrow_targets_on_large_grids(target, tau):
    """The prox of the moments is close to singular covariances here: steps over them must not be taken."""
    result = craft(target=target, generalization=tau)
    assert result.converged
    assert result.n_iter <= 1000
    assert result.gap <= 1e-6 * max(1, result.objective)


@pytest.mark.parametrize("kind", [24, 500])
@pytest.mark.parametrize("tau", [0.02, 0.3, 3.0])
def test_bounds_that_do_not_bind_cost_nothing(as_flows, kind, tau):
    q = grid_target(kind)
    free = fd.craft(q, generalization=tau)
    largest = free.distribution.pmf.max()
    bounded = fd.craft(q, generalization=tau, upper=1.01 * largest)
    assert bounded.converged
    assert bounded.n_iter == free.n_iter
    np.testing.assert_array_equal(bounded.distribution.pmf, free.distribution.pmf)
    binding = fd.craft(q, generalization=tau, upper=0.8 * largest)
    assert binding.converged
    assert binding.distribution.pmf.max() <= 0.8 * largest
    assert binding.objective >= free.lower_bound
    assert binding.lower_bound >= free.lower_bound - 1e-12


def test_a_path_with_bounds_that_bind_at_one_end(as_flows):
    q = grid_target(24)
    path = fd.tradeoff_path(q, [0.02, 0.1, 1.0], upper=0.03)
    for tau, result in zip(path.generalizations, path.results, strict=True):
        assert result.converged
        assert result.distribution.pmf.max() <= 0.03
        assert result.objective == pytest.approx(fd.craft(q, generalization=float(tau), upper=0.03).objective, abs=2e-6)
    assert path.results[0].distribution.pmf.max() == pytest.approx(0.03)
    assert path.results[-1].distribution.pmf.max() < 0.029
