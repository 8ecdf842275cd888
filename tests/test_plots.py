"""Results draw themselves, show themselves in notebooks, and print in a few lines."""

import re
import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.axes import Axes

import fastdeg as fd
from fastdeg.images import read_images

PAPER = fd.DegradationSpace.preset("paper")


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """One result of each kind that can be drawn, by the call that returns it."""
    rng = np.random.default_rng(0)
    q = fd.BinnedDistribution(fd.GridBins(PAPER), rng.dirichlet(np.full(75, 0.05)), n_samples=24)
    texture = rng.integers(0, 256, (160, 160, 3), dtype=np.uint8)
    bins = fd.GridBins(fd.DegradationSpace([fd.Axis.regular("noise_sigma", 0, 50, 5, "of 255")]))
    estimator = fd.DegradationEstimator(bins, downsampling=2, n_samples=50).fit([texture])
    photos = [fd.degrade(texture, downsampling=2, noise_sigma=20.0, rng=rng) for _ in range(4)]
    embeddings = rng.standard_normal((30, 6)) * [9, 4, 1, 1, 1, 1]
    target = fd.BinnedDistribution(fd.CentroidBins([[0.0, 0.0], [1.0, 0.5], [0.2, 0.9]]), [0.2, 0.5, 0.3])
    folder = tmp_path_factory.mktemp("images")
    for k in range(12):
        plt.imsave(folder / f"{k}.png", texture)
    return {
        "grid": q,
        "line": fd.BinnedDistribution(bins, [0.1, 0.2, 0.3, 0.2, 0.2]),
        "centroids": target,
        "craft": fd.craft(q, generalization=0.1),
        "path": fd.tradeoff_path(q, [0.1, 0.3, 1.0]),
        "plan on a line": fd.emd([0.5, 0.5], [0.3, 0.7], [[0.0], [1.0]], [[0.5], [2.0]]),
        "plan in the plane": fd.emd(np.ones(8), np.ones(8), rng.random((8, 2)), rng.random((8, 2))),
        "plan on a grid": fd.emd_grid(*rng.dirichlet(np.ones(12), 2).reshape(2, 3, 4), spacing=[1.0, 2.0]),
        "plan of costs": fd.emd([0.5, 0.5], [1.0], cost=[[1.0], [2.0]]),
        "plan in space": fd.emd([1.0], [1.0], [[0.0, 0.0, 0.0]], [[1.0, 0.0, 0.0]]),
        "infer": estimator.infer(photos),
        "bootstrap": estimator.bootstrap(photos, n_resamples=10),
        "references": fd.select_references(embeddings, np.repeat([0, 1, 2], 10), target, n_references=5),
        "identifiability": estimator.identifiability(),
        "images": read_images(folder),
    }


DRAWN = (
    "grid", "line", "centroids", "craft", "path", "plan on a line", "plan in the plane", "plan on a grid",
    "plan of costs", "plan in space", "infer", "bootstrap", "references",
)  # fmt: skip


def panels(drawn) -> list[Axes]:
    found = [ax for ax in np.ravel(np.array(drawn, dtype=object)) if ax.figure is not None]
    assert all(isinstance(ax, Axes) for ax in found)
    return found


@pytest.mark.parametrize("name", DRAWN)
def test_a_result_draws_itself(results, name):
    drawn = panels(results[name].plot())
    for ax in drawn:
        assert ax.has_data() or ax.texts
        assert ax.get_xlabel() or len(drawn) > 1
    drawn[0].figure.canvas.draw()  # nothing that cannot be rendered


@pytest.mark.parametrize("name", [name for name in DRAWN if name not in ("grid",)])
def test_a_result_draws_on_the_axes_it_is_given(results, name):
    _, ax = plt.subplots()
    assert results[name].plot(ax) is ax
    assert ax.has_data() or ax.texts
    assert plt.get_fignums() == [1]


