"""Train networks under all distributions of all settings and write what they gain: ``python -m bench.evidence CLEAN``.

Resumable: what is in the results file already is not done again. Needs the extra ``evidence`` (torch).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import fastdeg as fd
from bench.evidence import network, pairs, settings
from bench.machine import describe
from fastdeg._files import replaced_file
from fastdeg.images import read_images


@dataclass(frozen=True)
class Plan:
    """How much is done: networks, distributions, and pairs of patches to train on and to judge by."""

    results: str  # file in this folder
    schedule: network.Schedule
    names: tuple[str, ...] | None  # of distributions; None: all
    settings: tuple[int, ...]
    seeds: tuple[int, ...]  # of the main distributions; the others have the first one
    held_out: int  # every third image from this one on
    samples: int  # that the estimator is fitted on
    side: int  # of patches to train on, in degraded pixels
    pool: int  # pairs in each bin to train on
    judged: tuple[int, int]  # pairs in each bin, and of each application


QUICK = Plan("results_quick.json", network.QUICK, settings.QUICK, settings.PAPER, (0,), 2, 4_000, 16, 150, (8, 150))
CHECK = Plan(
    "results_check.json", network.CHECK, settings.CHECK, settings.OTHERS + settings.PAPER, (10,), 0, 4_000, 16, 100,
    (3, 80),
)  # fmt: skip
FULL = Plan("results.json", network.FULL, None, settings.PAPER, (0, 1, 2), 2, 16_000, 32, 800, (20, 400))


class Run:
    """One call: its inputs, its results so far, and the file that holds them."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.started, self.plan = time.time(), QUICK if options.quick else CHECK if options.check else FULL
        plan = self.plan
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.schedule = network.LARGE if self.device == "cuda" and plan is FULL else plan.schedule
        self.settings: list[int] = options.settings or list(plan.settings)
        self.seeds: list[int] = options.seeds or list(plan.seeds)
        self.output: Path = options.output or Path(__file__).parent / plan.results
        images = [pairs.gray(image) for image in read_images(options.clean).images]
        if options.held_out is None:
            self.held_out = images[plan.held_out :: 3]
            self.clean = [image for k, image in enumerate(images) if k % 3 != plan.held_out]
        else:
            self.clean = images
            self.held_out = [pairs.gray(image) for image in read_images(options.held_out).images]
        self.results: dict[str, Any] = {"about": {}, "networks": {}, "forecast": {}}
        if self.output.is_file():
            self.results = json.loads(self.output.read_text())
        commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
        earlier = self.results["about"]
        about = {
            **describe(), "torch": torch.__version__, "device": self.device, "date": time.strftime("%Y-%m-%d"),
            "commits": sorted({*earlier.get("commits", []), commit.stdout.strip()}), "clean": len(self.clean),
            "held_out": len(self.held_out), "schedule": asdict(self.schedule),
        }  # fmt: skip
        for key in ("schedule", "clean", "held_out"):
            if earlier and earlier[key] != about[key]:
                raise SystemExit(f"{self.output}: results of another {key}; write to another file")
        self.results["about"] = about

    def tell(self, text: str) -> None:
        print(f"{time.time() - self.started:7.0f} s  {text}", file=sys.stderr, flush=True)

    def write(self) -> None:
        with replaced_file(self.output, "w") as file:
            json.dump(self.results, file, indent=1)

    def everything(self) -> None:
        cases, sets = self.cases(), self.sets()
        self.tell("pairs to train on")
        pool = pairs.pool(self.clean, self.plan.side, self.plan.pool, seed=self.plan.seeds[0] + 1)
        wanted = [
            (seed, case)
            for seed in self.seeds
            for case in cases
            if (seed == self.plan.seeds[0] or case.name in settings.MAIN)
            and f"{case.key}, seed {seed}" not in self.results["networks"]
        ]
        shared: dict[int, Any] = {}
        for done, (seed, case) in enumerate(wanted):
            if self.schedule.shared and seed not in shared:
                self.tell(f"seed {seed}: shared steps under the uniform distribution")
                shared[seed] = self.trained(pool, cases[0].distribution, seed, None).state_dict()
            model = self.trained(pool, case.distribution, seed, shared.get(seed))
            self.results["networks"][f"{case.key}, seed {seed}"] = self.judged(model, sets, case)
            self.write()
            self.tell(f"{case.key}, seed {seed} ({done + 1} of {len(wanted)})")

    def cases(self) -> list[settings.Case]:
        """Return all distributions, the uniform one first, and keep what the forecast says of them."""
        names, found = self.plan.names, settings.common_cases(self.plan.names)
        self.tell("fitting the forecast and the estimator")
        forecast = fd.TrainingForecast(settings.bins()).fit(self.clean)
        estimator = fd.DegradationEstimator(settings.bins(), n_samples=self.plan.samples).fit(self.clean)
        for setting in self.settings:
            self.tell(f"distributions of setting {setting}")
            found += settings.cases(setting, self.held_out, estimator, forecast, names)
        for case in found:
            gains = {
                s: forecast.gain(case.distribution, target=settings.truth(settings.APPLICATIONS[s]))
                for s in (self.plan.settings if case.setting == 0 else [case.setting])
            }
            self.results["forecast"][case.key] = {
                str(s): [g.target, g.prior, g.target_error, g.prior_error] for s, g in gains.items()
            }
        self.write()
        return found

    def trained(self, pool: pairs.Pairs, p: fd.BinnedDistribution, seed: int, start: Any) -> network.Network:
        return network.train(self.schedule, pool, p.pmf, seed, start, self.device)

    def sets(self) -> dict[str, pairs.Pairs]:
        """Return what is judged by: the whole space, each application, its neighbour, and pages of text under it."""
        each, n = self.plan.judged
        sets = {"whole": pairs.pool(self.held_out, 36, each, seed=2)}
        pages = pairs.pages(20, seed=3)
        for s in self.plan.settings:
            ranges = settings.APPLICATIONS[s]
            neighbour = settings.shifted(ranges, settings.NEIGHBOUR)
            sets[f"application {s}"] = pairs.within(self.held_out, 36, n, ranges, seed=4)
            sets[f"neighbour {s}"] = pairs.within(self.held_out, 36, n, neighbour, seed=5)
            sets[f"text {s}"] = pairs.within(pages, 36, n // 2, ranges, seed=6)
        return sets

    def judged(self, model: network.Network, sets: dict[str, pairs.Pairs], case: settings.Case) -> dict[str, Any]:
        """Return mean PSNR and SSIM by set; a network of one application is judged by its sets and the whole space."""
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
    smaller = parser.add_mutually_exclusive_group()
    smaller.add_argument("--quick", action="store_true", help="small networks, nine distributions a setting, one seed")
    smaller.add_argument(
        "--check", action="store_true", help="other networks, settings, photographs and seed than --quick"
    )
    parser.add_argument("--settings", type=int, nargs="+", choices=settings.APPLICATIONS, help="some of them only")
    parser.add_argument("--seeds", type=int, nargs="+", help="others, or fewer")
    parser.add_argument("-o", "--output", type=Path, help="results file (one in the folder of this program)")
    Run(parser.parse_args()).everything()


if __name__ == "__main__":
    main()
