"""Files and run folders: written completely or not at all, whenever an interrupt comes; with the usual permissions."""

import os
import shutil
import stat

import pytest

import fastdeg as fd
from fastdeg.runs.folder import new_run_folder

BINS = fd.GridBins(fd.DegradationSpace([fd.Axis.regular("noise_sigma", 0, 50, 2)]))


def write_run(path, text, force=False):
    with new_run_folder(path, force=force) as folder:
        (folder / "run.json").write_text(text)
        (folder / "thumbnails").mkdir()
        (folder / "thumbnails" / "001.png").write_text(text)


def is_complete(path, text):
    files = [path / "run.json", path / "thumbnails" / "001.png"]
    return all(file.read_text() == text for file in files)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("number", [1, 2])
def test_an_interrupt_while_a_run_is_replaced_keeps_the_earlier_one(tmp_path, monkeypatch, when, number):
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
