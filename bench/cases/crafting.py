"""Crafting: against a general convex solver, against one exact transport solve, and on large grids."""

from __future__ import annotations

import warnings
from types import SimpleNamespace as Workload

import numpy as np

import fastdeg as fd
from bench.case import OURS, Case, FirstCall, Rival

UNIT_CUBE = fd.DegradationSpace([fd.Axis.regular(name, 0, 1, 10) for name in "abc"])


def two_blobs(n, d=3, seed=0):
    rng = np.random.default_rng(seed)
    first, second = np.array([0.25, 0.3, 0.35, 0.3])[:d], np.array([0.65, 0.7, 0.55, 0.6])[:d]
    x = np.where(rng.random(n)[:, None] < 0.6, rng.normal(first, 0.08, (n, d)), rng.normal(second, 0.10, (n, d)))
    return np.clip(x, 0, 0.999999)


def target(bins, kind, d=3):
    """q from 24 or 2,000 samples, or dense: 2,000 samples and a fifth of a random pmf."""
    samples = bins.space.unstandardize(two_blobs(2_000 if kind == "dense" else kind, d))
    q = fd.BinnedDistribution.from_samples(bins, samples)
    if kind == "dense":
        noise = np.random.default_rng(1).dirichlet(np.ones(bins.n_bins))
        q = fd.BinnedDistribution(bins, 0.8 * q.pmf + 0.2 * noise)
    return q


def centroids(n_bins, kind, tau):
    from scipy.spatial.distance import cdist

    points = np.random.default_rng(0).random((max(4 * n_bins, 4_000), 3))
    bins = fd.CentroidBins.fit(points, n_bins, space=UNIT_CUBE)
    w = Workload(q=target(bins, kind), tau=tau, weight=1.0, tol=1e-6)
    w.cost = cdist(bins.centers, bins.centers)
    w.p = ours(w).distribution.pmf
    return w


def grid(preset, kind, tau, weight=1.0, tol=1e-6):
    if preset == "large" or isinstance(preset, int):  # an int: as many cells along the last axis
        n_qualities = 66 if preset == "large" else preset
        axes = [*fd.DegradationSpace.preset("dense").axes, fd.Axis.regular("jpeg_quality", 30, 96, n_qualities)]
        bins = fd.GridBins(fd.DegradationSpace(axes))
        return Workload(q=target(bins, kind, 4), tau=tau, weight=weight, tol=tol)
    return Workload(q=target(fd.GridBins(fd.DegradationSpace.preset(preset)), kind), tau=tau, weight=weight, tol=tol)


def ours(w):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return fd.craft(w.q, generalization=w.tau, wasserstein_weight=w.weight, tol=w.tol)


def with_upper(w, upper):
    w.upper = upper
    return w


def bounded(w):
    return fd.craft(w.q, generalization=w.tau, upper=w.upper)


def clarabel(w, n_arcs="few"):
    """The same problem through cvxpy, as it is written down or with sinks only where q > 0, as we have it."""
    import cvxpy as cp

    bins, q = w.q.bins, w.q.pmf
    n, d = bins.centers.shape
    mean, cov = w.q.moments()
    values, vectors = np.linalg.eigh(cov)
    factor = vectors * np.sqrt(np.maximum(values, 0))
    deviations = bins.centers - mean
    p, z, sinks = (
        cp.Variable(n, nonneg=True),
        cp.Variable((d, d)),
        np.flatnonzero(q >= (0 if n_arcs == "all" else 1e-300)),
    )
    plan = cp.Variable((n, len(sinks)), nonneg=True)
    linear = np.einsum("iaa->i", bins.covariances) + (deviations**2).sum(axis=1)
    x = deviations @ factor
    second = factor.T @ bins.covariances @ factor + x[:, :, None] * x[:, None, :]
    moment = cp.reshape(second.reshape(n, -1).T @ p, (d, d), order="C")
    u = cp.reshape(x.T @ p, (d, 1), order="C")
    one, zero = np.ones((1, 1)), np.zeros((1, d))
    block = cp.bmat([[moment, u, z], [u.T, one, zero], [z.T, zero.T, np.eye(d)]])
    value = linear @ p + np.trace(cov) - 2 * cp.trace(z) + cp.sum(cp.multiply(w.cost[:, sinks], plan))
    if w.tau > 0:
        value += w.tau * cp.sum(cp.kl_div(p, np.full(n, 1 / n) if w.prior is None else w.prior))
    constraints = [cp.sum(plan, axis=1) == p, cp.sum(plan, axis=0) == q[sinks], (block + block.T) / 2 >> 0]
    problem = cp.Problem(cp.Minimize(value), constraints)
    problem.solve(solver="CLARABEL")
    return problem.value


