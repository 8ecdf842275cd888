"""Whatever is passed in place of an argument: the documented answer, or a ValueError or TypeError that names it.

Nothing is changed that was passed, no answer is infinite or NaN, nothing hangs or fills the memory, and other forms of
the same numbers give the same answer. `problems_bad_input` has a row for every public function and for every kind of
value; a new function without a valid call there fails, and its arguments are tried with all kinds.
"""

import os
import re
import signal
import warnings
import zlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot
from problems_bad_input import ANYTHING, ARRAYS, SAME_ARRAYS, arguments, calls, cells, public

import fastdeg as fd
from fastdeg.images import ImageError

resource = pytest.importorskip("resource")  # not on Windows

PUBLIC = public()
SECONDS = 120  # for one cell, on a busy machine
MEMORY = 6 * 2**30  # bytes beyond what the process has
SHARE, SHARE_OF_SLOW = 10, 40  # one cell of so many is quick
SLOW = ("DegradationEstimator", "TrainingForecast", "craft", "tradeoff_path", "baselines.forecast_optimal")
# other names that messages have for an argument
ALIASES = {
    ("Axis.levels", "values"): "levels",
    ("Axis.from_dict", "config"): "axis",
    ("DegradationSpace.preset", "name"): "preset",
    ("DegradationSpace.from_dict", "config"): "space|axis",
    ("DegradationSpace.standardize", "x"): "points",
    ("DegradationSpace.unstandardize", "z"): "points",
    ("History", "steps"): "history",
    ("History.preset", "name"): "history",
    ("History.from_dict", "config"): "history",
    ("DegradationTransform", "rng"): "seed",
    ("TrainingForecast.gains", "distributions"): "p",
    ("craft_many", "problems"): r"problem \d+",
    ("frameworks.audit", "options"): "path",
    ("images.read_images", "source"): "folder",
    ("images.gaussian_blur", "sigma"): "blur_sigma",
    ("images.gaussian_blur", "sigma_x"): "blur_sigma_x",
    ("images.gaussian_blur", "sigma_y"): "blur_sigma_y",
    ("images.gaussian_blur", "angle"): "blur_angle",
    ("images.downsample", "factor"): "downsampling",
    ("images.jpeg_compress", "quality"): "jpeg_quality",
    ("images.jpeg_compress", "subsampling"): "jpeg_subsampling",
    ("images.add_gaussian_noise", "sigma"): "noise_sigma",
    ("images.add_poisson_noise", "scale"): "poisson_scale",
}
# arguments that name files, which messages name in turn, or say something of what is asked of them
FILES = ("path", "folder", "source", "options", "images", "min_side")
# answers that are not finite by their documentation
NOT_FINITE = {
    "CraftResult": ("history", "terms", "primal_residual", "dual_residual"),
    "SinkhornResult": ("potentials",),
    "Gain": ("target_error", "prior_error"),
}
STAYS = {("DegradationSpace.standardize", "x"), ("DegradationSpace.unstandardize", "z")}  # NaN stays NaN, inf inf
IGNORED = ("y",)  # arguments that scikit-learn wants
# cells that are left out, and why
LEFT_OUT = {("warmup", "rooms", "None"): "compiles all there is"}


class Stuck(BaseException):
    """A cell that does not come to an end."""


@pytest.fixture(scope="module", autouse=True)
def confined(tmp_path_factory):
    """In a folder of its own, without a window, with a limit of memory."""
    here, backend, limits = os.getcwd(), matplotlib.get_backend(), resource.getrlimit(resource.RLIMIT_AS)
    os.chdir(tmp_path_factory.mktemp("bad-input"))
    matplotlib.use("Agg")
    status = Path("/proc/self/statm")
    if status.exists():
        used = int(status.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, limits)
    matplotlib.use(backend)
    os.chdir(here)


def of_argument(label, name, index):
    """All cells of an argument: kind, what makes the value, whether the answer is that of the valid call."""
    _, given = calls(label)[index]
    default = arguments(PUBLIC[label])[name]
    for kind, make, same in cells(given.get(name, default)):
        if (label, name, kind) not in LEFT_OUT and name not in IGNORED:
            yield kind, make, same


def content(value):
    """What must not change: the bytes of arrays, however deep."""
    if isinstance(value, np.ndarray):
        return None if 0 in value.strides and value.size > 10**6 else (value.dtype, value.shape, value.tobytes())
    if isinstance(value, Mapping):
        return {key: content(inner) for key, inner in value.items()}
    return [content(inner) for inner in value] if isinstance(value, list | tuple) else None


