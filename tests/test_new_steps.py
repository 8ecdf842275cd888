"""What cameras, programs and the web do to a picture: each step against an independent library or its definition."""

from __future__ import annotations

import io
import subprocess
import sys

import cv2
import numpy as np
import PIL.Image
import pytest
from problems_images import photographs
from scipy import ndimage

import fastdeg as fd
from fastdeg.degradations import HistoryStep, Option, Parameter, Stage, Step, chain, register, steps, unregister
from fastdeg.degradations.fast import corrupted_variants, noise_pool

USED = {  # a value at which each step does something
    "blur_sigma": 1.5, "motion_length": 9, "defocus_radius": 2.5, "kernel_sigma_x": 1.5, "resize_scale": 0.6,
    "downsampling": 2, "resampling_scale": 0.5, "poisson_scale": 1, "noise_sigma": 10, "grain_sigma": 9,
    "earlier_jpeg_quality": 30, "median_size": 3, "bilateral_color": 40, "nlm_strength": 10, "ringing_cutoff": 1.2,
    "sharpening_amount": 1, "webp_quality": 20, "h264_crf": 38, "jpeg_quality": 30,
}  # fmt: skip


def photo():
    return photographs()[0][:128, :160]


def settings_of(step):
    return {parameter.name: USED[parameter.name] for parameter in step.parameters if parameter.name in USED}


def has_all(step):
    if step.needs is not None:
        pytest.importorskip(step.needs[0])


def moments_of_a_point(**settings):
    """Return the covariance (rows, columns) of what becomes of a bright point."""
    image = np.zeros((101, 101), np.float32)
    image[50, 50] = 1
    low = chain.shrink(image * 255, settings, np.random.default_rng(0))
    mass = low / low.sum()
    rows, columns = np.indices(mass.shape) - 50
    return np.array([[(mass * a * b).sum() for b in (rows, columns)] for a in (rows, columns)])


@pytest.mark.parametrize("step", steps(), ids=lambda step: step.name)
def test_each_step_works_alone_as_an_axis_and_in_a_history(step):
    has_all(step)
    settings = settings_of(step)
    assert settings, "a step that the test does not know"
    for image in (photo(), photo()[..., 1]):
        alone = fd.degrade(image, **settings, rng=0)
        assert alone.shape == fd.degrade(image, downsampling=settings.get("downsampling", 1)).shape
        assert (alone.shape != image.shape) or (alone != image).mean() > 0.1
        beside = {} if step.name == "downsampling" else {"downsampling": 1}
        history = fd.History([HistoryStep(step.name, settings)])
        np.testing.assert_array_equal(fd.degrade(image, history=history, rng=0), alone)
        axes = [fd.Axis.levels(name, [value]) for name, value in settings.items()]
        uniform = fd.BinnedDistribution.uniform(fd.GridBins(fd.DegradationSpace(axes)))
        if step.name in ("blur", "median", "JPEG"):  # without chance
            np.testing.assert_array_equal(fd.DegradationTransform(uniform, seed=0, **beside)(image)[0], alone)
        else:
            assert fd.DegradationTransform(uniform, seed=0, **beside)(image)[0].shape == alone.shape


@pytest.mark.parametrize("step", steps(), ids=lambda step: step.name)
def test_no_picture_is_too_small(step):
    has_all(step)
    settings = settings_of(step) | ({"downsampling": 1} if step.name == "downsampling" else {})
    for shape in ((1, 1), (2, 3, 3), (7, 17, 3)):
        image = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
        assert fd.degrade(image, **settings, rng=0).shape == shape


@pytest.mark.parametrize("angle", [0, 30, 90, 135])
def test_motion_blurs_along_its_direction(angle):
    length, turn = 12, np.deg2rad(angle)
    along = np.array([-np.sin(turn), np.cos(turn)])  # rows grow downwards
    covariance = moments_of_a_point(motion_length=length, motion_angle=angle)
    assert along @ covariance @ along == pytest.approx(length**2 / 12, rel=0.05)
    across = np.array([along[1], -along[0]])
    assert across @ covariance @ across < 0.3
    assert moments_of_a_point(motion_length=0.01).max() < 0.01


def test_defocus_averages_over_a_disk():
    for radius in (2.5, 6):
        spread = np.diag(moments_of_a_point(defocus_radius=radius))
        assert spread == pytest.approx([radius**2 / 4] * 2, abs=0.12)  # pixels have a width too
    flat = chain.shrink(np.pad([[255.0]], 20).astype(np.float32), {"defocus_radius": 6}, None)
    assert np.unique(np.round(flat[20, 16:25], 3)).size == 1  # the same everywhere within
    assert moments_of_a_point(defocus_radius=0.01).max() == 0