def clarabel_all(w):
    return clarabel(w, "all")


def clarabel_until_it_stops(w):
    """The problem as it is written down where Clarabel ends with an error: there is no answer, only the time."""
    import cvxpy as cp

    try:
        clarabel(w, "all")
    except cp.SolverError:
        return
    raise AssertionError("Clarabel solved a problem on which it was expected to stop without a solution")


def with_prior(w):
    w.prior = fd.BinnedDistribution.uniform(w.q.bins).pmf
    return w


def one_transport(w):
    import ot

    return ot.emd2(w.p / w.p.sum(), w.q.pmf, w.cost, numItermax=10_000_000)


def check_certified(w, answers):
    """Ours is certified; Clarabel's value agrees with it (one transport solve answers another question)."""
    result = answers[OURS]
    assert result.converged, result
    for name, answer in answers.items():
        if name.startswith("Clarabel") and answer is not None:  # None: it stopped without a solution
            assert abs(answer - result.objective) < 1e-4 * max(1, abs(result.objective)), (answer, result)


def from_samples(kind):
    return "dense" if kind == "dense" else f"from {kind:,} samples"


CLARABEL = ["cvxpy", "clarabel"]
CASES = [  # as it is written down, with sinks of no mass, Clarabel fails on 300 centroids; dense q has no such sinks
    Case(
        f"craft, {n} centroids, q {from_samples(kind)}, τ = 0.1",
        lambda n=n, kind=kind: with_prior(centroids(n, kind, 0.1)),
        ours,
        [Rival("Clarabel through cvxpy, without the sinks of no mass", clarabel, wanted, CLARABEL)]
        + [Rival("Clarabel through cvxpy", clarabel_all, None, CLARABEL)] * (n == 100)
        + [Rival("Clarabel through cvxpy: stops without a solution", clarabel_until_it_stops, None, CLARABEL)]
        * (n == 300 and kind != "dense"),
        check_certified,
        slow=n > 100,
        rounds=5,
    )
    for n, wanted in ((100, 10), (300, 100))
    for kind in (24, 2_000, "dense")
]
CASES += [
    Case(
        f"craft, {n:,} centroids, q {from_samples(kind)}, τ = 0.1",
        lambda n=n, kind=kind: centroids(n, kind, 0.1),
        ours,
        [Rival("one POT emd2 of that size", one_transport, 0.25, ["ot"])],
        check_certified,
        slow=True,
        rounds=5,
    )
    for n in (1_000, 3_000)
    for kind in (24, 2_000, "dense")
]
CASES += [
    Case("craft, 75 bins, q from 24 samples, τ = 0.1", lambda: grid("paper", 24, 0.1), ours, check=check_certified)
]
CASES += [
    Case(
        f"craft, 17,850 bins, q {from_samples(kind)}, τ = {tau:g}",
        lambda kind=kind, tau=tau: grid("dense", kind, tau),
        ours,
        check=check_certified,
        slow=True,
    )
    for kind in (24, 2_000, "dense")
    for tau in (1.0, 0.1, 0.01, 0.001, 0.0)
]
CASES += [
    Case(
        f"craft, 17,850 bins, q {from_samples(2_000)}, τ = 0.1, upper = {upper:g}, which {does}",
        lambda upper=upper: with_upper(grid("dense", 2_000, 0.1), upper),
        bounded,
        check=check_certified,
        slow=True,
    )
    for upper, does in ((0.05, "does not bind"), (0.001, "binds"))
]
CASES += [
    Case(
        f"craft without transport, {name} bins, τ = {tau:g}, gap 10⁻⁹",
        lambda preset=preset, tau=tau: grid(preset, 2_000, tau, weight=0.0, tol=1e-9),
        ours,
        check=check_certified,
        slow=preset == "large",
        rounds=15 if preset == "dense" else 3,
    )
    for preset, name in (("dense", "17,850"), ("large", "1,178,100"))
    for tau in (1.0, 0.1, 0.01, 0.001)
]
CASES += [  # all kinds and taus, with iterations and the peak of memory: python -m bench.crafting_large
    Case(
        f"craft, 1,178,100 bins, q {from_samples(kind)}, τ = 0.1, gap {gap}",
        lambda kind=kind, tol=tol: grid("large", kind, 0.1, tol=tol),
        ours,
        check=check_certified,
        slow=True,
        seconds=1.0,
        rounds=1,
    )
    for kind, tol, gap in ((24, 1e-4, "10⁻⁴"), (24, 1e-6, "10⁻⁶"), (2_000, 1e-4, "10⁻⁴"), ("dense", 1e-4, "10⁻⁴"))
]


