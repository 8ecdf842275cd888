"""The forecast: its learner is ridge regression, its gradients are right, and what it says of training is sensible."""

import csv

import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge

import fastdeg as fd
from fastdeg.cli import main
from fastdeg.cli.demo import embedded_photographs, uniform_within
from fastdeg.forecast.features import N_FEATURES, complete, fill, filters
from fastdeg.forecast.groups import BinGroups
from fastdeg.forecast.learner import Learner, Moments
from fastdeg.forecast.moments import memory_needed
from fastdeg.runs.workflow import Candidates, craft_run, save_run, summarize


def photographs():
    """Twelve pieces of three photographs."""
    return [
        np.ascontiguousarray(piece)
        for image in embedded_photographs().values()
        for half in np.array_split(image, 2, axis=0)
        for piece in np.array_split(half, 2, axis=1)
    ]


@pytest.fixture(scope="module")
def bins():
    axes = [fd.Axis.regular("blur_sigma", 0, 5, 5), fd.Axis.regular("noise_sigma", 0, 20, 2)]
    return fd.GridBins(fd.DegradationSpace(axes))


@pytest.fixture(scope="module")
def clean():
    return photographs()


@pytest.fixture(scope="module")
def forecast(bins, clean):
    return fd.TrainingForecast(bins).fit(clean)


@pytest.fixture
def narrow(bins):
    return fd.BinnedDistribution(bins, np.eye(10)[9])


def random_moments(rng, n_groups, n_bins, n=60, n_features=7, n_targets=2):
    """Features and targets (G, N, n, ·), whose relation differs from bin to bin, and their moments in float64."""
    x = rng.normal(size=(n_groups, n_bins, n, n_features)) + rng.normal(size=(1, n_bins, 1, n_features))
    y = x @ rng.normal(size=(1, n_bins, n_features, n_targets)) + rng.normal(size=(n_groups, n_bins, n, n_targets))
    whole = np.einsum("gbni,gbnj->gbij", x, x) / n
    rows, columns = np.tril_indices(n_features)
    products = np.einsum("gbni,gbnt->gbit", x, y) / n
    shares = rng.dirichlet(np.full(n_groups, 5.0))
    return x, y, Moments(whole[..., rows, columns], products, (y**2).mean(axis=2).sum(axis=-1), shares, ridge=0.05)


def test_one_bin_is_ridge_regression():
    x, y, moments = random_moments(np.random.default_rng(0), 1, 1)
    learner = Learner(moments)
    trained = learner.train(np.ones((1, 1)))
    ridge = Ridge(alpha=60 * 0.05, fit_intercept=False, tol=1e-12, solver="cholesky").fit(x[0, 0], y[0, 0])
    assert_allclose(trained.weights[0, 0], ridge.coef_.T, atol=1e-8)
    expected = ((ridge.predict(x[0, 0]) - y[0, 0]) ** 2).sum(axis=1).mean()
    assert_allclose(learner.errors(trained)[0, 0], [expected], rtol=1e-8)


def test_training_on_a_mixture_is_weighted_ridge_regression_on_the_other_groups():
    x, y, moments = random_moments(np.random.default_rng(1), 3, 4)
    pmfs = np.random.default_rng(2).dirichlet(np.ones(4), 2)
    learner = Learner(moments)
    errors = learner.errors(learner.train(pmfs))
    for p, by_group in zip(pmfs, errors, strict=True):
        for g in range(3):
            others = [h for h in range(3) if h != g]
            shares = moments.shares[others] / moments.shares[others].sum()
            weights = np.repeat(np.multiply.outer(shares, p).ravel(), 60) / 60
            ridge = Ridge(alpha=0.05, fit_intercept=False, solver="cholesky")
            ridge.fit(x[others].reshape(-1, 7), y[others].reshape(-1, 2), weights)
            for j in range(4):
                expected = ((ridge.predict(x[g, j]) - y[g, j]) ** 2).sum(axis=1).mean()
                assert_allclose(by_group[g, j], expected, rtol=1e-8)


