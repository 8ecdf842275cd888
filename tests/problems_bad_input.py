"""Every public function with arguments that work, and what people pass in their place."""

from __future__ import annotations

import datetime
import inspect
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

import fastdeg as fd
import fastdeg.images
from fastdeg import degradations
from fastdeg.crafting.api import craft
from fastdeg.frameworks.dialect import Dialect
from fastdeg.images.files.read import read_image

HUGE = 10**12  # elements
MODULES = {"": fd, "baselines.": fd.baselines, "frameworks.": fd.frameworks, "images.": fastdeg.images}
# arguments of any name stand for these
MORE_ARGUMENTS = {
    "degrade": [argument.name for step in degradations.steps() for argument in step.arguments],
    "tradeoff_path": list(inspect.signature(craft).parameters),
}


def public() -> dict[str, Callable[..., Any]]:
    """Return all public functions, constructors and methods that have arguments; records are none of ours to check."""
    found: dict[str, Callable[..., Any]] = {}
    for prefix, module in MODULES.items():
        own = [name for name, value in vars(module).items() if inspect.isfunction(value)]
        for name in getattr(module, "__all__", [name for name in own if not name.startswith("_")]):
            value = getattr(module, name)
            if any(value is other for other in found.values()):
                continue
            if inspect.isfunction(value):
                found[prefix + name] = value
            elif inspect.isclass(value) and not issubclass(value, Exception):
                found |= _of_class(value)
    return {name: function for name, function in found.items() if arguments(function)}


def _of_class(cls: type) -> dict[str, Callable[..., Any]]:
    found: dict[str, Callable[..., Any]] = {} if is_dataclass(cls) else {cls.__name__: cls}
    for ancestor in cls.__mro__:
        for name, member in vars(ancestor).items() if ancestor.__module__.startswith("fastdeg") else ():
            called = inspect.isfunction(member) or isinstance(member, classmethod | staticmethod)
            if called and (name == "__call__" or not name.startswith("_")):
                found.setdefault(f"{cls.__name__}.{name}", getattr(cls, name))
    return found


def arguments(function: Callable[..., Any]) -> dict[str, Any]:
    """Return names and defaults of the arguments."""
    found = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            found |= dict.fromkeys(MORE_ARGUMENTS[function.__name__])
        elif name != "self" and not name.startswith("_"):
            found[name] = parameter.default
    return found


class TensorThatNeedsGradient:
    """Like one of torch: NumPy cannot have it."""

    dtype = "float32"
    shape = (3,)

    def __array__(self, *options: Any, **more: Any) -> Any:
        raise RuntimeError("Can't call numpy() on Tensor that requires grad.")

    def __len__(self) -> int:
        return 3


def anything(*given: Any, **named: Any) -> None:
    """Take all, and return nothing."""


# what is passed in place of whatever argument; made anew each time
ANYTHING: dict[str, Callable[[], Any]] = {
    "None": lambda: None,
    "text": lambda: "abc",
    "no text": lambda: "",
    "text with a null": lambda: "a\0b",
    "bytes": lambda: b"abc",
    "object": object,
    "dictionary": lambda: {"a": 1},
    "set": lambda: {1, 2},
    "generator": lambda: (i for i in range(3)),
    "path": lambda: Path("abc"),
    "date": lambda: datetime.date(2026, 1, 1),
    "dates": lambda: np.array(["2026-01-01", "2026-01-02"], "datetime64[D]"),
    "pd.NA": lambda: pd.NA,
    "data frame": lambda: pd.DataFrame({"u": [1.0, 2.0], "v": ["a", "b"]}),
    "sparse array": lambda: sparse.csr_array(np.eye(2)),
    "tensor": TensorThatNeedsGradient,
    "records": lambda: [{"a": 1}, {"a": 2}],
    "ragged list": lambda: [[1.0], [1.0, 2.0]],
    "strings": lambda: ["a", "b"],
    "objects": lambda: np.array([None, "1.5"], object),
    "structured array": lambda: np.zeros(2, [("a", float)]),
    "callable": lambda: anything,
    "complex": lambda: 1j,
    "complex array": lambda: np.array([1j, 2.0]),
    "NaN": lambda: np.nan,
    "inf": lambda: np.inf,
    "-inf": lambda: -np.inf,
    "-1": lambda: -1,
    "0": lambda: 0,
    "0.3": lambda: 0.3,
    "True": lambda: True,
    "10**400": lambda: 10**400,
    "-10**400": lambda: -(10**400),
    "2**63": lambda: 2**63,
    "-2**63": lambda: -(2**63),
    "10**12": lambda: 10**12,
    "1e160": lambda: 1e160,
    "1e300": lambda: 1e300,
    "-1e300": lambda: -1e300,
    "denormal": lambda: 5e-324,
    "empty list": list,
    "empty array": lambda: np.empty(0),
    "array without an axis": lambda: np.array(1.0),
    "masked array": lambda: np.ma.array([1.0, 2.0], mask=[False, True]),
    "numbers too large": lambda: [1.0, 10**400],
    "numbers of any size": lambda: [2**63, 10**400],
    "10**12 elements": lambda: np.broadcast_to(0.5, (HUGE,)),
}


