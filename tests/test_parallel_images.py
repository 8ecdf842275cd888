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
from fastdeg.images import list_images
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


def read(space, images=None, **options):
    estimator = fd.DegradationEstimator(fd.GridBins(space), downsampling=2, n_samples=200, patch_size=32)
    estimator.fit(photos(3, 120, 0), **options)
    return estimator.log_likelihood(photos(5, 60, 1) if images is None else images)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("photos")
    for i, picture in enumerate(photos(5, 60, 1)):
        cv2.imwrite(str(path / f"{i}.png"), picture[..., ::-1])
    return path


def test_threads_and_files(space, reading, folder):
    assert_array_equal(read(space, threads=1), reading)
    with joblib.parallel_config("threading", n_jobs=3):
        assert_array_equal(read(space), reading)
    assert_array_equal(read(space, list_images(folder)), reading)


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


@pytest.mark.slow
def test_an_interrupt_on_a_cluster_ends_it(run, folder, tmp_path):
    pytest.importorskip("distributed")
    many = tmp_path / "many"
    many.mkdir()
    picture = photos(1, 400, 0)[0]
    for i in range(3_000):
        (many / f"{i}.png").hardlink_to(many / "0.png") if i else cv2.imwrite(str(many / "0.png"), picture)
    command = [sys.executable, "-m", "fastdeg.cli", "degrade", str(many), "--run", str(run), "--downsampling", "2"]
    command += ["-o", str(tmp_path / "pairs"), "--dask", "local", "--threads", "2"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        begun = time.monotonic()
        while not list((tmp_path / "pairs/lq").glob("*.png")):
            assert process.poll() is None
            assert time.monotonic() < begun + PATIENCE
            time.sleep(0.1)
        workers = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert errors.strip().splitlines()[-1].startswith("fastdeg: interrupted")
    assert "Traceback" not in errors
    assert workers
    assert not psutil.wait_procs(workers, timeout=PATIENCE)[1]
