"""The crafting problem: optimality, certificates, arguments."""

import json
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from naive_craft import convex_solver, objective
from problems_craft import random_problem, two_blobs
from problems_grids import split_small_grids

import fastdeg as fd
from fastdeg.crafting import strategy
from fastdeg.crafting.problem.arguments import build

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
    result = craft_quietly(**arguments)
    assert result.converged
    assert 0 <= result.gap <= 1e-6 * max(1, abs(result.objective))
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


@pytest.mark.parametrize(
    "case",
    [
        {},
        {"generalization": 0.0},
        {"wasserstein_weight": 0.0},
        {"bounded": True},
        {"bounded": True, "generalization": 0.0},
    ],
    ids=["plain", "tau 0", "no transport", "bounds", "bounds, tau 0"],
)
@pytest.mark.parametrize("n", [12, 60])
def test_the_optimum_is_that_of_a_general_convex_solver_to_one_in_a_million(n, case):
    rng = np.random.default_rng(n)
    means = rng.random((n, 3))
    roots = 0.15 * rng.standard_normal((n, 3, 3))
    bins = fd.CentroidBins(means, roots @ roots.transpose(0, 2, 1))
    prior = np.full(n, 1 / n)
    bounded = case.get("bounded", False)
    sample = rng.normal(0.4, 0.2, (50, 3))
    arguments = {
        "target": fd.BinnedDistribution(bins, rng.dirichlet(np.full(n, 0.3))),
        "prior": fd.BinnedDistribution(bins, prior),
        "target_moments": (sample.mean(axis=0), np.cov(sample.T, ddof=0)),
        "generalization": case.get("generalization", 0.1),
        "wasserstein_weight": case.get("wasserstein_weight", 1.0),
        "frechet_weight": 1.0,
        "lower": prior * 0.3 if bounded else None,
        "upper": prior * 4 if bounded else None,
        "metric": "euclidean",
    }
    result = craft_quietly(**arguments, tol=1e-8)
    p = np.maximum(convex_solver(arguments), 0)
    rival = objective(p / p.sum(), arguments)
    assert abs(result.objective - rival) <= 1e-6 * max(1, abs(rival))
    assert result.gap >= result.objective - rival - 1e-12


def paper_target(n=24):
    bins = fd.GridBins(fd.DegradationSpace.preset("paper"))
    return fd.BinnedDistribution.from_samples(bins, bins.space.unstandardize(two_blobs(n)))


@pytest.mark.parametrize("bins", ["paper", "grid", "centroids"])
def test_without_generalization_the_target_is_the_answer_at_once(bins, use_strategy):
    if bins == "grid":
        split_small_grids(use_strategy)
    q = centroid_target(60) if bins == "centroids" else paper_target()
    result = craft_quietly(target=q, generalization=0.0)
    assert result.converged
    assert (result.n_iter, result.objective, result.gap) == (
        0,
        pytest.approx(0, abs=1e-12),
        pytest.approx(0, abs=1e-12),
    )
    np.testing.assert_allclose(result.distribution.pmf, q.pmf, atol=1e-15)
    # not so where bounds, or other moments, draw p away from it
    bounded = craft_quietly(target=q, generalization=0.0, upper=0.9 * q.pmf.max())
    mean, covariance = q.moments()
    moved = craft_quietly(target=q, generalization=0.0, target_moments=(mean + 0.1, covariance), frechet_weight=50.0)
    for result in (bounded, moved):
        assert result.converged
        assert result.objective > 1e-6
        assert np.abs(result.distribution.pmf - q.pmf).sum() > 1e-4


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


