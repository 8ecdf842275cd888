"""The verb estimate: which degradations made the reference photos, and how far that can be told."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastdeg.cli import console
from fastdeg.cli.photos import LEVEL, fit_estimator, frechet_of, marginal_rows, photo_notes, some_clean_images
from fastdeg.images.inference.results import Inference
from fastdeg.runs import folder as runs
from fastdeg.runs import report
from fastdeg.runs.samples import write_samples
from fastdeg.runs.workflow import QUANTILES, bin_rows

COUNTS = (5, 10, 20, 40, 80)  # numbers of references for which the intervals' width is foretold
MOST_PAIRS = 5  # pairs of bins named as hard to separate


def run(options: argparse.Namespace) -> None:
    """Find the degradation distribution of reference photos; say how far it can be trusted."""
    if options.output is not None:
        runs.check_run_folder(options.output, force=options.force)
    estimator, references, notes, inputs = fit_estimator(options)
    names = list(references)
    with console.progress_bar() as progress:
        photos = estimator.summarize(list(references.values()), progress=progress)
    kept = {"keep_outside": options.keep_outside}
    inference = estimator.infer(photos, **kept)
    counts = estimator.reference_counts(photos, COUNTS, level=LEVEL, **kept)
    identifiability = estimator.identifiability()
    q = inference.distribution
    bins = q.bins
    summary = {
        **runs.summary_head("estimate", inputs),
        "command": options.command,
        "space": bins.space.to_dict() if bins.space else None,
        "n_bins": bins.n_bins,
        "n_samples": len(names),
        "effective_bins": q.effective_bins(),
        "log_likelihood": inference.log_likelihood,
        "converged": bool(inference.converged),
        "n_iter": int(inference.n_iter),
        "level": LEVEL,
        "quantiles": {"target": q.quantiles(QUANTILES)},
        "n_outside": int(inference.outside.sum()),
        "all_inside_p_value": inference.all_inside_p_value,
        "frechet": frechet_of(estimator, photos.of(inference.with_a_say), q),
        "marginals": marginal_rows(q, estimator.bootstrap(photos, level=LEVEL, **kept)),
        "images": _image_rows(names, inference, bins.names),
        "interval_widths": [
            {"references": int(n), **dict(zip(counts.names, map(float, widths), strict=True))}
            for n, widths in zip(counts.counts, counts.widths, strict=True)
        ],
        "hard_to_separate": [
            {
                "bins": [dict(zip(bins.names, map(float, bins.centers[i]), strict=True)) for i in pair],
                "confusion": float(confusion),
            }
            for pair, confusion in zip(
                identifiability.pairs[:MOST_PAIRS], identifiability.confusion[:MOST_PAIRS], strict=True
            )
        ],
        "identifiability": list(identifiability.notes),
        "notes": [*notes, *photo_notes(inference, names, **kept)],
    }
    if options.output is not None:
        with runs.new_run_folder(options.output, force=options.force) as folder:
            q.save(folder / "target.npz")
            estimator.save(folder / runs.ESTIMATOR_FILE)
            bin_means, bin_covariances = estimator.bin_feature_moments()
            mean, covariance = estimator.feature_moments(photos)
            np.savez_compressed(
                folder / "moments.npz",
                bin_means=bin_means, bin_covariances=bin_covariances, mean=mean, covariance=covariance,
            )  # fmt: skip
            runs.write_csv(folder / "images.csv", summary["images"])
            runs.write_csv(folder / "bins.csv", bin_rows(bins, {"target": q}))
            runs.write_json(folder / runs.RUN_FILE, summary)
            if clean := some_clean_images(inputs):
                shown = {name: references[name] for name, told in zip(names, inference.with_a_say, strict=True) if told}
                write_samples(folder, clean, shown, of="target")
            report.write_report(folder, folder / "report.html")
    if options.json:
        console.print_json(summary)
    else:
        console.print_estimate(summary)
        if options.output is not None:
            console.written(options.output)


def _image_rows(names: Sequence[str], inference: Inference, axes: Sequence[str]) -> list[dict[str, Any]]:
    rows = []
    for i, name in enumerate(names):
        row: dict[str, Any] = {"file": name}
        for k, axis in enumerate(axes):
            row[axis] = float(np.round(inference.parameters[i, k], 4))
            row[f"{axis}_error"] = float(np.round(inference.parameter_errors[i, k], 4))
        row |= {"outside": bool(inference.outside[i]), "p_value_inside": float(inference.outside_p_values[i])}
        row["reason"] = inference.outside_reasons[i]
        rows.append(row | {"without_comb": bool(inference.without_comb[i])})
    return rows