def test_marginals_and_maps_show_the_probabilities(results):
    q = results["grid"]
    grid = q.plot()
    for k in range(3):
        np.testing.assert_allclose(grid[k, k].patches[0].get_data().values, q.marginal(k))
    shown = grid[1, 0].collections[0].get_array().reshape(5, 5)  # noise upwards, blur to the right
    np.testing.assert_allclose(shown, q.pmf.reshape(5, 5, 3).sum(axis=2).T)
    assert (grid[2, 0].get_xlabel(), grid[2, 0].get_ylabel()) == ("blur_sigma (px)", "jpeg_quality")
    assert grid[0, 1].figure is None
    _, ax = plt.subplots()
    q.plot(ax, axis=["noise_sigma", "blur_sigma"])
    np.testing.assert_allclose(ax.collections[0].get_array().reshape(5, 5), shown)


def test_axes_to_draw_are_checked(results):
    q = results["grid"]
    with pytest.raises(ValueError, match=r"axis: expected names of \('blur_sigma', .*, got 'blur'"):
        q.plot(axis="blur")
    with pytest.raises(ValueError, match=r"expected one or two of .* beside ax, got 3"):
        q.plot(plt.subplots()[1])
    with pytest.raises(ValueError, match="different axes"):
        q.plot(axis=[0, "blur_sigma"])


def test_a_plan_is_drawn_between_its_points(results):
    plan = results["plan in the plane"]
    ax = plan.plot()
    lines, sources, sinks = ax.collections
    segments = np.array(lines.get_segments())
    length = np.linalg.norm(segments[:, 0] - segments[:, 1], axis=1)
    assert length.sum() == pytest.approx(plan.value)  # eight unit masses, each moved as a whole
    assert len(sources.get_offsets()) == len(sinks.get_offsets()) == 8


def test_a_gain_is_drawn_with_its_errors():
    ax = fd.Gain(target=0.3, prior=-0.1, target_error=0.05, prior_error=float("nan")).plot()
    assert [bar.get_height() for bar in ax.patches] == [0.3, -0.1]
    assert ax.get_ylabel() == "gain (dB)"
    whiskers = np.array(ax.collections[0].get_segments())
    np.testing.assert_allclose(whiskers[0, :, 1], [0.25, 0.35])


def test_a_path_is_drawn_as_it_is(results):
    path = results["path"]
    mixtures, crafted = path.plot().lines
    np.testing.assert_array_equal(crafted.get_xydata(), np.column_stack((path.kl_to_prior, path.distance_to_target)))
    np.testing.assert_array_equal(mixtures.get_ydata(), path.mixtures.distance_to_target)


def test_images_are_drawn_in_their_principal_plane():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((200, 8)) * [30, 10, 1, 1, 1, 1, 1, 1]
    target = fd.BinnedDistribution(fd.CentroidBins([[0.0], [1.0]]), [0.5, 0.5])
    found = fd.select_references(x, np.repeat([0, 1], 100), target, n_references=5)
    centred = x - x.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    for k in range(2):
        assert abs(np.corrcoef(found.positions[:, k], centred @ axes[k])[0, 1]) > 0.999
    ax = found.plot()
    np.testing.assert_allclose(ax.collections[1].get_offsets(), found.positions[found.indices])


@pytest.mark.parametrize("name", [name for name in DRAWN if name != "bootstrap"])
def test_notebooks_get_a_small_table_and_a_picture(results, name):
    text = results[name]._repr_html_()
    assert text.count("<tr>") >= 1
    assert len(re.findall("<img alt='[^']+' src='data:image/png;base64,[^']{500,}'>", text)) == 1
    assert plt.get_fignums() == []


def test_results_print_in_a_few_lines(results):
    for name, result in results.items():
        assert len(repr(result)) < 500, name
        assert type(result).__name__ in repr(result)


def test_without_matplotlib_plots_say_so_and_tables_remain(tmp_path):
    (tmp_path / "matplotlib.py").write_text("raise ImportError('not here')")
    code = (
        "import fastdeg as fd; q = fd.BinnedDistribution.uniform(fd.GridBins(fd.DegradationSpace.preset('paper')))\n"
        "assert '<table>' in q._repr_html_() and '<img' not in q._repr_html_()\n"
        "try: q.plot()\n"
        "except ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "pip install matplotlib" in done.stdout
