"""The main job: from a target distribution and reference candidates to a crafted distribution, and its run folder."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import fastdeg as fd
from fastdeg import baselines
from fastdeg._types import ByValue, Float, Progress
from fastdeg.bins import Bins
from fastdeg.crafting.path.curve import TradeoffPath
from fastdeg.crafting.problem.bounded_simplex import entropy_term
from fastdeg.crafting.result import CraftResult
from fastdeg.distribution import BinnedDistribution
from fastdeg.references import ReferenceSelection
from fastdeg.runs import folder as runs

if TYPE_CHECKING:
    from fastdeg.forecast import Gain, TrainingForecast
    from fastdeg.images import DegradationEstimator, ImageFile


BEST = "best in the forecast"  # not a training's, but an upper mark
MIXTURE_WEIGHT = 0.3  # share of the prior in the plain mixture that stands beside the crafted distribution
QUANTILES = (0.05, 0.5, 0.95)  # of each axis, in the summary
THUMBNAIL = 160  # longer side of a reference's thumbnail, in pixels


@dataclass(frozen=True, eq=False)
class Candidates(ByValue):
    """Images, or rows of a table, among which references are selected.

    Attributes
    ----------
    names : tuple of str
        File names or row numbers.
    embeddings : ndarray, shape (n, D)
        What diversity is measured on.
    parameters : ndarray, shape (n, d)
        Degradation parameters, given or estimated.
    labels : ndarray of int64, shape (n,)
        Bins of the parameters.
    images : sequence of ndarray or ImageFile, or None
        For thumbnails.
    """

    names: tuple[str, ...]
    embeddings: Float
    parameters: Float
    labels: NDArray[np.int64]
    images: Sequence[NDArray[Any] | ImageFile] | None = None


@dataclass(frozen=True, eq=False)
class CraftingRun(ByValue):
    """What the main job found: the target q, the prior π, the crafted p, the trade-off path and the references.

    ``selection`` is None where no references were wanted, or there was nothing to select among.
    """

    target: BinnedDistribution
    prior: BinnedDistribution
    result: CraftResult
    path: TradeoffPath
    selection: ReferenceSelection | None
    candidates: Candidates
    baselines: Mapping[str, BinnedDistribution]
    notes: tuple[str, ...]
    target_name: str
    prior_name: str = "uniform"
    marginals: Mapping[str, Sequence[Mapping[str, Any]]] | None = None
    level: float | None = None
    gains: Mapping[str, Gain] = field(default_factory=dict)  # by name, where there is a forecast

    @property
    def compared(self) -> dict[str, BinnedDistribution]:
        """The distributions of the comparison table by name, the target first and the uniform one last."""
        return {
            f"{self.target_name} q": self.target,
            "crafted p": self.result.distribution,
            f"mixture {1 - MIXTURE_WEIGHT:g} q + {MIXTURE_WEIGHT:g} {self.prior_name}": baselines.mixture(
                self.target, self.prior, MIXTURE_WEIGHT
            ),
            **self.baselines,
            **({} if self.prior_name == "uniform" else {"uniform": BinnedDistribution.uniform(self.target.bins)}),
            self.prior_name: self.prior,
        }


def craft_run(
    target: BinnedDistribution,
    candidates: Candidates,
    *,
    prior: BinnedDistribution | None = None,
    prior_name: str = "uniform",
    generalization: float | str | Mapping[str, float] = "auto",
    forecast: TrainingForecast | None = None,
    n_references: int = 10,
    n_neighbors: int = 5,
    other_baselines: Mapping[str, BinnedDistribution] | None = None,
    notes: Sequence[str] = (),
    target_name: str = "inferred",
    marginals: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    level: float | None = None,
    progress: Progress | None = None,
    **craft_options: Any,
) -> CraftingRun:
    """Craft the training distribution of a target, compute the trade-off path and select references.

    The prior is uniform over the space unless given; ``marginals`` are those of the target, with intervals of
    ``level``. With ``n_references=0`` none are selected. With a forecast all distributions are told by what they
    gain, and the best in the forecast is one of them.
    All of it runs on numba's setting of threads.
    """
    report = progress or (lambda fraction, message: None)
    prior = BinnedDistribution.uniform(target.bins) if prior is None else prior
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        report(0.0, "crafting the training distribution")
        options = craft_options | {"prior": prior, "forecast": forecast}
        result = fd.craft(target, generalization=generalization, **options)
        report(0.3, "following the trade-off path")
        path = fd.tradeoff_path(target, **options)
        report(0.9, "selecting references")
        selection = None
        if n_references and len(candidates.labels):
            selection = fd.select_references(
                candidates.embeddings,
                candidates.labels,
                target,
                crafted=result.distribution,
                n_references=min(n_references, len(candidates.labels)),
                n_neighbors=n_neighbors,
            )
        report(1.0, "done")
    messages = [str(w.message) for w in caught if issubclass(w.category, UserWarning)]
    others = dict(other_baselines or {})
    if forecast is not None:
        others[BEST] = baselines.forecast_optimal(target, forecast, MIXTURE_WEIGHT, prior=prior)
    run = CraftingRun(
        target,
        prior,
        result,
        path,
        selection,
        candidates,
        others,
        tuple(dict.fromkeys([*notes, *messages])),
        target_name,
        prior_name,
        marginals,
        level,
    )
    if forecast is None:
        return run
    gains = forecast.gains(list(run.compared.values()), target=target, prior=prior)
    return replace(run, gains=dict(zip(run.compared, gains, strict=True)))


def comparison_rows(
    compared: Mapping[str, BinnedDistribution],
    target: BinnedDistribution,
    prior: BinnedDistribution,
    truth: BinnedDistribution | None = None,
    gains: Mapping[str, Gain] | None = None,
) -> list[dict[str, Any]]:
    """Return one row per distribution: what a reader compares; with a known truth, also how near it comes to that."""
    rows = []
    for name, distribution in compared.items():
        row: dict[str, Any] = {"distribution": name}
        if truth is not None:
            row["mass_on_true_bins"] = float(distribution.pmf[truth.pmf > 0].sum())
        row["effective_bins"] = distribution.effective_bins()
        if truth is not None:
            row["emd_to_truth"] = emd_between(distribution, truth)
        row["emd_to_q"] = emd_between(distribution, target)
        row["kl_to_prior"] = entropy_term(distribution.pmf, prior.pmf)
        if gains:
            gain = gains[name]
            row |= {"target_gain": gain.target, "target_gain_error": gain.target_error}
            row |= {"prior_gain": gain.prior, "prior_gain_error": gain.prior_error}
        rows.append(row)
    return rows


def emd_between(p: BinnedDistribution, q: BinnedDistribution) -> float:
    """Return the earth mover's distance over the standardised bin centres, of the metric that `craft` uses."""
    return fd.degradation_distance(p, q, frechet_weight=0)


