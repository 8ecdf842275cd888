"""The examples of docs/numba.md run and agree with the public functions, and leave out no name of the façade."""

import re
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.distance import cdist

import fastdeg as fd
import fastdeg.njit

DOCS = Path(__file__).parent.parent / "docs"
PAGE = DOCS / "numba.md"


@pytest.fixture(scope="module")
def page():
    names: dict = {}
    for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        exec(compile(code, str(PAGE), "exec"), names)
    return names


def test_labels_and_frechet_distances_of_groups(page):
    rng = np.random.default_rng(0)
    samples = rng.random((1_000, 2))
    labels = fd.CentroidBins(rng.random((4, 2))).assign(samples)
    assert_array_equal(page["labels"], labels)
    means, covs = fd.weighted_moments(samples, labels=labels, n_bins=4)
    assert_allclose(page["far"], fd.frechet_distances(means, covs, np.zeros(2), np.eye(2)), rtol=1e-12)


def test_cells_of_a_box_moments_and_many_axes(page):
    assert page["n_missed"] == 0
    assert_array_equal(page["nearest"], fd.CentroidBins(page["palette"]).assign(page["colours"]))
    assert_allclose(page["mean"], page["colours"].mean(axis=0), rtol=1e-14)
    assert_allclose(page["cov"], np.cov(page["colours"].T, ddof=0), rtol=1e-12, atol=1e-15)
    covs, zero = page["covs"], np.zeros(5)
    assert page["wrong"] == -1
    assert_allclose(page["distances"], fd.frechet_distances(np.zeros((20, 5)), covs, zero, covs[0]), rtol=1e-12)


def test_grids_and_points_far_apart(page):
    space = fd.DegradationSpace([fd.Axis.edges(name, edges) for name, edges in zip("ab", page["edges"], strict=True)])
    samples, bins = page["samples"], fd.GridBins(space)
    counts = bins.histogram(samples, outside="drop")
    assert_array_equal(page["counts"], counts)
    assert page["n_outside"] == len(samples) - counts.sum() > 0
    inside = page["cells"] >= 0
    assert_array_equal(page["cells"][inside], bins.assign(samples[inside]))
    assert page["cell"] == np.searchsorted(page["edges"][0], 0.31) - 1
    assert_array_equal(page["chosen"], fd.farthest_points(samples, 5))
    assert_allclose(page["away"], cdist(samples, samples[page["chosen"]]).min(axis=1), rtol=1e-14)


def test_diverse_points(page):
    distances, chosen = cdist(page["samples"], page["samples"]), [0]
    for _ in range(5):
        mean = np.sort(distances[:, chosen], axis=1)[:, :2].mean(axis=1)
        mean[chosen] = -1
        chosen.append(int(mean.argmax()))
    assert_array_equal(page["far_apart"], chosen)


def test_every_function_has_an_example():
    imported = re.findall(
        r"^from fastdeg\.njit import (.*)$", "\n".join(p.read_text("utf-8") for p in DOCS.glob("*.md")), re.MULTILINE
    )
    assert sorted({name for names in imported for name in names.split(", ")}) == fastdeg.njit.__all__
    assert "fastdeg.kernels" not in PAGE.read_text("utf-8")
