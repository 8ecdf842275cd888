"""Earth mover's distances and Sinkhorn, against POT (which is given its cost matrix) and SciPy."""

from __future__ import annotations

from types import SimpleNamespace as Workload

import numpy as np
import scipy.stats
from scipy.spatial.distance import cdist

import fastdeg as fd
from bench.case import OURS, Case, Curve, FirstCall, Rival

MANY = 10**9


def points_workload(n, metric, *, same, lazy=False):
    rng = np.random.default_rng(0)
    w = Workload(metric=metric, x=rng.random((n, 3)))
    w.y = w.x if same else rng.random((n, 3))
    w.a, w.b = rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(n))
    w.cost = None if lazy else cdist(w.x, w.y, metric)
    return w


def matrix_workload(n, kind):
    rng = np.random.default_rng(1)
    w = Workload(a=rng.dirichlet(np.ones(n)), b=rng.dirichlet(np.ones(n)))
    w.cost = rng.random((n, n)) if kind == "random" else cdist(rng.random((n, 3)), rng.random((n, 3)), kind)
    return w


def two_blobs():
    """Two blobs and the histogram of 2,000 samples from two others, on the 50 x 51 x 7 grid."""
    shape = (50, 51, 7)
    rng = np.random.default_rng(0)
    axes = [np.linspace(0, 1, k) for k in shape]
    points = np.stack([g.ravel() for g in np.meshgrid(*axes, indexing="ij")], 1)

    def blob(centre, width):
        return np.exp(-0.5 * (((points - centre) / width) ** 2).sum(1))

    p = blob([0.3, 0.35, 0.4], [0.12, 0.1, 0.2]) + 0.56 * blob([0.65, 0.6, 0.6], [0.1, 0.15, 0.2])
    first = rng.random(2000) < 0.55
    samples = np.where(
        first[:, None],
        rng.normal([0.38, 0.3, 0.5], [0.1, 0.12, 0.2], (2000, 3)),
        rng.normal([0.7, 0.68, 0.45], [0.12, 0.1, 0.25], (2000, 3)),
    ).clip(0, 1)
    index = np.ravel_multi_index(np.rint(samples * (np.array(shape) - 1)).astype(int).T, shape)
    q = np.bincount(index, minlength=points.shape[0]).astype(float)
    return (p / p.sum()).reshape(shape), (q / q.sum()).reshape(shape), axes, points


def grid_workload(metric, images=False):
    if images:
        rng = np.random.default_rng(3)
        a, b = np.abs(rng.normal(size=(2, 64, 64)).cumsum(1).cumsum(2))
        axes = [np.arange(64.0)] * 2
        points = np.stack([g.ravel() for g in np.meshgrid(*axes, indexing="ij")], 1)
        a, b = a / a.sum(), b / b.sum()
    else:
        a, b, axes, points = two_blobs()
    w = Workload(a=a, b=b, axes=axes, metric=metric)
    common = np.minimum(a, b).ravel()
    left_a, left_b = a.ravel() - common, b.ravel() - common
    rows, columns = np.flatnonzero(left_a), np.flatnonzero(left_b)
    w.left_a, w.left_b = left_a[rows], left_b[columns]
    w.left_b *= w.left_a.sum() / w.left_b.sum()
    w.cost = cdist(points[rows], points[columns], metric)
    if images:
        w.full = cdist(points, points, metric)
    return w


def pot(w):
    import ot

    return ot.emd2(w.a, w.b, w.cost, numItermax=MANY)


def pot_lazy(w):
    import ot

    result = ot.lp.emd2_lazy(w.x, w.y, w.a, w.b, metric=w.metric, numItermax=MANY, return_matrix=False)
    return float(result[0] if isinstance(result, tuple) else result)


def pot_left(w):
    import ot

    moved = w.left_a.sum()
    return ot.emd2(w.left_a / moved, w.left_b / moved, w.cost, numItermax=MANY) * moved


def pot_full(w):
    import ot

    return ot.emd2(w.a.ravel(), w.b.ravel(), w.full, numItermax=MANY)


def pot_sinkhorn(w):
    import ot

    plan = ot.sinkhorn(w.a, w.b, w.cost, 0.01, method="sinkhorn_log", stopThr=1e-9, numItermax=10_000)
    return float((plan * w.cost).sum())


