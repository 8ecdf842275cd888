"""How often the step that made photos is named: ``python -m bench.proposal --clean DIR --references DIR``.

In each trial a dozen pictures of other content, reduced × 4, are changed by one step of the table, which is not told.
What explains them most is asked for as `fastdeg space` does. The steps take turns; of each picture its settings are
drawn anew from the ranges below, which are not those that the classifier learns from.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

import fastdeg as fd
from bench.recovery import LARGEST, embedded_photographs
from fastdeg.degradations import HistoryStep
from fastdeg.degradations import steps as registered_steps
from fastdeg.images import read_images
from fastdeg.images.step_classifier import StepClassifier

FACTOR = 4
RANGES = {  # of each step, as of photos on which one would remark it
    "blur": {"blur_sigma": [2, 4.5]},
    "motion blur": {"motion_length": [10, 24], "motion_angle": [0, 180]},
    "defocus": {"defocus_radius": [5, 11]},
    "kernel blur": {"kernel_sigma_x": [3, 6], "kernel_sigma_y": [3, 6], "kernel_beta": {"choice": [0.6, 2, 3]}},
    "resize": {"resize_scale": [0.1, 0.18]},
    "Poisson noise": {"poisson_scale": [2, 7]},
    "Gaussian noise": {"noise_sigma": [8, 30]},
    "grain": {"grain_sigma": [6, 20], "grain_size": [0.7, 1.6]},
    "earlier JPEG": {
        "earlier_jpeg_quality": [25, 70],
        "earlier_jpeg_shift_x": {"integers": [1, 7]},
        "earlier_jpeg_shift_y": {"integers": [1, 7]},
    },
    "median": {"median_size": {"choice": [3, 5]}},
    "bilateral filter": {"bilateral_color": [20, 50], "bilateral_space": [1.5, 3]},
    "non-local means": {"nlm_strength": [6, 15]},
    "resampling": {"resampling_scale": [0.45, 0.75]},
    "ringing": {"ringing_cutoff": [0.8, 1.8], "ringing_size": 15},
    "sharpening": {"sharpening_amount": [0.7, 2], "sharpening_radius": [0.7, 2]},
    "WebP": {"webp_quality": [10, 60]},
    "H.264": {"h264_crf": [26, 40]},
    "JPEG": {"jpeg_quality": [20, 85]},
}


def made_by(step: str, photos: Sequence[np.ndarray], n: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Return n pictures of parts of photos, changed by a step alone."""
    drawn_from = HistoryStep(step, RANGES[step])
    made = []
    for k in rng.choice(len(photos), n, replace=n > len(photos)):
        photo = photos[k]
        size = LARGEST if photo.shape[0] <= photo.shape[1] else LARGEST[::-1]
        height, width = (min(a, b) for a, b in zip(photo.shape[:2], size, strict=True))
        top, left = rng.integers(photo.shape[0] - height + 1), rng.integers(photo.shape[1] - width + 1)
        crop = photo[top : top + height, left : left + width]
        made.append(fd.degrade(crop, downsampling=FACTOR, rng=rng, **drawn_from.draw(rng).settings))
    return made


def trials(
    classifier: StepClassifier, photos: Sequence[np.ndarray], n_trials: int, n_photos: int = 12, seed: int = 0
) -> dict[str, list[int]]:
    """Return for each step the rank at which it was named in its trials, from 1; 0 where it was not."""
    available = [step.name for step in registered_steps() if step.name in RANGES]
    ranks = defaultdict(list)
    for trial in range(n_trials):
        step = available[trial % len(available)]
        pictures = made_by(step, photos, n_photos, np.random.default_rng((seed, trial)))
        named = [addition.step for addition in classifier.additions(pictures)]
        ranks[step].append(named.index(step) + 1 if step in named else 0)
        print(f"{trial:3d} {step}: {', '.join(named[:3])}", flush=True)
    return dict(ranks)


def table(ranks: dict[str, list[int]]) -> str:
    """Return how often each step was named, as a Markdown table."""
    lines = ["| step | named first | first or second | trials |", "|---|---|---|---|"]
    rows = {**ranks, "all": [rank for of_step in ranks.values() for rank in of_step]}
    for step, of_step in rows.items():
        first, second = (np.isin(of_step, [1, 2][:count]).mean() for count in (1, 2))
        lines.append(f"| {step} | {100 * first:.0f} % | {100 * second:.0f} % | {len(of_step)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.proposal", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--clean", help="folder of clean images to learn from")
    parser.add_argument("--references", help="folder of other clean images, to be changed")
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--photos", type=int, default=12, help="in a trial")
    options = parser.parse_args()
    clean, photos = embedded_photographs()
    if options.clean is not None:
        clean, photos = read_images(options.clean).images, read_images(options.references).images
    start = time.perf_counter()
    classifier = StepClassifier(FACTOR).fit(clean)
    print(f"learnt from {len(clean)} images in {time.perf_counter() - start:.0f} s", flush=True)
    print(table(trials(classifier, photos, options.trials, options.photos)))


if __name__ == "__main__":
    main()
