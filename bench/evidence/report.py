"""Tables, figure and claims of a results file: ``python -m bench.evidence.report FILE [-o FIGURE]``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from bench.evidence.settings import LOSS

COLUMNS = ("application", "whole", "neighbour", "text")
HEADS = ("application", "whole space", "neighbour", "pages of text")
LIMIT = 0.3  # dB that networks may lose where LOSS is allowed
NOTHING = 0.05  # dB that networks of one seed cannot tell from nothing
Row = dict[str, Any]


def gains(results: dict[str, Any], metric: int = 0) -> list[Row]:
    """Return a row per setting and distribution: PSNR (0) or SSIM (1) over uniform training, with errors over seeds."""
    networks, rows = results["networks"], []
    for key, forecast in results["forecast"].items():
        name = key.split(", ", 1)[1]
        for setting in (int(s) for s in forecast if s.isdigit() and name != "uniform"):
            row: Row = {"setting": setting, "name": name, "forecast": forecast[str(setting)]}
            for column in COLUMNS:
                place = column if column == "whole" else f"{column} {setting}"
                pairs = [
                    (judged, networks[f"setting 0, uniform, seed {k.rsplit(' ', 1)[1]}"])
                    for k, judged in networks.items()
                    if k.startswith(f"{key}, seed ")
                ]
                over = [run[place][metric] - base[place][metric] for run, base in pairs if place in run]
                if over:
                    spread = np.std(over, ddof=1) / len(over) ** 0.5 if len(over) > 1 else np.nan
                    row[column] = float(np.mean(over)), float(spread)
            if "whole" in row:
                rows.append(row)
    return sorted(rows, key=lambda row: row["setting"])


def table(rows: list[Row], digits: int = 2) -> str:
    """Return a table of gains; that of PSNR shows the forecast beside them."""
    forecast = digits == 2
    heads = ["setting", "trained on", *HEADS, *(["forecast: application", "forecast: whole space"] if forecast else [])]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for row in rows:
        cells = [_cell(*row[c], digits) if c in row else "–" for c in COLUMNS]
        target, prior, target_error, prior_error = row["forecast"]
        cells += [_cell(target, target_error), _cell(prior, prior_error)] if forecast else []
        lines.append(f"| {row['setting']} | {row['name']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(value: float, error: float, digits: int = 2) -> str:
    return f"{value:+.{digits}f}" + (f" ± {error:.{digits}f}" if np.isfinite(error) else "")


def correlations(rows: list[Row]) -> str:
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


def misses(rows: list[Row]) -> str:
    """Return where the forecast's size is not within a factor of two of the networks', or of the other sign."""
    lines = []
    for row in rows:
        for column, k in (("application", 0), ("whole", 1)):
            network, forecast = row[column][0], row["forecast"][k]
            if abs(network) >= NOTHING and not 0.5 <= forecast / network <= 2:
                where = f"setting {row['setting']}, {row['name']}, {column}"
                lines.append(f"{where}: network {network:+.2f}, forecast {forecast:+.2f}")
    return "\n".join(["beyond a factor of two:", *lines])


def claims(rows: list[Row]) -> str:
    """Return what each choice gains and loses in networks, beside the truth; limits kept; crafted over mixtures."""
    by_setting: dict[int, dict[str, tuple[float, float]]] = {}
    for row in rows:
        by_setting.setdefault(row["setting"], {})[row["name"]] = row["application"][0], row["whole"][0]
    lines = []
    for group in ((1, 2, 3), (5, 6, 7, 8)):
        inside = [found for s, found in by_setting.items() if s in group and "true" in found]
        for name in ("true", "auto", "auto by forecast", f"loss {LOSS}"):
            if inside and all(name in found for found in inside):
                (most, most_lost), (gain, loss) = (np.mean([f[n] for f in inside], axis=0) for n in ("true", name))
                lines.append(
                    f"settings {group}, {name}: {gain:+.2f} dB on the application ({gain / most:.0%} of the truth's), "
                    f"{loss:+.2f} dB over the space ({loss / most_lost:.0%} of the truth's)"
                )
    for s, found in by_setting.items():
        if f"loss {LOSS}" in found:
            gain, lost = found[f"loss {LOSS}"]
            best = max((g for g, whole in found.values() if whole >= -LIMIT), default=np.nan)
            lines.append(f"setting {s}, loss {LOSS}: {lost:+.3f} dB over the space; {gain / best:.0%} of the best gain")
    more = [above for found in by_setting.values() for above in _above_crafted(found)]
    if more:
        error = np.std(more, ddof=1) / len(more) ** 0.5
        lines.append(f"crafted over {len(more)} mixtures of the same loss: {_cell(float(np.mean(more)), error, 3)} dB")
    return "\n".join(lines)


def _above_crafted(found: dict[str, tuple[float, float]]) -> list[float]:
    """Return by how much the crafted path, between its points, gains more than each mixture that loses as much."""
    path = sorted(
        [(0.0, 0.0)]
        + [
            (loss, gain)
            for name, (gain, loss) in found.items()
            if name.startswith(("auto", "tau", "loss")) and "of 5" not in name
        ]
    )
    losses, values = zip(*path, strict=True)
    mixed = [(gain, loss) for name, (gain, loss) in found.items() if name.startswith("mixture")]
    return [float(np.interp(loss, losses, values)) - gain for gain, loss in mixed if losses[0] <= loss <= losses[-1]]


def draw(rows: list[Row], path: Path) -> None:
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
    results = json.loads(options.results.read_text())
    rows = gains(results)
    print(table(rows), table(gains(results, 1), 3), correlations(rows), misses(rows), claims(rows), sep="\n\n")
    if options.output:
        draw(rows, options.output)


if __name__ == "__main__":
    main()
