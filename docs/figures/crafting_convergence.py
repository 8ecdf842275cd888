"""Draw how the certified gap closes, against iterations and time: ``python docs/figures/crafting_convergence.py``."""

import warnings
from pathlib import Path

import matplotlib
import numpy as np

import fastdeg as fd

matplotlib.use("Agg")
import matplotlib.pyplot as plt

TAUS = (1.0, 0.1, 0.01, 0.0)


def two_blobs(n, seed=0):
    rng = np.random.default_rng(seed)
    first = rng.normal([0.25, 0.3, 0.35], 0.08, (n, 3))
    second = rng.normal([0.65, 0.7, 0.55], 0.10, (n, 3))
    return np.clip(np.where(rng.random(n)[:, None] < 0.6, first, second), 0, 0.999999)


def main():
    figure, axes = plt.subplots(2, 2, figsize=(9, 6), sharey=True, layout="constrained")
    problems = (("paper", 24, "75 bins: interior point"), ("dense", 2000, "17,850 bins: splitting"))
    for row, (preset, n, title) in zip(axes, problems, strict=True):
        bins = fd.GridBins(fd.DegradationSpace.preset(preset))
        target = fd.BinnedDistribution.from_samples(bins, bins.space.unstandardize(two_blobs(n)))
        fd.craft(target, generalization=0.3, max_iter=50)  # compile
        for tau in TAUS:
            history = fd.craft(target, generalization=tau, tol=1e-7, max_iter=1500).history
            gap = np.maximum(history["gap"], 1e-12)
            row[0].semilogy(history["iteration"], gap, ".-", label=f"τ = {tau:g}")
            row[1].semilogy(1e3 * history["seconds"], gap, ".-")
        row[0].set(title=title, xlabel="iteration", ylabel="certified gap")
        row[1].set(xlabel="milliseconds")
        row[0].legend()
        for axis in row:
            axis.axhline(1e-6, color="0.6", linewidth=0.8)
            axis.set_ylim(1e-10, 10)
    figure.savefig(Path(__file__).with_suffix(".svg"))


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        main()
