"""How well degradations are read out of photographs: ``python -m bench.recovery --clean DIR --references DIR``.

The four applications of the paper (all x4, its space of 75 bins); the references are degraded from photographs that
the estimator was not fitted on. Without folders, the photographs inside scikit-learn (fitted on) and the one inside
Matplotlib (references) serve. ``--rows`` measures the history "photo", hard axes and intervals instead. ``--write``
puts the tables into ``docs/images.md``. ``--check`` asserts what has to hold.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

import fastdeg as fd
from bench import recovery_rows
from fastdeg.images import read_image, read_images

PAGE = Path(__file__).resolve().parent.parent / "docs" / "images.md"
SETTINGS = (  # blur, noise, JPEG quality
    ((0, 1), (0, 10), (80, 90)),
    ((0.5, 1.5), (15, 25), (75, 85)),
    ((1.5, 2.5), (5, 15), (75, 85)),
    ((2.5, 3.5), (25, 35), (65, 75)),
)
EVERYWHERE = ((0, 5), (0, 50), (30, 90))
LARGEST = (512, 768)  # of the references before downsampling


@dataclass(frozen=True)
class Recovery:
    """What was found in one setting, over the seeds: arrays of shape (seeds,)."""

    setting: int
    mass: np.ndarray
    distance: np.ndarray
    uniform_distance: float
    effective_bins: np.ndarray
    true_effective_bins: float
    covered: np.ndarray  # share of the marginals' bins whose 90 % interval holds the truth


def embedded_photographs() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return the photographs inside scikit-learn, and crops of the one inside Matplotlib."""
    clean = [read_image(_inside("sklearn", f"datasets/images/{n}.jpg")).pixels for n in ("china", "flower")]
    portrait = read_image(_inside("matplotlib", "mpl-data/sample_data/grace_hopper.jpg")).pixels
    rng = np.random.default_rng(0)
    corners = [(rng.integers(portrait.shape[0] - 399), rng.integers(portrait.shape[1] - 399)) for _ in range(24)]
    return clean, [portrait[t : t + 400, left : left + 400] for t, left in corners]


def degraded(
    photos: Sequence[np.ndarray], ranges: Sequence[tuple[float, float]], n: int, seed: int
) -> tuple[list[np.ndarray], np.ndarray]:
    """Degrade crops of n photographs (again from the first, where there are fewer); images and parameters (n, 3)."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(photos))
    images, parameters = [], []
    for i in range(n):
        photo = photos[order[i % len(photos)]]
        size = LARGEST if photo.shape[0] <= photo.shape[1] else LARGEST[::-1]
        height, width = (min(a, b) for a, b in zip(photo.shape[:2], size, strict=True))
        top, left = rng.integers(photo.shape[0] - height + 1), rng.integers(photo.shape[1] - width + 1)
        blur, noise, quality = (rng.uniform(low, high) for low, high in ranges)
        crop = photo[top : top + height, left : left + width]
        images.append(
            fd.degrade(crop, blur_sigma=blur, noise_sigma=noise, jpeg_quality=quality, downsampling=4, rng=rng)
        )
        parameters.append((blur, noise, quality))
    return images, np.array(parameters)


def recover(
    estimator: fd.DegradationEstimator, photos: Sequence[np.ndarray], n_references: int, seeds: Sequence[int]
) -> list[Recovery]:
    """Infer each setting's distribution from n references, once per seed."""
    bins = estimator.bins
    uniform = fd.BinnedDistribution.uniform(bins)
    rows = []
    for k, ranges in enumerate(SETTINGS):
        low, high = np.transpose(ranges)
        samples = np.random.default_rng(0).uniform(low, high, (20_000, 3))
        truth = fd.BinnedDistribution.from_samples(bins, samples)
        found = []
        for seed in seeds:
            images, _ = degraded(photos, ranges, n_references, 1000 * seed + k)
            described = estimator.describe(images)
            q, intervals = estimator.estimate(described), estimator.bootstrap(described).marginals
            covered = [(truth.marginal(m.axis) >= m.low) & (truth.marginal(m.axis) <= m.high) for m in intervals]
            found.append(
                (
                    q.pmf[truth.pmf > 1e-3].sum(),
                    fd.degradation_distance(q, truth, frechet_weight=0, metric="euclidean"),
                    q.effective_bins(),
                    np.concatenate(covered).mean(),
                )
            )
        mass, distance, effective, covered_share = np.transpose(found)
        rows.append(
            Recovery(
                k + 1, mass, distance,
                fd.degradation_distance(uniform, truth, frechet_weight=0, metric="euclidean"),
                effective, truth.effective_bins(), covered_share,
            )
        )  # fmt: skip
    return rows


