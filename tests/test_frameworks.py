"""Option files of training frameworks: round trips in every dialect, what is said of them, and bad input."""

import re
import tomllib

import numpy as np
import pytest
import yaml

import fastdeg as fd

SPACE = fd.DegradationSpace(
    [
        fd.Axis.regular("blur_sigma", 0, 3, 6),
        fd.Axis.regular("noise_sigma", 0, 50, 10),
        fd.Axis.regular("jpeg_quality", 30, 90, 6),
    ]
)
BINS = fd.GridBins(SPACE)
JOINT = ("wtp", "albumentations", "csv", "json")
SECOND_ORDER = """
scale: 4
resize_prob: [0.2, 0.7, 0.1]
resize_range: [0.3, 1.5]
gaussian_noise_prob: 0.5
noise_range: [1, 20]
poisson_scale_range: [0.05, 2]
gray_noise_prob: 0.4
jpeg_range: [40, 95]
second_blur_prob: 0.8
resize_prob2: [0.3, 0.4, 0.3]
resize_range2: [0.5, 1.2]
gaussian_noise_prob2: 0.5
noise_range2: [1, 15]
poisson_scale_range2: [0.05, 1.5]
gray_noise_prob2: 0.4
jpeg_range2: [40, 95]
datasets:
  train:
    blur_kernel_size: 21
    kernel_list: ['iso', 'aniso', 'plateau_iso']
    kernel_prob: [0.5, 0.3, 0.2]
    sinc_prob: 0.1
    blur_sigma: [0.2, 3]
    betag_range: [0.5, 4]
    betap_range: [1, 2]
    kernel_list2: ['iso']
    kernel_prob2: [1.0]
    sinc_prob2: 0.1
    blur_sigma2: [0.2, 1.5]
    betag_range2: [0.5, 4]
    betap_range2: [1, 2]
    final_sinc_prob: 0.8
"""


def product_of_ranges():
    pmf = np.zeros(SPACE.shape)
    pmf[1:3, 2:5, 3:5] = 1
    return fd.BinnedDistribution(BINS, pmf.ravel() / pmf.sum())


def two_blobs():
    z = SPACE.standardize(SPACE.points())
    near, far = (np.exp(-0.5 * ((z - c) ** 2).sum(1) / 0.1**2) for c in ([0.25, 0.2, 0.25], [0.75, 0.7, 0.8]))
    return fd.BinnedDistribution(BINS, (near + 0.7 * far) / (near + 0.7 * far).sum())


def emd(p, q):
    return fd.degradation_distance(p, q, frechet_weight=0)


def read_back(folder, export, bins=BINS):
    """Read all files that were written, and mix them by their shares."""
    pmf = np.zeros(bins.n_bins)
    shares = [1.0] if len(export.files) == 1 else [block.weight for block in export.blocks]
    for (name, text), share in zip(export.files.items(), shares, strict=True):
        (folder / name).write_text(text)
        options = fd.frameworks.read(folder / name)
        assert options.framework == export.framework
        pmf += share * options.distribution(bins).pmf
    return fd.BinnedDistribution(bins, pmf / pmf.sum())


@pytest.mark.parametrize("framework", fd.frameworks.dialects())
def test_a_product_of_ranges_comes_back(tmp_path, framework):
    p = product_of_ranges()
    export = fd.frameworks.write(p, framework)
    assert export.lost_mass < 1e-12
    assert emd(read_back(tmp_path, export), p) <= (1e-9 if framework in JOINT else 1e-3)
    assert "\n" not in repr(export)
    assert len(repr(export)) < 200


@pytest.mark.parametrize("framework", JOINT)
def test_a_joint_distribution_comes_back(tmp_path, framework):
    p = two_blobs()
    export = fd.frameworks.write(p, framework)
    kept = p.pmf >= np.sort(p.pmf)[::-1][len(export.blocks) - 1]
    assert export.lost_mass == pytest.approx(p.pmf[~kept].sum(), abs=1e-12)
    assert (p.pmf[~kept] < 1e-3).all()
    assert any("left out" in note for note in export.notes)
    back = read_back(tmp_path, export)
    np.testing.assert_allclose(back.pmf, np.where(kept, p.pmf, 0) / p.pmf[kept].sum(), atol=1e-9)
    assert emd(back, p) == pytest.approx(export.distance, abs=1e-9)


