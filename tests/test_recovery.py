"""Recovery of the paper's four settings, on folders given as options and, small, on photographs inside packages."""

from __future__ import annotations

import numpy as np
import pytest

import fastdeg as fd
from bench.recovery import embedded_photographs, fitted, image_errors, outsiders, recover, wider_space
from fastdeg.images import read_images
from fastdeg.images.features import jpeg_qualities


def test_recovery_with_embedded_photographs():
    """Two clean photographs carry three of the settings; what 0-1 px of blur did before x4 takes more of them."""
    clean, photos = embedded_photographs()
    estimator = fd.DegradationEstimator(fd.GridBins(fd.DegradationSpace.preset("paper")), n_samples=5_000).fit(clean)
    for row in recover(estimator, photos, 24, [0])[1:]:
        assert row.mass.mean() >= 0.8, row
        assert row.distance.mean() < 0.4 * row.uniform_distance, row


@pytest.fixture(scope="module")
def folders(request):
    paths = [request.config.getoption(o) for o in ("--clean-images", "--reference-images")]
    if None in paths:
        pytest.skip("needs --clean-images DIR and --reference-images DIR (other photographs)")
    clean, photos = (read_images(path).images for path in paths)
    return fd.DegradationEstimator(fd.GridBins(fd.DegradationSpace.preset("paper"))).fit(clean), photos


@pytest.mark.slow
def test_recovery_with_24_references(folders):
    rows = recover(*folders, 24, range(10))
    assert np.mean([r.mass for r in rows]) >= 0.92
    assert all(r.mass.mean() >= 0.8 for r in rows), [r.mass.mean() for r in rows]
    assert np.mean([r.distance for r in rows]) <= 0.06
    for r in rows:
        assert 0.5 <= r.effective_bins.mean() / r.true_effective_bins <= 2
    assert np.mean([r.covered for r in rows]) >= 0.8


@pytest.mark.slow
def test_recovery_with_ten_references(folders):
    assert np.mean([r.mass for r in recover(*folders, 10, range(10))]) >= 0.8


@pytest.mark.slow
def test_errors_of_single_images(folders):
    errors = image_errors(*folders)
    assert errors["noise (of 255)"] <= 2.0
    assert errors["JPEG quality"] <= 2.5
    assert errors["blur where blur > 1.5 (px)"] <= 0.6


@pytest.mark.slow
def test_outside_photos_are_named_and_inside_ones_are_not(folders):
    estimator, photos = folders
    p_values = {kind: estimator.infer(images).outside_p_values for kind, images in outsiders(photos).items()}
    inside = p_values.pop("inside the space")
    assert (inside <= 0.01).mean() <= 0.03  # 216 images, a few of each photograph
    assert (inside <= 0.05).mean() <= 0.08
    for kind in ("inside, then enlarged 2 × (bicubic)", "inside, then median 3 × 3", "noise of 80", "JPEG quality 8"):
        assert (p_values[kind] <= 0.01).mean() >= 0.9, kind
    assert np.mean([(p <= 0.01).mean() for p in p_values.values()]) >= 0.65
    assert min((p <= 0.05).mean() for p in p_values.values()) >= 0.6


@pytest.mark.slow
def test_real_photos(folders, request):
    path = request.config.getoption("--real-images")
    if path is None:
        pytest.skip("needs --real-images DIR")
    estimator, _ = folders
    photos = read_images(path)
    found = estimator.infer(photos.images)
    assert found.converged
    combed, from_comb = jpeg_qualities(*estimator._patch_features(photos.images))
    np.testing.assert_array_equal(found.without_comb, ~combed)
    # those without a comb were not compressed, which the space always does; the wider one hardly does
    assert found.outside[~combed].all()
    assert found.outside[combed].mean() < 0.75  # many were compressed more than once, or enlarged before
    clean = read_images(request.config.getoption("--clean-images")).images
    assert fitted(clean, wider_space()).outside(photos.images).mean() < 0.5
    quality = found.parameters[:, estimator.bins.names.index("jpeg_quality")]
    assert (quality[found.without_comb] > 80).all()
    inside = combed & ~found.outside
    assert np.abs(quality - from_comb)[inside].max() < 3
    low, high = np.transpose([(axis.low, axis.high) for axis in estimator.bins.space.axes])
    assert ((found.parameters >= low) & (found.parameters <= high)).all()
