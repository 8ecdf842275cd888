"""Draw the picture of the README: photos → q → p → options. Usage: python docs/figures/overview.py."""

from pathlib import Path

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np

import fastdeg as fd
from fastdeg import frameworks
from fastdeg.cli.demo import play_application

KEYS = ("blur_sigma", "noise_range2", "jpeg_range2", "gaussian_noise_prob2")  # of the options, to show


def draw(path: Path) -> None:
    """Play the demo's application, craft for it, and draw its stages side by side."""
    application = play_application(np.random.default_rng(0))
    photos = list(application.references.values())
    estimator = fd.DegradationEstimator(application.truth.bins, downsampling=4, n_samples=8_000, random_state=0)
    q = estimator.fit(list(application.clean.values())).estimate(photos)
    result = fd.craft(q)
    options = frameworks.write(result.distribution, "realesrgan").text.splitlines()

    figure = plt.figure(figsize=(13, 3.1), layout="constrained")
    stages = figure.subplots(1, 4, gridspec_kw={"width_ratios": [1.1, 1, 1, 1.15]})
    rows = [np.hstack(photos[row * 4 : row * 4 + 4]) for row in range(4)]
    stages[0].imshow(np.vstack(rows))
    stages[0].set_title("photos of the application")
    q.plot(stages[1], axis=["blur_sigma", "noise_sigma"])
    stages[1].set_title("q: what they have suffered")
    result.distribution.plot(stages[2], axis=["blur_sigma", "noise_sigma"])
    stages[2].set_title(f"p: what to train on, gap {result.gap:.0e}")
    shown = [line.strip() for line in options if line.strip().startswith(KEYS)]
    stages[3].text(0.02, 0.95, "\n".join(["# options.yml", *shown, "…"]), family="monospace", va="top", fontsize=10)
    stages[3].set_title("options for Real-ESRGAN and others")
    for stage in (stages[0], stages[3]):
        stage.set(xticks=[], yticks=[])
        stage.spines[:].set_color("#dde1e6")
    figure.savefig(path, dpi=90)


if __name__ == "__main__":
    draw(Path(__file__).with_name("overview.png"))