def image_errors(estimator: fd.DegradationEstimator, photos: Sequence[np.ndarray], n: int = 200) -> dict[str, float]:
    """Return root mean square errors of single images' parameters, over the whole space."""
    images, truth = degraded(photos, EVERYWHERE, n, 5)
    found = estimator.infer(images)
    errors = found.parameters - truth
    blurred = truth[:, 0] > 1.5
    return {
        "blur where blur > 1.5 (px)": float(np.sqrt((errors[blurred, 0] ** 2).mean())),
        "noise (of 255)": float(np.sqrt((errors[:, 1] ** 2).mean())),
        "JPEG quality": float(np.sqrt((errors[:, 2] ** 2).mean())),
    }


def table(rows: Sequence[Recovery]) -> str:
    """Return the recoveries as a Markdown table."""
    lines = [
        "| setting | mass on the true bins (least) | earth mover's distance, euclidean (of uniform) | "
        "effective bins (true) | intervals that hold the truth |",
        "|---|---|---|---|---|",
    ]
    for r in rows:
        lines.append(
            f"| {r.setting} | {r.mass.mean():.2f} ({r.mass.min():.2f}) | {r.distance.mean():.3f} "
            f"({r.uniform_distance:.2f}) | {r.effective_bins.mean():.1f} ({r.true_effective_bins:.1f}) | "
            f"{100 * r.covered.mean():.0f} % |"
        )
    mass, distance = np.mean([r.mass for r in rows]), np.mean([r.distance for r in rows])
    uniform, covered = np.mean([r.uniform_distance for r in rows]), np.mean([r.covered for r in rows])
    return "\n".join([*lines, f"| mean | {mass:.2f} | {distance:.3f} ({uniform:.2f}) | | {100 * covered:.0f} % |"])


def outsiders(photos: Sequence[np.ndarray], n: int = 216) -> dict[str, list[np.ndarray]]:
    """Return images by kind: some that the space can make, anywhere in it, and some that it cannot."""
    inside, _ = degraded(photos, EVERYWHERE, n, 6)
    mild, _ = degraded(photos, ((0, 2), (0, 10), (70, 90)), n, 7)
    rng = np.random.default_rng(8)

    def chain(source: Sequence[np.ndarray], **parameters: float) -> list[np.ndarray]:
        return [fd.degrade(x, rng=rng, **parameters) for x in source]

    whole = [photos[i % len(photos)] for i in range(n)]
    small = chain(whole, downsampling=4, blur_sigma=1.0)
    moved = [cv2.filter2D(x, -1, np.full((1, 25), 1 / 25)) for x in whole]
    twice = [x[3:, 5:] for x in chain(small, noise_sigma=5, jpeg_quality=15)]
    return {
        "inside the space": inside,
        "inside, then enlarged 2 × (bicubic)": [
            cv2.resize(x, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC) for x in mild
        ],
        "inside, then denoised (non-local means)": [_denoised(x) for x in inside],
        "inside, then median 3 × 3": [cv2.medianBlur(x, 3) for x in inside],
        "inside, then sharpened": [cv2.addWeighted(x, 2.5, cv2.GaussianBlur(x, (0, 0), 1.0), -1.5, 0) for x in mild],
        "noise of 80": chain(small, noise_sigma=80, jpeg_quality=80),
        "JPEG quality 8": chain(small, noise_sigma=5, jpeg_quality=8),
        "JPEG quality 15, then 90 on a shifted grid": chain(twice, jpeg_quality=90),
        "blur of 12 px": chain(whole, blur_sigma=12, downsampling=4, noise_sigma=5, jpeg_quality=80),
        "motion blur of 25 px": chain(moved, downsampling=4, noise_sigma=3, jpeg_quality=85),
        "salt and pepper, not compressed": [
            np.where(rng.random((*x.shape[:2], *(1,) * (x.ndim - 2))) < 0.05, 255, x).astype(np.uint8) for x in small
        ],
        "not degraded at all": [x[:128, :192] for x in whole],
    }