@pytest.mark.parametrize("n_groups", [1, 3])
def test_gradients_are_those_of_finite_differences(n_groups):
    rng = np.random.default_rng(3)
    learner = Learner(random_moments(rng, n_groups, 5)[2])
    p, weights = rng.dirichlet(np.ones(5)), rng.random((n_groups, 5))

    def value(p):
        return float((weights * np.log(learner.errors(learner.train(p[None]))[0])).sum())

    trained = learner.train(p[None])
    gradient = learner.gradient(trained, weights / learner.errors(trained)[0])
    steps = 1e-5 * np.eye(5)
    expected = [(value(p + step) - value(p - step)) / 2e-5 for step in steps]
    assert_allclose(gradient, expected, rtol=1e-5, atol=1e-7)


def test_derivative_of_the_accuracy(forecast, bins):
    rng = np.random.default_rng(4)
    p, direction = rng.dirichlet(np.full(10, 5.0)), rng.normal(size=10)
    direction -= direction.mean()
    target = fd.BinnedDistribution(bins, rng.dirichlet(np.ones(10)))
    values = [forecast.mean_psnr(fd.BinnedDistribution(bins, p + s * direction), target)[0] for s in (-1e-2, 1e-2)]
    _, gradient = forecast.mean_psnr(fd.BinnedDistribution(bins, p), target)
    assert_allclose(gradient @ direction, (values[1] - values[0]) / 2e-2, rtol=0.02)
    value, _ = forecast.mean_psnr(target, target)
    assert_allclose(value, target.pmf @ forecast.psnr(target), atol=1e-4)


def test_training_where_it_counts_helps_there(forecast, narrow, bins):
    gain = forecast.gain(narrow, target=narrow)
    assert gain.target > 3 * gain.target_error > 0
    assert gain.prior < -3 * gain.prior_error < 0
    uniform = fd.BinnedDistribution.uniform(bins)
    assert forecast.gain(uniform, target=narrow) == fd.forecast.Gain(0.0, 0.0, 0.0, 0.0)
    expected = narrow.pmf @ (forecast.psnr(narrow) - forecast.psnr(uniform))
    assert_allclose(gain.target, expected, atol=1e-4)
    assert_allclose(forecast.gain(uniform, target=narrow, prior=narrow).target, -gain.target, atol=1e-4)
    noise = forecast.psnr(uniform).reshape(5, 2)
    assert (np.diff(noise, axis=1) < 0).all()  # more noise is harder


def test_the_same_bits_wherever_the_work_is_done(clean):
    bins = fd.GridBins(fd.DegradationSpace([fd.Axis.regular("noise_sigma", 0, 20, 2)]))

    def moments(threads=None):
        return fd.TrainingForecast(bins).fit(clean, threads=threads).moments_

    expected = moments(threads=1)
    assert moments(threads=2) == moments(threads=4) == expected
    with joblib.parallel_config("loky", n_jobs=2):
        assert moments() == expected


def test_seeds(bins, clean, forecast, narrow):
    other = fd.TrainingForecast(bins, random_state=1).fit(clean)
    differences = np.abs(other.psnr(narrow) - forecast.psnr(narrow))
    assert 0 < np.median(differences) < 0.2


def test_single_images_and_axes_of_factors(clean):
    space = fd.DegradationSpace([fd.Axis.levels("downsampling", [2, 3, 4])])
    bins = fd.GridBins(space)
    told = []
    forecast = fd.TrainingForecast(bins, scale=2).fit(clean[:1], progress=lambda done, message: told.append(done))
    psnr = forecast.psnr(fd.BinnedDistribution.uniform(bins))
    assert (np.diff(psnr) < 0).all()  # coarser is harder
    assert told[-1] == 1
    assert_array_equal(np.sort(told), told)


def test_histories(tmp_path, bins, clean, forecast, narrow):
    history = fd.History([{"step": "JPEG", "jpeg_quality": [10, 20]}])
    compressed = fd.TrainingForecast(bins, history=history).fit(clean)
    uniform = fd.BinnedDistribution.uniform(bins)
    assert compressed.psnr(uniform)[0] < forecast.psnr(uniform)[0] - 0.3
    compressed.save(tmp_path / "forecast.npz")
    assert fd.TrainingForecast.load(tmp_path / "forecast.npz").history == history
    with pytest.raises(ValueError, match="expected no parameter that is crafted"):
        fd.TrainingForecast(bins, history=fd.History([{"step": "blur", "blur_sigma": 1}])).fit(clean)


