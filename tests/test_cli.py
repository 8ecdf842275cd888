"""The command line: what it writes, what it prints, and how it refuses bad input in one line."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest

import fastdeg as fd
from fastdeg.cli import main
from fastdeg.cli.demo import play_application
from fastdeg.runs.folder import read_csv


@pytest.fixture(scope="module")
def annotated_run(tmp_path_factory):
    """A run on a table of 300 annotated images, over a space of 100 cells."""
    folder = tmp_path_factory.mktemp("annotated")
    write_table(folder / "table.csv", 300)
    (folder / "space.yaml").write_text(
        "axes:\n  - {name: blur_sigma, low: 0, high: 5, n_bins: 5}\n  - {name: downsampling, levels: [3, 4]}\n"
        "  - {name: noise_sigma, low: 0, high: 50, n_bins: 10}\n"
    )
    table = ["--annotations", str(folder / "table.csv"), "--space", str(folder / "space.yaml")]
    assert main(["craft", *table, "-o", str(folder / "run")]) == 0
    return folder


def write_table(path, n, rows=(), header=("file", "blur_sigma", "noise_sigma", "downsampling")):
    rng = np.random.default_rng(0)
    table = [
        (f"{i:04d}.png", f"{rng.uniform(0.5, 1.5):.2f}", f"{rng.uniform(15, 25):.1f}", f"{rng.integers(3, 5)}")
        for i in range(n)
    ]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows([*table, *rows])


def write_image(path, size=(96, 128), seed=0):
    noise = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    cv2.imwrite(str(path), cv2.GaussianBlur(noise, (0, 0), 3))


def refused(capsys, *arguments) -> str:
    """Run a command that must end in one line on the standard error and status 2; return the line."""
    assert main([str(argument) for argument in arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.strip().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("fastdeg: error: ")
    return lines[0]


def test_annotations_to_a_run_folder(annotated_run):
    run = annotated_run / "run"
    assert {file.name for file in run.iterdir()} == {
        "run.json",
        "crafted.npz",
        "target.npz",
        "prior.npz",
        "bins.csv",
        "references.csv",
        "tradeoff.csv",
        "report.html",
    }
    summary = json.loads((run / "run.json").read_text())
    assert summary["converged"]
    assert 0 <= summary["gap"] <= 1e-6 * max(1, abs(summary["objective"]))
    assert summary["n_bins"] == 100
    assert summary["n_samples"] == 300
    crafted = fd.BinnedDistribution.load(run / "crafted.npz")
    target = fd.BinnedDistribution.load(run / "target.npz")
    assert crafted.bins == target.bins
    assert crafted.effective_bins() > target.effective_bins()
    with (run / "references.csv").open() as file:
        references = list(csv.DictReader(file))
    assert len(references) == 10
    assert len({row["file"] for row in references}) == 10
    table = {row["file"]: row for row in csv.DictReader((annotated_run / "table.csv").open())}
    for row in references:
        assert float(row["noise_sigma"]) == pytest.approx(float(table[row["file"]]["noise_sigma"]), abs=1e-3)
    with (run / "bins.csv").open() as file:
        assert sum(float(row["crafted"]) for row in csv.DictReader(file)) == pytest.approx(1, abs=1e-9)


def test_json_is_the_summary_and_nothing_else(annotated_run, capsys):
    assert main(["report", str(annotated_run / "run"), "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == json.loads((annotated_run / "run" / "run.json").read_text())
    assert captured.err == ""


def test_the_report_verb_writes_the_page_again(annotated_run, capsys):
    page = annotated_run / "run" / "report.html"
    page.unlink()
    assert main(["report", str(annotated_run / "run")]) == 0
    assert "crafted p" in capsys.readouterr().out
    assert page.stat().st_size > 10_000


def test_an_existing_run_is_replaced_only_with_force(annotated_run, tmp_path, capsys):
    shutil.copytree(annotated_run / "run", tmp_path / "run")
    before = (tmp_path / "run" / "run.json").read_bytes()
    table = annotated_run / "table.csv"
    assert "holds an earlier run" in refused(capsys, "craft", "--annotations", table, "-o", tmp_path / "run")
    assert (tmp_path / "run" / "run.json").read_bytes() == before
    forced = [
        "craft",
        "--annotations",
        str(table),
        "--n-bins",
        "20",
        "--generalization",
        "0.3",
        "-o",
        str(tmp_path / "run"),
        "--force",
    ]
    assert main(forced) == 0
    assert json.loads((tmp_path / "run" / "run.json").read_text())["generalization"] == 0.3
    assert [file.name for file in tmp_path.iterdir()] == ["run"]


def test_force_never_replaces_a_folder_that_is_no_run(annotated_run, tmp_path, capsys):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "mine.txt").write_text("precious")
    table = annotated_run / "table.csv"
    line = refused(capsys, "craft", "--annotations", table, "-o", tmp_path / "photos", "--force")
    assert "not the folder of an earlier run" in line
    assert (tmp_path / "photos" / "mine.txt").read_text() == "precious"


def test_a_space_of_the_users_own(tmp_path, capsys):
    (tmp_path / "space.yaml").write_text(
        "axes:\n  - {name: noise_sigma, low: 0, high: 50, n_bins: 5}\n  - {name: jpeg_quality, edges: [30, 60, 95]}\n"
    )
    rows = [("40", "90"), ("12", "40"), ("14", "50"), ("33", "88")]
    write_table(tmp_path / "table.csv", 0, rows, ("noise_sigma", "jpeg_quality"))
    command = ["craft", "--annotations", str(tmp_path / "table.csv"), "--space", str(tmp_path / "space.yaml")]
    assert main([*command, "-o", str(tmp_path / "run"), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["n_bins"] == 10
    assert {row["file"] for row in summary["references"]} == {"row 1", "row 2", "row 3", "row 4"}


def test_annotated_images_are_selected_by_what_they_show(tmp_path, capsys):
    (tmp_path / "images").mkdir()
    write_table(tmp_path / "table.csv", 12)
    for i in range(12):
        write_image(tmp_path / "images" / f"{i:04d}.png", seed=i)
    command = ["craft", "--annotations", str(tmp_path / "table.csv"), "--images", str(tmp_path / "images")]
    command += ["--n-bins", "12"]
    assert main([*command, "-o", str(tmp_path / "run"), "--n-references", "4", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["references"]) == 4
    assert len(list((tmp_path / "run" / "thumbnails").iterdir())) == 4


def test_unusable_annotated_images_are_skipped_where_asked_for(tmp_path, capsys):
    (tmp_path / "images").mkdir()
    write_table(tmp_path / "table.csv", 6)
    for i in range(6):
        write_image(tmp_path / "images" / f"{i:04d}.png", seed=i)
    (tmp_path / "images" / "0002.png").write_bytes((tmp_path / "images" / "0001.png").read_bytes()[:500])
    command = ["craft", "--annotations", str(tmp_path / "table.csv"), "--images", str(tmp_path / "images")]
    command += ["-o", str(tmp_path / "run"), "--json", "--n-bins", "6"]
    assert "0002.png" in refused(capsys, *command)
    assert main([*command, "--skip-bad"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["n_samples"] == 6  # the annotation still counts
    assert {row["file"] for row in summary["references"]} == {f"{i:04d}.png" for i in (0, 1, 3, 4, 5)}
    table = {row["file"]: row for row in read_csv(tmp_path / "table.csv")}
    for row in summary["references"]:
        assert row["noise_sigma"] == pytest.approx(float(table[row["file"]]["noise_sigma"]), abs=1e-3)
    assert any("0002.png" in note for note in summary["notes"])


@pytest.mark.parametrize(
    ("rows", "header", "message"),
    [
        ([("1", "20")], ("blur_sigma", "noise_sigma"), "missing downsampling; got blur_sigma, noise_sigma"),
        (
            [("1", "20", "4"), ("1", "nan", "4")],
            ("blur_sigma", "noise_sigma", "downsampling"),
            r"row 2 .line 3., column noise_sigma: expected a finite number, got 'nan'",
        ),
        (
            [("1", "lots", "4")],
            ("blur_sigma", "noise_sigma", "downsampling"),
            "row 1 .line 2., column noise_sigma: expected a finite number, got 'lots'",
        ),
        (
            [("1", "20")],
            ("blur_sigma", "noise_sigma", "downsampling"),
            "row 1 .line 2., column downsampling: expected a finite",
        ),
        (
            [("1", "20", "4"), ("1", "80", "4")],
            ("blur_sigma", "noise_sigma", "downsampling"),
            r"row 2 .line 3., column noise_sigma: expected a value of the space, from -0.5 to 50.5, got 80",
        ),
        ([], ("blur_sigma", "noise_sigma", "downsampling"), "expected at least one row"),
    ],
)
def test_bad_tables_are_refused(rows, header, message, tmp_path, capsys):
    write_table(tmp_path / "table.csv", 0, rows, header)
    table = ["--annotations", tmp_path / "table.csv", "--space", "dense"]
    line = refused(capsys, "craft", *table, "-o", tmp_path / "run")
    assert re.search(message, line), line
    assert not (tmp_path / "run").exists()
    assert [file.name for file in tmp_path.iterdir()] == ["table.csv"]


def test_missing_files_and_bad_options_are_refused(tmp_path, capsys):
    table = tmp_path / "table.csv"
    line = refused(capsys, "craft", "--annotations", table, "-o", tmp_path / "run")
    assert line.endswith(f"{table}: no such file")
    write_table(table, 20)
    run = ["-o", tmp_path / "run"]
    assert "photo or a YAML" in refused(capsys, "craft", "--annotations", table, "--space", "huge", *run)
    assert ">= 0 or auto" in refused(capsys, "craft", "--annotations", table, "--generalization", "-1", *run)
    assert "column 'file'" in refused(
        capsys, "craft", "--annotations", _without_files(table, tmp_path), "--images", tmp_path, *run
    )
    assert "--clean" in refused(capsys, "craft", "--references", tmp_path, *run)
    assert "expected one of them" in refused(capsys, "craft", *run)
    assert "expected one of them" in refused(capsys, "craft", "--references", tmp_path, "--annotations", table, *run)
    assert "no run.json" in refused(capsys, "report", tmp_path)
    (tmp_path / "bad.yaml").write_text("axes: [1, 2")
    assert "bad.yaml" in refused(capsys, "craft", "--annotations", table, "--space", tmp_path / "bad.yaml", *run)


def test_options_without_effect_are_refused(tmp_path, capsys):
    write_table(tmp_path / "table.csv", 20)
    annotated = ["craft", "--annotations", tmp_path / "table.csv", "-o", tmp_path / "run"]
    for option in (["--downsampling", "2"], ["--noise", "gray"], ["--clean", tmp_path]):
        assert f"{option[0]}: goes with --references" in refused(capsys, *annotated, *option)
    photos = ["--references", tmp_path, "--clean", tmp_path]
    for option in (["--n-bins", "9"], ["--images", tmp_path], ["--outside", "clip"]):
        line = refused(capsys, "craft", *photos, "-o", tmp_path / "run", *option)
        assert f"{option[0]}: goes with --annotations" in line
    line = refused(capsys, "estimate", *photos, "--space", "dense", "--downsampling", "2")
    assert "--downsampling: the space has an axis of that name" in line


def _without_files(table, folder):
    lines = [line.split(",", 1)[1] for line in table.read_text().splitlines()]
    (folder / "plain.csv").write_text("\n".join(lines) + "\n")
    return folder / "plain.csv"


def test_bad_image_folders_are_refused(tmp_path, capsys):
    good, empty, broken = tmp_path / "good", tmp_path / "empty", tmp_path / "broken"
    for folder in (good, empty, broken):
        folder.mkdir()
    write_image(good / "a.png")
    write_image(broken / "cut.png")
    (broken / "cut.png").write_bytes((broken / "cut.png").read_bytes()[:500])
    run = ["-o", tmp_path / "run"]
    missing = tmp_path / "none"
    assert str(missing) in refused(capsys, "craft", "--references", missing, "--clean", good, *run)
    assert str(empty) in refused(capsys, "craft", "--references", good, "--clean", empty, *run)
    assert "cut.png" in refused(capsys, "craft", "--references", broken, "--clean", good, *run)
    assert "cut.png" in refused(capsys, "estimate", "--references", good, "--clean", broken)
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def photo_folders(tmp_path_factory):
    """Folders of clean photographs and of references with known degradations, as a user has them."""
    folder = tmp_path_factory.mktemp("photos")
    application = play_application(np.random.default_rng(1))
    for name, images in (("clean", application.clean), ("references", application.references)):
        (folder / name).mkdir()
        for file, pixels in images.items():
            cv2.imwrite(str(folder / name / file.replace(".jpg", ".png")), pixels[..., ::-1])
    return folder


def test_photos_to_an_estimate(photo_folders, tmp_path, capsys):
    folders = ["--references", str(photo_folders / "references"), "--clean", str(photo_folders / "clean")]
    assert main(["estimate", *folders, "--history", "plain", "-o", str(tmp_path / "run"), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary == json.loads((tmp_path / "run" / "run.json").read_text())
    assert summary["n_samples"] == 24
    noise = summary["marginals"]["noise_sigma"]
    assert sum(cell["probability"] for cell in noise) == pytest.approx(1)
    assert noise[1]["probability"] + noise[2]["probability"] > 0.8
    assert all(0 <= cell["low"] <= cell["high"] <= 1 for cell in noise)
    widths = [row["noise_sigma"] for row in summary["interval_widths"]]
    assert widths[0] > widths[-1]
    assert len(summary["images"]) == 24
    assert fd.BinnedDistribution.load(tmp_path / "run" / "target.npz").n_samples == 24
    again = fd.DegradationEstimator.load(tmp_path / "run" / "estimator.npz")
    assert again.n_images_ == 2
    with np.load(tmp_path / "run" / "moments.npz") as moments:
        np.testing.assert_array_equal(moments["bin_means"], again.bin_feature_moments()[0])
        assert moments["covariance"].shape == moments["bin_covariances"].shape[1:]
    with (tmp_path / "run" / "bins.csv").open() as file:
        assert sum(float(row["target"]) for row in csv.DictReader(file)) == pytest.approx(1)
    (tmp_path / "run" / "report.html").unlink()
    assert main(["report", str(tmp_path / "run")]) == 0
    shown, page = capsys.readouterr().out, (tmp_path / "run" / "report.html").read_text()
    for text in (
        "EM converged", "90 % interval", "p-value inside", "Mean width of the 90 %",
        "one photo confuses most", "one image tells neighbouring bins apart", summary["images"][0]["file"],
    ):  # fmt: skip
        assert text in shown, text
        assert text in page, text
    assert "Samples drawn from q, beside photos" in page
    assert main(["report", str(tmp_path / "run"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == summary
    choice = ["--images", str(photo_folders / "references"), "--n-references", "4", "--json"]
    assert main(["select", str(tmp_path / "run"), *choice]) == 0  # there is no crafted distribution beside q
    assert len(json.loads(capsys.readouterr().out)["references"]) == 4


def test_photos_to_a_run(photo_folders, tmp_path, capsys):
    (tmp_path / "mixed").mkdir()
    for file in list((photo_folders / "references").iterdir())[:6]:
        shutil.copy(file, tmp_path / "mixed")
    (tmp_path / "mixed" / "cut.png").write_bytes(file.read_bytes()[:900])
    shutil.copytree(photo_folders / "clean", tmp_path / "clean")
    cv2.imwrite(str(tmp_path / "clean" / "small.png"), np.zeros((60, 200, 3), np.uint8))
    command = ["craft", "--references", str(tmp_path / "mixed"), "--clean", str(tmp_path / "clean")]
    assert "cut.png" in refused(capsys, *command, "-o", tmp_path / "run")
    small = refused(capsys, "estimate", "--references", photo_folders / "references", "--clean", tmp_path / "clean")
    assert "small.png: is 200 × 60: expected sides of at least 96 pixels" in small
    options = ["--history", "plain", "--generalization", "0.2", "--n-references", "3", "--skip-bad"]
    assert main([*command, *options, "-o", str(tmp_path / "run")]) == 0
    captured = capsys.readouterr()
    assert "cut.png" in captured.err
    assert "skipped " in captured.err
    assert "small.png" in captured.err
    assert "inferred q" in captured.out
    summary = json.loads((tmp_path / "run" / "run.json").read_text())
    assert summary["generalization"] == 0.2
    assert len(list((tmp_path / "run" / "thumbnails").iterdir())) == 3


def test_info(capsys):
    assert main(["info", "--json"]) == 0
    info = json.loads(capsys.readouterr().out)
    assert info["fastdeg"] == fd.__version__
    assert {"numba", "numpy", "threads", "threading_layer", "cache_folder"} <= set(info)
    assert {"blur_sigma", "jpeg_quality"} < set(info["axes"])
    assert main(["info", "--threads", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["threads"] == 1
    assert "threads: expected a positive integer" in refused(capsys, "info", "--threads", "0")
    assert main(["info"]) == 0
    assert info["cache_folder"] in capsys.readouterr().out


def test_the_command_is_silent_on_stderr_when_piped(annotated_run, tmp_path):
    command = [sys.executable, "-m", "fastdeg.cli", "craft", "--annotations", str(annotated_run / "table.csv")]
    command += ["--n-bins", "20"]
    done = subprocess.run([*command, "-o", str(tmp_path / "run")], capture_output=True, text=True, check=True)
    assert "\x1b" not in done.stdout + done.stderr
    assert not [line for line in done.stderr.splitlines() if not line.startswith("fastdeg: ")]


def test_progress_shows_on_a_terminal(annotated_run, tmp_path):
    command = f"{sys.executable} -m fastdeg.cli craft --n-bins 20 --annotations {annotated_run / 'table.csv'}"
    command += f" -o {tmp_path / 'run'}"
    if shutil.which("script") is None:
        pytest.skip("needs the program script to make a terminal")
    done = subprocess.run(
        ["script", "-qec", command, "/dev/null"], capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL
    )
    assert "following the trade-off path" in done.stdout


def test_the_page_shows_in_a_browser(annotated_run, tmp_path):
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        assert not os.environ.get("CI"), "expected a Chromium to look at the page with"
        pytest.skip("needs Chromium")
    page = (annotated_run / "run" / "report.html").read_text()
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    probe = (
        "<script>onload = () => { document.title = [document.documentElement.scrollWidth <= innerWidth,"
        "...[...document.images].map(i => i.naturalWidth > 50)].join() }</script>"
    )
    (tmp_path / "page.html").write_text(page.replace("</body>", probe + "</body>"))
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    flags.append("--window-size=500,900")
    shown = subprocess.run(
        [browser, *flags, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", (tmp_path / "page.html").as_uri()],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    title = re.search("<title>(.*?)</title>", shown).group(1)
    assert title == ",".join(["true"] * (1 + 3 + 1 + 3))  # nothing overflows; marginals, the trade-off, pairs


def test_an_empty_csv_file_is_named(tmp_path):
    (tmp_path / "empty.csv").write_bytes(b"")
    with pytest.raises(ValueError, match=r"empty\.csv: expected a CSV file with a header line, got an empty file"):
        read_csv(tmp_path / "empty.csv")


def test_references_are_selected_among_other_images(photo_folders, tmp_path, capsys):
    images, run = photo_folders / "references", tmp_path / "run"
    folders = ["--references", str(images), "--clean", str(photo_folders / "clean")]
    assert main(["craft", *folders, "--history", "plain", "--generalization", "0.2", "-o", str(run)]) == 0
    chosen = read_csv(run / "references.csv")
    capsys.readouterr()
    command = ["select", str(run), "--images", str(images)]
    assert main([*command, "-o", str(tmp_path / "chosen.csv"), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    # the same images, estimator and distributions: the same selection
    assert read_csv(tmp_path / "chosen.csv") == chosen
    assert [row["file"] for row in summary["references"]] == [row["file"] for row in chosen]
    assert summary["selection"] == json.loads((run / "run.json").read_text())["selection"]
    # of a few among which some are unusable
    (tmp_path / "few").mkdir()
    for file in sorted(images.iterdir())[3:9]:
        shutil.copy(file, tmp_path / "few")
    (tmp_path / "few" / "cut.png").write_bytes(file.read_bytes()[:900])
    few = ["select", str(run), "--images", str(tmp_path / "few")]
    assert "cut.png" in refused(capsys, *few)
    assert "expected 1 to 6, the images of" in refused(capsys, *few, "--skip-bad")
    assert main([*few, "--skip-bad", "--n-references", "2"]) == 0
    captured = capsys.readouterr()
    assert "2 references; distance of all candidates" in captured.out
    assert "cut.png" in captured.err
    written = (tmp_path / "chosen.csv").read_bytes()
    assert "chosen.csv: exists; pass --force" in refused(capsys, *command, "-o", tmp_path / "chosen.csv")
    assert (tmp_path / "chosen.csv").read_bytes() == written
    assert main([*command, "-o", str(tmp_path / "chosen.csv"), "--force", "--n-references", "3"]) == 0
    assert len(read_csv(tmp_path / "chosen.csv")) == 3


def test_runs_without_an_estimator_select_nothing(annotated_run, photo_folders, tmp_path, capsys):
    images = ["--images", photo_folders / "references"]
    line = refused(capsys, "select", annotated_run / "run", *images)
    assert "run: expected a run that read photos" in line
    assert "not a run folder" in refused(capsys, "select", tmp_path, *images)
