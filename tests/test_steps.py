"""The registry of the chain's steps: what it says of them, and steps that come from outside the package."""

from __future__ import annotations

import math
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from problems_images import photographs, portrait

import fastdeg as fd
from fastdeg.degradations import Parameter, Stage, Step, chain, register, steps, unregister
from fastdeg.degradations.fast import corrupted_variants, noise_pool, shrink_at_once

IMPULSES = Parameter("salt_and_pepper", "share of the pixels that turn black or white", 0, 1)
FADING = Parameter("fading", "share of the contrast that is lost", 0, 1)
SIDE = Parameter("box_side", "side of the box that the picture is averaged over", 1, 99, "px", neutral=1)
AMOUNT = Parameter("sharpening", "amount of unsharp masking", 0, 5)


def salt_and_pepper(image, settings, rng):
    share = IMPULSES.check(settings["salt_and_pepper"])
    chance = rng.random(image.shape[:2])
    out = image.copy()
    out[chance < share], out[chance < share / 2] = 255, 0
    return out


def fade(image, settings, rng):
    return 128 + np.float32(1 - FADING.check(settings["fading"])) * (image - 128)


def box(image, settings, rng):
    side = int(SIDE.check(settings["box_side"]))
    return cv2.blur(image, (side, side), borderType=cv2.BORDER_REFLECT_101)


def box_taps(settings):
    side = int(SIDE.check(settings["box_side"]))
    return np.full(side, 1 / side), np.full(side, 1 / side)


def sharpen(image, settings, rng):
    return image + np.float32(AMOUNT.check(settings["sharpening"])) * (image - cv2.GaussianBlur(image, (0, 0), 2))


SALT_AND_PEPPER = Step("salt and pepper", Stage.NOISE, (IMPULSES,), salt_and_pepper)


@pytest.fixture
def added():
    """A function that adds a step for the length of a test."""
    taken = []
    yield lambda step: taken.append(register(step))
    for step in taken:
        unregister(step)


def shown(parameter):
    low, high = parameter.low, parameter.high
    span = "any" if math.isinf(low) else f"≥ {low:g}" if math.isinf(high) else f"{low:g} – {high:g}"
    return f"{span} {parameter.unit}".strip()


def test_the_documented_table_is_the_registrys():
    page = (Path(__file__).parent.parent / "docs" / "images.md").read_text()
    parameters, words = (
        re.search(rf"<!-- {name}:begin -->\n(.*?)<!-- {name}:end -->", page, re.DOTALL)[1].splitlines()[2:]
        for name in ("steps", "options")
    )
    last = {p.name: (step, p) for step in steps() for p in step.parameters}  # the step that a parameter is called after
    assert parameters == [f"| `{p.name}` | {step.name} | {shown(p)} | {p.meaning} |" for step, p in last.values()]
    options = dict.fromkeys(option for step in steps() for option in step.options)
    expected = []
    for option in options:
        of = ", ".join(step.name for step in steps() if option in step.options)
        values = ", ".join(f"**{word}**" if word == option.default else word for word in option.values)
        expected.append(f"| `{option.name}` | {of} | {values} | {option.meaning} |")
    assert words == expected


def test_presets_speak_the_registrys_language():
    known = {p.name: p for step in steps() for p in step.parameters}
    for preset in ("paper", "dense", "photo"):
        for axis in fd.DegradationSpace.preset(preset).axes:
            assert axis.unit == known[axis.name].unit
            assert known[axis.name].low <= axis.low < axis.high <= known[axis.name].high


def test_neutral_values_change_nothing():
    image = photographs()[0][:40, :60]
    for step in steps():
        neutral = {p.name: p.neutral for p in step.parameters}
        assert not step.acts(neutral)
        np.testing.assert_array_equal(fd.degrade(image, **neutral, rng=0), image)


def test_a_step_from_outside_is_an_argument_of_degrade_and_acts_at_its_stage(added):
    flat = np.full((64, 64, 3), 100, np.uint8)
    added(SALT_AND_PEPPER)
    salted = fd.degrade(flat, salt_and_pepper=0.2, rng=0)
    assert (salted == 0).mean() == pytest.approx(0.1, abs=0.02)
    assert (salted == 255).mean() == pytest.approx(0.1, abs=0.02)
    added(Step("fading", Stage.PROCESSING, (FADING,), fade))
    assert fd.degrade(flat, fading=1, noise_sigma=20, salt_and_pepper=0.2, rng=0).std() == 0  # after all noise
    assert [step.stage for step in steps()] == sorted(step.stage for step in steps())
    with pytest.raises(ValueError, match=r"^fading: expected a number from 0 to 1, got 2"):
        fd.degrade(flat, fading=2)


def test_a_step_from_outside_is_an_axis_of_a_transform(added):
    added(SALT_AND_PEPPER)
    space = fd.DegradationSpace([fd.Axis.levels("salt_and_pepper", [0.1, 0.3]), fd.Axis.levels("blur_sigma", [0, 3])])
    transform = fd.DegradationTransform(fd.BinnedDistribution.uniform(fd.GridBins(space)), downsampling=2, seed=0)
    for _ in range(5):
        low, parameters = transform(np.full((128, 128), 100, np.uint8))
        assert (low != 100).mean() == pytest.approx(parameters["salt_and_pepper"], abs=0.03)


