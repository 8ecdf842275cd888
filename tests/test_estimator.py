"""The estimator: recovers known degradations, keeps scikit-learn's manners, and says what it cannot tell."""

from __future__ import annotations

import argparse
import io
import pickle
import re
import warnings

import cv2
import naive_images as naive
import numpy as np
import pytest
from PIL import Image
from problems_images import SETTINGS, paper_bins, photographs, portrait, references, setting_truth
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import fastdeg as fd
from fastdeg.cli.photos import craft_from_photos
from fastdeg.images.features import luma
from fastdeg.images.inference import mixture, uncertainty
from fastdeg.images.inference.bin_nodes import bin_nodes
from fastdeg.images.inference.likelihood import Likelihood, Polynomial
from fastdeg.images.inference.network import Network
from fastdeg.images.inference.regression import Components, Regression
from fastdeg.images.patches import places_of_patches, without_bars


@pytest.fixture(scope="module")
def fitted():
    return fd.DegradationEstimator(paper_bins(), n_samples=4_000).fit(photographs())


@pytest.fixture(scope="module")
def second_setting():
    return references([portrait()], SETTINGS[2], 24, seed=1)


def test_recovers_a_known_distribution_from_another_photograph(fitted, second_setting):
    images, _ = second_setting
    found = fitted.infer(images)
    truth = setting_truth(2)
    q = found.distribution
    assert q.n_samples == 24
    assert found.converged
    assert q.pmf[truth.pmf > 1e-3].sum() >= 0.8
    uniform = fd.BinnedDistribution.uniform(paper_bins())
    distance = fd.degradation_distance(q, truth, frechet_weight=0)
    assert distance < 0.35 * fd.degradation_distance(uniform, truth, frechet_weight=0)
    np.testing.assert_allclose(fitted.estimate(images).pmf, q.pmf)


def test_point_estimates_are_close(fitted):
    images, truth = references([portrait()], ((0, 5), (0, 50), (30, 90)), 60, seed=3)
    found = fitted.predict(images)
    errors = np.sqrt(((found - truth) ** 2).mean(axis=0))
    assert (errors < [1.0, 4.0, 5.0]).all()
    spread = np.array([5, 50, 60]) / np.sqrt(12)  # of the truth: what a blind guess would be off by
    assert (errors < spread * [0.6, 0.25, 0.25]).all()
    assert fitted.outside(images).mean() < 0.1


def test_probabilities_and_likelihoods(fitted, second_setting):
    images, truth = second_setting
    proba = fitted.predict_proba(images)
    assert proba.shape == (24, 75)
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    found = fitted.infer(images)
    np.testing.assert_allclose(found.posterior.sum(axis=1), 1)
    np.testing.assert_allclose(found.posterior.mean(axis=0), found.distribution.pmf, atol=0.05)  # near the fixed point
    of_truth = proba[np.arange(24), paper_bins().assign(truth)]
    assert np.log(of_truth).mean() > np.log(1 / 75) + 2


def test_a_cropped_jpeg_grid_makes_no_difference(fitted, second_setting):
    images, _ = second_setting
    whole = fitted.predict(images)
    cropped = fitted.predict([image[3:, 5:] for image in images])
    quality = fitted.bins.space.names.index("jpeg_quality")
    assert np.abs(cropped - whole)[:, quality].mean() < 2.5


@pytest.mark.parametrize("noise", [0, 8, 25])
def test_without_a_comb_the_other_features_tell_the_quality(fitted, noise):
    """Never compressed: like the best quality of the space. What was enlarged has no comb either."""
    photo = portrait()[40:440, 60:460]
    never, good = (
        fd.degrade(photo, blur_sigma=1.0, downsampling=4, noise_sigma=noise, rng=1, **jpeg)
        for jpeg in ({}, {"jpeg_quality": 90})
    )
    found = fitted.infer([never, good])
    assert (found.parameters[:, 2] > 82).all()
    assert np.abs(found.parameters[:, 1] - noise).max() < 4
    np.testing.assert_array_equal(found.without_comb, [True, False])


def test_a_comb_gives_the_quality_within_two(fitted):
    images, truth = references([portrait()], ((0, 5), (0, 25), (35, 85)), 30, seed=4)
    errors = (fitted.predict(images) - truth)[:, 2]
    assert np.sqrt((errors**2).mean()) < 1.2


def test_a_space_without_compression_needs_no_comb(tmp_path):
    bins = fd.GridBins(fd.DegradationSpace([fd.Axis.regular("noise_sigma", 0, 50, 5)]))
    estimator = fd.DegradationEstimator(bins, n_samples=1000).fit(photographs())
    assert estimator.model_.jpeg_summarizer is None
    images = [
        fd.degrade(portrait(), downsampling=4, noise_sigma=20, rng=0, **jpeg) for jpeg in ({}, {"jpeg_quality": 60})
    ]
    assert estimator.predict(images)[0, 0] == pytest.approx(20, abs=5)
    estimator.save(tmp_path / "noise.npz")
    again = fd.DegradationEstimator.load(tmp_path / "noise.npz")
    np.testing.assert_array_equal(again.log_likelihood(images), estimator.log_likelihood(images))


def test_threads_do_not_change_the_result():
    make = fd.DegradationEstimator(paper_bins(), n_samples=200)
    one, three = (clone(make).fit(photographs()[:1], threads=n).model_.to_arrays() for n in (1, 3))
    assert one.keys() == three.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(array, three[name])


def test_opencv_threads_are_put_back():
    before = cv2.getNumThreads()
    fd.DegradationEstimator(paper_bins(), n_samples=50).fit(photographs()[:1])
    assert cv2.getNumThreads() == before


def test_scikit_learn_manners(fitted, second_setting):
    copy = clone(fitted)
    assert copy.get_params()["n_samples"] == 4_000
    assert copy.set_params(patch_size=64).patch_size == 64
    with pytest.raises(NotFittedError):
        copy.estimate(second_setting[0])
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict(second_setting[0]), fitted.predict(second_setting[0]))


