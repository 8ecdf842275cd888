"""The prior of crafting from an option file: what the user trains on today."""

from __future__ import annotations

from pathlib import Path

import fastdeg as fd
from fastdeg import baselines
from fastdeg.bins import Bins
from fastdeg.distribution import BinnedDistribution
from fastdeg.frameworks import Options

UNIFORM_SHARE = 0.05  # of the prior, so that p may go where the file never does


def read_prior(path: Path | None) -> Options | None:
    """Return the options of ``--prior``, read before anything that takes time."""
    return None if path is None else fd.frameworks.read(path)


def prior_over(
    options: Options | None, bins: Bins, downsampling: float | None = None
) -> tuple[BinnedDistribution | None, list[str]]:
    """Return the prior over bins, None for the uniform one, and what is to be said of it."""
    if options is None:
        return None, []
    uniform = BinnedDistribution.uniform(bins)
    prior = baselines.mixture(options.distribution(bins), uniform, UNIFORM_SHARE)
    notes = [
        f"prior: {1 - UNIFORM_SHARE:.0%} what {options.source} trains on ({options.framework}), {UNIFORM_SHARE:.0%} "
        "uniform, so that p may go where the file never does; `fastdeg audit` says more of the file"
    ]
    if downsampling is not None and options.scale != downsampling and options.products is None:
        notes.append(f"{options.source}: its factor is {options.scale:g}, the one of this run {downsampling:g}")
    return prior, notes
