"""Crafting where numbers run out: bounds at a small tau, no transport, degenerate priors, interrupts at once."""

from dataclasses import replace

import numpy as np
import pytest
from problems_craft import LARGE, craft, few_bins

import fastdeg as fd
from fastdeg.crafting.interior.method import InteriorPoint
from fastdeg.crafting.problem.arguments import build
from fastdeg.crafting.problem.bounded_simplex import linear_entropic_minimum
from fastdeg.crafting.strategy import Row

PAPER = fd.GridBins(fd.DegradationSpace.preset("paper"))


def random_bounds(rng, n):
    inside = rng.dirichlet(np.full(n, 10 ** rng.uniform(-1, 1)))
    lower = inside * rng.random(n) * (rng.random(n) < 0.5)
    upper = np.minimum(1, inside + 1e-12 + rng.random(n) * (rng.random(n) < 0.7) * 10 ** rng.uniform(-6, 0))
    return inside, lower, upper


@pytest.mark.parametrize("seed", range(300))
def test_the_bounded_minimum_is_on_the_simplex_and_below_all(seed):
    rng = np.random.default_rng(seed)
    n, tau = int(rng.integers(2, 12)), 10 ** rng.uniform(-6, 4)
    costs = rng.normal(size=n) * 10 ** rng.uniform(-3, 3)
    prior = np.maximum(rng.dirichlet(np.full(n, 10 ** rng.uniform(-1.5, 1))), 1e-300)
    inside, lower, upper = random_bounds(rng, n)
    value, p = linear_entropic_minimum(costs, prior, tau, lower, upper)
    scale = 1 + np.abs(costs).max() + 50 * tau

    def objective(p):
        return costs @ p + tau * (p @ np.log(np.maximum(p, 1e-300) / prior))

    assert abs(p.sum() - 1) < 1e-15 * scale / tau + 1e-12
    assert (p >= lower).all()
    assert (p <= upper).all()
    assert value == pytest.approx(objective(p), abs=(1e-11 + 2 * abs(p.sum() - 1)) * scale)
    assert value <= objective(inside) + 1e-12 * scale


@pytest.mark.parametrize("seed", range(40))
def test_bounds_are_certified_at_any_tau(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.choice([2, 5, 10]))
    bins = fd.CentroidBins(rng.random((n, 2)))
    q = fd.BinnedDistribution(bins, rng.dirichlet(np.ones(n)))
    upper = np.minimum(1, 1.02 / n + rng.random(n))
    result = craft(target=q, generalization=10 ** rng.uniform(-5, 1), upper=upper)
    assert result.converged
    assert (result.distribution.pmf <= upper + 1e-12).all()


def test_without_transport_a_path_and_a_warm_start_are_solved():
    q = fd.BinnedDistribution(PAPER, few_bins(PAPER, {10: 0.5, 11: 0.3, 25: 0.2}).pmf, n_samples=24)
    cold = craft(target=q, wasserstein_weight=0, generalization=0.1)
    warm = craft(target=q, wasserstein_weight=0, generalization=0.1, warm_start=cold)
    assert warm.converged
    assert warm.objective == pytest.approx(cold.objective, abs=1e-6)
    assert np.isfinite(craft(target=q, wasserstein_weight=0).objective)
    path = fd.tradeoff_path(q, wasserstein_weight=0)
    assert all(result.converged and np.isfinite(result.objective) for result in path.results)


def test_what_cannot_be_certified_is_feasible_and_not_converged():
    bins = fd.CentroidBins([[0.0], [1.0], [2.0]])
    prior = np.array([1e-10, 1 - 1.1e-9, 1e-9])
    result = craft(
        target=fd.BinnedDistribution(bins, np.full(3, 1 / 3)), prior=fd.BinnedDistribution(bins, prior / prior.sum()),
        generalization=10.0, wasserstein_weight=0, lower=[0.15, 0, 0.35], upper=[0.6, 0, 1],
    )  # fmt: skip
    assert (result.distribution.pmf >= [0.15 - 1e-12, 0, 0.35 - 1e-12]).all()
    assert result.distribution.pmf[1] == 0
    assert np.isfinite(result.objective)
    assert result.lower_bound >= 0
    assert result.converged == (result.gap <= 1e-6 * max(1, result.objective))


