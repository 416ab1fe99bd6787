"""What crops chosen by saliency show: foreground of the views, and how much two of them share.

    python integration/benchmarks/crop_effect.py MAPS --images 3000

MAPS is a folder of ``salmask cache``. Boxes alone are drawn, no picture is read.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from salmask_plugin import CachedLocalizer, GuidedCrops
from salmask_plugin.crops import foreground_shares, overlaps
from salmask_plugin.lab.data import ViewRecipe, draw_views, uniforms_of_epoch
from salmask_plugin.lab.data.device.guided import GuidedBoxes
from salmask_plugin.masks import foreground

SIDE = 96.0
"""Of the pictures, in pixels: boxes lie on whole ones."""


def line(cached: CachedLocalizer, crops: GuidedCrops, images: int) -> tuple[float, float, float]:
    """Return the views' share of foreground, that of the poorer view, and the pairs' overlap."""
    count = min(images, len(cached.maps))
    rows, sizes = torch.arange(count), torch.full((count, 2), SIDE)
    uniforms = uniforms_of_epoch(0, 0, count).transpose(0, 1).flatten(0, 1)
    drawn = draw_views(uniforms, sizes.repeat(2, 1), ViewRecipe(48)).box
    found = GuidedBoxes(crops, seed=0, count=count)(drawn, sizes, rows, 0) / SIDE
    boxes = torch.cat([found[:, :2], found[:, :2] + found[:, 2:]], 1)
    pairs = boxes.view(2, count, 4).transpose(0, 1)
    shares = foreground_shares(foreground(cached.whole(rows), crops.tolerance), pairs)
    both = overlaps(pairs[:, :1], pairs[:, 1:])
    return float(shares.mean()), float(shares.amin(1).mean()), float(both.mean())


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("maps", type=Path)
    parser.add_argument("--images", type=int, default=3000)
    options = parser.parse_args()
    cached = CachedLocalizer.load(options.maps)
    choices = {
        "as drawn": GuidedCrops(cached, 1),
        "most": GuidedCrops(cached),
        "apart": GuidedCrops(cached, rule="apart"),
    }
    for name, crops in choices.items():
        share, poorer, both = line(cached, crops, options.images)
        print(f"| {name} | {share:.3f} | {poorer:.3f} | {both:.3f} |")


if __name__ == "__main__":
    main()
