"""Real faults at each write of each saver: a kill, a full disk. What was there before is intact, or whole and new."""

import errno
import os
import resource
import shutil
import signal
import sys

import cv2
import numpy as np
import pytest

import fastdeg as fd
from fastdeg.cli import main
from fastdeg.runs.folder import new_run_folder, read_csv, read_summary, summary_head, write_csv, write_json
from fastdeg.runs.workflow import Candidates, craft_run, save_run, summarize

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks and limits of the size of files")

BINS = fd.GridBins(fd.DegradationSpace([fd.Axis.regular("noise_sigma", 0, 50, 4)]))
RAMP = (np.add.outer(np.arange(200), np.arange(240)) // 2 % 256).astype(np.uint8)
DONE, FAILED, WRONG = 0, 3, 4  # how a child ends


def uniform(which):
    return fd.BinnedDistribution(BINS, np.roll([0.1, 0.2, 0.3, 0.4], which))


def command(*arguments):
    if main([*map(str, arguments), "--quiet"]) != 0:
        raise OSError("told in one line")


# each saver: what writes content 0 or 1 to a path, and what reads that and fails where it is not whole


def distribution(folder):
    contents = [uniform(0), uniform(1)]
    return lambda path, which: contents[which].save(path), lambda path: fd.BinnedDistribution.load(path).pmf.tolist()


def accumulator(folder):
    contents = [fd.Accumulator(BINS).update(np.full((n, 1), 20.0)) for n in (3, 5)]
    return lambda path, which: contents[which].save(path), lambda path: fd.Accumulator.load(path).weight


def estimator(folder):
    options = {"downsampling": 2, "n_samples": 200, "patch_size": 48}
    contents = [fd.DegradationEstimator(BINS, **options, random_state=k).fit([RAMP]) for k in (0, 1)]
    return lambda path, which: contents[which].save(path), lambda path: fd.DegradationEstimator.load(path).random_state


def forecast(folder):
    clean = [np.dstack([np.roll(RAMP, k, 0)] * 3) for k in range(3)]
    contents = [fd.TrainingForecast(BINS, random_state=k).fit(clean) for k in (0, 1)]
    return lambda path, which: contents[which].save(path), lambda path: fd.TrainingForecast.load(path).random_state


def run_folder(folder):
    def write(path, which):
        with new_run_folder(path, force=True) as run:
            uniform(which).save(run / "target.npz")
            write_csv(run / "bins.csv", [{"bin": which}])
            (run / "thumbnails").mkdir()
            (run / "thumbnails" / "001.png").write_bytes(bytes([which]) * 5_000)
            write_json(run / "run.json", summary_head("craft", {"which": which}))

    def read(path):
        which = read_summary(path)["inputs"]["which"]
        assert fd.BinnedDistribution.load(path / "target.npz") == uniform(which)
        assert read_csv(path / "bins.csv") == [{"bin": str(which)}]
        assert (path / "thumbnails" / "001.png").read_bytes() == bytes([which]) * 5_000
        return which

    return write, read


def crafted(folder, which=0):
    """A run that other verbs start from."""
    run = folder / f"crafted{which}"
    run.mkdir()
    write_json(run / "run.json", summary_head("craft", {"downsampling": 2}))
    uniform(which).save(run / "crafted.npz")
    return run


def export(folder):
    runs = [crafted(folder, which) for which in (0, 1)]

    def write(path, which):
        command("export", runs[which], "--to", "csv", "-o", path, "--force")

    return write, lambda path: path.read_text()


def pairs(folder):
    """Pairs are added one by one: what is complete stays, and another call completes the rest."""
    run = crafted(folder)
    for which in (0, 1):
        (folder / f"clean{which}").mkdir()
        for k in range(1 + which):
            cv2.imwrite(str(folder / f"clean{which}" / f"{k}.png"), np.roll(RAMP, k, 0))

    def write(path, which):
        command("degrade", folder / f"clean{which}", "--run", run, "-o", path, "--workers", 1)

    def read(path):
        for kind, side in (("lq", 100), ("hq", 200)):
            assert all(cv2.imread(str(file)).shape[0] == side for file in (path / kind).glob("[!.]*"))
        return [row["file"] for row in read_csv(path / "parameters.csv")]

    return write, read


def at_operation(number, folder, act):
    """Act where so many files have been opened for writing, made, renamed or removed, and from then on."""
    count = 0

    def hook(event, arguments):
        nonlocal count
        writes = event in ("os.rename", "os.mkdir", "os.remove", "os.rmdir") or (
            event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        )
        if writes and str(folder) in str(arguments[0]):
            count += 1
            if count >= number:
                act(event)

    sys.addaudithook(hook)


def kill(event):
    os.kill(os.getpid(), signal.SIGKILL)


def fill_the_disk(event):
    if event in ("open", "os.mkdir"):  # what is there can still be renamed and removed
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def limit_files(size, action):
    """Let writes beyond a size fail, or end the process in the middle of them."""
    signal.signal(signal.SIGXFSZ, action)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def child(fault, write):
    """Run in a fork, and return how it ended: its status, or minus the signal that ended it."""
    pid = os.fork()
    if pid == 0:
        status = WRONG
        try:
            fault()
            write()
            status = DONE
        except OSError:
            status = FAILED
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def tree(path):
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return {file: file.read_bytes() for file in files}


def suffer(place, write, read, *, one_by_one=False):
    """Let each fault come while content 0 is replaced by content 1."""
    path = place / "out"
    place.mkdir()
    write(path, 1)
    new, sizes = read(path), {len(content) for content in tree(path).values()}
    shutil.rmtree(place)
    place.mkdir()
    write(path, 0)
    old = read(path)
    assert new != old

    def fails(fault, endings):
        before = tree(path)
        status = child(fault, lambda: write(path, 1))
        assert status in (DONE, *endings)
        assert read(path) in (old, new)
        if status == FAILED:
            assert read(path) == old
            assert one_by_one or tree(path) == before
            assert not [entry for entry in place.rglob("*") if entry.name.startswith(".")]
        write(path, 1)  # nothing is in the way of another try
        assert read(path) == new
        shutil.rmtree(place)
        place.mkdir()
        write(path, 0)
        return status != DONE

    n_failed = 0
    for act, endings in ((kill, {-signal.SIGKILL}), (fill_the_disk, {FAILED})):
        number = 1
        while fails(lambda number=number, act=act: at_operation(number, place, act), endings):
            number += 1
        n_failed += number - 1
    for size in sorted({0, 1, *(n // 2 for n in sizes), *(n - 1 for n in sizes)}):
        for action, endings in ((signal.SIG_DFL, {-signal.SIGXFSZ}), (signal.SIG_IGN, {FAILED})):
            n_failed += fails(lambda size=size, action=action: limit_files(size, action), endings)
    return n_failed


@pytest.mark.parametrize("saver", [distribution, accumulator, estimator, forecast, run_folder, export, pairs])
def test_a_fault_at_each_write_leaves_what_was_there(saver, tmp_path):
    n_failed = suffer(tmp_path / "place", *saver(tmp_path), one_by_one=saver is pairs)
    print(f"{n_failed} faults", end=" ")
    assert n_failed >= 8


@pytest.mark.slow
def test_a_fault_at_each_write_of_a_whole_run_leaves_the_earlier_one(tmp_path):
    rng = np.random.default_rng(0)
    parameters = rng.uniform(0, 50, (12, 1))
    images = [rng.integers(0, 256, (40, 40, 3), dtype=np.uint8) for _ in range(12)]
    names = tuple(f"{k}.png" for k in range(12))
    candidates = Candidates(names, parameters, parameters, BINS.assign(parameters), images)
    runs = [craft_run(uniform(k), candidates, n_references=2) for k in (0, 1)]
    summaries = [summarize(run, "craft", {"which": k}) for k, run in enumerate(runs)]

    def write(path, which):
        save_run(path, runs[which], summaries[which], force=True)

    def read(path):
        which = read_summary(path)["inputs"]["which"]
        assert fd.BinnedDistribution.load(path / "target.npz") == uniform(which)
        assert (path / "report.html").read_text().rstrip().endswith("</html>")
        return which

    assert suffer(tmp_path / "place", write, read) >= 20
