"""The examples of docs/numba.md run and agree with the public functions; so do the other kernels of its table."""

import re
from pathlib import Path

import numba
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import fastdeg as fd
from fastdeg.kernels.measure.diversity import distance_to_set
from fastdeg.kernels.measure.farthest_wide import quantise, wide_steps
from fastdeg.kernels.measure.frechet import frechet_many
from fastdeg.kernels.measure.moments import merge_into, moments
from fastdeg.kernels.measure.nearest_cells import assign_cells, build_cells
from fastdeg.references import coverage

PAGE = Path(__file__).parent.parent / "docs" / "numba.md"


@pytest.fixture(scope="module")
def page():
    names: dict = {}
    for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        exec(compile(code, str(PAGE), "exec"), names)
    return names


def test_first_example(page):
    rng = np.random.default_rng(0)
    samples = rng.random((1_000, 2))
    labels = fd.CentroidBins(rng.random((4, 2))).assign(samples)
    assert_array_equal(page["labels"], labels)
    means, covs = fd.weighted_moments(samples, labels=labels, n_bins=4)
    assert_allclose(page["far"], fd.frechet_distances(means, covs, np.zeros(2), np.eye(2)), rtol=1e-12)


def test_second_example(page):
    space = fd.DegradationSpace([fd.Axis.edges(name, edges) for name, edges in zip("ab", page["edges"], strict=True)])
    samples = page["samples"]
    counts = fd.GridBins(space).histogram(samples, outside="drop")
    assert_array_equal(page["counts"], counts)
    assert page["n_outside"] == len(samples) - counts.sum() > 0
    assert_array_equal(page["chosen"], fd.farthest_points(samples, 5))


def test_other_kernels_of_the_table():
    serial = [f.serial for f in (assign_cells, moments, frechet_many, quantise, wide_steps, distance_to_set)]
    cells, whole, frechet, copy, steps, to_set = serial

    @numba.njit
    def users(samples, centers, points, covs, cov):
        n_axes = samples.shape[1]
        low, widths = np.full(n_axes, -0.1), np.full(n_axes, 1.2)
        counts, starts, packets = build_cells(centers, low, widths, 9)
        labels = np.empty(len(samples), np.int64)
        n_outside = cells(samples, centers, low, counts / widths, counts, starts, packets, labels)

        mean, residual, scatter = np.zeros(n_axes), np.zeros(n_axes), np.zeros((n_axes, n_axes))
        other_mean, other_residual, other_scatter = mean.copy(), residual.copy(), scatter.copy()
        none = np.empty(0)
        weight = whole(samples[:300], none, mean, residual, scatter)
        other = whole(samples[300:], none, other_mean, other_residual, other_scatter)
        weight = merge_into(weight, mean, residual, scatter, other, other_mean, other_residual, other_scatter)

        zero = np.zeros(len(cov))
        distances = np.empty(len(covs))
        wrong, _ = frechet(np.zeros((len(covs), len(cov))), covs, zero, cov, distances)

        n = len(points)
        copies, norms, errors = np.empty(points.shape, np.int16), np.empty(n, np.int64), np.empty(n)
        unit = copy(points, copies, norms, errors)
        chosen, nearest, reach = np.zeros(7, np.int64), np.full(n, np.inf), np.full(n, np.inf)
        steps(points, copies, norms, errors, unit, chosen, 1, 7, nearest, reach)
        away = np.empty(n)
        to_set(points, chosen, away)
        return labels, n_outside, mean, scatter / weight, distances, wrong, chosen, away

    rng = np.random.default_rng(0)
    samples, centers, points = rng.random((1_000, 3)), rng.random((40, 3)), rng.normal(size=(300, 12))
    factors = rng.normal(size=(20, 5, 6))
    covs = factors @ factors.swapaxes(1, 2)
    labels, n_outside, mean, cov, distances, wrong, chosen, away = users(samples, centers, points, covs, covs[0])
    assert n_outside == 0
    assert wrong == -1
    assert_array_equal(labels, fd.CentroidBins(centers).assign(samples))
    assert_allclose(mean, samples.mean(axis=0), rtol=1e-14)
    assert_allclose(cov, np.cov(samples.T, ddof=0), rtol=1e-12, atol=1e-15)
    zero = np.zeros(5)
    assert_allclose(distances, fd.frechet_distances(np.zeros((20, 5)), covs, zero, covs[0]), rtol=1e-12)
    assert_array_equal(chosen, fd.farthest_points(points, 7))
    assert_allclose([away.mean(), away.max()], coverage(points, chosen), rtol=1e-14)


def test_imports_of_the_table():
    lines = re.findall(r"`(from fastdeg\.kernels[^`]*)`", PAGE.read_text(encoding="utf-8"))
    assert len(lines) >= 9
    for line in lines:
        exec(line, {})
