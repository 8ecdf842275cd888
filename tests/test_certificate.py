"""The certificate: no feasible point lies below the lower bound, singular covariances and rounding included."""

import warnings

import numpy as np
import pytest
from naive_craft import objective, smallest_objective
from problems_craft import random_problem, tiny_problem

import fastdeg as fd
from fastdeg.crafting.problem.arguments import build
from fastdeg.crafting.problem.frechet_term import FrechetTerm
from fastdeg.crafting.problem.problem import Solution
from fastdeg.crafting.result import finish


def craft_quietly(**arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return fd.craft(**arguments)


def search_below(seeds):
    """The bound against a search, on problems of two or three bins; how many are not converged.

    Without a tolerance but for the search's own rounding: its points add up to 1 to 2e-16, its means are rounded.
    """
    n_open = 0
    for seed in seeds:
        rng = np.random.default_rng(seed)
        arguments = tiny_problem(rng) if seed % 4 else random_problem(rng, sizes=(2, 3))
        result = craft_quietly(**arguments, max_iter=100)
        least = smallest_objective(arguments, result.distribution.pmf)
        size = arguments["frechet_weight"] * abs(arguments["target_moments"][0]).max() + arguments["wasserstein_weight"]
        assert result.lower_bound <= least + 1e-14 * (1 + size), seed
        assert result.gap >= 0
        n_open += not result.converged
    return n_open


def test_no_point_of_tiny_problems_lies_below_the_bound():
    assert search_below(range(300)) == 0


@pytest.mark.slow
def test_no_point_of_many_tiny_problems_lies_below_the_bound():
    assert search_below(range(1000, 11_000)) <= 40


def test_one_bin_far_from_the_target_moments():
    bins = fd.CentroidBins([[0.0]])
    for far in (1.0, 100.0, 1e6):
        result = craft_quietly(
            target=fd.BinnedDistribution(bins, [1.0]), target_moments=([far], [[1.0]]), generalization=1.0
        )
        assert result.converged
        assert result.objective == pytest.approx(far**2 + 1, rel=1e-12)


def test_a_bound_above_the_objective_is_told():
    """An error of ours: in the tests, where these warnings are errors, it fails whatever meets it."""
    q = fd.BinnedDistribution(fd.CentroidBins([[0.0], [1.0]]), [0.25, 0.75])
    setup = build(q, None, None, None, 1.0, 1.0, None, None, None, None)
    exact = craft_quietly(target=q, generalization=0.1)
    wrong = Solution(exact.distribution.pmf, np.inf, lower_bound=exact.objective + 1e-9)
    with pytest.warns(RuntimeWarning, match="the lower bound .* is above the objective"):
        result = finish(setup, 0.1, wrong, 1e-6, None)
    assert not result.converged
    assert result.gap == result.objective - result.lower_bound < 0


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_the_minorant_holds_at_singular_covariances(rank):
    """Bins on a line have a covariance of rank one, which rounding makes regular."""
    rng = np.random.default_rng(rank)
    direction, root = rng.standard_normal(3), rng.standard_normal((3, rank))
    means = rng.random((40, 1)) * direction
    within = np.broadcast_to(1e-3 * np.outer(direction, direction), (40, 3, 3))
    term = FrechetTerm(means, within, rng.random(3), root @ root.T)
    for p in rng.dirichlet(np.full(40, 0.2), 20):
        constant, coefficients = term.minorant(term.moments(p))
        assert constant + coefficients @ p == pytest.approx(term.value(p), abs=2e-6)
        for other in (p, *rng.dirichlet(np.full(40, 0.2), 20)):
            # the only root is that of the variance along the line
            away = means @ direction / (direction @ direction)
            variance = other @ away**2 - (other @ away) ** 2 + 1e-3
            scale = np.sqrt(direction @ (root @ root.T) @ direction)
            exact = term.linear @ other + np.trace(root @ root.T) - 2 * scale * np.sqrt(variance)
            assert constant + coefficients @ other <= exact


def test_reported_gap_covers_the_true_gap():
    for seed in range(10):
        arguments = random_problem(np.random.default_rng(2000 + seed), sizes=(5, 20))
        rough = craft_quietly(**arguments, max_iter=4)
        fine = craft_quietly(**arguments, tol=1e-9)
        assert rough.lower_bound <= fine.objective
        assert rough.gap >= rough.objective - fine.objective


def test_convexity_and_bound_hold_for_any_feasible_point():
    rng = np.random.default_rng(3)
    for seed in range(12):
        arguments = random_problem(np.random.default_rng(3000 + seed), sizes=(5, 20))
        if arguments["lower"] is not None:
            continue
        result = craft_quietly(**arguments)
        prior = arguments["prior"].pmf
        points = [result.distribution.pmf, prior] + [rng.dirichlet(np.ones(len(prior))) * (prior > 0) for _ in range(4)]
        points = [p / p.sum() for p in points]
        values = [objective(p, arguments) for p in points]
        assert min(values) >= result.lower_bound
        for a in range(len(points)):
            for b in range(a):
                middle = objective((points[a] + points[b]) / 2, arguments)
                assert middle <= (values[a] + values[b]) / 2 + 1e-7 * max(1, abs(middle))


def test_tangent_is_below_everywhere():
    from fastdeg.crafting.problem.frechet_term import FrechetTerm

    rng = np.random.default_rng(0)
    for d, rank in ((1, 1), (3, 3), (3, 1), (6, 4), (14, 14)):
        means, roots = rng.random((30, d)), 0.1 * rng.standard_normal((30, d, d))
        target = rng.standard_normal((d, rank))
        term = FrechetTerm(means, roots @ roots.transpose(0, 2, 1), rng.random(d), target @ target.T)
        p = rng.dirichlet(np.ones(30))
        constant, coefficients = term.tangent(*term.spectrum(term.moments(p)))
        assert abs(constant + coefficients @ p - term.value(p)) < 1e-10 * max(1, term.value(p))
        factor = term.curvature(*term.spectrum(term.moments(p)))
        step = rng.standard_normal(30) * 1e-4 * p
        step -= p * step.sum()
        for other in rng.dirichlet(np.ones(30), 50):
            assert constant + coefficients @ other <= term.value(other) + 1e-10
        second = (term.value(p + step) - 2 * term.value(p) + term.value(p - step)) / 2
        np.testing.assert_allclose(((factor.T @ step) ** 2).sum() / 2, second, rtol=2e-2, atol=1e-13)
