"""From an estimate to a crafted run without fitting again; what is left out; a pipeline of the user's own."""

import json
import shutil

import cv2
import numpy as np
import pytest

import fastdeg as fd
from fastdeg.cli import main
from fastdeg.cli.demo import play_application
from fastdeg.runs.handover import load_transform

SPACE = """
axes:
  - {name: noise_sigma, low: 0, high: 40, n_bins: 4}
  - {name: jpeg_quality, low: 40, high: 90, n_bins: 2}
"""


@pytest.fixture(scope="module")
def user(tmp_path_factory):
    """A user's folder: clean images, photos, one of them a drawing that no degradation makes, and an estimate."""
    folder = tmp_path_factory.mktemp("user")
    application = play_application(np.random.default_rng(1))
    for name, images in (("clean", application.clean), ("photos", dict(list(application.references.items())[:8]))):
        (folder / name).mkdir()
        for file, pixels in images.items():
            cv2.imwrite(str(folder / name / file.replace(".jpg", ".png")), pixels[..., ::-1])
    checks = np.kron(np.indices((12, 12)).sum(axis=0) % 2, np.ones((10, 10)))
    cv2.imwrite(str(folder / "photos" / "drawing.png"), (255 * checks).astype(np.uint8))
    (folder / "space.yaml").write_text(SPACE)
    photos = ["--references", str(folder / "photos"), "--clean", str(folder / "clean"), "--history", "plain"]
    assert main(["estimate", *photos, "--space", str(folder / "space.yaml"), "-o", str(folder / "estimate")]) == 0
    return folder


def craft(user, out, *more):
    return ["craft", "--estimate", str(user / "estimate"), "--generalization", "0.2", "-o", str(out), *map(str, more)]


def test_an_estimate_is_crafted_on_without_fitting_again(user, tmp_path, capsys):
    shutil.copytree(user / "clean", tmp_path / "clean")  # not needed any more
    assert main(craft(user, tmp_path / "run", "--json")) == 0
    summary = json.loads(capsys.readouterr().out)
    estimate = json.loads((user / "estimate" / "run.json").read_text())
    q, again = (fd.BinnedDistribution.load(run / "target.npz") for run in (user / "estimate", tmp_path / "run"))
    np.testing.assert_allclose(again.pmf, q.pmf, atol=1e-12)
    assert summary["inputs"]["estimate"] == str(user / "estimate")
    assert summary["inputs"]["clean"] == estimate["inputs"]["clean"]
    outside = [row["file"] for row in estimate["images"] if row["outside"]]
    assert "drawing.png" in outside
    chosen = {row["file"] for row in summary["references"]}
    assert len(chosen) == 9 - len(outside)
    assert not chosen & set(outside)
    assert any("drawing.png; selections leave them out" in note for note in summary["notes"])
    choice = ["select", str(tmp_path / "run"), "--images", str(user / "photos"), "--n-references"]
    assert main([*choice, "9"]) == 2
    assert f"expected 1 to {9 - len(outside)}, the images of" in capsys.readouterr().err
    assert main([*choice, str(9 - len(outside)), "--json"]) == 0
    assert {row["file"] for row in json.loads(capsys.readouterr().out)["references"]} == chosen


def test_an_estimate_is_crafted_on_by_decibels(user, tmp_path, capsys):
    moved = shutil.copytree(user / "clean", tmp_path / "moved")
    options = ["--estimate", str(user / "estimate"), "--allow-loss", "0.1", "--n-references", "0", "--json"]
    assert main(["craft", *options, "--clean", str(tmp_path / "nowhere"), "-o", str(tmp_path / "run")]) == 2
    assert "nowhere: no such folder, of the clean images; --clean says where they are now" in capsys.readouterr().err
    assert main(["craft", *options, "--clean", str(moved), "-o", str(tmp_path / "run")]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["inputs"]["clean"] == str(moved)
    crafted = next(row for row in summary["comparison"] if row["distribution"].startswith("crafted"))
    assert -0.1 <= crafted["prior_gain"] - crafted["prior_gain_error"] < -0.05


def test_no_references(user, tmp_path, capsys):
    assert main(craft(user, tmp_path / "run", "--n-references", "0", "--json")) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["references"] == []
    assert summary["selection"] is None
    assert not (tmp_path / "run" / "references.csv").exists()
    assert "Selected references" not in (tmp_path / "run" / "report.html").read_text()
    assert main(["report", str(tmp_path / "run")]) == 0


def test_photos_that_are_not_those_of_the_estimate_are_refused(user, tmp_path, capsys):
    shutil.copytree(user / "photos", tmp_path / "moved")
    assert main(craft(user, tmp_path / "run", "--references", tmp_path / "moved", "--n-references", 0)) == 0
    capsys.readouterr()
    (tmp_path / "moved" / "hopper-01.png").rename(tmp_path / "moved" / "another.png")
    for more, words in (
        (["--references", tmp_path / "moved"], "expected the 9 photos of"),
        (["--references", tmp_path / "nowhere"], "--references says where they are now"),
        (["--clean", user / "clean"], "--clean: goes with a fit, not with --estimate"),
        (["--n-references", -1], "--n-references: expected a whole number >= 0, got -1"),
    ):
        assert main(craft(user, tmp_path / "new", *more)) == 2
        assert words in capsys.readouterr().err
    assert main(["craft", "--estimate", str(tmp_path / "run"), "-o", str(tmp_path / "new")]) == 2
    assert "--estimate: expected a run of the verb estimate, got one of craft" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


@pytest.mark.slow  # a fit by a pipeline that has no fast form
def test_a_pipeline_of_the_users_own_from_the_photos_to_the_transform(user, tmp_path, monkeypatch, capsys):
    (tmp_path / "twice.py").write_text(
        "import fastdeg as fd\n"
        "def twice_compressed(image, parameters, rng):\n"
        "    low = fd.degrade(image, downsampling=4, noise_sigma=parameters['noise'], jpeg_quality=70, rng=rng)\n"
        "    return fd.degrade(low, jpeg_quality=parameters['last_quality'])\n"
    )
    (tmp_path / "space.yaml").write_text(SPACE.replace("noise_sigma", "noise").replace("jpeg_", "last_"))
    monkeypatch.chdir(tmp_path)
    photos = ["--references", str(user / "photos"), "--clean", str(user / "clean"), "--space", "space.yaml"]
    own = ["--degrade", "twice:twice_compressed"]
    assert main(["craft", *photos, *own, "--noise", "gray", "-o", "run"]) == 2
    assert "--noise: goes with the built-in chain, not with --degrade" in capsys.readouterr().err
    assert main(["craft", *photos, *own, "--generalization", "0.2", "-o", "run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["inputs"]["degrade"] == "twice:twice_compressed"
    assert (tmp_path / "run" / "report.html").stat().st_size > 10_000
    low, parameters = load_transform("run", seed=0)(np.zeros((64, 64, 3), np.uint8), index=0)
    assert low.shape == (16, 16, 3)
    assert set(parameters) == {"noise", "last_quality"}
    assert main(["select", "run", "--images", str(user / "photos"), "--n-references", "2"]) == 0
