"""The demo, start to end, as the command line runs it."""

import csv
import html
import json

import numpy as np
import pytest

import fastdeg as fd
from fastdeg.cli import main
from fastdeg.cli.demo import TRUE_RANGES, play_application, uniform_within
from fastdeg.runs.folder import read_csv


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "run"
    assert main(["demo", "-o", str(folder)]) == 0
    return folder, json.loads((folder / "run.json").read_text())


def row(summary, name):
    return next(row for row in summary["comparison"] if row["distribution"].startswith(name))


def test_the_inferred_distribution_lies_near_the_truth(demo):
    _, summary = demo
    inferred, closed, uniform = (row(summary, name) for name in ("inferred q", "closed-form", "uniform"))
    assert inferred["mass_on_true_bins"] >= 0.8
    assert inferred["emd_to_truth"] < closed["emd_to_truth"]
    assert inferred["emd_to_truth"] < 0.5 * uniform["emd_to_truth"]
    assert uniform["mass_on_true_bins"] == pytest.approx(4 / 75)


def test_the_crafted_distribution_is_certified_and_lies_between(demo):
    _, summary = demo
    assert summary["converged"]
    assert row(summary, "crafted p")["emd_to_q"] == pytest.approx(summary["terms"]["wasserstein"], rel=1e-6)
    assert 0 <= summary["gap"] <= 1e-6 * max(1, abs(summary["objective"]))
    assert summary["generalization_auto"]
    inferred, crafted, uniform = (row(summary, name) for name in ("inferred q", "crafted p", "uniform"))
    assert inferred["effective_bins"] < crafted["effective_bins"] < uniform["effective_bins"]
    assert uniform["kl_to_prior"] == pytest.approx(0, abs=1e-12)


def test_the_table_agrees_with_the_saved_distributions(demo):
    folder, summary = demo
    crafted = fd.BinnedDistribution.load(folder / "crafted.npz")
    truth = uniform_within(crafted.bins, TRUE_RANGES)
    assert row(summary, "crafted p")["mass_on_true_bins"] == pytest.approx(crafted.pmf[truth.pmf > 0].sum(), abs=1e-12)
    z = crafted.bins.space.standardize(crafted.bins.centers)
    expected = fd.emd(crafted.pmf, truth.pmf, z, metric="cityblock").value
    assert row(summary, "crafted p")["emd_to_truth"] == pytest.approx(expected, rel=1e-9)


def test_the_run_folder_is_complete(demo):
    folder, summary = demo
    assert len(list((folder / "thumbnails").glob("*.png"))) == 10
    with (folder / "references.csv").open() as file:
        assert [row["file"] for row in csv.DictReader(file)] == [row["file"] for row in summary["references"]]
    page = (folder / "report.html").read_text()
    assert page.count("data:image/png") == 10
    assert page.count("data:image/webp") == len(read_csv(folder / "samples.csv")) == 2 + 6


def test_the_page_answers_first(demo):
    folder, summary = demo
    page = html.unescape((folder / "report.html").read_text())
    photos, p = (summary["quantiles"][name]["noise_sigma"] for name in ("target", "crafted"))
    assert 6 < p[0] <= photos[0] < 15
    order = [
        f"Your photos: blur {summary['quantiles']['target']['blur_sigma'][0]:.2g}",
        "Train on: blur ",
        next(iter(summary["export"]["files"].values())),
        "The distributions in numbers",
        "Samples drawn from p",
        "Accuracy against generalisation",
        "To do this again",
        summary["command"],
        f"numba {summary['versions']['numba']}",
    ]
    places = [page.find(text) for text in order]
    assert all(place > 0 for place in places), order
    assert places == sorted(places)
    cell = summary["marginals"]["noise_sigma"][1]
    assert 0.3 < cell["low"] < cell["probability"] < cell["high"]


def test_runs_are_numbered(demo, tmp_path, monkeypatch, capsys):
    from fastdeg.runs import folder as runs

    monkeypatch.chdir(tmp_path)
    assert str(runs.numbered(tmp_path, "demo")).endswith("demo-001")
    (tmp_path / "demo-001").mkdir()
    assert str(runs.numbered(tmp_path, "demo")).endswith("demo-002")


def test_the_truth_is_uniform_on_its_joint_bins():
    application = play_application(np.random.default_rng(0))
    assert sorted(application.truth.pmf)[-4:] == [0.25] * 4
    assert len(application.references) == 24
    assert not set(application.clean) & set(application.references)
