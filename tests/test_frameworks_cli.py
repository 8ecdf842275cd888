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


@pytest.fixture
def table(tmp_path):
    """Annotated photos: soft, noisy, compressed hard; noisier than the options file trains on."""
    rng = np.random.default_rng(0)
    rows = np.stack([rng.uniform(0.5, 2, 80), rng.uniform(15, 28, 80), rng.uniform(35, 55, 80)], 1)
    file = tmp_path / "photos.csv"
    np.savetxt(file, rows, delimiter=",", header="blur_sigma,noise_sigma,jpeg_quality", comments="")
    return file


def test_crafting_from_what_a_file_trains_on(tmp_path, options, table, capsys):
    run = tmp_path / "run"
    given = ["craft", "--annotations", str(table), "--space", "paper", "--generalization", "0.2", "-o", str(run)]
    assert main([*given, "--prior", str(options), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    prior = fd.BinnedDistribution.load(run / "prior.npz")
    bins = prior.bins
    expected = 0.95 * fd.frameworks.read(options).distribution(bins).pmf + 0.05 * bins.volumes
    np.testing.assert_allclose(prior.pmf, expected, rtol=1e-12)
    assert "prior" in [row["distribution"] for row in summary["comparison"]]
    assert any("today.yml trains on (gfpgan)" in note for note in summary["notes"])


def test_a_bad_prior_is_told_before_anything_is_written(tmp_path, options, table, capsys):
    options.write_text(FACES.replace("[0, 20]", "[20, 0]"))
    run = tmp_path / "run"
    given = ["craft", "--annotations", str(table), "--space", "paper", "-o", str(run), "--prior", str(options)]
    assert main(given) == 2
    assert "datasets.train.noise_range: expected [low, high] with low <= high" in capsys.readouterr().err
    assert not run.exists()
