"""Fits with a history: what it explains is inside, what it does not is told with its reason and has no say in q."""

import json

import cv2
import numpy as np
import pytest
from problems_images import photographs, portrait

import fastdeg as fd
from fastdeg.cli import main
from fastdeg.images import jpeg_compress
from fastdeg.images.features import luma
from fastdeg.images.structure import REASONS, structure_statistics

SPACE = fd.DegradationSpace([fd.Axis.regular("blur_sigma", 0, 3, 3), fd.Axis.regular("noise_sigma", 0, 30, 3)])
HISTORY = fd.History(
    [
        {"step": "Gaussian noise", "noise": {"choice": ["gray", "color"]}},
        {"step": "sharpening", "probability": 0.5, "sharpening_amount": [0.5, 1.5], "sharpening_radius": 1},
    ]
)


@pytest.fixture(scope="module")
def estimator():
    settings = {"downsampling": 2, "history": HISTORY, "n_samples": 2_400, "patch_size": 64}
    return fd.DegradationEstimator(fd.GridBins(SPACE), **settings).fit(photographs())


def crops(n, seed):
    rng = np.random.default_rng(seed)
    corners = [(rng.integers(portrait().shape[0] - 259), rng.integers(portrait().shape[1] - 259)) for _ in range(n)]
    return [portrait()[top : top + 260, left : left + 260] for top, left in corners]


def photos(n, seed=0, noise_sigma=15):
    rng = np.random.default_rng(seed)
    settings = {"blur_sigma": 1.5, "noise_sigma": noise_sigma, "downsampling": 2, "history": HISTORY}
    return [fd.degrade(x, rng=rng, **settings) for x in crops(n, seed)]


def with_impulses(x, rng):
    x, drawn = x.copy(), rng.random(x.shape[:2])
    x[drawn < 0.03], x[drawn > 0.97] = 0, 255
    return x


def interlaced(x):
    x = x.copy()
    x[1::2] = np.roll(x[1::2], 3, axis=1)
    return x


def posterised(x):
    return (np.round(x / 255 * 7) * 255 / 7).astype(np.uint8)


def test_what_the_history_makes_is_inside_and_read(estimator):
    found = estimator.infer(photos(24))
    assert found.outside.mean() <= 0.05
    assert found.distribution.marginal("noise_sigma")[1] > 0.6
    assert np.sqrt(((found.parameters[:, 1] - 15) ** 2).mean()) < 5


def test_noise_of_each_channel_is_read_by_its_colours(estimator):
    """The luma of noise of its own in each channel is two thirds as strong: colours tell which kind it is."""
    small = [fd.degrade(x, blur_sigma=1.5, downsampling=2) for x in crops(12, 1)]
    read = {}
    for kind in ("gray", "color"):
        noisy = [fd.degrade(x, noise_sigma=20, noise=kind, rng=i) for i, x in enumerate(small)]
        read[kind] = estimator.predict(noisy)[:, 1].mean()
    assert read["gray"] == pytest.approx(20, abs=4)
    assert read["color"] > 0.77 * read["gray"]  # by the luma alone at most two thirds


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("impulses", "stand out"), ("interlaced", "interlaced"), ("halftone", "repeats"), ("posterised", "posterised")],
)
def test_what_the_history_does_not_make_is_outside_with_its_reason(estimator, kind, reason):
    rng = np.random.default_rng(2)
    small = [fd.degrade(x, downsampling=2) for x in crops(12, 2)]
    stripes = 45 * np.cos(2 * np.pi * np.add.outer(np.arange(130), np.arange(130)) / 4.5)[..., None]
    strange = {
        "impulses": [with_impulses(x, rng) for x in small],
        "interlaced": [interlaced(x) for x in small],
        "halftone": [np.clip(x + stripes, 0, 255).astype(np.uint8) for x in small],
        "posterised": [posterised(x) for x in small],
    }[kind]
    found = estimator.infer(strange)
    assert found.outside.mean() > 0.7
    assert np.mean([reason in why for why in found.outside_reasons]) > 0.5
    assert all(bool(why) == out for why, out in zip(found.outside_reasons, found.outside, strict=True))


