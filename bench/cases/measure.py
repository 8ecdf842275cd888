"""Bin assignment, weighted moments, Fréchet distances and diverse selection."""

from __future__ import annotations

from types import SimpleNamespace as Workload

import numba
import numpy as np

import fastdeg as fd
from bench.case import OURS, Case, Curve, FirstCall, Rival

# --- nearest centres


def centroid_workload(n, d, n_bins, dtype=np.float64):
    rng = np.random.default_rng(0)
    if n_bins == 17_850:
        dense = fd.DegradationSpace.preset("dense")
        centers = dense.standardize(dense.points())
    else:
        centers = rng.random((n_bins, d))
    w = Workload(x=rng.random((n, d)).astype(dtype), centers=centers.astype(dtype))
    w.bins = fd.CentroidBins(w.centers)
    w.x32 = w.x.astype(np.float32)
    try:
        from sklearn.cluster import KMeans

        w.kmeans = KMeans(n_bins, init=w.centers, n_init=1, max_iter=1).fit(w.centers)
        w.kmeans.cluster_centers_ = w.centers
    except ImportError:
        pass
    try:
        from scipy.spatial import cKDTree

        w.tree = cKDTree(w.centers)
    except ImportError:
        pass
    try:
        import faiss

        faiss.omp_set_num_threads(numba.get_num_threads())
        w.faiss = faiss.IndexFlatL2(d)
        w.faiss.add(w.centers.astype(np.float32))
    except ImportError:
        pass
    return w


def check_nearest(w, answers):
    """Ours exactly on a sample, the others' centres as near but for their rounding."""
    rows = np.linspace(0, len(w.x) - 1, 2_000).astype(np.int64)
    distances = np.zeros((len(rows), len(w.centers)))
    for k in range(w.x.shape[1]):
        distances += (w.x[rows, k, None].astype(np.float64) - w.centers[None, :, k].astype(np.float64)) ** 2
    for name, answer in answers.items():
        if name == OURS:
            np.testing.assert_array_equal(answer[rows], distances.argmin(axis=1))
        else:
            np.testing.assert_allclose(distances[np.arange(len(rows)), answer[rows]], distances.min(axis=1), atol=1e-5)


CENTROID_RIVALS = (
    Rival("scikit-learn predict", lambda w: w.kmeans.predict(w.x), requires=["sklearn"]),
    Rival("SciPy cKDTree, all workers", lambda w: w.tree.query(w.x, workers=-1)[1], requires=["scipy"]),
    Rival("FAISS flat, float32", lambda w: w.faiss.search(w.x32, 1)[1][:, 0], requires=["faiss"]),
)


def centroid_case(n, d, n_bins, target, dtype=np.float64, text=""):
    return Case(
        name=f"nearest centre, n = {n:,}, d = {d}, N = {n_bins:,}{text}",
        setup=lambda: centroid_workload(n, d, n_bins, dtype),
        run=lambda w: w.bins.assign(w.x),
        rivals=CENTROID_RIVALS if n * n_bins < 1e10 else CENTROID_RIVALS[1:],  # minutes, with scikit-learn
        check=check_nearest,
        target=target,
        bytes_read=n * d * np.dtype(dtype).itemsize,
        flops=3.0 * n * n_bins * d if d > 8 else None,
        seconds=25 if n_bins > 1_000 else 12,
    )


# --- cells of a grid


def grid_workload(n):
    space = fd.DegradationSpace.preset("dense")
    rng = np.random.default_rng(0)
    low = [axis.boundaries[0] for axis in space.axes]
    high = [axis.boundaries[-1] for axis in space.axes]
    x = rng.uniform(low, high, (n, 3))
    w = Workload(x=x, bins=fd.GridBins(space), space=space, columns=[np.ascontiguousarray(c) for c in x.T])
    w.edges = [axis.boundaries for axis in space.axes]
    return w


