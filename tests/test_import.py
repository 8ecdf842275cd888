"""Importing the package is cheap: nothing heavy is loaded, nothing compiled."""

import subprocess
import sys

import pytest

import fastdeg as fd


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_import_loads_no_heavy_package():
    heavy = {"cv2", "sklearn", "matplotlib", "rich", "scipy", "numba", "numpy"}
    assert run(f"import sys, fastdeg; print({heavy} & set(sys.modules))").strip() == "set()"


def test_the_numerical_modules_load_no_image_or_plot_package():
    code = (
        "import sys, fastdeg as fd; fd.emd, fd.craft, fd.frechet_distance, fd.farthest_points, fd.GridBins;"
        "print({'cv2', 'sklearn', 'matplotlib', 'rich'} & set(sys.modules))"
    )
    assert run(code).strip() == "set()"


def test_every_public_name_exists():
    for name in fd.__all__:
        assert getattr(fd, name) is not None
    assert set(fd.__all__) <= set(dir(fd))


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = fd.no_such_name