def test_the_tightest_box_keeps_enough_and_tells_what_it_loses(tmp_path):
    p = two_blobs()
    export = fd.frameworks.write(p, "realesrgan", keep=0.9)
    assert 0 < export.lost_mass <= 0.1
    back = read_back(tmp_path, export)
    assert p.pmf[back.pmf > 0].sum() == pytest.approx(1 - export.lost_mass)
    assert emd(back, p) == pytest.approx(export.distance, abs=1e-9)
    wide = fd.frameworks.write(p, "realesrgan", keep=1.0)
    assert wide.lost_mass == 0


def test_effects_of_a_second_order_chain(tmp_path):
    file = tmp_path / "options.yml"
    file.write_text(SECOND_ORDER)
    options = fd.frameworks.read(file)
    assert (options.framework, options.scale) == ("realesrgan", 4)
    p = options.distribution(BINS)
    np.testing.assert_array_equal(p.pmf, options.distribution(BINS).pmf)
    drawn = options.sample(BINS, 20_000, 1)
    blur, noise, jpeg = np.median(drawn, axis=0)
    assert 1.5 < blur < 4
    assert 2 < noise < 12  # less than the file says: the noise of the first stage is weakened by the downscale
    assert jpeg == pytest.approx(67.5, abs=1.5)
    notes = "\n".join(options.notes)
    assert "datasets.train.blur_kernel_size: read, but not used" in notes
    assert "ringing (sinc)" in notes


def test_what_does_nothing_and_what_surprises(tmp_path):
    text = SECOND_ORDER.replace("gaussian_noise_prob: 0.5", "gaussian_noise_prob: 0")
    text = text.replace("jpeg_range2: [40, 95]", "jpeg_range2: [40, 100]\ngray_noise_prb: 0.4")
    text = text.replace("second_blur_prob: 0.8", "second_blur_prob: 0")
    file = tmp_path / "options.yml"
    file.write_text(text)
    options = fd.frameworks.read(file)
    assert any("0 means Poisson noise always" in trap for trap in options.traps)
    assert any("divides by zero" in trap for trap in options.traps)
    assert any(re.search(r"noise_range: without effect", said) for said in options.without_effect)
    assert any("blur_sigma2" in said and "second_blur_prob is 0" in said for said in options.without_effect)
    assert options.unknown == ("gray_noise_prb: unknown and ignored; gray_noise_prob is near to it",)


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        (
            "a.yml",
            "noise_range: [1, 20]",
            "noise_range: [20, 1]",
            r"noise_range: expected \[low, high\] with low <= high",
        ),
        (
            "a.yml",
            "blur_sigma: [0.2, 3]",
            "blur_sigma: [3, 0.2]",
            r"datasets\.train\.blur_sigma: expected \[low, high\]",
        ),
        ("a.yml", "[0.2, 0.7, 0.1]", "[0.2, 0.7, 0.2]", "resize_prob: expected probabilities that sum to 1"),
        ("a.yml", "gray_noise_prob: 0.4", "gray_noise_prob: 1.4", "gray_noise_prob: expected a number from 0 to 1"),
        ("a.yml", "scale: 4", "scale: !!python/object/apply:os.system [ls]", "scale: expected plain YAML, got the tag"),
        ("a.yml", "scale: 4", "scale: [", "expected YAML, got"),
        (
            "a.yml",
            SECOND_ORDER,
            "name: x\nnetwork_g: {type: RRDBNet}",
            "expected options of one of .* got none of their",
        ),
        ("a.toml", SECOND_ORDER, "x = [", "expected TOML"),
        ("a.json", SECOND_ORDER, "{", "expected JSON"),
        ("a.json", SECOND_ORDER, "[1]", "expected a mapping of options, got list"),
        ("a.hcl", SECOND_ORDER, "degradation {", "expected HCL"),
        ("a.hcl", SECOND_ORDER, 'degradation {\n type = "blurr"\n}\n', r"degradation\[0\]\.type: expected one of blur"),
    ],
)
def test_bad_input_is_one_sentence_with_the_key(tmp_path, name, old, new, message):
    file = tmp_path / name
    file.write_text(SECOND_ORDER.replace(old, new))
    with pytest.raises(ValueError, match=message) as caught:
        fd.frameworks.read(file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_aliases_that_make_a_million_values(tmp_path):
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 8)]
    file = tmp_path / "a.yml"
    file.write_text("\n".join(lines))
    with pytest.raises(ValueError, match="expected at most 1,000,000 values, got aliases that make more"):
        fd.frameworks.read(file)
    file.write_text("a: &a [*a]")
    with pytest.raises(ValueError, match="got an alias of what holds it"):
        fd.frameworks.read(file)