def _denoised(x: np.ndarray) -> np.ndarray:
    if x.ndim == 2:
        return cv2.fastNlMeansDenoising(x, None, 10, 5, 15)
    return cv2.fastNlMeansDenoisingColored(x, None, 10, 10, 5, 15)


def outside_shares(estimator: fd.DegradationEstimator, photos: Sequence[np.ndarray]) -> dict[str, tuple[float, float]]:
    """Return the shares called outside of the space at levels of 1 % and 5 %, kind by kind."""
    p_values = {kind: estimator.infer(images).outside_p_values for kind, images in outsiders(photos).items()}
    return {kind: (float((p <= 0.01).mean()), float((p <= 0.05).mean())) for kind, p in p_values.items()}


def outside_table(shares: Mapping[str, tuple[float, float]]) -> str:
    """Return the shares called outside as a Markdown table."""
    lines = ["| images | called outside, level 1 % | level 5 % |", "|---|---|---|"]
    lines += [f"| {kind} | {100 * strict:.0f} % | {100 * lax:.0f} % |" for kind, (strict, lax) in shares.items()]
    return "\n".join(lines)


def check(
    recoveries: Mapping[int, Sequence[Recovery]],
    errors: Mapping[str, float],
    shares: Mapping[str, tuple[float, float]],
) -> None:
    """Assert what has to hold of a fit on a folder of clean images: recoveries by number of references."""
    for n, rows in recoveries.items():
        assert np.mean([r.mass for r in rows]) >= (0.92 if n >= 24 else 0.8), n
    for r in recoveries.get(24, ()):
        assert r.mass.mean() >= 0.8, r
        assert 0.5 <= r.effective_bins.mean() / r.true_effective_bins <= 2, r
    if 24 in recoveries:
        assert np.mean([r.distance for r in recoveries[24]]) <= 0.06
        assert np.mean([r.covered for r in recoveries[24]]) >= 0.8
    limits = {"blur where blur > 1.5 (px)": 0.6, "noise (of 255)": 2.0, "JPEG quality": 2.5}
    assert all(errors[name] <= limit for name, limit in limits.items()), errors
    inside, *others = shares.values()
    assert inside[0] <= 0.03, inside  # 216 images, a few of each photograph
    assert inside[1] <= 0.08, inside
    for kind in ("inside, then enlarged 2 × (bicubic)", "inside, then median 3 × 3", "noise of 80", "JPEG quality 8"):
        assert shares[kind][0] >= 0.9, kind
    assert np.mean([strict for strict, _ in others]) >= 0.65, shares
    assert min(lax for _, lax in others) >= 0.6, shares


