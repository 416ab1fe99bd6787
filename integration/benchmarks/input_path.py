"""Images per second of both input paths, measured in one run.

    python integration/benchmarks/input_path.py --workers 0 2 --sizes 32 64
    python integration/benchmarks/input_path.py --device cuda --workers 8 --batch 512 --images 50000

Two views of MoCo v2 are made of every image: by lightly's transform in the loader's workers, and by
``loader.input=device`` from pictures that are kept on the device. Only the input is timed, up to
views that lie on the device. The paths take turns, epoch by epoch, so that whatever else the
machine does falls on all of them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median

import torch
from lightly.transforms import MoCoV2Transform

from salmask_plugin.lab.data import LabelledImages, device_view_data, generated, pretrain_loader
from salmask_plugin.lab.data.device.lightly_recipe import recipe_of

Epoch = Callable[[int], int]


def host_path(images: LabelledImages, size: int, batch: int, workers: int, device: str) -> Epoch:
    """One epoch of lightly's loader: images whose views reached the device."""
    loader = pretrain_loader(
        images, MoCoV2Transform(input_size=size), batch_size=batch, seed=0, workers=workers
    )

    def epoch(number: int) -> int:
        loader.sampler.set_epoch(number)
        total = 0
        for views, *_ in loader:
            there = [view.to(device, non_blocking=True) for view in views]
            total += len(there[0])
        return total

    return epoch


def device_path(images: LabelledImages, size: int, batch: int, device: str) -> Epoch:
    """One epoch of views made on the device."""
    recipe = recipe_of(MoCoV2Transform(input_size=size))
    data = device_view_data(images, recipe, batch_size=batch, seed=0)
    loader = data.train_loader()

    def epoch(number: int) -> int:
        loader.sampler.set_epoch(number)
        total = 0
        for whole in loader:
            there = whole._replace(
                labels=whole.labels.to(device, non_blocking=True),
                indices=whole.indices.to(device, non_blocking=True),
            )
            total += len(data.views(there)[0][0])
        return total

    return epoch


def rate(epoch: Epoch, number: int, device: str) -> float:
    """Images per second of one epoch."""
    start = time.perf_counter()
    images = epoch(number)
    if device == "cuda":
        torch.cuda.synchronize()
    return images / (time.perf_counter() - start)


def measure(
    size: int, images: int, batch: int, workers: list[int], device: str, rounds: int
) -> dict[str, list[float]]:
    """Path -> images per second in each round, the paths taking turns after one warm-up."""
    train = generated(train_images=images, val_images=8, size=size).train
    paths = {
        f"host, {count} workers": host_path(train, size, batch, count, device) for count in workers
    }
    paths[f"device ({device})"] = device_path(train, size, batch, device)
    found: dict[str, list[float]] = {name: [] for name in paths}
    for number in range(rounds + 1):
        for name, epoch in paths.items():
            measured = rate(epoch, number, device)
            if number:
                found[name].append(measured)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 64], help="pictures and views")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2])
    parser.add_argument("--images", type=int, default=1024, help="images per epoch")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    chosen = parser.parse_args()
    print(
        f"{chosen.images} images, batches of {chosen.batch}, {torch.get_num_threads()} CPU threads,"
        f" torch {torch.__version__}; median of {chosen.rounds} rounds (lowest to highest)"
    )
    for size in chosen.sizes:
        found = measure(
            size, chosen.images, chosen.batch, chosen.workers, chosen.device, chosen.rounds
        )
        for name, rates in found.items():
            ratios = [a / b for a, b in zip(rates, next(iter(found.values())), strict=True)]
            print(
                f"{size:4} px  {name:<20}{median(rates):10.0f} images/s  "
                f"({min(rates):.0f} to {max(rates):.0f})  {median(ratios):6.2f} x the first"
            )


if __name__ == "__main__":
    main()
