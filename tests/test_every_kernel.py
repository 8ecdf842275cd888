"""Every kernel is reached, on inputs so small that this runs without the JIT too; answers are those of plain oracles.

``pytest -m quick`` is run by the CI with bounds checks, uncompiled, and with the lowest supported versions.
"""

import importlib
import os
import pkgutil
import sys
import threading
import types

import numpy as np
import pytest
from naive_measure import farthest_points, frechet, label_moments, moments, nearest_center
from naive_transport import emd_1d, emd_by_linear_program, sinkhorn_plan
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.distance import cdist

import fastdeg as fd
import fastdeg.kernels
from fastdeg.crafting import strategy
from fastdeg.images import dct_features

pytestmark = [
    pytest.mark.quick,
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

    if os.environ.get("NUMBA_DISABLE_JIT") == "1":
        sys.setprofile(note)
        threading.setprofile(note)
    yield codes
    sys.setprofile(None)
    threading.setprofile(None)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


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


@pytest.mark.parametrize(("n", "d", "n_centers"), [(60, 2, 4), (300, 3, 40), (80, 12, 20)])
def test_nearest_centres(rng, n, d, n_centers):
    samples, centers = rng.random((n, d)), rng.random((n_centers, d))
    for x in (samples, samples.astype(np.float32)):
        assert_array_equal(fd.CentroidBins(centers).assign(x), nearest_center(x, centers))


def test_moments(rng):
    x, weights, labels = rng.normal(size=(50, 3)), rng.random(50), rng.integers(0, 4, 50)
    for given, expected in zip(fd.weighted_moments(x, weights), moments(x, weights), strict=True):
        assert_allclose(given, expected.astype(np.float64), atol=1e-14)
    ours = fd.weighted_moments(x, weights, labels=labels, n_bins=4)
    for given, expected in zip(ours, label_moments(x, labels, 4, weights), strict=True):
        assert_allclose(given, expected, atol=1e-14)


@pytest.mark.parametrize("d", [1, 2, 3, 5])
def test_frechet(rng, d):
    factors, means = rng.normal(size=(6, d, d)), rng.normal(size=(6, d))
    covs = factors @ factors.swapaxes(1, 2)
    expected = [frechet(mean, cov, means[0], covs[0]) for mean, cov in zip(means, covs, strict=True)]
    assert_allclose(fd.frechet_distances(means, covs, means[0], covs[0], squared=True), expected, atol=1e-6)


@pytest.mark.parametrize("d", [2, 40])
def test_diverse_points(rng, d):
    x = rng.normal(size=(60, d))
    assert_array_equal(fd.farthest_points(x, 8), farthest_points(x, 8))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("n", "m"), [(12, 12), (40, 9)])
def test_transport(rng, metric, n, m):
    x, y = rng.random((n, 2)), rng.random((m, 2))
    a, b = rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(m))
    cost = cdist(x, y, metric)
    expected = emd_by_linear_program(a, b, cost)
    assert_allclose(fd.emd(a, b, x, y, metric=metric).value, expected, atol=1e-7)
    assert_allclose(fd.emd(a, b, cost=cost).value, expected, atol=1e-7)


def test_transport_on_grids_and_on_the_line(rng):
    a, b = rng.dirichlet(np.ones(24), 2)
    points = np.argwhere(np.ones((6, 4))).astype(float)
    expected = emd_by_linear_program(a, b, cdist(points, points, "cityblock"))
    assert_allclose(fd.emd_grid(a.reshape(6, 4), b.reshape(6, 4)).value, expected, atol=1e-7)
    x, y = rng.random(9), rng.random(7)
    assert_allclose(fd.emd_1d(x, y), emd_1d(x, y, np.ones(9), np.ones(7), 1), atol=1e-14)
    weights = rng.random(9), rng.random(7)
    assert_allclose(fd.emd_1d(x, y, *weights), emd_1d(x, y, *weights, 1), atol=1e-14)


@pytest.mark.parametrize("reg", [0.5, 0.002])
def test_sinkhorn(rng, reg):
    a, b, x, y = rng.dirichlet(np.ones(7)), rng.dirichlet(np.ones(5)), rng.random((7, 2)), rng.random((5, 2))
    ours = fd.sinkhorn(a, b, x, y, reg=reg, tol=1e-10)
    assert_allclose(ours.plan, sinkhorn_plan(a, b, cdist(x, y), reg, 4000), atol=1e-7)


FORCED = {
    "interior point": {"rows": strategy.TABLE[-1:], "compiled_sinks": 0},
    "its compiled steps": {"rows": strategy.TABLE[-1:]},
    "coarse to fine": {"arcs_at_once": 200, "compiled_sinks": 0, "sparse_sinks": 2},
    "splitting and active set": {"plan_arcs": 0, "plan_sinks": 0, "near_target_cells": 0},
    "active set of the target": {"plan_arcs": 0, "plan_sinks": 0},
    "splitting": {"plan_arcs": 0, "plan_sinks": 0, "near_target_cells": 0, "exact_bins": 0},
}


@pytest.mark.parametrize("generalization", [0.02, 0.2])
def test_crafting_by_every_method(rng, generalization):
    bins = fd.GridBins(space_of(4, 3, 2))
    target = fd.BinnedDistribution(bins, rng.dirichlet(np.full(24, 0.3)))
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


def test_paths(rng):
    target = fd.BinnedDistribution(fd.GridBins(space_of(4, 3)), rng.dirichlet(np.full(12, 0.3)))
    path = fd.tradeoff_path(target, [0.01, 0.1, 1.0])
    assert (np.diff(path.kl_to_prior) < 0).all()


@pytest.mark.parametrize("size", [32, 72])
def test_images(rng, size):
    image = rng.integers(0, 256, (size, size, 3), np.uint8)
    assert np.isfinite(dct_features(image)).all()


def test_the_estimator(rng):
    clean = [np.clip(rng.normal(128, 40, (64, 64, 3)), 0, 255).astype(np.uint8) for _ in range(2)]
    bins = fd.GridBins(space_of(2, 2))
    estimator = fd.DegradationEstimator(bins, downsampling=2, n_samples=50, patch_size=24).fit(clean)
    assert_allclose(estimator.estimate([image[::2, ::2] for image in clean]).pmf.sum(), 1)


def test_every_kernel_was_reached(reached):
    if os.environ.get("NUMBA_DISABLE_JIT") != "1":
        pytest.skip("only uncompiled functions tell that they are called")
    missed = []
    for info in pkgutil.walk_packages(fastdeg.kernels.__path__, "fastdeg.kernels."):
        if info.name == "fastdeg.kernels._jit":
            continue
        module = importlib.import_module(info.name)
        for name, value in vars(module).items():
            function = getattr(value, "serial", value)
            if isinstance(function, types.FunctionType) and function.__module__ == info.name:
                missed += [f"{info.name}.{name}"] * (function.__code__ not in reached)
    assert not missed, "\n".join(missed)
