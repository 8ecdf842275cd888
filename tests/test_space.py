import numpy as np
import pytest

import fastdeg as fd


def test_presets_have_the_stated_axes():
    dense = fd.DegradationSpace.preset("dense")
    assert dense.shape == (50, 51, 7)
    assert dense.n_bins == 17_850
    assert (dense.axes[0].low, dense.axes[0].high) == (0.1, 5.0)
    paper = fd.DegradationSpace.preset("paper")
    np.testing.assert_allclose(paper.axes[2].boundaries, [30, 50, 70, 90])
    assert not paper.axes[0].discrete
    photo = fd.DegradationSpace.preset("photo")
    assert photo.shape == (8, 8, 9)
    assert (photo.axes[2].low, photo.axes[2].boundaries[-2], photo.axes[2].high) == (10, 100.5, 110)
    assert dense.axes[0].discrete


def test_points_run_with_the_last_axis_fastest():
    space = fd.DegradationSpace([fd.Axis.levels("a", [1, 2]), fd.Axis.regular("b", 0, 3, 3)])
    np.testing.assert_allclose(space.points(), [[1, 0.5], [1, 1.5], [1, 2.5], [2, 0.5], [2, 1.5], [2, 2.5]])


def test_standardize_maps_ranges_to_the_unit_interval_and_back():
    space = fd.DegradationSpace(
        [fd.Axis.levels("d", [2, 4, 8]), fd.Axis.edges("n", [0, 10, 50]), fd.Axis.levels("one", [7])]
    )
    np.testing.assert_allclose(space.standardize([[2, 50, 7], [8, 0, 7]]), [[0, 1, 0], [1, 0, 0]])
    x = np.array([[3.0, 20.0, 7.0]])
    np.testing.assert_allclose(space.unstandardize(space.standardize(x)), x)


def test_cells_have_widths_variances_and_shares():
    axis = fd.Axis.edges("n", [0, 1, 4])
    np.testing.assert_allclose(axis.variances, [1 / 12, 9 / 12])
    np.testing.assert_allclose(axis.volumes, [0.25, 0.75])
    levels = fd.Axis.levels("d", [2, 3, 8])
    np.testing.assert_allclose(levels.variances, 0)
    np.testing.assert_allclose(levels.volumes, 1 / 3)


def test_configuration_round_trip():
    space = fd.DegradationSpace([fd.Axis.levels("d", [2, 4], "×"), fd.Axis.regular("n", 0, 50, 5)])
    assert fd.DegradationSpace.from_dict(space.to_dict()) == space
    config = {"axes": [{"name": "n", "low": 0, "high": 50, "n_bins": 5}, {"name": "q", "edges": [30, 50, 90]}]}
    assert fd.DegradationSpace.from_dict(config).shape == (5, 2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fd.Axis.regular("x", 1, 1, 3), "axis 'x', low, high: expected low < high"),
        (lambda: fd.Axis.regular("x", 0, 1, 0), "axis 'x', n_bins: expected an integer >= 1, got 0"),
        (lambda: fd.Axis.regular("x", 0, np.nan, 1), "axis 'x', high: expected a finite number"),
        (lambda: fd.Axis.edges("x", [0, 2, 1]), "strictly increasing"),
        (lambda: fd.Axis.levels("x", [1, 1]), "strictly increasing"),
        (lambda: fd.Axis.levels("x", []), "strictly increasing"),
        (lambda: fd.Axis.levels("", [1]), "expected a name"),
        (lambda: fd.DegradationSpace([]), "at least one axis"),
        (lambda: fd.DegradationSpace([fd.Axis.levels("x", [1])] * 2), "each with its own name"),
        (lambda: fd.DegradationSpace.preset("huge"), "preset: expected one of 'paper', 'dense', 'photo', got 'huge'"),
        (lambda: fd.DegradationSpace.preset("paper").standardize([1, 2]), r"expected shape \(..., 3\)"),
        (lambda: fd.DegradationSpace.from_dict({"axis": []}), "a list 'axes'"),
        (lambda: fd.DegradationSpace.from_dict({"axes": [{"name": "x", "low": 1}]}), "levels, or edges"),
    ],
)
def test_bad_input_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_axes_cannot_be_edited_behind_the_spaces_back():
    with pytest.raises(ValueError, match="read-only"):
        fd.Axis.levels("x", [1, 2]).centers[0] = 5


def test_one_axis_has_to_be_in_a_list():
    with pytest.raises(TypeError, match="axes: expected a sequence of Axis objects, got None"):
        fd.DegradationSpace(None)
    with pytest.raises(TypeError, match="axes: expected a sequence of Axis objects, got a single Axis"):
        fd.DegradationSpace(fd.Axis.regular("noise_sigma", 0, 50, 5))