def test_an_interrupt_before_the_first_certificate_has_a_result(use_strategy):
    class Interrupted(InteriorPoint):
        def primal(self):
            raise KeyboardInterrupt

    use_strategy(rows=(Row(Interrupted, "", "", ""),))
    with pytest.raises(KeyboardInterrupt) as caught:
        craft(target=few_bins(PAPER, {10: 0.5, 11: 0.5}), generalization=0.1)
    result = caught.value.result
    assert not result.converged
    assert np.isfinite(result.objective)
    assert result.lower_bound == 0
    assert result.distribution.pmf.sum() == pytest.approx(1)


def test_a_value_of_zero_has_no_relative_gap():
    mass, points = np.array([0.25, 0.75]), np.array([[0.0], [1.0]])
    result = fd.emd(mass, mass, points, points)
    assert result.value == 0
    assert replace(result, gap=1e-17).relative_gap == 0  # rounding, where the points are in another order


def long_axis(n_levels):
    return fd.GridBins(fd.DegradationSpace([fd.Axis.regular("noise_sigma", 0, 50, n_levels)]))


@pytest.mark.parametrize("tau", [0.001, 0.1, 10.0])
@pytest.mark.parametrize("at", [1, 6000])
def test_one_bin_of_a_very_long_axis(at, tau):
    """Moments next to a singular covariance, a potential whose rounding is longer than a small part of a step."""
    bins = long_axis(15_000)
    result = craft(target=few_bins(bins, {at: 1.0}), generalization=tau)
    assert result.converged
    assert result.n_iter <= 200


@pytest.mark.parametrize("shape", [(30_000,), (7, 5)])
def test_the_independent_plan_costs_what_all_pairs_do(shape):
    """On 30,000 levels the matrix of all pairs would take 7 GB."""
    rng = np.random.default_rng(0)
    axes = [fd.Axis.levels(f"axis_{k}", np.cumsum(rng.random(n) + 0.1)) for k, n in enumerate(shape)]
    bins = fd.GridBins(fd.DegradationSpace(axes))
    p, q = (rng.dirichlet(np.ones(bins.n_bins)) for _ in range(2))
    problem = build(fd.BinnedDistribution(bins, q), None, None, None, 1.0, 1.0, None, None, None, None).problem
    transport = problem.transport if shape[0] > 5000 else problem.transport.flow
    sample = rng.choice(bins.n_bins, 100_000, p=p), rng.choice(bins.n_bins, 100_000, p=q)
    lengths = np.abs(bins.standardized_centers()[sample[0]] - bins.standardized_centers()[sample[1]]).sum(axis=1)
    assert transport.independent(p) == pytest.approx(lengths.mean(), abs=5 * lengths.std() / np.sqrt(len(lengths)))


def test_a_short_time_limit_holds_where_flows_are_polished():
    """A sweep of pivots in which no arc can enter made the threshold stand still for a minute here."""
    rng = np.random.default_rng(59)
    bins = fd.GridBins(
        fd.DegradationSpace([fd.Axis.regular(f"axis_{k}", 0, 1, n) for k, n in enumerate((10, 12, 15, 9))])
    )
    upper = (rng.random(bins.n_bins) >= 0.2).astype(float)
    counts = np.bincount(rng.integers(0, bins.n_bins, 2000), minlength=bins.n_bins)
    q = fd.BinnedDistribution(bins, counts / 2000)
    result = craft(target=q, generalization=0.001, frechet_weight=0.0, upper=upper)
    assert result.converged


