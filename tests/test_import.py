"""Importing the package is cheap: nothing heavy is loaded, nothing compiled."""

import statistics
import subprocess
import sys

import pytest

import fastdeg as fd


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_import_loads_no_heavy_package():
    code = "import sys, fastdeg; print({'cv2', 'sklearn', 'matplotlib', 'rich', 'numba'} & set(sys.modules))"
    assert run(code).strip() == "set()"


def test_the_numerical_modules_load_no_image_or_plot_package():
    code = (
        "import sys, fastdeg as fd; fd.emd, fd.craft, fd.frechet_distance, fd.farthest_points, fd.GridBins;"
        "print({'cv2', 'sklearn', 'matplotlib', 'rich'} & set(sys.modules))"
    )
    assert run(code).strip() == "set()"


def test_import_takes_at_most_a_quarter_longer_than_numbas():
    def seconds(module: str) -> float:
        code = f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
        return float(run(code))

    ratio = statistics.median(seconds("fastdeg") / seconds("numba") for _ in range(5))
    assert ratio <= 1.25


def test_every_public_name_exists():
    for name in fd.__all__:
        assert getattr(fd, name) is not None
    assert set(fd.__all__) <= set(dir(fd))


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = fd.no_such_name
