"""Pictures of results. Matplotlib is imported when one is drawn; results call what stands here.

Functions draw on the ``ax`` they are given, or on a new figure of pyplot, and return the Axes.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fastdeg._checks import shown
from fastdeg._types import Float
from fastdeg.bins import Bins, GridBins

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TARGET, CRAFTED, PRIOR = "#d1495b", "#00798c", "#9aa0a6"
MOST_FLOWS = 2_000  # of a plan, the largest ones
MOST_THUMBNAIL_MARGINALS = 5
LARGE = 10_000  # points, from which on a notebook shows no picture of a plan unasked


class Distribution(Protocol):
    """What is drawn of a `fastdeg.BinnedDistribution`, which itself calls what stands here."""

    @property
    def bins(self) -> Bins: ...
    @property
    def pmf(self) -> Float: ...
    @property
    def n_bins(self) -> int: ...
    def moments(self) -> tuple[Float, Float]: ...
    def marginal(self, axis: int) -> Float: ...
    def effective_bins(self) -> float: ...


def new_axes(ax: Axes | None, rows: int = 1, columns: int = 1, size: tuple[float, float] = (4.6, 3.2)) -> NDArray[Any]:
    """Return the given Axes, or those of a new figure, as an array of shape (rows, columns)."""
    if ax is not None:
        if not hasattr(ax, "spines"):
            raise TypeError(f"ax: expected Axes of Matplotlib or None, got {shown(ax)}")
        return np.array([[ax]], dtype=object)
    try:
        from matplotlib import pyplot
    except ImportError:
        raise ImportError("plots need Matplotlib: pip install matplotlib, or 'fastdeg[cli]'") from None
    figure = pyplot.figure(figsize=(size[0] * columns, size[1] * rows), layout="constrained")
    return figure.subplots(rows, columns, squeeze=False)


def label(bins: Bins, axis: int) -> str:
    """Return the name of an axis with its unit."""
    unit = bins.space.axes[axis].unit if bins.space else ""
    return f"{bins.names[axis]} ({unit})" if unit else bins.names[axis]


def marginal(p: Distribution, axis: int, ax: Axes, **style: Any) -> None:
    """Draw the probability along one axis."""
    look: dict[str, Any] = {"color": CRAFTED, "linewidth": 1.8} | style
    if p.bins.space is None:
        ax.vlines(p.bins.centers[:, axis], 0, p.pmf, **look)
    else:
        ax.stairs(p.marginal(axis), p.bins.space.axes[axis].boundaries, **look)
    ax.set(xlabel=label(p.bins, axis), ylim=(0, None))
    ax.spines[["top", "right"]].set_visible(False)


def pair(p: Distribution, first: int, second: int, ax: Axes, top: float | None = None, color: str = CRAFTED) -> Any:
    """Draw the probability over two axes: a map of a grid, discs of centroids; ``top`` is the end of the colours."""
    bins = p.bins
    ax.set(xlabel=label(bins, first), ylabel=label(bins, second))
    if isinstance(bins, GridBins):
        edges = [bins.space.axes[axis].boundaries for axis in (first, second)]
        mass = pair_mass(p, first, second)
        return ax.pcolormesh(*edges, mass.T, cmap="magma_r", vmin=0, vmax=top or mass.max(), rasterized=True)
    if bins.space is not None:
        limits = [bins.space.axes[axis].boundaries[[0, -1]] for axis in (first, second)]
        ax.set(xlim=limits[0], ylim=limits[1])
    area = 150 * p.pmf / max(p.pmf.max(), 1e-300)
    return ax.scatter(bins.centers[:, first], bins.centers[:, second], s=area, color=color, alpha=0.6, lw=0)


def pair_mass(p: Distribution, first: int, second: int) -> Float:
    """Return the probability over two axes of a grid, ``first < second``; over the bins themselves otherwise."""
    if not isinstance(p.bins, GridBins):
        return p.pmf
    others = tuple(axis for axis in range(p.bins.ndim) if axis not in (first, second))
    return p.pmf.reshape(p.bins.space.shape).sum(axis=others)


def distribution(p: Distribution, ax: Axes | None, axis: Any) -> Any:
    """Draw marginals and pair maps of all axes, or of those chosen; see `BinnedDistribution.plot`."""
    chosen = _chosen_axes(p.bins, axis)
    if ax is not None or len(chosen) == 1:
        if len(chosen) > 2:
            raise ValueError(f"axis: expected one or two of {p.bins.names} beside ax, got {len(chosen)}")
        only: Axes = new_axes(ax)[0, 0]
        if len(chosen) == 1:
            marginal(p, chosen[0], only)
            only.set_ylabel("probability")
        else:
            pair(p, chosen[0], chosen[1], only)
        return only
    n = len(chosen)
    grid = new_axes(None, n, n, (2.6, 2.2))
    for row, below in enumerate(chosen):
        for column, along in enumerate(chosen):
            here = grid[row, column]
            if column > row:
                here.remove()
                continue
            if column == row:
                marginal(p, along, here)
            else:
                pair(p, along, below, here)
            if row < n - 1:
                here.set_xlabel("")
            if 0 < column < row:
                here.set_ylabel("")
    grid[0, 0].set_ylabel("probability")
    return grid


def _chosen_axes(bins: Bins, axis: Any) -> list[int]:
    if axis is None:
        return list(range(bins.ndim))
    names = list(axis) if isinstance(axis, Sequence) and not isinstance(axis, str) else [axis]
    found = []
    for name in names:
        position = list(bins.names).index(name) if isinstance(name, str) and name in bins.names else name
        if not isinstance(position, int | np.integer) or isinstance(position, bool) or not 0 <= position < bins.ndim:
            raise ValueError(f"axis: expected names of {bins.names} or their positions, got {shown(name)}")
        found.append(int(position))
    if not found or len(set(found)) < len(found):
        raise ValueError(f"axis: expected one or more different axes of {bins.names}, got {names}")
    return sorted(found)


def tradeoff(path: Any, ax: Axes | None) -> Axes:
    """Draw accuracy against generalisation of a trade-off path and of its mixtures, in decibels where it has them."""
    here: Axes = new_axes(ax)[0, 0]
    in_decibels = path.target_gain is not None
    x, y = ("prior_gain", "target_gain") if in_decibels else ("kl_to_prior", "distance_to_target")
    for curve, line, color, name in (
        (path.mixtures, "s--", PRIOR, "mixtures of q and prior"),
        (path.crafted, "o-", CRAFTED, "crafted"),
    ):
        here.plot(getattr(curve, x), getattr(curve, y), line, ms=4, color=color, label=name)
    here.set(xlabel="KL to the prior (nats)", ylabel="distance to the target, $w_F$ FD² + $w_W$ W")
    if in_decibels:
        here.set(xlabel="gain over the prior (dB)", ylabel="gain on the target (dB)")
    here.spines[["top", "right"]].set_visible(False)
    here.legend(frameon=False)
    return here


def history(result: Any, ax: Axes | None) -> Axes:
    """Draw how a solve converged: the certified gap and the residuals by iteration."""
    here: Axes = new_axes(ax)[0, 0]
    names = {"gap": "certified gap", "primal_residual": "primal residual", "dual_residual": "dual residual"}
    drawn = 0
    for key, name in names.items():
        values = np.asarray(result.history.get(key, ()), np.float64)
        there = np.isfinite(values) & (values > 0)
        if there.any():
            steps = np.asarray(result.history["iteration"])[there]
            style = {"color": CRAFTED, "lw": 1.8} if key == "gap" else {"ls": "--", "lw": 1.0}
            here.semilogy(steps, values[there], marker="o", ms=3, label=name, **style)
            drawn += 1
    here.set(xlabel="iteration")
    if drawn:
        here.legend(frameon=False)
    else:
        text = f"solved without iterations\ngap {result.gap:.1e}"
        here.text(0.5, 0.5, text, ha="center", va="center", transform=here.transAxes)
    here.spines[["top", "right"]].set_visible(False)
    return here


def plan(result: Any, points: tuple[Float, Float] | None, ax: Axes | None) -> Axes:
    """Draw a transport plan: arrows between points on a line or in the plane; else the plan as a matrix."""
    from scipy import sparse

    here: Axes = new_axes(ax)[0, 0]
    matrix = sparse.coo_array(result.plan)
    if points is None or points[0].shape[1] > 2:
        there = np.flatnonzero(matrix.data)
        area = 40 * matrix.data[there] / max(matrix.data.max(initial=0.0), 1e-300)
        here.scatter(matrix.col[there], matrix.row[there], s=area, color=CRAFTED, lw=0)
        here.set(xlabel="sink", ylabel="source", xlim=(-0.5, matrix.shape[1] - 0.5), ylim=(matrix.shape[0] - 0.5, -0.5))
        return here
    from matplotlib.collections import LineCollection

    x, y = points
    line = x.shape[1] == 1  # sources above, sinks below
    if line:
        x, y = (np.column_stack((side[:, 0], np.full(len(side), height))) for side, height in ((x, 1.0), (y, 0.0)))
    largest = np.argsort(-matrix.data, kind="stable")[:MOST_FLOWS]
    largest = largest[matrix.data[largest] > 0]
    share = matrix.data[largest] / max(matrix.data.max(initial=0.0), 1e-300)
    segments = np.stack((x[matrix.row[largest]], y[matrix.col[largest]]), axis=1)
    here.add_collection(LineCollection(list(segments), linewidths=0.3 + 2.5 * share, colors=PRIOR, zorder=1))
    for side, mass, color, name in ((x, matrix.sum(1), TARGET, "a, sources"), (y, matrix.sum(0), CRAFTED, "b, sinks")):
        area = 90 * mass / max(mass.max(initial=0.0), 1e-300)
        here.scatter(side[:, 0], side[:, 1], s=area, color=color, alpha=0.75, lw=0, label=name, zorder=2)
    if line:
        here.set(xlabel="x", yticks=[0, 1], yticklabels=["b", "a"], ylim=(-0.2, 1.2))
    else:
        here.set(xlabel="$x_0$", ylabel="$x_1$")
        here.legend(frameon=False)
    here.spines[["top", "right"]].set_visible(False)
    return here


def estimates(found: Any, ax: Axes | None, axis: Any) -> Any:
    """Draw the point estimates of each photo with their errors, a panel for each axis; hollow where it is outside."""
    bins = found.distribution.bins
    chosen = _chosen_axes(bins, axis)
    if ax is not None and len(chosen) > 1:
        raise ValueError(f"axis: expected one of {bins.names} beside ax, got {len(chosen)}")
    panels = new_axes(ax, 1, len(chosen), (3.2, 3.2))[0]
    photo = np.arange(len(found.outside))
    for here, k in zip(panels, chosen, strict=True):
        for there, face, name in ((~found.outside, CRAFTED, "inside"), (found.outside, "white", "outside the space")):
            if there.any():
                style = {"fmt": "o", "ms": 5, "color": CRAFTED, "mfc": face, "lw": 1, "label": name}
                here.errorbar(found.parameters[there, k], photo[there], xerr=found.parameter_errors[there, k], **style)
        if bins.space is not None:
            here.set_xlim(bins.space.axes[k].boundaries[[0, -1]])
        here.set(xlabel=label(bins, k), ylim=(len(photo) - 0.5, -0.5))
        here.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("photo")
    if found.outside.any():
        panels[-1].legend(frameon=False)
    return panels[0] if len(panels) == 1 else panels


def intervals(of_axes: Sequence[Any], level: float, ax: Axes | None) -> Any:
    """Draw estimates of marginals with their intervals, a panel for each axis."""
    if ax is not None and len(of_axes) > 1:
        raise ValueError(f"ax: expected None for {len(of_axes)} axes, which take a figure of their own")
    panels = new_axes(ax, 1, len(of_axes), (3.2, 2.8))[0]
    for here, found in zip(panels, of_axes, strict=True):
        cells = np.arange(len(found.estimate))
        here.bar(cells, found.estimate, color=CRAFTED, alpha=0.4)
        here.vlines(cells, found.low, found.high, color=CRAFTED)
        here.set(xlabel=f"cell of {found.axis}", ylim=(0, None))
        here.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel(f"probability, {100 * level:g} % interval")
    return panels[0] if len(panels) == 1 else panels


def gain(found: Any, ax: Axes | None) -> Axes:
    """Draw the decibels gained on the application and over the prior, with their standard errors."""
    here: Axes = new_axes(ax, size=(3.2, 2.8))[0, 0]
    errors = np.nan_to_num([found.target_error, found.prior_error])
    here.bar(
        ["application", "over the prior"], [found.target, found.prior], color=[TARGET, PRIOR], yerr=errors, width=0.6
    )
    here.axhline(0, color="k", lw=0.8)
    here.set(ylabel="gain (dB)")
    here.spines[["top", "right"]].set_visible(False)
    return here


def references(selection: Any, ax: Axes | None) -> Axes:
    """Draw all images by their first two principal components, and the chosen ones by their rank."""
    here: Axes = new_axes(ax)[0, 0]
    at = selection.positions
    here.scatter(at[:, 0], at[:, 1], s=8, color=PRIOR, lw=0, label="images")
    chosen = at[selection.indices]
    here.scatter(chosen[:, 0], chosen[:, 1], s=36, color=TARGET, lw=0, label="references")
    for rank, where in enumerate(chosen[:50], 1):
        here.annotate(str(rank), (where[0], where[1]), xytext=(4, 3), textcoords="offset points", fontsize=8)
    here.set(xlabel="first principal component", ylabel="second")
    here.spines[["top", "right"]].set_visible(False)
    here.legend(frameon=False)
    return here


def card(title: str, rows: Iterable[tuple[str, str]], draw: Callable[[Figure], Any] | None) -> str:
    """Return a small table and a picture as HTML, for notebooks; without Matplotlib, the table alone."""
    left = "style='text-align:left'"
    cells = "".join(
        f"<tr><th {left}>{html.escape(name)}</th><td {left}>{html.escape(value)}</td></tr>" for name, value in rows
    )
    text = f"<div><strong>{html.escape(title)}</strong><table>{cells}</table>"
    try:
        from matplotlib.figure import Figure
    except ImportError:
        draw = None
    if draw is not None:
        figure, buffer = Figure(figsize=(4.2, 2.6), layout="constrained"), io.BytesIO()
        draw(figure)
        figure.savefig(buffer, format="png", dpi=80)
        data = base64.b64encode(buffer.getvalue()).decode()
        text += f"<img alt='{html.escape(title)}' src='data:image/png;base64,{data}'>"
    return text + "</div>"


def marginals_thumbnail(p: Distribution) -> Callable[[Figure], None]:
    """Return what draws the marginals of the first axes side by side."""

    def draw(figure: Figure) -> None:
        n = min(p.bins.ndim, MOST_THUMBNAIL_MARGINALS)
        figure.set_size_inches(2.1 * n, 1.9)
        for k, here in enumerate(figure.subplots(1, n, squeeze=False)[0]):
            marginal(p, k, here)

    return draw


def summary(p: Distribution) -> list[tuple[str, str]]:
    """Return the rows of a card that describe a distribution: mean and standard deviation of each axis."""
    mean, covariance = p.moments()
    spread = np.sqrt(np.diagonal(covariance))
    axes = [(label(p.bins, k), f"{mean[k]:.4g} ± {spread[k]:.3g}") for k in range(p.bins.ndim)]
    return [*axes, ("effective bins", f"{p.effective_bins():.1f} of {p.n_bins}")]