def test_save_and_load(tmp_path, forecast, narrow):
    forecast.save(tmp_path / "forecast.npz")
    loaded = fd.TrainingForecast.load(tmp_path / "forecast.npz")
    assert_array_equal(loaded.psnr(narrow), forecast.psnr(narrow))
    assert loaded.get_params() == forecast.get_params()
    assert loaded.n_images_ == 12
    narrow.save(tmp_path / "other.npz")
    with pytest.raises(ValueError, match="expected a file written by TrainingForecast"):
        fd.TrainingForecast.load(tmp_path / "other.npz")
    with pytest.raises(FileNotFoundError, match="no such file"):
        fd.TrainingForecast.load(tmp_path / "none.npz")


@pytest.mark.parametrize(
    ("options", "images", "message"),
    [
        ({"scale": 1}, None, "scale"),
        ({"random_state": -1}, None, "random_state"),
        ({}, [], "clean_images: expected at least one"),
        ({}, "folder", "clean_images: expected a sequence"),
        ({}, [np.zeros((40, 300), np.uint8)] * 2, r"clean_images\[0\]: expected sides of at least 48"),
        ({}, [np.zeros((60, 60), np.uint8)], r"clean_images\[0\]: .* 96 along the longer"),
    ],
)
def test_wrong_arguments(bins, clean, options, images, message):
    with pytest.raises((ValueError, TypeError), match=message):
        fd.TrainingForecast(bins, **options).fit(clean if images is None else images)


def test_wrong_distributions(bins, forecast, narrow):
    other = fd.BinnedDistribution.uniform(fd.GridBins(fd.DegradationSpace.preset("paper")))
    with pytest.raises(ValueError, match="target: expected the bins that the forecast was fitted with"):
        forecast.gain(narrow, target=other)
    with pytest.raises(TypeError, match="p: expected a BinnedDistribution, got ndarray"):
        forecast.psnr(narrow.pmf)
    with pytest.raises(NotFittedError):
        fd.TrainingForecast(bins).psnr(narrow)
    with pytest.raises(ValueError, match="expected axes among"):
        fd.TrainingForecast(fd.GridBins(fd.DegradationSpace([fd.Axis.regular("a", 0, 1, 2)]))).fit([])


def test_memory_is_known_before(forecast):
    moments = forecast.moments_
    taken = moments.features.nbytes + moments.products.nbytes
    assert memory_needed(10, 5, 4, 0) == taken
    assert moments.n_features == N_FEATURES


