"""traiNNer-redux: Real-ESRGAN's chain with more switches; it refuses keys that it does not know."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fastdeg.degradations import History
from fastdeg.degradations.steps.jpeg import BEST
from fastdeg.frameworks.chain import Other, maybe
from fastdeg.frameworks.dialect import Block, Dialect, Purpose
from fastdeg.frameworks.dialects.realesrgan import option_values, put_history
from fastdeg.frameworks.keys import Keys, mappings
from fastdeg.frameworks.options import Options
from fastdeg.frameworks.second_order import BOTH_STAGES, DEFAULTS, NO_JPEG, Reader, Rules, sharpened_first, unused_size
from fastdeg.frameworks.stages import NOT_SAID, keys_of
from fastdeg.frameworks.text import header, yaml_lines

MODES = {
    "bilinear": "linear_antialiased", "bicubic": "cubic_antialiased", "lanczos": "lanczos_antialiased",
    "nearest": "nearest", "nearest-exact": "nearest", "area": "area",
}  # fmt: skip
OF_DATASET = {
    *(name + stage for stage in ("", "2") for name in ("kernel_list", "kernel_prob", "sinc_prob", "blur_sigma",
      "betag_range", "betap_range", "blur_kernel_size", "kernel_range")), "final_sinc_prob", "final_kernel_range",
}  # fmt: skip
OF_MODEL = {
    *(set(BOTH_STAGES) - OF_DATASET), "blur_prob", "blur_prob2", "jpeg_prob", "jpeg_prob2", "resize_mode_list",
    "resize_mode_prob", "resize_mode_list2", "resize_mode_prob2", "resize_mode_list3", "resize_mode_prob3", "lq_usm",
    "lq_usm_radius_range", "thicklines_prob", "high_order_degradation", "high_order_degradations_debug",
    "high_order_degradations_debug_limit", "dataroot_lq_prob", "queue_size", "scale",
}  # fmt: skip
# further names that its schema accepts at the top and in a dataset
TOP = {
    "name", "num_gpu", "path", "input_pixel_format", "output_pixel_format", "network_g", "network_g_teacher",
    "network_d", "network_ae", "manual_seed", "deterministic", "dist", "launcher", "rank", "world_size",
    "auto_resume", "watch", "start_iter", "is_train", "root_path", "switch_iter_per_epoch", "use_amp", "amp_bf16",
    "use_channels_last", "fast_matmul", "use_compile", "compile_mode", "detect_anomaly", "datasets", "train", "val",
    "logger", "dist_params", "onnx", "find_unused_parameters", "contents",
}  # fmt: skip
DATASET = {
    "name", "type", "io_backend", "num_worker_per_gpu", "batch_size_per_gpu", "accum_iter", "use_hflip", "use_rot",
    "mean", "std", "gt_size", "lq_size", "color", "phase", "scale", "dataset_enlarge_ratio", "prefetch_mode",
    "pin_memory", "persistent_workers", "num_prefetch_queue", "prefetch_factor", "clip_size", "dataroot_gt",
    "dataroot_lq", "lq_resize_mode", "meta_info", "filename_tmpl",
}  # fmt: skip
ITS_OWN = (OF_MODEL | OF_DATASET) - {*BOTH_STAGES, "scale", "queue_size", "high_order_degradation"}
RULES = Rules(
    DEFAULTS | {
        "resize_range": [0.4, 1.5], "gaussian_noise_prob": 0, "noise_range": [0, 0], "poisson_scale_range": [0, 0],
        "gray_noise_prob": 0, "jpeg_range": [75, 95], "resize_range2": [0.6, 1.2], "gaussian_noise_prob2": 0,
        "noise_range2": [0, 0], "poisson_scale_range2": [0, 0], "gray_noise_prob2": 0, "jpeg_range2": [75, 95],
        "sinc_prob": 0, "blur_sigma": [0.2, 2], "sinc_prob2": 0, "blur_sigma2": [0.2, 1], "final_sinc_prob": 0,
        "blur_prob": 0, "blur_prob2": 0, "resize_mode_list": ["bilinear", "bicubic", "nearest-exact", "lanczos"],
        "resize_mode_prob": [0.25] * 4,
    },
    blur_prob="blur_prob", blur_prob2="blur_prob2", jpeg_prob=True, modes=MODES, keep_is_low=False,
)  # fmt: skip


def recognises(path: Path, data: Mapping[str, Any] | None) -> bool:
    """Return whether keys are there that it alone knows."""
    names = {name for _, mapping in mappings(data) for name in mapping}
    return bool(names & ITS_OWN)


def read(path: Path, data: Mapping[str, Any] | None) -> Options:
    """Read an option file, or a part of one: it has a default for each key."""
    keys = Keys.find(str(path), data or {}, {*OF_MODEL, *OF_DATASET, "second_blur_prob"})
    scale = keys.number("scale", 4, 1)
    sizes = tuple(_sizes(keys, name) for name in ("kernel_range", "kernel_range2", "final_kernel_range"))
    old = "second_blur_prob" in keys and "blur_prob2" not in keys
    rules = RULES if not old else Rules(
        RULES.defaults, "blur_prob", "second_blur_prob", jpeg_prob=True, modes=MODES, keep_is_low=False
    )  # fmt: skip
    reader = Reader(keys, rules, scale, sizes)
    chain = reader.chain()
    unknown = _unknown(data or {})
    if "second_blur_prob" in keys:
        unknown.append(f"{keys.path('second_blur_prob')}: refused there; its name is blur_prob2 now")
    if keys.flag("lq_usm", False):
        chain = (sharpened_first(), *chain)
    if thick := keys.probability("thicklines_prob", 0.0):
        chain = (*chain, maybe(thick, Other("thickened dark lines")))
    if real := keys.probability("dataroot_lq_prob", 0.0):
        chain = (*chain, maybe(real, Other("a real pair instead")))
    if not keys.flag("high_order_degradation", True):
        reader.traps.append("high_order_degradation: false, so nothing of this acts")
    keys.missing = [name for name in keys.missing if name in {*BOTH_STAGES, "blur_prob", "jpeg_prob"}]
    reader.tell_missing(strict=False)
    return Options(
        "trainner-redux", chain, scale, tuple(dict.fromkeys([*unused_size(keys), *reader.without_effect])),
        tuple(dict.fromkeys(reader.traps)), tuple(unknown), str(path),
    )  # fmt: skip


def _sizes(keys: Keys, name: str) -> tuple[int, ...]:
    ends = keys.range(name, [5, 17], 1, 21)
    if ends.low % 2 == 0 or ends.high % 2 == 0:
        raise keys.error(name, "two odd whole numbers")
    return tuple(range(int(ends.low), int(ends.high) + 1, 2))


def _unknown(data: Mapping[str, Any]) -> list[str]:
    """Return sentences on names that its schema refuses, at the top and in the training dataset."""
    datasets = data.get("datasets")
    train = datasets.get("train") if isinstance(datasets, Mapping) else None
    said = []
    in_parts = "datasets" not in data and "name" not in data  # a part of a file may be of the top or of the dataset
    levels = [("", data, OF_MODEL | TOP | ((OF_DATASET | DATASET) if in_parts else set()))]
    if isinstance(train, Mapping):
        levels.append(("datasets.train.", train, OF_DATASET | DATASET))
    for path, mapping, known in levels:
        for name in map(str, mapping):
            if name not in known and name != "second_blur_prob":
                near = difflib.get_close_matches(name, known, 1, 0.6)
                said.append(f"{path}{name}: unknown, so refused there" + (f"; {near[0]} is near to it" if near else ""))
    return said


def write(blocks: Sequence[Block], purpose: Purpose) -> dict[str, str]:
    """Write one file a block. Noise and JPEG act at low resolution: the second resize goes there, by area."""
    several = len(blocks) > 1
    texts = {}
    for number, block in enumerate(blocks, start=1):
        top, dataset = option_values(block, purpose)
        del top["gt_usm"], top["second_blur_prob"]
        compressed = 0 if block.ranges["jpeg_quality"].low > BEST else block.compressed
        top = {"high_order_degradation": True, "lq_usm": False, "blur_prob": 1, **top} | {
            "jpeg_prob": 0, "blur_prob2": 0, "resize_prob2": [1, 0, 0], "resize_range2": [1, 1.000001],
            "resize_mode_list": ["area"], "resize_mode_prob": [1], "resize_mode_list2": ["area"],
            "resize_mode_prob2": [1], "resize_mode_list3": ["area"], "resize_mode_prob3": [1], "jpeg_prob2": compressed,
        }  # fmt: skip
        dataset |= {"kernel_range": [21, 21], "kernel_range2": [21, 21], "final_kernel_range": [21, 21]}
        put_history(purpose, top, dataset)
        share = f"share of training {block.weight:.4g}: file {number} of {len(blocks)}" if several else ""
        lines = [*header("traiNNer-redux", purpose, share), f"scale: {purpose.scale:g}", *yaml_lines(top)]
        lines += ["", "datasets:", "  train:", '    name: "Train Dataset"', "    type: realesrgandataset"]
        texts[f"trainner-redux{f'-{number}' if several else ''}.yml"] = "\n".join([*lines, *yaml_lines(dataset, 4), ""])
    return texts


def _history(history: History, crafted: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """Return the keys that say a history, and sentences on what they cannot say: here a size is never the low one."""
    keys, notes = keys_of(history, crafted)
    if "second_blur_prob" in keys:
        keys["blur_prob2"] = keys.pop("second_blur_prob")
    keys |= {name.replace("range", "prob"): 1 for name in ("jpeg_range", "jpeg_range2") if name in keys}
    if "resize_prob2" in keys and keys["resize_prob2"][2] > 0:
        del keys["resize_prob2"], keys["resize_range2"]
        notes.append(NOT_SAID + "resampling, which keeps the low size at times")
    if {"resize_prob", "resize_prob2"} & keys.keys():
        notes = [note for note in notes if "a third" not in note] + ["resizes of the history are by area there"]
    return keys, notes


DIALECT = Dialect(
    "trainner-redux", "traiNNer-redux", ".yml", recognises, read, write,
    axes=("blur_sigma", "noise_sigma", "jpeg_quality"),
    highest_quality=NO_JPEG, uncompressed="share", history=_history,
    notes=(
        'the downscale is by area, which is fastdeg\'s interpolation="area" at whole factors',
        "kernels have at most 21 px: a blur above 3 px acts weaker than it is written",
    ),
)  # fmt: skip
