"""The degradation chain against plain NumPy, OpenCV's own steps and what is known of each step."""

from __future__ import annotations

import multiprocessing
import pickle
import tracemalloc

import cv2
import naive_images as naive
import numpy as np
import pytest
from problems_images import paper_bins, photographs

import fastdeg as fd
from fastdeg import images as steps


@pytest.fixture
def plane():
    return np.random.default_rng(1).uniform(0, 1, (61, 83)).astype(np.float32)


@pytest.mark.parametrize("sigma", [0.3, 0.8, 2.0, 5.0])
def test_blur_is_a_gaussian_convolution(plane, sigma):
    expected = naive.gaussian_blur(255.0 * plane, sigma)
    np.testing.assert_allclose(steps.gaussian_blur(plane, sigma), expected, atol=2e-3)


@pytest.mark.parametrize("factor", [2, 3, 4, 2.5])
def test_downsampling_is_cubic_interpolation_without_antialiasing(plane, factor):
    got = steps.downsample(plane, factor)
    expected = naive.cubic_downsample(255.0 * plane, factor)
    assert got.shape == (int(61 / factor), int(83 / factor))
    np.testing.assert_allclose(got, expected, atol=2e-2)


def test_turned_anisotropic_blur_has_the_moments_asked_for():
    impulse = np.zeros((121, 121), np.float32)
    impulse[60, 60] = 1
    kernel = steps.gaussian_blur(impulse, sigma_x=6.0, sigma_y=2.5, angle=30) / 255
    y, x = np.mgrid[-60:61, -60:61].astype(float)
    cov = np.array([[(kernel * x * x).sum(), (kernel * x * y).sum()], [(kernel * x * y).sum(), (kernel * y * y).sum()]])
    values, vectors = np.linalg.eigh(cov)
    np.testing.assert_allclose(np.sqrt(values), [2.5, 6.0], rtol=0.01)
    assert np.degrees(np.arctan2(-vectors[1, 1], vectors[0, 1])) % 180 == pytest.approx(30, abs=0.5)  # rows grow down


@pytest.mark.parametrize(("sigma_x", "sigma_y", "angle"), [(3, 0, 0), (0, 3, 0), (3, 1, 90), (3, 0, 45)])
def test_blur_along_one_axis(sigma_x, sigma_y, angle):
    impulse = np.zeros((41, 41), np.float32)
    impulse[20, 20] = 1
    kernel = steps.gaussian_blur(impulse, sigma_x=sigma_x, sigma_y=sigma_y, angle=angle) / 255
    assert kernel.sum() == pytest.approx(1, abs=1e-4)
    y, x = np.mgrid[-20:21, -20:21].astype(float)
    turned = np.deg2rad(angle)
    along = np.cos(turned) * x - np.sin(turned) * y
    assert np.sqrt((kernel * along**2).sum()) == pytest.approx(max(sigma_x, 1e-9), rel=0.03, abs=0.01)


def test_noise_has_the_deviation_asked_for_and_gray_noise_is_the_same_in_all_channels():
    flat = np.full((300, 300, 3), 128, np.uint8)
    gray = steps.add_gaussian_noise(flat, 12.0, rng=0) - 128
    color = steps.add_gaussian_noise(flat, 12.0, noise="color", rng=0) - 128
    assert gray.std() == pytest.approx(12, rel=0.01)
    assert color.std() == pytest.approx(12, rel=0.01)
    assert (gray[..., 0] == gray[..., 2]).all()
    assert abs(np.corrcoef(color[..., 0].ravel(), color[..., 1].ravel())[0, 1]) < 0.02


@pytest.mark.parametrize("noise", ["gray", "color"])
def test_shot_noise_has_variance_in_proportion_to_the_level(noise):
    for level in (20, 180):
        x = steps.add_poisson_noise(np.full((300, 300, 3), level, np.uint8), 0.5, noise=noise, rng=3)
        assert x.mean() == pytest.approx(level, rel=0.01)
        assert x[..., 0].var() == pytest.approx(0.5 * level, rel=0.03)