def test_save_and_load(fitted, second_setting, tmp_path):
    fitted.save(tmp_path / "estimator.npz")
    with np.load(tmp_path / "estimator.npz", allow_pickle=False) as file:
        assert all(file[name].dtype != object for name in file.files)
    again = fd.DegradationEstimator.load(tmp_path / "estimator.npz")
    assert again.get_params().keys() == fitted.get_params().keys()
    np.testing.assert_array_equal(again.log_likelihood(second_setting[0]), fitted.log_likelihood(second_setting[0]))
    np.testing.assert_array_equal(again.bin_feature_moments()[1], fitted.bin_feature_moments()[1])
    (tmp_path / "other.npz").write_bytes(b"no such thing")
    with pytest.raises(ValueError, match=r"other\.npz: expected a file written by DegradationEstimator"):
        fd.DegradationEstimator.load(tmp_path / "other.npz")
    with pytest.raises(FileNotFoundError):
        fd.DegradationEstimator.load(tmp_path / "none.npz")
    with np.load(tmp_path / "estimator.npz") as file:
        older = {**file, "header": np.array(str(file["header"]).replace('"version": 3', '"version": 1'))}
    np.savez(tmp_path / "older.npz", **older)
    release = re.escape(fd.__version__)
    with pytest.raises(ValueError, match=rf"older\.npz: fitted by another version of fastdeg, {release}"):
        fd.DegradationEstimator.load(tmp_path / "older.npz")


def test_files_of_the_first_version_are_read(fitted, second_setting, tmp_path):
    """Whose arrays of both summarisers have other names."""
    fitted.save(tmp_path / "now.npz")
    with np.load(tmp_path / "now.npz") as file:
        older = {name.replace("jpeg_summarizer.", "comb_reading.").replace("summarizer.", "reading."): file[name]
                 for name in file}  # fmt: skip
    older["header"] = np.array(str(older["header"]).replace(f'"fastdeg": "{fd.__version__}", ', ""))
    assert "comb_reading.components.mean" in older
    np.savez(tmp_path / "older.npz", **older)
    again = fd.DegradationEstimator.load(tmp_path / "older.npz")
    np.testing.assert_array_equal(again.log_likelihood(second_setting[0]), fitted.log_likelihood(second_setting[0]))


def test_outside_of_the_space(fitted, second_setting):
    inside = second_setting[0]
    photo = portrait()[40:440, 60:460]
    rng = np.random.default_rng(0)
    strangers = {
        "much more noise": fd.degrade(photo, downsampling=4, noise_sigma=110, jpeg_quality=80, rng=0),
        "quality 8": fd.degrade(photo, blur_sigma=1, downsampling=4, noise_sigma=10, jpeg_quality=8, rng=0),
        "white noise": rng.integers(0, 256, (100, 100)).astype(np.uint8),  # in colour its luma would vary by 49 only
        "constant": np.full((100, 100, 3), 128, np.uint8),
        "one pixel": np.full((1, 1, 3), 9, np.uint8),
    }
    assert fitted.model_.outside.shared > 0.5  # two clean photographs make a weak test
    found = fitted.infer([*inside, *strangers.values()], outside_level=0.05)
    assert found.outside[:24].sum() <= 3  # the level makes one or two
    assert found.outside[24:].all(), dict(zip(strangers, found.outside_p_values[24:], strict=True))
    assert (found.outside == (found.outside_p_values <= 0.05)).all()
    assert fitted.infer([*inside[:4], *strangers.values()], outside_level=0.05).all_inside_p_value < 1e-3
    assert fitted.infer(inside).all_inside_p_value == 1
    np.testing.assert_array_equal(fitted.outside(inside, level=1.0), [True] * 24)
    with pytest.raises(ValueError, match="level"):
        fitted.outside(inside, level=2)


def test_the_level_of_outside_holds_throughout_the_space(fitted):
    images, _ = references([portrait()], ((0, 5), (0, 50), (30, 90)), 120, seed=3)
    p_values = fitted.infer(images).outside_p_values
    assert (p_values <= 0.01).sum() <= 3
    assert (p_values <= 0.05).sum() <= 12


@pytest.mark.parametrize(
    ("meddle", "least"),
    [
        (lambda x: cv2.resize(x, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC), 0.7),
        (lambda x: cv2.medianBlur(x, 3), 0.7),
        (lambda x: cv2.addWeighted(x, 2.5, cv2.GaussianBlur(x, (0, 0), 1.0), -1.5, 0), 0.3),
    ],
    ids=["enlarged", "median filter", "sharpened"],
)
def test_what_was_done_to_photographs_afterwards_is_noticed(fitted, meddle, least):
    """Of all together at least: a fit on two photographs is not so sure of single ones that are sharpened."""
    images, _ = references([portrait()], ((0, 2), (0, 10), (70, 90)), 24, seed=3)
    assert fitted.infer(images).all_inside_p_value > 0.05
    found = fitted.infer([meddle(x) for x in images])
    assert found.all_inside_p_value < 1e-6
    assert found.outside.mean() >= least


def test_other_kinds_of_degradations_are_noticed(fitted):
    """Motion instead of a Gaussian blur, impulses instead of Gaussian noise, two compressions."""
    rng = np.random.default_rng(0)
    photos = [portrait()[k : k + 400, k : k + 400] for k in range(0, 96, 4)]
    small = [fd.degrade(x, blur_sigma=1, downsampling=4, rng=rng) for x in photos]
    moved = [cv2.filter2D(x, -1, np.full((1, 25), 1 / 25)) for x in photos]
    once = [fd.degrade(x, noise_sigma=5, jpeg_quality=15, rng=rng)[3:, 5:] for x in small]
    kinds = {
        "motion": [fd.degrade(x, downsampling=4, noise_sigma=3, jpeg_quality=85, rng=rng) for x in moved],
        "impulses": [np.where(rng.random(x.shape[:2])[..., None] < 0.05, 255, x).astype(np.uint8) for x in small],
        "twice compressed": [fd.degrade(x, jpeg_quality=90) for x in once],
    }
    for kind, images in kinds.items():
        assert fitted.outside(images, level=0.05).mean() >= 0.5, kind


