"""Pairs on disk: the same bytes for any number of workers and after a kill; what is kept, passed over and refused."""

import filecmp
import json
import os
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

import fastdeg as fd
from fastdeg.cli import main
from fastdeg.runs.folder import read_csv, summary_head, write_json
from fastdeg.runs.handover import load_transform

SPACE = fd.DegradationSpace([fd.Axis.regular("noise_sigma", 0, 30, 3), fd.Axis.regular("jpeg_quality", 50, 90, 2)])


def write_run(folder, space=SPACE, **inputs):
    """What degrade reads of a run folder: the summary's inputs and the crafted distribution."""
    folder.mkdir()
    write_json(folder / "run.json", summary_head("craft", inputs))
    fd.BinnedDistribution.uniform(fd.GridBins(space)).save(folder / "crafted.npz")


@pytest.fixture
def user(tmp_path):
    """A user's folder: clean images of odd sizes, one of them grey, and a run."""
    (tmp_path / "clean").mkdir()
    for i in range(8):
        pixels = np.random.default_rng(i).integers(0, 256, (201 + i, 302, 3), dtype=np.uint8)
        pixels = cv2.GaussianBlur(pixels, (0, 0), 2)
        cv2.imwrite(str(tmp_path / "clean" / f"{i}.png"), pixels[..., 0] if i == 3 else pixels)
    write_run(tmp_path / "run", downsampling=4, noise="color")
    return tmp_path


def degrade(user, out, *more):
    return ["degrade", str(user / "clean"), "--run", str(user / "run"), "-o", str(user / out), *map(str, more)]


def assert_same_files(one, other):
    for folder in ("", "lq", "hq"):
        names = sorted(os.listdir(one / folder))
        assert names == sorted(os.listdir(other / folder))
        files = [name for name in names if (one / folder / name).is_file()]
        assert filecmp.cmpfiles(one / folder, other / folder, files, shallow=False)[0] == files


def test_pairs_are_the_same_bytes_for_any_number_of_workers(user, capsys):
    for workers in (1, 2, 4):
        assert main(degrade(user, f"out-{workers}", "--workers", workers)) == 0
        assert "8 pairs, 8 of them new" in capsys.readouterr().out
    assert_same_files(user / "out-1", user / "out-2")
    assert_same_files(user / "out-1", user / "out-4")
    rows = read_csv(user / "out-1" / "parameters.csv")
    assert [row["file"] for row in rows] == [f"{i}.png" for i in range(8)]
    assert len({row["noise_sigma"] for row in rows}) == 8
    transform = load_transform(user / "run", seed=0)
    for row in rows:
        low, clean = (cv2.imread(str(user / "out-1" / folder / row["file"]), -1) for folder in ("lq", "hq"))
        assert clean.shape[:2] == tuple(4 * side for side in low.shape[:2])
        original = cv2.imread(str(user / "clean" / row["file"]), -1)
        np.testing.assert_array_equal(clean, original[: clean.shape[0], : clean.shape[1]])
        assert SPACE.axes[1].low <= float(row["jpeg_quality"]) <= SPACE.axes[1].high
    assert transform.noise == "color"
    assert main(degrade(user, "other", "--seed", 1)) == 0
    assert {r["noise_sigma"] for r in rows}.isdisjoint(
        r["noise_sigma"] for r in read_csv(user / "other" / "parameters.csv")
    )


def test_a_killed_run_goes_on_to_the_same_files(user, capsys):
    assert main(degrade(user, "whole")) == 0
    out = user / "killed"
    process = subprocess.Popen([sys.executable, "-m", "fastdeg.cli", *degrade(user, "killed", "--workers", 2)])
    journal = out / "pairs.jsonl"
    while process.poll() is None and not (journal.is_file() and len(journal.read_text().splitlines()) >= 3):
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with journal.open("a") as file:
        file.write('{"file": "7.p')  # a line cut in the middle, and a file that was never moved into place
    (out / "lq" / ".7.png.0123456789abcdef").write_bytes(b"half")
    (out / "hq" / "0.png").unlink()  # lost since
    capsys.readouterr()
    assert main(degrade(user, "killed", "--json")) == 0
    shown = json.loads(capsys.readouterr().out)
    assert 1 <= shown["new"] <= 8
    assert len(shown["pairs"]) == 8
    for folder in ("lq", "hq"):
        assert sorted(os.listdir(out / folder)) == sorted(os.listdir(user / "whole" / folder))
        names = os.listdir(out / folder)
        assert set(filecmp.cmpfiles(out / folder, user / "whole" / folder, names, shallow=False)[0]) == set(names)
    assert (out / "parameters.csv").read_bytes() == (user / "whole" / "parameters.csv").read_bytes()
    assert main(degrade(user, "killed")) == 0
    assert "8 pairs, 0 of them new" in capsys.readouterr().out