def not_finite(value, where="result"):
    """Return where an answer is NaN or infinite, and should not be."""
    if isinstance(value, float | np.floating):
        return [] if np.isfinite(value) else [f"{where} = {value}"]
    if isinstance(value, np.ndarray):
        finite = value.dtype.kind != "f" or np.isfinite(value).all()
        return [] if finite else [f"{where} has {value[~np.isfinite(value)].flat[0]}"]
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return [text for inner in value for text in not_finite(inner, where)]
    if is_dataclass(value):
        allowed = NOT_FINITE.get(type(value).__name__, ())
        if type(value).__name__ == "CraftResult" and not value.converged:  # of which a warning tells
            allowed = (*allowed, "gap", "lower_bound")
        names = [f.name for f in fields(value) if not f.name.startswith("_") and f.name not in allowed]
        return [text for name in names for text in not_finite(getattr(value, name), f"{where}.{name}")]
    return not_finite(value.pmf, f"{where}.pmf") if isinstance(value, fd.BinnedDistribution) else []


def same_answer(a, b):
    if isinstance(a, fd.TradeoffPath):
        return same_answer(a.results, b.results)
    if isinstance(a, fd.CraftResult):  # but for the seconds that it took
        return (a.distribution, a.objective) == (b.distribution, b.objective)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same_answer, a, b))
    if isinstance(a, np.ndarray):
        return bool(np.array_equal(a, b, equal_nan=a.dtype.kind == "f"))
    return type(a) is not type(b) or type(a).__eq__ is object.__eq__ or bool(a == b)


def named(message, label, name):
    """Whether a message names the argument: before a colon, or at the end of a phrase; long names anywhere."""
    names = "|".join([re.escape(name), *filter(None, [ALIASES.get((label, name))])])
    before_colon = rf"(?<![\w.'])(?:{names})(?:\[[^\]]*\])*[:,=]"
    at_the_end = rf"\b(?:as|of) (?:{names})(?=[,.;:)]|$)"
    anywhere = rf"\b(?:{names})\b" if len(name) > 4 else before_colon
    return any(re.search(pattern, message) for pattern in (before_colon, at_the_end, anywhere))


def called(function, given):
    """Call with warnings of NumPy within the package as errors; all others are not what is looked at here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", category=RuntimeWarning, module="fastdeg")
        warnings.filterwarnings("ignore", message=r"(sinkhorn: )?not converged|the optimum is not reached")
        return function(**given)


def complaint(label, name, index, make, same):
    """Return what is wrong with one cell, None where nothing is."""
    function, given = calls(label)[index]
    given = {**given, name: make()}
    before = content(given)
    try:
        answer = called(function, given)
    except (ValueError, TypeError) as error:
        if same:
            return f"refused: {error}"
        of_file = name in FILES and (isinstance(error, ImageError) or str(given[name]) in str(error))
        return None if of_file or named(str(error), label, name) else f"{type(error).__name__} names it not: {error}"
    except OSError as error:
        return None if name in FILES and not same else f"{type(error).__name__}: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    if content(given) != before:
        return "changed what was passed"
    if same and not same_answer(called(*calls(label)[index]), answer):
        return f"another answer: {answer}"
    return None if (label, name) in STAYS else "; ".join(not_finite(answer)) or None


def complaints(label, chosen):
    """Return what is wrong with the chosen cells of a function."""

    def stuck(number, frame):
        raise Stuck(f"no end within {SECONDS} seconds")

    found, before = [], signal.signal(signal.SIGALRM, stuck)
    try:
        for index in range(len(calls(label))):
            for name in arguments(PUBLIC[label]):
                for kind, make, same in of_argument(label, name, index):
                    if not chosen(f"{label} {index} {name} {kind}"):
                        continue
                    signal.alarm(SECONDS)
                    try:
                        wrong = complaint(label, name, index, make, same)
                    except Stuck as error:
                        wrong = str(error)
                    finally:
                        signal.alarm(0)
                    if wrong:
                        found.append(f"{label}({name}={kind}): {wrong[:300]}")
        pyplot.close("all")
    finally:
        signal.signal(signal.SIGALRM, before)
    return found


def some(cell):
    return zlib.crc32(cell.encode()) % (SHARE_OF_SLOW if cell.startswith(SLOW) else SHARE) == 0


@pytest.mark.parametrize("label", PUBLIC)
def test_some_cells(label):
    found = complaints(label, some)
    assert not found, "\n".join(found)


@pytest.mark.slow
@pytest.mark.parametrize("label", PUBLIC)
def test_all_cells(label):
    found = complaints(label, lambda cell: not some(cell))
    assert not found, "\n".join(found)


def test_the_table_is_large():
    assert len(ANYTHING) + len(ARRAYS) + len(SAME_ARRAYS) >= 80
    assert len(ANYTHING) * sum(len(arguments(function)) for function in PUBLIC.values()) >= 10_000