def test_bootstrap_resamples_images_not_patches(fitted, second_setting):
    images, _ = second_setting
    result = fitted.bootstrap(images, n_resamples=100)
    assert result.weights.shape == (100, 75)
    np.testing.assert_allclose(result.weights.sum(axis=1), 1)
    truth = setting_truth(2)
    for interval in result.marginals:
        assert (interval.low <= interval.estimate + 1e-4).all()
        assert (interval.estimate <= interval.high + 1e-4).all()
        assert (interval.low >= 0).all()
        assert (interval.high <= 1).all()
        far = truth.marginal(interval.axis) == 0
        assert interval.low[far].max(initial=0) <= 0.05
    counts = fitted.reference_counts(images, (6, 24, 96), n_resamples=60)
    assert counts.widths.shape == (3, 3)
    assert (np.diff(counts.widths.sum(axis=1)) < 0).all()
    again = fitted.bootstrap(images, n_resamples=100)
    np.testing.assert_array_equal(again.weights, result.weights)


def test_identifiability_names_what_looks_alike(fitted):
    found = fitted.identifiability()
    assert found.standard_errors.shape == (75, 3)
    assert len(found.notes) == 3  # none looks alike in this space
    assert (np.diff(found.confusion) <= 0).all()
    assert 0 < found.confusion[0] <= 0.5
    blur = np.abs(np.diff(fitted.bins.centers[found.pairs], axis=1))[:, 0, 0]
    assert (blur > 0).mean() > 0.8  # neighbours in blur are the hard ones, not noise or compression


def test_feature_moments_order_the_bins(fitted, second_setting):
    means, covs = fitted.bin_feature_moments()
    assert means.shape == (75, 12)
    assert np.linalg.eigvalsh(covs).min() > 0
    distances = fd.frechet_distances(means, covs, *fitted.feature_moments(second_setting[0]))
    truth = setting_truth(2).pmf
    assert distances[truth > 0].mean() < 0.3 * distances.mean()
    assert fitted.embed(second_setting[0]).shape == (24, 12)


def test_crafting_takes_the_output_as_it_is(fitted, second_setting):
    q = fitted.estimate(second_setting[0])
    result = fd.craft(
        q,
        bin_moments=fitted.bin_feature_moments(),
        target_moments=fitted.feature_moments(second_setting[0]),
        generalization=0.05,
    )
    assert result.converged
    assert result.distribution.pmf[q.pmf > 0].sum() > 0.8
    assert fd.craft(q).converged


def test_every_parameter_of_the_chain_may_be_an_axis(tmp_path):
    """Anisotropic blur, a real factor and shot noise; sixteen-bit grey clean images; another interpolation."""
    space = fd.DegradationSpace(
        [
            fd.Axis.regular("blur_sigma_x", 0, 3, 2),
            fd.Axis.regular("blur_sigma_y", 0, 3, 2),
            fd.Axis.regular("blur_angle", 0, 90, 2),
            fd.Axis.regular("downsampling", 1.5, 3, 2),
            fd.Axis.regular("poisson_scale", 0, 8, 2),
        ]
    )
    clean = [luma(photo).astype(np.uint16) * 257 for photo in photographs()]
    fitted = fd.DegradationEstimator(fd.GridBins(space), interpolation="area", noise="color", n_samples=1_000).fit(
        clean
    )
    fitted.save(tmp_path / "axes.npz")
    fitted = fd.DegradationEstimator.load(tmp_path / "axes.npz")
    assert fitted.get_params()["interpolation"] == "area"
    shot = [
        fd.degrade(portrait(), downsampling=2, poisson_scale=scale, interpolation="area", rng=0) for scale in (0.5, 7.5)
    ]
    low, high = fitted.predict(shot)[:, 4]
    assert low < 3 < 5 < high
    with pytest.raises(ValueError, match="interpolation"):
        clone(fitted).set_params(interpolation="magic").fit(clean)


def test_own_pipeline_and_own_features():
    space = fd.DegradationSpace([fd.Axis.regular("gain", 0.2, 1.0, 4)])

    def pipeline(image, parameters, rng):
        return (image * parameters["gain"]).astype(np.uint8)

    def features(images):
        return np.array([[np.ptp(image), image.std()] for image in images], dtype=float)

    rng = np.random.default_rng(0)
    clean = [rng.integers(0, 256, (120, 120)).astype(np.uint8) for _ in range(3)]
    make = fd.DegradationEstimator(fd.GridBins(space), degrade=pipeline, features=features, n_samples=600)
    fitted = make.fit(clean)
    dark = [pipeline(rng.integers(0, 256, (100, 100)).astype(np.uint8), {"gain": g}, rng) for g in (0.3, 0.35, 0.25)]
    assert fitted.estimate(dark).pmf[0] > 0.9
    with pytest.raises(ValueError, match=r"features: expected an array of shape"):
        clone(make).set_params(features=lambda images: np.zeros(3)).fit(clean)
    with pytest.raises(TypeError, match="degrade: expected a callable"):
        clone(make).set_params(degrade="fast").fit(clean)