@pytest.mark.parametrize("zeros", [0.0, 0.6])
def test_mixtures_along_a_path_are_as_general_as_the_crafted(zeros):
    rng = np.random.default_rng(1)
    axes = [fd.Axis.regular("a", 0, 1, 6), fd.Axis.regular("b", 0, 1, 7)]
    bins = fd.GridBins(fd.DegradationSpace(axes))
    pmf = rng.dirichlet(np.ones(42)) * (rng.random(42) >= zeros)
    q, prior = (fd.BinnedDistribution(bins, m) for m in (pmf / pmf.sum(), rng.dirichlet(np.ones(42))))
    path = fd.tradeoff_path(q, prior=prior)
    for k, weight in enumerate(path.mixture_weights):
        mixture = fd.baselines.mixture(q, prior, weight)
        here = mixture.pmf > 0
        kl = mixture.pmf[here] @ np.log(mixture.pmf[here] / prior.pmf[here])
        assert kl == pytest.approx(path.kl_to_prior[k], rel=1e-9, abs=1e-14)
        assert path.mixtures.kl_to_prior[k] == pytest.approx(path.kl_to_prior[k], rel=1e-9, abs=1e-14)
        assert path.mixtures.effective_bins[k] == pytest.approx(mixture.effective_bins(), rel=1e-12)
        overlaps = [np.minimum(mixture.marginal(a), prior.marginal(a)).sum() for a in (0, 1)]
        assert path.mixtures.worst_axis_coverage[k] == pytest.approx(min(overlaps), rel=1e-12)


@pytest.mark.parametrize("metric", ["cityblock", "sqeuclidean"])
@pytest.mark.parametrize("frechet_weight", [0.0, 3.0])
def test_distances_of_mixtures_along_a_path(metric, frechet_weight):
    q = paper_target()
    path = fd.tradeoff_path(q, [0.05, 0.2, 1.0], metric=metric, frechet_weight=frechet_weight)
    prior = fd.BinnedDistribution.uniform(q.bins)
    centers, scales = q.bins.space.standardize(q.bins.centers), q.bins.scales()
    for weight, distance in zip(path.mixture_weights, path.mixtures.distance_to_target, strict=True):
        mixture = fd.baselines.mixture(q, prior, weight)
        moments = [q.bins.moments(pmf) for pmf in (mixture.pmf, q.pmf)]
        scaled = [(mean / scales, covariance / np.outer(scales, scales)) for mean, covariance in moments]
        frechet = fd.frechet_distance(*scaled[0], *scaled[1])
        transport = fd.emd(mixture.pmf, q.pmf, centers, metric=metric).value
        assert abs(distance - (frechet_weight * frechet + transport)) < 1e-12


def test_interior_point_starts_from_an_earlier_result():
    q = centroid_target(300)
    cold = craft_quietly(target=q, generalization=0.1)
    warm = craft_quietly(target=q, generalization=0.1, warm_start=cold)
    assert warm.converged
    assert warm.n_iter < cold.n_iter
    other = craft_quietly(target=centroid_target(200), generalization=0.1, warm_start=cold)  # does not fit: ignored
    assert other.converged


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


def dense_target(n=2000):
    bins = fd.GridBins(
        fd.DegradationSpace(
            [fd.Axis.levels("a", np.arange(12)), fd.Axis.regular("b", 0, 3, 9), fd.Axis.levels("c", [1, 2, 4, 8])]
        )
    )
    return fd.BinnedDistribution.from_samples(bins, bins.space.unstandardize(two_blobs(n)), outside="clip")


@pytest.mark.parametrize("tau", [0.0, 0.01, 0.3])
@pytest.mark.parametrize("bounded", [False, True])
def test_flow_and_plan_agree_on_a_grid(tau, bounded, use_strategy):
    q = dense_target()
    options = {"upper": np.maximum(q.pmf * 0.8, 0.01)} if bounded else {}
    plan = craft_quietly(target=q, generalization=tau, **options)
    split_small_grids(use_strategy)
    flow = craft_quietly(target=q, generalization=tau, tol=1e-5, **options)
    assert plan.converged
    assert flow.converged
    assert flow.objective >= plan.lower_bound - 1e-12
    assert plan.objective >= flow.lower_bound - 1e-12
    assert abs(flow.objective - plan.objective) < 2e-5


def test_flow_keeps_out_of_excluded_bins(use_strategy):
    split_small_grids(use_strategy)
    q = dense_target()
    prior = np.ones(q.n_bins)
    prior[::7] = 0
    prior = fd.BinnedDistribution(q.bins, prior / prior.sum())
    result = craft_quietly(target=q, prior=prior, generalization=0.1, tol=1e-4)
    assert result.converged
    assert (result.distribution.pmf[::7] == 0).all()


