"""Measure and write the tables: ``python -m bench.report [--room ROOM] [--only TEXT] [--quick] [--render]``.

Measurements go to ``bench/results.json``, room by room; ``docs/performance.md``, with all rows, and the table of
``README.md`` (between its marker comments), with those of `CHOSEN`, are written from there. Losing rows are printed
like the others.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import machine, startup
from bench.case import OURS, Case, Curve, measure
from bench.cases import rooms

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results.json"
PAGE = ROOT / "docs" / "performance.md"
README = ROOT / "README.md"
BEGIN, END = "<!-- performance:begin -->", "<!-- performance:end -->"

# of the README: what is done, the case that measures it, and the first call of its kind; one row a task
CHOSEN = (
    (
        "exact earth mover's distance, 2 × 4,000 points",
        "earth mover's distance, other points, sqeuclidean, 3-D, n = 4,000",
        "emd, points",
    ),
    (
        "the same, 4,000 × 4,000 costs given",
        "earth mover's distance, cost matrix (euclidean), n = 4,000",
        "emd, cost matrix",
    ),
    ("the same, 50 × 51 × 7 grid", "50 × 51 × 7 grid, cityblock", "emd_grid"),
    ("Sinkhorn, 1,000 points, to 10⁻⁹", "sinkhorn, euclidean, 3-D, n = 1,000, reg = 0.01, tol = 1e-9", "sinkhorn"),
    ("Fréchet distances, 1,000 to one, 36-D", "Fréchet, 1,000 to one, d = 36", "frechet_distance, d = 3"),
    ("nearest of 1,000 centres, 10⁶ samples", "nearest centre, n = 1,000,000, d = 3, N = 1,000", "CentroidBins.assign"),
    (
        "histogram of 17,850 cells, 10⁷ samples",
        "BinnedDistribution.from_samples, 50 × 51 × 7 cells, n = 10,000,000",
        "GridBins.assign",
    ),
    ("200 farthest of 20,000 points, 256-D", "farthest points, n = 20,000, d = 256, k = 200", "farthest_points"),
    ("crafting on 300 centroids, certified", "craft, 300 centroids, q dense, τ = 0.1", "craft, 75 bins"),
    ("degradation chain of a photograph", "degradation chain, 640 × 427 to 160 × 106", None),
)

HEAD = """# Performance

