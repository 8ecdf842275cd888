"""BasicSR's dialect: Real-ESRGAN, BasicSR, HAT, LDL; StableSR, SeeSR, ResShift and DiffBIR nest or rename its keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fastdeg.degradations import History
from fastdeg.frameworks.chain import Other, maybe
from fastdeg.frameworks.dialect import Block, Dialect, Purpose
from fastdeg.frameworks.keys import Keys, mappings, misspelt
from fastdeg.frameworks.options import Options
from fastdeg.frameworks.second_order import BOTH_STAGES, NO_JPEG, SIZES, Reader, Rules, sharpened_first, unused_size
from fastdeg.frameworks.stages import keys_of, sizes_note
from fastdeg.frameworks.text import header, yaml_lines

OWN = (
    *BOTH_STAGES, "second_blur_prob", "scale", "sf", "stage2_scale", "gt_usm", "l1_gt_usm", "percep_gt_usm",
    "gan_gt_usm", "use_usm", "use_sharp", "use_sharpener", "second_order_prob", "no_degradation_prob",
    "color_jitter_prob", "gray_prob", "resize_back",
)  # fmt: skip
OTHERS = ("gt_size", "queue_size", "crop_pad_size", "use_hflip", "use_rot", "crop_size")
LARGEST_SIGMA = 3.0  # beyond, the largest kernel of 21 px cuts the Gaussian off


def recognises(path: Path, data: Mapping[str, Any] | None) -> bool:
    """Return whether the keys of two stages are there."""
    names = {name for _, mapping in mappings(data) for name in mapping}
    return len(names & {"resize_range", "resize_range2", "jpeg_range2", "noise_range2", "blur_sigma2"}) >= 2


def read(path: Path, data: Mapping[str, Any] | None) -> Options:
    """Read an option file of the family."""
    keys = Keys.find(str(path), data or {}, OWN)
    scale = next((name for name in ("stage2_scale", "sf", "scale") if name in keys), "scale")
    if isinstance(keys.value(scale, 4), list):
        factor = keys.range(scale, [4, 4], 1).high
    else:
        factor = keys.number(scale, 4, 1)
    sizes: tuple[tuple[int, ...], ...] = (SIZES, SIZES, SIZES)
    idle = unused_size(keys)
    if "second_order_prob" in keys and "sf" in keys:  # ResShift and its followers use the sizes
        ends = [int(keys.number(name, 21, 5, 21)) for name in ("blur_kernel_size", "blur_kernel_size2")]
        used = tuple(tuple(range(3, end, 2)) for end in ends)
        sizes, idle = (*used, used[1]), []
    reader = Reader(keys, Rules(), factor, sizes)
    second = keys.probability("second_order_prob", 1.0)
    if second < 1:
        reader.traps.append(
            f"{keys.path('second_order_prob')}: {second:g} guards the second blur, resize and noise only; the second "
            "JPEG and the final low-pass act always"
        )
    chain = reader.chain(second)
    sharpened = _sharpening(reader)
    for name, what in (("color_jitter_prob", "color jitter"), ("gray_prob", "conversion to grey")):
        if name in keys and (p := keys.probability(name, 0.0)) > 0:
            chain = (*chain, maybe(p, Other(what)))
    if "no_degradation_prob" in keys and (p := keys.probability("no_degradation_prob", 0.0)) > 0:
        chain = (*chain, maybe(p, Other("no degradation at all, the image at full size")))
    reader.keys.missing = [name for name in keys.missing if name in BOTH_STAGES or name == "second_blur_prob"]
    reader.tell_missing(strict=True)
    return Options(
        "realesrgan", (*sharpened, *chain), factor, tuple(dict.fromkeys([*idle, *reader.without_effect])),
        tuple(dict.fromkeys(reader.traps)), tuple(misspelt(data or {}, OWN, OTHERS)), str(path),
    )  # fmt: skip


def _sharpening(reader: Reader) -> tuple[Any, ...]:
    keys = reader.keys
    gan = [name for name in ("l1_gt_usm", "percep_gt_usm", "gan_gt_usm") if name in keys]
    told = [name for name in ("gt_usm", "use_usm", "use_sharp", "use_sharpener") if name in keys]
    if gan:
        reader.traps.append(
            f"{', '.join(gan)}: say which losses see a sharpened target; the low-resolution image is made of the "
            "sharpened one whatever they say"
        )
    if gan or (told and any(keys.flag(name, False) for name in told)):
        return (sharpened_first(),)
    return ()


def write(blocks: Sequence[Block], purpose: Purpose) -> dict[str, str]:
    """Write one file a block: the first stage blurs, the second one does the rest."""
    several = len(blocks) > 1
    texts = {}
    for number, block in enumerate(blocks, start=1):
        top, dataset = option_values(block, purpose)
        dataset |= {"blur_kernel_size": 21, "blur_kernel_size2": 21}
        put_history(purpose, top, dataset)
        share = f"share of training {block.weight:.4g}: file {number} of {len(blocks)}" if several else ""
        lines = [*header("Real-ESRGAN / BasicSR", purpose, share), f"scale: {purpose.scale:g}", *yaml_lines(top)]
        lines += ["", "datasets:", "  train:", "    type: RealESRGANDataset", *yaml_lines(dataset, 4)]
        texts[f"realesrgan{f'-{number}' if several else ''}.yml"] = "\n".join(lines) + "\n"
    return texts


def option_values(block: Block, purpose: Purpose) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the keys of one block that say fastdeg's chain: those of the model, and those of the dataset."""
    r = block.ranges
    blur, noise, jpeg = r["blur_sigma"], r["noise_sigma"], r["jpeg_quality"]
    low = max(blur.low, 0.0)
    sigma = [low, max(blur.high, low + 1e-6)]
    quality = [min(jpeg.low, NO_JPEG), min(jpeg.high, NO_JPEG)]
    top = {
        "gt_usm": False,
        "resize_prob": [0, 0, 1], "resize_range": [1, 1], "gaussian_noise_prob": 1, "noise_range": [0, 0],
        "poisson_scale_range": [0, 0], "gray_noise_prob": 0, "jpeg_range": [NO_JPEG, NO_JPEG],
        "resize_prob2": [0, 0, 1], "resize_range2": [1, 1], "gaussian_noise_prob2": 1,
        "noise_range2": [noise.low, noise.high], "poisson_scale_range2": [0, 0],
        "gray_noise_prob2": int(purpose.noise == "gray"), "jpeg_range2": quality, "second_blur_prob": 0,
    }  # fmt: skip
    dataset = {
        "kernel_list": ["iso"], "kernel_prob": [1.0], "sinc_prob": 0, "blur_sigma": sigma,
        "betag_range": [1, 1], "betap_range": [1, 1],
        "kernel_list2": ["iso"], "kernel_prob2": [1.0], "sinc_prob2": 0, "blur_sigma2": [0.1, 0.2],
        "betag_range2": [1, 1], "betap_range2": [1, 1], "final_sinc_prob": 0,
    }  # fmt: skip
    return top, dataset


