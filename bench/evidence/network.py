"""A ×4 network of a few layers, trained under a distribution by one schedule and judged by PSNR and SSIM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from bench.evidence.pairs import SCALE, Pairs


@dataclass(frozen=True)
class Schedule:
    """The same for all distributions: ``shared`` steps under the uniform one, from which all start, then ``steps``."""

    shared: int
    steps: int
    batch: int
    channels: int
    layers: int
    shrunk: int = 0  # channels of the layers between, of another architecture; 0: the usual one
    rate: float = 2e-3


QUICK = Schedule(shared=3_000, steps=400, batch=10, channels=24, layers=5)
CHECK = Schedule(shared=1_500, steps=250, batch=8, channels=40, layers=3, shrunk=12)
FULL = Schedule(shared=0, steps=4_000, batch=16, channels=48, layers=5)
LARGE = Schedule(shared=0, steps=30_000, batch=32, channels=64, layers=16)  # on a GPU


class Network(nn.Module):
    """Convolutions on the small image beside bicubic enlargement: all alike and pixel shuffle, or FSRCNN.

    FSRCNN (Dong et al. 2016) works on few channels between two layers of one pixel, and enlarges by a transposed
    convolution.
    """

    def __init__(self, schedule: Schedule) -> None:
        super().__init__()
        c, s = schedule.channels, schedule.shrunk
        if s:
            layers: list[nn.Module] = [nn.Conv2d(1, c, 5, padding=2), nn.PReLU(), nn.Conv2d(c, s, 1), nn.PReLU()]
            for _ in range(schedule.layers):
                layers += [nn.Conv2d(s, s, 3, padding=1), nn.PReLU()]
            layers += [nn.Conv2d(s, c, 1), nn.PReLU(), nn.ConvTranspose2d(c, 1, 9, SCALE, 4, output_padding=SCALE - 1)]
        else:
            layers = [nn.Conv2d(1, c, 5, padding=2), nn.ReLU()]
            for _ in range(schedule.layers - 2):
                layers += [nn.Conv2d(c, c, 3, padding=1), nn.ReLU()]
            layers += [nn.Conv2d(c, SCALE**2, 3, padding=1), nn.PixelShuffle(SCALE)]
        self.body = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        enlarged = functional.interpolate(x, scale_factor=SCALE, mode="bicubic", align_corners=False)
        return enlarged + self.body(x)


def train(
    schedule: Schedule,
    pool: Pairs,
    pmf: Any,
    seed: int,
    start: dict[str, torch.Tensor] | None,
    device: str,
) -> Network:
    """Train under a pmf over bins; equal seeds draw the same numbers, so that distributions differ in nothing else."""
    torch.manual_seed(seed)
    network = Network(schedule).to(device)
    if start is not None:
        network.load_state_dict(start)
    steps = schedule.steps if start is not None or not schedule.shared else schedule.shared
    optimizer = torch.optim.Adam(network.parameters(), schedule.rate)
    rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, schedule.rate, total_steps=steps, pct_start=0.1)
    rng, per_bin = np.random.default_rng(seed), len(pool.low) // len(pmf)
    cumulated = np.cumsum(pmf) / np.sum(pmf)
    for _ in range(steps):
        at = np.searchsorted(cumulated, rng.random(schedule.batch), side="right").clip(max=len(pmf) - 1)
        chosen = at * per_bin + rng.integers(per_bin, size=schedule.batch)
        low, high = _tensors(pool, chosen, device)
        loss = functional.l1_loss(network(low), high) if schedule is LARGE else functional.mse_loss(network(low), high)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rates.step()
    return network


def judge(network: Network, pairs: Pairs, device: str) -> tuple[Any, Any]:
    """Return PSNR and SSIM of each pair; 8 clean pixels at the borders do not count."""
    found = []
    with torch.no_grad():
        for first in range(0, len(pairs.low), 32):
            low, high = _tensors(pairs, np.arange(first, min(first + 32, len(pairs.low))), device)
            out = network(low).clamp(0, 1)[..., 8:-8, 8:-8]
            high = high[..., 8:-8, 8:-8]
            error = ((out - high) ** 2).mean(dim=(1, 2, 3)).clamp_min(1e-8)
            found.append(torch.stack([-10 * torch.log10(error), _ssim(out, high)]).cpu().numpy())
    psnr, ssim = np.concatenate(found, axis=1)
    return psnr, ssim


def _ssim(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Wang et al. 2004: Gaussian window of 11 pixels and deviation 1.5."""
    line = torch.exp(-((torch.arange(11, device=x.device) - 5.0) ** 2) / 4.5)
    window = (line[:, None] * line)[None, None] / line.sum() ** 2

    def mean(z: torch.Tensor) -> torch.Tensor:
        return functional.conv2d(z, window)

    mx, my = mean(x), mean(y)
    vx, vy, cov = mean(x * x) - mx**2, mean(y * y) - my**2, mean(x * y) - mx * my
    c1, c2 = 0.01**2, 0.03**2
    values = (2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    return values.mean(dim=(1, 2, 3))


def _tensors(pairs: Pairs, chosen: Any, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    return tuple(  # type: ignore[return-value]
        torch.from_numpy(part[chosen]).to(device).float()[:, None] / 255 for part in (pairs.low, pairs.high)
    )