def _first(value: float) -> Callable[[np.ndarray], np.ndarray | None]:
    def changed(x: np.ndarray) -> np.ndarray | None:
        if x.dtype.kind != "f" or not x.size:
            return None
        x = x.copy()
        x.flat[0] = value
        return x

    return changed


def _many(x: np.ndarray) -> np.ndarray:
    """10**12 elements in a byte or eight: copied, they would be the end of the process."""
    others = int(np.prod(x.shape[1:])) if x.ndim > 1 else 1
    if x.ndim == 3 and x.shape[2] == 3:
        return np.broadcast_to(x[:1, :1], (10**6, HUGE // (3 * 10**6), 3))
    return np.broadcast_to(x[:1], (HUGE // others, *x.shape[1:]))


# what is passed in place of an array of numbers
ARRAYS: dict[str, Callable[[np.ndarray], Any]] = {
    "float16": lambda x: x.astype(np.float16),
    "float32": lambda x: x.astype(np.float32),
    "with NaN": _first(np.nan),
    "with inf": _first(np.inf),
    "with -inf": _first(-np.inf),
    "with 1e160": _first(1e160),
    "with -1e300": _first(-1e300),
    "all 1e160": lambda x: np.full(x.shape, 1e160),
    "all 1e300": lambda x: np.full(x.shape, 1e300),
    "all denormal": lambda x: np.full(x.shape, 5e-324),
    "zeros": np.zeros_like,
    "negative": lambda x: -x.astype(float),
    "booleans": lambda x: x > 0,
    "integers": lambda x: x.astype(np.int64),
    "complex": lambda x: x + 0j,
    "masked": lambda x: np.ma.array(x, mask=np.arange(x.size).reshape(x.shape) == 0),
    "one axis more": lambda x: x[None],
    "one axis less": lambda x: x[0] if len(x) else None,
    "one row less": lambda x: x[1:],
    "no rows": lambda x: x[:0],
    "no columns": lambda x: x[..., :0],
    "strings": lambda x: x.astype(str),
    "objects of text": lambda x: x.astype(str).astype(object),
    "ten to the twelfth": _many,
    "huge integers": lambda x: np.full(x.shape, 2**63, np.uint64),
    "object of huge integers": lambda x: np.full(x.shape, 10**400, object),
}
# other forms of the same array of numbers: the answer is the same
SAME_ARRAYS: dict[str, Callable[[np.ndarray], Any]] = {
    "list": lambda x: x.tolist() if x.dtype.kind != "u" else None,
    "not contiguous": lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
    "backwards": lambda x: x[::-1].copy()[::-1],
    "columns first": np.asfortranarray,
    "big-endian": lambda x: x.astype(x.dtype.newbyteorder(">")),
    "no mask": lambda x: np.ma.array(x),
    "long double": lambda x: x.astype(np.longdouble) if x.dtype.kind == "f" else None,
    "object of numbers": lambda x: x.astype(object) if x.dtype.kind == "f" else None,
    "fractions": lambda x: np.vectorize(Fraction, otypes=[object])(x) if x.dtype.kind == "f" and x.size else None,
    "pandas": lambda x: {1: pd.Series, 2: pd.DataFrame}[x.ndim](x) if x.dtype.kind == "f" and x.ndim < 3 else None,
}
NUMBERS: dict[str, Callable[[Any], Any]] = {
    "float32": np.float32,
    "negative": lambda x: -x,
    "a half more": lambda x: x + 0.5,
    "fraction": Fraction,
    "in an array": lambda x: np.array([x]),
}
SAME_NUMBERS: dict[str, Callable[[Any], Any]] = {"of NumPy": lambda x: np.array(x)[()]}


def cells(valid: Any) -> Iterator[tuple[str, Callable[[], Any], bool]]:
    """Yield for an argument: kind, what makes the value, and whether the answer is that of the valid one."""
    for kind, make in ANYTHING.items():
        yield kind, make, False
    tables: tuple[dict[str, Any], ...] = ()
    if isinstance(valid, np.ndarray) and valid.ndim and valid.dtype.kind in "fiu":
        tables = ARRAYS, SAME_ARRAYS
    elif isinstance(valid, int | float) and not isinstance(valid, bool):
        tables = NUMBERS, SAME_NUMBERS
    for table, same in zip(tables, (False, True), strict=False):
        for kind, change in table.items():
            if change(valid) is not None:
                yield kind if table not in (ARRAYS, NUMBERS) else f"its {kind}", lambda c=change: c(valid), same


AXIS = fd.Axis.regular("noise_sigma", 0, 50, 2, "of 255")
SPACE = fd.DegradationSpace([AXIS, fd.Axis.levels("jpeg_quality", [40, 80])])
GRID = fd.GridBins(SPACE)
CENTROIDS = fd.CentroidBins([[10.0, 50.0], [40.0, 70.0]], space=SPACE)
PLAIN = fd.CentroidBins([[0.0, 0.0], [1.0, 2.0]])
Q = fd.BinnedDistribution(GRID, [0.1, 0.2, 0.3, 0.4])
P = fd.BinnedDistribution(GRID, [0.4, 0.3, 0.2, 0.1])
NOISE = fd.GridBins(fd.DegradationSpace([AXIS]))
STEPS = [{"step": "sharpening", "probability": 0.3, "sharpening_amount": [0.2, 1.5]}]
OPTIONS = "{downsample_range: [1, 8], noise_range: [0, 10], jpeg_range: [60, 100]}"


def floats(*values: Any) -> np.ndarray:
    return np.array(values, np.float64)


@cache
def photo(side: int = 64) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (side, side, 3)).astype(np.uint8)


@cache
def estimator() -> fd.DegradationEstimator:
    return fitted(bins=NOISE)


def fitted(**options: Any) -> fd.DegradationEstimator:
    given = {"downsampling": 2, "n_samples": 50, "patch_size": 16} | options
    return fd.DegradationEstimator(**given).fit([photo(), photo()[::-1]])


@cache
def low() -> list[np.ndarray]:
    return [fd.degrade(photo(), downsampling=2, noise_sigma=20, rng=seed) for seed in range(3)]


@cache
def forecast() -> fd.TrainingForecast:
    return forecast_of(bins=NOISE)


def forecast_of(**options: Any) -> fd.TrainingForecast:
    return fd.TrainingForecast(**({"scale": 2} | options)).fit([photo(96), photo(96)[::-1]])


@cache
def options_read() -> Any:
    Path("faces.yml").write_text(OPTIONS)
    return fd.frameworks.read("faces.yml")


@cache
def crafted() -> Any:
    return fd.craft(Q, generalization=0.1)


DIALECT = Dialect(**vars(fd.frameworks.dialects()["csv"]) | {"name": "another"})


def register(dialect: Any) -> Any:
    """Add a dialect, and take it out again."""
    try:
        return fd.frameworks.register(dialect)
    finally:
        _forget()


def unregister(dialect: Any) -> None:
    """Take a dialect out while one is there."""
    fd.frameworks.register(DIALECT)
    try:
        fd.frameworks.unregister(dialect)
    finally:
        _forget()


def _forget() -> None:
    if DIALECT.name in fd.frameworks.dialects():
        fd.frameworks.unregister(DIALECT)


def saved(kind: str) -> str:
    """Write what can be read, in the current folder."""
    path = f"{kind}.npz"
    if not Path(path).exists():
        whole = {"distribution": lambda: Q, "accumulator": lambda: fd.Accumulator(GRID), "estimator": estimator,
                 "forecast": forecast}  # fmt: skip
        whole[kind]().save(path)
    return path


def image_file() -> str:
    import cv2

    if not Path("photo.png").exists():
        cv2.imwrite("photo.png", photo())
    return "photo.png"


SAMPLES = floats([10, 40], [30, 80], [10, 80])
MASSES = {"a": (0.5, 0.25, 0.25), "b": (0.25, 0.5, 0.25)}
PLANE = {"x": ([0, 0], [1, 0], [0, 2]), "y": ([1, 1], [2, 0], [0, 3])}


def transport(**more: Any) -> dict[str, Any]:
    return {name: floats(*values) for name, values in (MASSES | PLANE).items()} | more


def by_cost(**more: Any) -> dict[str, Any]:
    given = {name: floats(*values) for name, values in MASSES.items()}
    return given | {"cost": floats([0, 1, 2], [1, 0, 3], [2, 3, 0])} | more


def on_grid(**more: Any) -> dict[str, Any]:
    return {"a": floats([0.5, 0.25], [0.25, 0]), "b": floats([0.25, 0.25], [0.25, 0.25])} | more


def moments_of_bins() -> dict[str, Any]:
    covariances = np.tile(0.1 * np.eye(2), (4, 1, 1))
    return {
        "bin_moments": (floats([0, 0], [0, 1], [1, 0], [1, 1]), covariances),
        "target_moments": (floats(0.5, 0.5), np.eye(2)),
    }


def of_bins(bins: fd.GridBins | fd.CentroidBins, samples: np.ndarray) -> dict[str, list[Any]]:
    n, name = bins.n_bins, type(bins).__name__
    pmf = np.full(n, 1 / n)
    return {
        f"{name}.assign": [(bins.assign, {"samples": samples, "outside": "clip", "threads": 1})],
        f"{name}.histogram": [(bins.histogram, {"samples": samples, "outside": "clip", "threads": 1})],
        f"{name}.moments": [(bins.moments, {"pmf": pmf})],
        f"{name}.marginal": [(bins.marginal, {"pmf": pmf, "axis": 1})],
        f"{name}.sample_within": [(bins.sample_within, {"labels": np.array([0, 1, 1]), "rng": 0})],
    }


def of_estimator() -> dict[str, list[Any]]:
    name, found = "DegradationEstimator", estimator()
    images = {"images": low()}
    calls: dict[str, dict[str, Any]] = {
        **dict.fromkeys(
            ("describe", "log_likelihood", "predict", "predict_proba", "embed", "feature_moments", "summarize"), images
        ),
        "estimate": images | {"keep_outside": True},
        "infer": images | {"outside_level": 0.01, "keep_outside": True},
        "outside": images | {"level": 0.01},
        "bootstrap": images | {"n_resamples": 3, "level": 0.9, "keep_outside": True, "random_state": 0},
        "reference_counts": images
        | {"counts": np.array([2, 3]), "n_resamples": 3, "level": 0.9, "keep_outside": True, "random_state": 0},
        "identifiability": {"n_patches": 4, "max_pairs": 3},
        "save": {"path": "saved.npz"},
        "load": {"path": saved("estimator")},
    }
    return {f"{name}.{method}": [(getattr(found, method), given)] for method, given in calls.items()} | {
        name: [(fitted, {"bins": NOISE, "noise": "gray", "interpolation": "cubic", "history": "plain",
                         "random_state": 0, "n_samples": 50, "patch_size": 16, "downsampling": 2.0})],
        f"{name}.fit": [(fd.DegradationEstimator(NOISE, downsampling=2, n_samples=50, patch_size=16).fit,
                         {"clean_images": [photo(), photo()[::-1]], "threads": 1})],
    }  # fmt: skip


def of_forecast() -> dict[str, list[Any]]:
    name, found = "TrainingForecast", forecast()
    p, q = fd.BinnedDistribution(NOISE, [0.5, 0.5]), fd.BinnedDistribution(NOISE, [1.0, 0.0])
    calls: dict[str, dict[str, Any]] = {
        "psnr": {"p": p},
        "gain": {"p": q, "target": q, "prior": p},
        "gains": {"distributions": [p, q], "target": q, "prior": p},
        "mean_psnr": {"p": p, "weights": q},
        "save": {"path": "saved.npz"},
        "load": {"path": saved("forecast")},
    }
    return {f"{name}.{method}": [(getattr(found, method), given)] for method, given in calls.items()} | {
        name: [(forecast_of, {"bins": NOISE, "scale": 2, "history": "plain", "random_state": 0})],
        f"{name}.fit": [
            (fd.TrainingForecast(NOISE, scale=2).fit, {"clean_images": [photo(96), photo(96)[::-1]], "threads": 1})
        ],
    }


def calls(label: str) -> list[tuple[Callable[..., Any], dict[str, Any]]]:
    """Return valid calls of a public function: what is called, and with what, by name."""
    if label.startswith("DegradationEstimator"):
        return of_estimator()[label]
    if label.startswith("TrainingForecast"):
        return of_forecast()[label]
    if label.startswith("GridBins."):
        return of_bins(GRID, SAMPLES)[label]
    if label.startswith("CentroidBins.") and label != "CentroidBins.fit":
        return of_bins(CENTROIDS, SAMPLES)[label]
    return TABLE[label]()


def one(function: Callable[..., Any], **given: Any) -> list[tuple[Callable[..., Any], dict[str, Any]]]:
    return [(function, given)]


TABLE: dict[str, Callable[[], list[tuple[Callable[..., Any], dict[str, Any]]]]] = {
    "Axis.regular": lambda: one(fd.Axis.regular, name="a", low=0.5, high=2.0, n_bins=3, unit="px"),
    "Axis.edges": lambda: one(fd.Axis.edges, name="a", edges=floats(0, 1, 3), unit="px"),
    "Axis.levels": lambda: one(fd.Axis.levels, name="a", values=floats(0, 1, 3), unit="px"),
    "Axis.from_dict": lambda: one(fd.Axis.from_dict, config=AXIS.to_dict()),
    "Axis.assign": lambda: one(AXIS.assign, values=floats(1, 30, 99)),
    "DegradationSpace": lambda: one(fd.DegradationSpace, axes=[AXIS]),
    "DegradationSpace.preset": lambda: one(fd.DegradationSpace.preset, name="paper"),
    "DegradationSpace.from_dict": lambda: one(fd.DegradationSpace.from_dict, config=SPACE.to_dict()),
    "DegradationSpace.standardize": lambda: one(SPACE.standardize, x=SAMPLES.copy()),
    "DegradationSpace.unstandardize": lambda: one(SPACE.unstandardize, z=SAMPLES.copy()),
    "DegradationSpace.axis_index": lambda: one(SPACE.axis_index, axis=1),
    "GridBins": lambda: one(fd.GridBins, space=SPACE),
    "CentroidBins": lambda: one(
        fd.CentroidBins, centers=floats([0, 40], [30, 80]), covariances=np.tile(np.eye(2), (2, 1, 1)), space=SPACE
    ),
    "CentroidBins.fit": lambda: one(
        fd.CentroidBins.fit, points=SAMPLES.copy(), n_bins=2, space=SPACE, sample_weight=floats(1, 2, 3), random_state=0
    ),
    "BinnedDistribution": lambda: one(
        fd.BinnedDistribution, bins=GRID, pmf=floats(0.125, 0.25, 0.25, 0.375), n_samples=9
    ),
    "BinnedDistribution.from_samples": lambda: one(
        fd.BinnedDistribution.from_samples,
        bins=GRID, samples=SAMPLES.copy(), sample_weight=floats(1, 2, 3), outside="raise", threads=1,
    ),
    "BinnedDistribution.uniform": lambda: one(fd.BinnedDistribution.uniform, bins=GRID),
    "BinnedDistribution.marginal": lambda: one(Q.marginal, axis=0),
    "BinnedDistribution.quantiles": lambda: one(Q.quantiles, levels=floats(0.25, 0.5)),
    "BinnedDistribution.sample": lambda: one(Q.sample, n=3, rng=0),
    "BinnedDistribution.plot": lambda: one(Q.plot, ax=None, axis=0),
    "BinnedDistribution.save": lambda: one(Q.save, path="saved.npz"),
    "BinnedDistribution.load": lambda: one(fd.BinnedDistribution.load, path=saved("distribution")),
    "weighted_moments": lambda: [
        (fd.weighted_moments, {"x": SAMPLES.copy(), "weights": floats(1, 2, 3), "labels": np.array([0, 1, 1]),
                               "n_bins": 2, "return_occupied": True, "threads": 1}),
        (fd.weighted_moments, {"x": SAMPLES.copy(), "weights": floats(1, 2, 3)}),
    ],
    "Accumulator": lambda: one(fd.Accumulator, bins=GRID),
    "Accumulator.update": lambda: one(
        fd.Accumulator(GRID).update, samples=SAMPLES.copy(), weights=floats(1, 2, 3), outside="clip", threads=1
    ),
    "Accumulator.merge": lambda: one(fd.Accumulator(GRID).merge, other=fd.Accumulator(GRID)),
    "Accumulator.save": lambda: one(fd.Accumulator(GRID).save, path="saved.npz"),
    "Accumulator.load": lambda: one(fd.Accumulator.load, path=saved("accumulator")),
    "frechet_distance": lambda: one(
        fd.frechet_distance,
        mean1=floats(0, 1), cov1=floats([2, 1], [1, 2]), mean2=floats(1, 1), cov2=np.eye(2), squared=True,
    ),
    "frechet_distances": lambda: one(
        fd.frechet_distances, means=floats([0, 1], [2, 3]), covs=np.tile(np.eye(2), (2, 1, 1)), mean=floats(1, 1),
        cov=floats([2, 1], [1, 2]), squared=False, threads=1,
    ),
    "emd": lambda: [(fd.emd, transport(metric="euclidean", threads=1)), (fd.emd, by_cost(threads=1))],
    "emd_1d": lambda: [
        (fd.emd_1d, {"x": floats(0, 1, 5), "y": floats(1, 3), "a": floats(1, 2, 3), "b": floats(2, 1), "p": 2.0}),
        (fd.emd_1d, {"x": floats(0, 1, 5), "y": floats(1, 3)}),
    ],
    "emd_grid": lambda: [
        (fd.emd_grid, on_grid(spacing=0.5, metric="cityblock", threads=1)),
        (fd.emd_grid, on_grid(spacing=[floats(0, 1), floats(0, 2)], metric="euclidean", threads=1)),
    ],
    "emd_many": lambda: [
        (fd.emd_many, {"P": floats([1, 2], [2, 1]), "Q": floats([3, 0], [0, 3]), "x": floats([0, 0], [1, 3]),
                       "metric": "cityblock", "threads": 1}),
        (fd.emd_many, {"P": floats([1, 2], [2, 1]), "cost": floats([0, 1], [1, 0])}),
    ],
    "sinkhorn": lambda: [
        (fd.sinkhorn, transport(reg=0.5, metric="euclidean", tol=1e-6, max_iter=1000, threads=1)),
        (fd.sinkhorn, by_cost(reg=0.5, tol=1e-6, max_iter=1000)),
        (fd.sinkhorn, on_grid(x=[floats(0, 1), floats(0, 2)], reg=0.5, metric="cityblock", tol=1e-6, max_iter=1000)),
    ],
    "degradation_distance": lambda: one(
        fd.degradation_distance, p=P, q=Q, wasserstein_weight=1.0, frechet_weight=2.0, metric="cityblock"
    ),
    "craft": lambda: [
        (fd.craft, {"target": Q, "prior": P, "generalization": 0.1, "wasserstein_weight": 1.0, "frechet_weight": 1.0,
                    "lower": np.full(4, 0.01), "upper": np.full(4, 0.9), "metric": "euclidean", "tol": 1e-6,
                    "max_iter": 1000, "time_limit": 9.0, "threads": 1}),
        (fd.craft, {"target": Q, "generalization": 0.1, "cost": floats([0, 1, 1, 2], [1, 0, 2, 1], [1, 2, 0, 1],
                                                                       [2, 1, 1, 0]), **moments_of_bins()}),
    ],
    "tradeoff_path": lambda: one(fd.tradeoff_path, target=Q, generalizations=floats(0.1, 1)),
    "craft_many": lambda: one(
        lambda **given: list(fd.craft_many(**given)), problems=[(Q, {"generalization": 0.1})], chain=1, threads=1
    ),
    "CraftResult.plot": lambda: one(crafted().plot, ax=None),
    "EMDResult.plot": lambda: one(fd.emd(**transport()).plot, ax=None),
    "TradeoffPath.plot": lambda: one(fd.tradeoff_path(Q, [0.1, 1]).plot, ax=None),
    "Gain.plot": lambda: one(fd.Gain(0.1, -0.1, 0.01, 0.01).plot, ax=None),
    "farthest_points": lambda: one(fd.farthest_points, x=SAMPLES.copy(), k=2, start=1, threads=1),
    "select_references": lambda: one(
        fd.select_references, embeddings=SAMPLES.copy(), labels=np.array([0, 1, 3]), target=Q, crafted=P,
        n_references=2, n_neighbors=1, threads=1,
    ),
    "ReferenceSelection.plot": lambda: one(
        fd.select_references(SAMPLES, [0, 1, 3], Q, n_references=2).plot, ax=None
    ),
    "degrade": lambda: one(
        fd.degrade, image=photo(16), blur_sigma=1.0, blur_angle=0.0, downsampling=2.0, interpolation="cubic",
        poisson_scale=1.0, noise_sigma=1.0, noise="gray", jpeg_quality=50.0, rng=0,
    ),
    "History": lambda: one(fd.History, steps=STEPS),
    "History.preset": lambda: one(fd.History.preset, name="photo"),
    "History.from_dict": lambda: one(fd.History.from_dict, config={"steps": STEPS}),
    "History.check": lambda: one(fd.History(STEPS).check, crafted=["noise_sigma"]),
    "History.draw": lambda: one(fd.History(STEPS).draw, rng=0),
    "History.without": lambda: one(fd.History(STEPS).without, names=["sharpening_amount"]),
    "DegradationTransform": lambda: one(
        fd.DegradationTransform, distribution=Q, downsampling=2.0, noise="gray", interpolation="cubic",
        history="plain", seed=0,
    ),
    "DegradationTransform.set_epoch": lambda: one(fd.DegradationTransform(Q).set_epoch, epoch=1),
    "DegradationTransform.__call__": lambda: one(
        fd.DegradationTransform(Q, downsampling=2, seed=0), image=photo(16), index=3, epoch=1
    ),
    "warmup": lambda: one(fd.warmup, rooms=[]),
    "baselines.mixture": lambda: one(fd.baselines.mixture, q=Q, prior=P, weight=0.5),
    "baselines.forecast_optimal": lambda: one(
        fd.baselines.forecast_optimal, q=fd.BinnedDistribution(NOISE, [1, 0]), forecast=forecast(), weight=0.5
    ),
    "baselines.closed_form_weights": lambda: one(
        fd.baselines.closed_form_weights, distances=floats(1, 2, 3), alpha=2.0
    ),
    "frameworks.read": lambda: one(fd.frameworks.read, path=options_read().source, framework="gfpgan"),
    "frameworks.audit": lambda: one(fd.frameworks.audit, options=options_read(), distribution=Q, crafted=P),
    "frameworks.write": lambda: one(
        fd.frameworks.write, distribution=Q, framework="csv", history="plain", keep=0.95, boxes=1, downsampling=2.0,
        noise="gray",
    ),
    "frameworks.register": lambda: one(register, dialect=DIALECT),
    "frameworks.unregister": lambda: one(unregister, dialect=DIALECT),
    "Options.distribution": lambda: one(options_read().distribution, bins=GRID, n=100, rng=0),
    "Options.one": lambda: one(options_read().one, bins=GRID, rng=0),
    "Options.sample": lambda: one(options_read().sample, bins=GRID, n=3, rng=0),
    "images.dct_features": lambda: one(fastdeg.images.dct_features, image=photo(16), offset=(0, 1)),
    "images.gaussian_blur": lambda: one(fastdeg.images.gaussian_blur, image=photo(16), sigma=1.0, angle=0.0),
    "images.downsample": lambda: one(fastdeg.images.downsample, image=photo(16), factor=2.0, interpolation="cubic"),
    "images.jpeg_compress": lambda: one(
        fastdeg.images.jpeg_compress, image=photo(16), quality=50.0, subsampling="4:2:0"
    ),
    "images.add_gaussian_noise": lambda: one(
        fastdeg.images.add_gaussian_noise, image=photo(16), sigma=3.0, noise="gray", rng=0
    ),
    "images.add_poisson_noise": lambda: one(
        fastdeg.images.add_poisson_noise, image=photo(16), scale=1.0, noise="gray", rng=0
    ),
    "images.read_image": lambda: one(read_image, path=image_file(), max_pixels=10**6, min_side=1),
    "images.list_images": lambda: one(fastdeg.images.list_images, folder=str(Path(image_file()).resolve().parent)),
    "images.read_images": lambda: one(
        fastdeg.images.read_images, source=[image_file()], skip_bad=False, max_images=1, max_pixels=10**6, min_side=1
    ),
    "DescribedImages.of": lambda: one(estimator().describe(low()).of, which=np.array([True, False, True])),
    "SummarizedImages.of": lambda: one(estimator().summarize(low()).of, which=np.array([True, False, True])),
}  # fmt: skip