def real_table(estimator: fd.DegradationEstimator, wider: fd.DegradationEstimator, folder: str) -> str:
    """Return what is read out of real photos, as a Markdown table, and how many are outside of a wider space too."""
    photos = read_images(folder, skip_bad=True)
    found = estimator.infer(photos.images)
    names = estimator.bins.names
    lines = [f"| photo | {' | '.join(names)} | comb | p-value inside |", "|---|" + "---|" * (len(names) + 2)]
    for i, path in enumerate(photos.paths):
        values = zip(found.parameters[i], found.parameter_errors[i], strict=True)
        cells = " | ".join(f"{v:.1f} ± {e:.1f}" for v, e in values)
        lines.append(
            f"| {path.name} | {cells} | {'no' if found.without_comb[i] else 'yes'} | "
            f"{found.outside_p_values[i]:.3f}{' **outside**' if found.outside[i] else ''} |"
        )
    still = [p.name for p, out in zip(photos.paths, wider.outside(photos.images), strict=True) if out]
    lines += [
        "",
        f"{found.outside.sum()} of {len(photos)} are called outside at the level of 1 % each; if all were inside, "
        f"so many would be with probability {found.all_inside_p_value:.1g}.",
        f"Over a space whose JPEG quality ends at 100 instead: {', '.join(still)}.",
    ]
    return "\n".join(lines)


def fits_table(
    clean: Sequence[np.ndarray], photos: Sequence[np.ndarray], counts: Sequence[int], seeds: Sequence[int]
) -> str:
    """Return what fits on fewer clean images recover from 24 references, as a Markdown table."""
    lines = [
        "| clean images | mass on the true bins (worst setting) | earth mover's distance | "
        "blur (px) | noise (of 255) | JPEG quality |",
        "|---|---|---|---|---|---|",
    ]
    for count in counts:
        chosen = [clean[k] for k in np.linspace(0, len(clean) - 1, count).round().astype(int)]
        estimator = fitted(chosen)
        rows = recover(estimator, photos, 24, seeds)
        masses, distance = [r.mass.mean() for r in rows], np.mean([r.distance for r in rows])
        errors = " | ".join(f"{error:.2f}" for error in image_errors(estimator, photos).values())
        lines.append(f"| {count} | {np.mean(masses):.2f} ({min(masses):.2f}) | {distance:.3f} | {errors} |")
        print(lines[-1], flush=True)
    return "\n".join(lines)