def values_agree(w, answers):
    """All values equal to 1e-9; ours with its certificate."""
    result = answers[OURS]
    value = result if isinstance(result, float) else result.value
    if not isinstance(result, float):
        assert result.relative_gap <= 1e-10
    for name, answer in answers.items():
        if name != OURS:
            assert abs(answer - value) <= 1e-9 * value, (name, answer, value)


def sinkhorn_agrees(w, answers):
    """The same plan but for the tolerance of the marginals."""
    assert answers[OURS].converged
    for name, answer in answers.items():
        if name != OURS:
            assert abs(answer - answers[OURS].value) <= 1e-6 * answer


def our_points(w):
    return fd.emd(w.a, w.b, w.x, None if w.y is w.x else w.y, metric=w.metric)


def our_matrix(w):
    return fd.emd(w.a, w.b, cost=w.cost)


def our_grid(w):
    return fd.emd_grid(w.a, w.b, spacing=w.axes, metric=w.metric)


def few_workload(metric):
    """The blobs on the 50 x 51 x 7 grid against 24 random points."""
    a, _, _, points = two_blobs()
    rng = np.random.default_rng(5)
    w = Workload(metric=metric, a=a.ravel(), x=points, b=rng.dirichlet(np.ones(24)), y=rng.random((24, 3)))
    w.cost = cdist(w.x, w.y, metric)
    return w


def threads_workload(name):
    if name == "grid":
        a, b, axes, _ = two_blobs()
        return Workload(solve=lambda threads: fd.emd_grid(a, b, spacing=axes, metric="sqeuclidean", threads=threads))
    n, d = (57_000, 2) if name == "plane" else (8_000, 3)
    rng = np.random.default_rng(0)
    a, b = rng.dirichlet(np.ones(n), 2)
    x, y = rng.random((2, n, d))
    return Workload(solve=lambda threads: fd.emd(a, b, x, y, metric="sqeuclidean", threads=threads))


def same_bits(w, answers):
    """The result does not depend on the number of threads."""
    results = list(answers.values())
    for other in results[1:]:
        assert other.value == results[0].value
        assert other.relative_gap <= 1e-10


def line_workload():
    rng = np.random.default_rng(4)
    return Workload(x=rng.normal(size=10**6), y=rng.normal(size=10**6) + 0.1)


