"""The generalization that the evidence allows: its radius, the search for its tau, limits, progress and interrupts."""

import warnings

import numpy as np
import pytest
from problems_craft import craft, two_blobs

import fastdeg as fd
from fastdeg.crafting.path.auto_tau import evidence_radius
from fastdeg.crafting.problem.arguments import build


def paper_target(n=24):
    bins = fd.GridBins(fd.DegradationSpace.preset("paper"))
    return fd.BinnedDistribution.from_samples(bins, bins.space.unstandardize(two_blobs(n)))


def radius_of(q, wasserstein_weight=1.0, frechet_weight=1.0, metric=None, cost=None):
    weights = wasserstein_weight, frechet_weight
    return evidence_radius(build(q, None, None, None, *weights, None, None, metric, cost))


def distances_of_resamples(q, wasserstein_weight, frechet_weight, metric, count):
    """One by one, by the public distances; other resamples than those of the rule."""
    options = {"wasserstein_weight": wasserstein_weight, "frechet_weight": frechet_weight, "metric": metric}
    resamples = np.random.default_rng(5).multinomial(q.n_samples, q.pmf, size=count) / q.n_samples
    distances = [fd.degradation_distance(fd.BinnedDistribution(q.bins, p), q, **options) for p in resamples]
    return np.array(distances)


@pytest.mark.parametrize("samples", [24, 300])
@pytest.mark.parametrize("weights", [(1.0, 1.0), (0.5, 0.0), (0.0, 2.0)])
@pytest.mark.parametrize("metric", ["cityblock", "sqeuclidean"])
def test_the_evidence_radius_is_a_quantile_of_distances_of_resamples(samples, weights, metric):
    q = paper_target(samples)
    distances = distances_of_resamples(q, *weights, metric, 400)
    # a 90 % quantile has about 1.7 times the standard error of the mean, here of 200 and of 400 resamples
    error = 1.7 * distances.std() * np.sqrt(1 / 200 + 1 / 400)
    assert radius_of(q, *weights, metric) == pytest.approx(np.quantile(distances, 0.9), abs=4 * error)


def test_a_given_cost_matrix_is_that_of_its_metric():
    q = paper_target()
    centers = q.bins.standardized_centers()
    cost = np.abs(centers[:, None] - centers).sum(axis=2)
    assert radius_of(q, cost=cost) == pytest.approx(radius_of(q, metric="cityblock"), rel=1e-9)


def test_evidence_of_many_bins_has_a_radius_too():
    """Mass in all of 4,000 bins: the transport from a resample is a flow on the whole grid, and found once."""
    bins = fd.GridBins(fd.DegradationSpace([fd.Axis.regular(f"axis_{k}", 0, 1, n) for k, n in enumerate((20, 20, 10))]))
    rng = np.random.default_rng(0)
    q = fd.BinnedDistribution(bins, rng.dirichlet(np.ones(bins.n_bins)), n_samples=2000)
    distances = distances_of_resamples(q, 1.0, 1.0, "cityblock", 10)
    assert radius_of(q) == pytest.approx(distances.mean() + 1.3 * distances.std(), rel=0.15)


def test_auto_generalization_reaches_the_evidence_radius():
    q = paper_target()
    result = fd.craft(q)
    assert result.converged
    assert 0.01 < result.generalization < 10
    wider = fd.craft(q, generalization=2 * result.generalization)
    assert wider.terms["frechet"] + wider.terms["wasserstein"] > result.terms["frechet"] + result.terms["wasserstein"]


@pytest.mark.parametrize("samples", [24, 300, None])
def test_auto_generalization_is_the_largest_that_the_evidence_allows(samples):
    q = paper_target(samples or 24)
    if samples is None:  # then KL(p || prior) is to be 70 % of KL(q || prior)
        q = fd.BinnedDistribution(q.bins, q.pmf)
    radius = evidence_radius(build(q, None, None, None, 1.0, 1.0, None, None, None, None))
    largest = fd.craft(q).generalization
    kl_of_q = q.pmf[q.pmf > 0] @ np.log(q.pmf[q.pmf > 0] * q.n_bins)

    def within(tau):
        terms = fd.craft(q, generalization=tau).terms
        return terms["kl"] >= 0.7 * kl_of_q if samples is None else terms["frechet"] + terms["wasserstein"] <= radius

    assert within(0.999 * largest)
    assert not within(1.002 * largest)


def test_a_tau_that_was_found_is_not_warned_of():
    q = fd.BinnedDistribution(paper_target().bins, paper_target().pmf, n_samples=10**9)  # such evidence allows nothing
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = fd.craft(q)
    assert result.converged
    with pytest.warns(UserWarning, match="all but the target"):
        fd.craft(q, generalization=result.generalization)


def test_progress_rises_through_the_search():
    seen = []
    result = craft(target=paper_target(), progress=lambda done, message: seen.append((done, message)))
    assert result.converged
    assert (np.diff([done for done, _ in seen]) >= 0).all()
    assert seen[0][1] == "200 resamples of the target"
    assert "transport from resample 20 to the target" in [message for _, message in seen]
    assert sum(message.startswith("tau ") for _, message in seen) >= 4
    assert seen[-1][0] == 1.0


@pytest.mark.parametrize("at", ["200 resamples", "transport from resample 3", "tau "])
def test_an_interrupt_of_the_search_has_a_result(at):
    def interrupt(done, message):
        if message.startswith(at):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        craft(target=paper_target(), progress=interrupt)
    result = caught.value.result
    assert not result.converged
    assert result.generalization > 0
    assert 0 <= result.lower_bound <= result.objective < np.inf
    assert result.distribution.pmf.sum() == pytest.approx(1)


def test_a_time_limit_that_is_over_leaves_one_transport_and_one_certificate():
    seen = []
    result = craft(target=paper_target(), time_limit=1e-9, progress=lambda done, message: seen.append(message))
    assert not result.converged
    assert 0 <= result.lower_bound <= result.objective < np.inf
    assert sum(message.startswith("transport") for message in seen) == 1
    assert len({message.split(":")[0] for message in seen if message.startswith("tau ")}) == 1
