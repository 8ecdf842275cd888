"""
What degradations do to a photograph
====================================

`fastdeg.degrade` blurs, downsamples, adds noise and compresses; the names of its arguments are the names of the axes
that a space may have.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_image

import fastdeg as fd

clean = load_sample_image("china.jpg")[120:312, 220:476]
steps = {
    "clean": None,
    "downsampling 4": {},
    "blur 2 px": {"blur_sigma": 2.0},
    "noise 25": {"noise_sigma": 25.0},
    "JPEG 30": {"jpeg_quality": 30},
    "all of it": {"blur_sigma": 2.0, "noise_sigma": 25.0, "jpeg_quality": 30},
}
figure, axes = plt.subplots(2, 3, figsize=(9, 4.8), layout="constrained")
for ax, (title, parameters) in zip(axes.flat, steps.items(), strict=True):
    image = (
        clean if parameters is None else fd.degrade(clean, downsampling=4, rng=np.random.default_rng(0), **parameters)
    )
    ax.imshow(image)
    ax.set_title(title)
    ax.axis("off")