def test_more_images_change_none_of_those_that_are_there(user, capsys):
    assert main(degrade(user, "out")) == 0
    before = read_csv(user / "out" / "parameters.csv")
    cv2.imwrite(str(user / "clean" / "0a.png"), np.zeros((64, 64, 3), np.uint8))
    assert main(degrade(user, "out")) == 0
    assert "9 pairs, 1 of them new" in capsys.readouterr().out
    after = read_csv(user / "out" / "parameters.csv")
    assert [row for row in after if row["file"] != "0a.png"] == before


def refused(capsys, arguments):
    assert main(arguments) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    return line


def test_what_is_refused(user, capsys):
    assert main(degrade(user, "out")) == 0
    capsys.readouterr()
    assert "holds pairs made with another seed (0, not 3)" in refused(capsys, degrade(user, "out", "--seed", 3))
    assert "holds pairs made with another downsampling" in refused(capsys, degrade(user, "out", "--downsampling", 2))
    assert "holds no pairs of degrade" in refused(capsys, degrade(user, "clean"))
    assert "--workers: expected a whole number >= 1, got 0" in refused(capsys, degrade(user, "new", "--workers", 0))
    (user / "run" / "crafted.npz").unlink()
    assert "without crafted.npz" in refused(capsys, degrade(user, "new"))
    assert not (user / "new").exists()


def test_images_that_cannot_be_used_are_named_and_passed_over_where_asked_for(user, capsys):
    (user / "clean" / "cut.png").write_bytes((user / "clean" / "1.png").read_bytes()[:500])
    cv2.imwrite(str(user / "clean" / "tiny.png"), np.zeros((3, 3, 3), np.uint8))
    assert "cut.png" in refused(capsys, degrade(user, "out"))
    assert main(degrade(user, "out", "--skip-bad")) == 0
    captured = capsys.readouterr()
    assert "8 pairs" in captured.out
    assert "cut.png" in captured.err
    assert "tiny.png: image: expected sides of at least 4 pixels" in captured.err


def test_one_factor_where_the_distribution_has_several(user, capsys):
    axes = [fd.Axis.levels("downsampling", [2, 3]), fd.Axis.regular("noise_sigma", 0, 30, 3)]
    write_run(user / "factors", fd.DegradationSpace(axes))
    command = ["degrade", str(user / "clean"), "--run", str(user / "factors"), "-o", str(user / "out")]
    assert main([*command, "--downsampling", "3", "--json"]) == 0
    assert {row["downsampling"] for row in json.loads(capsys.readouterr().out)["pairs"]} == {3}
    assert cv2.imread(str(user / "out" / "hq" / "0.png")).shape == (201, 300, 3)


def test_a_pipeline_of_the_users_own(user, monkeypatch, capsys):
    (user / "negatives.py").write_text("def negative(image, parameters, rng):\n    return 255 - image[::2, ::2]\n")
    monkeypatch.chdir(user)
    write_run(user / "own", fd.DegradationSpace([fd.Axis.levels("twist", [1, 2])]), degrade="negatives:negative")
    command = ["degrade", str(user / "clean"), "--run", str(user / "own"), "-o", str(user / "out")]
    assert main(command) == 0
    original, low = (cv2.imread(str(user / folder / "0.png")) for folder in ("clean", "out/lq"))
    np.testing.assert_array_equal(low, 255 - original[::2, ::2])
    for name, words in (
        ("negatives", "expected module:function"),
        ("negatives:positive", "has no attribute 'positive'"),
        ("nowhere:f", "No module named 'nowhere'"),
    ):
        write_run(user / f"run-{name.replace(':', '-')}", degrade=name)
        bad = [*command[:3], str(user / f"run-{name.replace(':', '-')}"), "-o", str(user / "bad")]
        assert words in refused(capsys, bad)


def test_the_history_that_a_run_was_made_with(user, capsys):
    history = fd.History([{"step": "sharpening", "probability": 0.5, "sharpening_amount": [0.5, 1.5]}])
    write_run(user / "with-history", downsampling=4, history=history.to_dict())
    command = ["degrade", str(user / "clean"), "--run", str(user / "with-history"), "-o"]
    for workers in ("1", "3"):
        assert main([*command, str(user / workers), "--workers", workers]) == 0
    assert_same_files(user / "1", user / "3")
    rows = read_csv(user / "1" / "parameters.csv")
    sharpened = [row["sharpening_amount"] for row in rows]
    assert 0 < sharpened.count("") < len(rows)  # it happened to some
    assert all(0.5 <= float(amount) <= 1.5 for amount in sharpened if amount)
    assert {row["jpeg_quality"] for row in rows} != {""}
