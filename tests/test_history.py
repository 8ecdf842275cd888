"""Histories: what is drawn beside the crafted chain, from the same code for all, and what is refused."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import PIL.Image
import pytest
from problems_images import photographs

import fastdeg as fd
from fastdeg.cli import main
from fastdeg.cli.inputs import read_history, read_space
from fastdeg.degradations import Choice, HistoryStep, OneOf, Uniform
from fastdeg.runs.folder import read_csv, read_summary
from fastdeg.runs.handover import load_transform

SHARPENED = {"step": "sharpening", "sharpening_amount": [1, 2], "sharpening_radius": {"log_uniform": [0.5, 2]}}


def picture():
    return photographs()[0][:160, :200]


@pytest.mark.parametrize("name", ["plain", "photo", "realesrgan"])
def test_presets_draw_from_the_generator_alone_and_keep_the_size(name):
    history = fd.History.preset(name)
    for image in (picture(), picture()[..., 0]):
        seen = set()
        for seed in range(12):
            low = fd.degrade(image, downsampling=4, history=history, rng=seed)
            assert low.dtype == np.uint8
            assert low.shape == (40, 50, *image.shape[2:])
            np.testing.assert_array_equal(low, fd.degrade(image, downsampling=4, history=name, rng=seed))
            seen.add(low.tobytes())
        assert len(seen) == (1 if name == "plain" else 12)
    np.testing.assert_array_equal(
        fd.degrade(picture(), noise_sigma=5, history="plain", rng=1), fd.degrade(picture(), noise_sigma=5, rng=1)
    )


def test_threads_change_no_bit():
    def pair(seed):
        return fd.degrade(picture(), downsampling=4, noise_sigma=9, history=history, rng=seed)

    for name in ("photo", "realesrgan"):
        history = fd.History.preset(name).without(["noise_sigma", "poisson_scale"])
        expected = [pair(seed) for seed in range(16)]
        with ThreadPoolExecutor(4) as pool:
            for got, alone in zip(pool.map(pair, range(16)), expected, strict=True):
                np.testing.assert_array_equal(got, alone)


@pytest.mark.parametrize("name", ["plain", "photo", "realesrgan"])
def test_a_history_is_a_value(name):
    history = fd.History.preset(name)
    again = fd.History.from_dict(history.to_dict())
    for same in (again, pickle.loads(pickle.dumps(history)), copy.deepcopy(history)):
        assert same == history
        assert hash(same) == hash(history)
    assert fd.History.from_dict({"preset": name}) == history
    assert (history == fd.History([SHARPENED])) is False


def test_what_is_drawn_joins_the_crafted_chain():
    drawn = fd.History([{"step": "JPEG", "jpeg_quality": 30}, SHARPENED]).draw(np.random.default_rng(0))
    assert drawn.parameters == drawn.settings
    expected = fd.degrade(picture(), blur_sigma=1, downsampling=2, **drawn.settings)
    got = fd.degrade(picture(), blur_sigma=1, downsampling=2, rng=0, history=fd.History([
        {"step": "JPEG", "jpeg_quality": 30}, SHARPENED]))  # fmt: skip
    np.testing.assert_array_equal(got, expected)


def test_events_happen_at_their_places_in_the_order_of_the_list():
    first = {"step": "JPEG", "jpeg_quality": 10, "label": "first"}
    image = picture()
    got = fd.degrade(image, blur_sigma=2, history=fd.History([first | {"before": "blur"}]), rng=0)
    np.testing.assert_array_equal(got, fd.degrade(fd.degrade(image, jpeg_quality=10), blur_sigma=2))
    got = fd.degrade(image, downsampling=2, jpeg_quality=60, history=fd.History([first | {"after": "JPEG"}]), rng=0)
    np.testing.assert_array_equal(got, fd.degrade(fd.degrade(image, downsampling=2, jpeg_quality=60), jpeg_quality=10))
    steps = [first | {"after": "downsampling"}, {"step": "median", "median_size": 5, "after": "downsampling"}]
    low = fd.degrade(image, downsampling=2)
    for order in (steps, steps[::-1]):
        expected = low
        for step in order:
            name = next(key for key in step if key.endswith(("quality", "size")))
            expected = fd.degrade(expected, **{name: step[name]})
        got = fd.degrade(image, downsampling=2, history=fd.History(order), rng=0)
        # the downsampled picture is not rounded before the first of them where nothing needs 8 bits: both do
        np.testing.assert_array_equal(got, expected)


def test_probabilities_ranges_and_branches_are_what_they_say():
    rng = np.random.default_rng(0)
    step = HistoryStep("Gaussian noise", {"noise_sigma": Choice([Uniform(0, 1), 7.0], [0.25, 0.75])}, probability=0.5)
    values = [step.draw(rng).settings.get("noise_sigma", -1) for _ in range(4000)]
    assert np.mean([v == -1 for v in values]) == pytest.approx(0.5, abs=0.03)
    assert np.mean([v == 7 for v in values]) == pytest.approx(0.375, abs=0.03)
    assert np.mean([0 <= v <= 1 for v in values]) == pytest.approx(0.125, abs=0.03)
    history = fd.History([OneOf([(3, [step]), (1, [SHARPENED])])])
    drawn = [history.draw(rng).settings for _ in range(4000)]
    assert np.mean(["sharpening_amount" in d for d in drawn]) == pytest.approx(0.25, abs=0.03)
    for kind, transform in (("log_uniform", np.log), ("root_uniform", np.sqrt)):
        of_kind = HistoryStep("Gaussian noise", {"noise_sigma": {kind: [1, 25]}})
        low, high = transform(1), transform(25)
        share = [(transform(of_kind.draw(rng).settings["noise_sigma"]) - low) / (high - low) for _ in range(2000)]
        assert np.histogram(share, 4, (0, 1))[0] == pytest.approx(500, rel=0.2)
    whole = HistoryStep("JPEG", {"jpeg_quality": {"integers": [3, 5]}})
    assert {whole.draw(rng).settings["jpeg_quality"] for _ in range(100)} == {3, 4, 5}


def test_a_transform_and_degrade_draw_from_the_same_code():
    bins = fd.GridBins(fd.DegradationSpace([fd.Axis.levels("blur_sigma", [1.5])]))
    uniform = fd.BinnedDistribution.uniform(bins)
    low, used = fd.DegradationTransform(uniform, downsampling=2, history="photo", seed=3)(picture())
    drawn = {name: value for name, value in used.items() if name not in ("blur_sigma", "downsampling")}
    assert used["blur_sigma"] == 1.5
    assert {"noise", "interpolation", "jpeg_subsampling"} <= drawn.keys() <= fd.History.preset("photo").names
    np.testing.assert_array_equal(low, fd.degrade(picture(), **used, rng=0))  # nothing else is left to chance


def test_halves_are_drawn_apart():
    history = fd.History.preset("realesrgan")
    first, second = history.halves()
    assert first.names | second.names == history.names
    assert "first.jpeg_quality" in first.names
    assert "resampling_scale" in first.names
    assert "jpeg_quality" in second.names
    assert not second.draw(np.random.default_rng(0)).settings.keys() & {"resampling_scale", "interpolation"}


@pytest.mark.parametrize(
    ("steps", "error", "words"),
    [
        ([{"step": "medain"}], ValueError, r"^history\[0\]: step: expected one of 'blur', .*, got 'medain'$"),
        ([SHARPENED, {"step": "JPEG", "jpeg_quality": [90, 30]}], ValueError,
         r"^history\[1\]: jpeg_quality: expected low <= high, got \[90, 30\]$"),
        ([{"step": "JPEG", "jpeg_quality": 30, "probability": 1.2}], ValueError,
         r"^history\[0\]: probability: expected a number from 0 to 1, got 1.2$"),
        ([{"one_of": [{"steps": []}, {"steps": [{"step": "JPEG", "jpeg_quality": [3, 200]}]}]}], ValueError,
         r"^history\[0\]: one_of\[1\].steps\[0\]: jpeg_quality: expected a number from 1 to 110, got 200"),
        ([{"step": "JPEG", "quality": 3}], ValueError, r"step 'JPEG': expected one of 'jpeg_quality', .*got 'quality'"),
        ([{"step": "JPEG", "jpeg_quality": None}], TypeError, r"^history\[0\]: jpeg_quality: .*expected a number"),
        ([{"step": "JPEG", "jpeg_subsampling": "5:2:0"}], ValueError, "jpeg_subsampling: expected one of"),
        ([{"step": "JPEG", "jpeg_quality": {"choice": [1, 2], "weights": [1]}}], ValueError, "list of 2 numbers"),
        ([{"step": "JPEG", "jpeg_quality": 9, "after": "tea"}], ValueError, "after: expected one of .* got 'tea'"),
        ([{"step": "JPEG", "jpeg_quality": 9, "label": "first"}], ValueError, "label: expected a word, beside after"),
        ([SHARPENED, SHARPENED], ValueError, r"^history\[1\]: 'sharpening_amount' is drawn twice"),
        ([3], TypeError, r"^history\[0\]: expected a mapping with 'step' or 'one_of', got 3"),
        ({"a": 1}, TypeError, "^history: expected a list of steps"),
    ],
)  # fmt: skip
def test_bad_histories_are_told_in_a_sentence_with_the_place(steps, error, words):
    with pytest.raises(error, match=words):
        fd.History(steps)


def test_what_is_crafted_is_not_drawn():
    history = fd.History([SHARPENED, {"step": "JPEG", "jpeg_quality": [30, 95]}])
    with pytest.raises(
        ValueError, match=r"^history\[1\]: expected no parameter that is crafted, .* got 'jpeg_quality'"
    ):
        fd.degrade(picture(), jpeg_quality=50, history=history)
    uniform = fd.BinnedDistribution.uniform(fd.GridBins(fd.DegradationSpace.preset("paper")))
    with pytest.raises(ValueError, match="got 'jpeg_quality'"):
        fd.DegradationTransform(uniform, history=history)
    for call in (fd.degrade, lambda image, **words: fd.DegradationTransform(uniform, **words)):
        with pytest.raises(ValueError, match="got 'noise'"):
            call(picture(), noise="color", history="photo")
        with pytest.raises(ValueError, match="history: expected one of 'plain', 'photo', 'realesrgan', got 'tea'"):
            call(picture(), history="tea")
        with pytest.raises(TypeError, match="history: expected a History, the name of a preset or None, got int"):
            call(picture(), history=3)
    with pytest.raises(ValueError, match="history: expected None beside degrade"):
        fd.DegradationTransform(uniform, history="photo", degrade=lambda image, parameters, rng: image)


def test_a_file_of_a_space_may_hold_a_history(tmp_path):
    file = tmp_path / "space.yaml"
    axes = "axes:\n  - {name: noise_sigma, low: 0, high: 50, n_bins: 5}\n"
    file.write_text(axes)
    assert read_history(str(file)) is None
    assert read_history("photo") is None
    file.write_text(axes + "history: photo\n")
    assert read_history(str(file)) == fd.History.preset("photo")
    file.write_text(axes + 'history:\n  - {step: JPEG, jpeg_quality: [30, 95], jpeg_subsampling: "4:4:4"}\n')
    assert read_history(str(file)) == fd.History(
        [HistoryStep("JPEG", {"jpeg_quality": Uniform(30, 95), "jpeg_subsampling": "4:4:4"})]
    )
    file.write_text(axes + "history: {preset: photo}\n")
    assert read_history(str(file)) == fd.History.preset("photo")
    assert read_space(str(file)).names == ("noise_sigma",)
    for bad, words in (
        ("history:\n  - {step: JPEG, jpeg_quality: [95, 30]}\n", r"history\[0\]: jpeg_quality: expected low <= high"),
        ("history: tea\n", "history: expected one of 'plain', 'photo', 'realesrgan', got 'tea'"),
        ("history: {steps: 3}\n", "history: expected a list of steps, got 3"),
        (
            "history: {tea: 3}\n",
            "history: expected a mapping with a list 'steps', or with 'preset', got dict {'tea': 3}",
        ),
        ("history: 3\n", "history: expected a list of steps, got 3"),
    ):
        file.write_text(axes + bad)
        with pytest.raises(ValueError, match=rf"space\.yaml: {words}"):
            read_history(str(file))


def test_steps_are_taken_out_by_what_they_draw():
    history = fd.History.preset("realesrgan")
    names = ["noise_sigma", "poisson_scale", "jpeg_quality"]
    space = fd.DegradationSpace([fd.Axis.levels("noise_sigma", [10]), fd.Axis.levels("jpeg_quality", [40])])
    uniform = fd.BinnedDistribution.uniform(fd.GridBins(space))
    with pytest.raises(ValueError, match="crafted"):
        fd.DegradationTransform(uniform, history=history)
    less = history.without(names)
    assert less.names == {name for name in history.names if name not in (*names, "noise")}
    low, used = fd.DegradationTransform(uniform, history=less, seed=0)(picture())
    assert low.shape == (40, 50, 3)
    assert used["noise_sigma"] == 10
    assert any(name.startswith("first.") for name in used)
    assert repr(less).startswith("History(one of 9, first resize, one of 2, first JPEG, ")


def test_a_real_factor_is_an_axis_beside_the_preset():
    axes = [*fd.DegradationSpace.preset("photo").axes, fd.Axis.regular("downsampling", 2, 4, 4)]
    uniform = fd.BinnedDistribution.uniform(fd.GridBins(fd.DegradationSpace(axes)))
    transform = fd.DegradationTransform(uniform, history="photo", seed=0)
    clean = picture()
    sizes, qualities = set(), []
    for index in range(40):
        low, used = transform(clean, index=index)
        assert low.shape[:2] == tuple(int(side / used["downsampling"]) for side in clean.shape[:2])
        sizes.add(low.shape)
        qualities.append(used["jpeg_quality"])
    assert len(sizes) > 10
    assert min(qualities) < 60 < 100 < max(qualities)  # some are not compressed at all


def test_real_esrgan_is_drawn_as_published():
    rng = np.random.default_rng(0)
    drawn = [fd.History.preset("realesrgan").draw(rng) for _ in range(3000)]
    values = [d.parameters for d in drawn]

    def share(holds):
        return np.mean([bool(holds(v)) for v in values])

    def span(name):
        numbers = [v[name] for v in values if name in v]
        return min(numbers), max(numbers)

    def near(expected):
        return pytest.approx(expected, abs=0.035)

    for name, low, high, tolerance in (
        ("first.noise_sigma", 1, 30, 0.1), ("noise_sigma", 1, 25, 0.1), ("first.kernel_sigma_x", 0.2, 3, 0.01),
        ("second.kernel_sigma_x", 0.2, 1.5, 0.01), ("first.jpeg_quality", 30, 95, 0), ("jpeg_quality", 30, 95, 0),
        ("first.resize_scale", 0.15, 1.5, 0.02), ("resampling_scale", 0.3, 1.2, 0.02), ("kernel_size", 7, 21, 0),
        ("first.poisson_scale", 0.0025, 9, 0.1), ("poisson_scale", 0.0025, 6.25, 0.1),
    ):  # fmt: skip
        name = f"first.{name}" if name == "kernel_size" else name
        assert span(name) == pytest.approx((low, high), abs=tolerance), name
    assert share(lambda v: "noise_sigma" in v) == near(0.5)
    assert share(lambda v: v["noise"] == "gray") == near(0.4)
    assert share(lambda v: v["first.resize_scale"] > 1) == near(0.2)
    assert share(lambda v: v["first.resize_scale"] < 1) == near(0.7)
    assert share(lambda v: v["resampling_scale"] > 1) == near(0.3)
    assert share(lambda v: "first.ringing_cutoff" in v) == near(0.1)
    assert share(lambda v: {"second.ringing_cutoff", "second.kernel_sigma_x"} & v.keys()) == near(0.8)
    assert share(lambda v: "ringing_cutoff" in v) == near(0.8)
    assert share(lambda v: v.get("first.kernel_shape") == "plateau") == near(0.9 * 0.15)
    assert share(lambda v: "first.kernel_sigma_y" in v) == near(0.9 * 0.31)
    scales = np.sqrt([v["first.poisson_scale"] * 256 / 255 for v in values if "first.poisson_scale" in v])
    assert scales.mean() == pytest.approx((0.05 + 3) / 2, rel=0.05)  # the published scale is uniform, not its square
    last = [[event.step for event in d.events if event.before == "resampling"] for d in drawn]
    assert np.mean([names == ["JPEG"] for names in last]) == near(0.5)  # before the resize back, or last of all


def test_the_history_of_a_space_goes_from_the_command_line_to_the_pairs(tmp_path, capsys):
    space, table, run = tmp_path / "space.yaml", tmp_path / "table.csv", tmp_path / "run"
    space.write_text(
        "axes:\n  - {name: noise_sigma, low: 0, high: 20, n_bins: 4}\n"
        "history:\n  - {step: Gaussian noise, noise: color}\n"
        "  - {step: JPEG, probability: 0.5, jpeg_quality: [30, 95]}\n"
    )
    table.write_text("noise_sigma\n" + "\n".join(map(str, [1, 2, 2, 3, 4, 6, 7, 8, 11, 17])) + "\n")
    command = ["craft", "--annotations", table, "--space", space, "--generalization", "0.5", "-o", run]
    assert main([str(word) for word in command]) == 0
    (tmp_path / "clean").mkdir()
    for k in range(8):
        PIL.Image.fromarray(photographs()[0][k : k + 80, :100]).save(tmp_path / "clean" / f"{k}.png")
    assert main(["degrade", str(tmp_path / "clean"), "--run", str(run), "-o", str(tmp_path / "pairs")]) == 0
    rows = read_csv(tmp_path / "pairs" / "parameters.csv")
    assert {row["noise"] for row in rows} == {"color"}
    compressed = [row["jpeg_quality"] for row in rows if row["jpeg_quality"]]
    assert 0 < len(compressed) < 8
    assert all(30 <= float(quality) <= 95 for quality in compressed)
    capsys.readouterr()
    space.write_text(space.read_text() + "  - {step: Gaussian noise, noise_sigma: 3}\n")
    assert main([str(word) for word in [*command, "--force"]]) == 2
    assert "space.yaml: history[2]: expected no parameter that is crafted" in capsys.readouterr().err


@pytest.mark.slow
def test_the_history_of_a_space_goes_from_photos_to_training(tmp_path, capsys):
    space, axes = tmp_path / "space.yaml", "axes:\n  - {name: noise_sigma, low: 0, high: 40, n_bins: 4}\n"
    space.write_text(axes + "history:\n  - {step: Gaussian noise, noise: color}\n  - {step: median, median_size: 3}\n")
    history = read_history(str(space))
    for name in ("clean", "photos"):
        (tmp_path / name).mkdir()
    for k in range(10):
        clean = photographs()[k % 2][30 * k : 30 * k + 260, 20 * k : 20 * k + 300]
        photo = fd.degrade(photographs()[0][k:, k:], downsampling=4, noise_sigma=25, history=history, rng=k)
        for folder, pixels in (("clean", clean), ("photos", photo)):
            PIL.Image.fromarray(pixels).save(tmp_path / folder / f"{k}.png")
    words = ["--references", tmp_path / "photos", "--clean", tmp_path / "clean", "--space", space]
    for verb, more in (("estimate", []), ("craft", ["--generalization", "0.2"])):
        command = [verb, *words, *more, "-o", tmp_path / verb]
        assert main([str(word) for word in command]) == 0
        assert read_summary(tmp_path / verb)["inputs"]["history"] == history.to_dict()
    q = fd.BinnedDistribution.load(tmp_path / "estimate" / "target.npz").pmf
    assert q[2] > 0.5  # the median takes half of the noise away, which the fit has seen
    assert load_transform(tmp_path / "craft", seed=0).history == history
    capsys.readouterr()