def test_own_callables_are_asked_for_again(tmp_path):
    space = fd.DegradationSpace([fd.Axis.regular("noise_sigma", 0, 50, 2)])

    def features(images):
        return np.array([[np.diff(image.astype(float), axis=0).std()] for image in images])

    def pipeline(image, parameters, rng):
        return fd.degrade(image, rng=rng, **parameters)

    own = {"features": features, "degrade": pipeline}
    low = fd.degrade(portrait(), downsampling=4, noise_sigma=40, rng=0)
    for name in own:
        fitted = fd.DegradationEstimator(fd.GridBins(space), n_samples=60, **{name: own[name]}).fit(photographs()[:1])
        fitted.save(tmp_path / "own.npz")
        with pytest.raises(ValueError, match=rf"own\.npz: fitted with your own {name}: pass {name}= again"):
            fd.DegradationEstimator.load(tmp_path / "own.npz")
        again = fd.DegradationEstimator.load(tmp_path / "own.npz", **{name: own[name]})
        np.testing.assert_array_equal(again.estimate([low]).pmf, fitted.estimate([low]).pmf)
        (other,) = own.keys() - {name}
        with pytest.raises(ValueError, match=f"fitted without a {other} of your own: leave {other}= out"):
            fd.DegradationEstimator.load(tmp_path / "own.npz", **own)


def test_images_are_described_once():
    """Seen by the user's own embedding, which counts the patches it is asked about."""
    asked = []

    def features(images):
        asked.append(len(images))
        return np.array([[np.diff(image.astype(float), axis=0).std(), image.mean()] for image in images])

    bins = fd.GridBins(fd.DegradationSpace([fd.Axis.regular("noise_sigma", 0, 50, 4)]))
    fitted = fd.DegradationEstimator(bins, features=features, n_samples=60).fit(photographs())
    images = [fd.degrade(portrait(), downsampling=4, noise_sigma=s, rng=0) for s in (5, 20, 40)]
    methods = (
        fitted.predict, fitted.predict_proba, fitted.log_likelihood, fitted.estimate, fitted.infer, fitted.outside,
        fitted.bootstrap, fitted.reference_counts, fitted.feature_moments, fitted.embed, fitted.describe,
    )  # fmt: skip
    asked.clear()
    described = fitted.describe(images)
    with pytest.warns(UserWarning, match="no image can be called outside"):
        found = [method(described) for method in methods]
    assert asked == [len(described.owners)]
    assert (len(described), repr(described)) == (3, f"DescribedImages(3 images, {asked[0]} patches)")
    np.testing.assert_array_equal(found[0], fitted.predict(images))
    np.testing.assert_array_equal(found[4].posterior, fitted.infer(images, outside_level=0).posterior)
    asked.clear()  # what the command line does
    options = argparse.Namespace(threads=1, n_references=2, n_neighbors=1)
    with pytest.warns(UserWarning, match="no image can be called outside"):
        craft_from_photos(fitted, dict(zip("abc", images, strict=True)), options, None, generalization=0.1)
    assert asked == [len(described.owners)]
    with pytest.raises(ValueError, match="images: described by an estimator with another patch_size"):
        clone(fitted).set_params(patch_size=64).describe(described)


def test_a_level_that_the_fit_cannot_hold_is_told():
    bins = fd.GridBins(fd.DegradationSpace([fd.Axis.regular("noise_sigma", 0, 50, 2)]))
    fitted = fd.DegradationEstimator(bins, n_samples=60).fit(photographs())
    strange = [np.full((100, 100), 128, np.uint8)]
    n = len(fitted.model_.outside.measures)
    with pytest.warns(UserWarning, match=rf"level 0.01: .* at least 1 / {n + 1} where {n} synthetic patches"):
        assert not fitted.outside(strange).any()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fitted.outside(strange, level=0.2).all()
        assert not fitted.outside(strange, level=0).any()


def test_grey_sixteen_bit_and_tiny_references(fitted):
    low = fd.degrade(portrait(), blur_sigma=1, downsampling=4, noise_sigma=20, jpeg_quality=80, rng=0)
    gray = fd.degrade(
        luma(portrait()).astype(np.uint8), blur_sigma=1, downsampling=4, noise_sigma=20, jpeg_quality=80, rng=0
    )
    found = fitted.predict([low, low.astype(np.uint16) * 257, low / 255.0, gray])
    np.testing.assert_allclose(found[1:3], found[[0, 0]], atol=0.1)
    np.testing.assert_allclose(found[3], found[0], atol=4)  # clipping differs: colours clip channel by channel
    tiny = fitted.predict([low[:1, :1], low[:9, :40], np.zeros((30, 30), np.uint8)])
    assert np.isfinite(tiny).all()


def test_centroid_bins():
    space = fd.DegradationSpace.preset("paper")
    points = np.random.default_rng(0).uniform([0, 0, 30], [5, 50, 90], (2_000, 3))
    bins = fd.CentroidBins.fit(points, 60, space=space)
    fitted = fd.DegradationEstimator(bins, n_samples=1_500).fit(photographs())
    images, truth = references([portrait()], SETTINGS[4], 12, seed=5)
    q = fitted.estimate(images)
    mean = q.moments()[0]
    assert (np.abs(mean - truth.mean(axis=0)) < [1.2, 5, 6]).all()


def test_a_space_of_thousands_of_bins():
    bins = fd.GridBins(fd.DegradationSpace.preset("dense"))
    fitted = fd.DegradationEstimator(bins, n_samples=3_000).fit(photographs())
    rng = np.random.default_rng(0)
    truth = np.column_stack([rng.uniform(1, 2, 8), rng.uniform(20, 30, 8), np.full(8, 3)])
    images = [fd.degrade(portrait(), blur_sigma=b, noise_sigma=n, downsampling=d, rng=rng) for b, n, d in truth]
    q = fitted.estimate(images)
    assert q.n_bins == 17_850
    assert abs(q.moments()[0][1] - truth[:, 1].mean()) < 4
    assert fitted.bootstrap(images, 20).marginals[1].high.shape == (51,)
    assert len(fitted.identifiability().notes) == 4


