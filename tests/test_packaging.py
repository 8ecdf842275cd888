"""What packages say of themselves, and what is said where OpenCV, or one of its parts, is missing."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import fastdeg as fd

ROOT = Path(__file__).parent.parent


def test_the_version_has_one_place():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["dynamic"] == ["version"]
    assert f"\nversion: {fd.__version__}\n" in (ROOT / "CITATION.cff").read_text()  # which cannot read it from there


def test_the_page_of_installation_names_all_dependencies_and_extras():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    page = (ROOT / "docs" / "installation.md").read_text()
    by_hand = next(line for line in page.splitlines() if line.startswith("pip install numba"))
    for requirement in project["dependencies"] + project["optional-dependencies"]["cli"]:
        assert f" {requirement.split('>=')[0]}" in by_hand, requirement
    for extra in project["optional-dependencies"]:
        assert f"`{extra}`" in page, extra


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of Python where the packages of a folder come first."""
    environment = os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=environment, cwd=folder)


@pytest.fixture
def without_libgl(tmp_path):
    (tmp_path / "cv2.py").write_text(
        "raise ImportError('libGL.so.1: cannot open shared object file: No such file or directory')\n"
    )
    return tmp_path


@pytest.fixture
def side_by_side(tmp_path):
    """The state after ``pip uninstall`` of one of two packages of OpenCV: an empty cv2, and both still listed."""
    (tmp_path / "cv2").mkdir()
    (tmp_path / "cv2" / "__init__.py").touch()
    for package in ("opencv-python", "opencv-python-headless"):
        folder = tmp_path / f"{package.replace('-', '_')}-4.9.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 4.9\n")
    return tmp_path


def test_a_missing_system_library_is_explained(without_libgl):
    done = run(without_libgl, "-m", "fastdeg.cli", "demo")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "the system has no libGL.so.1: apt-get install libgl1" in line
    assert "pip install opencv-python-headless" in line
    assert not (without_libgl / "fastdeg-runs").exists()


def test_two_packages_of_opencv_are_explained(side_by_side):
    done = run(side_by_side, "-c", "import fastdeg as fd; fd.degrade")
    last = done.stderr.splitlines()[-1]
    assert "opencv-python 4.9 and opencv-python-headless 4.9 are installed side by side" in last
    assert "pip uninstall -y opencv-python opencv-python-headless && pip install opencv-python-headless" in last


def test_info_answers_without_opencv(side_by_side):
    done = run(side_by_side, "-m", "fastdeg.cli", "info", "--json")
    found = json.loads(done.stdout)
    assert found["opencv"] == "opencv-python 4.9, opencv-python-headless 4.9"
    assert "side by side" in found["failure"]
    assert "side by side" in run(side_by_side, "-m", "fastdeg.cli", "info").stdout


def test_the_numerical_core_works_without_opencv(without_libgl):
    code = "import fastdeg as fd; print(fd.emd_1d([0, 1], [1, 3]), fd.GridBins, fd.craft, fd.select_references)"
    assert run(without_libgl, "-c", code).stdout.startswith("1.5 ")
