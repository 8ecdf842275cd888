"""Every kernel is reached, on inputs so small that this runs without the JIT too; answers are those of plain oracles.

The CI runs it with bounds checks, uncompiled, and with the lowest supported versions too.
"""

import importlib
import os
import pkgutil
import sys
import threading
import types

import numpy as np
import pytest
from naive_measure import (
    farthest_points,
    frechet,
    frechet_from_factors,
    label_moments,
    moments,
    nearest_center,
    squared_distances,
)
from naive_transport import emd_1d, emd_by_linear_program, sinkhorn_plan
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.distance import cdist

import fastdeg as fd
import fastdeg.kernels
from fastdeg import njit
from fastdeg.crafting import strategy
from fastdeg.forecast.features import N_FEATURES, complete, fill
from fastdeg.images import dct_features
from fastdeg.images.features import jpeg_grid_offset, luma_features
from fastdeg.moments import merge, partial_moments
from fastdeg.references import coverage

pytestmark = [
    # compiled code does what IEEE says of ∞ − ∞ in silence, NumPy's scalars warn of it
    pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore:the crafted distribution is all but"),
]

METRICS = ("euclidean", "sqeuclidean", "cityblock", "chebyshev")


@pytest.fixture(scope="module", autouse=True)
def reached():
    """The code of all functions of the kernels that are called, where they are called as Python."""
    codes: set[types.CodeType] = set()

    def note(frame, event, argument):
        if event == "call" and "kernels" in frame.f_code.co_filename:
            codes.add(frame.f_code)

    if UNCOMPILED:
        sys.setprofile(note)
        threading.setprofile(note)
    yield codes
    sys.setprofile(None)
    threading.setprofile(None)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


UNCOMPILED = os.environ.get("NUMBA_DISABLE_JIT") == "1"
ONLY_LARGE = "kernels.transport.network.subtrees"  # for thousands of points: compiled alone
ELSEWHERE = {
    "fastdeg.kernels.images.jpeg_quality.steps_of_quality": "called as its module is loaded",
    "fastdeg.kernels.transport.network.simplex.search_to_the_end": "what compiled callers have in place of a driver",
}


def space_of(*counts):
    names = zip(("blur_sigma", "noise_sigma", "jpeg_quality"), counts, strict=False)
    return fd.DegradationSpace([fd.Axis.regular(name, 0, 90, n) for name, n in names])


@pytest.mark.parametrize("counts", [(4,), (4, 3), (4, 3, 2)])
def test_grids(rng, counts):
    space = space_of(*counts)
    bins = fd.GridBins(space)
    samples = space.unstandardize(rng.random((60, space.ndim)))
    cells = (samples / 90 * counts).astype(int)
    labels = np.ravel_multi_index(tuple(cells.T), counts)
    assert_array_equal(bins.assign(samples), labels)
    expected = np.bincount(labels, minlength=bins.n_bins)
    assert_array_equal(bins.histogram(samples), expected)
    assert_allclose(fd.BinnedDistribution.from_samples(bins, samples).pmf, expected / 60, rtol=1e-14)


def test_uneven_cells_and_levels(rng):
    edges, levels = np.array([0.0, 0.5, 0.7, 3.0]), np.array([1.0, 2.0, 4.0])
    space = fd.DegradationSpace([fd.Axis.edges("a", edges), fd.Axis.levels("b", levels)])
    samples = np.c_[rng.uniform(0, 3, 50), rng.choice(levels, 50)]
    cells = np.searchsorted(edges, samples[:, 0], "right") - 1
    assert_array_equal(fd.GridBins(space).assign(samples), 3 * cells + np.searchsorted(levels, samples[:, 1]))


@pytest.mark.parametrize(("n", "d", "n_centers"), [(60, 2, 4), (2_000, 2, 60), (80, 12, 20)])
def test_nearest_centres(rng, n, d, n_centers):
    samples, centers = rng.random((n, d)), rng.random((n_centers, d))
    centers[1] = centers[0]  # a tie
    samples[0] = centers[0]
    for x in (samples, samples.astype(np.float32)):
        assert_array_equal(fd.CentroidBins(centers).assign(x), nearest_center(x, centers))


