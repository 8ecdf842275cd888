"""Compiling ahead: the main functions, called once on made-up problems, room by room."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial

from fastdeg import _checks
from fastdeg._types import Progress
from fastdeg.kernels._jit import expect_compiling
from fastdeg.space import Axis, DegradationSpace

Calls = list[tuple[str, Callable[[], object]]]


def warmup(rooms: str | Sequence[str] | None = None, *, progress: Progress | None = None) -> None:
    """Compile the kernels of the main functions ahead of their first use, for float64 input.

    The machine code is kept in numba's cache folder, so later processes start fast: a minute or two on two cores, a
    few seconds where the cache is filled. Crafting on more than 50,000 bins compiles for some seconds more at its first
    use, up to half a minute.

    Parameters
    ----------
    rooms : str, or sequence of str, optional
        ``"measuring"`` (bins, moments, Fréchet distances, references), ``"transport"`` (earth mover's distances,
        Sinkhorn), ``"crafting"``, ``"images"`` (features, the estimator, degradations); all by default.
    progress : callable, optional
        Called with the fraction done and what is compiled next.

    Raises
    ------
    ValueError
        When there is no such room.

    See Also
    --------
    show_config : Names the cache folder.

    Examples
    --------
    >>> import fastdeg as fd
    >>> fd.warmup("crafting")  # doctest: +SKIP
    >>> fd.warmup(progress=lambda fraction, what: print(f"{fraction:.0%} {what}"))  # doctest: +SKIP
    """
    if rooms is not None and not isinstance(rooms, str | Sequence):
        raise TypeError(f"rooms: expected a room, or a sequence of them, got {_checks.shown(rooms)}")
    _checks.progress(progress)
    chosen = list(ROOMS) if rooms is None else [rooms] if isinstance(rooms, str) else list(rooms)
    calls = [call for room in chosen for call in ROOMS[_checks.choice(room, "rooms", tuple(ROOMS))]()]
    expect_compiling()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of problems as small as these
        for done, (name, call) in enumerate(calls):
            if progress is not None:
                progress(done / len(calls), name)
            call()
    if progress is not None:
        progress(1.0, "compiled")


def _measuring() -> Calls:
    import numpy as np

    import fastdeg as fd

    rng = np.random.default_rng(0)

    def measure(space: DegradationSpace, n: int) -> None:
        samples = space.unstandardize(rng.random((n, space.ndim)))
        fd.GridBins(space).assign(samples)
        x, labels = rng.random((n, 3)), rng.integers(0, 5, n)
        mean, covariance = fd.weighted_moments(x, rng.random(n))
        means, covariances = fd.weighted_moments(x, labels=labels, n_bins=5)
        fd.frechet_distances(means, covariances, mean, covariance)
        fd.frechet_distances(np.tile(mean, (n, 1)), np.tile(covariance, (n, 1, 1)), mean, covariance)
        fd.farthest_points(x, 3)
        bins = fd.CentroidBins(space.points()[:: space.n_bins // 9], space=space)
        target = fd.BinnedDistribution.from_samples(bins, samples)
        fd.select_references(x, bins.assign(samples), target, n_references=3)

    # Serial kernels serve small problems, parallel ones large ones: both are called.
    return [
        ("bins, moments, references", lambda: measure(_small_space(), 60)),
        ("the same, in parallel", lambda: measure(DegradationSpace.preset("dense"), 40_000)),
    ]


def _transport() -> Calls:
    import numpy as np

    import fastdeg as fd

    rng = np.random.default_rng(0)

    def between(n: int, metric: str | None) -> None:
        a, b = rng.dirichlet(np.ones(n), 2)
        x = rng.random((n, 3))
        if metric is None:
            fd.emd(a, b, cost=rng.random((n, n)))
        elif metric == "sinkhorn":
            fd.sinkhorn(a, b, x, x[::-1], reg=0.5, tol=1e-3)
        else:
            fd.emd(a, b, x, x[::-1], metric=metric)

    def on_grid(*shape: int) -> None:
        fd.emd_grid(*rng.dirichlet(np.ones(np.prod(shape)), 2).reshape(2, *shape))

    calls: Calls = [("on the line", lambda: fd.emd_1d([0.0, 1.0], [1.0, 3.0], [1.0, 1.0], [1.0, 2.0]))]
    for n in (50, 1500):
        for metric in ("euclidean", "sqeuclidean", "cityblock", "chebyshev", None, "sinkhorn"):
            calls.append((f"{metric or 'given costs'}, {n} points", partial(between, n, metric)))
    return [*calls, ("a grid", lambda: on_grid(8, 8)), ("a larger grid", lambda: on_grid(20, 20, 10))]


def _crafting() -> Calls:
    import numpy as np

    import fastdeg as fd

    rng = np.random.default_rng(0)
    dense = DegradationSpace.preset("dense")
    calls: Calls = []
    for space in (_small_space(), dense):
        samples = space.unstandardize(rng.random((60, space.ndim)))
        for bins in (fd.CentroidBins(space.points()[:: space.n_bins // 9], space=space), fd.GridBins(space)):
            q = fd.BinnedDistribution.from_samples(bins, samples)
            calls += [
                (
                    f"{bins.n_bins} bins, moments",
                    partial(fd.craft, q, generalization=0.1, wasserstein_weight=0.0, tol=1e-3),
                ),
                (f"{bins.n_bins} bins, a path", partial(fd.tradeoff_path, q, tol=1e-3)),  # by all its methods
            ]
    return calls


def _images() -> Calls:
    import numpy as np

    import fastdeg as fd

    image = np.random.default_rng(0).integers(0, 256, (160, 160, 3), dtype=np.uint8)

    def estimate() -> None:
        bins = fd.GridBins(DegradationSpace.preset("paper"))
        estimator = fd.DegradationEstimator(bins, downsampling=2, n_samples=100).fit([image])
        estimator.infer([fd.degrade(image, downsampling=2, noise_sigma=20.0, rng=np.random.default_rng(0))])

    return [("features and the estimator", estimate)]


def _small_space() -> DegradationSpace:
    return DegradationSpace([Axis.regular("blur_sigma", 0, 5, 3), Axis.regular("noise_sigma", 0, 50, 3)])


ROOMS: dict[str, Callable[[], Calls]] = {
    "measuring": _measuring,
    "transport": _transport,
    "crafting": _crafting,
    "images": _images,
}