This page is written by `python -m bench.report`; its figures are measured, not typed. All contenders of a row run in
the same process on the same data, in turn, after one warm-up, with their threads on; what a user prepares once (an
index, a converted copy) is not timed, for us and for them. Answers are checked before the timing. Times are medians.
*Ratio* is the rival's time over ours: below 1 we lose. *Wanted* is the ratio that we set out to reach at least, given
before the work began, against this rival or against the fastest one of the row. Rounds in which other processes took
more than 6 % of the machine are taken again; rows marked † had too few others, and are unreliable.
"""


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.report", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--room", help="measure this room only")
    parser.add_argument("--only", default="", help="measure cases and curves whose name contains this text")
    parser.add_argument("--quick", action="store_true", help="no slow cases, curves or first calls; write nothing")
    parser.add_argument("--no-curves", action="store_true", help="leave out the curves")
    parser.add_argument("--no-startup", action="store_true", help="leave out import and first calls")
    parser.add_argument(
        "--render", action="store_true", help="measure nothing, write the pages from bench/results.json"
    )
    options = parser.parse_args(arguments)
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if not options.render:
        modules = rooms()
        if options.room is not None:
            if options.room not in modules:
                parser.error(f"--room: expected one of {', '.join(modules)}, got {options.room}")
            modules = {options.room: modules[options.room]}
        for name, module in modules.items():
            measured = measure_room(module, options)
            if not options.quick:
                results[name] = _merged(results.get(name, {}), measured, module)
                _write(RESULTS, json.dumps(results, indent=1, ensure_ascii=False) + "\n")  # what is measured is kept
    if not options.quick:
        _write(PAGE, page(results))
        update_readme(results)


def measure_room(module: Any, options: argparse.Namespace) -> dict[str, Any]:
    """Measure the cases, curves and first calls of one room."""
    measured: dict[str, Any] = {"date": datetime.now(UTC).strftime("%Y-%m-%d"), "machine": machine.describe()}
    measured["limits"] = machine.limits()
    for name, rate in measured["limits"].items():
        print(f"{name:28s} {rate / 1e9:8.1f} G/s", flush=True)
    measured["cases"] = {}
    for case in module.CASES:
        if options.only not in case.name or (options.quick and case.slow):
            continue
        measured["cases"][case.name] = row = measure_case(case)
        for line in case_lines(case.name, row):
            print(line, flush=True)
    wanted = [] if options.quick or options.no_curves else getattr(module, "CURVES", [])
    measured["curves"] = {}
    for curve in wanted:
        if options.only in curve.name:
            print(f"curve: {curve.name}", flush=True)
            measured["curves"][curve.name] = measure_curve(curve)
    calls = [] if options.quick or options.no_startup or options.only else getattr(module, "FIRST_CALLS", [])
    if calls:
        measured["import"] = startup.import_seconds("fastdeg")
        measured["import numba"] = startup.import_seconds("numba")
        measured["first calls"] = startup.measure(calls)
    return measured


def measure_case(case: Case) -> dict[str, Any]:
    """Measure one case, as the plain record that results.json keeps."""
    workload = case.setup()
    timing = measure(case, workload, rounds=case.rounds)
    return {
        "seconds": timing.medians,
        "quartiles": timing.quartiles,
        "rounds": timing.rounds,
        "calm": timing.calm,
        "target": case.target,
        "targets": {rival.name: rival.target for rival in case.rivals},
        "missing": [rival.name for rival in case.rivals if rival.missing],
        "bytes": case.bytes_read,
        "flops": case.flops,
    }


def measure_curve(curve: Curve) -> dict[str, Any]:
    """Measure one curve."""
    points = []
    for value in curve.values:
        timing = measure(curve, curve.setup(value), seconds=curve.seconds, rounds=9)
        points.append([str(value), timing.medians])
    return {"variable": curve.variable, "points": points}


def case_lines(name: str, row: dict[str, Any]) -> list[str]:
    """Return the rows of the Markdown table for one case, one per rival."""
    ours = row["seconds"][OURS]
    name += "" if row.get("calm", True) else " †"
    rivals = {rival: seconds for rival, seconds in row["seconds"].items() if rival != OURS}
    if not rivals:
        return [f"| {name} | {duration(ours)} | – | – | – | – |"]
    fastest = min(rivals, key=lambda rival: rivals[rival])
    lines = []
    for rival, seconds in rivals.items():
        target = row["targets"].get(rival)
        if target is None and rival == fastest:
            target = row["target"]
        wanted = "–" if target is None else f"{target:.3g} ×"
        lines.append(
            f"| {name} | {duration(ours)} | {rival} | {duration(seconds)} | {_ratio(seconds, ours)} | {wanted} |"
        )
        name = ""
    return lines


def page(results: dict[str, Any]) -> str:
    """Return the text of docs/performance.md."""
    parts = [HEAD]
    machines = {_machine_text(measured) for measured in results.values()}
    one = len(machines) == 1  # for all rooms, where they were measured on one day
    parts += [f"\n{text}\n" for text in machines if one]
    for room, measured in sorted(results.items()):
        parts.append(
            f"\n## {room.capitalize()}\n" if one else f"\n## {room.capitalize()}\n\n{_machine_text(measured)}\n"
        )
        parts.append(_folded(_rows(measured["cases"])))
        missing = sorted({name for row in measured["cases"].values() for name in row["missing"]})
        if missing:
            parts.append(f"\nNot installed, left out: {', '.join(missing)}.\n")
        parts.append(_rates(measured))
        for name, curve in measured.get("curves", {}).items():
            parts.append(_curve(name, curve))
        if "first calls" in measured:
            parts.append(_first_calls(measured))
    return "\n".join(parts).replace("\n\n\n", "\n\n")


def update_readme(results: dict[str, Any]) -> None:
    """Write the chosen rows between the marker comments of the README, where it has them."""
    text = README.read_text() if README.exists() else ""
    if BEGIN not in text or END not in text:
        print(f"README.md has no {BEGIN} … {END}: table left out")
        return
    dates = sorted(measured["date"] for measured in results.values())
    about = next(iter(results.values()))["machine"]
    when = " to ".join(dict.fromkeys((dates[0], dates[-1])))
    stands = f"{about['processor']}, {about['cores']} cores; measured on {when}; versions and all rows: "
    machine_text = f"{stands}[performance](docs/performance.md)."
    head = "| task | fastdeg | fastest rival | its time | ratio | first call |\n|---|---|---|---|---|---|"
    table = "\n".join([machine_text, "", head, *filter(None, (chosen_row(results, *chosen) for chosen in CHOSEN))])
    before, rest = text.split(BEGIN, 1)
    _write(README, f"{before}{BEGIN}\n{table}\n{END}{rest.split(END, 1)[1]}")


def chosen_row(results: dict[str, Any], task: str, case: str, call: str | None) -> str:
    """Return the README's row of a case: against its fastest rival, with the time of a first call of its kind.

    Empty where the case was not measured yet.
    """
    row = next((row for room in results.values() for name, row in room["cases"].items() if name == case), None)
    if row is None:
        return ""
    ours, rivals = row["seconds"][OURS], {name: s for name, s in row["seconds"].items() if name != OURS}
    name, theirs = min(rivals.items(), key=lambda rival: rival[1], default=("–", math.nan))
    against = f"{duration(theirs)} | {_ratio(theirs, ours)}" if rivals else "– | –"
    calls = {first["name"]: first["cold"] for room in results.values() for first in room.get("first calls", ())}
    cold = duration(calls[call]) if call in calls else "–"
    mark = "" if row.get("calm", True) else " †"
    return f"| {task}{mark} | {duration(ours)} | {name} | {against} | {cold} |"


def _ratio(theirs: float, ours: float) -> str:
    return f"{theirs / ours:.2f} ×" if theirs < 20 * ours else f"{theirs / ours:.0f} ×"


def _folded(rows: list[str]) -> str:
    """Return the table of a room, which a reader unfolds."""
    table = _table_head() + "\n".join(rows)
    return f"<details>\n<summary>{len(rows)} rows</summary>\n\n{table}\n\n</details>\n"


def duration(seconds: float) -> str:
    """Return a time in the unit that suits it, three digits."""
    scales = {"s": 1.0, "ms": 1e-3, "µs": 1e-6}
    unit = next((unit for unit, scale in scales.items() if seconds >= scale), "µs")
    value = seconds / scales[unit]
    digits = max(0, 2 - math.floor(math.log10(value))) if value > 0 else 2
    return f"{value:.{min(digits, 2)}f} {unit}"


def _rows(cases: dict[str, Any]) -> list[str]:
    return [line for name, row in cases.items() for line in case_lines(name, row)]


def _table_head() -> str:
    return "| workload | fastdeg | rival | its time | ratio | wanted |\n|---|---|---|---|---|---|\n"


def _machine_text(measured: dict[str, Any]) -> str:
    about = measured["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    return (
        f"{about['processor']}, {about['cores']} cores, {about['threads']} threads; {about['system']}; {versions}; "
        f"measured on {measured['date']}."
    )


def _rates(measured: dict[str, Any]) -> str:
    limits = measured["limits"]
    text = ", ".join(
        f"{name} {rate / 1e9:.3g} {'GB/s' if name.startswith('read') else 'Gflop/s'}" for name, rate in limits.items()
    )
    lines = [f"\n### Against the machine\n\nWhat the machine reached at best, measured in the same runs: {text}.\n"]
    rows = []
    for name, row in measured["cases"].items():
        seconds = row["seconds"][OURS]
        if row.get("bytes") is None and row.get("flops") is None:
            continue
        read = "–" if row.get("bytes") is None else f"{row['bytes'] / seconds / 1e9:.3g} GB/s"
        done = "–" if row.get("flops") is None else f"{row['flops'] / seconds / 1e9:.3g} Gflop/s"
        rows.append(f"| {name} | {duration(seconds)} | {read} | {done} |")
    if not rows:
        return lines[0]
    return lines[0] + "\n| workload | fastdeg | reads | computes |\n|---|---|---|---|\n" + "\n".join(rows) + "\n"


def _curve(name: str, curve: dict[str, Any]) -> str:
    names = list(curve["points"][0][1])
    lines = [f"\n### {name}\n", f"| {curve['variable']} | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for value, medians in curve["points"]:
        lines.append(f"| {value} | {' | '.join(duration(medians[n]) if n in medians else '–' for n in names)} |")
    return "\n".join(lines) + "\n"


def _first_calls(measured: dict[str, Any]) -> str:
    lines = [
        "\n### Import and first calls\n",
        f"`import fastdeg` takes {duration(measured['import'])} in a fresh process (`import numba` alone "
        f"{duration(measured['import numba'])}). A first call, imports included unless they came before:\n",
        "| call | empty numba cache | filled cache |",
        "|---|---|---|",
    ]
    lines += [
        f"| {row['name']} | {duration(row['cold'])} | {duration(row['cached'])} |" for row in measured["first calls"]
    ]
    return "\n".join(lines) + "\n"


def _merged(old: dict[str, Any], new: dict[str, Any], module: Any) -> dict[str, Any]:
    """Return the new measurements, and the old ones of the same machine that were not taken again.

    Cases and curves come in the order of the room, without those that it no longer has.
    """
    if not old or old["machine"] != new["machine"]:
        return new
    merged = {**old, **new}
    merged["limits"] = {name: max(rate, old["limits"].get(name, 0)) for name, rate in new["limits"].items()}
    for key, wanted in (("cases", module.CASES), ("curves", getattr(module, "CURVES", []))):
        both = {**old.get(key, {}), **new[key]}
        merged[key] = {item.name: both[item.name] for item in wanted if item.name in both}
    return merged


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.chmod(name, 0o644)
    os.replace(name, path)


if __name__ == "__main__":
    main()
