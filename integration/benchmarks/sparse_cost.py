"""What it costs that places are not seen, as a ratio measured in one run.

    python integration/benchmarks/sparse_cost.py --rounds 7

Forward and backward of one view, plain and inside ``visible_only``, in turn: one thread, processor
seconds. In a step it is the query's view alone that costs so much more.
"""

from __future__ import annotations

import argparse
import time
from statistics import median

import torch
from torch import Tensor, nn

from salmask_plugin import visible_only
from salmask_plugin.adapters.lightly import resnet
from salmask_plugin.encoders import small_convnet

SETTINGS = (
    ("small, 32 px, float32", "small", 32, 128, False),
    ("small, 32 px, bfloat16, channels last", "small", 32, 128, True),
    ("ResNet-18, 64 px, float32", "resnet18", 64, 16, False),
)


def ratio(name: str, side: int, batch: int, *, fast: bool, rounds: int) -> list[float]:
    """Return seconds of a view whose places are partly hidden over those of a whole one, sorted."""
    encoder = small_convnet()[0] if name == "small" else resnet(name, stem="cifar_pool")[0]
    images = torch.randn(batch, 3, side, side)
    cells = torch.rand(batch, 1, 4, 4) < 0.15
    hidden = cells.repeat_interleave(side // 4, -2).repeat_interleave(side // 4, -1)
    if fast:
        encoder = encoder.to(memory_format=torch.channels_last)
        images = images.to(memory_format=torch.channels_last)
    _seconds(encoder, images, hidden, fast)  # warm up
    found = []
    for _ in range(rounds):
        plain = _seconds(encoder, images, None, fast)
        found.append(_seconds(encoder, images, hidden, fast) / plain)
    return sorted(found)


def _seconds(encoder: nn.Module, images: Tensor, hidden: Tensor | None, fast: bool) -> float:
    start = time.process_time()
    with torch.autocast("cpu", torch.bfloat16, enabled=fast), visible_only(encoder, hidden):
        features = encoder(images)
    features.float().square().mean().backward()
    return time.process_time() - start


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    torch.manual_seed(0)
    for title, name, side, batch, fast in SETTINGS:
        found = ratio(name, side, batch, fast=fast, rounds=rounds)
        print(f"| {title} | {median(found):.2f} ({found[0]:.2f} to {found[-1]:.2f}) |", flush=True)


if __name__ == "__main__":
    main()