@pytest.mark.parametrize("d", [2, 3, 5])
def test_moments(rng, d):
    x, weights, labels = rng.normal(size=(50, d)), rng.random(50), rng.integers(0, 4, 50)
    for given, expected in zip(fd.weighted_moments(x, weights), moments(x, weights), strict=True):
        assert_allclose(given, expected.astype(np.float64), atol=1e-14)
    ours = fd.weighted_moments(x, weights, labels=labels, n_bins=4)
    for given, expected in zip(ours, label_moments(x, labels, 4, weights), strict=True):
        assert_allclose(given, expected, atol=1e-14)
    whole = merge(partial_moments(x[:20]), partial_moments(x[20:]))
    assert_allclose(whole.covariance, np.cov(x.T, ddof=0), atol=1e-14)


@pytest.mark.parametrize("n", [6, 300])
@pytest.mark.parametrize("d", [1, 2, 3, 5])
def test_frechet(rng, n, d):
    factors, means = rng.normal(size=(n, d, d)), rng.normal(size=(n, d))
    covs = factors @ factors.swapaxes(1, 2)
    expected = [frechet(mean, cov, means[0], covs[0]) for mean, cov in zip(means, covs, strict=True)]
    assert_allclose(fd.frechet_distances(means, covs, means[0], covs[0], squared=True), expected, atol=1e-6)


def test_frechet_of_singular_covariances(rng):
    means, factors, target = rng.normal(size=(3, 5)), rng.normal(size=(3, 5, 5)), rng.normal(size=(5, 2))
    covs = factors @ factors.swapaxes(1, 2)
    expected = [frechet_from_factors(m, f, means[0], target) for m, f in zip(means, factors, strict=True)]
    assert_allclose(fd.frechet_distances(means, covs, means[0], target @ target.T), expected, atol=1e-10)


@pytest.mark.parametrize("d", [2, 40])
def test_diverse_points(rng, d):
    x = rng.normal(size=(60, d))
    chosen = fd.farthest_points(x, 8)
    assert_array_equal(chosen, farthest_points(x, 8))
    far = np.sqrt(squared_distances(x, x[chosen]).min(axis=1))
    assert_allclose(coverage(x, chosen), [far.mean(), far.max()], rtol=1e-12)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("n", "m"), [(12, 12), (160, 12), (150, 130)])
def test_transport(rng, metric, n, m):
    x, y = rng.random((n, 2)), rng.random((m, 2))
    a, b = rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(m))
    cost = cdist(x, y, metric)
    expected = emd_by_linear_program(a, b, cost)
    assert_allclose(fd.emd(a, b, x, y, metric=metric).value, expected, atol=1e-7)
    assert_allclose(fd.emd(a, b, cost=cost).value, expected, atol=1e-7)


@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean"])
def test_many_transports_at_once(rng, metric):
    x, p = rng.random((9, 2)), rng.dirichlet(np.full(9, 0.4), 3)
    expected = [[emd_by_linear_program(a, b, cdist(x, x, metric)) for b in p] for a in p]
    assert_allclose(fd.emd_many(p, x=x, metric=metric), expected, atol=1e-7)
    assert_allclose(fd.emd_many(p, p, x, metric=metric), expected, atol=1e-7)


def test_transport_of_many_rows_to_few_columns(rng):
    cost = rng.random((700, 16))
    a, b = rng.dirichlet(np.ones(700)), rng.dirichlet(np.ones(16))
    assert_allclose(fd.emd(a, b, cost=cost).value, emd_by_linear_program(a, b, cost), atol=1e-7)


@pytest.mark.skipif(UNCOMPILED, reason="takes minutes uncompiled")
def test_transport_of_many_points(rng):
    x, y = rng.random((3_000, 2)), rng.random((2_500, 2))
    masses = rng.dirichlet(np.ones(3_000)), rng.dirichlet(np.ones(2_500))
    result = fd.emd(*masses, x, y)
    assert result.relative_gap < 1e-9


def test_references(rng):
    bins = fd.GridBins(space_of(3, 2))
    labels = rng.integers(0, 6, 40)
    target = fd.BinnedDistribution.uniform(bins)
    chosen = fd.select_references(rng.normal(size=(40, 5)), labels, target, n_references=6)
    assert len(set(chosen.indices)) == 6