def many_moments(n_bins, n_features):
    """A target and moments of features that say nothing of where the bins lie."""
    rng = np.random.default_rng(0)
    features, spread = rng.random((n_bins, n_features)), np.tile(0.01 * np.eye(n_features), (n_bins, 1, 1))
    bins = fd.CentroidBins(rng.random((n_bins, 3)))
    return {
        "target": fd.BinnedDistribution(bins, rng.dirichlet(np.ones(n_bins)), n_samples=30),
        "bin_moments": (features, spread),
        "target_moments": (features[0], np.cov(features.T)),
    }


def test_many_moments_take_few_steps():
    """On arcs chosen by the potentials of merged bins it were more than a hundred."""
    result = craft(**many_moments(200, 32), generalization=0.1)
    assert result.converged
    assert result.n_iter <= 80


def test_an_interrupt_of_the_search_for_a_generalization_has_a_result(use_strategy):
    solves = []

    class Interrupted(InteriorPoint):
        def __init__(self, problem, run):
            super().__init__(problem, run)
            solves.append(self)

        def residuals(self):
            if len(solves) == 3 and self.gap < 0.01:
                raise KeyboardInterrupt
            return super().residuals()

    use_strategy(rows=(Row(Interrupted, "", "", ""),))
    with pytest.raises(KeyboardInterrupt) as caught:
        craft(**many_moments(100, 8))
    assert np.isfinite(caught.value.result.gap)
    assert caught.value.result.generalization > 0


def test_the_time_limit_holds_for_the_search_for_a_generalization_too():
    arguments = many_moments(300, 24)
    result = craft(**arguments, time_limit=0.2)  # the search alone takes ten times as long
    assert not result.converged
    assert result.lower_bound <= result.objective
    assert result.distribution.pmf.sum() == pytest.approx(1)


def test_a_warm_start_on_other_bins_is_told_to_be_ignored():
    start = craft(target=few_bins(PAPER, {10: 0.5, 11: 0.5}), generalization=0.1)
    other = fd.BinnedDistribution(long_axis(20), np.eye(20)[3])
    with pytest.warns(UserWarning, match="warm_start is ignored: it has 75 bins, the target 20") as told:
        result = fd.craft(other, generalization=0.1, warm_start=start)
    assert told[0].filename == __file__
    assert result.converged


@pytest.mark.parametrize("weight", [0, 1])
def test_no_tolerance_ends_no_worse_than_a_small_one(weight):
    q = few_bins(PAPER, {10: 0.5, 11: 0.3, 25: 0.2})
    least = craft(target=q, generalization=0.1, wasserstein_weight=weight, tol=0, max_iter=200)
    assert not least.converged
    assert least.gap <= 1e-13


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"generalization": 1e4}, "generalization 1e.04 outweighs"),
        ({"generalization": 0.1, "lower": 0.99 / 75}, "lower and upper leave no room"),
        ({"generalization": 0.1, "frechet_weight": 0, "wasserstein_weight": 0}, "nothing draws it to the target"),
    ],
)
def test_the_warning_says_why_p_is_all_but_the_prior(options, reason):
    with pytest.warns(UserWarning, match=reason):
        fd.craft(few_bins(PAPER, {10: 0.5, 11: 0.5}), **options)


def test_the_warning_tells_of_too_few_iterations():
    with pytest.warns(UserWarning, match="ended before it had left the prior"):
        fd.craft(few_bins(LARGE, {10: 0.5, 11: 0.5}), generalization=0.1, max_iter=0)


def test_errors_name_the_argument_that_was_given():
    q = few_bins(PAPER, {10: 0.5, 11: 0.5})
    with pytest.raises(TypeError, match=r"^progress: expected a function"):
        fd.craft(q, progress=5)
    with pytest.raises(TypeError, match=r"^progress: expected a function"):
        fd.tradeoff_path(q, progress=5)
    with pytest.raises(ValueError, match=r"^upper: expected bounds of at least 0, got -1"):
        fd.craft(q, upper=-1)