CASES = [
    *(
        Case(
            f"earth mover's distance, same points, euclidean, 3-D, n = {n:,}",
            lambda n=n: points_workload(n, "euclidean", same=True),
            our_points,
            [Rival("POT emd2", pot, requires=["ot"])],
            values_agree,
            target=target,
            slow=n > 1000,
            seconds=10 if n < 4000 else 25,
        )
        for n, target in ((10, 1.5), (75, 2), (1000, 9), (2000, 16), (4000, 30))
    ),
    *(
        Case(
            f"earth mover's distance, other points, sqeuclidean, 3-D, n = {n:,}",
            lambda n=n: points_workload(n, "sqeuclidean", same=False),
            our_points,
            [Rival("POT emd2", pot, requires=["ot"])],
            values_agree,
            target=target,
            slow=n > 1000,
            seconds=10 if n < 4000 else 25,
        )
        for n, target in ((1000, 4), (2000, 8), (4000, 14))
    ),
    *(
        Case(
            f"earth mover's distance, cost matrix ({kind}), n = {n:,}",
            lambda n=n, kind=kind: matrix_workload(n, kind),
            our_matrix,
            [Rival("POT emd2", pot, requires=["ot"])],
            values_agree,
            target=1.5 if n >= 1000 else 1,
            slow=n > 1000,
            seconds=10 if n < 4000 else 30,
        )
        for n in (10, 50, 75, 100, 300, 1000, 2000, 4000)
        for kind in ("random", "euclidean")
    ),
    *(
        Case(
            f"50 × 51 × 7 grid, {metric}",
            lambda metric=metric: grid_workload(metric),
            our_grid,
            [Rival("POT emd2, common mass removed", pot_left, requires=["ot"])],
            values_agree,
            target=target,
            slow=True,
            seconds=60,
            rounds=5,
        )
        for metric, target in (("euclidean", 12), ("cityblock", 50))
    ),
    *(
        Case(
            f"64 × 64 images, {metric}",
            lambda metric=metric: grid_workload(metric, images=True),
            our_grid,
            [Rival("POT emd2", pot_full, requires=["ot"])],
            values_agree,
            target=target,
            slow=True,
            seconds=60,
            rounds=5,
        )
        for metric, target in (("cityblock", 20), ("euclidean", 8))
    ),
    *(
        Case(
            f"without a cost matrix, 3-D, n = 4,000, {metric}",
            lambda metric=metric: points_workload(4000, metric, same=False, lazy=True),
            our_points,
            [Rival("POT emd2_lazy", pot_lazy, requires=["ot"])],
            values_agree,
            target=40,
            slow=True,
            seconds=40,
            rounds=5,
        )
        for metric in ("euclidean", "sqeuclidean")
    ),
    *(
        Case(
            f"17,850 against 24 points{how}, {metric}",
            lambda metric=metric: few_workload(metric),
            ours,
            [Rival("POT emd2", pot, requires=["ot"])],
            values_agree,
            target=4,
            slow=True,
            rounds=5,
        )
        for how, ours in (("", our_points), (", cost matrix", our_matrix))
        for metric in ("euclidean", "sqeuclidean")
    ),
    *(
        Case(
            f"one thread, {title}, sqeuclidean",
            lambda name=name: threads_workload(name),
            lambda w: w.solve(1),
            [Rival("two threads", lambda w: w.solve(2))],
            same_bits,
            target=0.6,
            slow=True,
            seconds=40,
            rounds=5,
        )
        for name, title in (
            ("cube", "3-D, n = 8,000"),
            ("grid", "50 × 51 × 7 grid"),
            ("plane", "57,000 against 57,000 points in the plane"),
        )
    ),
    Case(
        "emd_1d, n = 10⁶ unsorted",
        line_workload,
        lambda w: fd.emd_1d(w.x, w.y),
        [Rival("SciPy wasserstein_distance", lambda w: float(scipy.stats.wasserstein_distance(w.x, w.y)))],
        values_agree,
        target=3,
    ),
    Case(
        "sinkhorn, euclidean, 3-D, n = 1,000, reg = 0.01, tol = 1e-9",
        lambda: points_workload(1000, "euclidean", same=False),
        lambda w: fd.sinkhorn(w.a, w.b, w.x, w.y, reg=0.01),
        [Rival("POT sinkhorn_log", pot_sinkhorn, requires=["ot"])],
        sinkhorn_agrees,
        target=10,
        slow=True,
    ),
]

CURVES = [
    Curve(
        "Earth mover's distance over n (3-D, sqeuclidean)",
        "n",
        [500, 1_000, 2_000, 4_000],
        lambda n: points_workload(n, "sqeuclidean", same=False),
        our_points,
        [Rival("POT emd2", pot, requires=["ot"])],
    ),
]

DATA = (
    "import numpy as np, fastdeg as fd; r = np.random.default_rng(0); "
    "a = np.full(1000, 1e-3); x = r.random((1000, 3)); "
)
ONE_KERNEL = "from bench.plain_kernel import smaller; smaller(1.0, 2.0)"
POINTS = "fd.emd(a, a, x, r.random((1000, 3)))"
FIRST_CALLS = [
    FirstCall("a function of two numbers, by numba alone", ONE_KERNEL),
    FirstCall("the same, imports before", ONE_KERNEL, DATA + "fd.emd"),
    FirstCall("emd, points", DATA + POINTS),
    FirstCall("the same, imports before", POINTS, DATA + "fd.emd"),
    FirstCall("the same, emd_1d called before", POINTS, DATA + "fd.emd_1d(x[:, 0], x[:, 1])"),
    FirstCall("emd, cost matrix", DATA + "fd.emd(a, a, cost=r.random((1000, 1000)))"),
    FirstCall("emd_grid", DATA + "fd.emd_grid(np.eye(30), np.eye(30)[::-1])"),
    FirstCall("emd_1d", DATA + "fd.emd_1d(x[:, 0], x[:, 1])"),
    FirstCall("sinkhorn", DATA + "fd.sinkhorn(a, a, x, reg=0.1)"),
]