@pytest.mark.parametrize(
    ("arguments", "images", "error", "words"),
    [
        ({}, [], ValueError, "clean_images: expected at least one image"),
        ({}, np.zeros((300, 300, 3), np.uint8), TypeError, "wrap it in a list"),
        ({}, "photos", TypeError, "got the path 'photos'; read_images reads folders"),
        ({}, [np.zeros((300, 300, 3), np.uint8), np.zeros((40, 40, 3), np.uint8)], ValueError, r"clean_images\[1\]"),
        ({}, [np.zeros((300, 300, 5), np.uint8)], ValueError, r"clean_images\[0\]: expected shape"),
        ({"n_samples": 3}, [np.zeros((300, 300), np.uint8)], ValueError, "n_samples"),
        ({"noise": "blue"}, [np.zeros((300, 300), np.uint8)], ValueError, "noise"),
        ({"downsampling": 0}, [np.zeros((300, 300), np.uint8)], ValueError, "downsampling"),
        ({"bins": 3}, [np.zeros((300, 300), np.uint8)], TypeError, "bins"),
        ({"bins": fd.CentroidBins([[0.0], [1.0]])}, [np.zeros((300, 300), np.uint8)], ValueError, "DegradationSpace"),
    ],
)
def test_bad_arguments_are_named(arguments, images, error, words):
    with pytest.raises(error, match=words):
        fd.DegradationEstimator(**{"bins": paper_bins()} | arguments).fit(images)


def test_progress_that_cannot_be_told_is_refused_before_the_work():
    estimator = fd.DegradationEstimator(paper_bins())
    with pytest.raises(TypeError, match="progress: expected a function of fraction and message, or None, got 5"):
        estimator.fit([np.zeros((300, 300), np.uint8)], progress=5)


def test_constant_clean_images_are_survived():
    fitted = fd.DegradationEstimator(paper_bins(), n_samples=60).fit([np.full((400, 400, 3), 90, np.uint8)])
    low = fd.degrade(portrait(), downsampling=4, noise_sigma=20, jpeg_quality=80, rng=0)
    assert np.isfinite(fitted.predict([low])).all()


# -- the parts ----------------------------------------------------------------------------------------------------


def test_expectation_maximisation_is_the_naive_one_and_climbs():
    rng = np.random.default_rng(0)
    log_likelihood = rng.normal(0, 3, (12, 30))
    prior = rng.dirichlet(np.ones(30))
    likelihood = np.exp(log_likelihood)
    for n_iter in (1, 7, 60):
        got = mixture.fit_mixture(log_likelihood, prior, max_iter=n_iter, tol=-1)
        expected = naive.em(likelihood, prior, n_iter)
        expected[expected < mixture.NEGLIGIBLE / 30] = 0
        np.testing.assert_allclose(got.weights, expected / expected.sum(), atol=1e-9)
    values = [mixture.fit_mixture(log_likelihood, prior, max_iter=k, tol=-1).log_likelihood for k in (1, 3, 10, 50)]
    assert (np.diff(values) > 0).all()


def test_expectation_maximisation_finds_the_optimum():
    """At the maximum, the mean likelihood ratio of every bin is at most one (the dual certificate)."""
    rng = np.random.default_rng(1)
    log_likelihood = rng.normal(0, 2, (40, 15))
    fit = mixture.fit_mixture(log_likelihood, np.full(15, 1 / 15), max_iter=20_000, tol=1e-13)
    likelihood = np.exp(log_likelihood)
    assert (likelihood / (likelihood @ fit.weights)[:, None]).mean(axis=0).max() < 1 + 1e-4


