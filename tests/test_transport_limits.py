"""Transport of numbers near the largest there are, and arguments that are none: one clear sentence each."""

import pickle

import numpy as np
import pytest

import fastdeg as fd

HALF = [0.5, 0.5]
EYE = np.eye(4) / 4


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: fd.emd(HALF, HALF, [[-1e308], [1e308]]), "x, y: expected points with costs up to 1e\\+150"),
        (lambda: fd.emd(HALF, HALF, [[0.0], [1e100]], metric="sqeuclidean"), "x, y: expected points with costs"),
        (lambda: fd.emd([1e200, 0], [0, 1e200], [[0.0], [1e149]]), "expected masses and costs whose products"),
        (lambda: fd.emd([1e308, 1e308], HALF, [[0.0], [1.0]]), "a: expected a positive total mass"),
        (lambda: fd.emd_1d([0, 1], [1, 3], [1e308, 1e308]), "a: expected a positive total mass"),
        (lambda: fd.emd_1d([0, 1], [1e300, 3], p=2), "expected distances whose powers"),
        (lambda: fd.emd_grid(EYE, EYE[::-1], spacing=1e151), "spacing: expected costs up to 1e\\+150"),
        (lambda: fd.emd_grid(EYE, EYE[::-1], spacing=1e308), "spacing: expected costs up to 1e\\+150"),
        (lambda: fd.emd_grid(EYE, EYE[::-1], spacing=[[-1e308, 0, 1, 1e308], 1]), "spacing: expected costs up to"),
    ],
)
def test_what_is_too_large_is_told(call, said):
    with pytest.raises(ValueError, match=said):
        call()


def test_costs_below_the_limit_are_served():
    assert fd.emd([1, 0], [0, 1], [[0.0], [1e149]]).value == pytest.approx(1e149)
    assert fd.emd_grid(EYE, EYE[::-1], spacing=1e140).value == pytest.approx(2e140)


def test_a_spacing_that_is_none_is_told():
    with pytest.raises(TypeError, match="spacing: expected a number, or one entry per axis, got NoneType"):
        fd.emd_grid(EYE, EYE[::-1], spacing=None)


@pytest.mark.parametrize("threads", [0, -1, 1.5, "2", True])
@pytest.mark.parametrize(
    "call",
    [
        lambda threads: fd.emd(HALF, HALF, [[0.0], [1.0]], threads=threads),
        lambda threads: fd.emd(HALF, HALF, cost=np.eye(2), threads=threads),
        lambda threads: fd.emd_grid(EYE, EYE[::-1], threads=threads),
        lambda threads: fd.sinkhorn(HALF, HALF, [[0.0], [1.0]], reg=1.0, threads=threads),
        lambda threads: fd.farthest_points(np.eye(3), 2, threads=threads),
    ],
    ids=["emd", "cost matrix", "emd_grid", "sinkhorn", "farthest_points"],
)
def test_what_is_no_number_of_threads_is_told(call, threads):
    with pytest.raises(ValueError, match="threads: expected a positive integer"):
        call(threads)


def test_a_result_is_pickled_with_its_plan():
    for result in (fd.emd(HALF, [0.25, 0.75], [[0.0], [2.0]]), fd.emd_grid(EYE, EYE[::-1])):
        again = pickle.loads(pickle.dumps(result))
        assert again.value == result.value
        assert (again.plan.toarray() == result.plan.toarray()).all()
        assert (again.potentials[0] == result.potentials[0]).all()