def summarize(
    run: CraftingRun, verb: str, inputs: Mapping[str, Any], *, truth: BinnedDistribution | None = None, **more: Any
) -> dict[str, Any]:
    """Return the run's summary: what ``--json`` prints and ``run.json`` holds."""
    result = run.result
    bins = run.target.bins
    return {
        **runs.summary_head(verb, inputs),
        "space": bins.space.to_dict() if bins.space else None,
        "n_bins": bins.n_bins,
        "n_samples": run.target.n_samples,
        "generalization": result.generalization,
        "objective": result.objective,
        "lower_bound": result.lower_bound,
        "gap": result.gap,
        "converged": bool(result.converged),
        "n_iter": int(result.n_iter),
        "terms": {key: float(value) for key, value in result.terms.items()},
        "quantiles": {
            name: distribution.quantiles(QUANTILES)
            for name, distribution in (("target", run.target), ("crafted", result.distribution), ("prior", run.prior))
            if bins.space
        },
        **({"marginals": run.marginals, "level": run.level} if run.marginals else {}),
        "comparison": comparison_rows(run.compared, run.target, run.prior, truth, run.gains),
        "selection": selection_summary(run.selection) if run.selection else None,
        "references": reference_rows(run.selection, run.candidates, bins.names) if run.selection else [],
        "notes": list(run.notes),
        **more,
    }


