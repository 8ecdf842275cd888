"""What holds for all inputs: answers against plain oracles, on examples that hypothesis makes up and shrinks.

Numbers are drawn so that ties, duplicates, zero masses, singular covariances and large offsets come up all the time.
"""

import bisect

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from naive_measure import farthest_points, frechet, frechet_from_factors, label_moments, moments, nearest_center
from naive_transport import emd_1d
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import sqrtm
from scipy.optimize import linprog
from scipy.spatial.distance import cdist

import fastdeg as fd

FEW, MANY = 12, 10_000
METRICS = ("euclidean", "sqeuclidean", "cityblock", "chebyshev")
whole = st.integers(-3, 3).map(float)  # of which many are alike
real = st.floats(-1e3, 1e3, allow_subnormal=False)
numbers = st.one_of(whole, real)


def arrays(elements, *shape):
    """Arrays of a shape."""
    size = int(np.prod(shape))
    return st.lists(elements, min_size=size, max_size=size).map(lambda x: np.array(x, np.float64).reshape(shape))


@st.composite
def points(draw, n, d):
    """Points, on a lattice or anywhere, perhaps far from the origin."""
    x = draw(arrays(draw(st.sampled_from((whole, numbers))), n, d))
    return x + draw(st.sampled_from((0.0, 0.0, 1e6)))


@st.composite
def masses(draw, n):
    """Masses of sum one; some of them may be 0."""
    counts = np.array(draw(st.lists(st.integers(0, 5), min_size=n, max_size=n)), np.float64)
    counts[draw(st.integers(0, n - 1))] += 1
    return counts / counts.sum()


def linear_program(a, b, cost):
    """Least cost of a plan over the pairs that cost something finite; None where there is none."""
    rows, columns = np.nonzero(np.isfinite(cost))
    if not rows.size:
        return None
    balance = np.zeros((len(a) + len(b), rows.size))
    balance[rows, np.arange(rows.size)] = 1
    balance[len(a) + columns, np.arange(rows.size)] = 1
    result = linprog(cost[rows, columns], A_eq=balance, b_eq=np.concatenate([a, b]), method="highs")
    return result.fun if result.status == 0 else None


def proved(result, a, b, cost):
    """Plan and potentials prove the value, and HiGHS has the same one."""
    u, v = (part.reshape(-1) for part in result.potentials)
    plan, scale = result.plan.toarray(), max(1.0, np.abs(cost[np.isfinite(cost)]).max(initial=0.0))
    assert plan.min() >= 0
    assert_allclose(plan.sum(1), a, atol=1e-12)
    assert_allclose(plan.sum(0), b, atol=1e-12)
    assert (cost - u[:, None] - v >= -1e-12 * scale).all()
    assert_allclose(u @ a + v @ b, result.value, atol=1e-11 * scale)
    assert_allclose(result.value, linear_program(a, b, cost), rtol=1e-7, atol=1e-7 * scale)


def bins_of_a_grid(data):
    steps = data.draw(st.lists(st.floats(0.01, 10), min_size=1, max_size=6))
    edges = data.draw(whole) + np.concatenate(([0.0], np.cumsum(steps)))
    levels = np.unique(data.draw(st.lists(numbers, min_size=1, max_size=5)))
    space = fd.DegradationSpace([fd.Axis.edges("a", edges), fd.Axis.levels("b", levels)])
    along = [st.one_of(st.sampled_from(list(edges)), st.floats(edges[0], edges[-1])), st.sampled_from(list(levels))]
    samples = np.array(data.draw(st.lists(st.tuples(*along), min_size=1, max_size=20)))
    cells = [min(bisect.bisect_right(edges, x) - 1, len(edges) - 2) for x in samples[:, 0]]
    expected = np.array(cells) * len(levels) + np.searchsorted(levels, samples[:, 1])
    bins = fd.GridBins(space)
    assert_array_equal(bins.assign(samples), expected)
    assert_array_equal(bins.histogram(samples), np.bincount(expected, minlength=bins.n_bins))
    beyond = samples + np.array([0, 1e4])
    assert (bins.assign(beyond, outside="drop") == -1).all()
    assert_array_equal(bins.assign(beyond, outside="clip") % len(levels), len(levels) - 1)


