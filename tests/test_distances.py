"""The degradation distance against SciPy's costs solved as a linear program, and against what `craft` reports."""

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse
from scipy.spatial.distance import cdist

import fastdeg as fd

SPACE = fd.DegradationSpace([fd.Axis.regular("a", 0, 5, 4), fd.Axis.levels("b", [2, 3, 8]), fd.Axis.levels("c", [4])])
GRID = fd.GridBins(SPACE)
CENTROIDS = fd.CentroidBins(SPACE.points()[::2] + 0.1, space=SPACE)


def random_pair(bins, seed=0):
    rng = np.random.default_rng(seed)
    return [fd.BinnedDistribution(bins, rng.dirichlet(np.full(bins.n_bins, 0.3))) for _ in range(2)]


def transport_cost(a, b, costs):
    """By HiGHS."""
    n, m = costs.shape
    rows = scipy.sparse.kron(scipy.sparse.eye(n), np.ones(m))
    columns = scipy.sparse.kron(np.ones(n), scipy.sparse.eye(m))
    marginals = np.concatenate([a, b])
    return scipy.optimize.linprog(costs.ravel(), A_eq=scipy.sparse.vstack([rows, columns]), b_eq=marginals).fun


@pytest.mark.parametrize("metric", [None, "euclidean", "sqeuclidean", "cityblock", "chebyshev"])
@pytest.mark.parametrize(("bins", "default"), [(GRID, "cityblock"), (CENTROIDS, "euclidean")])
def test_transport_is_over_standardised_centres(bins, default, metric):
    p, q = random_pair(bins)
    z = bins.standardized_centers()
    expected = transport_cost(p.pmf, q.pmf, cdist(z, z, metric or default))
    value = fd.degradation_distance(p, q, frechet_weight=0, metric=metric)
    np.testing.assert_allclose(value, expected, rtol=1e-9)
    both = fd.degradation_distance(p, q, wasserstein_weight=2.0, metric=metric)
    scales = bins.scales()
    moments = [(mean / scales, cov / np.outer(scales, scales)) for mean, cov in (p.moments(), q.moments())]
    frechet = fd.degradation_distance(p, q, wasserstein_weight=0)
    np.testing.assert_allclose(frechet, fd.frechet_distance(*moments[0], *moments[1]), rtol=1e-9)
    np.testing.assert_allclose(both, frechet + 2 * expected, rtol=1e-9)


@pytest.mark.parametrize("bins", [GRID, CENTROIDS], ids=["grid", "centroids"])
def test_it_is_what_craft_minimises(bins):
    _, q = random_pair(bins, 1)
    result = fd.craft(q, generalization=0.2)
    distance = fd.degradation_distance(result.distribution, q)
    np.testing.assert_allclose(distance, result.terms["frechet"] + result.terms["wasserstein"], rtol=1e-6)


def test_other_metrics_are_refused():
    p, q = random_pair(GRID)
    with pytest.raises(ValueError, match="metric: expected one of 'euclidean'"):
        fd.degradation_distance(p, q, metric="manhattan")