def test_features_are_what_they_are_said_to_be(clean):
    rng = np.random.default_rng(5)
    low, high = clean[0][:40, :50, 1], rng.uniform(0, 255, (80, 100)).astype(np.float32)
    places = np.array([[5, 5], [20, 31], [34, 44]])
    features, targets = np.empty((3, N_FEATURES), np.float32), np.empty((3, 4), np.float32)
    fill(low, high, places, features, targets)
    complete(features)
    bank, bias = filters()
    passing = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]])
    for (row, column), x, y in zip(places, features, targets, strict=True):
        patch = low[row - 5 : row + 6, column - 5 : column + 6].astype(float)
        pixels = (patch - patch.mean()) / 20
        windows = np.lib.stride_tricks.sliding_window_view(patch, (3, 3))
        level = np.log(np.sqrt(np.pi / 2) / 6 * np.abs((windows * passing).sum(axis=(2, 3))).mean())
        gates = [np.interp(level, np.log([1, 4, 10, 25]), weights) for weights in np.eye(4)]
        linear = [1, *pixels.ravel(), *(0.3 * np.multiply.outer(gates, pixels[2:9, 2:9]).ravel())]
        assert_allclose(x, [*linear, *(0.3 * np.maximum(pixels.ravel() @ bank + bias, 0))], atol=1e-4)
        block = high[2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
        assert_allclose(y, (block.ravel() - patch.mean()) / 20, atol=1e-4)


def test_groups_of_bins_near_each_other():
    bins = fd.GridBins(fd.DegradationSpace.preset("dense"))
    groups = BinGroups.of(bins)
    assert groups.n_groups == 150
    p = np.random.default_rng(6).dirichlet(np.ones(bins.n_bins))
    assert_allclose(groups.gather(p), [p[groups.labels == k].sum() for k in range(150)])
    drawn = groups.draw(bins, 7)(40, np.random.default_rng(0))
    assert (groups.labels[bins.assign(drawn)] == 7).all()
    x = bins.standardized_centers()
    means = np.stack([groups.gather(bins.volumes * c) / groups.gather(bins.volumes) for c in x.T], axis=1)
    slope = np.array([3.0, -2.0, 1.0])  # of a linear accuracy, whose error is known
    within = x @ slope - groups.spread(means @ slope)
    assert_allclose(groups.error(bins, means @ slope), np.sqrt(bins.volumes @ within**2), rtol=1e-6)


def test_a_loss_that_is_allowed(forecast, bins, narrow):
    everything = forecast.gain(narrow, target=narrow)
    limit = -everything.prior / 3
    result = fd.craft(narrow, generalization={"loss": limit}, forecast=forecast)
    gain = forecast.gain(result.distribution, target=narrow)
    assert result.converged
    assert 0.8 * limit < -gain.prior + gain.prior_error <= limit  # one standard error on top
    plain = fd.craft(narrow, generalization=result.generalization)
    assert_allclose(plain.distribution.pmf, result.distribution.pmf, atol=1e-3)
    assert gain.target > 0
    generous = fd.craft(narrow, generalization={"loss": 100}, forecast=forecast)
    assert forecast.gain(generous.distribution, target=narrow).target >= gain.target


def test_auto_with_a_forecast_goes_on_to_one_standard_error(forecast, bins, narrow):
    q = fd.BinnedDistribution(bins, 0.9 * narrow.pmf + 0.1 * np.eye(10)[7], n_samples=1000)
    told = []
    result = fd.craft(q, forecast=forecast, progress=lambda done, message: told.append(done))
    without = fd.craft(q).generalization
    assert result.generalization > 1.1 * without
    assert_array_equal(np.sort(told), told)
    path = fd.tradeoff_path(q, np.geomspace(without, 2, 12), forecast=forecast)
    best = forecast.gain(path.results[path.target_gain.argmax()].distribution, target=q)
    enough = best.target - best.target_error
    assert_allclose(forecast.gain(result.distribution, target=q).target, enough, atol=0.2 * best.target_error)
    few = fd.BinnedDistribution(bins, np.eye(10)[[0, 9]].mean(axis=0), n_samples=2)  # evidence alone allows more
    assert fd.craft(few, forecast=forecast).generalization == fd.craft(few).generalization


def test_a_loss_that_no_distribution_keeps(forecast, narrow):
    with pytest.warns(UserWarning, match="no p on the path loses as little as 0 dB"):
        result = fd.craft(narrow, generalization={"loss": 0}, forecast=forecast)
    assert result.terms["kl"] < 0.05


@pytest.mark.parametrize(
    ("generalization", "given", "message"),
    [
        ({"gain": 1}, True, "expected the key"),
        ({}, True, "expected the key"),
        ({"loss": -1}, True, "loss"),
        ({"loss": 0.1}, False, "needs forecast="),
    ],
)
def test_wrong_generalizations(forecast, narrow, generalization, given, message):
    with pytest.raises(ValueError, match=message):
        fd.craft(narrow, generalization=generalization, forecast=forecast if given else None)


def test_a_search_that_is_short_of_time(forecast, bins, narrow):
    told = []
    with pytest.warns(RuntimeWarning, match="not converged"):
        result = fd.craft(
            narrow,
            generalization={"loss": 0.2},
            forecast=forecast,
            time_limit=1e-6,
            progress=lambda done, message: told.append(done),
        )
    assert_allclose(result.distribution.pmf.sum(), 1)
    assert_array_equal(np.sort(told), told)
    uniform = fd.BinnedDistribution.uniform(bins)
    with pytest.raises(ValueError, match="nothing to choose from where the target is the prior"):
        fd.craft(uniform, generalization={"loss": 0.2}, forecast=forecast)


def test_forecasts_of_other_bins(forecast):
    other = fd.BinnedDistribution.uniform(fd.GridBins(fd.DegradationSpace.preset("paper")))
    with pytest.raises(ValueError, match="forecast: expected one for the bins of the target"):
        fd.tradeoff_path(other, [0.1], forecast=forecast)
    with pytest.raises(TypeError, match="forecast: expected a TrainingForecast"):
        fd.craft(other, generalization=0.1, forecast="yes")


def test_paths_carry_decibels(forecast, bins, narrow):
    prior = fd.BinnedDistribution(bins, np.arange(1, 11) / 55)
    path = fd.tradeoff_path(narrow, [0.05, 0.3, 1.0], prior=prior, forecast=forecast)
    for k, result in enumerate(path.results):
        gain = forecast.gain(result.distribution, target=narrow, prior=prior)
        assert_allclose([path.target_gain[k], path.prior_gain[k]], [gain.target, gain.prior], atol=1e-4)
    assert (np.diff(path.prior_gain) > 0).all()
    mixed = fd.baselines.mixture(narrow, prior, path.mixture_weights[1])
    expected = forecast.gain(mixed, target=narrow, prior=prior).target
    assert_allclose(path.mixtures.target_gain[1], expected, atol=1e-4)
    assert path.plot().lines[1].get_xdata().tolist() == path.prior_gain.tolist()
    assert fd.tradeoff_path(narrow, [0.3]).target_gain is None


def test_the_best_in_the_forecast(forecast, narrow):
    start = fd.baselines.mixture(narrow, fd.BinnedDistribution.uniform(narrow.bins), 0.3)
    best = fd.baselines.forecast_optimal(narrow, forecast, 0.3)
    assert forecast.mean_psnr(best, start)[0] > forecast.mean_psnr(start, start)[0] + 0.005
    with pytest.raises(TypeError, match="forecast: expected a TrainingForecast"):
        fd.baselines.forecast_optimal(narrow, None, 0.3)


def test_the_claim_on_photographs():
    """What training on p crafted from 24 photos promises: means over three settings, JPEG aside."""
    axes = [("blur_sigma", 0, 5, 5), ("noise_sigma", 0, 50, 5)]
    bins = fd.GridBins(fd.DegradationSpace([fd.Axis.regular(*axis) for axis in axes]))
    forecast = fd.TrainingForecast(bins).fit(photographs())
    crafted, known = [], []
    for k, (blur, noise) in enumerate([((0, 1), (0, 10)), ((0.5, 1.5), (15, 25)), ((1.5, 2.5), (5, 15))]):
        truth = uniform_within(bins, {"blur_sigma": blur, "noise_sigma": noise})
        photos = np.random.default_rng(k).uniform(*np.transpose([blur, noise]), (24, 2))
        p = fd.craft(fd.BinnedDistribution.from_samples(bins, photos), forecast=forecast).distribution
        gains = forecast.gains([p, truth], target=truth)
        crafted.append((gains[0].target, gains[0].prior))
        known.append((gains[1].target, gains[1].prior))
    (gain, loss), (most, most_lost) = np.mean(crafted, axis=0), np.mean(known, axis=0)
    assert gain > 0.15
    assert gain > 0.8 * most  # asked: half of what knowing the truth gains
    assert loss > 0.2 * most_lost  # asked: a third of what it loses


def test_runs_tell_decibels(tmp_path, forecast, bins, narrow):
    nobody = Candidates((), np.empty((0, 2)), np.empty((0, 2)), np.empty(0, np.int64))
    limit = -forecast.gain(narrow, target=narrow).prior / 2
    run = craft_run(narrow, nobody, generalization={"loss": limit}, forecast=forecast, n_references=0)
    summary = summarize(run, "craft", {})
    rows = {row["distribution"]: row for row in summary["comparison"]}
    assert_allclose(rows["uniform"]["target_gain"], 0, atol=1e-5)
    assert -limit <= rows["crafted p"]["prior_gain"] < 0
    assert rows["best in the forecast"]["target_gain"] > rows["uniform"]["target_gain"]
    save_run(tmp_path / "run", run, summary)
    page = (tmp_path / "run" / "report.html").read_text()
    crafted = rows["crafted p"]
    for text in (
        "on your photos (dB)",
        f"{crafted['target_gain']:+.2f} ± {crafted['target_gain_error']:.2f}",
        "gains over",
    ):
        assert text in page
    with (tmp_path / "run" / "tradeoff.csv").open() as file:
        first = next(csv.DictReader(file))
    assert_allclose(float(first["target_gain"]), run.path.target_gain[0], rtol=1e-5)
    assert_allclose(float(first["mixture_prior_gain"]), run.path.mixtures.prior_gain[0], rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--allow-loss", "-0.1"], "--allow-loss: expected decibels >= 0, got -0.1"),
        (["--allow-loss", "0.2", "--generalization", "0.1"], "leave one of them out"),
        (["--forecast", "--annotations", "table.csv"], "--forecast: goes with --references and --clean"),
    ],
)
def test_options_that_do_not_fit(capsys, tmp_path, options, message):
    assert main(["craft", *options, "-o", str(tmp_path / "run")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
