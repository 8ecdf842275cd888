"""Directions of blur: features tell 45° from 135°, angles go round, and errors are as wide as what cannot be told."""

import numpy as np
import pytest
from problems_images import photographs, portrait

import fastdeg as fd
from fastdeg.images.inference.coordinates import Coordinates, first_descriptions, misses

SPACE = fd.DegradationSpace(
    [
        fd.Axis.regular("blur_sigma_x", 0, 4, 2),
        fd.Axis.regular("blur_sigma_y", 0, 4, 2),
        fd.Axis.regular("blur_angle", 0, 180, 4),
    ]
)


@pytest.fixture(scope="module")
def estimator():
    return fd.DegradationEstimator(fd.GridBins(SPACE), downsampling=2, n_samples=2_400, patch_size=64).fit(
        photographs()
    )


def blurred(angles, x, y, seed=0):
    rng = np.random.default_rng(seed)
    image, out = portrait(), []
    for angle in angles:
        top, left = (rng.integers(side - 255) for side in image.shape[:2])
        crop = image[top : top + 256, left : left + 256]
        out.append(fd.degrade(crop, blur_sigma_x=x, blur_sigma_y=y, blur_angle=angle, downsampling=2, rng=rng))
    return out


@pytest.mark.parametrize("quarter", range(4))
def test_a_direction_is_told_from_its_mirror_image(estimator, quarter):
    rng = np.random.default_rng(quarter)
    images = blurred(45 * quarter + rng.uniform(8, 37, 12), 3.3, 0.6, quarter)
    q = estimator.estimate(images)
    assert q.marginal("blur_angle")[quarter] > 0.7
    assert q.marginal("blur_sigma_x")[1] > 0.7  # of two descriptions that no picture tells apart, the first
    assert q.marginal("blur_sigma_y")[0] > 0.7


def test_errors_are_wide_where_an_axis_cannot_be_read(estimator):
    """(σx, σy, θ) looks like (σy, σx, θ + 90°): of one photo alone, neither angle nor which is wider is known."""
    rng = np.random.default_rng(1)
    angles = rng.uniform(0, 180, 24)
    found = estimator.infer(blurred(angles, 3.3, 0.6))
    assert (found.parameter_errors[:, 2] > 35).all()
    misread = np.column_stack([found.parameters[:, :2] - [3.3, 0.6], (found.parameters[:, 2] - angles + 90) % 180 - 90])
    assert (np.abs(misread) <= 2 * found.parameter_errors).mean(axis=0).min() > 0.85
    assert estimator.identifiability().standard_errors[:, 2].mean() > 35


def test_angles_go_round():
    coordinates = Coordinates.of(SPACE)
    ends = np.array([[0.2, 0.7, 0.0], [0.2, 0.7, 1.0]])
    np.testing.assert_allclose(*coordinates.smooth(ends), atol=1e-12)
    np.testing.assert_allclose(*coordinates.targets(ends), atol=1e-12)
    np.testing.assert_allclose(misses(coordinates, ends[:1], ends[1:]), 0, atol=1e-12)
    assert misses(coordinates, np.array([[0, 0, 0.9]]), np.array([[0, 0, 0.1]]))[0, 2] == pytest.approx(-0.2)
    assert Coordinates.of(fd.DegradationSpace.preset("paper")) is None


def test_what_is_read_tells_the_parameters_but_for_their_order():
    coordinates, rng = Coordinates.of(SPACE), np.random.default_rng(0)
    z = rng.uniform(0, 1, (200, 3))
    swapped = np.column_stack([z[:, 1], z[:, 0], (z[:, 2] + 0.5) % 1])
    np.testing.assert_allclose(coordinates.targets(swapped), coordinates.targets(z), atol=1e-12)
    first = np.where((z[:, 0] >= z[:, 1])[:, None], z, swapped)
    np.testing.assert_allclose(coordinates.read(coordinates.targets(first)), first, atol=1e-6)
    np.testing.assert_allclose(coordinates.parameters(coordinates.smooth(z)), z, atol=1e-9)
    part = fd.DegradationSpace([fd.Axis.regular("blur_angle", 30, 90, 2)])  # off the axis: its nearer end
    some = Coordinates.of(part)
    turned = np.radians(2 * np.array([20.0, 100.0, 45.0]))
    smooth = np.column_stack([0.5 + 0.5 * np.cos(turned), 0.5 + 0.5 * np.sin(turned)])
    np.testing.assert_allclose(some.parameters(smooth)[:, 0].clip(0, 1), [0, 1, 0.25], atol=1e-9)


def test_only_a_blur_that_the_space_describes_twice_is_left_out_once():
    first = first_descriptions(fd.GridBins(SPACE).centers, SPACE)
    wider_along_y = fd.GridBins(SPACE).centers[:, 1] > fd.GridBins(SPACE).centers[:, 0]
    np.testing.assert_array_equal(first, ~wider_along_y)
    half = fd.DegradationSpace([*SPACE.axes[:2], fd.Axis.regular("blur_angle", 0, 90, 2)])
    assert first_descriptions(fd.GridBins(half).centers, half).all()