def automatic(w):
    w.tau = "auto"
    return ours(w)


def with_tau(w):
    w.found = automatic(w).generalization
    return w


def at_the_tau_found(w):
    w.tau = w.found
    return ours(w)


def check_search(w, answers):
    """Both are certified, and the search finds the same tau again."""
    assert all(result.converged for result in answers.values()), answers
    assert answers[OURS].generalization == w.found


SHAPES = [
    ("75 bins", lambda kind: grid("paper", kind, None), (24, 2_000, "dense")),
    *(
        (f"{n:,} centroids", lambda kind, n=n: centroids(n, kind, 0.1), (24, 2_000, "dense"))
        for n in (100, 300, 1_000, 3_000)
    ),
    ("17,850 bins", lambda kind: grid("dense", kind, None), (24, 2_000, "dense")),
    ("1,178,100 bins", lambda kind: grid("large", kind, None), (24,)),
]
CASES += [  # what `craft` does without a number: a search for tau, of up to ten times a solve
    Case(
        f"craft, {name}, q {from_samples(kind)}, automatic generalization",
        lambda make=make, kind=kind: with_tau(make(kind)),
        automatic,
        [Rival("one solve at the τ found", at_the_tau_found, 1 / 10)],
        check_search,
        slow=name != "75 bins",
        rounds=1 if name.startswith("1,178") else 5,
    )
    for name, make, kinds in SHAPES
    for kind in kinds
]


def path(w):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return fd.tradeoff_path(w.q, tol=w.tol)


def with_points(w):
    w.taus = path(w).generalizations
    return w


def one_cold(w):
    w.tau = 0.1
    return ours(w)


def one_by_one(w):
    for tau in w.taus:
        w.tau = float(tau)
        ours(w)


def check_path(w, answers):
    assert len(answers[OURS].results) == 20
    assert all(result.converged for result in answers[OURS].results)


CASES += [
    Case(
        f"trade-off path of 20 points, 17,850 bins, q {from_samples(kind)}",
        lambda kind=kind: with_points(grid("dense", kind, 0.1)),
        path,
        [Rival("one cold solve, τ = 0.1", one_cold, 1 / 6), Rival("its points one by one, cold", one_by_one, 20 / 6)],
        check_path,
        slow=True,
        seconds=30.0,
        rounds=3,
    )
    for kind in (24, 2_000, "dense")
]

PAPER = (
    "import fastdeg as fd; b = fd.GridBins(fd.DegradationSpace.preset('paper')); "
    "q = fd.BinnedDistribution.from_samples(b, [[1, 20, 80], [2, 22, 78], [1, 31, 80]]); "
)
FIRST_CALLS = [
    FirstCall("craft, 75 bins", PAPER + "fd.craft(q, generalization=0.1)"),
    FirstCall("craft, 75 bins, automatic generalization", PAPER + "fd.craft(q)"),
    FirstCall("tradeoff_path, 75 bins", PAPER + "fd.tradeoff_path(q)"),
]