def test_same_bits_for_any_number_of_threads(use_strategy):
    split_small_grids(use_strategy)
    use_strategy(serial_cells=0)  # threads even here
    bins = fd.GridBins(fd.DegradationSpace.preset("dense"))
    q = fd.BinnedDistribution.from_samples(bins, bins.space.unstandardize(two_blobs(2000)), outside="clip")
    results = [craft_quietly(target=q, generalization=0.1, max_iter=120, tol=0.0, threads=t) for t in (1, 2, 3, 7)]
    for result in results[1:]:
        assert result.n_iter == 120
        assert result.distribution.pmf.tobytes() == results[0].distribution.pmf.tobytes()
        assert result.lower_bound == results[0].lower_bound


def test_newton_in_the_moments_agrees_with_the_interior_point():
    q = dense_target()
    for tau in (0.001, 0.1):
        interior = craft_quietly(target=q, generalization=tau, wasserstein_weight=0, tol=1e-9)
        with strategy.using(moment_newton_bins=10):
            newton = craft_quietly(target=q, generalization=tau, wasserstein_weight=0, tol=1e-9)
        assert newton.converged
        assert abs(newton.objective - interior.objective) < 2e-9


def test_feature_space_moments():
    rng = np.random.default_rng(0)
    q = paper_target()
    means = rng.standard_normal((75, 64))
    roots = rng.standard_normal((75, 64, 5))
    covs = roots @ roots.transpose(0, 2, 1)
    mean, cov = q.pmf @ means, np.cov(rng.standard_normal((40, 64)).T, ddof=0)
    result = craft_quietly(
        target=q, bin_moments=(means, covs), target_moments=(mean, cov), frechet_weight=0.01, generalization=0.1
    )
    assert result.converged
    with pytest.raises(ValueError, match=r"bin_moments\[0\]: expected .* D >= 1, got D = 0"):
        fd.craft(q, bin_moments=(means[:, :0], covs[:, :0, :0]), target_moments=(mean[:0], cov[:0, :0]))
    with pytest.raises(ValueError, match="target_moments"):
        fd.craft(q, bin_moments=(means, covs))


def test_progress_rises_and_an_interrupt_carries_the_best_point(use_strategy):
    use_strategy(steps_of_arcs=0)  # as large problems: four steps at a time
    seen = []
    craft_quietly(target=paper_target(), generalization=0.1, progress=lambda done, message: seen.append(done))
    assert seen[-1] == 1
    assert 0 <= seen[0] < 1

    def interrupt(done, message):
        if seen:
            raise KeyboardInterrupt
        seen.append(done)

    seen.clear()
    with pytest.raises(KeyboardInterrupt) as caught:
        craft_quietly(target=paper_target(), generalization=0.1, progress=interrupt)
    best = caught.value.result
    assert not best.converged
    assert abs(best.distribution.pmf.sum() - 1) < 1e-12
    assert np.isfinite(best.gap)


def test_warm_start_saves_iterations(use_strategy):
    split_small_grids(use_strategy)
    q = dense_target()
    cold = craft_quietly(target=q, generalization=3.0, tol=1e-5)
    warm = craft_quietly(target=q, generalization=3.0, tol=1e-5, warm_start=cold)
    assert warm.converged
    assert warm.n_iter < cold.n_iter


def test_limits_end_with_a_valid_bound():
    result = craft_quietly(target=paper_target(), generalization=0.1, max_iter=2)
    assert not result.converged
    assert result.n_iter == 2
    exact = craft_quietly(target=paper_target(), generalization=0.1, tol=1e-9)
    assert result.lower_bound <= exact.objective <= result.objective


def test_forced_pmf():
    q = paper_target()
    weights = np.random.default_rng(0).dirichlet(np.ones(75))
    result = craft_quietly(target=q, lower=weights, upper=weights, generalization=0.1)
    assert result.converged
    np.testing.assert_allclose(result.distribution.pmf, weights, atol=1e-9)