def boost_fill(w):
    import boost_histogram as bh

    axes = [bh.axis.Regular(len(e) - 1, e[0], e[-1], underflow=False, overflow=False) for e in w.edges]
    histogram = bh.Histogram(*axes, storage=bh.storage.Double())
    histogram.fill(*w.columns, threads=numba.get_num_threads())
    return histogram.view().ravel()


def check_counts(w, answers):
    labels = np.array([np.searchsorted(e, c, side="left") - 1 for e, c in zip(w.edges, w.x[:100_000].T, strict=True)])
    expected = np.ravel_multi_index(np.maximum(labels, 0), w.space.shape)
    np.testing.assert_array_equal(w.bins.assign(w.x[:100_000]), expected)
    distribution = answers.pop(OURS)
    assert distribution.n_samples == len(w.x)
    for counts in answers.values():
        # arithmetic cells (boost-histogram) may put a sample on an edge into the neighbour
        assert np.abs(counts / len(w.x) - distribution.pmf).sum() <= 1e-6


GRID_RIVALS = (
    Rival("boost-histogram fill, Regular axes, all threads", boost_fill, target=2.0, requires=["boost_histogram"]),
    Rival("numpy.histogramdd", lambda w: np.histogramdd(w.x, bins=w.edges)[0].ravel(), target=10.0),
)


def grid_case(n, rivals=GRID_RIVALS):
    return Case(
        name=f"BinnedDistribution.from_samples, 50 × 51 × 7 cells, n = {n:,}",
        setup=lambda: grid_workload(n),
        run=lambda w: fd.BinnedDistribution.from_samples(w.bins, w.x),
        rivals=rivals,
        check=check_counts,
        bytes_read=n * 3 * 8,
        seconds=25,
    )


# --- moments


def moments_workload(n, d, n_bins=None):
    rng = np.random.default_rng(0)
    w = Workload(x=rng.random((n, d)), weights=rng.random(n))
    if n_bins is not None:
        w.labels, w.n_bins = rng.integers(0, n_bins, n), n_bins
    return w


def check_moments(w, answers):
    from numpy.testing import assert_allclose

    mean, cov = answers[OURS]
    weights = getattr(w, "used_weights", w.weights)
    expected = np.average(w.x, axis=0, weights=weights)
    assert_allclose(mean, expected, rtol=1e-11)
    deviation = w.x - expected
    assert_allclose(cov, (deviation * (weights / weights.sum())[:, None]).T @ deviation, rtol=1e-9, atol=1e-12)
    for name, answer in answers.items():
        if name != OURS:
            assert_allclose(answer, cov, rtol=1e-9, atol=1e-12)


def check_gram(w, answers):
    mean, cov = answers[OURS]
    gram = answers["NumPy X.T @ X, not centred"] / len(w.x) if len(answers) > 1 else w.x.T @ w.x / len(w.x)
    np.testing.assert_allclose(cov + np.outer(mean, mean), gram, rtol=1e-10)


def pandas_moments(w):
    import pandas as pd

    x, d = w.x, w.x.shape[1]
    pairs = [(j, k) for j in range(d) for k in range(j + 1)]
    columns = {j: x[:, j] for j in range(d)} | {f"{j}{k}": x[:, j] * x[:, k] for j, k in pairs}
    groups = pd.DataFrame(columns, copy=False).groupby(w.labels, sort=False)
    sums, count = groups.sum(), groups.size().to_numpy()
    mean, cov = np.zeros((w.n_bins, d)), np.zeros((w.n_bins, d, d))
    index = sums.index.to_numpy()
    mean[index] = sums[list(range(d))].to_numpy() / count[:, None]
    for j, k in pairs:
        cov[index, j, k] = cov[index, k, j] = sums[f"{j}{k}"].to_numpy() / count - mean[index, j] * mean[index, k]
    return mean, cov


