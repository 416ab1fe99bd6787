"""What crops chosen by saliency cost, as ratios measured in one run.

    python integration/benchmarks/crop_cost.py --rounds 7

Two views of every picture with guided crops over those without, in turn: on the device's path for a
batch of pictures in memory, and picture by picture through lightly's transform. One thread,
processor seconds. Maps are cached ones.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from bench_clock import ratios, take_turns
from lightly.transforms import MoCoV2Transform

from salmask_plugin import CachedLocalizer, GuidedCrops, UniformLocalizer
from salmask_plugin.lab.data import TwoViewDataset, ViewRecipe, device_view_data, generated
from salmask_plugin.localizers.map_store import CacheManifest

CANDIDATES = 8


def cache_of(count: int, cells: int) -> CachedLocalizer:
    """Random maps of so many pictures."""
    maps = np.random.default_rng(0).random((count, cells, cells), dtype=np.float32)
    manifest = CacheManifest("random", "none", "none", "bench", count, (cells, cells))
    return CachedLocalizer(maps.astype(np.float16), manifest)


def works_of(view: int, count: int, cells: int) -> dict[str, Callable[[], object]]:
    """Name -> one batch, or as many samples."""
    train = generated(train_images=count, val_images=8, classes=4, size=view + view // 4).train
    cached = cache_of(count, cells)
    choices: dict[str, GuidedCrops | None] = {
        "as drawn": None,
        "most": GuidedCrops(cached, CANDIDATES),
        "apart": GuidedCrops(cached, CANDIDATES, "apart"),
        "apart_anywhere": GuidedCrops(UniformLocalizer(), CANDIDATES, "apart"),
    }
    works: dict[str, Callable[[], object]] = {}
    for name, crops in choices.items():
        data = device_view_data(train, ViewRecipe(view), batch_size=count, seed=0, crops=crops)
        batch = next(iter(data.train_loader()))
        works[f"device, {name}"] = partial(data.views, batch)
        samples = TwoViewDataset(train, MoCoV2Transform(view), seed=0, crops=crops)
        works[f"host, {name}"] = partial(_all, samples, min(count, 32))
    return works


def table(view: int, count: int, cells: int, *, rounds: int, minutes: float) -> list[str]:
    """Return a line for each path and rule: times the views whose boxes stay as drawn."""
    until = time.monotonic() + 60 * minutes
    times = take_turns(works_of(view, count, cells), "cpu", rounds=rounds, warm_up=1, until=until)
    lines = []
    for name in times:
        path, _, rule = name.partition(", ")
        found = ratios(times, name, f"{path}, as drawn")
        spread = f"{found['median']:.3f} ({found['low']:.2f} to {found['high']:.2f})"
        lines.append(f"| {view} px, {cells} x {cells} cells | {path} | {rule} | {spread} |")
    return lines


def _all(samples: TwoViewDataset, count: int) -> None:
    for index in range(count):
        samples[0, index]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--minutes", type=float, default=3, help="bound for each size")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    for view, count, cells in ((32, 256, 4), (96, 64, 14)):
        for line in table(view, count, cells, rounds=options.rounds, minutes=options.minutes):
            print(line, flush=True)


if __name__ == "__main__":
    main()
