"""wtp_dataset_destroyer: HCL, blocks of degradations in file order; nested `or` blocks say any joint distribution."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from fastdeg.degradations import History, HistoryStep, Uniform
from fastdeg.degradations.history_nodes import summary
from fastdeg.frameworks.chain import Blur, Branch, Chain, Jpeg, Noise, Other, RandomStep, Resize, maybe
from fastdeg.frameworks.dialect import Block, Dialect, Purpose
from fastdeg.frameworks.keys import Keys, is_number
from fastdeg.frameworks.options import Options
from fastdeg.frameworks.ranges import Points, Range, Values, fixed
from fastdeg.frameworks.stages import NOT_SAID
from fastdeg.frameworks.text import header

GAUSS = 63.75  # standard deviation on 0..255 of noise of alpha 1; the same in all channels it is stretched from 16..235
GAUSS_GRAY = 63.75 * 255 / 219
STEPS = 32  # values of alpha in a range that is written
EARLIER = ("earlier_jpeg_quality", "earlier_jpeg_shift_x", "earlier_jpeg_shift_y")
Ends: TypeAlias = Range | Uniform
ALGORITHMS = {
    "nearest": "nearest", "box": "area", "linear": "linear_antialiased", "lanczos": "lanczos_antialiased",
    "hermite": "linear_antialiased", "lagrange": "cubic_antialiased", "cubic_catrom": "cubic_antialiased",
    "cubic_mitchell": "linear_antialiased", "cubic_bspline": "area", "gauss": "area", "mat_cubic": "cubic_antialiased",
}  # fmt: skip
BLOCKS = (
    "blur", "resize", "noise", "compress", "and", "or", "color", "saturation", "halo", "pixelate", "subsampling",
    "dithering", "screentone", "shift", "sin", "canny",
)  # fmt: skip
KNOWN = {
    "blur": {"filter", "kernel", "target_kernel", "motion_size", "motion_angle"},
    "resize": {"alg_lq", "alg_hq", "scale", "spread", "color_fix", "gamma_correction", "down_up", "up_down",
               "down_down"},
    "noise": {"type_noise", "alpha", "y_noise", "uv_noise", "clip", "bias", "scale", "motion", "lqhq", "normalize",
              "octaves", "frequency", "lacunarity", "probability_salt_or_pepper"},
    "compress": {"algorithm", "compress", "target_compress", "jpeg_sampling", "video_sampling"},
    "and": {"probability_one", "probability_two", "one_degradation", "two_degradation"},
    "or": {"probability_one", "probability_two", "one_degradation", "two_degradation"},
}  # fmt: skip


def recognises(path: Path, data: Mapping[str, Any] | None) -> bool:
    """Return whether blocks of degradations with types are there."""
    blocks = (data or {}).get("degradation")
    return isinstance(blocks, list) and all(isinstance(b, Mapping) and "type" in b for b in blocks)


class _Reader:
    def __init__(self, file: str) -> None:
        self.file, self.scale = file, 1.0
        self.traps: list[str] = []
        self.unknown: list[str] = []

    def chain(self, blocks: Any, path: str) -> Chain:
        if isinstance(blocks, Mapping):
            blocks = [blocks]
        steps: list[RandomStep] = []
        for number, block in enumerate(blocks):
            steps.append(self._block(block, f"{path}[{number}]"))
        return tuple(steps)

    def _block(self, block: Mapping[str, Any], path: str) -> RandomStep:
        kind = block.get("type")
        keys = Keys(self.file, {name: (f"{path}.{name}", value) for name, value in block.items()})
        if kind not in BLOCKS:
            raise keys.error("type", f"one of {', '.join(BLOCKS)}")
        probability = keys.probability("probability", 1.0)
        if kind in KNOWN:
            for name in sorted(set(block) - KNOWN[kind] - {"type", "probability"}):
                near = " (the documentation's name of compress)" if name == "comp" else ""
                self.unknown.append(f"{keys.path(name)}: unknown and ignored{near}")
        if kind in ("and", "or"):
            return self._logic(kind, keys, block, path)
        if kind == "blur":
            return maybe(probability, self._blur(keys))
        if kind == "resize":
            return maybe(probability, self._resize(keys))
        if kind == "noise":
            return maybe(probability, self._noise(keys))
        if kind == "compress":
            return maybe(probability, self._compress(keys))
        return maybe(probability, Other(str(kind)))

    def _logic(self, kind: str, keys: Keys, block: Mapping[str, Any], path: str) -> RandomStep:
        first = self.chain(block.get("one_degradation", ()), f"{path}.one_degradation")
        second = self.chain(block.get("two_degradation", ()), f"{path}.two_degradation")
        one = keys.probability("probability_one", 0.5 if kind == "or" else 1.0)
        two = keys.probability("probability_two", 0.5)
        if kind == "or":
            choices: tuple[Any, ...] = ((one, first), ((1 - one) * two, second), ((1 - one) * (1 - two), ()))
        else:
            choices = ((one * two, (*first, *second)), (one * (1 - two), first), (1 - one, ()))
        return Branch(tuple(choice for choice in choices if choice[0] > 0))

    def _range(self, keys: Keys, name: str, value: Any) -> Range:
        """Uniform from the first to the second number; only the first one where that is not below the second."""
        numbers = value if isinstance(value, list) else [value]
        if not numbers or not all(map(is_number, numbers)):
            raise keys.error(name, "a number or two of them [low, high]")
        if len(numbers) > 1 and numbers[0] > numbers[1]:
            raise keys.error(name, "[low, high] with low <= high")
        return Range(float(numbers[0]), float(numbers[1] if len(numbers) > 1 else numbers[0]))

    def _steps(self, keys: Keys, name: str, default: list[float]) -> Values:
        """Values from the first number on by the third one, the second one excluded."""
        value = keys.value(name, default)
        if not isinstance(value, list) or not 1 <= len(value) <= 3 or not all(map(is_number, value)):
            raise keys.error(name, "numbers [low, high, step]")
        if len(value) > 1 and value[0] > value[1]:
            raise keys.error(name, "[low, high, step] with low <= high")
        if len(value) == 1 or value[0] == value[1]:
            return fixed(float(value[0]))
        if len(value) == 2:
            self.traps.append(f"{keys.path(name)}: two numbers are stepped through by 1, the second one left out")
        if len(value) == 3 and not value[2] > 0:
            raise keys.error(name, "[low, high, step] with a step above 0")
        count = (value[1] - value[0]) / (value[2] if len(value) == 3 else 1)
        if count > 100_000:
            raise keys.error(name, "at most 100,000 steps")
        return Points(tuple(map(float, np.arange(*value))))

    def _blur(self, keys: Keys) -> RandomStep:
        names = keys.names("filter", ["gauss"], ("box", "gauss", "median", "lens", "motion", "random"))
        kernel, target = keys.value("kernel", [0, 1]), keys.value("target_kernel", None) or {}
        choices: list[tuple[float, Chain]] = []
        for name in names:
            own = target.get(name, kernel) if isinstance(target, Mapping) else kernel
            blur = Other(f"blur by {name}")
            if name == "gauss":
                choices.append((1.0, (Blur(self._range(keys, "target_kernel" if target else "kernel", own)),)))
            else:
                choices.append((1.0, (blur,)))
        return Branch(tuple(choices))

    def _resize(self, keys: Keys) -> RandomStep:
        scale = keys.number("scale", 1, 1)
        self.scale = max(self.scale, scale)
        names = keys.value("alg_lq", ["box"])
        if not isinstance(names, list) or not names:
            raise keys.error("alg_lq", "a list of names")
        known = [ALGORITHMS[name] for name in names if name in ALGORITHMS]
        other = [str(name) for name in names if name not in ALGORITHMS]
        if other:
            self.traps.append(f"{keys.path('alg_lq')}: {', '.join(other)} not composed here, the others stand for them")
        modes = tuple((mode, 1.0) for mode in (known or ["cubic_antialiased"]))
        return Resize("here", fixed(1 / scale), modes, self._steps(keys, "spread", [1]))

    def _noise(self, keys: Keys) -> RandomStep:
        types = keys.value("type_noise", ["uniform"])
        alpha = self._steps(keys, "alpha", [1, 2, 1])
        if alpha.low < 0:
            raise keys.error("alpha", "numbers >= 0")
        gray = keys.probability("y_noise", 0.0)
        color = (1 - gray) * (1 - keys.probability("uv_noise", 0.0))
        choices: list[tuple[float, Chain]] = []
        for name in types if isinstance(types, list) else [types]:
            unit = {"gauss": 1.0, "uniform": 4 / math.sqrt(3)}.get(str(name))
            if unit is None or "scale" in keys or "motion" in keys:
                choices.append((1.0, (Other(f"noise: {name}" + (" (scaled or moved)" if unit else "")),)))
                continue
            choices.append((gray, (Noise(_scaled(alpha, unit * GAUSS_GRAY), gray=1.0),)))
            choices.append((color, (Noise(_scaled(alpha, unit * GAUSS)),)))
            choices.append((1 - gray - color, (Other("noise of colors only"),)))
        for name in ("clip", "bias"):
            if keys.value(name, None) not in (None, [0, 0]):
                self.traps.append(f"{keys.path(name)}: changes the noise in a way that is not composed here")
        return Branch(tuple(choice for choice in choices if choice[0] > 1e-12))

    def _compress(self, keys: Keys) -> RandomStep:
        codecs = ("jpeg", "webp", "h264", "hevc", "mpeg2", "mpeg4", "vp9", "av1", "mpeg")
        names = keys.names("algorithm", ["jpeg"], codecs)
        common, target = keys.value("compress", [90, 100]), keys.value("target_compress", None) or {}
        if isinstance(target, Mapping):
            for name in sorted(set(target) & {"av1", "mpeg"}):
                self.unknown.append(f"{keys.path('target_compress')}.{name}: documented, but ignored")
        choices: list[tuple[float, Chain]] = []
        for name in names:
            own = target.get(name, common) if isinstance(target, Mapping) else common
            ends = self._range(keys, "target_compress" if target else "compress", own)
            if name == "jpeg":
                whole = range(int(ends.low), max(int(ends.high), int(ends.low) + 1))
                choices.append((1.0, (Jpeg(Points(tuple(map(float, whole)))),)))
            else:
                choices.append((1.0, (Other(f"compression by {name}"),)))
        if "jpeg" in names and keys.value("jpeg_sampling", ["4:2:2"]) != ["4:2:0"]:
            self.traps.append(
                f"{keys.path('jpeg_sampling')}: chroma is not stored at 4:2:0 always, which fastdeg does (4:2:2 is the "
                "default)"
            )
        return Branch(tuple(choices))


def _scaled(values: Values, unit: float) -> Values:
    if isinstance(values, Range):
        return Range(values.low * unit, values.high * unit, values.power)
    return Points(tuple(value * unit for value in values.values))


def read(path: Path, data: Mapping[str, Any] | None) -> Options:
    """Read a configuration."""
    reader = _Reader(str(path))
    chain = reader.chain((data or {})["degradation"], "degradation")
    traps = reader.traps
    if (data or {}).get("out_clear"):
        traps.append("out_clear: empties the output folder first")
    return Options(
        "wtp", chain, reader.scale, (), tuple(dict.fromkeys(traps)), tuple(dict.fromkeys(reader.unknown)), str(path)
    )


def write(blocks: Sequence[Block], purpose: Purpose) -> dict[str, str]:
    """Write one file: a balanced tree of `or` blocks over the blocks, each leaf the chain of one."""
    lines = [*header("wtp_dataset_destroyer", purpose), 'input = "path/to/input"', 'output = "path/to/output"', ""]
    lines += _tree("degradation", blocks, purpose, 0)
    lines += ["", "num_workers = 4", 'map_type = "process"', "real_name = true", "out_clear = false"]
    return {"wtp.hcl": "\n".join(lines) + "\n"}


def _tree(name: str, blocks: Sequence[Block], purpose: Purpose, indent: int) -> Iterator[str]:
    space = " " * indent
    if len(blocks) == 1:
        yield from _leaf(name, blocks[0], purpose, space)
        return
    half = len(blocks) // 2
    first, second = blocks[:half], blocks[half:]
    total = math.fsum(block.weight for block in blocks)
    yield f"{space}{name} {{"
    yield f'{space}  type = "or"'
    yield f"{space}  probability_one = {_decimal(math.fsum(block.weight for block in first) / total)}"
    yield f"{space}  probability_two = 1"
    yield from _tree("one_degradation", first, purpose, indent + 2)
    yield from _tree("two_degradation", second, purpose, indent + 2)
    yield f"{space}}}"


def _leaf(name: str, block: Block, purpose: Purpose, space: str) -> Iterator[str]:
    r = block.ranges
    early, late = purpose.history or ([], [])
    factor = (r["downsampling"].low + r["downsampling"].high) / 2
    parts = [_blur_part(r["blur_sigma"]), *early]
    if factor > 1:
        parts.append(['type = "resize"', 'alg_lq = ["box"]', 'alg_hq = ["box"]', "spread = [1]",
                      f"scale = {_decimal(factor)}", "color_fix = false"])  # fmt: skip
    parts += [_noise_part(r["noise_sigma"], gray=purpose.noise == "gray"), *late, _jpeg_part(r["jpeg_quality"])]
    parts = [part for part in parts if part]
    for part in parts or [['type = "blur"', 'filter = ["gauss"]', "kernel = [0, 0]"]]:
        yield f"{space}{name} {{"
        yield from (f"{space}  {line}" for line in part)
        yield f"{space}}}"


def _blur_part(sigma: Ends) -> list[str]:
    if sigma.high <= 0:
        return []
    return [
        'type = "blur"', 'filter = ["gauss"]',
        f"target_kernel = {{ gauss = [{_decimal(sigma.low)}, {_decimal(sigma.high)}] }}",
    ]  # fmt: skip


def _noise_part(sigma: Ends, *, gray: bool) -> list[str]:
    if sigma.high <= 0:
        return []
    unit = GAUSS_GRAY if gray else GAUSS
    low, high = sigma.low / unit, sigma.high / unit
    step = (high - low) / STEPS
    alpha = f"{_decimal(low + step / 2)}, {_decimal(high)}, {_decimal(step)}" if step > 0 else _decimal(low)
    return ['type = "noise"', 'type_noise = ["gauss"]', f"alpha = [{alpha}]", f"y_noise = {int(gray)}"]


def _jpeg_part(quality: Ends) -> list[str]:
    whole = whole_qualities(quality)
    if whole is None:
        return []
    return ['type = "compress"', 'algorithm = ["jpeg"]', 'jpeg_sampling = ["4:2:0"]',
            f"target_compress = {{ jpeg = [{whole[0]}, {whole[1] + 1}] }}"]  # fmt: skip


def history_blocks(history: History, crafted: Sequence[str]) -> tuple[tuple[list[list[str]], ...], list[str]]:
    """Return the blocks of a history's steps before the resize, those between noise and compression, and sentences."""
    early: list[list[str]] = []
    late: list[list[str]] = []
    notes = []
    for node in history.steps:
        part = _event_part(node) if isinstance(node, HistoryStep) else None
        if not part:
            notes.append(NOT_SAID + summary(node))
            continue
        (early if node.touches_clean_image() else late).append(part)
        if any(name.startswith("earlier_jpeg_shift") for name in node.names):
            notes.append("the earlier JPEG of the history has its blocks where the last one has them there")
    return (early, late), notes