def test_few_images_are_drawn_towards_independent_axes_and_many_are_not():
    """Half of the images come from one corner of a 2 x 2 grid, half from the opposite one, and each says so clearly."""
    clear = np.log(np.array([[1, 1e-9, 1e-9, 1e-9], [1e-9, 1e-9, 1e-9, 1]]))
    prior = np.full(4, 0.25)
    for n in (4, 400):
        images = np.repeat(clear, n // 2, axis=0)
        plain = mixture.fit_mixture(images, prior, max_iter=500, tol=-1).weights
        np.testing.assert_allclose(plain, [0.5, 0, 0, 0.5], atol=1e-6)
        drawn = mixture.fit_mixture(images, prior, shape=(2, 2), max_iter=500, tol=-1).weights
        share = mixture.INDEPENDENCE / (mixture.INDEPENDENCE + n)
        np.testing.assert_allclose(drawn[1:3], share / 4, rtol=1e-3)
        np.testing.assert_allclose(drawn.reshape(2, 2).sum(axis=0), [0.5, 0.5])
        counts = mixture.resampled(n, 3, np.random.default_rng(0))
        resampled = mixture.bootstrap_mixtures(images, counts, prior, shape=(2, 2))
        np.testing.assert_allclose(resampled.sum(axis=1), 1)


def test_what_parameters_make_up_for_is_named():
    """Summaries that say only the sum of two parameters: far bins on an anti-diagonal look alike."""
    space = fd.DegradationSpace([fd.Axis.regular(name, 0, 1, 5) for name in ("first", "second")])
    bins = fd.GridBins(space)
    rng = np.random.default_rng(0)
    z = rng.uniform(0, 1, (5_000, 2))
    s = z.sum(axis=1, keepdims=True) / 2 + 0.03 * rng.standard_normal((5_000, 2))
    likelihood = Likelihood.fit(s, z, np.arange(5_000) % 200)
    found = uncertainty.identifiability(likelihood, z[:500], bin_nodes(bins, likelihood), bins, 1, 20)
    ends = bins.space.points()[found.look_alikes[0]]
    assert {tuple(end) for end in ends.round(1)} == {(0.1, 0.9), (0.9, 0.1)}
    np.testing.assert_allclose(ends.sum(axis=1), 1)
    assert "first 0.1, second 0.9 is taken for first 0.9, second 0.1" in found.notes[-1]


def test_bootstrap_of_identical_images_has_no_spread():
    log_likelihood = np.tile(np.random.default_rng(0).normal(0, 3, (1, 20)), (9, 1))
    counts = mixture.resampled(9, 10, np.random.default_rng(0))
    weights = mixture.bootstrap_mixtures(log_likelihood, counts, np.full(20, 0.05))
    np.testing.assert_allclose(weights, weights[[0] * 10], atol=1e-12)


@pytest.mark.parametrize("shape", [None, (5, 4)])
def test_a_replicate_hangs_on_its_own_resample_alone(shape):
    log_likelihood, prior = np.random.default_rng(0).normal(0, 3, (15, 20)), np.full(20, 0.05)
    few, many = (
        mixture.bootstrap_mixtures(
            log_likelihood, mixture.resampled(15, n, np.random.default_rng(0)), prior, shape=shape
        )
        for n in (3, 150)
    )
    np.testing.assert_array_equal(few, many[:3])


def test_the_estimate_lies_within_the_intervals_of_images_that_agree():
    bins = fd.GridBins(fd.DegradationSpace([fd.Axis.regular("noise_sigma", 0, 50, 20)]))
    log_likelihood = np.random.default_rng(1).normal(0, 1, (1, 20)).repeat(8, axis=0)
    estimate = mixture.fit_mixture(log_likelihood, bins.volumes).weights
    found = uncertainty.bootstrap(
        [lambda: log_likelihood], estimate, bins, bins.volumes, 200, 0.9, np.random.default_rng(0)
    ).marginals[0]
    assert (found.low <= found.estimate).all()
    assert (found.estimate <= found.high).all()


def test_likelihood_learns_means_widths_and_tails():
    rng = np.random.default_rng(0)
    z = rng.uniform(0, 1, (20_000, 2))
    deviation = 0.05 + 0.1 * z[:, [0]]
    noise = rng.standard_normal((20_000, 2)) @ np.array([[1, 0.6], [0, 0.8]])
    s = np.column_stack([z[:, 0] ** 2, z.sum(axis=1) / 2]) + deviation * noise
    model = Likelihood.fit(s, z, rng.integers(0, 500, 20_000))
    at = np.array([[0.1, 0.9], [0.9, 0.1], [0.5, 0.5]])
    np.testing.assert_allclose(model.mean(at), np.column_stack([at[:, 0] ** 2, at.sum(axis=1) / 2]), atol=0.01)
    np.testing.assert_allclose(model.deviation(at), np.repeat(0.05 + 0.1 * at[:, [0]], 2, axis=1), rtol=0.06)
    assert model.degrees_of_freedom >= 20
    assert model.precision[0, 1] / model.precision[0, 0] == pytest.approx(-0.6, abs=0.05)
    heavy = Likelihood.fit(z + 0.05 * rng.standard_t(3, (20_000, 2)), z, np.arange(20_000) % 500)
    assert heavy.degrees_of_freedom <= 6
    sample = np.array([[0.25, 0.5]])
    log_density = model.log_density(sample, z, np.array([1]))[0]
    assert np.abs(z[log_density.argmax()] - [0.5, 0.5]).max() < 0.1


def test_photographs_are_predicted_as_well_as_a_line_allows():
    """Patches fall short of the ends of the space; photographs of many patches, of which more is known, less so."""
    rng = np.random.default_rng(0)

    def said(z, n_patches=1, content=None):
        """Of each photograph, whose patches have two fifths of the variance in common."""
        content = rng.standard_normal((len(z), 2)) if content is None else content
        own = rng.standard_normal((len(z), n_patches, 2)).mean(axis=1)
        noise = (np.sqrt(0.4) * content + np.sqrt(0.6) * own) @ np.array([[0.2, 0.06], [0, 0.08]])
        return 0.5 + 0.5 * (z - 0.5) + noise

    z = rng.uniform(0, 1, (20_000, 2))
    groups = np.arange(20_000) // 25
    model = Likelihood.fit(said(z, content=rng.standard_normal((800, 2))[groups]), z, groups)
    slopes = []
    for n in (1, 9):
        truth = rng.uniform(0.1, 0.9, (20_000, 2))
        s = said(truth, n)
        found, errors = model.best_linear(s, np.full(len(s), n), z[:2000])
        # the regression itself, learned from as many photographs of the whole space
        other = rng.uniform(0, 1, (20_000, 2))
        design = np.column_stack([np.ones(20_000), said(other, n)])
        line = np.linalg.lstsq(design, other, rcond=None)[0]
        expected = np.clip(np.column_stack([np.ones(20_000), s]) @ line, 0, 1)
        np.testing.assert_allclose(found.mean(axis=0), expected.mean(axis=0), atol=0.01)
        assert np.sqrt(((found - expected) ** 2).mean()) < 0.02
        anywhere, errors = model.best_linear(said(other, n), np.full(len(other), n), z[:2000])
        wrong = np.sqrt(((anywhere - other) ** 2).mean(axis=0))
        np.testing.assert_allclose(np.sqrt((errors**2).mean(axis=0)), wrong, rtol=0.2)
        slopes.append(np.polyfit(truth[:, 0], found[:, 0], 1)[0])
    assert slopes[0] < 0.4 < 0.5 < slopes[1]
    both, _ = model.best_linear(s[:4], np.array([1, 9, 1, 9]), z[:2000])
    np.testing.assert_array_equal(both[1::2], found[:4][1::2])  # each by the number of its own patches


def test_networks_learn_and_do_not_see_their_own_fold():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3_000, 5))
    z = np.column_stack([0.5 + 0.2 * np.tanh(x[:, 0] + x[:, 1]), 0.5 + 0.1 * x[:, 2] * x[:, 3]])
    folds = np.arange(3_000) % 4
    network, held_out = Network.fit(x, z, folds, 0, 2)
    assert (np.sqrt(((held_out - z) ** 2).mean(axis=0)) < 0.3 * z.std(axis=0)).all()
    np.testing.assert_array_equal(Network.fit(x, z, folds, 0, 1)[1], held_out)
    other = z.copy()
    other[folds == 2] = rng.random((750, 2))
    said = Network.fit(x, other, folds, 0, 2)[1]
    np.testing.assert_array_equal(said[folds == 2], held_out[folds == 2])  # not even by way of the targets
    assert np.abs(said - held_out)[folds != 2].max() > 0.01
    assert network(x).shape == z.shape