def check_label_moments(w, answers):
    mean, cov = answers[OURS]
    for label in (0, w.n_bins // 2, w.n_bins - 1):
        members = w.x[w.labels == label]
        np.testing.assert_allclose(mean[label], members.mean(axis=0), rtol=1e-11)
        np.testing.assert_allclose(cov[label], np.cov(members.T, ddof=0), rtol=1e-9, atol=1e-12)
    for other_mean, other_cov in answers.values():
        np.testing.assert_allclose(other_mean, mean, rtol=1e-10)
        np.testing.assert_allclose(other_cov, cov, rtol=1e-8, atol=1e-9)


# --- Fréchet


def frechet_workload(n_bins, d):
    rng = np.random.default_rng(0)
    a = rng.normal(size=(n_bins, d, 2 * d))
    b = rng.normal(size=(d, 2 * d))
    means, mean = rng.normal(size=(n_bins, d)), rng.normal(size=d)
    return Workload(means=means, covs=a @ a.swapaxes(1, 2) / d, mean=mean, cov=b @ b.T / d)


def numpy_frechet(w):
    """What is usually written: the symmetric root of the one covariance, batched symmetric eigenvalues of the rest."""
    values, vectors = np.linalg.eigh(w.cov)
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    eigenvalues = np.linalg.eigvalsh(root @ w.covs @ root)
    cross = np.sqrt(np.maximum(eigenvalues, 0)).sum(axis=1)
    traces = np.trace(w.covs, axis1=1, axis2=2) + np.trace(w.cov)
    return ((w.means - w.mean) ** 2).sum(axis=1) + traces - 2 * cross


def check_frechet(w, answers):
    expected = numpy_frechet(w)
    for answer in answers.values():
        np.testing.assert_allclose(answer, expected, rtol=1e-8)


def frechet_case(n_bins, d, target):
    return Case(
        name=f"Fréchet, {n_bins:,} to one, d = {d}",
        setup=lambda: frechet_workload(n_bins, d),
        run=lambda w: fd.frechet_distances(w.means, w.covs, w.mean, w.cov),
        rivals=[Rival("NumPy batched eigvalsh", numpy_frechet, target=target)],
        check=check_frechet,
        bytes_read=n_bins * (d + d * d) * 8,
    )


# --- farthest points


def points_workload(n, d, k):
    x = np.random.default_rng(0).normal(size=(n, d)).astype(np.float32)
    return Workload(x=x, k=k)


def numpy_farthest(w):
    """One matrix-vector product per chosen point."""
    squares = np.einsum("ij,ij->i", w.x, w.x)
    nearest = np.full(len(w.x), np.inf, np.float32)
    chosen = np.empty(w.k, np.int64)
    chosen[0] = 0
    for step in range(1, w.k):
        last = chosen[step - 1]
        np.minimum(nearest, squares + squares[last] - 2 * (w.x @ w.x[last]), out=nearest)
        chosen[step] = nearest.argmax()
    return chosen


def fpsample_kdline(h):
    def run(w):
        import fpsample

        return fpsample.bucket_fps_kdline_sampling(w.x, w.k, h=h, start_idx=0)

    return run


def fpsample_plain(w):
    import fpsample

    return fpsample.fps_sampling(w.x, w.k, start_idx=0)


def check_farthest(w, answers):
    """Ours step by step in float64; the others (float32) by the radius that their choice leaves uncovered."""
    x = w.x.astype(np.float64)

    def distances(index):
        return ((x - x[index]) ** 2).sum(axis=1)

    nearest, radius = np.full(len(x), np.inf), np.inf
    for step, index in enumerate(answers[OURS]):
        if step and step % (1 + w.k // 20) == 0:
            assert nearest[index] >= nearest.max() * (1 - 1e-12)
        nearest = np.minimum(nearest, distances(index))
        radius = nearest.max()
    for name, answer in answers.items():
        assert len(np.unique(answer)) == w.k, name
        if name != OURS:
            nearest = np.min([distances(index) for index in answer], axis=0)
            assert nearest.max() <= 1.05 * radius, name


FARTHEST_LOW = tuple(
    Rival(f"fpsample bucket kd-line, h = {h}", fpsample_kdline(h), target=1.2, requires=["fpsample"]) for h in (5, 7, 9)
)
FARTHEST_HIGH = (
    Rival("fpsample", fpsample_plain, target=3.0, requires=["fpsample"]),
    Rival("NumPy matrix-vector products", numpy_farthest, target=1.2),
)


def farthest_case(n, d, k, rivals):
    return Case(
        name=f"farthest points, n = {n:,}, d = {d}, k = {k:,}",
        setup=lambda: points_workload(n, d, k),
        run=lambda w: fd.farthest_points(w.x, w.k),
        rivals=rivals,
        check=check_farthest,
    )


CASES = [
    centroid_case(1_000_000, 3, 100, 2.5),
    centroid_case(1_000_000, 3, 1_000, 5.0),
    centroid_case(1_000_000, 3, 17_850, 5.0),
    centroid_case(100_000, 36, 1_000, 1.0),
    centroid_case(100_000, 36, 1_000, None, np.float32, ", float32"),
    grid_case(10_000_000),
    Case(
        name="weighted moments, n = 1,000,000, d = 3",
        setup=lambda: moments_workload(1_000_000, 3),
        run=lambda w: fd.weighted_moments(w.x, w.weights),
        rivals=[Rival("numpy.cov(aweights)", lambda w: np.cov(w.x.T, aweights=w.weights, ddof=0), target=10.0)],
        check=check_moments,
        bytes_read=1_000_000 * 4 * 8,
    ),
    Case(
        name="moments, n = 200,000, d = 64",
        setup=lambda: moments_workload(200_000, 64),
        run=lambda w: fd.weighted_moments(w.x),
        rivals=[Rival("NumPy X.T @ X, not centred", lambda w: w.x.T @ w.x, target=0.8)],
        check=check_gram,
        bytes_read=200_000 * 64 * 8,
        flops=200_000 * 64 * 65,
    ),
    Case(
        name="moments per label, n = 1,000,000, d = 3, N = 17,850",
        setup=lambda: moments_workload(1_000_000, 3, 17_850),
        run=lambda w: fd.weighted_moments(w.x, labels=w.labels, n_bins=w.n_bins),
        rivals=[Rival("pandas groupby, sums of products", pandas_moments, target=10.0, requires=["pandas"])],
        check=check_label_moments,
        bytes_read=1_000_000 * 4 * 8,
    ),
    frechet_case(100_000, 3, 4.0),
    frechet_case(1_000, 36, 1.3),
    farthest_case(200_000, 3, 1_000, FARTHEST_LOW),
    farthest_case(20_000, 256, 200, FARTHEST_HIGH),
]


THREADS = list(range(1, numba.config.NUMBA_NUM_THREADS + 1))


def with_threads(workload):
    """Workload of a curve over threads."""

    def setup(threads):
        w = workload()
        w.threads = threads
        return w

    return setup


NEAREST = CENTROID_RIVALS[1:]
CURVES = [
    Curve(
        "Nearest centre over n (d = 3, N = 1,000)",
        "n",
        [1_000, 10_000, 100_000, 1_000_000],
        lambda n: centroid_workload(n, 3, 1_000),
        lambda w: w.bins.assign(w.x),
        NEAREST,
    ),
    Curve(
        "Nearest centre over N (n = 100,000, d = 3)",
        "N",
        [1, 10, 100, 1_000, 10_000],
        lambda n_bins: centroid_workload(100_000, 3, n_bins),
        lambda w: w.bins.assign(w.x),
        NEAREST,
    ),
    Curve(
        "Nearest centre over d (n = 100,000, N = 1,000)",
        "d",
        [1, 2, 3, 4, 6, 8, 16, 64],
        lambda d: centroid_workload(100_000, d, 1_000),
        lambda w: w.bins.assign(w.x),
        NEAREST,
    ),
    Curve(
        "Nearest centre over threads (n = 1,000,000, d = 3, N = 1,000)",
        "threads",
        THREADS,
        with_threads(lambda: centroid_workload(1_000_000, 3, 1_000)),
        lambda w: w.bins.assign(w.x, threads=w.threads),
    ),
    Curve(
        "BinnedDistribution.from_samples over threads (50 × 51 × 7 cells, n = 1,000,000)",
        "threads",
        THREADS,
        with_threads(lambda: grid_workload(1_000_000)),
        lambda w: fd.BinnedDistribution.from_samples(w.bins, w.x, threads=w.threads),
    ),
    Curve(
        "Weighted moments over threads (n = 1,000,000, d = 3)",
        "threads",
        THREADS,
        with_threads(lambda: moments_workload(1_000_000, 3)),
        lambda w: fd.weighted_moments(w.x, w.weights, threads=w.threads),
    ),
    Curve(
        "Moments per label over N (n = 1,000,000, d = 3)",
        "N",
        [10, 1_000, 100_000],
        lambda n_bins: moments_workload(1_000_000, 3, n_bins),
        lambda w: fd.weighted_moments(w.x, labels=w.labels, n_bins=w.n_bins),
        [Rival("pandas groupby, sums of products", pandas_moments, requires=["pandas"])],
    ),
    Curve(
        "Moments over d (n = 100,000)",
        "d",
        [1, 2, 3, 8, 16, 64, 128],
        lambda d: moments_workload(100_000, d),
        lambda w: fd.weighted_moments(w.x),
        [Rival("NumPy X.T @ X, not centred", lambda w: w.x.T @ w.x)],
    ),
    Curve(
        "Fréchet, 1,000 to one, over d",
        "d",
        [1, 2, 3, 4, 8, 16, 32, 64],
        lambda d: frechet_workload(1_000, d),
        lambda w: fd.frechet_distances(w.means, w.covs, w.mean, w.cov),
        [Rival("NumPy batched eigvalsh", numpy_frechet)],
    ),
    Curve(
        "Fréchet over threads (100,000 to one, d = 3)",
        "threads",
        THREADS,
        with_threads(lambda: frechet_workload(100_000, 3)),
        lambda w: fd.frechet_distances(w.means, w.covs, w.mean, w.cov, threads=w.threads),
    ),
    Curve(
        "Farthest points over n (d = 3, k = 100)",
        "n",
        [1_000, 10_000, 100_000],
        lambda n: points_workload(n, 3, 100),
        lambda w: fd.farthest_points(w.x, w.k),
        [FARTHEST_LOW[1]],
    ),
]

DATA = "import numpy as np, fastdeg as fd; x = np.random.default_rng(0).random((1_000, 3)); "
BINS = (
    "import numpy as np, fastdeg as fd; r = np.random.default_rng(0); images = r.random((200, 16)); "
    "bins = fd.GridBins(fd.DegradationSpace.preset('paper')); samples = bins.space.unstandardize(r.random((200, 3))); "
    "p = fd.BinnedDistribution(bins, r.dirichlet(np.ones(75))); "
)
FIRST_CALLS = [
    FirstCall("CentroidBins.assign", DATA + "fd.CentroidBins(x[:50]).assign(x)"),
    FirstCall(
        "GridBins.assign",
        DATA + "fd.GridBins(fd.DegradationSpace.preset('paper')).assign(x * 20 + [0, 0, 40], outside='clip')",
    ),
    FirstCall("weighted_moments", DATA + "fd.weighted_moments(x)"),
    FirstCall(
        "weighted_moments(labels=…)", DATA + "fd.weighted_moments(x, labels=np.zeros(len(x), np.int64), n_bins=2)"
    ),
    FirstCall("frechet_distance, d = 3", DATA + "fd.frechet_distance(x[0], np.eye(3), x[1], np.eye(3))"),
    FirstCall("farthest_points", DATA + "fd.farthest_points(x, 10)"),
    FirstCall(
        "degradation_distance, 75 bins", BINS + "fd.degradation_distance(p, fd.BinnedDistribution.uniform(bins))"
    ),
    FirstCall("select_references, 200 images", BINS + "fd.select_references(images, bins.assign(samples), p)"),
]