def test_arguments(tmp_path):
    p = product_of_ranges()
    with pytest.raises(ValueError, match="framework: expected one of 'wtp'"):
        fd.frameworks.write(p, "esrgan")
    with pytest.raises(ValueError, match="keep: expected a share above 0 and at most 1, got 2"):
        fd.frameworks.write(p, "wtp", keep=2)
    with pytest.raises(FileNotFoundError, match=r"none\.yml: no such file of options"):
        fd.frameworks.read(tmp_path / "none.yml")
    several = fd.frameworks.write(two_blobs(), "neosr", boxes=2)
    with pytest.raises(ValueError, match="text: expected one file, got 2"):
        _ = several.text


@pytest.mark.parametrize("framework", ["second order", *fd.frameworks.dialects()])
def test_a_file_s_chain_runs_on_images(tmp_path, framework):
    file = tmp_path / "options.yml"
    file.write_text(SECOND_ORDER)
    if framework != "second order":
        export = fd.frameworks.write(product_of_ranges(), framework, downsampling=4)
        file = tmp_path / next(iter(export.files))
        file.write_text(export.text)
    options = fd.frameworks.read(file)
    image = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    factor = 1 if framework in ("csv", "json") else 4  # the tables say the axes of the distribution only
    low = [fd.degrade(image, history=options.history, rng=seed) for seed in (0, 0, 1)]
    assert {picture.shape for picture in low} == {(96 // factor, 128 // factor, 3)}
    np.testing.assert_array_equal(low[0], low[1])
    assert (low[0] != low[2]).any()
    assert fd.History.from_dict(options.history.to_dict()) == options.history


WITHOUT_JPEG = (4.5 / 14, 9.5 / 14)  # of the last cells of the space "photo", as their widths are


@pytest.mark.parametrize("share", [WITHOUT_JPEG, (0.0, 1.0)])
@pytest.mark.parametrize("framework", fd.frameworks.dialects())
def test_no_compression_is_said_or_told(tmp_path, framework, share):
    bins = fd.GridBins(fd.DegradationSpace.preset("photo"))
    pmf = np.zeros(bins.space.shape)
    pmf[2, 3, -2:] = share
    p = fd.BinnedDistribution(bins, pmf.ravel())
    export = fd.frameworks.write(p, framework, keep=1.0)
    back = read_back(tmp_path, export, bins)
    assert emd(back, p) == pytest.approx(export.distance, abs=1e-6)
    exact = share[0] == 0 or framework in (*JOINT, "trainner-redux")
    assert (export.distance < 1e-9) == exact
    assert any("and no compression, are said as" in note for note in export.notes) == (not exact)
    options = fd.frameworks.read(tmp_path / next(iter(export.files)))
    if exact:
        found = fd.frameworks.audit(options, p)
        assert found.axes[-1].verdict == "fits"
        assert "JPEG: trained on none, photos none: fits" in found.axes[-1].sentence or share[0] > 0


def test_composed_effects_are_those_of_the_images(tmp_path):
    """Noise, on a flat image, and blur, of a grating of 32 pixels, against what is composed of the same draws."""
    lines = {"gaussian_noise_prob: 0.5": "gaussian_noise_prob: 1", "gray_noise_prob: 0.4": "gray_noise_prob: 1",
             "jpeg_range: [40, 95]": "jpeg_range: [99.9, 99.9]", "jpeg_range2: [40, 95]": "jpeg_range2: [99.9, 99.9]",
             "gaussian_noise_prob2: 0.5": "gaussian_noise_prob2: 1", "gray_noise_prob2: 0.4": "gray_noise_prob2: 1",
             "sinc_prob: 0.1": "sinc_prob: 0", "sinc_prob2: 0.1": "sinc_prob2: 0",
             "sinc_prob: 0.8": "sinc_prob: 0"}  # fmt: skip
    text = SECOND_ORDER
    for old, new in lines.items():
        text = text.replace(old, new)
    file = tmp_path / "options.yml"
    waves = np.cos(np.arange(384) * 2 * np.pi / 32)
    flat = np.full((384, 384, 3), 128, np.uint8)
    grating = np.rint(128 + 60 * (waves[:, None] + waves)).astype(np.uint8)
    rows = []
    for seed in range(24):
        file.write_text(text)
        history, composed = fd.frameworks.read(file).one(BINS, np.random.default_rng(seed))
        noise = fd.degrade(flat, history=history, rng=seed)[8:-8, 8:-8].std()
        quiet = text.replace("[1, 20]", "[0, 0]").replace("[1, 15]", "[0, 0]")
        file.write_text(quiet)
        history, soft = fd.frameworks.read(file).one(BINS, np.random.default_rng(seed))
        left = fd.degrade(grating, history=history, rng=seed)[8:-8, 8:-8].std() / grating.std()
        blur = np.sqrt(max(-2 * np.log(left), 0)) * 32 / (2 * np.pi)
        rows.append((noise, composed[1], blur, soft[0]))
    noise, composed_noise, blur, composed_blur = np.transpose(rows)
    assert np.median(noise - composed_noise) == pytest.approx(0, abs=0.5)
    assert np.median(blur - composed_blur) == pytest.approx(0, abs=0.25)
    assert np.corrcoef(noise, composed_noise)[0, 1] > 0.9
    assert np.corrcoef(blur, composed_blur)[0, 1] > 0.85


@pytest.mark.parametrize("framework", ["realesrgan", "neosr", "trainner-redux"])
def test_the_stages_of_a_history_come_back(tmp_path, framework):
    file = tmp_path / "options.yml"
    file.write_text(SECOND_ORDER)
    history = fd.frameworks.read(file).history.without(["noise_sigma", "poisson_scale", "jpeg_quality", "downsampling"])
    space = fd.DegradationSpace(SPACE.axes[1:])
    p = fd.BinnedDistribution.uniform(fd.GridBins(space))
    export = fd.frameworks.write(p, framework, history=history)
    written = tomllib.loads(export.text) if framework == "neosr" else yaml.safe_load(export.text)
    original = yaml.safe_load(SECOND_ORDER)
    tables = [written, written.get("degradations", {}), written.get("datasets", {}).get("train", {})]
    found = {name: value for table in tables for name, value in table.items()}
    expected = original | original["datasets"]["train"]
    if framework == "trainner-redux":
        expected["blur_prob2"] = expected.pop("second_blur_prob")
    crafted = {"scale", "datasets", "blur_kernel_size", "gaussian_noise_prob2", "noise_range2", "poisson_scale_range2",
               "gray_noise_prob2", "jpeg_range2", "betag_range", "betag_range2", "betap_range2"}  # fmt: skip
    told = {"resize_prob2", "resize_range2"} if framework == "trainner-redux" else set()
    for name in expected.keys() - crafted - told:
        if isinstance(expected[name], list) and isinstance(expected[name][0], str):
            assert found[name] == expected[name], name
        else:
            assert found[name] == pytest.approx(expected[name]), name
    assert any("resampling" in note for note in export.notes) == bool(told)
    (tmp_path / "new").mkdir()
    new = tmp_path / "new" / next(iter(export.files))
    new.write_text(export.text)
    again = fd.frameworks.read(new)
    assert again.unknown == ()
    assert not [trap for trap in again.traps if "not in the file" in trap]


def test_what_a_file_cannot_say_of_a_history_is_told(tmp_path):
    p = fd.BinnedDistribution.uniform(fd.GridBins(fd.DegradationSpace.preset("photo")))
    export = fd.frameworks.write(p, "realesrgan", history="photo")
    values = yaml.safe_load(export.text)
    assert values["resize_prob2"] == pytest.approx([0, 0.3, 0.7])
    assert values["resize_range2"] == [0.55, 1]
    assert values["gray_noise_prob2"] == 0.5
    notes = "\n".join(export.notes)
    for name in ("sharpening", "earlier JPEG", "median", "a third"):
        assert name in notes
    jpeg = {"step": "JPEG", "before": "downsampling", "label": "first", "probability": 0.5, "jpeg_quality": [40, 95]}
    history = fd.History([jpeg, {"step": "sharpening", "sharpening_amount": 1}])
    export = fd.frameworks.write(product_of_ranges(), "wtp", history=history)
    assert [note for note in export.notes if "sharpening" in note]
    file = tmp_path / "wtp.hcl"
    file.write_text(export.text)
    back = fd.frameworks.read(file)
    assert any(name.startswith("JPEG") for name in back.history.names)
    drawn = back.sample(BINS, 4000, 0)
    np.testing.assert_allclose(np.median(drawn, axis=0)[1:], [17.5, 70], rtol=0.1)
    export = fd.frameworks.write(product_of_ranges(), "gfpgan", history=history)
    assert any("2 random steps are not in the file" in note for note in export.notes)