def centroid_target(n, seed=0):
    """Dense q over n centroids: samples of two blobs, and a fifth of a random pmf."""
    rng = np.random.default_rng(seed)
    bins = fd.CentroidBins(rng.random((n, 3)), np.broadcast_to(1e-3 * np.eye(3), (n, 3, 3)))
    q = fd.BinnedDistribution.from_samples(bins, two_blobs(500, seed=seed))
    return fd.BinnedDistribution(bins, 0.8 * q.pmf + 0.2 * rng.dirichlet(np.ones(n)))


@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean", "cityblock", "chebyshev"])
@pytest.mark.parametrize("tau", [0.0, 0.01, 0.3])
@pytest.mark.parametrize("bounded", [False, True])
def test_few_arcs_and_all_arcs_agree(metric, tau, bounded, use_strategy):
    q = centroid_target(250)
    options = {"upper": np.maximum(q.pmf * 0.8, 0.008)} if bounded else {}
    few = craft_quietly(target=q, metric=metric, generalization=tau, tol=1e-7, **options)
    use_strategy(arcs_at_once=10**9)
    every = craft_quietly(target=q, metric=metric, generalization=tau, tol=1e-7, **options)
    assert few.converged
    assert every.converged
    assert few.objective >= every.lower_bound
    assert every.objective >= few.lower_bound
    assert abs(few.objective - every.objective) <= 1e-7 * max(1, abs(every.objective))


def test_few_arcs_suffice_on_the_way(use_strategy):
    from fastdeg.crafting.interior.multilevel import MultilevelInteriorPoint

    seen = []

    class Counting(MultilevelInteriorPoint):
        def advance(self, *arguments):
            seen.append(len(self.arcs.sink))
            return super().advance(*arguments)

    use_strategy(rows=(strategy.Row(Counting, "", "", ""),))
    assert craft_quietly(target=centroid_target(400), generalization=0.1).converged
    assert max(seen) < 12 * 400  # of 400 × 400


def test_sparse_and_dense_laplacians_agree(use_strategy):
    q = centroid_target(300)
    dense = craft_quietly(target=q, generalization=0.1, tol=1e-9)
    use_strategy(sparse_sinks=10)
    sparse = craft_quietly(target=q, generalization=0.1, tol=1e-9)
    assert dense.converged
    assert sparse.converged
    assert abs(sparse.objective - dense.objective) <= 1e-9


def test_compiled_and_single_phases_agree():
    for q, bounds in ((paper_target(), {}), (centroid_target(150), {"upper": 0.05})):
        whole = craft_quietly(target=q, generalization=0.1, tol=1e-9, **bounds)
        with strategy.using(compiled_sinks=0):
            phases = craft_quietly(target=q, generalization=0.1, tol=1e-9, **bounds)
        assert whole.converged
        assert phases.converged
        assert abs(whole.n_iter - phases.n_iter) <= 1
        np.testing.assert_allclose(whole.distribution.pmf, phases.distribution.pmf, atol=1e-6)


def test_moments_in_128_dimensions():
    rng = np.random.default_rng(5)
    for n, rank in ((40, 128), (40, 10)):
        centers = rng.random((n, 2))
        means = np.tanh(centers @ rng.normal(size=(2, 128)))
        factors = 0.1 * rng.normal(size=(n, 128, rank))
        covs = factors @ factors.transpose(0, 2, 1)
        q = fd.BinnedDistribution(fd.CentroidBins(centers), rng.dirichlet(np.ones(n)))
        root = rng.normal(size=(128, rank))
        target = means[:5].mean(axis=0), 0.05 * root @ root.T
        result = craft_quietly(target=q, bin_moments=(means, covs), target_moments=target, generalization=0.1)
        assert result.converged
        p = result.distribution.pmf
        mean = p @ means
        deviations = means - mean
        cov = np.einsum("i,iab->ab", p, covs) + (deviations * p[:, None]).T @ deviations
        # from the factor of the target's covariance, since the root of a singular one magnifies its rounding
        roots = np.sqrt(np.linalg.eigvalsh(0.05 * root.T @ cov @ root))
        expected = ((mean - target[0]) ** 2).sum() + np.trace(cov) + np.trace(target[1]) - 2 * roots.sum()
        assert abs(result.terms["frechet"] - expected) <= 1e-12 * expected