def test_a_transform_says_what_is_missing_where_its_step_was_not_registered():
    step = register(SALT_AND_PEPPER)
    bins = fd.GridBins(fd.DegradationSpace([fd.Axis.levels("salt_and_pepper", [0.1, 0.3])]))
    transform = fd.DegradationTransform(fd.BinnedDistribution.uniform(bins), seed=0)
    unregister(step)
    with pytest.raises(TypeError, match=r"expected parameters among blur_sigma, .*, got 'salt_and_pepper'"):
        transform(np.zeros((32, 32), np.uint8))


def test_the_estimator_reads_a_step_from_outside(added):
    added(SALT_AND_PEPPER)
    space = fd.DegradationSpace(
        [fd.Axis.regular("salt_and_pepper", 0, 0.1, 4), fd.Axis.regular("noise_sigma", 0, 20, 2)]
    )
    estimator = fd.DegradationEstimator(fd.GridBins(space), downsampling=2, n_samples=600, patch_size=48)
    estimator.fit(photographs())
    truth = np.array([0.005, 0.05, 0.095])
    images = [fd.degrade(portrait(), downsampling=2, noise_sigma=10, salt_and_pepper=share, rng=0) for share in truth]
    np.testing.assert_allclose(estimator.predict(images)[:, 0], truth, atol=0.02)


def test_synthesis_runs_the_plain_form_of_steps_after_the_downsampling(added):
    added(SALT_AND_PEPPER)
    pictures = np.full((3, 40, 50, 3), 100, np.float32)
    settings = [{"salt_and_pepper": 0.0, "noise_sigma": 1.0}, {"salt_and_pepper": 0.5}, {"jpeg_quality": 80.0}]
    normal = noise_pool("gray", 16, np.random.default_rng(0))
    got = corrupted_variants(pictures, settings, normal, np.random.default_rng(1))
    rng = np.random.default_rng(1)
    for picture, s, variant in zip(pictures, settings, got, strict=True):
        np.testing.assert_array_equal(variant, chain.corrupt(picture, s, rng)[..., ::-1])
    assert (got[1] != 100).mean() == pytest.approx(0.5, abs=0.05)


def test_synthesis_runs_the_plain_form_of_steps_before_it(added):
    added(Step("unsharp masking", Stage.BLUR, (AMOUNT,), sharpen))
    image, rng = photographs()[0][:96, :128], np.random.default_rng(0)
    settings = {"blur_sigma": 2.0, "sharpening": 3.0, "downsampling": 2}
    expected = chain.shrink(image.astype(np.float32), settings, rng)
    np.testing.assert_array_equal(shrink_at_once(image, settings, rng), expected)
    plain = chain.shrink(image.astype(np.float32), settings | {"sharpening": 0}, rng)
    assert np.abs(np.diff(expected, axis=0)).mean() > 1.2 * np.abs(np.diff(plain, axis=0)).mean()


@pytest.mark.parametrize("stage", [Stage.BLUR, Stage.DOWNSAMPLING])
def test_fast_forms_from_outside_agree_with_the_plain_ones(added, stage):
    added(Step("box blur", stage, (SIDE,), box, taps=box_taps))

    def fast(picture, settings, normal, rng):
        assert normal.shape == (2000, 3)
        return fade(picture, settings, rng)

    added(Step("fading", Stage.PROCESSING, (FADING,), fade, fast=fast))
    image, rng = photographs()[1][:90, :120], np.random.default_rng(0)
    for settings in ({"blur_sigma": 1.5, "box_side": 5, "downsampling": 3}, {"box_side": 7, "downsampling": 2.5}):
        expected = chain.shrink(image.astype(np.float32), settings, rng)
        np.testing.assert_allclose(shrink_at_once(image, settings, rng), expected, atol=1e-3)
    pictures = photographs()[0][None, :40, :50].astype(np.float32)
    (got,) = corrupted_variants(pictures, [{"fading": 0.4, "jpeg_quality": 70}], np.zeros((2000, 3), np.float32), rng)
    np.testing.assert_array_equal(got[..., ::-1], fd.degrade(photographs()[0][:40, :50], fading=0.4, jpeg_quality=70))


def test_steps_that_cannot_be_added_are_named():
    for wrong, error, words in (
        (salt_and_pepper, TypeError, "step: expected a fastdeg.degradations.Step, got function"),
        (Step("JPEG", Stage.NOISE, (FADING,), fade), ValueError, r"of new names, got \['JPEG'\]"),
        (Step("fading", Stage.NOISE, (Parameter("noise", ""),), fade), ValueError, r"of new names, got \['noise'\]"),
        (Step("fading", Stage.NOISE, (), fade), ValueError, "expected parameters, all of new names, got none"),
    ):
        with pytest.raises(error, match=words):
            register(wrong)
    space = fd.DegradationSpace([fd.Axis.regular("fading", 0, 1, 2)])
    with pytest.raises(ValueError, match=r"expected axes among blur_sigma, .* got 'fading'"):
        fd.DegradationEstimator(fd.GridBins(space)).fit(photographs())
