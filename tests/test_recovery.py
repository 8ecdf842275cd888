"""Recovery of the paper's settings from photographs inside packages, and of real photos from folders given as options.

``python -m bench.recovery --clean DIR --references DIR --check`` measures recovery on folders and asserts what has to
hold.
"""

from __future__ import annotations

import numpy as np
import pytest
from problems_images import SETTINGS, paper_bins, photographs, portrait, references, setting_truth

import fastdeg as fd
from fastdeg.images import read_images
from fastdeg.images.features import jpeg_qualities


def test_recovery_with_embedded_photographs():
    """Two clean photographs carry three of the settings; what 0-1 px of blur did before x4 takes more of them."""
    estimator = fd.DegradationEstimator(paper_bins(), n_samples=5_000).fit(photographs())
    uniform = fd.BinnedDistribution.uniform(paper_bins())
    for setting in (2, 3, 4):
        images, _ = references([portrait()], SETTINGS[setting], 24, seed=setting)
        truth, q = setting_truth(setting), estimator.estimate(images)
        assert q.pmf[truth.pmf > 1e-3].sum() >= 0.8, setting
        distance, at_most = (fd.degradation_distance(x, truth, frechet_weight=0) for x in (q, uniform))
        assert distance < 0.4 * at_most, setting


@pytest.mark.slow
def test_real_photos(request):
    folders = [request.config.getoption(o) for o in ("--clean-images", "--real-images")]
    if None in folders:
        pytest.skip("needs --clean-images DIR and --real-images DIR")
    clean, photos = (read_images(path).images for path in folders)
    estimator = fd.DegradationEstimator(paper_bins()).fit(clean)
    described = estimator.describe(photos)
    found = estimator.infer(described)
    assert found.converged
    quantized, qualities = jpeg_qualities(described.features, described.owners, len(described))
    np.testing.assert_array_equal(found.without_comb, ~quantized)
    # those that were not quantised were not compressed, which the space always does; the wider one hardly does
    assert found.outside[~quantized].all()
    assert found.outside[quantized].mean() < 0.75  # many were compressed more than once, or enlarged before
    blur, noise, _ = estimator.bins.space.axes
    wider = fd.GridBins(fd.DegradationSpace([blur, noise, fd.Axis.regular("jpeg_quality", 30, 100, 7)]))
    assert fd.DegradationEstimator(wider).fit(clean).outside(photos).mean() < 0.5
    quality = found.parameters[:, estimator.bins.names.index("jpeg_quality")]
    assert (quality[found.without_comb] > 80).all()
    inside = quantized & ~found.outside
    assert np.abs(quality - qualities)[inside].max() < 3
    low, high = np.transpose([(axis.low, axis.high) for axis in estimator.bins.space.axes])
    assert ((found.parameters >= low) & (found.parameters <= high)).all()