def test_more_patches_sharpen_the_likelihood_only_as_far_as_content_allows():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(400), 25)
    z = rng.uniform(0, 1, (10_000, 1))
    s = z + 0.06 * rng.standard_normal(400)[groups][:, None] + 0.08 * rng.standard_normal((10_000, 1))
    model = Likelihood.fit(s, z, groups)
    ends = np.array([[0.0], [0.5], [1.0]])
    np.testing.assert_allclose(model.shared(ends)[:, 0], 0.36, atol=0.06)
    # content that counts at one end of the space only
    s = z + 0.12 * (1 - z) * rng.standard_normal(400)[groups][:, None] + 0.05 * rng.standard_normal((10_000, 1))
    model = Likelihood.fit(s, z, groups)
    shared = model.shared(ends)[:, 0]
    np.testing.assert_allclose(shared[:2], [0.85, 0.59], atol=0.12)
    assert shared[2] < 0.15
    one, eight = (model.shrinkage(np.array(n), ends)[:, 0] for n in (1, 8))
    np.testing.assert_allclose(one, 1)
    np.testing.assert_allclose(eight, shared + (1 - shared) / 8)
    # one photograph cannot tell: all may be in common
    np.testing.assert_allclose(Likelihood.fit(s, z, 0 * groups).shared(ends), 1)


def test_a_density_narrower_than_the_cells_is_averaged_over_them():
    """A few points with their cells say of the bins what very many points say."""
    rng = np.random.default_rng(0)
    z = rng.uniform(0, 1, (5_000, 2))
    deviation = np.column_stack([0.01 + 0.02 * z[:, 1], np.full(5_000, 0.1)])
    model = Likelihood.fit(z + deviation * rng.standard_normal(z.shape), z, np.arange(5_000))
    bins = fd.GridBins(
        fd.DegradationSpace([fd.Axis.regular("blur_sigma", 0, 5, 2), fd.Axis.regular("noise_sigma", 0, 50, 4)])
    )
    few = bin_nodes(bins, model)
    assert few.counts.max() <= 25
    steps = (np.arange(400) + 0.5) / 400
    z = np.stack(np.meshgrid(steps, (np.arange(80) + 0.5) / 80, indexing="ij"), axis=-1).reshape(-1, 2)
    owners = bins.assign(bins.space.unstandardize(z))
    s = np.column_stack([rng.uniform(0.1, 0.4, 40), rng.uniform(0.1, 0.9, 40)])
    counts = np.ones(40, dtype=np.int64)
    density = np.exp(model.log_density(s, z, counts))
    many = np.stack([density[:, owners == k].mean(axis=1) for k in range(4)], axis=1)  # those of the lesser blur
    many /= many.sum(axis=1, keepdims=True)

    def error(cells: np.ndarray | float) -> float:
        found = np.exp(few.average(model.log_density(s, few.points, counts, cells)))[:, :4]
        return float(np.abs(found / found.sum(axis=1, keepdims=True) - many).max())

    assert error(few.cells) < 0.08
    assert error(0.0) > 2 * error(few.cells)


def test_regression_judges_itself_on_content_it_has_not_seen():
    """With pure noise as features, what is said of a held-out fold must not know the targets."""
    rng = np.random.default_rng(0)
    x, z = rng.standard_normal((600, 30)), rng.uniform(0, 1, (600, 1))
    (components,) = Components.fit(x, [np.ones(x.shape[1])])
    _, held_out = Regression.fit(components(x), z, np.arange(600) % 4, rng)
    assert abs(np.corrcoef(held_out[:, 0], z[:, 0])[0, 1]) < 0.15


def test_polynomial_terms():
    z = np.random.default_rng(0).uniform(0, 1, (5, 3))
    basis = Polynomial.of_degree(3, 2)
    x = 2 * z - 1
    expected = {tuple(e): np.prod(x ** np.array(e), axis=1) for e in basis.exponents}
    np.testing.assert_allclose(basis(z), np.stack(list(expected.values()), axis=1))
    assert len(basis.exponents) == 10
    assert len(Polynomial.of_degree(8, 5, 60).exponents) == 45  # the degree gives way


def test_bin_nodes_averages_within_each_bin(fitted):
    support = bin_nodes(fitted.bins, fitted.model_.likelihood)
    points = fitted.bins.space.unstandardize(support.points)
    owners = np.repeat(np.arange(75), support.counts)
    np.testing.assert_array_equal(fitted.bins.assign(points), owners)
    np.testing.assert_allclose(support.means(points), fitted.bins.centers, atol=1e-9)
    values = np.random.default_rng(0).normal(0, 400, (2, len(points)))
    got = support.average(values)
    from scipy.special import logsumexp

    for b in (0, 40, 74):
        inside = values[:, owners == b]
        np.testing.assert_allclose(got[:, b], logsumexp(inside, axis=1) - np.log(inside.shape[1]))


