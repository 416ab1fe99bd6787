"""Foreground and grid masks the slow way: Python loops, one image and one cell at a time."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def foreground_loop(saliency: NDArray[np.float64], tolerance: float = 0.6) -> NDArray[np.bool_]:
    """Eq. 1 on one map (h, w), cell by cell, in float64."""
    rows, columns = saliency.shape
    cells = [float(saliency[r, c]) for r in range(rows) for c in range(columns)]
    mean = sum(cells) / len(cells)
    deviation = math.sqrt(sum((cell - mean) ** 2 for cell in cells) / len(cells))
    return np.array(
        [
            [saliency[r, c] >= mean - tolerance * deviation for c in range(columns)]
            for r in range(rows)
        ]
    )


def cell_counts(
    cells: int, object_cells: int, ratio: float, background: bool, toss: float | None = None
) -> tuple[int, int]:
    """How many (foreground, background) cells a ratio masks: nearest, or by a toss in [0, 1)."""

    def whole(share: float) -> int:
        return round(share) if toss is None else math.floor(share + 1 - toss)

    if not background:
        return max(1, whole(object_cells * ratio)), 0
    masked_objects = whole(object_cells * ratio)
    return masked_objects, max(0, whole(cells * ratio) - masked_objects)


def grid_mask_per_image(
    saliency: Tensor,
    ratio: tuple[float, float],
    background: bool,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Grid masks (B, 1, h, w) by a loop over the images of a batch, a permutation for each pool."""
    batch, rows, columns = saliency.shape
    masks = torch.zeros((batch, 1, rows, columns), dtype=torch.bool)
    for index in range(batch):
        cells = saliency[index].flatten()
        is_object = cells >= cells.mean() - 0.6 * cells.std(correction=0)
        pools = is_object.nonzero()[:, 0], (~is_object).nonzero()[:, 0]
        draw, toss = torch.rand(2, generator=generator).tolist()
        alpha = ratio[0] + (ratio[1] - ratio[0]) * draw
        counts = cell_counts(len(cells), len(pools[0]), alpha, background, toss)
        for pool, count in zip(pools, counts, strict=True):
            for cell in pool[torch.randperm(len(pool), generator=generator)[:count]].tolist():
                masks[index, 0, cell // columns, cell % columns] = True
    return masks
