"""What is written for a framework, in the framework's own hands where it can be installed, by its rules otherwise."""

import json

import numpy as np
import pytest
import yaml

import fastdeg as fd

SPACE = fd.DegradationSpace(
    [
        fd.Axis.regular("blur_sigma", 0, 3, 3),
        fd.Axis.regular("noise_sigma", 0, 40, 4),
        fd.Axis.regular("jpeg_quality", 30, 90, 3),
    ]
)
BINS = fd.GridBins(SPACE)


@pytest.fixture
def p():
    pmf = np.random.default_rng(0).dirichlet(np.full(BINS.n_bins, 0.2))
    pmf[pmf < 1e-3] = 0
    return fd.BinnedDistribution(BINS, pmf / pmf.sum())


def test_albumentations_builds_the_pipeline_and_draws_the_marginals(p, tmp_path):
    albumentations = pytest.importorskip("albumentations", reason="Albumentations is not installed")
    export = fd.frameworks.write(p, "albumentations", downsampling=4)
    (tmp_path / "p.json").write_text(export.text)
    pipeline = albumentations.load(tmp_path / "p.json", data_format="json")
    image = np.full((64, 96, 3), 128, np.uint8)
    assert pipeline(image=image)["image"].shape == (16, 24, 3)
    drawn = albumentations.ReplayCompose(pipeline.transforms)
    drawn.set_random_seed(0)
    n, wide = 800, np.full((640, 640, 3), 128, np.uint8)  # of noise, the deviation is measured
    rows = [_parameters(drawn(image=wide)["replay"]) for _ in range(n)]
    found = fd.BinnedDistribution.from_samples(BINS, np.array(rows), outside="clip")
    for axis in SPACE.names:
        expected = p.marginal(axis)
        error = np.sqrt(expected * (1 - expected) / n)
        assert (np.abs(found.marginal(axis) - expected) <= 4.5 * error + 5e-3).all(), axis


def _parameters(node):
    """Return blur, noise and quality of what was applied, from what Albumentations says of it."""
    values = {"GaussianBlur": 0.0, "GaussNoise": 0.0, "ImageCompression": 90.0}

    def visit(node):
        name = node["__class_fullname__"].rsplit(".", 1)[-1]
        if node.get("applied") and name in values:
            of = node["params"]
            if name == "GaussianBlur":
                taps = np.sort(np.asarray(of["kernel"], float).ravel())[::-1]
                if len(taps) > 1:  # the ratio of the two largest says the standard deviation
                    values[name] = float(np.sqrt(0.5 / np.log(taps[0] / taps[1])))
            elif name == "GaussNoise":
                values[name] = float(np.std(of["noise_map"], ddof=1))
            else:
                values[name] = float(of["quality"])
        for inner in node.get("transforms", []):
            visit(inner)

    visit(node)
    return list(values.values())


def test_trainner_redux_knows_every_key_that_is_written(p):
    export = fd.frameworks.write(p, "trainner-redux")
    data = yaml.safe_load(export.text)
    train = data["datasets"]["train"]
    for name in ("kernel_range", "kernel_range2", "final_kernel_range"):
        assert all(size % 2 == 1 for size in train[name])
    for name, value in (data | train).items():
        if name.endswith(("_prob", "_prob2", "_prob3")) and isinstance(value, list):
            assert sum(value) == pytest.approx(1)
    assert len(data["resize_mode_list3"]) == len(data["resize_mode_prob3"])
    assert train["blur_sigma"][0] < train["blur_sigma"][1]
    assert data["jpeg_range2"][1] < 99.95


def test_no_reader_finds_a_key_unknown_that_its_writer_writes(p, tmp_path):
    for name in fd.frameworks.dialects():
        export = fd.frameworks.write(p, name)
        file = tmp_path / next(iter(export.files))
        file.write_text(export.text)
        options = fd.frameworks.read(file)
        assert options.framework == name
        assert options.unknown == (), name
        assert not [trap for trap in options.traps if "not in the file" in trap], name


def test_older_names_of_albumentations(tmp_path):
    def transform(name, p, **values):
        return {"__class_fullname__": f"albumentations.augmentations.{name}", "p": p, "always_apply": False, **values}

    parts = [
        transform("GaussianBlur", 0.5, blur_limit=[3, 7], sigma_limit=0),
        transform("GaussNoise", 1.0, var_limit=[100, 400], mean=0, per_channel=True),
        transform("ImageCompression", 1.0, quality_lower=40, quality_upper=49, compression_type=0),
    ]
    file = tmp_path / "old.json"
    file.write_text(json.dumps({"__version__": "1.3.1", "transform": transform("Compose", 1.0, transforms=parts)}))
    options = fd.frameworks.read(file)
    found = options.distribution(BINS)
    np.testing.assert_allclose(found.marginal("jpeg_quality"), [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(found.marginal("noise_sigma"), [0, 1, 0, 0], atol=1e-12)  # σ from 10 to 20
    blur = found.marginal("blur_sigma")
    np.testing.assert_allclose(blur, [0.5 + 1 / 6, 1 / 3, 0], atol=1e-12)  # 0.8, 1.1 or 1.4 px, or none
    assert any("is a variance on 0..255" in trap for trap in options.traps)


def test_a_mixture_of_boxes_is_nearer_than_one(tmp_path):
    space = fd.DegradationSpace([fd.Axis.regular("blur_sigma", 0, 3, 12), fd.Axis.regular("noise_sigma", 0, 50, 12)])
    z = space.standardize(space.points())
    blobs = sum(np.exp(-0.5 * ((z - c) ** 2).sum(1) / 0.08**2) for c in ([0.25, 0.25], [0.75, 0.7]))
    p = fd.BinnedDistribution(fd.GridBins(space), blobs / blobs.sum())
    one, four = (fd.frameworks.write(p, "trainner-redux", boxes=k) for k in (1, 4))
    assert four.distance <= 0.1 * one.distance
    pmf = np.zeros(p.n_bins)
    for (name, text), block in zip(four.files.items(), four.blocks, strict=True):
        (tmp_path / name).write_text(text)
        pmf += block.weight * fd.frameworks.read(tmp_path / name).distribution(p.bins).pmf
    back = fd.BinnedDistribution(p.bins, pmf / pmf.sum())
    assert fd.degradation_distance(back, p, frechet_weight=0) == pytest.approx(four.distance, abs=1e-6)