@pytest.mark.parametrize("shape", [(5, 300), (80, 80), (87, 88), (125, 190), (500, 90)])
def test_patches_cover_the_image_on_the_grid(shape):
    image = np.arange(shape[0] * shape[1]).reshape(shape)
    patches = [image[place] for place in places_of_patches(image, 80)]
    seen = np.zeros(shape, bool)
    for patch in patches:
        top, left = np.unravel_index(patch[0, 0], shape)
        assert top % 8 == left % 8 == 0
        seen[top : top + patch.shape[0], left : left + patch.shape[1]] = True
    assert seen[: max(80, shape[0] // 8 * 8 - 8), : max(80, shape[1] // 8 * 8 - 8)].all()


def test_what_is_no_sequence_of_images_is_named():
    estimator = fd.DegradationEstimator(fd.GridBins(fd.DegradationSpace.preset("paper")))
    with pytest.raises(TypeError, match=r"^clean_images: expected a sequence of images, got NoneType"):
        estimator.fit(None)
    with pytest.raises(ValueError, match=r"^clean_images\[0\]: expected sides of at least 96 pixels .* got 200 × 60"):
        estimator.fit([np.zeros((60, 200), np.uint8)])
    assert estimator.least_side == 96


def test_a_bad_seed_is_named(fitted):
    with pytest.raises(TypeError, match=r"^random_state: expected a numpy\.random\.Generator"):
        fitted.bootstrap([np.zeros((90, 90), np.uint8)], 2, random_state="x")


def test_a_factor_beside_a_factor_axis_is_refused():
    bins = fd.GridBins(fd.DegradationSpace([fd.Axis.levels("downsampling", [2, 4])]))
    with pytest.raises(ValueError, match="downsampling: expected None, as the space has an axis of that name, got 2"):
        _ = fd.DegradationEstimator(bins, downsampling=2).least_side
    assert fd.DegradationEstimator(bins).least_side == 24 * 4


def cut_out(x):
    """As a texture with transparent surroundings is read: laid over black."""
    seen = cv2.ellipse(np.zeros(x.shape[:2], np.uint8), (80, 75), (70, 70), 0, 0, 360, 1, -1)
    return x * seen[..., None]


def with_bars(x, *, top=40, left=0):
    return cv2.copyMakeBorder(x, top, top, left, left, cv2.BORDER_CONSTANT, value=(0, 0, 0))


@pytest.mark.parametrize("laid", [with_bars, lambda x: with_bars(x, top=13, left=21), cut_out])
def test_areas_of_one_colour_say_nothing(fitted, laid):
    rng = np.random.default_rng(0)
    photos = [
        fd.degrade(portrait()[:600, k : k + 480], downsampling=3, blur_sigma=2, noise_sigma=6, rng=rng)
        for k in range(0, 32, 4)
    ]
    known, found = fitted.infer(photos), fitted.infer([laid(x) for x in photos])
    assert known.without_comb.all()
    assert found.without_comb.all()
    np.testing.assert_allclose(found.parameters.mean(axis=0), known.parameters.mean(axis=0), rtol=0, atol=2)


def test_patches_lie_beside_areas_of_one_colour():
    image = np.random.default_rng(0).integers(0, 256, (230, 310, 3), dtype=np.uint8)
    usual = places_of_patches(image, 80)
    small = image.copy()
    small[50:70, 60:90] = 7  # a spot: no matter
    assert places_of_patches(small, 80) == usual
    image[100:150, 120:] = (9, 8, 7)
    places = places_of_patches(image, 80)
    assert len(places) >= 6
    for place in places:
        assert image[place].shape[:2] == (80, 80)
        assert not (image[place] == (9, 8, 7)).all(axis=2).any()
        assert all(side.start % 8 == 0 for side in place)
    image[:, 40:] = 0
    assert {s[1].stop - s[1].start for s in places_of_patches(image, 80)} == {35}
    image[:] = 1
    assert places_of_patches(image, 80) == usual
    np.testing.assert_array_equal(without_bars(image), image)
    framed = with_bars(np.random.default_rng(1).integers(0, 256, (60, 80, 3), dtype=np.uint8), top=12)
    inner = without_bars(framed)
    np.testing.assert_array_equal(inner, framed[24:64])  # on the grid, with a margin


ROBIDOUX = [  # of mozjpeg, at quality 75
    8, 8, 8, 9, 12, 18, 28, 42, 8, 8, 10, 14, 17, 20, 26, 38,
    8, 10, 12, 16, 22, 31, 46, 68, 9, 14, 16, 20, 26, 37, 53, 78,
    12, 17, 22, 26, 34, 47, 66, 94, 18, 20, 31, 37, 47, 62, 84, 119,
    28, 26, 46, 53, 66, 84, 113, 156, 42, 38, 68, 78, 94, 119, 156, 209,
]  # fmt: skip


@pytest.mark.parametrize("tables", [[[16] * 64] * 2, [ROBIDOUX] * 2])
def test_tables_of_other_encoders_are_not_taken_for_a_quality(fitted, tables):
    def saved(x, **options):
        file = io.BytesIO()
        Image.fromarray(x).save(file, "JPEG", **options)
        return np.asarray(Image.open(file))

    rng = np.random.default_rng(0)
    photos = [
        fd.degrade(portrait()[k : k + 400, k : k + 400], downsampling=4, blur_sigma=1, noise_sigma=8, rng=rng)
        for k in range(0, 96, 8)
    ]
    assert not fitted.infer([saved(x, quality=60) for x in photos]).without_comb.any()
    found = fitted.infer([saved(x, qtables=tables) for x in photos])
    assert found.without_comb.all()
    assert found.outside.mean() > 0.6


def test_where_an_axis_ends_too_early_is_told(fitted):
    images, _ = references([portrait()], ((1, 2), (58, 62), (80, 82)), 8, seed=2)
    with pytest.warns(UserWarning, match=r"^noise_sigma: .* in the bin that ends at 50, and most images"):
        fitted.estimate(images, keep_outside=True)
    assert any(text.startswith("noise_sigma") for text in fitted.infer(images, keep_outside=True).at_ends)
    images, _ = references([portrait()], ((1, 2), (42, 48), (80, 82)), 8, seed=2)
    assert fitted.infer(images).at_ends == ()
