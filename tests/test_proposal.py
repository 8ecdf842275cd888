"""Which step made photos, and the least space and history that explain them."""

import numpy as np
import pytest
from problems_images import photographs, portrait

import fastdeg as fd
from fastdeg.cli import main
from fastdeg.degradations import Parameter, Stage, Step, register, steps, unregister
from fastdeg.degradations.typical import typical_steps
from fastdeg.images import read_images
from fastdeg.images.proposal import propose
from fastdeg.images.step_classifier import StepClassifier

STEPS = {
    "sharpening": {"sharpening_amount": 1.5, "sharpening_radius": 1},
    "median": {"median_size": 3},
    "Gaussian noise": {"noise_sigma": 18},
    "JPEG": {"jpeg_quality": 40},
}


@pytest.fixture(scope="module")
def classifier():
    return StepClassifier(2, steps=["sharpening", "median"], n_per_step=480).fit(photographs())


def photos(n, seed=0, **settings):
    rng = np.random.default_rng(seed)
    corners = [(rng.integers(portrait().shape[0] - 239), rng.integers(portrait().shape[1] - 239)) for _ in range(n)]
    crops = [portrait()[top : top + 240, left : left + 240] for top, left in corners]
    return [fd.degrade(x, downsampling=2, rng=rng, **settings) for x in crops]


@pytest.mark.parametrize("step", STEPS)
def test_the_step_that_made_photos_is_named(classifier, step):
    found = classifier.additions(photos(8, **STEPS[step]))
    assert step in [addition.step for addition in found[:2]]
    assert found[0].gain > 0.25
    assert next(addition.share for addition in found if addition.step == step) > 0.5


def test_the_proposal_holds_what_was_done_and_not_much_more(classifier, tmp_path):
    done = {"noise_sigma": 12, "sharpening_amount": 1.5, "sharpening_radius": 1}
    made = photos(8, 1, **done)
    import PIL.Image

    for k, pixels in enumerate(made):
        PIL.Image.fromarray(pixels).save(tmp_path / f"{k}.jpg", quality=88 + k % 2, subsampling="4:4:4")
    found = propose(classifier, read_images(tmp_path), photographs(), n_samples=800)
    assert "sharpening" in [addition.step for addition in found.additions]
    assert found.n_outside["sharpening"] <= found.n_outside[""] <= 8
    noise = found.space.axes[found.space.axis_index("noise_sigma")]
    assert noise.low <= 12 <= noise.high
    assert noise.high < 50
    quality = found.space.axes[found.space.axis_index("jpeg_quality")]
    assert (quality.low, quality.high) == (80, 96)  # known of the files, in two cells
    config = found.history.to_dict()["steps"]
    assert {"step": "JPEG", "jpeg_subsampling": {"choice": ["4:4:4"], "weights": [1.0]}} in config
    assert fd.History(config) == found.history
    found.history.check(found.space.names)


def test_steps_of_the_users_are_thought_of():
    step = Step("fading", Stage.PROCESSING, (Parameter("fading", "lost contrast", 0, 1),), lambda x, s, r: x)
    assert set(typical_steps(frozenset(), 4)) < {step.name for step in steps()}
    register(step)
    try:
        assert StepClassifier(3, steps=["fading"]).candidates == {"fading": {"step": "fading", "fading": [0, 1]}}
    finally:
        unregister(step)
    assert "motion blur" not in typical_steps(frozenset({"motion_length"}), 4)
    with pytest.raises(ValueError, match=r"steps: expected one of .*median.*got 'fading'"):
        StepClassifier(3, steps=["fading"])


def test_bad_input_of_the_verb_is_one_sentence(tmp_path, capsys):
    (tmp_path / "there.yaml").write_text("mine")
    command = ["space", "--references", str(tmp_path / "photos"), "--clean", str(tmp_path / "clean"), "-o"]
    for more, words in (
        ([str(tmp_path / "there.yaml")], "there.yaml: exists; pass --force to replace it"),
        ([str(tmp_path)], "expected a file to write, got a folder"),
        ([str(tmp_path / "new.yaml"), "--downsampling", "0.5"], "downsampling: expected"),
        ([str(tmp_path / "new.yaml")], "photos: no such folder"),
    ):
        assert main([*command, *more]) == 2
        error = capsys.readouterr().err
        assert words in error
        assert error.count("\n") == 1
    assert (tmp_path / "there.yaml").read_text() == "mine"
    assert not (tmp_path / "new.yaml").exists()


@pytest.mark.slow  # learns what all steps make
def test_the_file_of_the_verb_goes_into_space(tmp_path, capsys):
    import PIL.Image

    for folder, images in (("clean", photographs()), ("photos", photos(6, 2, **STEPS["sharpening"]))):
        (tmp_path / folder).mkdir()
        for k, pixels in enumerate(images):
            PIL.Image.fromarray(pixels).save(tmp_path / folder / f"{k}.png")
    folders = ["--references", str(tmp_path / "photos"), "--clean", str(tmp_path / "clean"), "--downsampling", "2"]
    own = tmp_path / "own.yaml"
    assert main(["space", *folders, "-o", str(own)]) == 0
    printed = capsys.readouterr().out
    assert "What each step buys" in printed
    assert printed.splitlines()[-1] == str(own)
    assert main(["estimate", *folders, "--space", str(own)]) == 0