def test_eigenvectors_of_small_matrices():
    from fastdeg.kernels.crafting.frechet_term import symmetric_eigen

    rng = np.random.default_rng(0)
    for k in (1, 2, 3, 6, 12):
        for scale in (1.0, 1e-200):
            factor = rng.normal(size=(k, k)) * 10.0 ** rng.uniform(-8, 0, k)
            matrix = scale * (factor @ factor.T)
            values, vectors = np.empty(k), np.empty((k, k))
            symmetric_eigen(matrix.copy(), values, vectors)
            assert (np.diff(values) >= 0).all()
            np.testing.assert_allclose(vectors.T @ vectors, np.eye(k), atol=1e-13)
            np.testing.assert_allclose((vectors * values) @ vectors.T, matrix, rtol=0, atol=1e-14 * matrix.max())


def test_same_bits_for_any_number_of_threads_on_centroids():
    q = centroid_target(1200)  # large enough for the pricing to run in parallel
    results = [craft_quietly(target=q, generalization=0.1, tol=1e-3, threads=t) for t in (1, 2, 3, 7)]
    for result in results[1:]:
        assert result.distribution.pmf.tobytes() == results[0].distribution.pmf.tobytes()
        assert result.lower_bound == results[0].lower_bound


@pytest.mark.slow
def test_robustness_sweep():
    failed = 0
    for seed in range(5000, 5300):
        arguments = random_problem(np.random.default_rng(seed))
        result = craft_quietly(**arguments)
        assert feasible(result.distribution.pmf, arguments), seed
        assert result.gap >= 0
        failed += not result.converged
    assert failed <= 6


def test_degradation_distance_is_symmetric_and_zero_on_the_diagonal():
    q, p = paper_target(24), paper_target(200)
    there, back = fd.degradation_distance(p, q), fd.degradation_distance(q, p)
    assert there > 0
    assert abs(there - back) < 1e-12
    assert abs(fd.degradation_distance(p, p)) < 1e-12
    assert fd.degradation_distance(p, q, wasserstein_weight=0, frechet_weight=0) == 0


def test_baselines():
    q = paper_target()
    prior = fd.BinnedDistribution.uniform(q.bins)
    mixed = fd.baselines.mixture(q, prior, 0.3)
    np.testing.assert_allclose(mixed.pmf, 0.7 * q.pmf + 0.3 * prior.pmf, rtol=1e-14)
    weights = fd.baselines.closed_form_weights([3.0, 1.0, 2.0], alpha=25)
    expected = np.array([0.0, np.e - 1, np.expm1(0.5**25)])
    np.testing.assert_allclose(weights, expected / expected.sum(), rtol=1e-12)
    np.testing.assert_array_equal(fd.baselines.closed_form_weights([2.0, 2.0]), [0.5, 0.5])
    with pytest.raises(ValueError, match="distances"):
        fd.baselines.closed_form_weights([-1.0, 2.0])


def test_entropic_prox_solves_its_equation():
    from fastdeg.kernels.crafting.admm import omega, omega_step
    from fastdeg.kernels.linalg.elementary import positive_log

    rng = np.random.default_rng(0)
    values = 10.0 ** rng.uniform(-300, 300, 10_000)
    logs = np.array([positive_log(v) for v in values])
    np.testing.assert_allclose(logs, np.log(values), rtol=3e-16)
    for x in np.concatenate((rng.uniform(-690, 1000, 1000), rng.normal(0, 3, 1000))):
        w = omega(x)
        assert abs(w + np.log(w) - x) <= 1e-14 * max(1, abs(x))
        near = w * (1 + rng.uniform(-0.02, 0.02) / (1 + w))
        step, residual = omega_step(near, x)
        assert abs(step - w) <= (0.015 * residual**4 + 1e-15 * max(1, abs(x))) * w


