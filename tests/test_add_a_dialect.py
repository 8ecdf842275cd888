"""A dialect of option files added from outside the package, as docs/add-a-dialect.md does it."""

import re
from pathlib import Path

import numpy as np
import pytest

import fastdeg as fd

PAGE = Path(__file__).parent.parent / "docs" / "add-a-dialect.md"
BINS = fd.GridBins(
    fd.DegradationSpace(
        [
            fd.Axis.regular("blur_sigma", 0, 3, 6),
            fd.Axis.regular("noise_sigma", 0, 50, 5),
            fd.Axis.regular("jpeg_quality", 30, 90, 3),
        ]
    )
)


@pytest.fixture(scope="module")
def page():
    names: dict = {}
    code, _ = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    exec(compile(code, str(PAGE), "exec"), names)
    yield names
    names["unregister"](names["LINES"])


def test_its_files_are_written_and_read(page, tmp_path):
    pmf = np.zeros(BINS.space.shape)
    pmf[1:3, 0:2, 1] = 1
    p = fd.BinnedDistribution(BINS, pmf.ravel() / pmf.sum())
    export = fd.frameworks.write(p, "lines")
    assert export.text == "blur 0.5 1.5\nnoise 0.0 20.0\njpeg 50.0 70.0\n"
    (tmp_path / "p.lines").write_text(export.text)
    options = fd.frameworks.read(tmp_path / "p.lines")
    np.testing.assert_allclose(options.distribution(BINS).pmf, p.pmf, atol=1e-12)
    low = fd.degrade(np.zeros((64, 96, 3), np.uint8), history=options.history, rng=0)
    assert low.shape == (16, 24, 3)
    assert fd.frameworks.audit(options, p).coverage == pytest.approx(1)


def test_its_errors_reach_the_user(page, tmp_path):
    (tmp_path / "bad.lines").write_text("blurr 1 2\n")
    with pytest.raises(ValueError, match=r"bad\.lines: line 1: expected blur, noise or jpeg and two numbers"):
        fd.frameworks.read(tmp_path / "bad.lines")


def test_names_are_taken_once(page):
    with pytest.raises(ValueError, match="dialect: expected a new name, got 'lines'"):
        fd.frameworks.register(page["LINES"])