def selection_summary(selection: ReferenceSelection) -> dict[str, float]:
    """Return how diverse the references are, and how far the candidates lie from them."""
    return {
        "diversity": float(selection.diversity),
        "mean_distance": float(selection.coverage.mean),
        "max_distance": float(selection.coverage.max),
    }


def reference_rows(selection: ReferenceSelection, candidates: Candidates, axes: Sequence[str]) -> list[dict[str, Any]]:
    """Return one row per selected reference, in the order of selection."""
    rows = []
    for rank, index in enumerate(selection.indices, start=1):
        parameters = zip(axes, candidates.parameters[index], strict=True)
        rows.append(
            {
                "rank": rank,
                "file": candidates.names[index],
                "bin": int(candidates.labels[index]),
                **{name: round(float(value), 4) for name, value in parameters},
            }
        )
    return rows


def tradeoff_rows(path: TradeoffPath) -> list[dict[str, float]]:
    """Return one row per point of the path: the certified crafted distribution, and the mixture of the same KL."""
    crafted, mixtures = path.crafted, path.mixtures
    columns = ["distance_to_target", "kl_to_prior", "effective_bins", "worst_axis_coverage"]
    columns += ["target_gain", "prior_gain"] if path.target_gain is not None else []
    return [
        {
            "generalization": float(path.generalizations[i]),
            **{name: float(getattr(crafted, name)[i]) for name in columns},
            "gap": float(result.gap),
            "mixture_weight": float(path.mixture_weights[i]),
            **{f"mixture_{name}": float(getattr(mixtures, name)[i]) for name in columns},
        }
        for i, result in enumerate(path.results)
    ]


def bin_rows(bins: Bins, columns: Mapping[str, BinnedDistribution]) -> list[dict[str, Any]]:
    """Return one row per bin: its centre, then its probability under each distribution."""
    return [
        {
            "bin": i,
            **{name: float(value) for name, value in zip(bins.names, bins.centers[i], strict=True)},
            **{name: float(distribution.pmf[i]) for name, distribution in columns.items()},
        }
        for i in range(bins.n_bins)
    ]


def save_run(
    path: Path,
    run: CraftingRun,
    summary: Mapping[str, Any],
    *,
    estimator: DegradationEstimator | None = None,
    clean: Sequence[NDArray[Any]] = (),
    force: bool = False,
) -> None:
    """Write the run folder, report included: all of it, or nothing. Samples of p are made of ``clean`` images."""
    from fastdeg.runs.report import write_report
    from fastdeg.runs.samples import write_samples

    with runs.new_run_folder(path, force=force) as folder:
        distributions = {"target": run.target, "crafted": run.result.distribution, "prior": run.prior}
        for name, distribution in distributions.items():
            distribution.save(folder / f"{name}.npz")
        if estimator is not None:
            estimator.save(folder / runs.ESTIMATOR_FILE)
        runs.write_csv(folder / "bins.csv", bin_rows(run.target.bins, distributions))
        runs.write_csv(folder / "tradeoff.csv", tradeoff_rows(run.path))
        if run.selection is not None:
            runs.write_csv(folder / "references.csv", summary["references"])
        if run.selection is not None and run.candidates.images is not None:
            _write_thumbnails(folder / "thumbnails", [run.candidates.images[i] for i in run.selection.indices])
        runs.write_json(folder / runs.RUN_FILE, summary)
        if len(clean):
            photos = dict(zip(run.candidates.names, run.candidates.images or (), strict=False))
            write_samples(folder, clean, photos)
        write_report(folder, folder / "report.html")


def _write_thumbnails(folder: Path, images: Sequence[NDArray[Any] | ImageFile]) -> None:
    import cv2

    folder.mkdir()
    for rank, image in enumerate(map(np.asarray, images), start=1):
        scale = min(1.0, THUMBNAIL / max(image.shape[:2]))
        size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if scale < 1 else image
        if small.ndim == 3:
            small = cv2.cvtColor(small, cv2.COLOR_RGB2BGR)
        written, data = cv2.imencode(".png", small)
        assert written
        (folder / f"{rank:03d}.png").write_bytes(data.tobytes())
