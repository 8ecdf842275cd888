"""The example of docs/numba.md runs and agrees with the public functions."""

import re
from pathlib import Path

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal

import fastdeg as fd

PAGE = Path(__file__).parent.parent / "docs" / "numba.md"


def test_example():
    names: dict = {}
    code = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    exec(compile(code.group(1), str(PAGE), "exec"), names)
    rng = np.random.default_rng(0)
    samples = rng.random((1_000, 2))
    labels = fd.CentroidBins(rng.random((4, 2))).assign(samples)
    assert_array_equal(names["labels"], labels)
    means, covs = fd.weighted_moments(samples, labels=labels, n_bins=4)
    assert_allclose(names["far"], fd.frechet_distances(means, covs, np.zeros(2), np.eye(2)), rtol=1e-12)


def test_imports_of_the_table():
    for line in re.findall(r"`(from fastdeg\.kernels[^`]*)`", PAGE.read_text(encoding="utf-8")):
        exec(line, {})