def nearest_centres(data):
    n, d, n_centers = data.draw(st.integers(1, 20)), data.draw(st.integers(1, 9)), data.draw(st.integers(1, 12))
    offset = data.draw(st.sampled_from((0.0, 1e6)))
    x, centers = data.draw(arrays(numbers, n, d)) + offset, data.draw(arrays(numbers, n_centers, d)) + offset
    assert_array_equal(fd.CentroidBins(centers).assign(x), nearest_center(x, centers))


def moments_of_samples(data):
    n, d = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 6))
    x = data.draw(points(n, d))
    weights = data.draw(st.one_of(st.none(), masses(n)))
    mean, cov = fd.weighted_moments(x, weights)
    expected = moments(x, weights)
    size, spread = np.abs(x).max(), np.ptp(x, axis=0).max()
    atol = 1e-13 * spread**2 + 4 * (1e-16 * size) ** 2
    assert_allclose(mean, expected[0].astype(float), rtol=4e-16, atol=4e-16 * size)
    assert_allclose(cov, expected[1].astype(float), atol=atol)
    assert np.linalg.eigvalsh(cov).min() >= -1e-14 * spread**2
    labels = np.array(data.draw(st.lists(st.integers(0, 4), min_size=n, max_size=n)))
    mean, cov = fd.weighted_moments(x, weights, labels=labels, n_bins=5)
    expected = label_moments(x, labels, 5, weights)
    assert_allclose(mean, expected[0], rtol=1e-15, atol=1e-15 * size)
    assert_allclose(cov, expected[1], atol=atol)
    assert (np.diagonal(cov, axis1=1, axis2=2) >= 0).all()


def chunks_as_the_whole(data):
    n = data.draw(st.integers(2, 30))
    x = np.abs(data.draw(arrays(numbers, n, 2))) % 50
    cut = data.draw(st.integers(1, n - 1))
    bins = fd.GridBins(fd.DegradationSpace([fd.Axis.regular(name, 0, 50, 4) for name in "ab"]))
    parts = [fd.Accumulator(bins).update(part) for part in (x[:cut], x[cut:])]
    merged, all_at_once = parts[0].merge(parts[1]), fd.Accumulator(bins).update(x)
    assert merged.distribution() == all_at_once.distribution()
    for part, whole_part in zip(merged.moments(), all_at_once.moments(), strict=True):
        assert_allclose(part, whole_part, rtol=1e-12, atol=1e-11)


def distance_on_the_line(data):
    n, m = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 9))
    x, y = data.draw(arrays(numbers, n)), data.draw(arrays(numbers, m))
    p = data.draw(st.sampled_from((1, 2, 3.5)))
    a, b = (data.draw(masses(k)) for k in (n, m))
    scale = max(1.0, np.abs(x[:, None] - y).max()) ** p
    assert_allclose(fd.emd_1d(x, y, p=p), emd_1d(x, y, np.ones(n), np.ones(m), p), atol=1e-13 * scale)
    value = fd.emd_1d(x, y, a, b, p=p)
    assert_allclose(value, emd_1d(x, y, a, b, p), atol=1e-13 * scale)
    assert_allclose(value, linear_program(a, b, np.abs(x[:, None] - y) ** p), rtol=1e-7, atol=1e-7 * scale)


def transport_between_points(data):
    n, m, d = data.draw(st.integers(1, 7)), data.draw(st.integers(1, 7)), data.draw(st.integers(1, 3))
    elements = data.draw(st.sampled_from((whole, numbers)))
    x, y = data.draw(arrays(elements, n, d)), data.draw(arrays(elements, m, d))
    a, b, metric = data.draw(masses(n)), data.draw(masses(m)), data.draw(st.sampled_from(METRICS))
    cost = cdist(x, y, metric)
    result = fd.emd(a, b, x, y, metric=metric)
    proved(result, a, b, cost)
    assert_allclose(fd.emd(a, b, cost=cost).value, result.value, rtol=1e-12, atol=1e-12 * max(1, cost.max()))


def transport_with_forbidden_pairs(data):
    n, m = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 6))
    cost = data.draw(arrays(st.one_of(st.just(np.inf), st.integers(0, 4).map(float), st.floats(0, 9)), n, m))
    a, b = data.draw(masses(n)), data.draw(masses(m))
    if linear_program(a, b, cost) is None:
        with pytest.raises(ValueError, match="cost: "):
            fd.emd(a, b, cost=cost)
    else:
        proved(fd.emd(a, b, cost=cost), a, b, cost)


