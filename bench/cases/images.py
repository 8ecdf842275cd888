"""Degrading, describing and reading images, against the same work in OpenCV, SciPy and NumPy."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
from scipy.fft import dctn

import fastdeg as fd
from bench.case import OURS, Case, Rival
from fastdeg.images import dct_features, read_image


@cache
def photograph() -> np.ndarray:
    spec = importlib.util.find_spec("sklearn")
    return read_image(Path(spec.origin).parent / "datasets" / "images" / "china.jpg").pixels


def low_resolution(height: int, width: int) -> np.ndarray:
    return fd.degrade(photograph(), downsampling=2, noise_sigma=8, jpeg_quality=70, rng=0)[:height, :width].copy()


# -- features: the same statistics with SciPy and NumPy ---------------------------------------------------------------


DCT_ALONE = "SciPy dctn + NumPy, without the edge statistics"


def scipy_features(image: np.ndarray) -> np.ndarray:
    plane = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    out = []
    for shift in (0, 4):
        rows, columns = (plane.shape[0] - shift) // 8, (plane.shape[1] - shift) // 8
        cut = plane[shift : shift + 8 * rows, shift : shift + 8 * columns]
        blocks = cut.reshape(rows, 8, columns, 8).transpose(0, 2, 1, 3).reshape(-1, 8, 8)
        d = np.abs(dctn(blocks, axes=(1, 2), norm="ortho")).reshape(-1, 64)
        n = len(d)
        activity = d[:, [f for f in range(1, 64) if f // 8 + f % 8 <= 3]].sum(axis=1)
        order = np.argpartition(activity, [n - n // 4, n - n // 16])
        d = d[:, 1:]
        ranked = np.partition(d, [n // 4, 3 * n // 4], axis=0)
        out.append(
            np.stack(
                [
                    (d < 1.05).mean(axis=0),
                    (d < 2.55).mean(axis=0),
                    np.log(d + 0.3).mean(axis=0),
                    np.log(d[order[n - n // 4 :]].mean(axis=0) + 0.2),
                    np.log(d[order[n - n // 16 :]].mean(axis=0) + 0.2),
                    np.log(ranked[n // 4] + 0.2),
                    np.log(ranked[3 * n // 4] + 0.2),
                ],
                axis=1,
            )
        )
    return np.stack(out).reshape(-1)


def check_features(workload, answers):
    expected = answers[DCT_ALONE]
    np.testing.assert_allclose(answers[OURS][: len(expected)], expected, atol=5e-3)


def scipy_grid(plane: np.ndarray) -> tuple[int, int]:
    top, left = (max(0, side - 136) // 2 for side in plane.shape)
    part = plane[top : top + 136, left : left + 136]
    shares = np.empty((8, 8))
    for y in range(8):
        for x in range(8):
            rows, columns = (part.shape[0] - y) // 8, (part.shape[1] - x) // 8
            blocks = part[y : y + 8 * rows, x : x + 8 * columns].reshape(rows, 8, columns, 8)
            shares[y, x] = (np.abs(dctn(blocks, axes=(1, 3), norm="ortho")) < 1.05).mean()
    best = int(shares.argmax())
    return (best // 8 + top) % 8, (best % 8 + left) % 8


def scipy_description(images: list[np.ndarray]) -> np.ndarray:
    """On the grid of each image, its one patch of 80 × 80 pixels."""
    out = []
    for image in images:
        top, left = scipy_grid(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32))
        out.append(scipy_features(image[top:, left:]))
    return np.stack(out)


def check_description(workload, answers):
    expected = answers[DCT_ALONE]
    np.testing.assert_allclose(answers[OURS].features[:, : expected.shape[1]], expected, atol=5e-3)


# -- the chain and the mixture ----------------------------------------------------------------------------------------


def opencv_chain(image: np.ndarray) -> np.ndarray:
    x = cv2.GaussianBlur(image.astype(np.float32), (0, 0), 2.0)
    x = cv2.resize(x, (image.shape[1] // 4, image.shape[0] // 4), interpolation=cv2.INTER_CUBIC)
    x = x + np.random.default_rng(0).normal(0, 15, x.shape[:2]).astype(np.float32)[..., None]
    x = np.clip(np.round(x), 0, 255).astype(np.uint8)
    data = cv2.imencode(".jpg", x[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 75])[1]
    return cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]


def check_chain(workload, answers):
    shapes = {answer.shape for answer in answers.values()}
    assert shapes == {(106, 160, 3)}


def pairs(images: list[np.ndarray], **history: str) -> list[np.ndarray]:
    """Return the small pictures of training pairs, each from the generator of its number."""
    fixed = {"downsampling": 4, "noise_sigma": 15, "jpeg_quality": 75}
    return [fd.degrade(x, blur_sigma=k % 9 / 2, rng=k, **fixed, **history) for k, x in enumerate(images)]


def check_pairs(workload, answers):
    with_history, plain = answers.values()
    assert all(a.shape == b.shape and (a != b).any() for a, b in zip(with_history, plain, strict=True))


def plain_bootstrap(w: SimpleNamespace) -> np.ndarray:
    """The same resamples, one after the other: EM towards independent axes until it hardly gains."""
    logs, shape = w.estimator.log_likelihood(w.described), w.estimator.bins.space.shape
    likelihood = np.exp(logs - logs.max(axis=1, keepdims=True))
    n, n_bins = likelihood.shape
    out = []
    for counts in np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=200):
        weights, value = np.full(n_bins, 1 / n_bins), -np.inf
        while True:
            density = likelihood @ weights
            gain, value = (counts * np.log(density)).sum() - value, (counts * np.log(density)).sum()
            a, b, c = (weights.reshape(shape).sum(axis=axes) for axes in ((1, 2), (0, 2), (0, 1)))
            weights = n * weights * (counts / n / density @ likelihood) + 4 * np.einsum("i,j,k->ijk", a, b, c).ravel()
            weights /= weights.sum()
            if gain < 0.05:
                break
        out.append(weights)
    return np.stack(out)


def bootstrap_workload() -> SimpleNamespace:
    return SimpleNamespace(estimator=fitted(), described=fitted().describe(small_references()))


def check_bootstrap(workload, answers):
    ours, plain = answers[OURS], answers["EM one resample after the other"]
    np.testing.assert_allclose(ours, plain, atol=2e-3)  # ours drops what is next to nothing


# -- the estimator ----------------------------------------------------------------------------------------------------


def crops(n: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    photo = photograph()
    corners = [(rng.integers(photo.shape[0] - 320), rng.integers(photo.shape[1] - 480)) for _ in range(n)]
    return [photo[top : top + 321, left : left + 481] for top, left in corners]


def make_estimator(preset: str = "paper") -> fd.DegradationEstimator:
    return fd.DegradationEstimator(fd.GridBins(fd.DegradationSpace.preset(preset)))


def small_references() -> list[np.ndarray]:
    return [fd.degrade(photograph(), downsampling=4, noise_sigma=10, jpeg_quality=80, rng=k) for k in range(24)]


@cache
def fitted() -> fd.DegradationEstimator:
    return make_estimator().set_params(n_samples=4_000).fit(crops(8))


def check_estimates(workload, answers):
    assert all(abs(answer.pmf.sum() - 1) < 1e-9 for answer in answers.values())


CASES = [
    Case(
        name="features of a 192 × 128 colour image",
        setup=lambda: low_resolution(128, 192),
        run=dct_features,
        rivals=[Rival(DCT_ALONE, scipy_features)],
        check=check_features,
    ),
    Case(
        name="description of 24 cropped images of 85 × 83",
        setup=lambda: [low_resolution(88, 88)[k % 5 :, 3:][:83, :85] for k in range(24)],
        run=lambda images: make_estimator().describe(images),
        rivals=[Rival(DCT_ALONE, scipy_description)],
        check=check_description,
    ),
    Case(
        name="degradation chain, 640 × 427 to 160 × 106",
        setup=photograph,
        run=lambda x: fd.degrade(x, blur_sigma=2.0, downsampling=4, noise_sigma=15, jpeg_quality=75, rng=0),
        rivals=[Rival("OpenCV calls by hand", opencv_chain)],
        check=check_chain,
    ),
    Case(
        name="36 training pairs of 481 × 321, preset photo of the history",
        setup=lambda: crops(36),
        run=lambda images: pairs(images, history="photo"),
        rivals=[Rival("the chain without a history", pairs, target=0.5)],
        check=check_pairs,
    ),
    Case(
        name="200 bootstrap mixtures, 24 images, 75 bins",
        setup=bootstrap_workload,
        run=lambda w: w.estimator.bootstrap(w.described).weights,
        rivals=[Rival("EM one resample after the other", plain_bootstrap)],
        check=check_bootstrap,
        seconds=20,
    ),
    Case(
        name="distribution of 24 references of 160 × 106 pixels, fitted estimator",
        setup=small_references,
        run=lambda images: fitted().estimate(images),
        check=check_estimates,
    ),
    Case(
        name="fit, 75 bins, 68 images of 481 × 321",
        setup=lambda: crops(68),
        run=lambda images: make_estimator().fit(images),
        slow=True,
        seconds=1,
    ),
    Case(
        name="fit, 17,850 bins, 68 images of 481 × 321",
        setup=lambda: crops(68),
        run=lambda images: make_estimator("dense").fit(images),
        slow=True,
        seconds=1,
    ),
]
