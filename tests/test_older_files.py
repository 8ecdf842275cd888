"""What fastdeg 0.1.0 wrote is read; what a later version writes differently is refused with that version's name."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import fastdeg as fd
from fastdeg.cli import main

DATA = Path(__file__).parent / "data"


@pytest.fixture
def older_run(tmp_path):
    return Path(shutil.copytree(DATA / "run-0.1.0", tmp_path / "run"))


def test_distributions_are_read():
    target = fd.BinnedDistribution.load(DATA / "run-0.1.0" / "target.npz")
    space = fd.DegradationSpace([fd.Axis.regular("blur_sigma", 0, 2, 2), fd.Axis.levels("jpeg_quality", [30, 60, 90])])
    assert target == fd.BinnedDistribution(fd.GridBins(space), np.array([2, 2, 2, 0, 0, 0]) / 6, n_samples=6)
    centroids = fd.BinnedDistribution.load(DATA / "distribution-0.1.0.npz")
    assert centroids.bins.n_bins == 3
    assert centroids.n_samples == 20
    np.testing.assert_allclose(centroids.pmf, [0.3, 0.25, 0.45])


def test_a_run_is_shown_again_and_replaced(older_run, tmp_path, capsys):
    assert main(["report", str(older_run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["fastdeg"] == "0.1.0"
    assert (older_run / "report.html").stat().st_size > 10_000
    (tmp_path / "table.csv").write_text("blur_sigma,noise_sigma,downsampling\n1,20,4\n2,20,3\n")
    command = ["craft", "--annotations", str(tmp_path / "table.csv"), "--generalization", "0.3", "-o", str(older_run)]
    assert main(command) == 2
    assert main([*command, "--force"]) == 0


def test_a_run_of_a_later_version_is_refused(older_run, capsys):
    summary = json.loads((older_run / "run.json").read_text())
    (older_run / "run.json").write_text(json.dumps(summary | {"version": 2, "fastdeg": "9.1.0"}))
    assert main(["report", str(older_run)]) == 2
    assert "written by fastdeg 9.1.0" in capsys.readouterr().err
