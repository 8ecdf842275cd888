"""Work on images gives the same numbers on threads, on processes and on a cluster, from arrays and from files."""

import signal
import subprocess
import sys
import time

import cv2
import joblib
import numpy as np
import psutil
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import fastdeg as fd
from fastdeg.cli import main
from fastdeg.images import list_images, read_images
from fastdeg.runs.folder import summary_head, write_json

PATIENCE = 120  # seconds, for what takes some


def photos(n, side, seed):
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 256, (n, side, side, 3), dtype=np.uint8)
    return [cv2.GaussianBlur(picture, (0, 0), 1.5) for picture in noise]


@pytest.fixture(scope="module")
def space():
    return fd.DegradationSpace([fd.Axis.regular("noise_sigma", 0, 50, 5), fd.Axis.levels("jpeg_quality", [30, 90])])


@pytest.fixture(scope="module")
def reading(space):
    """What is read, threads of this process at work."""
    return read(space)


def read(space, images=None, clean=None, **options):
    estimator = fd.DegradationEstimator(fd.GridBins(space), downsampling=2, n_samples=200, patch_size=32)
    estimator.fit(photos(3, 120, 0) if clean is None else clean, **options)
    return estimator.log_likelihood(photos(5, 60, 1) if images is None else images)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return written(photos(5, 60, 1), tmp_path_factory.mktemp("photos"))


def written(pictures, path):
    for i, picture in enumerate(pictures):
        cv2.imwrite(str(path / f"{i}.png"), picture[..., ::-1])
    return path


def test_threads_and_files(space, reading, folder, tmp_path):
    assert_array_equal(read(space, threads=1), reading)
    with joblib.parallel_config("threading", n_jobs=3):
        assert_array_equal(read(space), reading)
    clean = written(photos(3, 120, 0), tmp_path)
    assert_array_equal(read(space, list_images(folder), list_images(clean)), reading)
    some_kept = read_images(clean, max_bytes=120 * 120 * 3).files
    assert [file.kept for file in some_kept] == [True, False, False]
    assert_array_equal(read(space, read_images(folder).files, some_kept), reading)
    with pytest.raises(ValueError, match=r"0\.png: is 60 × 60: expected sides of at least 120 pixels"):
        fd.DegradationEstimator(fd.GridBins(space), downsampling=5, n_samples=50).fit(list_images(folder))


def test_processes(space, reading):
    with joblib.parallel_config("loky", n_jobs=2):
        assert_array_equal(read(space), reading)


@pytest.mark.parametrize(
    "n_workers", [2, pytest.param(1, marks=pytest.mark.slow), pytest.param(4, marks=pytest.mark.slow)]
)
def test_a_cluster(space, reading, n_workers):
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": n_workers, "threads_per_worker": 1, "dashboard_address": None}
    with (
        distributed.LocalCluster(**options) as cluster,
        distributed.Client(cluster) as client,
        joblib.parallel_config("dask", client=client),
    ):
        assert_array_equal(read(space), reading)


def test_pieces_say_what_all_images_at_once_say(space, folder, monkeypatch):
    estimator = fd.DegradationEstimator(fd.GridBins(space), downsampling=2, n_samples=200, patch_size=32)
    estimator.fit(photos(3, 120, 0))
    whole = estimator.infer(list_images(folder), outside_level=0.2)
    monkeypatch.setattr("fastdeg.images.description.PIECE", 2)
    pieces = estimator.infer(list_images(folder), outside_level=0.2)
    assert_allclose(pieces.outside_p_values, whole.outside_p_values, rtol=1e-12)
    assert_allclose(pieces.posterior, whole.posterior, rtol=1e-5, atol=1e-9)
    assert_array_equal(pieces.outside, whole.outside)
    summarized = estimator.summarize(list_images(folder))
    assert estimator.infer(summarized, outside_level=0.2) == pieces
    assert_array_equal(estimator.predict(summarized), pieces.parameters)
    kept = np.arange(5) != 2
    for method in (estimator.embed, *(lambda x, k=k: estimator.feature_moments(x)[k] for k in range(2))):
        some = [path for path, keep in zip(list_images(folder), kept, strict=True) if keep]
        assert_allclose(method(summarized.of(kept)), method(some), rtol=1e-5, atol=1e-6)
    estimator.fit(photos(3, 120, 2))
    with pytest.raises(ValueError, match="images: summarized by another estimator"):
        estimator.predict(summarized)


