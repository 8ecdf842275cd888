"""Files and run folders: written completely or not at all, whenever an interrupt comes; with the usual permissions."""

import os
import shutil
import stat
import subprocess
import sys
import time

import numpy as np
import pytest

import fastdeg as fd
from fastdeg.cli import main
from fastdeg.runs.folder import new_run_folder, read_summary, summary_head, write_csv, write_json

BINS = fd.GridBins(fd.DegradationSpace([fd.Axis.regular("noise_sigma", 0, 50, 2)]))


def write_run(path, text, force=False):
    with new_run_folder(path, force=force) as folder:
        write_json(folder / "run.json", summary_head("craft", {"annotations": text}))
        (folder / "thumbnails").mkdir()
        (folder / "thumbnails" / "001.png").write_text(text)


def is_complete(path, text):
    return read_summary(path)["inputs"] == {"annotations": text} and (path / "thumbnails/001.png").read_text() == text


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("number", [1, 2])
def test_an_interrupt_while_a_run_is_replaced_keeps_the_earlier_one(tmp_path, monkeypatch, when, number):
    monkeypatch.setattr(sys, "platform", "a system that cannot swap two folders")
    write_run(tmp_path / "run", "earlier")
    calls, rename = [], os.rename

    def interrupted(*arguments, **options):
        calls.append(arguments)
        if len(calls) == number and when == "before":
            raise KeyboardInterrupt
        rename(*arguments, **options)
        if len(calls) == number:
            raise KeyboardInterrupt

    monkeypatch.setattr(os, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_run(tmp_path / "run", "new", force=True)
    assert is_complete(tmp_path / "run", "earlier")
    assert os.listdir(tmp_path) == ["run"]


def test_an_interrupt_while_the_earlier_run_is_removed_leaves_the_new_one_alone(tmp_path, monkeypatch):
    write_run(tmp_path / "run", "earlier")
    remove, calls = shutil.rmtree, []

    def interrupted(path, *arguments, **options):
        calls.append(path)
        if len(calls) == 1:
            remove(path / "thumbnails")
            raise KeyboardInterrupt
        remove(path, *arguments, **options)

    monkeypatch.setattr(shutil, "rmtree", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_run(tmp_path / "run", "new", force=True)
    assert is_complete(tmp_path / "run", "new")
    assert os.listdir(tmp_path) == ["run"]


def test_a_run_that_fails_leaves_nothing(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError), new_run_folder(tmp_path / "run") as folder:
        shutil.copytree(tmp_path / "file", folder / "thumbnails")
    (tmp_path / "file").unlink()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(("mask", "of_file", "of_folder"), [(0o022, 0o644, 0o755), (0o077, 0o600, 0o700)])
def test_permissions_are_the_callers_and_the_mask_is_never_changed(tmp_path, monkeypatch, mask, of_file, of_folder):
    before = os.umask(mask)

    def changed(_):
        raise AssertionError("for that moment, files of other threads would be open to everybody")

    try:
        with monkeypatch.context() as patch:
            patch.setattr(os, "umask", changed)
            fd.BinnedDistribution.uniform(BINS).save(tmp_path / "q.npz")
            write_run(tmp_path / "run", "new")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "q.npz").stat().st_mode) == of_file
    assert stat.S_IMODE((tmp_path / "run").stat().st_mode) == of_folder


@pytest.fixture
def command(tmp_path):
    """What crafts from a small table into tmp_path / out, but for the output."""
    rng = np.random.default_rng(0)
    table = tmp_path / "t.csv"
    rows = [f"{b:.3f},{n:.2f},{q:.1f}" for b, n, q in rng.random((60, 3)) * [5, 50, 60] + [0, 0, 30]]
    table.write_text("blur_sigma,noise_sigma,jpeg_quality\n" + "\n".join(rows) + "\n")
    options = ["--space", "paper", "--generalization", "0.1", "--n-references", "0"]
    return ["craft", "--annotations", str(table), *options]


@pytest.mark.parametrize("summary", ["{}", '{"format": "other"}', "no JSON", None])
def test_force_keeps_what_is_no_run(tmp_path, command, capsys, summary):
    folder = tmp_path / "d"
    folder.mkdir()
    (folder / "thesis.txt").write_text("x")
    if summary is not None:
        (folder / "run.json").write_text(summary)
    assert main([*command, "-o", str(folder), "--force"]) == 2
    assert "exists and is not the folder of an earlier run" in capsys.readouterr().err
    assert (folder / "thesis.txt").read_text() == "x"


def test_force_replaces_a_run_only_where_nothing_else_lies_beside_it(tmp_path, command, capsys):
    folder = tmp_path / "d"
    assert main([*command, "-o", str(folder)]) == 0
    before = (folder / "run.json").read_bytes()
    for other in ("thesis.txt", "bins2.csv", "thumbnails/my own.png"):
        (folder / other).parent.mkdir(exist_ok=True)
        (folder / other).write_text("x")
        assert main([*command, "-o", str(folder), "--force"]) == 2
        assert f"holds {other}, which is not of the earlier run" in capsys.readouterr().err
        assert (folder / "run.json").read_bytes() == before
        (folder / other).unlink()
    assert main([*command, "-o", str(folder), "--force"]) == 0
    assert (folder / "run.json").read_bytes() != before


def test_a_link_stays_and_the_run_is_written_where_it_leads(tmp_path, command):
    link, place = tmp_path / "link", tmp_path / "place"
    place.mkdir()
    link.symlink_to(place)
    assert main([*command, "-o", str(link)]) == 0
    assert link.is_symlink()
    assert read_summary(place)["verb"] == "craft"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "place", "t.csv"]


def test_the_current_folder_is_refused_before_the_work(tmp_path, command, monkeypatch, capsys):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for output in (".", "..", str(tmp_path)):
        assert main([*command[:2], "no such table", *command[3:], "-o", output]) == 2
        assert "is the current folder, or holds it" in capsys.readouterr().err


def test_sigterm_leaves_a_whole_run_or_nothing(tmp_path, command):
    process = subprocess.Popen([sys.executable, "-m", "fastdeg.cli", *command, "-o", str(tmp_path / "run"), "--quiet"])
    while process.poll() is None and not list(tmp_path.glob(".run.*")):
        time.sleep(0.001)
    process.terminate()
    assert process.wait(60) in (0, 143)
    assert not list(tmp_path.glob(".*"))
    if (tmp_path / "run").exists():
        assert read_summary(tmp_path / "run")["verb"] == "craft"


def test_names_that_are_no_utf8_are_written(tmp_path):
    name = os.fsdecode(b"caf\xe9.png")
    write_json(tmp_path / "run.json", summary_head("estimate", {"photo": name}))
    assert read_summary(tmp_path)["inputs"]["photo"] == name
    write_csv(tmp_path / "images.csv", [{"file": name}])
    assert (tmp_path / "images.csv").read_text() == "file\ncaf\\udce9.png\n"


def test_output_never_fails_for_its_encoding(tmp_path, command):
    whole = [*command, "-o", str(tmp_path / "run")]
    for encoding, arguments in (("cp1252", ["craft", "--help"]), ("cp437", ["craft", "--help"]), ("ascii", whole)):
        environment = os.environ | {"PYTHONIOENCODING": encoding}
        done = subprocess.run(
            [sys.executable, "-m", "fastdeg.cli", *arguments], env=environment, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr
        done.stdout.decode(encoding)
