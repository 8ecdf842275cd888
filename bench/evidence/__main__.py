"""Train networks under all distributions of all settings and write what they gain: ``python -m bench.evidence CLEAN``.

Resumable: what is in the results file already is not done again. Needs the extra ``evidence`` (torch).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import fastdeg as fd
from bench.evidence import network, pairs, settings
from bench.machine import describe
from fastdeg._files import replaced_file
from fastdeg.images import read_images

RESULTS = "results.json", "results_quick.json"  # in this folder


class Run:
    """One call: its inputs, its results so far, and the file that holds them."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.started, self._estimator = options, time.time(), None
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        images = [pairs.gray(image) for image in read_images(options.clean).images]
        if options.held_out is None:  # every third
            self.held_out = images[2::3]
            self.clean = [image for k, image in enumerate(images) if k % 3 != 2]
        else:
            self.clean = images
            self.held_out = [pairs.gray(image) for image in read_images(options.held_out).images]
        self.schedule = network.QUICK if options.quick else network.LARGE if self.device == "cuda" else network.FULL
        self.results: dict[str, Any] = {"about": {}, "networks": {}}
        if options.output.is_file():
            self.results = json.loads(options.output.read_text())
        commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
        about = {
            **describe(), "torch": torch.__version__, "device": self.device, "commit": commit.stdout.strip(),
            "date": time.strftime("%Y-%m-%d"), "clean": len(self.clean), "held_out": len(self.held_out),
            "schedule": vars(self.schedule), "quick": options.quick, "seeds": options.seeds,
        }  # fmt: skip
        earlier = self.results["about"]
        for key in ("schedule", "clean", "held_out", "quick"):
            if earlier and earlier[key] != about[key]:
                raise SystemExit(f"{options.output}: results of another {key}; write to another file")
        self.results["about"] = about

    def tell(self, text: str) -> None:
        print(f"{time.time() - self.started:7.0f} s  {text}", file=sys.stderr, flush=True)

    def estimator(self, clean: list[Any]) -> fd.DegradationEstimator:
        if self._estimator is None:
            self.tell("fitting the estimator")
            n = 4_000 if self.options.quick else 16_000
            self._estimator = fd.DegradationEstimator(settings.bins(), n_samples=n).fit(clean)
        return self._estimator

    def write(self) -> None:
        with replaced_file(self.options.output, "w") as file:
            json.dump(self.results, file, indent=1)

    def everything(self) -> None:
        quick = self.options.quick
        self.tell("fitting the forecast")
        forecast = fd.TrainingForecast(settings.bins()).fit(self.clean)
        cases = settings.common_cases(quick=quick)
        for setting in self.options.settings:
            self.tell(f"distributions of setting {setting}")
            cases += settings.cases(setting, self.clean, self.held_out, forecast, quick=quick, progress=self)
        uniform = cases[0].distribution
        for case in cases:
            applications = self.options.settings if case.setting == 0 else [case.setting]
            gains = {
                s: forecast.gain(case.distribution, target=settings.truth(settings.APPLICATIONS[s]))
                for s in applications
            }
            self.results.setdefault("forecast", {})[case.key] = {
                "effective_bins": case.distribution.effective_bins(),
                **{str(s): [g.target, g.prior, g.target_error, g.prior_error] for s, g in gains.items()},
            }
        self.write()
        self.tell("pairs to train on")
        side = 16 if quick else 32
        pool = pairs.pool(self.clean, side, 150 if quick else 800, seed=1)
        sets = self.sets()
        for seed in range(self.options.seeds):
            wanted = [c for c in cases if f"{c.key}, seed {seed}" not in self.results["networks"]]
            shared = None
            if self.schedule.shared and wanted:
                self.tell(f"seed {seed}: shared steps under the uniform distribution")
                shared = self.trained(pool, uniform, seed, None).state_dict()
            for case in wanted:
                model = self.trained(pool, case.distribution, seed, shared)
                self.results["networks"][f"{case.key}, seed {seed}"] = self.judged(model, sets, case)
                self.write()
                self.tell(f"{case.key}, seed {seed}")

    def trained(self, pool: pairs.Pairs, p: fd.BinnedDistribution, seed: int, start: Any) -> network.Network:
        return network.train(self.schedule, pool, p.pmf, seed, start, self.device, lambda done: None)

    def sets(self) -> dict[str, pairs.Pairs]:
        """Return what is judged by: the whole space, each application, its neighbour, and pages of text under it."""
        each, n = (8, 150) if self.options.quick else (20, 400)
        sets = {"whole": pairs.pool(self.held_out, 36, each, seed=2)}
        pages = pairs.pages(20, seed=3)
        for s in self.options.settings:
            ranges = settings.APPLICATIONS[s]
            sets[f"application {s}"] = pairs.within(self.held_out, 36, n, ranges, seed=4)
            sets[f"neighbour {s}"] = pairs.within(
                self.held_out, 36, n, settings.shifted(ranges, settings.NEIGHBOUR), seed=5
            )
            sets[f"text {s}"] = pairs.within(pages, 36, n // 2, ranges, seed=6)
        return sets

    def judged(self, model: network.Network, sets: dict[str, pairs.Pairs], case: settings.Case) -> dict[str, Any]:
        found = {}
        for name, chosen in sets.items():
            if name == "whole" or case.setting == 0 or name.endswith(str(case.setting)):
                psnr, ssim = network.judge(model, chosen, self.device)
                found[name] = [float(np.mean(psnr)), float(np.mean(ssim))]
        return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.evidence", description=__doc__)
    parser.add_argument("clean", type=Path, help="folder of clean photographs")
    parser.add_argument("held_out", type=Path, nargs="?", help="folder of others to judge by (every third of CLEAN)")
    parser.add_argument("--quick", action="store_true", help="small networks, eight distributions a setting, one seed")
    parser.add_argument("--settings", type=int, nargs="+", default=[1, 2, 3, 4], choices=settings.APPLICATIONS)
    parser.add_argument("--seeds", type=int, help="default 3; 1 with --quick")
    parser.add_argument("-o", "--output", type=Path, help="results file (one in the folder of this program)")
    options = parser.parse_args()
    options.seeds = options.seeds or (1 if options.quick else 3)
    options.output = options.output or Path(__file__).parent / RESULTS[options.quick]
    Run(options).everything()


if __name__ == "__main__":
    main()
