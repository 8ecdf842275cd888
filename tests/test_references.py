import naive_measure as naive
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import fastdeg as fd
from fastdeg.references import coverage, largest_remainders


@pytest.mark.parametrize(("n", "d", "k"), [(1, 1, 1), (10, 1, 10), (500, 3, 50), (5_000, 2, 20), (300, 40, 30)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_farthest_points(n, d, k, dtype):
    x = np.random.default_rng(n).normal(size=(n, d)).astype(dtype)
    assert_array_equal(fd.farthest_points(x, k, start=n // 2), naive.farthest_points(x, k, n // 2))


@pytest.mark.parametrize("d", [1, 2, 3, 5, 9, 12])
def test_farthest_points_ties_go_to_the_lowest_index(d):
    """Points of a lattice: distances are whole numbers, most of them equal, many points coincide."""
    x = np.random.default_rng(0).integers(0, 3, size=(2_500, d)).astype(float)
    assert_array_equal(fd.farthest_points(x, 60, start=7), naive.farthest_points(x, 60, 7))


@pytest.mark.parametrize("d", [2, 20])
@pytest.mark.parametrize("scale", [0.0, 2.0**-1070, 2.0**-500, 2.0**30, 2.0**500, 2.0**1019])
def test_farthest_points_of_extreme_scale(d, scale):
    x = np.random.default_rng(0).integers(-8, 9, size=(200, d)).astype(float)
    expected = naive.farthest_points(x if scale else 0 * x, 30)
    assert_array_equal(fd.farthest_points(x * scale, 30), expected)


@pytest.mark.parametrize("d", [3, 30])
def test_farthest_points_of_clusters_far_apart(d):
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=(700, d)) * 1e-3, 1e6 + rng.normal(size=(700, d))])
    assert_array_equal(fd.farthest_points(x, 100), naive.farthest_points(x, 100))


@pytest.mark.parametrize("d", [3, 30])
def test_farthest_points_is_the_same_for_any_number_of_threads(d):
    x = np.random.default_rng(0).normal(size=(20_000, d)).astype(np.float32)
    first = fd.farthest_points(x, 50, threads=1)
    for threads in (2, 3, 7):
        assert_array_equal(fd.farthest_points(x, 50, threads=threads), first)


@pytest.fixture
def gallery():
    """200 embeddings in four bins on a line; bin 3 has no image."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 200)
    bins = fd.CentroidBins([[0.0], [1.0], [2.0], [10.0]])
    return rng.normal(size=(200, 6)), labels, bins


def test_references_follow_the_quotas(gallery):
    embeddings, labels, bins = gallery
    target = fd.BinnedDistribution(bins, [0.5, 0.31, 0.19, 0.0])
    chosen = fd.select_references(embeddings, labels, target, n_references=10)
    assert_array_equal(np.bincount(chosen.bins, minlength=4), [5, 3, 2, 0])
    assert_array_equal(chosen.bins, labels[chosen.indices])
    assert_array_equal(chosen.bins[:5], 0)  # bins by descending mass
    assert len(set(chosen.indices.tolist())) == 10


def test_the_first_is_central_the_rest_are_far_from_it(gallery):
    embeddings, labels, bins = gallery
    target = fd.BinnedDistribution(bins, [1.0, 0, 0, 0])
    chosen = fd.select_references(embeddings, labels, target, n_references=3, n_neighbors=2).indices
    members = np.flatnonzero(labels == 0)
    distance = np.linalg.norm(embeddings - embeddings.mean(axis=0), axis=1)
    assert chosen[0] == members[distance[members].argmin()]
    to_first = np.linalg.norm(embeddings - embeddings[chosen[0]], axis=1)
    assert chosen[1] == members[to_first[members].argmax()]
    score = to_first + np.linalg.norm(embeddings - embeddings[chosen[1]], axis=1)
    free = np.setdiff1d(members, chosen[:2])
    assert chosen[2] == free[score[free].argmax()]


def test_empty_bins_take_from_the_nearest_and_crafted_limits_where_from(gallery):
    embeddings, labels, bins = gallery
    target = fd.BinnedDistribution(bins, [0, 0, 0, 1.0])
    everywhere = fd.BinnedDistribution.uniform(bins)
    assert_array_equal(fd.select_references(embeddings, labels, target, crafted=everywhere).bins, 2)
    crafted = fd.BinnedDistribution(bins, [0.5, 0.5, 0, 0])
    assert_array_equal(fd.select_references(embeddings, labels, target, crafted=crafted).bins, 1)


def test_one_image_and_equal_images():
    bins = fd.CentroidBins([[0.0], [1.0]])
    target = fd.BinnedDistribution.uniform(bins)
    alone = fd.select_references([[3.0, 4.0]], [1], target, n_references=1, n_neighbors=10**9)
    assert (alone.indices.tolist(), alone.diversity, alone.coverage) == ([0], 0.0, (0.0, 0.0))
    equal = fd.select_references(np.full((6, 1), 1e-320), [0, 1] * 3, target, n_references=4)
    assert_array_equal(equal.indices, [0, 2, 1, 3])
    assert (equal.diversity, equal.moment_distance) == (0, 0)


def test_all_images_can_be_references(gallery):
    embeddings, labels, bins = gallery
    target = fd.BinnedDistribution.uniform(bins)
    chosen = fd.select_references(embeddings, labels, target, n_references=200)
    assert_array_equal(np.sort(chosen.indices), np.arange(200))
    assert chosen.coverage == (0, 0)
    assert chosen.moment_distance < 1e-9
    assert chosen.diversity > 0


@pytest.mark.parametrize("n_references", [4, 7, 150])
def test_what_a_selection_reports(gallery, n_references):
    embeddings, labels, bins = gallery
    target = fd.BinnedDistribution.uniform(bins)
    chosen = fd.select_references(embeddings, labels, target, n_references=n_references, n_neighbors=3)
    between = np.sqrt(naive.squared_distances(embeddings, embeddings[chosen.indices]))
    assert_allclose(chosen.coverage, [between.min(axis=1).mean(), between.min(axis=1).max()])
    among = np.sort(between[chosen.indices], axis=1)[:, 1:4]
    assert_allclose(chosen.diversity, among.mean())
    moments = naive.moments(embeddings[chosen.indices]), naive.moments(embeddings)
    expected = naive.frechet(*[np.asarray(a, float) for pair in moments for a in pair])
    assert_allclose(chosen.moment_distance, expected, atol=1e-6)


def test_coverage():
    x = np.array([[0.0], [1.0], [5.0]])
    assert coverage(x, [0, 2]) == (1 / 3, 1.0)
    with pytest.raises(ValueError, match=r"indices: .* from 0 to 2, got 3"):
        coverage(x, [3])
    with pytest.raises(ValueError, match=r"indices: .* none"):
        coverage(x, [])
    with pytest.raises(ValueError, match="x: expected at least one point"):
        coverage(np.empty((0, 2)), [])
    with pytest.raises(ValueError, match=r"x: .* floating-point range"):
        coverage(x * 1e300, [0])


def test_bad_input(gallery):
    embeddings, labels, bins = gallery
    target = fd.BinnedDistribution.uniform(bins)
    for wrong, message in [(-1, "got -1"), (4, "got 4")]:
        spoiled = labels.copy()
        spoiled[3] = wrong
        with pytest.raises(ValueError, match=f"labels: .* 0 to 3, {message}"):
            fd.select_references(embeddings, spoiled, target)
    with pytest.raises(ValueError, match="labels: expected shape"):
        fd.select_references(embeddings, labels[1:], target)
    with pytest.raises(ValueError, match="n_references"):
        fd.select_references(embeddings, labels, target, n_references=201)
    for centers in ([[0.0]], [[0.0], [1.0], [2.0], [3.0]]):  # as many bins, elsewhere, are others too
        other = fd.BinnedDistribution.uniform(fd.CentroidBins(centers))
        with pytest.raises(ValueError, match="crafted: expected the bins of target"):
            fd.select_references(embeddings, labels, target, crafted=other)
    for wrong, message in [
        (np.empty((0, 6)), "embeddings: expected at least one image"),
        (np.empty((200, 0)), "embeddings: .* one feature"),
        (embeddings * np.nan, "embeddings: expected finite"),
        (embeddings * 1e200, "embeddings: expected numbers up to"),
    ]:
        with pytest.raises(ValueError, match=message):
            fd.select_references(wrong, labels[: len(wrong)], target)
    with pytest.raises(ValueError, match="n_neighbors: "):
        fd.select_references(embeddings, labels, target, n_neighbors=0)
    with pytest.raises(ValueError, match="threads: "):
        fd.select_references(embeddings, labels, target, threads=0)
    with pytest.raises(TypeError, match="labels: expected integers"):
        fd.select_references(embeddings, labels / 2, target)
    for arguments in ({"target": target.pmf}, {"target": target, "crafted": "uniform"}):
        with pytest.raises(TypeError, match=f"{list(arguments)[-1]}: expected a BinnedDistribution"):
            fd.select_references(embeddings, labels, **arguments)
    with pytest.raises(ValueError, match="k: "):
        fd.farthest_points(embeddings, 201)
    with pytest.raises(ValueError, match="start: "):
        fd.farthest_points(embeddings, 2, start=200)
    with pytest.raises(ValueError, match=r"x: .* nan"):
        fd.farthest_points([[np.nan]], 1)
    assert fd.farthest_points(np.empty((0, 3)), 0).shape == (0,)


@pytest.mark.parametrize(("shares", "total"), [([1], 5), ([1, 1, 1], 2), ([0.2, 0, 0.8], 10), ([1e-300, 1], 3)])
def test_largest_remainders(shares, total):
    whole = largest_remainders(shares, total)
    ideal = np.array(shares) / np.sum(shares) * total
    assert whole.sum() == total
    assert (np.abs(whole - ideal) < 1).all()