def transport_on_a_grid(data):
    shape = tuple(data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=3)))
    size, metric = int(np.prod(shape)), data.draw(st.sampled_from(METRICS))
    a, b = data.draw(masses(size)), data.draw(masses(size))
    along = [np.cumsum(data.draw(arrays(st.sampled_from((0.5, 1.0, 3.0)), k))) for k in shape]
    x = np.stack([g.ravel() for g in np.meshgrid(*along, indexing="ij")], axis=1)
    result = fd.emd_grid(a.reshape(shape), b.reshape(shape), spacing=along, metric=metric)
    proved(result, a, b, cdist(x, x, metric))


def transport_of_many_pairs(data):
    n, k, m = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3))
    p, q = np.array([data.draw(masses(n)) for _ in range(k)]), np.array([data.draw(masses(n)) for _ in range(m)])
    x, metric = data.draw(arrays(numbers, n, 2)), data.draw(st.sampled_from(METRICS))
    cost = cdist(x, x, metric)
    expected = [[linear_program(a, b, cost) for b in q] for a in p]
    assert_allclose(fd.emd_many(p, q, x, metric=metric), expected, rtol=1e-7, atol=1e-7 * max(1, cost.max()))


def entropic_transport(data):
    n, m = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 6))
    a, b = data.draw(masses(n)), data.draw(masses(m))
    cost = data.draw(arrays(st.floats(0, 4), n, m))
    result = fd.sinkhorn(a, b, cost=cost, reg=1.0, tol=1e-8)
    assert result.converged
    assert_allclose(result.plan.sum(1), a, atol=1e-7)
    assert_allclose(result.plan.sum(0), b, atol=1e-7)
    assert result.value >= linear_program(a, b, cost) - 1e-6


def frechet_distances(data):
    d = data.draw(st.integers(1, 6))
    factors = [data.draw(arrays(whole, d, data.draw(st.integers(1, d + 1)))) for _ in range(2)]
    means = [data.draw(arrays(numbers, d)) for _ in range(2)]
    covs = [f @ f.T for f in factors]
    scale = max(1.0, sum(np.trace(c) for c in covs))
    value = fd.frechet_distance(means[0], covs[0], means[1], covs[1])
    expected = frechet_from_factors(means[0], factors[0], means[1], factors[1])
    assert value >= 0
    assert_allclose(value, expected, rtol=1e-12, atol=1e-7 * scale)
    regular = [c + np.eye(d) for c in covs]
    value = fd.frechet_distance(means[0], regular[0], means[1], regular[1])
    root = np.real(np.trace(sqrtm(regular[0] @ regular[1])))
    offset = ((means[0] - means[1]) ** 2).sum()
    assert_allclose(value, offset + sum(np.trace(c) for c in regular) - 2 * root, rtol=1e-9, atol=1e-8 * scale)
    assert_allclose(value, frechet(means[0], regular[0], means[1], regular[1]), rtol=1e-9, atol=1e-9 * scale)


def farthest_first(data):
    n, d = data.draw(st.integers(1, 30)), data.draw(st.sampled_from((1, 2, 3, 9, 12)))
    x = data.draw(arrays(data.draw(st.sampled_from((whole, real))), n, d))
    k, start = data.draw(st.integers(0, n)), data.draw(st.integers(0, n - 1))
    assert_array_equal(fd.farthest_points(x, k, start=start), farthest_points(x, k, start))


PROPERTIES = (
    bins_of_a_grid, nearest_centres, moments_of_samples, chunks_as_the_whole, distance_on_the_line,
    transport_between_points, transport_with_forbidden_pairs, transport_on_a_grid, transport_of_many_pairs,
    entropic_transport, frechet_distances, farthest_first,
)  # fmt: skip


def holds(claim, examples):
    """Try a property on so many examples, the same ones each time."""
    quiet = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]
    options = settings(max_examples=examples, deadline=None, derandomize=True, suppress_health_check=quiet)
    options(given(st.data())(claim))()


@pytest.mark.parametrize("claim", PROPERTIES)
def test_it_holds(claim):
    holds(claim, FEW)


@pytest.mark.slow
@pytest.mark.parametrize("claim", PROPERTIES)
def test_it_holds_on_many_examples(claim):
    holds(claim, MANY)