def test_kernels_of_limited_size():
    turned = {"kernel_sigma_x": 3, "kernel_sigma_y": 1, "kernel_angle": 30, "kernel_size": 61}
    free = moments_of_a_point(blur_sigma_x=3, blur_sigma_y=1, blur_angle=30)
    np.testing.assert_allclose(moments_of_a_point(**turned), free, rtol=1e-3)
    cut = moments_of_a_point(kernel_sigma_x=3, kernel_size=7)
    assert np.sqrt(cut[0, 0]) == pytest.approx(1.84, abs=0.01)  # as the publishers' kernels come out
    at_once = moments_of_a_point(kernel_sigma_x=2, kernel_beta=20, kernel_size=31)  # a disk of radius 2
    assert at_once[0, 0] == pytest.approx(1, rel=0.15)
    heavy = moments_of_a_point(kernel_sigma_x=2, kernel_shape="plateau", kernel_size=31)
    assert heavy[0, 0] > 2 * moments_of_a_point(kernel_sigma_x=2, kernel_size=31)[0, 0]


def test_ringing_lets_low_frequencies_through_and_no_high_ones():
    rows = np.arange(256)
    for frequency, kept in ((0.8, 1), (1.6, 0)):
        wave = np.tile(128 + 60 * np.cos(frequency * rows)[:, None], (1, 64)).astype(np.float32)
        low = chain.corrupt(wave, {"ringing_cutoff": 1.2, "ringing_size": 101}, None)[60:-60].astype(float)
        assert np.ptp(low) / 120 == pytest.approx(kept, abs=0.08)
    edge = np.zeros((64, 64), np.float32)
    edge[:, 32:] = 200
    assert chain.corrupt(edge, {"ringing_cutoff": 1.2}, None).max() > 210


def test_noise_that_grows_with_the_level_and_grain():
    flat = np.repeat([64, 128, 192], 200)[:, None] * np.ones((1, 300), np.float32)
    rng = np.random.default_rng(0)
    for share in (0.0, 0.5, 1.0):
        noisy = chain.corrupt(flat, {"noise_sigma": 8, "noise_signal": share}, rng).astype(float).reshape(3, -1)
        expected = 64 * (1 - share + share * np.array([0.5, 1, 1.5])) + 1 / 12
        np.testing.assert_allclose(noisy.var(axis=1), expected, rtol=0.03)
    middle = np.full((300, 300, 3), 128, np.float32)
    for size in (0.7, 2.0):
        for settings in (
            {"noise_sigma": 12, "noise_grain": size, "noise": "color"},
            {"grain_sigma": 12, "grain_size": size},
        ):
            noise = chain.corrupt(middle, settings, rng).astype(float) - 128
            assert noise.std() == pytest.approx(12, rel=0.06)
            taps = np.exp(-(np.arange(-15, 16) ** 2) / (2 * size**2))
            expected = (taps[1:] @ taps[:-1]) / (taps @ taps)
            assert (noise[1:] * noise[:-1]).mean() / noise.var() == pytest.approx(expected, abs=0.03)
            apart = np.abs(noise[..., 0] - noise[..., 1]).max()
            assert (apart == 0) == ("grain_sigma" in settings)


def test_smoothing_and_sharpening():
    image = photo()
    got = fd.degrade(image, median_size=3)
    expected = np.stack([ndimage.median_filter(image[..., k], 3, mode="nearest") for k in range(3)], axis=2)
    np.testing.assert_array_equal(got, expected)
    noisy = fd.degrade(image, noise_sigma=12, rng=0).astype(float)
    for settings in ({"bilateral_color": 40, "bilateral_space": 2}, {"nlm_strength": 12}):
        smoothed = fd.degrade(noisy.astype(np.uint8), **settings)
        assert np.abs(smoothed - image.astype(float)).mean() < 0.8 * np.abs(noisy - image).mean()
    x = image.astype(float)
    blurred = ndimage.gaussian_filter(x, (1.5, 1.5, 0), mode="mirror")
    expected = np.clip(np.rint(x + 0.7 * (x - blurred)), 0, 255)
    got = fd.degrade(image, sharpening_amount=0.7, sharpening_radius=1.5)
    assert np.abs(got - expected).max() <= 1


@pytest.mark.parametrize("kind", ["linear", "cubic", "lanczos"])
def test_antialiased_interpolations_are_pillows(kind):
    image = photo()
    filters = {"linear": "BILINEAR", "cubic": "BICUBIC", "lanczos": "LANCZOS"}
    expected = np.asarray(PIL.Image.fromarray(image).resize((64, 51), PIL.Image.Resampling[filters[kind]]), float)
    got = fd.degrade(image, downsampling=2.5, interpolation=f"{kind}_antialiased")
    assert (np.abs(got - expected) > 1).mean() < 1e-3  # Pillow rounds, and clips, between columns and rows
    plain = fd.degrade(image, downsampling=2.5, interpolation=kind)
    assert np.abs(got - plain.astype(float)).mean() > 1


