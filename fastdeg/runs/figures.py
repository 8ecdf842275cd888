"""Figures of a run's page, as SVG: one for each axis and pair of axes, so that a narrow screen can stack them."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

from fastdeg import plotting
from fastdeg.bins import GridBins
from fastdeg.distribution import BinnedDistribution
from fastdeg.runs.tables import NAMES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLORS = {"target": plotting.TARGET, "crafted": plotting.CRAFTED, "prior": plotting.PRIOR}


def as_source(figure: Figure) -> str:
    """Return a figure as the source of an image."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode()


def _new_figure(n_columns: int, width: float, height: float) -> tuple[Figure, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * n_columns, height), layout="constrained")
    return figure, figure.subplots(1, n_columns, squeeze=False)[0]


def marginals(distributions: Mapping[str, BinnedDistribution]) -> Iterator[tuple[str, Figure]]:
    """Yield for each axis its name and the probabilities along it."""
    space = distributions["target"].bins.space
    assert space is not None
    for k, axis in enumerate(space.axes):
        figure, (plot,) = _new_figure(1, 3.4, 2.6)
        for name, distribution in distributions.items():
            style = {"linestyle": "--"} if name == "prior" else {}
            plotting.marginal(distribution, k, plot, color=COLORS[name], label=NAMES[name], **style)
        plot.set_ylabel("probability")
        plot.legend(frameon=False, fontsize=8)
        yield axis.name, figure


def pairs(distributions: Mapping[str, BinnedDistribution]) -> Iterator[tuple[str, Figure]]:
    """Yield for each pair of axes their names and the probabilities over them, the colours shared."""
    bins = distributions["target"].bins
    assert bins.space is not None
    for j, k in combinations(range(bins.space.ndim), 2):
        figure, axes = _new_figure(len(distributions), 3.2, 2.6)
        top = max(plotting.pair_mass(distribution, j, k).max() for distribution in distributions.values())
        for plot, (name, distribution) in zip(axes, distributions.items(), strict=True):
            shown = plotting.pair(distribution, j, k, plot, top, COLORS[name])
            plot.set_title(NAMES[name], fontsize=10)
        if isinstance(bins, GridBins):
            figure.colorbar(shown, ax=axes)
        yield f"{bins.names[j]} and {bins.names[k]}", figure


def tradeoff_curve(tradeoff: Sequence[Mapping[str, float]], summary: Mapping[str, Any]) -> Figure:
    """Draw the path's distance to the target against KL and effective bins, and the chosen point."""
    figure, axes = _new_figure(2, 4.6, 3.2)
    accuracy = [row["distance_to_target"] for row in tradeoff]
    mixture = [row["mixture_distance_to_target"] for row in tradeoff]
    chosen = summary["terms"]["frechet"] + summary["terms"]["wasserstein"]
    for plot, key, label in (
        (axes[0], "kl_to_prior", "KL to the prior (nats)"),
        (axes[1], "effective_bins", "effective bins"),
    ):
        plot.plot([row[key] for row in tradeoff], accuracy, "o-", ms=4, color=COLORS["crafted"], label="crafted p")
        plot.plot(
            [row[f"mixture_{key}"] for row in tradeoff], mixture, "s--", ms=3, color=COLORS["prior"], label="mixture"
        )
        plot.set(xlabel=label)
        plot.spines[["top", "right"]].set_visible(False)
    crafted = next(row for row in summary["comparison"] if row["distribution"].startswith("crafted"))
    for plot, x in zip(axes, (crafted["kl_to_prior"], crafted["effective_bins"]), strict=True):
        plot.plot(
            [x], [chosen], "*", ms=13, color=COLORS["target"], label=f"chosen, τ = {summary['generalization']:.3g}"
        )
    axes[0].set_ylabel("distance to the target, FD² + W")
    axes[1].legend(frameon=False)
    return figure


def gains(tradeoff: Sequence[Mapping[str, float]], summary: Mapping[str, Any]) -> Figure:
    """Draw the forecast of what each distribution gains on the photos and elsewhere, and the path's."""
    figure, (plot,) = _new_figure(1, 6.4, 4.2)
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
