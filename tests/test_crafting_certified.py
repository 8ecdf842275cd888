"""Every crafted result is certified, or says that it is not: dust in the target, small tolerances, forbidden pairs."""

import warnings

import cvxpy as cp
import numpy as np
import pytest

import fastdeg as fd


def softmax_target(seed):
    """A target with masses far below rounding."""
    r = np.random.default_rng(seed)
    if seed % 2:
        bins = fd.CentroidBins(r.random((60, 3)))
    else:
        bins = fd.GridBins(fd.DegradationSpace.preset("paper"))
    q = np.exp(r.normal(size=bins.n_bins) * r.choice([10, 20, 40]))
    return fd.BinnedDistribution(bins, q / q.sum())


@pytest.mark.parametrize("seed", [*range(12), 37])
def test_targets_with_dust_are_certified_and_smaller_tolerances_give_no_worse(seed):
    q = softmax_target(seed)
    assert q.pmf.min() < 1e-13
    tau = 10 ** np.random.default_rng(seed).uniform(-2, 0.3)
    gaps = [fd.craft(q, generalization=tau, metric="euclidean", tol=tol) for tol in (1e-4, 1e-6, 1e-9)]
    assert all(result.converged for result in gaps)
    assert gaps[1].objective <= gaps[0].objective + 1e-6
    assert gaps[2].objective <= gaps[1].objective + 1e-9


def test_what_is_not_converged_says_so():
    q = softmax_target(0)
    with pytest.warns(RuntimeWarning, match=r"not converged: after 1 iterations .* tol=1e-06"):
        assert not fd.craft(q, generalization=0.1, max_iter=1).converged
    with pytest.warns(RuntimeWarning, match="not converged at 3 of 3 points"):
        fd.tradeoff_path(q, [0.01, 0.1, 1.0], max_iter=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        fd.craft(q, generalization=0.1)


def test_forbidden_pairs_carry_no_mass():
    n = 8
    bins = fd.GridBins(fd.DegradationSpace([fd.Axis.regular("noise_sigma", 0, 50, n)]))
    r = np.random.default_rng(0)
    pmf = r.dirichlet(np.ones(n))
    cost = np.abs(np.subtract.outer(np.arange(n), np.arange(n))) / n
    cost[cost > 0.3] = np.inf
    cost[0] = np.inf  # nothing can come from there
    cost[5:, :5] = np.inf  # what the last three hold is for the last three
    cost[:5, 5:] = np.inf
    result = fd.craft(fd.BinnedDistribution(bins, pmf), generalization=0.3, cost=cost, frechet_weight=0, tol=1e-8)
    p = result.distribution.pmf
    assert result.converged
    assert p[0] <= 1e-12
    assert p[5:].sum() == pytest.approx(pmf[5:].sum(), abs=1e-7)

    plan = cp.Variable((n, n), nonneg=True)
    mixed = cp.sum(plan, axis=1)
    usable = np.arange(1, n)  # of the prior's 1/n, bin 0 is out: its share of the KL is 0
    kl = cp.sum(cp.rel_entr(mixed[usable], np.full(n - 1, 1 / n)))
    finite = np.where(cost < np.inf, cost, 0)
    constraints = [cp.sum(plan, axis=0) == pmf, cp.multiply(plan, cost == np.inf) == 0]
    best = cp.Problem(cp.Minimize(cp.sum(cp.multiply(plan, finite)) + 0.3 * kl), constraints).solve(solver=cp.CLARABEL)
    assert result.objective == pytest.approx(best, abs=1e-6)


def test_forbidden_pairs_that_leave_nothing_are_an_error():
    bins = fd.GridBins(fd.DegradationSpace([fd.Axis.regular("noise_sigma", 0, 50, 3)]))
    q = fd.BinnedDistribution(bins, [0.5, 0.3, 0.2])
    cost = np.ones((3, 3))
    cost[:, 2] = np.inf
    with pytest.raises(ValueError, match="cost: expected a bin from which bin 2 of the target is not forbidden"):
        fd.craft(q, generalization=0.1, cost=cost)
    cost = np.where(np.eye(3) > 0, 0.0, np.inf)  # p can only be q, and may not
    with pytest.raises(ValueError, match="cost: expected a distribution within the bounds that has a plan"):
        fd.craft(q, generalization=0.1, cost=cost, upper=0.4)
    with pytest.raises(ValueError, match="cost: expected finite numbers, got nan"):
        fd.craft(q, generalization=0.1, cost=np.full((3, 3), np.nan))