def test_given_bin_moments_are_no_business_of_the_flow(use_strategy):
    q = dense_target()
    rng = np.random.default_rng(0)
    means, covs = rng.standard_normal((q.n_bins, 5)), np.broadcast_to(0.1 * np.eye(5), (q.n_bins, 5, 5))
    options = {"bin_moments": (means, covs), "target_moments": (q.pmf @ means, np.eye(5) / 2), "generalization": 0.1}
    plan = craft_quietly(target=q, **options)
    split_small_grids(use_strategy)
    assert craft_quietly(target=q, **options).objective == pytest.approx(plan.objective, abs=1e-6)


def test_flow_on_a_line(use_strategy):
    bins = fd.GridBins(fd.DegradationSpace([fd.Axis.regular("a", 0, 3, 40)]))
    q = fd.BinnedDistribution(bins, np.random.default_rng(0).dirichlet(np.ones(40)))
    plan = craft_quietly(target=q, generalization=0.1)
    split_small_grids(use_strategy)
    flow = craft_quietly(target=q, generalization=0.1)
    assert flow.converged
    assert abs(flow.objective - plan.objective) < 2e-6


def test_the_target_itself_is_certified_at_once_without_generalisation(use_strategy):
    split_small_grids(use_strategy)
    q = dense_target()
    result = craft_quietly(target=q, generalization=0.0, tol=1e-12)
    assert result.converged
    assert result.n_iter == 0
    np.testing.assert_allclose(result.distribution.pmf, q.pmf, atol=1e-15)


def test_convexity_and_bound_on_a_grid(use_strategy):
    q = dense_target()
    rng = np.random.default_rng(0)
    split_small_grids(use_strategy)
    result = craft_quietly(target=q, generalization=0.1)
    prior = np.full(q.n_bins, 1 / q.n_bins)

    def value(p):
        p = fd.BinnedDistribution(q.bins, p)
        return fd.degradation_distance(p, q, metric="cityblock") + 0.1 * (
            p.pmf @ np.log(np.maximum(p.pmf, 1e-300) / prior)
        )

    points = [result.distribution.pmf, prior, *rng.dirichlet(np.ones(q.n_bins), 3)]
    points += [0.9 * result.distribution.pmf + 0.1 * p for p in points[1:]]
    values = [value(p) for p in points]
    assert abs(values[0] - result.objective) < 1e-9
    assert min(values) >= result.lower_bound
    for a in range(len(points)):
        for b in range(a):
            assert value((points[a] + points[b]) / 2) <= (values[a] + values[b]) / 2 + 1e-9


def test_terms_of_a_grid_are_those_of_its_cells_one_by_one():
    from fastdeg.crafting.problem.frechet_term import FrechetTerm
    from fastdeg.crafting.problem.frechet_term_grid import GridFrechetTerm

    rng = np.random.default_rng(0)
    for sizes, rank in (((5, 4, 3), 3), ((7,), 1), ((4, 6), 1)):
        coordinates = [np.sort(rng.random(n)) for n in sizes]
        variances = [0.01 * rng.random(n) for n in sizes]
        cells = np.stack(np.meshgrid(*coordinates, indexing="ij"), -1).reshape(-1, len(sizes))
        within = np.stack(np.meshgrid(*variances, indexing="ij"), -1).reshape(-1, len(sizes))
        root = rng.standard_normal((len(sizes), rank)) / 3
        mean, p = rng.random(len(sizes)), rng.dirichlet(np.ones(len(cells)))
        dense = FrechetTerm(cells, within, mean, root @ root.T)
        grid = GridFrechetTerm(coordinates, variances, mean, root @ root.T)
        assert grid.value(p) == pytest.approx(dense.value(p), abs=1e-12)
        for term in (dense, grid):
            features = term.features(np.arange(len(cells)))
            np.testing.assert_allclose(features, np.concatenate((term.first, term.second), axis=1))
            np.testing.assert_allclose(term.moments(p), p @ features, atol=1e-14)
            np.testing.assert_allclose(term.second_moments(p), features.T @ (p[:, None] * features), atol=1e-14)
        spectra = [term.tangent(*term.spectrum(term.moments(p))) for term in (dense, grid)]
        np.testing.assert_allclose(spectra[0][1] + spectra[0][0], spectra[1][1] + spectra[1][0], atol=1e-11)
        np.testing.assert_allclose(grid.linear, dense.linear, atol=1e-13)