def test_few_levels_show_through_a_compression():
    """Flat areas of posterised pictures that were saved as JPEG since are near one of a few evenly spaced levels."""
    small = [fd.degrade(x, downsampling=2) for x in crops(6, 9)]
    values = {}
    for name, pictures in (("plain", small), ("posterised", [posterised(x) for x in small])):
        saved = [jpeg_compress(x, 85) for x in pictures]
        statistics = [structure_statistics(luma(x), np.ascontiguousarray(x[..., 1])) for x in saved]
        values[name] = np.array(statistics)[:, ["evenly" in why for why in REASONS]]
    assert values["posterised"].min() > 0.1 + values["plain"].max()


def test_photos_outside_have_no_say_unless_told(estimator):
    rng = np.random.default_rng(3)
    good = photos(8, 3)
    strange = [with_impulses(cv2.resize(x, None, fx=0.5, fy=0.5), rng) for x in crops(4, 4)]
    found = estimator.infer([*good, *strange])
    assert found.outside[8:].all()
    assert found.posterior.shape == (12, 9)
    inside = [x for x, out in zip(good, found.outside[:8], strict=True) if not out]
    expected = estimator.estimate(inside, keep_outside=True)
    np.testing.assert_array_equal(found.distribution.pmf, expected.pmf)
    np.testing.assert_array_equal(estimator.estimate([*good, *strange]).pmf, expected.pmf)
    assert found.distribution.n_samples == len(inside)
    kept = estimator.infer([*good, *strange], keep_outside=True).distribution
    assert kept.n_samples == 12
    assert np.abs(kept.pmf - expected.pmf).sum() > 0.05
    alone = estimator.infer(strange)  # all of them outside: better than nothing, and told
    assert alone.distribution.n_samples == len(strange)


def test_saved_with_its_history(estimator, tmp_path):
    estimator.save(tmp_path / "estimator.npz")
    loaded = fd.DegradationEstimator.load(tmp_path / "estimator.npz")
    assert loaded.history == HISTORY
    images = photos(3, 5)
    np.testing.assert_array_equal(loaded.predict(images), estimator.predict(images))
    np.testing.assert_array_equal(loaded.infer(images).outside_p_values, estimator.infer(images).outside_p_values)


def test_what_is_both_crafted_and_drawn_is_refused():
    drawn = fd.History([{"step": "Gaussian noise", "noise_sigma": [0, 10]}])
    with pytest.raises(ValueError, match="noise_sigma"):
        fd.DegradationEstimator(fd.GridBins(SPACE), history=drawn).fit(photographs())
    with pytest.raises(ValueError, match="history: expected None beside degrade"):
        fd.DegradationEstimator(fd.GridBins(SPACE), history="photo", degrade=lambda x, p, r: x).fit(photographs())


def test_the_command_line_takes_a_history_and_tells_who_is_outside(tmp_path, capsys):
    for folder, images in (("clean", photographs()), ("photos", [*photos(4, 6), with_impulses(*few())])):
        (tmp_path / folder).mkdir()
        for i, x in enumerate(images):
            cv2.imwrite(str(tmp_path / folder / f"{i}.png"), x[..., ::-1])
    (tmp_path / "space.yaml").write_text(
        "axes:\n- {name: blur_sigma, low: 0, high: 3, n_bins: 3}\n- {name: noise_sigma, low: 0, high: 30, n_bins: 3}\n"
        "history:\n- {step: sharpening, probability: 0.5, sharpening_amount: [0.5, 1.5]}\n"
    )
    folders = ["--references", str(tmp_path / "photos"), "--clean", str(tmp_path / "clean"), "--downsampling", "2"]
    command = ["estimate", *folders, "--space", str(tmp_path / "space.yaml"), "--json"]
    assert main(command) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["inputs"]["history"]["steps"][0]["step"] == "sharpening"
    assert told["n_samples"] == 5
    assert told["images"][4]["outside"]
    assert "stand out" in told["images"][4]["reason"]
    assert any("no say in q" in note and "salt and pepper" in note for note in told["notes"])
    assert main([*command, "--history", "film"]) == 2
    assert "--history: " in capsys.readouterr().err


def few():
    return fd.degrade(crops(1, 8)[0], downsampling=2), np.random.default_rng(8)
