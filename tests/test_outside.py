"""The conformal test of what is outside, on numbers whose distribution is known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fastdeg.images.features import JPEG_EVIDENCE, N_FEATURES
from fastdeg.images.inference.conformal import SHARED_OF_FEW, OutsideTest, Trend, smallest_rank_p_values, whitened

MIXING = np.random.default_rng(5).standard_normal((9, 20))


def patches(n_groups, n_each, rng):
    """Features of patches, 20, made of one parameter, content (half of it the photograph's) and noise; and more."""
    groups = np.repeat(np.arange(n_groups), n_each)
    s = rng.uniform(0, 1, n_groups)[groups] if n_each < 10 else rng.uniform(0, 1, len(groups))
    content = 0.7 * (rng.standard_normal((n_groups, 6))[groups] + rng.standard_normal((len(groups), 6)))
    hidden = np.column_stack([np.sin(3 * s), s**2, s, content * (1 + s[:, None])])
    x = hidden @ MIXING + 0.1 * rng.standard_normal((len(groups), 20))
    return x.astype(np.float32), s[:, None], groups


@pytest.fixture(scope="module")
def fitted():
    rng = np.random.default_rng(0)
    x, s, groups = patches(80, 50, rng)
    return OutsideTest.fit(x, s, None, np.zeros(len(x)), np.ones(20), groups % 4, rng)


def p_values(test, x, s, groups, beyond=None):
    n = groups.max() + 1
    return test.p_values(x, s, None, np.zeros(n) if beyond is None else beyond, groups, n)[0]


@pytest.mark.parametrize("n_patches", [1, 6])
def test_the_level_holds_and_a_broken_relation_is_seen(fitted, n_patches):
    x, s, groups = patches(1_000, n_patches, np.random.default_rng(1))
    p = p_values(fitted, x, s, groups)
    for level in (0.01, 0.05, 0.2):
        assert (p <= level).mean() <= level + 3 * np.sqrt(level * (1 - level) / 1_000)
    # far less than features vary, in a direction in which they never do
    unseen = np.linalg.svd(MIXING)[2][-1].astype(np.float32)
    assert (np.abs(unseen) < 0.4 * x.std(axis=0)).all()
    assert (p_values(fitted, x + unseen, s, groups) <= 0.01).mean() > 0.9
    assert (p_values(fitted, x, s, groups, beyond=np.full(1_000, 3.0)) <= 0.01).all()


@pytest.mark.parametrize("n", [30, 120, 400])
def test_the_smallest_of_several_ranks_keeps_its_level_however_few_rows_it_is_compared_with(n):
    """Four measures, one of which seldom says anything: a row may be extreme in any of them."""
    rng = np.random.default_rng(n)
    p = []
    for _ in range(20_000 // n):
        rows = rng.standard_normal((n + 50, 4)).astype(np.float32)
        rows[rng.random(len(rows)) < 0.7, 3] = -np.inf
        p.append(smallest_rank_p_values(rows[:n], rows[n:])[0])
    p = np.concatenate(p)
    assert p.min() >= 1 / (n + 1)
    for level in (0.01, 0.05, 0.2):
        assert (p <= level).mean() <= level + 3 * np.sqrt(level * (1 - level) / 5_000)
    assert (p <= 0.2).mean() > 0.1
    row = rows[n:][:1]
    together = np.concatenate([row, rows[:n]])
    extreme = np.min([[(together[:, k] >= x[k]).sum() for k in range(4)] for x in together], axis=1)  # one by one
    assert smallest_rank_p_values(rows[:n], row)[0][0] == (extreme <= extreme[0]).mean()


@pytest.mark.parametrize("n", [60, 120, 400])
def test_the_level_holds_for_fits_on_few_patches(n):
    p = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        x, s, groups = patches(n, 1, rng)
        test = OutsideTest.fit(x, s, None, np.zeros(n), np.ones(20), groups % 4, rng)
        p.append(p_values(test, *patches(200, 1, rng)))
    for level in (0.01, 0.05, 0.2):
        assert np.mean(np.concatenate(p) <= level) <= level


def test_each_photograph_is_judged_alone(fitted):
    x, s, groups = patches(20, 3, np.random.default_rng(2))
    together = p_values(fitted, x, s, groups)
    alone = [p_values(fitted, x[groups == k], s[groups == k], np.zeros(3, np.int64))[0] for k in range(20)]
    np.testing.assert_array_equal(together, alone)


def test_few_clean_photographs_make_a_more_cautious_test(fitted):
    x, s, groups = patches(300, 6, np.random.default_rng(4))
    cautious = p_values(dataclasses.replace(fitted, shared=np.array(SHARED_OF_FEW)), x, s, groups)
    usual = p_values(fitted, x, s, groups)
    assert (cautious >= usual).all()
    assert (cautious > usual).mean() > 0.9


def test_a_comb_that_is_missing_is_outside_where_patches_seldom_lack_it():
    rng = np.random.default_rng(0)
    x, s, groups = patches(40, 50, rng)
    features = rng.standard_normal((len(x), N_FEATURES)).astype(np.float32)
    features[:, :20] = x
    features[:, JPEG_EVIDENCE] = np.exp(rng.normal(6, 1, len(x)))
    features[::200, JPEG_EVIDENCE] = 5
    missing = features[:, JPEG_EVIDENCE] < 12
    weights = np.zeros(N_FEATURES)
    weights[:20] = 1
    test = OutsideTest.fit(features, s, missing, np.zeros(len(x)), weights, groups % 4, rng)
    some = features[:400].copy()
    some[:200, JPEG_EVIDENCE] = 1
    lacks = some[:, JPEG_EVIDENCE] < 12
    p = test.p_values(some, s[:400], lacks, np.zeros(400), np.arange(400), 400)[0]
    assert p[:200].max() < 0.03
    assert (p[200:] <= 0.03).mean() < 0.1
    # evidence alone is nothing to go by where a comb shows
    some[~lacks, JPEG_EVIDENCE] = 13
    np.testing.assert_array_equal(test.p_values(some, s[:400], lacks, np.zeros(400), np.arange(400), 400)[0], p)


def test_a_trend_does_not_see_the_fold_that_it_judges():
    rng = np.random.default_rng(0)
    x, given = rng.standard_normal((600, 3)).astype(np.float32), rng.uniform(0, 1, (600, 2))
    trend, left = Trend.fit(x, given, np.arange(600) % 4, rng)
    assert (trend.scale > x.std(axis=0)).all()  # of noise, what is said of others' errors only adds to it
    assert (trend(x, given).std(axis=0) < left.std(axis=0)).all()
    x[:, 0] = np.cos(4 * given[:, 0]) + 0.01 * x[:, 0]
    assert Trend.fit(x, given, np.arange(600) % 4, rng)[0].scale[0] < 0.05


def test_whitening_does_not_see_the_fold_that_it_judges():
    x = np.random.default_rng(0).standard_normal((300, 60))
    held_out, matrix = whitened(x, np.arange(300) % 4)
    assert (held_out**2).sum(axis=1).mean() > 66  # directions that vary little by chance elsewhere do not here
    assert ((x @ matrix) ** 2).sum(axis=1).mean() < 60
    np.testing.assert_allclose(np.cov(x @ matrix, rowvar=False), np.eye(60), atol=0.1)