@pytest.mark.parametrize("shape", [(50, 7, 9), (600,), (3, 1, 300, 41, 1)])
def test_the_laplacian_is_diagonal_in_the_cosine_transform(shape):
    from fastdeg.crafting.grid.spectral import cosine_transform, laplacian_spectrum

    rng = np.random.default_rng(0)
    weights, x = rng.random(len(shape)), rng.standard_normal(int(np.prod(shape)))
    expected, cells = np.zeros(shape), x.reshape(shape)
    for k, weight in enumerate(weights):
        differences = weight * np.diff(cells, axis=k)
        out = np.moveaxis(expected, k, 0)
        out[:-1] -= np.moveaxis(differences, k, 0)
        out[1:] += np.moveaxis(differences, k, 0)
    for threads in (1, 2):
        image = x.copy()
        cosine_transform(image, shape, threads)
        image *= laplacian_spectrum(shape, weights)
        cosine_transform(image, shape, threads, inverse=True)
        np.testing.assert_allclose(image, expected.ravel(), atol=1e-12)


def test_time_limit_is_kept(use_strategy):
    split_small_grids(use_strategy)
    q = dense_target()
    result = craft_quietly(target=q, generalization=0.1, tol=0.0, max_iter=10**6, time_limit=0.3)
    assert (result.history["seconds"][:-1] < 0.3).all()  # the certificate that is past the limit is the last one
    assert 0 < result.n_iter < 10**6
    assert not result.converged
    assert result.lower_bound <= result.objective


def test_a_further_term_is_one_block_with_its_prox_and_its_bound(use_strategy):
    """A quadratic pull of one marginal towards given shares, added to the splitting from outside."""
    from fastdeg._threads import single_blas_thread
    from fastdeg.crafting.grid.admm import GridSplitting
    from fastdeg.crafting.grid.admm_blocks import Term
    from fastdeg.crafting.problem.frechet_term_grid import RowQuadratics
    from fastdeg.crafting.solve import solve

    class Marginal(Term):
        def __init__(self, transport, axis, shares, strength):
            index = np.indices(transport.shape[:-1])[axis].ravel()  # of each row; the last axis is along the rows
            indicators = (index[:, None] == np.arange(len(shares))).astype(float)
            none, x = np.zeros_like(indicators), np.asarray(transport.coordinates[-1])
            features = RowQuadratics(x, np.zeros_like(x), indicators, none, np.zeros(len(shares)))
            super().__init__(features, np.full(len(shares), 1 / len(shares)), features.gram())
            self.shares, self.strength = shares, strength

        def minimum(self, s):
            system = self.strength * np.eye(len(s)) + self.metric
            return np.linalg.solve(system, self.strength * self.shares + self.metric @ s)

        def cost(self, z):
            return float(self.strength / 2 * ((z - self.shares) ** 2).sum())

        def bound(self, slope):
            return -float(slope @ self.shares + (slope**2).sum() / (2 * self.strength))

    split_small_grids(use_strategy)
    q = dense_target()
    problem = build(q, None, None, None, 1.0, 1.0, None, None, None, None).problem.with_tau(0.05)
    transport = problem.transport
    n = transport.shape[0]
    shares = np.random.default_rng(0).dirichlet(np.full(n, 5.0))
    errors = []
    for strength in (0.1, 100.0):
        term = Marginal(transport, 0, shares, strength)

        class WithTerm(GridSplitting):
            def __init__(self, problem, run, term=term):
                super().__init__(problem, run, [term])

        use_strategy(rows=(strategy.Row(WithTerm, "", "", ""),))
        with single_blas_thread():
            solution = solve(problem, tol=1e-6, max_iter=10_000)
        assert solution.closed(1e-6)
        assert solution.gap > -1e-12
        marginal = transport.embed(solution.p).reshape(n, -1).sum(axis=1)
        errors.append(np.abs(marginal - shares).sum())
    assert errors[1] < 0.02 < errors[0]


