"""Tables, figure and rank correlations of a results file: ``python -m bench.evidence.report FILE [-o FIGURE]``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from bench.evidence.settings import APPLICATIONS

COLUMNS = ("application", "whole", "neighbour", "text")
HEADS = ("application", "whole space", "neighbour", "pages of text")


def gains(results: dict[str, Any]) -> list[dict[str, Any]]:
    """Return one row per setting and distribution: dB over uniform training, means over seeds and their errors."""
    seeds, rows = results["about"]["seeds"], []
    for key, forecast in results["forecast"].items():
        own, name = int(key.split(",")[0].split()[1]), key.split(", ", 1)[1]
        for setting in APPLICATIONS if own == 0 else [own]:
            if name == "uniform" or str(setting) not in forecast:
                continue
            row = {"setting": setting, "name": name, "forecast": forecast[str(setting)]}
            for column in COLUMNS:
                place = column if column == "whole" else f"{column} {setting}"
                runs = [
                    (results["networks"].get(f"{key}, seed {s}"), results["networks"][f"setting 0, uniform, seed {s}"])
                    for s in range(seeds)
                ]
                over = [run[place][0] - base[place][0] for run, base in runs if run and place in run and place in base]
                if over:
                    spread = np.std(over, ddof=1) / len(over) ** 0.5 if len(over) > 1 else np.nan
                    row[column] = float(np.mean(over)), float(spread)
            rows.append(row)
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    lines = [f"| setting | trained on | {' | '.join(HEADS)} | forecast: application | forecast: whole space |"]
    lines.append("|---" * 8 + "|")
    for row in rows:
        cells = [_cell(row[c]) if c in row else "–" for c in COLUMNS]
        target, prior, target_error, prior_error = row["forecast"]
        cells += [f"{target:+.2f} ± {target_error:.2f}", f"{prior:+.2f} ± {prior_error:.2f}"]
        lines.append(f"| {row['setting']} | {row['name']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(value: tuple[float, float]) -> str:
    return f"{value[0]:+.2f}" + (f" ± {value[1]:.2f}" if np.isfinite(value[1]) else "")


def correlations(rows: list[dict[str, Any]]) -> str:
    """Return how the forecast orders and sizes gains, against the networks."""
    lines = []
    for column, k in (("application", 0), ("whole", 1)):
        network = np.array([row[column][0] for row in rows])
        forecast = np.array([row["forecast"][k] for row in rows])
        setting = np.array([row["setting"] for row in rows])
        within = [spearmanr(network[setting == s], forecast[setting == s])[0] for s in np.unique(setting)]
        lines.append(
            f"{column}: Spearman {spearmanr(network, forecast)[0]:.3f} over {len(rows)} pairs, within settings "
            f"{', '.join(f'{r:.2f}' for r in within)} (median {np.median(within):.2f}); "
            f"median ratio of sizes, forecast to network, {np.median(forecast / network):.2f}"
        )
    return "\n".join(lines)


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw accuracy on the application against generalisation, a point for each distribution."""
    from matplotlib.figure import Figure

    settings = sorted({row["setting"] for row in rows})
    figure = Figure(figsize=(4 * len(settings), 3.6), layout="constrained")
    names = list(dict.fromkeys(row["name"] for row in rows))
    for axes, setting in zip(figure.subplots(1, len(settings), squeeze=False)[0], settings, strict=True):
        axes.plot([0], [0], "k+", ms=10, label="uniform")
        for row in (row for row in rows if row["setting"] == setting):
            k = names.index(row["name"])
            (y, dy), (x, dx) = row["application"], row["whole"]
            style: dict[str, Any] = {"color": f"C{k % 10}", "ms": 6}
            axes.errorbar(x, y, dy, dx, fmt="osDv^<>Ph*X"[k % 11], label=row["name"], **style)
            target, prior, target_error, prior_error = row["forecast"]
            axes.errorbar(prior, target, target_error, prior_error, fmt=".", alpha=0.4, **style)
        axes.set(title=f"setting {setting}", xlabel="whole space: dB over uniform")
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("application: dB over uniform")
    figure.axes[0].legend(frameon=False, fontsize=7)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.evidence.report", description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("-o", "--output", type=Path, help="file of the figure")
    options = parser.parse_args()
    rows = gains(json.loads(options.results.read_text()))
    print(table(rows), correlations(rows), sep="\n\n")
    if options.output:
        draw(rows, options.output)


if __name__ == "__main__":
    main()
