"""What a JPEG file says of itself: read as the decoder found it, and used where the pixels bear it out."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from problems_images import photographs, portrait

import fastdeg as fd
from fastdeg.images import ImageFile, read_image, read_images
from fastdeg.images.fitted import quality_log_likelihood

pil = pytest.importorskip("PIL.Image")
ORIENTATION = 0x0112
SPACE = fd.DegradationSpace(
    [fd.Axis.regular("noise_sigma", 0, 30, 3), fd.Axis.edges("jpeg_quality", [20, 50, 70, 85, 100.5])]
)


def save(path, pixels, orientation=1, **options):
    exif = pil.Exif()
    exif[ORIENTATION] = orientation
    pil.fromarray(pixels).save(path, exif=exif, **options)
    return path


@pytest.mark.parametrize("quality", [1, 10, 50, 75, 92, 99, 100])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_quality_and_subsampling_as_the_encoder_was_told(tmp_path, quality, subsampling):
    photo = photographs()[0][:48, :64]
    path = save(tmp_path / "photo.jpg", photo, quality=quality, subsampling=subsampling)
    file = read_image(path)
    assert (file.jpeg.quality, file.jpeg.subsampling) == (quality, subsampling)
    assert [len(table) for table in file.jpeg.tables] == [64, 64, 64]
    cv2.imwrite(str(path), photo, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert read_image(path).jpeg.quality == quality


def test_files_that_tell_no_quality(tmp_path):
    photo = photographs()[0][:48, :64]
    assert read_image(save(tmp_path / "photo.png", photo)).jpeg is None
    pil.fromarray(photo).convert("CMYK").save(tmp_path / "print.jpg")
    assert read_image(tmp_path / "print.jpg").jpeg is None
    flat = read_image(save(tmp_path / "flat.jpg", photo, qtables=[[16] * 64, [16] * 64]))
    assert (flat.jpeg.quality, set(flat.jpeg.tables[0])) == (None, {16})
    grey = read_image(save(tmp_path / "grey.jpg", photo[..., 0], quality=60))
    assert (grey.jpeg.quality, grey.jpeg.subsampling, len(grey.jpeg.tables)) == (60, None, 1)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pixels_as_they_are_stored(tmp_path, orientation):
    file = read_image(save(tmp_path / "photo.jpg", photographs()[0][:40, :64], orientation, quality=80))
    upright = replace(file, orientation=1)
    stored = np.array(pil.open(tmp_path / "photo.jpg"))
    np.testing.assert_array_equal(file.stored_pixels, stored)
    np.testing.assert_array_equal(upright.stored_pixels, file.pixels)
    np.testing.assert_array_equal(np.asarray(file), file.pixels)


@pytest.fixture(scope="module")
def estimator():
    settings = {"downsampling": 2, "n_samples": 1200, "patch_size": 64}
    return fd.DegradationEstimator(fd.GridBins(SPACE), **settings).fit(photographs())


def degraded(n, seed=0, noise=(3, 25)):
    rng = np.random.default_rng(seed)
    images = []
    for _ in range(n):
        top, left = rng.integers(portrait().shape[0] - 319), rng.integers(portrait().shape[1] - 319)
        crop = portrait()[top : top + 320, left : left + 320]
        images.append(fd.degrade(crop, downsampling=2, noise_sigma=rng.uniform(*noise), rng=rng))
    return images


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Photos saved as JPEG, by their qualities: all that a user has of them."""
    path = tmp_path_factory.mktemp("photos")
    for quality, image in zip((25, 35, 45, 55, 60, 65, 75, 80, 90, 94, 97, 100), degraded(12), strict=True):
        save(path / f"{quality:03d}.jpg", image, quality=quality)
    return path


def test_the_quality_of_files_is_known(estimator, folder):
    photos = read_images(folder)
    truth = np.array([int(path.stem) for path in photos.paths])
    column = SPACE.axis_index("jpeg_quality")
    found, blind = estimator.infer(photos), estimator.infer(photos.images)
    np.testing.assert_array_equal(found.parameters[:, column], truth)
    assert (found.parameter_errors[:, column] < 0.3).all()
    assert np.sqrt(((blind.parameters[:, column] - truth) ** 2).mean()) > 1
    cells = SPACE.axes[column].assign(truth)
    for given in (photos, photos.paths, estimator.describe(photos)):
        told = estimator.predict_proba(given).reshape(12, *SPACE.shape).sum(axis=1)
        np.testing.assert_allclose(told[np.arange(12), cells], 1)
    np.testing.assert_allclose(
        estimator.estimate(photos, keep_outside=True).marginal(column), np.bincount(cells) / 12, atol=0.02
    )
    assert not found.without_comb.any()
    np.testing.assert_allclose(found.parameters[:, 0], blind.parameters[:, 0], atol=8)


def test_not_where_the_pixels_are_others(estimator, folder, tmp_path):
    files = [file for file in read_images(folder) if file.jpeg.quality <= 80]
    smooth = [ImageFile(file.path, cv2.GaussianBlur(file.pixels, (0, 0), 1), (), file.jpeg) for file in files]
    np.testing.assert_array_equal(estimator.predict(smooth), estimator.predict([file.pixels for file in smooth]))
    again = [save(tmp_path / f"{k}.jpg", file.pixels, quality=95) for k, file in enumerate(files[:4])]  # on one grid
    first = estimator.predict(again)[:, 1]
    np.testing.assert_allclose(first, [file.jpeg.quality for file in files[:4]], atol=5)


@pytest.mark.parametrize("orientation", [3, 5, 6])
def test_turned_photos_are_described_as_they_are_stored(estimator, tmp_path, orientation):
    """Of 154 × 122 pixels: neither the grid nor the tables are the same after a turn."""
    image = degraded(1, 3)[0][:122, :154]
    turned = save(tmp_path / "turned.jpg", image, orientation, quality=72)
    upright = save(tmp_path / "upright.jpg", image, quality=72)
    found = estimator.predict([turned, upright])
    np.testing.assert_array_equal(found[0], found[1])
    assert found[0, 1] == 72


def test_a_quality_at_an_edge_is_in_both_cells():
    told = np.array([70.0, 60.0, 5.0])
    log_likelihood = quality_log_likelihood(told, fd.GridBins(SPACE), SPACE).reshape(3, *SPACE.shape)
    shares = np.exp(log_likelihood[:, 0])
    np.testing.assert_allclose(shares[0], [0, 0.5 / 20, 0.5 / 15, 0])
    assert [list(row > 0) for row in shares[1:]] == [[False, True, False, False], [True, False, False, False]]
    points = SPACE.unstandardize(np.random.default_rng(0).random((60, 2)))
    bins = fd.CentroidBins(points, space=SPACE)
    nearest = quality_log_likelihood(told, bins, SPACE).argmax(axis=1)
    np.testing.assert_array_equal(nearest, np.abs(points[:, 1] - np.maximum(told, 20)[:, None]).argmin(axis=1))
