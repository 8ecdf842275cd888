"""One self-contained HTML page about a run: answers, tables, figures and samples, from the run folder alone."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

from fastdeg._files import replaced_file
from fastdeg.bins import GridBins
from fastdeg.distribution import BinnedDistribution
from fastdeg.runs import figures, tables
from fastdeg.runs import folder as runs
from fastdeg.runs.samples import sample_rows

MOST_PAIRS = 10  # of axes, that are drawn
Table = tuple[Sequence[str], Sequence[Sequence[str]]]


@dataclass(frozen=True)
class Section:
    """A part of the page: sentences, tables, figures as sources of images with captions, pictures likewise."""

    title: str
    sentences: Sequence[str] = ()
    tables: Sequence[Table] = ()
    figures: Sequence[tuple[str, str]] = ()
    pictures: Sequence[tuple[str, str]] = ()
    wide: bool = False  # its figures are too wide for a narrow screen, which moves over them


def write_report(run: Path, path: Path) -> None:
    """Write the report of a run folder to ``path``.

    Raises
    ------
    FileNotFoundError, ValueError
        When the folder holds no complete run.
    """
    summary = runs.read_summary(run)
    of_estimate = summary["verb"] == "estimate"
    text = _template().render(
        title="degradations of reference photos" if of_estimate else "what to train on",
        summary=summary,
        answers=tables.answer_sentences(summary),
        export=summary.get("export"),
        sections=list(_estimate_sections(run, summary) if of_estimate else _crafted_sections(run, summary)),
        glossary=tables.GLOSSARY,
        reproduce=tables.reproduction(summary),
    )
    with replaced_file(path, "w") as file:
        file.write(text)


@cache
def _template() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template("report.html")


def _estimate_sections(run: Path, summary: Mapping[str, Any]) -> Iterator[Section]:
    target = BinnedDistribution.load(run / "target.npz")
    yield Section("What was found", tables.estimate_sentences(summary))
    yield from _samples(run, "q")
    if target.bins.space is not None:
        yield Section("Marginals", figures=_drawn(figures.marginals({"target": target}), "Probability along "))
    for title, header, rows in tables.estimate_tables(summary):
        yield Section(title, tables=[(header, rows)])


def _crafted_sections(run: Path, summary: Mapping[str, Any]) -> Iterator[Section]:
    distributions = {name: BinnedDistribution.load(run / f"{name}.npz") for name in tables.NAMES}
    tradeoff = [{key: float(value) for key, value in row.items()} for row in runs.read_csv(run / "tradeoff.csv")]
    space = distributions["target"].bins.space
    if space is not None:
        numbers = [tables.quantile_table(summary)] if "quantiles" in summary else []
        yield Section("The distributions in numbers", tables=numbers)
        yield Section("Marginals", figures=_drawn(figures.marginals(distributions), "Probability along "))
        if intervals := summary.get("marginals"):
            cells = tables.interval_tables(intervals, summary["level"])
            yield Section("Photos: probability of each cell", tables=cells)
    yield from _samples(run, "p")
    yield Section(
        "Accuracy against generalisation",
        ["Each point is certified: the wider the training distribution, the farther it lies from the target."],
        figures=[(figures.as_source(figures.tradeoff_curve(tradeoff, summary)), "Trade-off, and the chosen point")],
        wide=True,
    )
    if tradeoff and "target_gain" in tradeoff[0]:
        yield Section(
            "Forecast",
            ["What training on each distribution gains over training on the prior (± standard error)."],
            figures=[(figures.as_source(figures.gains(tradeoff, summary)), "Gain on your photos and elsewhere")],
            wide=True,
        )
    sentences = [summary["caption"]] if summary.get("caption") else []
    comparison = tables.comparison_table(summary)
    yield Section("Compared", [*sentences, tables.certificate_text(summary)], [comparison])
    if summary["references"]:
        yield _references(run, summary)
    if space is not None and space.ndim > 1:
        shared = "the panels share their colours"
        scale = shared if isinstance(distributions["target"].bins, GridBins) else "discs have areas proportional to it"
        drawn = _drawn(islice(figures.pairs(distributions), MOST_PAIRS), "Probability over ", f"; {scale}")
        yield Section("Pairs of axes", figures=drawn, wide=True)


def _drawn(drawn: Iterable[tuple[str, Any]], before: str, after: str = "") -> list[tuple[str, str]]:
    return [(figures.as_source(figure), f"{before}{name}{after}") for name, figure in drawn]


def _references(run: Path, summary: Mapping[str, Any]) -> Section:
    rows = summary["references"]
    files = [run / "thumbnails" / f"{row['rank']:03d}.png" for row in rows]
    if not all(file.is_file() for file in files):
        return Section("Selected references", [tables.selection_text(summary)], [tables.reference_table(rows)])
    names = list(rows[0])[3:]
    captions = [
        f"{row['rank']}. {row['file']}: " + ", ".join(f"{name} {row[name]:.3g}" for name in names) for row in rows
    ]
    pictures = [(_source(file), caption) for file, caption in zip(files, captions, strict=True)]
    return Section("Selected references", [tables.selection_text(summary)], pictures=pictures)


def _samples(run: Path, drawn_from: str) -> Iterator[Section]:
    """Yield the strip of samples beside photos, of runs that have one."""
    if pictures := [(_source(run / row["file"]), row["caption"]) for row in sample_rows(run)]:
        text = f"Clean images degraded with parameters drawn from {drawn_from}, and photos; pixel for pixel, 160 × 160."
        yield Section(f"Samples drawn from {drawn_from}, beside photos", [text], pictures=pictures)


def _source(file: Path) -> str:
    kind = file.suffix.lstrip(".")
    return f"data:image/{kind};base64,{base64.b64encode(file.read_bytes()).decode()}"