def put_history(purpose: Purpose, top: dict[str, Any], dataset: dict[str, Any]) -> None:
    """Put in the keys that say a history."""
    for name, value in (purpose.history or {}).items():
        (dataset if name in dataset else top)[name] = value


def history_keys(history: History, crafted: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """Return the keys that say a history, where kernels have fixed widths, and sentences on what they cannot say."""
    keys, notes = keys_of(history, crafted)
    notes += sizes_note(keys)
    return {name: value for name, value in keys.items() if not name.startswith("kernel_range")}, notes


DIALECT = Dialect(
    "realesrgan", "Real-ESRGAN, BasicSR, HAT, LDL, StableSR, SeeSR, ResShift, DiffBIR", ".yml", recognises, read, write,
    axes=("blur_sigma", "noise_sigma", "jpeg_quality"),
    highest_quality=NO_JPEG,
    uncompressed="block",
    history=history_keys,
    notes=(
        "RealESRGANModel (not RealESRNetModel) makes the small image of the sharpened one, whatever gt_usm says",
        "the downscale is by area, bilinear or bicubic in thirds; fastdeg's is bicubic unless told otherwise",
        f"kernels have at most 21 px: a blur above {LARGEST_SIGMA:g} px acts weaker than it is written",
    ),
)  # fmt: skip