def _event_part(node: HistoryStep) -> list[str] | None:
    """Return the block of a step that happens beside the chain, None for those that blocks do not say."""
    of, early = node.parameters, node.before == "downsampling"
    quality = of.get("earlier_jpeg_quality", of.get("jpeg_quality"))
    late = node.step == "earlier JPEG" or node.after in ("Gaussian noise", "Poisson noise") or node.before == "JPEG"
    part: list[str] | None = None
    if isinstance(quality, Uniform) and (early or late) and set(of) <= {"jpeg_quality", *EARLIER}:
        part = _jpeg_part(quality)
    elif early and isinstance(sigma := of.get("noise_sigma"), Uniform) and of.get("noise", "gray") in ("gray", "color"):
        part = (
            _noise_part(sigma, gray=of.get("noise", "gray") == "gray") if set(of) <= {"noise_sigma", "noise"} else None
        )
    elif early and isinstance(sigma := of.get("blur_sigma"), Uniform) and len(of) == 1:
        part = _blur_part(sigma)
    return [*part, f"probability = {_decimal(node.probability)}"] if part and node.probability < 1 else part


def whole_qualities(quality: Ends) -> tuple[int, int] | None:
    """Return the least and largest whole quality of a cell [low, high); None above 100, which is no compression."""
    if quality.low > 100:
        return None
    low = math.ceil(quality.low)
    high = math.floor(quality.high)
    if quality.high > quality.low and high == quality.high < 100:
        high -= 1
    if high < low:
        low = high = max(1, round((quality.low + quality.high) / 2))
    return max(low, 1), min(high, 100)


def _decimal(value: float) -> str:
    """Return a number without an exponent, which the parser takes for an expression."""
    text = np.format_float_positional(float(value), trim="-")
    return text if text else "0"


DIALECT = Dialect(
    "wtp", "wtp_dataset_destroyer", ".hcl", recognises, read, write, joint=True,
    uncompressed="block", history=history_blocks,
    notes=('the downscale is by "box", which is fastdeg\'s interpolation="area" at whole factors',),
)  # fmt: skip
