"""Crafting where numbers run out: bounds at a small tau, no transport, degenerate priors, interrupts at once."""

from dataclasses import replace

import numpy as np
import pytest
from test_polish import craft, few_bins

import fastdeg as fd
from fastdeg.crafting.simplex import linear_entropic_minimum

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


def test_an_interrupt_before_the_first_certificate_has_a_result(monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("fastdeg.crafting.solver._certify", interrupt)
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