def test_a_file_that_is_no_image_is_named(space, reading, folder, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no image")
    estimator = fd.DegradationEstimator(fd.GridBins(space), downsampling=2, n_samples=200, patch_size=32)
    estimator.fit(photos(3, 120, 0))
    with pytest.raises(ValueError, match=r"broken\.png: is no PNG"):
        estimator.predict([*list_images(folder), tmp_path / "broken.png"])


@pytest.fixture(scope="module")
def run(tmp_path_factory, space):
    path = tmp_path_factory.mktemp("crafted") / "run"
    path.mkdir()
    q = fd.BinnedDistribution.uniform(fd.GridBins(space))
    q.save(path / "crafted.npz")
    write_json(path / "run.json", summary_head("craft", {"downsampling": 2, "noise": "gray"}))
    return path


def test_the_command_line_on_a_cluster_of_its_own(run, folder, tmp_path, capfd):
    pytest.importorskip("distributed")
    degrade = ["degrade", str(folder), "--run", str(run), "--downsampling", "2", "-o"]
    assert main([*degrade, str(tmp_path / "here")]) == 0
    assert main([*degrade, str(tmp_path / "there"), "--dask", "local", "--threads", "2"]) == 0
    assert "Dask: 2 workers, dashboard http" in capfd.readouterr().err
    for i in range(5):
        assert (tmp_path / "here/lq" / f"{i}.png").read_bytes() == (tmp_path / "there/lq" / f"{i}.png").read_bytes()
    assert main([*degrade, str(tmp_path / "no"), "--dask", "tcp://127.0.0.1:9"]) == 2
    assert "no scheduler answers" in capfd.readouterr().err


@pytest.fixture
def degrading(run, tmp_path):
    """The verb at work on many images on a cluster of its own: its process, those of its workers, and how many."""
    pytest.importorskip("distributed")
    many, n = tmp_path / "many", 1_500
    many.mkdir()
    for i in range(n):
        (many / f"{i}.png").hardlink_to(many / "0.png") if i else cv2.imwrite(str(many / "0.png"), photos(1, 400, 0)[0])
    command = [sys.executable, "-m", "fastdeg.cli", "degrade", str(many), "--run", str(run), "--downsampling", "2"]
    command += ["-o", str(tmp_path / "pairs"), "--dask", "local", "--threads", "2"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        begun = time.monotonic()
        while not list((tmp_path / "pairs/lq").glob("*.png")):
            assert process.poll() is None
            assert time.monotonic() < begun + PATIENCE
            time.sleep(0.1)
        yield process, psutil.Process(process.pid).children(recursive=True), n


@pytest.mark.slow
def test_an_interrupt_on_a_cluster_ends_it(degrading):
    process, workers, _ = degrading
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert errors.strip().splitlines()[-1].startswith("fastdeg: interrupted")
    assert "Traceback" not in errors
    assert workers
    assert not psutil.wait_procs(workers, timeout=PATIENCE)[1]


@pytest.mark.slow
def test_a_worker_that_is_killed_is_replaced(degrading, tmp_path):
    process, workers, n = degrading
    next(w for w in workers if "spawn_main" in " ".join(w.cmdline()) and w.children() == []).kill()
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert len(list((tmp_path / "pairs/lq").glob("*.png"))) == len(list((tmp_path / "pairs/hq").glob("*.png"))) == n
    assert len((tmp_path / "pairs/parameters.csv").read_text().splitlines()) == n + 1


ESTIMATE = """
import sys
from fastdeg.cli import main
assert main(sys.argv[1:]) == 0
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.slow
def test_a_folder_of_any_size_is_estimated_in_the_same_memory(tmp_path):
    clean = written(photos(8, 160, 0), tmp_path)
    peaks = []
    for n in (1_000, 6_000):
        folder = tmp_path / str(n)
        folder.mkdir()
        low = [
            fd.degrade(x, downsampling=2, noise_sigma=20.0, jpeg_quality=80, rng=i)
            for i, x in enumerate(photos(20, 192, 1))
        ]
        for i in range(n):
            cv2.imwrite(str(folder / f"{i}.jpg"), low[i % 20])
        arguments = ["estimate", "--references", str(folder), "--clean", str(clean), "--downsampling", "2", "--quiet"]
        done = subprocess.run([sys.executable, "-c", ESTIMATE, *arguments], capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout.split()[-2]) / 1024)
    assert peaks[1] < peaks[0] + 100  # megabytes