def test_transport_on_grids_and_on_the_line(rng):
    a, b = rng.dirichlet(np.ones(24), 2)
    points = np.argwhere(np.ones((6, 4))).astype(float)
    expected = emd_by_linear_program(a, b, cdist(points, points, "cityblock"))
    assert_allclose(fd.emd_grid(a.reshape(6, 4), b.reshape(6, 4)).value, expected, atol=1e-7)
    large = rng.dirichlet(np.ones(240), 2).reshape(2, 20, 12)
    points = np.argwhere(np.ones((20, 12))).astype(float)
    ours, plain = fd.emd_grid(*large), fd.emd(*large.reshape(2, -1), points, metric="cityblock")
    assert_allclose(ours.value, plain.value, rtol=1e-9)
    x, y = rng.random(9), rng.random(7)
    assert_allclose(fd.emd_1d(x, y), emd_1d(x, y, np.ones(9), np.ones(7), 1), atol=1e-14)
    weights = rng.random(9), rng.random(7)
    assert_allclose(fd.emd_1d(x, y, *weights), emd_1d(x, y, *weights, 1), atol=1e-14)


@pytest.mark.parametrize("reg", [0.5, 0.002])
def test_sinkhorn(rng, reg):
    a, b, x, y = rng.dirichlet(np.ones(7)), rng.dirichlet(np.ones(5)), rng.random((7, 2)), rng.random((5, 2))
    ours = fd.sinkhorn(a, b, x, y, reg=reg, tol=1e-10)
    assert_allclose(ours.plan, sinkhorn_plan(a, b, cdist(x, y), reg, 4000), atol=1e-7)
    p, q = rng.dirichlet(np.ones(12), 2).reshape(2, 4, 3)
    on_grid = fd.sinkhorn(p, q, [np.arange(4.0), np.arange(3.0)], metric="cityblock", reg=reg, max_iter=2_000)
    points = np.argwhere(np.ones((4, 3))).astype(float)
    general = fd.sinkhorn(p.ravel(), q.ravel(), points, metric="cityblock", reg=reg, max_iter=2_000)
    assert_allclose(on_grid.value, general.value, rtol=1e-6)


FORCED = {
    "interior point": {"rows": strategy.TABLE[-1:], "compiled_sinks": 0},
    "its compiled steps": {"rows": strategy.TABLE[-1:]},
    "coarse to fine": {"arcs_at_once": 200, "compiled_sinks": 0, "sparse_sinks": 2},
    "splitting and active set": {"plan_arcs": 0, "plan_sinks": 0, "near_target_cells": 0},
    "active set of the target": {"plan_arcs": 0, "plan_sinks": 0},
    "splitting": {"plan_arcs": 0, "plan_sinks": 0, "near_target_cells": 0, "exact_bins": 0},
}


@pytest.mark.parametrize("generalization", [0.02, 0.2, 20.0])
@pytest.mark.parametrize("sparse", [True, False])
def test_crafting_by_every_method(rng, sparse, generalization):
    bins = fd.GridBins(space_of(4, 3, 2))
    masses = rng.multinomial(9, np.full(24, 1 / 24)) / 9 if sparse else rng.dirichlet(np.full(24, 0.3))
    target = fd.BinnedDistribution(bins, masses)
    crafted = fd.craft(target, generalization=generalization)
    assert crafted.converged
    for name, forced in FORCED.items():
        with strategy.using(**forced):
            other = fd.craft(target, generalization=generalization, tol=1e-4)
        assert other.converged, name
        assert_allclose(other.objective, crafted.objective, atol=2e-4, err_msg=name)


def test_crafting_without_transport_and_with_bounds(rng):
    bins = fd.GridBins(space_of(4, 3, 2))
    target = fd.BinnedDistribution(bins, rng.dirichlet(np.full(24, 0.3)))
    for options in ({"wasserstein_weight": 0.0}, {"upper": 0.3}):
        crafted = fd.craft(target, generalization=0.1, **options)
        with strategy.using(moment_newton_bins=0, plan_arcs=0, plan_sinks=0):
            other = fd.craft(target, generalization=0.1, tol=1e-4, **options)
        assert crafted.converged
        assert other.converged
        assert_allclose(other.objective, crafted.objective, atol=2e-4)


@pytest.mark.parametrize("sparse", [True, False])
def test_paths(rng, sparse):
    masses = np.eye(12)[[1, 1, 7]].mean(axis=0) if sparse else rng.dirichlet(np.full(12, 0.3))
    target = fd.BinnedDistribution(fd.GridBins(space_of(4, 3)), masses)
    path = fd.tradeoff_path(target, [0.01, 0.1, 1.0])
    with strategy.using(plan_arcs=0, plan_sinks=0):
        by_flows = fd.tradeoff_path(target, [0.01, 0.1, 1.0])
        assert all(result.converged for result in fd.tradeoff_path(target).results)
    assert_allclose(by_flows.kl_to_prior, path.kl_to_prior, atol=1e-3)


