"""Importing the package is cheap: nothing heavy is loaded, nothing compiled."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import fastdeg as fd
from fastdeg.cli import VERBS
from fastdeg.crafting.strategy import TABLE


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


def test_what_reads_code_without_running_it_sees_every_public_name():
    """Type checkers, completion in editors and PyInstaller: the imports under ``if TYPE_CHECKING``."""
    tree = ast.parse(Path(fd.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.asname: node.module for node in block.body for alias in node.names}
    assert set(seen) == set(fd.__all__) - {"__version__"}
    for name, module in seen.items():
        assert getattr(import_module(module), name) is getattr(fd, name)


def test_what_packs_programs_sees_the_methods_and_the_verbs():
    for module, expected in (("fastdeg.crafting", strategy_modules()), ("fastdeg.cli", cli_modules())):
        tree = ast.parse(Path(import_module(module).__file__).read_text())
        block = next(node for node in tree.body if isinstance(node, ast.If))
        assert {f"{node.module}.{alias.name}" for node in block.body for alias in node.names} == expected


def strategy_modules():
    return {f"fastdeg.crafting.{row.method.split(':')[0]}" for row in TABLE}


def cli_modules():
    return {f"fastdeg.cli.{verb}" for verb in VERBS}


@pytest.mark.slow
def test_a_program_packed_by_pyinstaller_runs(tmp_path):
    (tmp_path / "program.py").write_text(
        "import fastdeg as fd\n"
        "for name in fd.__all__: getattr(fd, name)\n"
        "q = fd.BinnedDistribution(fd.GridBins(fd.DegradationSpace.preset('paper')), [1 / 75] * 75)\n"
        "print(fd.emd_1d([0.], [1.]), fd.craft(q, generalization=.1).converged)\n"
    )
    spare = [x for name in ("torch", "pandas", "dask", "IPython", "pytest") for x in ("--exclude-module", name)]
    build = [sys.executable, "-m", "PyInstaller", "--noconfirm", "--log-level", "ERROR", *spare, "program.py"]
    subprocess.run(build, check=True, cwd=tmp_path, timeout=1_500)
    done = subprocess.run([tmp_path / "dist/program/program"], capture_output=True, text=True, timeout=1_500)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["1.0", "True"]
