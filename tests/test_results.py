"""Results are equal by value: `==` answers for all of them, with arrays and NaN inside, and copies are equal."""

import copy
import dataclasses
import importlib
import pickle
import pkgutil

import cv2
import numpy as np
import pytest

import fastdeg as fd
from fastdeg.images import ImageError, read_image, read_images

SPACE = fd.DegradationSpace([fd.Axis.regular("noise_sigma", 0, 50, 5)])
BINS = fd.GridBins(SPACE)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """One of each result, by the call that returns it."""
    rng = np.random.default_rng(0)
    q = fd.BinnedDistribution(BINS, [0.0, 0.25, 0.5, 0.25, 0.0])
    folder = tmp_path_factory.mktemp("images")
    image = rng.integers(0, 256, (160, 160, 3), dtype=np.uint8)
    for name in "ab":
        cv2.imwrite(str(folder / f"{name}.png"), image)
    (folder / "cut.png").write_bytes((folder / "a.png").read_bytes()[:500])
    estimator = fd.DegradationEstimator(BINS, downsampling=2, n_samples=50).fit([image])
    photos = [fd.degrade(image, downsampling=2, noise_sigma=20.0, rng=rng) for _ in range(3)]
    path = fd.tradeoff_path(q, [0.1, 1.0])
    return {
        "emd": fd.emd([0.5, 0.5], [1.0], [[0.0], [1.0]], [[0.0]]),
        "sinkhorn": fd.sinkhorn([0.5, 0.5], [0.2, 0.8], [[0.0], [1.0]], reg=0.5),
        "craft": fd.craft(q, generalization=0.1, wasserstein_weight=0.0),  # with NaN inside
        "tradeoff_path": path,
        "curve": path.crafted,
        "select_references": fd.select_references(rng.random((9, 3)), np.repeat([1, 2, 3], 3), q, n_references=3),
        "infer": estimator.infer(photos),
        "bootstrap": estimator.bootstrap(photos, n_resamples=10),
        "reference_counts": estimator.reference_counts(photos, [2, 3]),
        "identifiability": estimator.identifiability(),
        "read_image": read_image(folder / "a.png"),
        "read_images": read_images(folder, skip_bad=True),
        "distribution": q,
        "bins": fd.CentroidBins(rng.random((4, 2))),
        "axis": SPACE.axes[0],
        "space": SPACE,
    }  # fmt: skip


NAMES = (
    "emd", "sinkhorn", "craft", "tradeoff_path", "curve", "select_references", "infer", "bootstrap",
    "reference_counts", "identifiability", "read_image", "read_images", "distribution", "bins", "axis", "space",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_is_equal_and_another_value_is_not(results, name):
    result = results[name]
    for same in (result, pickle.loads(pickle.dumps(result)), copy.copy(result), copy.deepcopy(result)):
        assert result == same
    for other in (None, 1.0, np.ones(3), *(results[n] for n in NAMES if n != name)):
        assert result != other
    try:
        same_hash = hash(pickle.loads(pickle.dumps(result))) == hash(result)
    except TypeError:
        same_hash = True  # none is no wrong one
    assert same_hash


def test_a_number_more_or_less_makes_another_result(results):
    emd, craft, images = results["emd"], results["craft"], results["read_images"]
    u, v = emd.potentials
    assert emd != dataclasses.replace(emd, potentials=(u + 1e-12, v))
    assert emd != dataclasses.replace(emd, potentials=(u[:1], v))
    assert craft != dataclasses.replace(craft, terms={**craft.terms, "kl": 0.0})
    assert craft != dataclasses.replace(craft, history={})
    assert images != dataclasses.replace(images, skipped=())
    assert results["distribution"] != fd.BinnedDistribution(BINS, results["distribution"].pmf, n_samples=5)


def test_the_unit_is_a_label():
    plain, named = (fd.DegradationSpace([fd.Axis.regular("noise_sigma", 0, 50, 5, unit)]) for unit in ("", "of 255"))
    assert plain == named
    assert hash(plain) == hash(named)
    assert plain.axes[0] == named.axes[0]
    assert named.axes[0] != fd.Axis.regular("noise_sigma", 0, 50, 4, "of 255")
    q, prior = (fd.BinnedDistribution(fd.GridBins(space), [0, 0, 0.5, 0.5, 0]) for space in (plain, named))
    np.testing.assert_allclose(fd.baselines.mixture(q, prior, 0.5).pmf, q.pmf)


def test_an_error_of_an_image_survives_pickling():
    error = pickle.loads(pickle.dumps(ImageError("a.png", "is damaged")))
    assert str(error) == "a.png: is damaged"


def test_public_dataclasses_with_arrays_compare_by_value():
    """Dataclasses' own `==` takes arrays for truth values."""
    for module in pkgutil.walk_packages(fd.__path__, "fastdeg."):
        if any(part in module.name for part in (".kernels", ".crafting", ".inference", "__main__")):
            continue  # what stays within a room is not compared
        for value in vars(importlib.import_module(module.name)).values():
            if dataclasses.is_dataclass(value) and isinstance(value, type) and value.__module__ == module.name:
                types = [f.type for f in dataclasses.fields(value) if "Callable" not in f.type]
                arrays = any("Float" in t or "NDArray" in t for t in types)
                assert not arrays or "__eq__" not in vars(value), value