def test_chain_is_its_steps_in_order():
    image = photographs()[0]
    x = cv2.GaussianBlur(image.astype(np.float32), (0, 0), 1.3)
    x = cv2.resize(x, (640 // 4, 427 // 4), interpolation=cv2.INTER_CUBIC)
    x = x + np.random.default_rng(5).standard_normal(x.shape[:2], dtype=np.float32)[..., None] * np.float32(9)
    x = np.clip(np.rint(x), 0, 255).astype(np.uint8)
    data = cv2.imencode(".jpg", x[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 63])[1]
    expected = cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]
    got = fd.degrade(image, blur_sigma=1.3, downsampling=4, noise_sigma=9, jpeg_quality=62.7, rng=5)
    np.testing.assert_array_equal(got, expected)


def test_nothing_asked_for_changes_nothing():
    image = photographs()[0]
    np.testing.assert_array_equal(fd.degrade(image), image)
    np.testing.assert_array_equal(fd.degrade(image[..., 0]), image[..., 0])


def test_channels_are_rgb_through_jpeg():
    red = np.zeros((32, 32, 3), np.uint8)
    red[..., 0] = 200
    out = steps.jpeg_compress(red, 95)
    assert out[..., 0].mean() > 190
    assert out[..., 2].mean() < 10


def test_types_agree_and_input_is_left_alone():
    image = photographs()[1][:64, :64]
    options = {"blur_sigma": 1, "downsampling": 2, "noise_sigma": 5, "jpeg_quality": 80, "rng": 1}
    expected = fd.degrade(image, **options)
    frozen = image.copy()
    frozen.setflags(write=False)
    others = [
        frozen,
        np.asfortranarray(image),
        np.repeat(image, 2, axis=1)[:, ::2],
        image.astype(np.uint16) * 257,
        image / 255.0,
    ]
    for other in others:
        before = other.copy()
        difference = np.abs(fd.degrade(other, **options).astype(int) - expected)
        assert difference.max() <= 4  # rounding before JPEG may flip by one level
        assert (difference > 0).mean() < 0.01
        np.testing.assert_array_equal(other, before)


def test_same_seed_same_image():
    image = photographs()[0][:80, :80]
    first, second, other = (fd.degrade(image, noise_sigma=10, rng=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, second)
    assert (first != other).any()


def test_one_pixel_and_grey():
    assert fd.degrade(np.full((1, 1), 7, np.uint8), blur_sigma=3, noise_sigma=1, jpeg_quality=50, rng=0).shape == (1, 1)
    assert fd.degrade(np.full((5, 9, 1), 7, np.uint8), downsampling=3).shape == (1, 3)


@pytest.mark.parametrize(
    ("image", "options", "error", "words"),
    [
        (np.zeros((4, 4, 4), np.uint8), {}, ValueError, r"image: expected shape \(H, W, 3\) or \(H, W\)"),
        (np.zeros((0, 4), np.uint8), {}, ValueError, "at least one pixel"),
        (np.ma.masked_equal(np.eye(4, dtype=np.uint8), 1), {}, ValueError, "image: expected an array without masked"),
        (np.zeros((4, 4), np.int32), {}, TypeError, "uint8, uint16 or float"),
        (np.full((4, 4), 3.0), {}, ValueError, r"float pixels in \[0, 1\]"),
        (np.full((4, 4), np.nan), {}, ValueError, r"float pixels in \[0, 1\]"),
        (np.zeros((4, 9), np.uint8), {"downsampling": 5}, ValueError, "at least 5 pixels"),
        (np.zeros((4, 4), np.uint8), {"downsampling": 0.5}, ValueError, "downsampling"),
        (np.zeros((4, 4), np.uint8), {"blur_sigma": -1}, ValueError, "blur_sigma"),
        (np.zeros((4, 4), np.uint8), {"noise_sigma": np.inf}, ValueError, "noise_sigma"),
        (np.zeros((4, 4), np.uint8), {"jpeg_quality": 0}, ValueError, "jpeg_quality"),
        (np.zeros((4, 4), np.uint8), {"jpeg_quality": 111}, ValueError, "jpeg_quality"),
        (np.zeros((4, 4), np.uint8), {"noise": "pink"}, ValueError, "noise"),
        (np.zeros((4, 4), np.uint8), {"downsampling": 2, "interpolation": "magic"}, ValueError, "interpolation"),
    ],
)
def test_bad_arguments_are_named(image, options, error, words):
    with pytest.raises(error, match=words):
        fd.degrade(image, **options)


def test_transform_draws_from_the_distribution():
    bins = paper_bins()
    pmf = np.zeros(75)
    pmf[17] = 1
    transform = fd.DegradationTransform(fd.BinnedDistribution(bins, pmf), seed=3)
    image = photographs()[0][:64, :96]
    rows = []
    for _ in range(20):
        low, parameters = transform(image)
        assert low.shape == (16, 24, 3)
        rows.append([parameters[name] for name in bins.space.names])
    assert (bins.assign(rows) == 17).all()
    again = fd.DegradationTransform(fd.BinnedDistribution(bins, pmf), seed=3)
    np.testing.assert_array_equal(again(image)[0], fd.DegradationTransform(transform.distribution, seed=3)(image)[0])


def test_transform_is_its_parameters_fed_to_degrade_for_noiseless_spaces():
    space = fd.DegradationSpace([fd.Axis.regular("blur_sigma", 1, 3, 2), fd.Axis.levels("downsampling", [2, 4])])
    transform = fd.DegradationTransform(fd.BinnedDistribution.uniform(fd.GridBins(space)), seed=0)
    image = photographs()[0][:64, :64]
    low, parameters = transform(image)
    np.testing.assert_array_equal(low, fd.degrade(image, **parameters))


def test_transform_reports_the_parameters_that_it_used():
    space = fd.DegradationSpace([fd.Axis.regular("blur_sigma", 0, 3, 2), fd.Axis.regular("jpeg_quality", 30, 90, 3)])
    transform = fd.DegradationTransform(fd.BinnedDistribution.uniform(fd.GridBins(space)), seed=0)
    image = photographs()[0][:64, :64]
    for _ in range(5):
        low, parameters = transform(image)
        assert parameters["jpeg_quality"] == round(parameters["jpeg_quality"])
        np.testing.assert_array_equal(low, fd.degrade(image, **parameters))


def test_a_draw_touches_no_other_bins():
    n = 100_000
    rng = np.random.default_rng(0)
    space = fd.DegradationSpace([fd.Axis.regular("blur_sigma", 0, 5, n), fd.Axis.levels("noise_sigma", [0, 10])])
    covariances = np.tile(np.diag([0.1, 4.0]), (n, 1, 1))
    for bins in (fd.GridBins(space), fd.CentroidBins(rng.uniform(0, [5, 10], (n, 2)), covariances, space=space)):
        transform = fd.DegradationTransform(fd.BinnedDistribution.uniform(bins), seed=0)
        image = photographs()[0][:64, :64]
        transform(image)
        tracemalloc.start()
        transform(image)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 8 * n  # bytes: fewer than one number per bin


def test_what_a_transform_would_ignore_or_cannot_use_is_refused():
    for wrong in (np.ones(3), None, paper_bins()):
        with pytest.raises(TypeError, match="distribution: expected a BinnedDistribution, got"):
            fd.DegradationTransform(wrong)
    bins = fd.GridBins(fd.DegradationSpace([fd.Axis.regular("jpeg_quality", 0, 100, 4)]))
    with pytest.raises(ValueError, match="axis 'jpeg_quality' within 1 to 110, got 0 to 100"):
        fd.DegradationTransform(fd.BinnedDistribution.uniform(bins))
    with pytest.raises(ValueError, match="axis 'jpeg_quality' within 1 to 110, got 0 to 100"):
        fd.DegradationEstimator(bins).fit([photographs()[0]])


def test_transform_takes_real_factors_and_an_interpolation():
    space = fd.DegradationSpace([fd.Axis.regular("downsampling", 1.5, 3.5, 4), fd.Axis.levels("poisson_scale", [0])])
    distribution = fd.BinnedDistribution.uniform(fd.GridBins(space))
    image = photographs()[0][:64, :64]
    for interpolation in ("area", "linear"):
        low, parameters = fd.DegradationTransform(distribution, interpolation=interpolation, seed=0)(image)
        np.testing.assert_array_equal(low, fd.degrade(image, **parameters, interpolation=interpolation))
        assert parameters["downsampling"] != round(parameters["downsampling"])
    with pytest.raises(ValueError, match="interpolation"):
        fd.DegradationTransform(distribution, interpolation="magic")


def _first_draw(transform):
    return pickle.loads(pickle.dumps(transform))(np.zeros((32, 32), np.uint8))[1]["noise_sigma"]


def _put_first_draws(queue, transform):
    queue.put([_first_draw(transform), _first_draw(transform)])


def test_workers_of_a_data_loader_draw_different_streams():
    transform = fd.DegradationTransform(fd.BinnedDistribution.uniform(paper_bins()), seed=0)
    processes = multiprocessing.get_context("spawn")
    queue = processes.Queue()
    workers = [processes.Process(target=_put_first_draws, args=(queue, transform)) for _ in range(2)]
    for worker in workers:
        worker.start()
    draws = [[_first_draw(transform)] * 2, *(queue.get() for _ in workers)]
    for worker in workers:
        worker.join()
    assert all(first == again for first, again in draws)
    assert len({first for first, _ in draws}) == 3


def test_own_pipeline_gets_named_parameters():
    space = fd.DegradationSpace([fd.Axis.levels("twist", [1, 2])])
    seen = []

    def pipeline(image, parameters, rng):
        seen.append(parameters)
        return image[::2]

    distribution = fd.BinnedDistribution.uniform(fd.GridBins(space))
    low, parameters = fd.DegradationTransform(distribution, degrade=pipeline, seed=0)(np.zeros((8, 8), np.uint8))
    assert low.shape == (4, 8)
    assert seen == [parameters]
    assert set(parameters) == {"twist"}
    with pytest.raises(ValueError, match="twist"):
        fd.DegradationTransform(distribution)
    with pytest.raises(ValueError, match="DegradationSpace"):
        fd.DegradationTransform(fd.BinnedDistribution.uniform(fd.CentroidBins([[0.0], [1.0]])))


@pytest.mark.parametrize("step", [steps.add_gaussian_noise, steps.add_poisson_noise])
@pytest.mark.parametrize("strength", [0, 5])
def test_each_noise_checks_its_kind(step, strength):
    for wrong in ("colour", "grey", None):
        with pytest.raises(ValueError, match=r"^noise: expected one of 'gray', 'color', got"):
            step(np.full((4, 4, 3), 100, np.uint8), strength, noise=wrong)


def test_unknown_parameters_are_named():
    with pytest.raises(TypeError, match=r"expected parameters among blur_sigma, .*jpeg_quality, got 'blur_sigmas'"):
        fd.degrade(np.zeros((20, 20), np.uint8), blur_sigmas=1)


def test_errors_name_the_argument_that_was_given():
    image = np.zeros((20, 20), np.uint8)
    with pytest.raises(ValueError, match=r"^blur_sigma: expected a number"):
        fd.degrade(image, blur_sigma=-1)
    with pytest.raises(ValueError, match=r"^blur_sigma_y: expected a number"):
        fd.degrade(image, blur_sigma_y=-1)
    for rng in ("x", -1):
        with pytest.raises(TypeError, match=r"^rng: expected a numpy.random.Generator"):
            fd.degrade(image, noise_sigma=1, rng=rng)
