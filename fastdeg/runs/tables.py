"""What a run found, as tables and sentences of text: for the page and the terminal alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastdeg.frameworks.comparison import WORDS, span

NAMES = {"target": "target q", "crafted": "crafted p", "prior": "prior π"}
GLOSSARY = {
    "q": "distribution of the degradations of your photos (or annotations), over the bins of the space",
    "p": "distribution to train on: close to q, and as broad as the photos leave open",
    "prior π": "what p is pulled towards: uniform over the space, or what your option file trains on",
    "effective bins": "exp(entropy): how many equally likely bins would be as uncertain",
    "EMD": "earth mover's distance over the standardised axes: how far probability has to travel, in shares of a range",
    "KL to prior": "Kullback–Leibler divergence from the prior, in nats: 0 for the prior itself",
    "mixture": "the plain alternative: q with a share of the prior",
    "closed-form weights": "each bin scored alone by its Fréchet distance to the photos",
    "gap": "no distribution has an objective lower by more than this: certified",
    "τ": "weight of the pull towards the prior",
}


def comparison_table(summary: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of the comparison table as text, for the page and the terminal alike."""
    columns = {
        "distribution": "distribution",
        "target_gain": "on your photos (dB)",
        "application_gain": "application (dB)",
        "prior_gain": "elsewhere (dB)",
        "mass_on_true_bins": "mass on true bins",
        "effective_bins": "effective bins",
        "emd_to_truth": "EMD to truth",
        "emd_to_q": "EMD to q",
        "kl_to_prior": "KL to prior",
    }
    rows = summary["comparison"]
    shown = [key for key in columns if key in rows[0]]
    if "target_gain" in shown:  # decibels say what distances stand for
        shown = [key for key in shown if not key.startswith("emd")]
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
        (header[0], ["cell", *header[1:]], rows)
        for header, rows in interval_tables(summary["marginals"], summary["level"])
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
        *_fits(summary),
        *summary["identifiability"],
    ]


def _fits(summary: Mapping[str, Any]) -> list[str]:
    """Return how far the photos lie from what the clean images come to under q, of runs that say so."""
    found = summary.get("frechet")
    if not found:
        return []
    return [
        f"Fréchet distance in features between the photos and what q makes of the clean images: {found['q']:.3g}, "
        f"{found['q'] / found['paper']:.2f} of that of the uniform distribution on preset paper"
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


def quantile_table(summary: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return the middle 90 % and the median of each axis under q, p and prior."""
    quantiles = summary["quantiles"]
    header = ["axis", *(f"{NAMES[name].split()[-1]} {level}" for name in quantiles for level in ("5–95 %", "median"))]
    return header, [
        [axis, *(text for name in quantiles for text in _span_and_median(quantiles[name][axis]))]
        for axis in next(iter(quantiles.values()), {})
    ]


def _span_and_median(values: Sequence[float]) -> tuple[str, str]:
    return f"{values[0]:.3g} – {values[2]:.3g}", f"{values[1]:.3g}"


def answer_sentences(summary: Mapping[str, Any]) -> list[str]:
    """Return what the run comes to, in words: what the photos are, what is trained today, what to train on."""
    quantiles = summary.get("quantiles") or {}
    if not quantiles:
        return []
    units = {axis["name"]: axis["unit"] for axis in summary["space"]["axes"]}
    what = "photos" if "references" in summary["inputs"] else "annotations"
    audited = (summary.get("audit") or {}).get("sentences", [])
    found = [f"Your {what}: {_ranges(quantiles['target'], units)} (the middle 90 % of each).", *audited[1:2]]
    return [*found, f"Train on: {_ranges(quantiles['crafted'], units)}."] if "crafted" in quantiles else found


def _ranges(quantiles: Mapping[str, Sequence[float]], units: Mapping[str, str]) -> str:
    return ", ".join(
        f"{WORDS.get(name, name)} {span(tuple(values), name)}{' px' if units[name] == 'px' else ''}"
        for name, values in quantiles.items()
    )


def interval_tables(marginals: Mapping[str, Any], level: float) -> list[tuple[list[str], list[list[str]]]]:
    """Return for each axis the probability of each cell with its interval."""
    return [
        (
            [name, "probability", f"{100 * level:g} % interval"],
            [[c["cell"], f"{c['probability']:.3f}", f"{c['low']:.3f} – {c['high']:.3f}"] for c in cells],
        )
        for name, cells in marginals.items()
    ]


def reproduction(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return names and values of what is needed to make the run again."""
    versions = ", ".join(f"{name} {release}" for name, release in summary.get("versions", {}).items())
    settings = {**summary["inputs"], "generalization τ": summary.get("generalization")}
    return [
        (name, str(value))
        for name, value in (("command", summary.get("command")), ("versions", versions), *settings.items())
        if value not in (None, "")
    ]
