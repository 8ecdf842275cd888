"""One self-contained HTML page about a run: tables, figures and thumbnails, drawn from the run folder alone."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastdeg import plotting
from fastdeg._files import replaced_file
from fastdeg.bins import GridBins
from fastdeg.distribution import BinnedDistribution
from fastdeg.runs import folder as runs

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAMES = {"target": "target q", "crafted": "crafted p", "prior": "prior π"}
COLORS = {"target": plotting.TARGET, "crafted": plotting.CRAFTED, "prior": plotting.PRIOR}

_STYLE = """
:root { --ink: #1d2125; --soft: #5c6570; --line: #dde1e6; --accent: #00798c; }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: .2rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
p.lead { color: var(--soft); margin-top: 0; } figure { margin: 1rem 0; }
figcaption { color: var(--soft); font-size: .9rem; }
img { max-width: 100%; height: auto; } .scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .8rem; text-align: right; }
th { border-bottom: 2px solid var(--line); font-weight: 600; } td { border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
.thumbnails { display: flex; flex-wrap: wrap; gap: 1rem; } .thumbnails figure { width: 10rem; margin: 0; }
.note { border-left: 3px solid var(--accent); padding: .1rem 0 .1rem .8rem; margin: .6rem 0; }
"""


def write_report(run: Path, path: Path) -> None:
    """Write the report of a run folder to ``path``.

    Raises
    ------
    FileNotFoundError, ValueError
        When the folder holds no complete run.
    """
    summary = runs.read_summary(run)
    if summary["verb"] == "estimate":
        _write_page(path, _estimate_page(summary, BinnedDistribution.load(run / "target.npz")))
        return
    distributions = {name: BinnedDistribution.load(run / f"{name}.npz") for name in NAMES}
    tradeoff = [{key: float(value) for key, value in row.items()} for row in runs.read_csv(run / "tradeoff.csv")]
    _write_page(path, _page(run, summary, distributions, tradeoff))


def comparison_table(summary: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of the comparison table as text, for the page and the terminal alike."""
    columns = {
        "distribution": "distribution",
        "target_gain": "on your photos (dB)",
        "prior_gain": "elsewhere (dB)",
        "mass_on_true_bins": "mass on true bins",
        "effective_bins": "effective bins",
        "emd_to_truth": "EMD to truth",
        "emd_to_q": "EMD to q",
        "kl_to_prior": "KL to prior",
    }
    rows = summary["comparison"]
    shown = [key for key in columns if key in rows[0]]
    formats = {"distribution": "{}", "effective_bins": "{:.1f}"}
    return [columns[key] for key in shown], [
        [
            f"{row[key]:+.2f} ± {row[key + '_error']:.2f}"
            if key.endswith("gain")
            else formats.get(key, "{:.3f}").format(row[key])
            for key in shown
        ]
        for row in rows
    ]


def certificate_text(summary: Mapping[str, Any]) -> str:
    """Return the sentence about objective, gap and τ."""
    terms = ", ".join(f"{name} {value:.4g}" for name, value in summary["terms"].items())
    state = "certified" if summary["converged"] else "not converged"
    return (
        f"objective {summary['objective']:.6g} ({terms}), gap {summary['gap']:.1e} ({state}), "
        f"generalization τ = {summary['generalization']:.4g}{' (auto)' if summary.get('generalization_auto') else ''}"
    )


def estimate_tables(summary: Mapping[str, Any]) -> list[tuple[str, list[str], list[list[str]]]]:
    """Return title, header and rows of each table of an estimate as text, for the page and the terminal alike."""
    percent = f"{100 * summary['level']:g} %"
    axes = list(summary["marginals"])
    tables = [
        (
            name,
            ["cell", "probability", f"{percent} interval"],
            [[c["cell"], f"{c['probability']:.3f}", f"{c['low']:.3f} – {c['high']:.3f}"] for c in cells],
        )
        for name, cells in summary["marginals"].items()
    ]
    photos = [
        [
            row["file"],
            *(f"{row[a]:.2f} ± {row[a + '_error']:.2f}" for a in axes),
            f"{row['p_value_inside']:.3f}{' outside' if row['outside'] else ''}",
        ]
        for row in summary["images"]
    ]
    widths = [[str(row["references"]), *(f"{row[a]:.3f}" for a in axes)] for row in summary["interval_widths"]]
    pairs = [
        [*(" or ".join(f"{value:.3g}" for value in dict.fromkeys(b[a] for b in row["bins"])) for a in axes),
         f"{100 * row['confusion']:.0f} %"]
        for row in summary["hard_to_separate"]
    ]  # fmt: skip
    return [
        *tables,
        ("Each photo alone (± standard error)", ["photo", *axes, "p-value inside the space"], photos),
        (f"Mean width of the {percent} intervals by number of references", ["references", *axes], widths),
        ("Bins that one photo confuses most", [*axes, "taken for the other"], pairs),
    ]


def estimate_sentences(summary: Mapping[str, Any]) -> list[str]:
    """Return what an estimate says in words: how the fit ended, who lies outside, what cannot be told apart."""
    ended = "converged" if summary["converged"] else "did not converge"
    return [
        f"{summary['n_samples']} photos, {summary['effective_bins']:.1f} effective bins; EM {ended} "
        f"after {summary['n_iter']} iterations, log-likelihood {summary['log_likelihood']:.3f} per photo",
        f"{summary['n_outside']} of {summary['n_samples']} photos are called outside the space; "
        f"if all lay inside, so many would be with probability {summary['all_inside_p_value']:.2g}",
        *summary["identifiability"],
    ]


def reference_table(references: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Return the selected references as a header and rows of text."""
    names = list(references[0]) if references else []
    return names, [
        [f"{row[key]:.4g}" if isinstance(row[key], float) else str(row[key]) for key in names] for row in references
    ]


def selection_text(summary: Mapping[str, Any]) -> str:
    """Return one sentence on how well the selected references cover the candidates."""
    selection = summary["selection"]
    return (
        f"{len(summary['references'])} references; distance of all candidates to their nearest reference: "
        f"mean {selection['mean_distance']:.3g}, maximum {selection['max_distance']:.3g}; "
        f"among the references themselves {selection['diversity']:.3g}."
    )


def _write_page(path: Path, parts: Iterable[str]) -> None:
    page = "\n".join(parts)
    with replaced_file(path, "w") as file:
        file.write(page)


def _head(summary: Mapping[str, Any], title: str, space: Any) -> Iterable[str]:
    yield "<!doctype html>"
    yield f'<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
    yield f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head><body>'
    yield f"<h1>{html.escape(title)}</h1>"
    yield f'<p class="lead">{html.escape(summary["created"])} · fastdeg {html.escape(summary["fastdeg"])} · '
    yield f"{summary['n_bins']} bins{' of ' + html.escape(_space_text(space)) if space else ''}</p>"


def _estimate_page(summary: Mapping[str, Any], target: BinnedDistribution) -> Iterable[str]:
    space = target.bins.space
    yield from _head(summary, "fastdeg estimate: degradations of reference photos", space)
    yield from (f"<p>{html.escape(text)}</p>" for text in estimate_sentences(summary))
    yield from (f'<p class="note">{html.escape(note)}</p>' for note in summary["notes"])
    if space is not None:
        yield "<h2>Marginals</h2>"
        yield from _figure(_marginals({"target": target}), "Probability along each axis of the degradation space.")
    for title, header, rows in estimate_tables(summary):
        yield f"<h2>{html.escape(title)}</h2>"
        yield from _table(header, rows)
    yield "</body></html>"


def _page(
    run: Path,
    summary: Mapping[str, Any],
    distributions: Mapping[str, BinnedDistribution],
    tradeoff: Sequence[Mapping[str, float]],
) -> Iterable[str]:
    title = f"fastdeg {summary['verb']}: crafted training distribution"
    space = distributions["target"].bins.space
    yield from _head(summary, title, space)
    yield "<h2>What was found</h2>"
    yield from _table(*comparison_table(summary))
    if caption := summary.get("caption"):
        yield f"<p>{html.escape(caption)}</p>"
    yield f"<p>{html.escape(certificate_text(summary))}</p>"
    yield from (f'<p class="note">{html.escape(note)}</p>' for note in summary["notes"])
    if space is not None:
        yield "<h2>Marginals</h2>"
        yield from _figure(_marginals(distributions), "Probability along each axis of the degradation space.")
        if space.ndim > 1:
            yield "<h2>Pairs of axes</h2>"
            grid = isinstance(distributions["target"].bins, GridBins)
            scale = "the panels of a row share their colours" if grid else "discs have areas proportional to it"
            yield from _figure(_pairs(distributions), f"Probability over each pair of axes; {scale}.")
    yield "<h2>Accuracy against generalisation</h2>"
    yield from _figure(
        _tradeoff(tradeoff, summary),
        "Each point is certified: the wider the training distribution, the farther it lies from the target.",
    )
    if tradeoff and "target_gain" in tradeoff[0]:
        yield from _figure(
            _gains(tradeoff, summary),
            "Forecast of what training on each distribution gains over training on the prior (± standard error).",
        )
    if summary["references"]:
        yield "<h2>Selected references</h2>"
        yield from _references(run, summary)
    yield "</body></html>"


def _space_text(space: Any) -> str:
    return ", ".join(f"{axis.name} {axis.low:g}–{axis.high:g} {axis.unit}".strip() for axis in space.axes)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterable[str]:
    yield '<div class="scroll"><table><thead><tr>'
    yield "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
    yield "</tr></thead><tbody>"
    for row in rows:
        yield "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
    yield "</tbody></table></div>"


def _figure(figure: Figure, caption: str) -> Iterable[str]:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
    data = base64.b64encode(buffer.getvalue()).decode()
    yield f'<figure><img alt="{html.escape(caption)}" src="data:image/svg+xml;base64,{data}">'
    yield f"<figcaption>{html.escape(caption)}</figcaption></figure>"


def _new_figure(n_rows: int, n_columns: int, width: float, height: float) -> tuple[Figure, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * n_columns, height * n_rows), layout="constrained")
    return figure, figure.subplots(n_rows, n_columns, squeeze=False)


def _marginals(distributions: Mapping[str, BinnedDistribution]) -> Figure:
    space = distributions["target"].bins.space
    assert space is not None
    figure, axes = _new_figure(1, space.ndim, 3.4, 2.6)
    for k, plot in enumerate(axes[0]):
        for name, distribution in distributions.items():
            style = {"linestyle": "--"} if name == "prior" else {}
            plotting.marginal(distribution, k, plot, color=COLORS[name], label=NAMES[name], **style)
    axes[0, 0].set_ylabel("probability")
    axes[0, -1].legend(frameon=False)
    return figure


def _pairs(distributions: Mapping[str, BinnedDistribution]) -> Figure:
    bins = distributions["target"].bins
    space = bins.space
    assert space is not None
    pairs = list(combinations(range(space.ndim), 2))
    figure, axes = _new_figure(len(pairs), len(distributions), 3.2, 2.6)
    for row, (j, k) in zip(axes, pairs, strict=True):
        top = max(plotting.pair_mass(distribution, j, k).max() for distribution in distributions.values())
        for plot, (name, distribution) in zip(row, distributions.items(), strict=True):
            shown = plotting.pair(distribution, j, k, plot, top, COLORS[name])
            plot.set_title(NAMES[name], fontsize=10)
        if isinstance(bins, GridBins):
            figure.colorbar(shown, ax=row)
    return figure


def _tradeoff(tradeoff: Sequence[Mapping[str, float]], summary: Mapping[str, Any]) -> Figure:
    figure, axes = _new_figure(1, 2, 4.6, 3.2)
    accuracy = [row["distance_to_target"] for row in tradeoff]
    mixture = [row["mixture_distance_to_target"] for row in tradeoff]
    chosen = summary["terms"]["frechet"] + summary["terms"]["wasserstein"]
    for plot, key, label in (
        (axes[0, 0], "kl_to_prior", "KL to the prior (nats)"),
        (axes[0, 1], "effective_bins", "effective bins"),
    ):
        plot.plot([row[key] for row in tradeoff], accuracy, "o-", ms=4, color=COLORS["crafted"], label="crafted p")
        plot.plot(
            [row[f"mixture_{key}"] for row in tradeoff], mixture, "s--", ms=3, color=COLORS["prior"], label="mixture"
        )
        plot.set(xlabel=label)
        plot.spines[["top", "right"]].set_visible(False)
    crafted = next(row for row in summary["comparison"] if row["distribution"].startswith("crafted"))
    for plot, x in zip(axes[0], (crafted["kl_to_prior"], crafted["effective_bins"]), strict=True):
        plot.plot(
            [x], [chosen], "*", ms=13, color=COLORS["target"], label=f"chosen, τ = {summary['generalization']:.3g}"
        )
    axes[0, 0].set_ylabel("distance to the target, FD² + W")
    axes[0, 1].legend(frameon=False)
    return figure


def _gains(tradeoff: Sequence[Mapping[str, float]], summary: Mapping[str, Any]) -> Figure:
    figure, axes = _new_figure(1, 1, 6.4, 4.2)
    plot = axes[0, 0]
    for start, line, color, label in (
        ("", "o-", COLORS["crafted"], "crafted path"),
        ("mixture_", "s--", COLORS["prior"], "mixtures"),
    ):
        curve = [[row[f"{start}{name}_gain"] for row in tradeoff] for name in ("prior", "target")]
        plot.plot(*curve, line, ms=3, color=color, label=label)
    for k, row in enumerate(summary["comparison"]):
        chosen = row["distribution"].startswith("crafted")
        plot.errorbar(
            row["prior_gain"], row["target_gain"], row["target_gain_error"], row["prior_gain_error"],
            fmt="*" if chosen else "sDv^<>Ph"[k % 8], ms=13 if chosen else 6, lw=1,
            color=COLORS["target"] if chosen else f"C{k}", label=row["distribution"],
        )  # fmt: skip
    plot.set(xlabel="elsewhere: dB over the prior", ylabel="on your photos: dB")
    plot.spines[["top", "right"]].set_visible(False)
    plot.legend(frameon=False, fontsize=8)
    return figure


def _references(run: Path, summary: Mapping[str, Any]) -> Iterable[str]:
    names = list(summary["references"][0]) if summary["references"] else []
    thumbnails = [run / "thumbnails" / f"{row['rank']:03d}.png" for row in summary["references"]]
    yield f"<p>{selection_text(summary)}</p>"
    if all(file.is_file() for file in thumbnails):
        yield '<div class="thumbnails">'
        for row, file in zip(summary["references"], thumbnails, strict=True):
            data = base64.b64encode(file.read_bytes()).decode()
            values = ", ".join(f"{key} {row[key]:.3g}" for key in names[3:])
            text = html.escape(f"{row['rank']}. {row['file']}: {values}")
            yield f'<figure><img alt="{html.escape(str(row["file"]))}" src="data:image/png;base64,{data}">'
            yield f"<figcaption>{text}</figcaption></figure>"
        yield "</div>"
        return
    yield from _table(*reference_table(summary["references"]))
