"""The benchmark framework, on a tiny case: measured in turn, checked, and printed whether it wins or loses."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from bench import report
from bench.case import OURS, Case, Curve, Rival, measure
from bench.cases import rooms


def tiny_case(**changes):
    rivals = [
        Rival("slow", lambda x: (time.sleep(0.003), x.sum())[1], target=2.0),
        Rival("absent", lambda x: 0, requires=["no_such_module"]),
    ]
    options = {"check": lambda x, answers: [np.testing.assert_allclose(a, x.sum()) for a in answers.values()]}
    return Case("sum", lambda: np.ones(1_000), lambda x: x.sum(), rivals, target=3.0, **(options | changes))


def test_all_present_contenders_are_timed():
    timing = measure(tiny_case(), np.ones(1_000), rounds=4)
    assert set(timing.medians) == {OURS, "slow"}
    assert timing.medians["slow"] > 0.003 > timing.medians[OURS]
    assert timing.rounds >= 4


def test_wrong_answers_stop_the_measurement():
    def check(x, answers):
        assert answers[OURS] == -1

    with pytest.raises(AssertionError):
        measure(tiny_case(check=check), np.ones(10))


def test_losing_rows_are_printed_like_the_others():
    row = report.measure_case(tiny_case(rounds=3))
    row |= {"seconds": {OURS: 0.2, "slow": 0.1}, "calm": True}
    assert report.case_lines("sum", row) == ["| sum | 200 ms | slow | 100 ms | 0.50 × | 2 × |"]
    results = {
        "room": {
            "machine": {"processor": "P", "cores": 2, "threads": 2, "system": "S", "versions": {"numpy": "2"}},
            "date": "2000-01-01",
            "limits": {"read, 32 MB": 5e10},
            "cases": {"sum": row},
            "curves": {"curve": {"variable": "n", "points": [["1", {OURS: 0.1}], ["2", {OURS: 0.2}]]}},
        }
    }
    assert report.case_lines("sum", row | {"calm": False})[0].startswith("| sum † |")
    page = report.page(results)
    for text in ("| sum | 200 ms | slow | 100 ms | 0.50 × | 2 × |", "absent", "P, 2 cores", "| 2 | 200 ms |"):
        assert text in page


def test_rooms_are_measured_one_at_a_time_and_merged(tmp_path, monkeypatch):
    class Room:
        CASES = (tiny_case(seconds=0.05), Case("second", lambda: 1, lambda x: x, seconds=0.05))
        CURVES = (Curve("curve", "n", [1, 2], lambda n: n, lambda x: x, seconds=0.05),)

    monkeypatch.setattr(report, "rooms", lambda: {"room": Room, "other": Room})
    monkeypatch.setattr(report.machine, "limits", lambda: {"read, 32 MB": 1e9})
    monkeypatch.setattr(report, "CHOSEN", (("the second", "second", None), ("a sum", "sum", None)))
    for name in ("RESULTS", "PAGE", "README"):
        monkeypatch.setattr(report, name, tmp_path / name)
    report.README.write_text(f"a\n{report.BEGIN}\nold\n{report.END}\nb\n")
    report.main(["--room", "room", "--only", "second"])
    report.main(["--room", "other", "--no-curves"])
    report.main(["--room", "room", "--only", "sum"])
    results = json.loads(report.RESULTS.read_text())
    assert list(results["room"]["cases"]) == list(results["other"]["cases"]) == ["sum", "second"]
    text = report.README.read_text()
    assert text.startswith("a\n")
    assert text.endswith("b\n")
    assert report.PAGE.read_text().count("| second ") == 2
    rows = [line.replace(" †", "") for line in text.splitlines() if line.startswith("| ")][1:]  # † on a busy machine
    assert [row.split(" |")[0] for row in rows] == ["| the second", "| a sum"]
    assert re.fullmatch(r"\| a sum \| [\d.]+ [µm]s \| slow \| [\d.]+ ms \| [\d.]+ × \| – \|", rows[1])
    Room.CASES = Room.CASES[:1]  # a case that is gone leaves no row behind
    report.main(["--room", "room", "--only", "curve"])
    results = json.loads(report.RESULTS.read_text())
    assert list(results["room"]["cases"]) == ["sum"]
    assert [value for value, _ in results["room"]["curves"]["curve"]["points"]] == ["1", "2"]


def test_the_readme_has_ten_rows_of_cases_that_exist():
    modules = rooms().values()
    cases = {case.name: case for module in modules for case in module.CASES}
    calls = {call.name for module in modules for call in getattr(module, "FIRST_CALLS", ())}
    assert len(report.CHOSEN) == 10
    for _, case, call in report.CHOSEN:
        assert cases[case].rivals, case
        assert call is None or call in calls, call


def test_names_of_cases_are_unique():
    names = [case.name for module in rooms().values() for case in module.CASES]
    assert len(names) == len(set(names))


def test_the_same_cases_run_under_pytest_benchmark():
    options = ["--benchmark-enable", "--benchmark-max-time=0.05", "--benchmark-min-rounds=1", "-k", "features"]
    command = [sys.executable, "-m", "pytest", "bench", *options]
    done = subprocess.run(command, cwd=Path(__file__).parent.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    case = next(case for case in rooms()["images"].CASES if "features" in case.name)
    for name in (OURS, *(rival.name for rival in case.rivals)):
        assert name in done.stdout
