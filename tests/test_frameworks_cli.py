"""The verbs that read and write option files, and crafting from what a file trains on."""

import json

import numpy as np
import pytest

import fastdeg as fd
from fastdeg.cli import main

FACES = """
datasets:
  train:
    blur_kernel_size: 41
    kernel_list: ['iso']
    kernel_prob: [1.0]
    blur_sigma: [0.1, 4]
    downsample_range: [4, 4]
    noise_range: [0, 20]
    jpeg_range: [50, 90]
"""


@pytest.fixture
def options(tmp_path):
    file = tmp_path / "today.yml"
    file.write_text(FACES)
    return file


def write_table(file):
    """Annotated photos: soft, noisy, compressed hard; noisier than the option file trains on."""
    rng = np.random.default_rng(0)
    rows = np.stack([rng.uniform(0.5, 2, 80), rng.uniform(15, 28, 80), rng.uniform(35, 55, 80)], 1)
    np.savetxt(file, rows, delimiter=",", header="blur_sigma,noise_sigma,jpeg_quality", comments="")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return the run folder of crafting noisier photos than the option file trains on, from what it trains on."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "today.yml").write_text(FACES)
    write_table(folder / "photos.csv")
    given = ["craft", "--annotations", folder / "photos.csv", "--space", "paper", "--generalization", "0.2"]
    assert main([*map(str, given), "--prior", str(folder / "today.yml"), "-o", str(folder / "run")]) == 0
    return folder / "run"


def test_crafting_from_what_a_file_trains_on(run):
    summary = json.loads((run / "run.json").read_text())
    prior = fd.BinnedDistribution.load(run / "prior.npz")
    bins = prior.bins
    expected = 0.95 * fd.frameworks.read(run.parent / "today.yml").distribution(bins).pmf + 0.05 * bins.volumes
    np.testing.assert_allclose(prior.pmf, expected, rtol=1e-12)
    assert "prior" in [row["distribution"] for row in summary["comparison"]]
    assert any("today.yml trains on (gfpgan)" in note for note in summary["notes"])
    crafted = fd.BinnedDistribution.load(run / "crafted.npz")
    assert summary["quantiles"]["crafted"] == crafted.quantiles()


def test_an_audit_says_what_is_wrong_before_and_after_crafting(run, options, capsys):
    assert main(["audit", str(options), "--run", str(run), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    noise = next(axis for axis in found["axes"] if axis["name"] == "noise_sigma")
    assert noise["verdict"] == "off"  # noisier photos than any that the file trains on
    assert found["crafted_emd"] < found["emd"] / 2
    assert 0 < found["coverage"] < 0.8
    assert found["wasted"] > 0.5
    assert main(["audit", str(options), "--run", str(run)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Your photos: blur")
    assert f"spends {found['wasted']:.0%} of training where none of them is" in lines[1]


def test_an_audit_without_photos(options, capsys):
    options.write_text(FACES.replace("jpeg_range: [50, 90]", "jpeg_range: [50, 100]\n    gray_prob: 0.25"))
    assert main(["audit", str(options)]) == 0
    text = capsys.readouterr().out
    assert text.startswith("today.yml trains on blur 0.3–3.8 px, noise 0.99–19, JPEG 53–98 (5 to 95 %).")
    assert "20% of training lies beyond the axis" in text
    assert "conversion to grey (probability 0.25)" in text


@pytest.mark.parametrize("framework", ["realesrgan", "wtp", "albumentations"])
def test_an_export_is_read_back(run, tmp_path, framework, capsys):
    file = tmp_path / f"new{fd.frameworks.dialects()[framework].suffix}"
    assert main(["export", str(run), "--to", framework, "-o", str(file), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    crafted = fd.BinnedDistribution.load(run / "crafted.npz")
    back = fd.frameworks.read(file).distribution(crafted.bins)
    assert fd.degradation_distance(back, crafted, frechet_weight=0) == pytest.approx(told["distance"], abs=1e-9)
    assert told["quantiles"]["noise_sigma"] == crafted.quantiles(told["quantiles"]["levels"])["noise_sigma"]
    assert main(["export", str(run), "--to", framework, "-o", str(file)]) == 2
    assert "exists; pass --force to replace it" in capsys.readouterr().err
    assert main(["export", str(run), "--to", framework, "-o", str(file), "--force"]) == 0


def test_several_boxes_are_several_files(run, tmp_path, capsys):
    assert main(["export", str(run), "--to", "neosr", "--boxes", "2", "-o", str(tmp_path / "new.toml")]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new-1.toml", "new-2.toml"]
    assert main(["export", str(run), "--to", "neosr", "--boxes", "2"]) == 0
    assert capsys.readouterr().out.count("[degradations]") == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["export", "RUN", "--to", "esrgan"], "framework: expected one of"),
        (["export", "RUN", "--to", "wtp", "--keep", "0"], "keep: expected"),
        (["export", "NONE", "--to", "wtp"], "not a run folder"),
        (["audit", "NONE"], "no such file of options"),
        (["audit", "OPTIONS", "--framework", "wtp"], "expected options of wtp"),
        (["audit", "OPTIONS", "--noise", "color"], "--noise: goes with --references"),
        (["audit", "OPTIONS", "--simulate", "3"], "--simulate: expected"),
        (["audit", "OPTIONS", "--references", "RUN"], "--clean: expected a folder of clean images"),
        (["audit", "OPTIONS", "--references", "NONE", "--clean", "NONE"], "no such folder"),
    ],
)
def test_bad_arguments_end_with_two_and_one_sentence(run, options, tmp_path, arguments, message, capsys):
    names = {"RUN": str(run), "OPTIONS": str(options), "NONE": str(tmp_path / "none")}
    before = sorted(tmp_path.iterdir())
    assert main([names.get(argument, argument) for argument in arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
    assert sorted(tmp_path.iterdir()) == before


def test_a_bad_prior_is_told_before_anything_is_written(tmp_path, options, capsys):
    table = tmp_path / "photos.csv"
    write_table(table)
    options.write_text(FACES.replace("[0, 20]", "[20, 0]"))
    run = tmp_path / "run"
    given = ["craft", "--annotations", str(table), "--space", "paper", "-o", str(run), "--prior", str(options)]
    assert main(given) == 2
    assert "datasets.train.noise_range: expected [low, high] with low <= high" in capsys.readouterr().err
    assert not run.exists()
