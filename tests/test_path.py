"""Trade-off paths: their endpoints, their points and the mixtures beside them."""

import numpy as np
import pytest
from problems_craft import two_blobs

import fastdeg as fd
from fastdeg.crafting import strategy
from fastdeg.crafting.path.curve import Mixtures


@pytest.fixture
def target():
    """On a grid that is solved by flows."""
    axes = [fd.Axis.regular(name, 0, 1, n) for name, n in (("a", 8), ("b", 9), ("c", 10))]
    with strategy.using(plan_arcs=0):
        yield fd.BinnedDistribution.from_samples(fd.GridBins(fd.DegradationSpace(axes)), two_blobs(500))


def test_the_path_is_the_same_on_one_thread_and_on_more(target):
    paths = [fd.tradeoff_path(target, threads=threads) for threads in (1, 2, 3, 7)]
    assert all(result.converged for result in paths[0].results)
    for path in paths[1:]:
        assert path.generalizations.tobytes() == paths[0].generalizations.tobytes()
        for result, first in zip(path.results, paths[0].results, strict=True):
            assert result.distribution.pmf.tobytes() == first.distribution.pmf.tobytes()
            assert result.lower_bound == first.lower_bound


@pytest.mark.filterwarnings("ignore:the crafted distribution is all but:UserWarning")
def test_points_of_a_path_are_those_of_cold_solves(target):
    taus = np.geomspace(0.01, 1, 7)
    path = fd.tradeoff_path(target, taus)
    for tau, result in zip(taus, path.results, strict=True):
        cold = fd.craft(target, generalization=float(tau))
        assert abs(result.objective - cold.objective) < 2e-6
        assert result.n_iter == 1 or (tau == taus[-1] and result.n_iter == cold.n_iter)


@pytest.mark.parametrize("kind", [24, 500, "dense"])
@pytest.mark.parametrize("broad", ["uniform", "uneven"])
def test_the_ends_are_at_one_per_cent(target, kind, broad):
    rng, bins = np.random.default_rng(0), target.bins
    q = fd.BinnedDistribution.from_samples(bins, two_blobs(kind if isinstance(kind, int) else 2_000))
    if kind == "dense":
        q = fd.BinnedDistribution(bins, 0.8 * q.pmf + 0.2 * rng.dirichlet(np.ones(bins.n_bins)))
    prior = fd.BinnedDistribution(bins, rng.dirichlet(np.ones(bins.n_bins))) if broad == "uneven" else None
    path = fd.tradeoff_path(q, prior=prior)
    prior = fd.BinnedDistribution.uniform(bins) if prior is None else prior
    first, last = (path.results[k].distribution.pmf for k in (0, -1))
    assert abs(np.log(np.abs(first - q.pmf).sum() / 2 / 0.01)) < np.log(1.25)
    assert abs(np.log(np.abs(last - prior.pmf).sum() / 2 / 0.01)) < np.log(1.25)


def test_an_interrupt_of_a_path_is_raised(target):
    def interrupt(done, message):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fd.tradeoff_path(target, np.geomspace(0.01, 1, 7), progress=interrupt)


def test_progress_tells_of_all_points(target):
    seen = []
    fd.tradeoff_path(target, np.geomspace(0.01, 1, 7), progress=lambda done, message: seen.append(done))
    assert seen == sorted(seen)
    assert seen[-1] == 1


@pytest.mark.parametrize("sparse", [0.0, 0.5, 0.99])
@pytest.mark.parametrize("share", [1e-14, 1e-6, 0.01, 0.5, 0.99, 1 - 1e-9])
@pytest.mark.parametrize("start", [0.0, 0.3, 1 - 1e-12, 1.0])
def test_a_mixture_is_found_for_any_divergence_from_any_guess(sparse, share, start):
    rng = np.random.default_rng(3)
    q, prior = rng.dirichlet(np.ones(400)) * (rng.random(400) >= sparse), rng.dirichlet(np.ones(400))
    q /= q.sum()
    wanted = share * float(q[q > 0] @ np.log(q[q > 0] / prior[q > 0]))
    weight, reached = Mixtures(q, prior).matching(wanted, start)
    assert reached == pytest.approx(wanted, rel=1e-11, abs=1e-15)
    mixed = (1 - weight) * q + weight * prior
    assert mixed @ np.log(mixed / prior) == pytest.approx(wanted, rel=1e-9, abs=1e-14)


def test_the_ends_of_the_mixtures():
    q, prior = np.array([0.7, 0.3, 0.0]), np.array([0.2, 0.2, 0.6])
    mixtures = Mixtures(q, prior)
    assert mixtures.matching(0.0, 0.5) == (1.0, 0.0)
    assert mixtures.matching(9.0, 0.5) == (0.0, mixtures.largest_kl)
    assert Mixtures(q, np.array([0.0, 0.5, 0.5])).matching(1.0, 0.5)[0] == 1.0


@pytest.mark.parametrize("bins", ["one bin", "centroids", "grid"])
def test_a_path_that_goes_nowhere_asks_for_numbers(bins):
    bins = {
        "one bin": fd.CentroidBins([[0.0]]),
        "centroids": fd.CentroidBins(np.random.default_rng(0).random((6, 2))),
        "grid": fd.GridBins(fd.DegradationSpace([fd.Axis.regular("a", 0, 1, 8)])),
    }[bins]
    q = fd.BinnedDistribution.uniform(bins)
    with pytest.raises(ValueError, match="generalizations: expected numbers, since a path has no ends"):
        fd.tradeoff_path(q)
    assert len(fd.tradeoff_path(q, [0.1, 1.0]).results) == 2