@pytest.mark.parametrize("size", [32, 72])
def test_images(rng, size):
    image = rng.integers(0, 256, (size, size, 3), np.uint8)
    assert np.isfinite(dct_features(image)).all()
    cropped = fd.degrade(image, jpeg_quality=30)[3:, 5:]
    assert jpeg_grid_offset(cropped.mean(axis=2, dtype=np.float32)) == (5, 3)


def test_directions(rng):
    """Of noise smoothed along one diagonal, gradients along the other one are the stronger ones, on every scale."""
    noise = rng.integers(0, 256, (26, 26)).astype(np.float32)
    smoothed = np.mean([noise[k : k + 20, k : k + 20] for k in range(6)], axis=0)
    planes = np.ascontiguousarray(np.stack([smoothed, smoothed[:, ::-1]]), np.float32)
    along, across = luma_features(planes, directions=True)[:, -50:].reshape(2, 5, 5, 2)[..., 0]
    assert (along[:, -1] < -0.3).all()
    assert_allclose(across, -along, atol=0.2)


@pytest.mark.parametrize("history", [None, "photo"])
def test_the_estimator(rng, history):
    clean = [np.clip(rng.normal(128, 40, (64, 64, 3)), 0, 255).astype(np.uint8) for _ in range(2)]
    bins = fd.GridBins(space_of(2, 2))
    settings = {"downsampling": 2, "n_samples": 50, "patch_size": 16}
    estimator = fd.DegradationEstimator(bins, **settings, history=history).fit(clean)
    assert_allclose(estimator.estimate([image[::2, ::2] for image in clean]).pmf.sum(), 1)


def test_features_of_the_forecast(rng):
    low, high = rng.integers(0, 256, (12, 12), np.uint8), rng.uniform(0, 255, (24, 24)).astype(np.float32)
    features, targets = np.empty((2, N_FEATURES), np.float32), np.empty((2, 4), np.float32)
    fill(low, high, np.array([[5, 5], [6, 6]]), features, targets)
    complete(features)
    assert_allclose(features[:, 1:122].sum(axis=1), 0, atol=1e-3)
    assert (features[:, -1] >= 0).all()


def test_from_compiled_code(rng):
    """The functions for users' compiled code that solve transport; docs/numba.md runs the others."""
    a, b, x, y = rng.dirichlet(np.ones(9)), rng.dirichlet(np.ones(8)), rng.random((9, 2)), rng.random((8, 2))
    expected = emd_by_linear_program(a, b, cdist(x, y))
    assert_allclose(njit.emd_points(a, b, x, y, 0)[0], expected, atol=1e-7)
    assert_allclose(njit.emd_matrix(a, b, cdist(x, y))[0], expected, atol=1e-7)
    f, g, error, _ = njit.sinkhorn(a, b, cdist(x, y), 0.3, 1e-9, 1_000)
    assert error < 1e-9
    assert_allclose(
        np.exp((f[:, None] + g - cdist(x, y)) / 0.3), sinkhorn_plan(a, b, cdist(x, y), 0.3, 1_000), atol=1e-8
    )
    p, q = rng.dirichlet(np.ones(12), 2)
    ours = njit.emd_grid(p, q, np.array([4, 3]), np.array([0.0, 1, 2, 3, 0, 1, 2]))
    assert_allclose(ours[0], fd.emd_grid(p.reshape(4, 3), q.reshape(4, 3)).value, rtol=1e-9)


def test_every_kernel_was_reached(reached):
    if not UNCOMPILED:
        pytest.skip("only uncompiled functions tell that they are called")
    missed = []
    for info in pkgutil.walk_packages(fastdeg.kernels.__path__, "fastdeg.kernels."):
        if info.name.rpartition(".")[2].startswith("_"):  # how kernels are compiled
            continue
        module = importlib.import_module(info.name)
        for name, value in vars(module).items():
            function = getattr(value, "serial", value)
            if isinstance(function, types.FunctionType) and function.__module__ == info.name:
                missed += [f"{info.name}.{name}"] * (function.__code__ not in reached)
    missed = [name for name in missed if ONLY_LARGE not in name and name not in ELSEWHERE]
    assert not missed, "\n".join(missed)