def test_resampling_happens_around_the_noise():
    image = photo()
    got = fd.degrade(image, downsampling=2, resampling_scale=0.5, interpolation="area")
    shrunk = cv2.resize(image.astype(np.float32), (40, 32), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(got, np.clip(np.rint(cv2.resize(shrunk, (80, 64), None, 0, 0, 2)), 0, 255))
    flat = np.full((256, 256), 128, np.uint8)
    noise = fd.degrade(flat, noise_sigma=20, resampling_scale=0.5, resampling_interpolation="nearest", rng=0) - 128.0
    assert noise.std() == pytest.approx(20, rel=0.05)
    np.testing.assert_array_equal(noise[::2], noise[1::2])  # each pixel of noise is one of the smaller picture
    before = {"step": "resampling", "resampling_scale": 0.5, "before": "Poisson noise"}
    noise = fd.degrade(flat, noise_sigma=20, history=fd.History([before]), rng=0) - 128.0
    assert abs((noise[1:] * noise[:-1]).mean()) < 0.02 * noise.var()  # white: the resampling is over


def test_a_picture_of_another_size_on_the_way_comes_out_at_its_size():
    image = photographs()[0][:131, :157]
    for scale in (0.37, 1.4):
        assert fd.degrade(image, resize_scale=scale, downsampling=3).shape == (43, 52, 3)
        assert fd.degrade(image, resampling_scale=scale, downsampling=3, jpeg_quality=50).shape == (43, 52, 3)
    got = fd.degrade(image, resize_scale=0.5, resize_interpolation="area", interpolation="linear", downsampling=2)
    halved = cv2.resize(image.astype(np.float32), (78, 65), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(got, np.clip(np.rint(halved), 0, 255))  # it has the size already


def test_an_earlier_jpeg_has_its_grid_elsewhere():
    whole = photo()
    compressed = fd.degrade(whole, jpeg_quality=25)
    cropped = whole[5:, 3:]
    got = fd.degrade(cropped, earlier_jpeg_quality=25, earlier_jpeg_shift_x=3, earlier_jpeg_shift_y=5)
    # away from the borders, which nobody knows any more, it is the crop of the compressed picture
    np.testing.assert_array_equal(got[32:-32, 32:-32], compressed[5:, 3:][32:-32, 32:-32])
    assert (fd.degrade(cropped, earlier_jpeg_quality=25)[32:-32, 32:-32] != got[32:-32, 32:-32]).mean() > 0.1


def test_jpeg_keeps_the_chroma_that_the_subsampling_says():
    image = np.zeros((64, 64, 3), np.uint8)
    image[:, ::2, 0] = 255  # red and black columns
    image[:, 1::2, 2] = 255
    sharp, halved = (
        np.ptp(fd.degrade(image, jpeg_quality=95, jpeg_subsampling=word)[..., 0].astype(float), axis=1).mean()
        for word in ("4:4:4", "4:2:2")
    )
    assert sharp > 200
    assert halved < 150
    for word in ("4:2:0", "4:4:4"):
        file = io.BytesIO()
        PIL.Image.fromarray(photo()).save(file, "JPEG", quality=60, subsampling=word)
        decoded = np.asarray(PIL.Image.open(file), float)
        assert np.abs(fd.degrade(photo(), jpeg_quality=60, jpeg_subsampling=word) - decoded).max() <= 3
    np.testing.assert_array_equal(fd.degrade(photo(), jpeg_quality=101), photo())  # beyond the best: not compressed


@pytest.mark.parametrize(("name", "values"), [("webp_quality", (80, 20, 2)), ("h264_crf", (15, 30, 45))])
def test_codecs_lose_more_the_harder_they_compress(name, values):
    if name == "h264_crf":
        pytest.importorskip("av")
    for image in (photo()[:91, :77], photo()[:91, :77, 0]):  # odd sides
        errors = [np.abs(fd.degrade(image, **{name: v}) - image.astype(float)).mean() for v in values]
        assert 0 < errors[0] < errors[1] < errors[2] < 30


def test_a_step_that_an_extra_must_bring_is_refused_by_name():
    code = "import sys; sys.modules['av'] = None; import numpy as np, fastdeg as fd\n"
    space = "fd.DegradationSpace([fd.Axis.regular('h264_crf', 20, 40, 2)])"
    for use in (
        "fd.History([{'step': 'H.264', 'h264_crf': 30}])",
        "fd.degrade(np.zeros((32, 32), np.uint8), h264_crf=30)",
        f"fd.DegradationTransform(fd.BinnedDistribution.uniform(fd.GridBins({space})))",
    ):
        code += f"try:\n    {use}\nexcept ValueError as error:\n    print(error)\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    words = "step 'H.264': needs the module av: pip install 'fastdeg[video]'"
    assert done.stdout.splitlines() == [f"history[0]: {words}", words, words]


@pytest.mark.parametrize("step", [s for s in steps() if s.fast and s.stage > Stage.DOWNSAMPLING], ids=lambda s: s.name)
def test_fast_forms_are_the_steps(step):
    pictures = np.stack([photographs()[0][:64, :80], photographs()[1][:64, :80]]).astype(np.float32)
    settings = [settings_of(step), {}]
    normal = noise_pool("color", 16, np.random.default_rng(0))
    for x in (pictures, pictures[..., 0]):
        got = corrupted_variants(x, settings, normal, np.random.default_rng(1))
        got = got[..., ::-1] if got.ndim == 4 else got
        for k in range(2):
            plain = chain.corrupt(x[k], settings[k], np.random.default_rng(2))
            if "noise" in step.name or step.name == "grain":
                assert (got[k] - x[k]).std() == pytest.approx((plain - x[k]).std(), rel=0.1, abs=1e-6)
            else:
                np.testing.assert_array_equal(got[k], plain)


def test_fast_forms_take_events_and_sizes():
    history = fd.History.preset("photo")
    clean = photographs()[0][:256, :256]
    normal = noise_pool("color", 64, np.random.default_rng(0))
    for seed in range(25):
        rng = np.random.default_rng(seed)
        drawn = history.draw(rng)
        crafted = {"blur_sigma": 1.0, "downsampling": 4, "jpeg_quality": 70.0}
        given = chain.with_size(crafted | drawn.settings, clean.shape, drawn.events)
        low = chain.shrink(clean.astype(np.float32), given, rng, drawn.events)
        got = corrupted_variants(low[None], [given], normal, rng, [drawn.events])[0]
        expected = chain.degrade_by(clean, crafted, np.random.default_rng(0), drawn)
        np.testing.assert_array_equal(got[..., ::-1], expected)
    event = fd.History([{"step": "JPEG", "jpeg_quality": 5, "after": "sharpening"}]).draw(rng)
    low = clean[:64, :64].astype(np.float32)
    got = corrupted_variants(low[None], [{}], normal, rng, [event.events])[0]
    np.testing.assert_array_equal(got[..., ::-1], fd.degrade(clean[:64, :64], jpeg_quality=5))


def test_a_step_from_outside_may_have_options():
    word = Option("tint", "of the paper", ("white", "yellow"), "white")
    share = Parameter("fading", "share of the contrast that is lost", 0, 1)

    def fade(image, settings, rng):
        paper = 255 if word.of(settings) == "white" else np.array([255, 255, 0], np.float32)
        return image + np.float32(share.check(settings["fading"])) * (paper - image)

    step = register(Step("fading", Stage.PROCESSING, (share,), fade, options=(word,)))
    try:
        assert (fd.degrade(photo(), fading=1) == 255).all()
        history = fd.History([{"step": "fading", "fading": 1, "tint": {"choice": ["yellow"]}}])
        assert (fd.degrade(photo(), history=history, rng=0) == [255, 255, 0]).all()
        with pytest.raises(ValueError, match="tint: expected one of 'white', 'yellow', got 'blue'"):
            fd.degrade(photo(), fading=1, tint="blue")
        with pytest.raises(ValueError, match=r"of new names, got \['tint'\]"):
            register(Step("other", Stage.NOISE, (Parameter("other", ""),), fade, options=(word,)))
    finally:
        unregister(step)


def test_transforms_and_estimators_take_antialiased_interpolations():
    bins = fd.GridBins(fd.DegradationSpace([fd.Axis.levels("median_size", [1])]))
    words = {"interpolation": "lanczos_antialiased", "downsampling": 2}
    low, _ = fd.DegradationTransform(fd.BinnedDistribution.uniform(bins), seed=0, **words)(photo())
    np.testing.assert_array_equal(low, fd.degrade(photo(), **words))
    assert fd.DegradationEstimator(bins, **words).least_side == 48


def test_shot_noise_of_a_level_a_photon_is_no_mistaken_unit(recwarn):
    """One grey level a photon is much: 11 levels of noise on mid-grey."""
    bins = fd.GridBins(fd.DegradationSpace([fd.Axis.regular("poisson_scale", 0, 1, 2)]))
    fd.DegradationTransform(fd.BinnedDistribution.uniform(bins))
    assert not recwarn.list