def test_peak_memory_of_a_dense_grid_stays_below_half_a_gigabyte():
    arguments = ["--one", '["dense", 2000, 0.1]']
    command = [sys.executable, "-m", "bench.crafting_large", *arguments]
    root = Path(__file__).resolve().parent.parent
    row = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, cwd=root).stdout)
    assert row["gap"] <= 1e-6
    assert row["peak"] < 0.5


def test_an_interrupted_flow_carries_the_best_point_too(use_strategy):
    split_small_grids(use_strategy)
    seen = []

    def interrupt(done, message):
        seen.append(message)
        if len(seen) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        craft_quietly(target=dense_target(), generalization=3.0, tol=0.0, progress=interrupt)
    best = caught.value.result
    assert best.n_iter == 32 + 25  # polished after 32, then looked at every 25
    assert not best.converged
    assert 0 < best.gap < 0.1
    exact = craft_quietly(target=dense_target(), generalization=3.0)
    assert best.lower_bound <= exact.objective
    assert exact.lower_bound <= best.objective


def test_a_flow_starts_from_that_of_a_near_generalization(use_strategy):
    split_small_grids(use_strategy)
    q = dense_target()
    near = craft_quietly(target=q, generalization=3.0)
    cold, warm = (craft_quietly(target=q, generalization=3.1, warm_start=start) for start in (None, near))
    assert warm.converged
    assert abs(warm.objective - cold.objective) < 2e-6
    assert warm.n_iter < cold.n_iter


@pytest.mark.parametrize("shape", [(7,), (1, 3), (5, 4), (3, 45, 30), (4, 1, 1200), (2, 3, 4, 5)])
@pytest.mark.parametrize("tau", [0.0, 0.3])
def test_reflections_of_grids_cut_into_blocks(shape, tau):
    """Against NumPy: the prox of p by bisection, the divergence by differences along the axes."""
    from fastdeg.kernels.crafting import admm

    rng = np.random.default_rng(0)
    n_cells, n_axes = int(np.prod(shape)), len(shape)
    target, state, push, prior = rng.random((4, n_cells))
    lower, upper = 0.2 * rng.random(n_cells), 0.2 + 0.6 * rng.random(n_cells)
    steps, inverse_rates = rng.random((n_axes, max(shape))), rng.random(n_axes)
    flows = rng.normal(size=(n_axes, *shape))
    for k in range(n_axes):
        np.moveaxis(flows[k], k, 0)[-1] = 0.0  # nothing flows beyond the end
    x = rng.random(shape[-1])
    y, right, sums = rng.random(n_cells), np.empty(n_cells), np.empty((n_cells // shape[-1], 3))
    term = admm.PmfTerm(target, np.log(prior), tau, lower, upper, push)
    flow = admm.Flow(np.array(shape), steps, inverse_rates, flows.reshape(n_axes, -1))
    admm.reflect(term, state, y, x, x**2, flow, right, sums, threads=1)
    low, high = np.full(n_cells, 1e-300), np.full(n_cells, 10.0)
    for _ in range(200):
        middle = (low + high) / 2
        rising = tau * (np.log(middle / prior) + 1) + push + middle - state > 0
        low, high = np.where(rising, low, middle), np.where(rising, middle, high)
    expected = np.clip(low, lower, upper)
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-7)  # one step from a near guess is exact to 1e-9
    reflected = 2 * y - state
    rows = reflected.reshape(-1, shape[-1])
    np.testing.assert_allclose(sums, np.stack((rows.sum(1), rows @ x, rows @ x**2), axis=1), atol=1e-13)

    def divergence():
        total = np.zeros(shape)
        for k in range(n_axes):
            m, out = np.moveaxis(flows[k], k, 0)[:-1], np.moveaxis(total, k, 0)
            threshold = (steps[k, : shape[k] - 1] * inverse_rates[k]).reshape(-1, *(1,) * (n_axes - 1))
            m = m - 2 * np.clip(m, -threshold, threshold)
            out[:-1] += m
            out[1:] -= m
        return total.ravel()

    np.testing.assert_allclose(right, reflected - target - divergence(), atol=1e-13)