def rows_table(options: argparse.Namespace, clean: Sequence[np.ndarray], photos: Sequence[np.ndarray]) -> str:
    """Return what was asked of the history "photo", of hard axes and of intervals, and what was found, as a table."""
    real = read_images(options.real, skip_bad=True).images if options.real else None
    fit = {"n_samples": options.n_samples}
    photo = fd.GridBins(fd.DegradationSpace.preset("photo"))
    with_history = fd.DegradationEstimator(photo, history="photo", **fit).fit(clean)
    rows = recovery_rows.photo_rows(with_history, photos, real, options.photos, options.pictures)
    print(recovery_rows.table(rows), flush=True)
    on_half = fitted(clean[::2], **fit)
    sets = {"the other half of the clean images": clean[1::2], options.name: photos}
    sets |= {name: read_images(folder).images for name, _, folder in (text.partition("=") for text in options.sets)}
    covered = recovery_rows.coverage_rows({name: (on_half, x) for name, x in sets.items()}, options.cases)
    print(recovery_rows.table(covered), flush=True)
    return recovery_rows.table([*rows, *covered, *recovery_rows.hard_rows(clean, photos, options.photos // 2, **fit)])


def wider_space() -> fd.DegradationSpace:
    """Return the paper's space with JPEG qualities up to 100, which can hardly be told from no compression."""
    blur, noise, _ = fd.DegradationSpace.preset("paper").axes
    return fd.DegradationSpace([blur, noise, fd.Axis.regular("jpeg_quality", 30, 100, 7)])


def fitted(
    clean: Sequence[np.ndarray], space: fd.DegradationSpace | None = None, **settings: int
) -> fd.DegradationEstimator:
    """Fit an estimator over the paper's space, or another."""
    start = time.perf_counter()
    bins = fd.GridBins(space or fd.DegradationSpace.preset("paper"))
    estimator = fd.DegradationEstimator(bins, **settings).fit(clean)
    print(f"fitted on {len(clean)} images in {time.perf_counter() - start:.0f} s", flush=True)
    return estimator


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.recovery", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--clean", help="folder of clean images to fit on")
    parser.add_argument("--references", help="folder of other clean images, to be degraded")
    parser.add_argument("--name", default="these folders", help="what to call them in the tables")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--counts", type=int, nargs="+", default=[24, 10], help="numbers of references")
    parser.add_argument("--real", help="folder of real photos, to be listed with what is read out of them")
    parser.add_argument("--rows", action="store_true", help="only the history 'photo', hard axes and intervals")
    parser.add_argument("--photos", type=int, default=400, help="photos made by the history")
    parser.add_argument("--pictures", type=int, default=60, help="pictures of each kind that is outside")
    parser.add_argument("--cases", type=int, default=100, help="sets of photos whose intervals are judged")
    parser.add_argument("--n-samples", type=int, default=16_000, help="synthetic patches of the fits of --rows")
    parser.add_argument("--sets", nargs="*", default=[], metavar="NAME=DIR", help="more photographs for intervals")
    parser.add_argument(
        "--fits", type=int, nargs="+", metavar="N", help="only the table of fits on N clean images each"
    )
    parser.add_argument(
        "--check", action="store_true", help="assert what has to hold, given a dozen varied photographs"
    )
    parser.add_argument("--write", action="store_true", help="put the tables into docs/images.md")
    options = parser.parse_args(arguments)
    if (options.clean is None) != (options.references is None):
        parser.error("--clean and --references go together")
    if options.clean is None:
        clean, photos = embedded_photographs()
        key, name = "embedded", "Fitted on the two photographs inside scikit-learn, references from Matplotlib's"
    else:
        clean, photos = read_images(options.clean).images, read_images(options.references).images
        key, name = "folders", f"Fitted on {len(clean)} clean images, references from {len(photos)} others"
        name += f" ({options.name})"
    if options.rows:
        _publish({"rows": rows_table(options, clean, photos)}, write=options.write)
        return
    if options.fits is not None:
        if options.clean is None or not 1 <= min(options.fits) <= max(options.fits) <= len(clean):
            parser.error(f"--fits: expected --clean, and numbers of its images, got {options.fits}")
        table_of_fits = fits_table(clean, photos, options.fits, range(options.seeds))
        _publish({"fits": table_of_fits}, write=options.write)
        return
    estimator = fitted(clean)
    parts = [f"{name}; {options.seeds} seeds."]
    recoveries = {n: recover(estimator, photos, n, range(options.seeds)) for n in options.counts}
    for count, rows in recoveries.items():
        parts += [f"{count} references:", table(rows)]
    errors = image_errors(estimator, photos)
    parts.append("Single images, anywhere in the space, root mean square errors: " + ", ".join(
        f"{k} {v:.2f}" for k, v in errors.items()) + ".")  # fmt: skip
    shares = outside_shares(estimator, photos)
    parts.append(outside_table(shares))
    texts = {key: "\n\n".join(parts)}
    if options.real is not None:
        texts["real"] = real_table(estimator, fitted(clean, wider_space()), options.real)
    _publish(texts, write=options.write)
    if options.check:
        check(recoveries, errors, shares)


def _publish(texts: dict[str, str], *, write: bool) -> None:
    """Print the tables and, if told, put them between their marks in the page."""
    for text in texts.values():
        print(text + "\n")
    for key, text in texts.items() if write else ():
        page = PAGE.read_text(encoding="utf-8")
        begin, end = (f"<!-- {key}:{word} -->" for word in ("begin", "end"))
        head, rest = page.split(begin)
        PAGE.write_text(f"{head}{begin}\n{text}\n{end}{rest.split(end)[1]}", encoding="utf-8")


def _inside(package: str, name: str) -> Path:
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / name


if __name__ == "__main__":
    main()
