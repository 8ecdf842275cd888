"""The crafting problem: optimality, certificates, arguments."""

import warnings

import numpy as np
import pytest
from naive_craft import convex_solver, objective
from problems_craft import random_problem, two_blobs

import fastdeg as fd

EXTRACT = range(40)


def craft_quietly(**arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return fd.craft(**arguments)


def feasible(p, arguments):
    low = 0 if arguments["lower"] is None else arguments["lower"]
    high = 1 if arguments["upper"] is None else arguments["upper"]
    prior = arguments["prior"].pmf
    return (
        np.isfinite(p).all() and (p >= np.asarray(low) - 1e-12).all() and (p <= np.asarray(high) + 1e-12).all()
    ) and (p[prior == 0] == 0).all()


@pytest.mark.parametrize("seed", EXTRACT)
def test_random_problems_are_certified(seed):
    arguments = random_problem(np.random.default_rng(seed), sizes=(2, 3, 5, 20, 60, 150))
    result = craft_quietly(**arguments, time_limit=5)
    assert result.converged
    assert -1e-12 <= result.gap <= 1e-6 * max(1, abs(result.objective))
    assert feasible(result.distribution.pmf, arguments)


@pytest.mark.parametrize("seed", range(12))
def test_agrees_with_a_general_convex_solver(seed):
    arguments = random_problem(np.random.default_rng(1000 + seed), sizes=(2, 5, 20, 40))
    result = craft_quietly(**arguments, tol=1e-8)
    exact = objective(result.distribution.pmf, arguments)
    scale = max(1, abs(exact))
    assert abs(result.objective - exact) <= 1e-9 * scale
    p = convex_solver(arguments)
    if p is None:
        pytest.skip("Clarabel failed")
    p = np.where(arguments["prior"].pmf > 0, np.maximum(p, 0), 0)
    rival = objective(p / p.sum(), arguments)
    assert exact <= rival + 1e-6 * scale
    assert result.lower_bound <= rival + 1e-9 * scale or not feasible(p, arguments)
    if feasible(p, arguments):
        assert rival <= exact + 1e-5 * scale


def test_reported_gap_covers_the_true_gap():
    for seed in range(10):
        arguments = random_problem(np.random.default_rng(2000 + seed), sizes=(5, 20))
        rough = craft_quietly(**arguments, max_iter=4)
        fine = craft_quietly(**arguments, tol=1e-9)
        assert rough.lower_bound <= fine.objective
        assert rough.gap >= rough.objective - fine.objective - 1e-14


def paper_target(n=24):
    bins = fd.GridBins(fd.DegradationSpace.preset("paper"))
    return fd.BinnedDistribution.from_samples(bins, bins.space.unstandardize(two_blobs(n)))


def test_auto_generalization_reaches_the_evidence_radius():
    q = paper_target()
    result = fd.craft(q)
    assert result.converged
    assert 0.01 < result.generalization < 10
    wider = fd.craft(q, generalization=2 * result.generalization)
    assert wider.terms["frechet"] + wider.terms["wasserstein"] > result.terms["frechet"] + result.terms["wasserstein"]


def test_warns_where_nothing_is_to_be_seen():
    q = paper_target()
    with pytest.warns(UserWarning, match="all but the target"):
        fd.craft(q, generalization=1e-4)
    with pytest.warns(UserWarning, match="all but the prior"):
        fd.craft(q, generalization=1e4)


def test_path_runs_from_target_to_prior():
    path = fd.tradeoff_path(paper_target())
    assert len(path.results) == 20
    assert all(result.converged for result in path.results)
    assert (np.diff(path.kl_to_prior) < 0).all()
    assert (np.diff(path.distance_to_target) > 0).all()
    assert (path.mixtures.distance_to_target >= path.distance_to_target - 1e-6).all()


def test_infeasible_bounds_are_refused_with_the_reason():
    q = paper_target()
    with pytest.raises(ValueError, match=r"upper.*sum to at least 1"):
        fd.craft(q, upper=1 / 80)
    with pytest.raises(ValueError, match=r"lower.*sum to at most 1"):
        fd.craft(q, lower=1 / 70)
    with pytest.raises(ValueError, match=r"lower.*at most the upper bound"):
        fd.craft(q, lower=0.01, upper=0.005)
    with pytest.raises(ValueError, match="auto"):
        fd.craft(q, upper=0.05)
