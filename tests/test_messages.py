"""Messages with the way out."""

import numpy as np
import pytest

import fastdeg as fd

X = np.random.default_rng(0).random((20, 256))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: fd.emd_1d(np.zeros((9, 2)), np.zeros((9, 2))), r"x: expected shape \(n,\).* for emd, .* emd_grid"),
        (lambda: fd.frechet_distance(X.mean(0), np.cov(X), X.mean(0), np.cov(X)), r"cov1: .*rowvar=False"),
        (lambda: fd.emd([1, 10**400], [1, 1], [[0.0], [1.0]]), "a: expected numbers within the floating-point range"),
        (lambda: fd.CentroidBins([[0.0], [1.0]]).assign([[0.5], [-np.inf]]), "samples: .* infinite one in row 1"),
        (lambda: fd.sinkhorn([1], [1], [[0.0]], reg=10**400), "reg: expected a finite number above 0, got 1000"),
    ],
)
def test_the_way_out_is_told(call, said):
    with pytest.raises(ValueError, match=said):
        call()


def test_tensors_that_numpy_does_not_take():
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match=r"x\.detach\(\)\.cpu\(\)"):
        fd.emd_1d(torch.zeros(3, requires_grad=True), [1.0])
