"""The two-stage random chain of Real-ESRGAN and all that took it over: its keys, its chain, what surprises in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fastdeg.frameworks.chain import Blur, Branch, Chain, Jpeg, Noise, Other, RandomStep, Resize, Ringing, maybe
from fastdeg.frameworks.keys import Keys
from fastdeg.frameworks.ranges import Range, fixed

SHAPES = {
    "iso": ("gaussian", False),
    "aniso": ("gaussian", True),
    "generalized_iso": ("generalized", False),
    "generalized_aniso": ("generalized", True),
    "plateau_iso": ("plateau", False),
    "plateau_aniso": ("plateau", True),
}
STAGE = ("resize_prob", "resize_range", "gaussian_noise_prob", "noise_range", "poisson_scale_range", "gray_noise_prob",
         "jpeg_range", "kernel_list", "kernel_prob", "sinc_prob", "blur_sigma", "betag_range", "betap_range",
         "blur_kernel_size")  # fmt: skip
BOTH_STAGES = (*STAGE, *(name + "2" for name in STAGE), "final_sinc_prob")
SIZES = tuple(range(7, 22, 2))
THIRDS = (("area", 1 / 3), ("linear", 1 / 3), ("cubic", 1 / 3))
NO_JPEG = 99.9  # quality at which DiffJPEG does next to nothing; at 100 it divides by zero
DEFAULTS: dict[str, Any] = {
    "resize_prob": [0.2, 0.7, 0.1], "resize_range": [0.15, 1.5], "gaussian_noise_prob": 0.5, "noise_range": [1, 30],
    "poisson_scale_range": [0.05, 3], "gray_noise_prob": 0.4, "jpeg_range": [30, 95],
    "resize_prob2": [0.3, 0.4, 0.3], "resize_range2": [0.3, 1.2], "gaussian_noise_prob2": 0.5, "noise_range2": [1, 25],
    "poisson_scale_range2": [0.05, 2.5], "gray_noise_prob2": 0.4, "jpeg_range2": [30, 95],
    "kernel_list": list(SHAPES), "kernel_prob": [0.45, 0.25, 0.12, 0.03, 0.12, 0.03], "sinc_prob": 0.1,
    "blur_sigma": [0.2, 3], "betag_range": [0.5, 4], "betap_range": [1, 2],
    "kernel_list2": list(SHAPES), "kernel_prob2": [0.45, 0.25, 0.12, 0.03, 0.12, 0.03], "sinc_prob2": 0.1,
    "blur_sigma2": [0.2, 1.5], "betag_range2": [0.5, 4], "betap_range2": [1, 2],
    "blur_prob": 1.0, "blur_prob2": 0.8, "jpeg_prob": 1.0, "jpeg_prob2": 1.0, "final_sinc_prob": 0.8,
}  # fmt: skip


@dataclass(frozen=True)
class Rules:
    """In what the frameworks differ that share the chain."""

    defaults: Mapping[str, Any] = field(default_factory=lambda: DEFAULTS)
    blur_prob: str | None = None  # key of the probability of the first blur; always without one
    blur_prob2: str = "second_blur_prob"
    jpeg_prob: bool = False  # whether the keys jpeg_prob and jpeg_prob2 exist
    modes: Mapping[str, str] | None = None  # names of resizes in the lists resize_mode_list…; None: thirds, no lists
    keep_is_low: bool = True  # what "keep" means in the second stage: the low-resolution size, or the size as it is


class Reader:
    """Reads the keys of one file into a chain, and notes what surprises on the way."""

    def __init__(self, keys: Keys, rules: Rules, scale: float, sizes: tuple[tuple[int, ...], ...]) -> None:
        self.keys, self.rules, self.scale = keys, rules, scale
        self.sizes = sizes  # of the kernels of both stages and of the final one
        self.without_effect: list[str] = []
        self.traps: list[str] = []

    def chain(self, second_order: float = 1.0) -> Chain:
        """Return the chain; ``second_order`` is the probability of the second blur, resize and noise."""
        steps: list[RandomStep] = [self._maybe_blur("", self.rules.blur_prob), *self._resize(""), self._noise("")]
        steps.append(self._jpeg(""))
        second = [self._maybe_blur("2", self.rules.blur_prob2), *self._resize("2"), self._noise("2")]
        steps += second if second_order >= 1 else [maybe(second_order, *second)]
        final: list[RandomStep] = [Resize("clean", fixed(1 / self.scale), self._modes("3"))]
        ringing = self.keys.probability("final_sinc_prob", self.rules.defaults["final_sinc_prob"])
        if ringing:
            final.append(maybe(ringing, Ringing(Range(np.pi / 3, np.pi), self.sizes[2])))
        compression = self._jpeg("2")
        steps.append(Branch(((0.5, (*final, compression)), (0.5, (compression, *final)))))
        return tuple(steps)

    def _maybe_blur(self, stage: str, probability: str | None) -> RandomStep:
        keys, default = self.keys, self.rules.defaults
        p = 1.0 if probability is None else keys.probability(probability, default["blur_prob" + stage])
        names = keys.names("kernel_list" + stage, default["kernel_list" + stage], SHAPES)
        weights = keys.probabilities("kernel_prob" + stage, default["kernel_prob" + stage], len(names))
        sigma = keys.range("blur_sigma" + stage, default["blur_sigma" + stage])
        ringing = keys.probability("sinc_prob" + stage, default["sinc_prob" + stage])
        betas = {
            "generalized": keys.range("betag_range" + stage, default["betag_range" + stage], 1e-3),
            "plateau": keys.range("betap_range" + stage, default["betap_range" + stage], 1e-3),
        }
        if p == 0:
            said = [name + stage for name in ("blur_sigma", "kernel_prob", "sinc_prob") if name + stage in keys]
            if said:
                self.without_effect.append(
                    f"{', '.join(map(keys.path, said))}: without effect while {probability} is 0"
                )
            return maybe(0.0, Blur(sigma))
        if sigma.low == sigma.high:
            self.traps.append(f"{keys.path('blur_sigma' + stage)}: equal ends stop the training ({sigma.low:g} < "
                              f"{sigma.high:g} is asserted)")  # fmt: skip
        sizes = self.sizes[1 if stage else 0]
        self._tell_truncation(stage, sigma, sizes)
        choices = [(weight * (1 - ringing), steps) for weight, steps in kernels(names, weights, sigma, betas, sizes)]
        for least, some in ((3, [s for s in sizes if s < 13]), (5, [s for s in sizes if s >= 13])):
            low_pass = Ringing(Range(np.pi / least, np.pi), tuple(some))
            choices.append((ringing * len(some) / len(sizes), (low_pass,)))
        return maybe(p, Branch(tuple(choice for choice in choices if choice[0] > 0)))

    def _tell_truncation(self, stage: str, sigma: Range, sizes: tuple[int, ...]) -> None:
        from fastdeg.frameworks.filters import kernel_variance

        one = np.full(len(sizes), sigma.high)
        acts = float(np.sqrt(kernel_variance("gaussian", one, np.ones(len(sizes)), np.array(sizes)).mean()))
        if acts < 0.95 * sigma.high:
            self.traps.append(
                f"{self.keys.path('blur_sigma' + stage)}: kernels of {sizes[0]} to {sizes[-1]} px cut it off: "
                f"blur of {sigma.high:g} px acts as {acts:.2g} on average"
            )

    def _resize(self, stage: str) -> list[RandomStep]:
        keys, default = self.keys, self.rules.defaults
        up, down, keep = keys.probabilities("resize_prob" + stage, default["resize_prob" + stage], 3)
        by = keys.range("resize_range" + stage, default["resize_range" + stage], 1e-3)
        if (down and by.low > 1) or (up and by.high < 1):
            raise keys.error("resize_range" + stage, "[low, high] around 1, as it is drawn from low to 1 and 1 to high")
        to, unit = ("clean", 1 / self.scale) if stage else ("here", 1.0)
        modes = self._modes(stage)
        choices = [(up, (Resize(to, Range(unit, unit * by.high), modes),)),
                   (down, (Resize(to, Range(unit * by.low, unit), modes),))]  # fmt: skip
        kept: Chain = (Resize(to, fixed(unit), modes),) if stage and self.rules.keep_is_low else ()
        if stage and keep and not self.rules.keep_is_low:
            self.traps.append(
                f"{keys.path('resize_prob' + stage)}: keep ({keep:g}) leaves the size of the first stage, so noise and "
                "half of the compression act before the last downscale"
            )
        if up + down == 0 and "resize_range" + stage in keys and (by.low, by.high) != (1, 1):
            self.without_effect.append(f"{keys.path('resize_range' + stage)}: without effect, as sizes are always kept")
        return [Branch((*((w, c) for w, c in choices if w > 0), *(((keep, kept),) if keep > 0 else ())))]

    def _modes(self, stage: str) -> tuple[tuple[str, float], ...]:
        if self.rules.modes is None:
            return THIRDS
        lists, weights = "resize_mode_list" + stage, "resize_mode_prob" + stage
        if self.keys.value(lists, None) == []:  # where sizes are always kept
            return THIRDS
        names = self.keys.names(lists, self.rules.defaults["resize_mode_list"], self.rules.modes)
        if len(names) == len(self.rules.defaults["resize_mode_list"]):
            default: Sequence[float] = self.rules.defaults["resize_mode_prob"]
        else:
            default = [1 / len(names)] * len(names)
        shares = self.keys.probabilities(weights, default, len(names))
        return tuple((self.rules.modes[name], w) for name, w in zip(names, shares, strict=True) if w > 0)

    def _noise(self, stage: str) -> RandomStep:
        keys, default = self.keys, self.rules.defaults
        p = keys.probability("gaussian_noise_prob" + stage, default["gaussian_noise_prob" + stage])
        gaussian = keys.range("noise_range" + stage, default["noise_range" + stage], 0, 255)
        poisson = keys.range("poisson_scale_range" + stage, default["poisson_scale_range" + stage])
        gray = keys.probability("gray_noise_prob" + stage, default["gray_noise_prob" + stage])
        if p == 0 and poisson.high > 0:
            self.traps.append(f"{keys.path('gaussian_noise_prob' + stage)}: 0 means Poisson noise always, not none")
        if p == 0 and gaussian.high > 0:
            self.without_effect.append(
                f"{keys.path('noise_range' + stage)}: without effect while gaussian_noise_prob{stage} is 0"
            )
        if p == 1 and poisson.high > 0:
            self.without_effect.append(
                f"{keys.path('poisson_scale_range' + stage)}: without effect while gaussian_noise_prob{stage} is 1"
            )
        if not stage and p * gaussian.high > 0:
            self.traps.append(
                f"{keys.path('noise_range')}: added before the downscale to low resolution, which weakens it: "
                f"{gaussian} is not what the network sees"
            )
        scale = (255 / 256) ** 0.5  # s (Poisson(v x) / v − x) with v = 256 levels has the variance 255 s² / v · level
        shot = Range(poisson.low * scale, poisson.high * scale)
        return Branch(tuple(choice for choice in ((p, (Noise(gaussian, 0, gray),)), (1 - p, (Noise(shot, 1, gray),)))
                            if choice[0] > 0))  # fmt: skip

    def _jpeg(self, stage: str) -> RandomStep:
        keys, default = self.keys, self.rules.defaults
        quality = keys.range("jpeg_range" + stage, default["jpeg_range" + stage], 0, 100)
        p = keys.probability("jpeg_prob" + stage, 1.0) if self.rules.jpeg_prob else 1.0
        if quality.low >= NO_JPEG:
            return maybe(0.0, Jpeg(quality))  # nothing is quantised
        if quality.high > NO_JPEG and p > 0:
            said = f"{keys.path('jpeg_range' + stage)}: at quality 100 DiffJPEG divides by zero; write {NO_JPEG}"
            self.traps += [said] if said not in self.traps else []
        return maybe(p, Jpeg(quality))

    def tell_missing(self, strict: bool) -> None:
        """Note the keys that the file does not hold."""
        missing = list(dict.fromkeys(self.keys.missing))
        if missing:
            what = "the training stops without them" if strict else "the framework's defaults"
            self.traps.append(f"not in the file, read by their usual values ({what}): {', '.join(missing)}")


def kernels(
    names: Sequence[str], weights: Sequence[float], sigma: Range, betas: Mapping[str, Range], sizes: tuple[int, ...]
) -> list[tuple[float, Chain]]:
    """Return the blurs of a list of kernels by weight; exponents are below one in half of the draws, above in half."""
    found: list[tuple[float, Chain]] = []
    for name, weight in zip(names, weights, strict=True):
        shape, turned = SHAPES[name]
        halves = [fixed(1.0)]
        if shape != "gaussian":
            halves = [Range(min(betas[shape].low, 1), 1), Range(1, max(betas[shape].high, 1))]
        for beta in halves:
            blur = Blur(sigma, sigma if turned else None, shape=shape, beta=beta, sizes=sizes)
            found.append((weight / len(halves), (blur,)))
    return found


def unused_size(keys: Keys) -> list[str]:
    """Return the sentence on kernel sizes that are read and not used."""
    said = [keys.path(name) for name in ("blur_kernel_size", "blur_kernel_size2") if name in keys]
    return [f"{', '.join(said)}: read, but not used; sizes are drawn"] if said else []


def sharpened_first(probability: float = 1.0) -> RandomStep:
    """Return the sharpening of the clean image before everything."""
    return maybe(probability, Other("sharpening of the clean image (USM)"))
