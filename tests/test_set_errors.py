"""The error that all photographs of a set share, and who has a say in what is said of the set."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from problems_images import photographs, portrait

import fastdeg as fd
from fastdeg.images.inference import uncertainty
from fastdeg.images.inference.bin_nodes import bin_nodes
from fastdeg.images.inference.likelihood import Likelihood
from fastdeg.images.inference.set_errors import LEAST_IMAGES, common_deviations, possible_errors

BINS = fd.GridBins(fd.DegradationSpace([fd.Axis.regular("noise_sigma", 0, 50, 5)]))
OFF = 0.1  # standard deviation of what the photographs of one kind are read off together
OWN = 0.03  # the same of one patch


def patches(n_kinds, rng, n_images=6, n_each=40, low=0.0, high=1.0):
    """Components of patches: one number reads z, off by an error of the kind of photograph; others show the kind."""
    images = np.repeat(np.arange(n_kinds * n_images), n_each)
    kinds = images // n_images
    z = rng.uniform(low, high, (len(images), 1))
    read = z + OFF * rng.standard_normal((n_kinds, 1))[kinds] + OWN * rng.standard_normal(z.shape)
    looks = 3 * rng.standard_normal((n_kinds, 5))[kinds] + 0.1 * rng.standard_normal((len(images), 5))
    return np.hstack([10 * (read - 0.5), looks]), z, images


@pytest.fixture(scope="module")
def likelihood():
    """Of readings in which the kinds were known, as they are where folds leave out single photographs."""
    rng = np.random.default_rng(1)
    a, z, images = patches(8, rng)
    s = z + 2 * OWN * rng.standard_normal(z.shape)
    fitted = Likelihood.fit(s, z, images)
    return replace(fitted, common=common_deviations(a, z, z, images, fitted, rng, 1))


def test_the_error_is_found_where_kinds_are_left_out_and_not_where_there_is_none(likelihood):
    found = likelihood.common * likelihood.deviation(np.array([[0.5]]))
    assert found[0, 0] == pytest.approx(OFF, rel=0.5)
    rng = np.random.default_rng(2)
    a, z, images = patches(8, rng)
    a = np.hstack([10 * z - 5 + 0.3 * rng.standard_normal(z.shape), rng.standard_normal((len(a), 5))])  # all are alike
    assert common_deviations(a, z, z, images, likelihood, rng, 1)[0] < likelihood.common[0] / 4
    few = images < LEAST_IMAGES - 1
    assert common_deviations(a[few], z[few], z[few], images[few], likelihood, rng, 1) is None
    assert 0 < likelihood.shared_errors_at(np.array([[0.5]]), 4, z[:500])[0, 0] < 2 * OFF


def test_intervals_hold_the_truth_of_sets_that_are_read_off_only_with_the_error_that_they_share(likelihood):
    nodes, rng = bin_nodes(BINS, likelihood), np.random.default_rng(3)

    def log_likelihood(s, error):
        counts = np.full(len(s), 10)
        return nodes.average(likelihood.log_density(s, nodes.points, counts, nodes.cells, error))

    held = []
    for errors in (possible_errors(1), np.zeros((1, 1))):
        cases = []
        for seed in range(24):
            rng = np.random.default_rng(seed)
            low = rng.uniform(0.1, 0.6)
            z = rng.uniform(low, low + 0.3, (24, 1))
            s = likelihood.mean(z) + OFF * rng.standard_normal() + OWN * rng.standard_normal(z.shape)
            functions = [partial(log_likelihood, s, error) for error in errors]
            (found,) = uncertainty.bootstrap(functions, BINS.volumes, BINS, BINS.volumes, 80, 0.9, rng).marginals
            edges = np.linspace(0, 1, 6)
            truth = np.maximum(np.minimum(edges[1:], low + 0.3) - np.maximum(edges[:-1], low), 0) / 0.3
            cases.append(((truth >= found.low - 1e-9) & (truth <= found.high + 1e-9)).mean())
        held.append(np.mean(cases))
    assert held[0] >= 0.85
    assert held[1] < 0.8


def test_fits_on_enough_photographs_tell_it_and_widen_the_intervals(tmp_path):
    rng = np.random.default_rng(0)
    clean = [
        photo[top : top + 200, left : left + 200]
        for photo in (*photographs(), portrait()[:427, :512])
        for top, left in rng.integers([228, 313], size=(6, 2))
    ]
    estimator = fd.DegradationEstimator(BINS, downsampling=2, n_samples=600, patch_size=48).fit(clean)
    noisy = [fd.degrade(x, downsampling=2, noise_sigma=18 + k, rng=k) for k, x in enumerate(clean[::3])]
    assert "together" in estimator.identifiability().notes[-1]
    intervals = estimator.bootstrap(noisy, 40)
    estimator.save(tmp_path / "estimator.npz")
    loaded = fd.DegradationEstimator.load(tmp_path / "estimator.npz")
    np.testing.assert_array_equal(loaded.bootstrap(noisy, 40).weights, intervals.weights)
    np.testing.assert_array_equal(loaded.bootstrap(noisy, 20).weights, intervals.weights[:20])
    summarizer = loaded.model_.summarizer
    unknown = replace(summarizer, likelihood=replace(summarizer.likelihood, common=None))
    loaded.model_ = replace(loaded.model_, summarizer=unknown)
    without = loaded.bootstrap(noisy, 40)
    widths = [(x.marginals[0].high - x.marginals[0].low).sum() for x in (intervals, without)]
    assert widths[0] > 1.05 * widths[1]
    assert not any("together" in note for note in loaded.identifiability().notes)


def test_a_false_alarm_among_many_moves_nothing_and_what_is_strange_has_no_say():
    rng = np.random.default_rng(0)
    inside = rng.uniform(0, 1, (2_000, 24))
    moved = [not uncertainty.with_a_say(p, 0.01, keep_outside=False).all() for p in inside]
    assert np.mean(moved) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 2_000)
    assert ((inside <= 0.01).any(axis=1)).mean() > 0.15  # as often one of them is called outside by itself
    nine = np.append(0.0015, rng.uniform(0.1, 1, 8))  # as small as p-values get
    np.testing.assert_array_equal(uncertainty.with_a_say(nine, 0.01, keep_outside=False), nine > 0.01)
    strange = np.append(np.full(3, 0.0015), rng.uniform(0.1, 1, 17))
    kept = uncertainty.with_a_say(strange, 0.01, keep_outside=False)
    np.testing.assert_array_equal(kept, strange > 0.01)
    assert uncertainty.with_a_say(strange, 0.01, keep_outside=True).all()
    assert uncertainty.with_a_say(strange[:3], 0.01, keep_outside=False).all()  # better than nothing
    assert uncertainty.with_a_say(strange, 0.0, keep_outside=False).all()
