"""Messages with the way out."""

import os
import subprocess
import sys

import cv2
import numpy as np
import pytest

import fastdeg as fd
import fastdeg.images

X = np.random.default_rng(0).random((20, 256))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: fd.emd_1d(np.zeros((9, 2)), np.zeros((9, 2))), r"x: expected shape \(n,\).* for emd, .* emd_grid"),
        (lambda: fd.frechet_distance(X.mean(0), np.cov(X), X.mean(0), np.cov(X)), r"cov1: .*rowvar=False"),
        (lambda: fd.emd([1, 10**400], [1, 1], [[0.0], [1.0]]), "a: expected numbers within the floating-point range"),
        (lambda: fd.CentroidBins([[0.0], [1.0]]).assign([[0.5], [-np.inf]]), "samples: expected finite .* in row 1"),
        (lambda: fd.sinkhorn([1], [1], [[0.0]], reg=10**400), "reg: expected a finite number above 0, got 1000"),
        (lambda: fd.CentroidBins.fit([[0.0], [1.0], [1.0]], 6), "n_bins: expected .* 2 distinct points, got 6"),
        (lambda: fd.degrade(np.full((8, 8), 200.0)), "image: .* to 200: divide by 255, or pass uint8"),
        (lambda: fd.degrade(np.zeros((8, 8), np.uint8), jpeg_quality=0.9), "jpeg_quality: expected a number from 1 to"),
        (lambda: fd.frameworks.read("."), r"\.: expected a file of options, got a folder"),
        (lambda: fd.BinnedDistribution.load("."), "written by BinnedDistribution.save, got a folder"),
        (lambda: fastdeg.images.read_image("."), "is a folder, not an image file"),
        (lambda: fd.emd_1d(np.broadcast_to(0.5, (10**12,)), [1.0]), "x: expected a problem within the .* GB of this"),
    ],
)
def test_the_way_out_is_told(call, said):
    with pytest.raises(ValueError, match=said):
        call()


def test_tensors_that_numpy_does_not_take():
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match=r"x\.detach\(\)\.cpu\(\)"):
        fd.emd_1d(torch.zeros(3, requires_grad=True), [1.0])


def test_what_needs_too_much_memory_is_an_error_of_either_kind():
    q = fd.BinnedDistribution.uniform(fd.GridBins(fd.DegradationSpace.preset("paper")))
    for kind in (ValueError, MemoryError):
        with pytest.raises(kind, match=r"n: expected a problem within the .* GB of this machine"):
            q.sample(10**12)


def test_what_lies_beside_images_is_counted(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((8, 8), np.uint8))
    assert fastdeg.images.read_images(tmp_path).notes == []
    (tmp_path / "more").mkdir()
    for name in ("a.heic", "b.txt", "Thumbs.db", ".hidden"):
        (tmp_path / name).write_text("")
    (note,) = fastdeg.images.read_images(tmp_path).notes
    assert note == f"{tmp_path}: left out sub-folders (1) and files that are no images (2)"


def test_the_first_compilation_is_announced_once(tmp_path):
    def run(*lines):
        environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
        done = subprocess.run([sys.executable, "-c", "\n".join(lines)], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stderr

    line = "import fastdeg as fd; fd.emd_1d([0.0], [1.0])"
    single = "import numpy as np; from fastdeg.njit import emd_sorted; x = np.ones(1, np.float32)"
    call = "emd_sorted(x, x, x, x, 1.0)"
    assert run(line, single, call).count("fd.warmup()") == 1
    assert run(line, single, call) == ""
    assert run("import logging; logging.getLogger('fastdeg').setLevel('ERROR')", single, call.replace("1.0", "1")) == ""
