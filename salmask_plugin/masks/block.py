"""One or several rectangles of cells: masks that hang together."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from salmask_plugin.checks import low_and_high, whole_number
from salmask_plugin.masks.cells import (
    check_maps,
    draw_share,
    uniform,
)
from salmask_plugin.types import CellMask, Saliency


@dataclass(frozen=True)
class BlockMask:
    """Mask rectangles at random places, wherever the saliency is.

    Rectangles may overhang the border, as Cutout's do: every cell, at the border or in the middle,
    is masked with the same probability, so that object and background lose the same share on
    average. (Rectangles that stay inside hit the middle, where objects are, more often.) With
    several, what they cover together has the drawn share on average; single masks scatter around
    it, and a very small share may round to no block at all.

    Args:
        ratio: (low, high) of the uniform draw of the share of all cells, one per image.
        blocks: rectangles per image, at least 1.
        aspect: (low, high) of height / width, relative to the grid's own; drawn evenly in its
            logarithm, 0 < low <= high.

    References:
        Cutout, https://arxiv.org/abs/1708.04552; shares and aspects as in random erasing,
        https://arxiv.org/abs/1708.04896. Not in the paper.
    """

    ratio: tuple[float, float] = (0.05, 0.25)
    blocks: int = 1
    aspect: tuple[float, float] = (0.5, 2.0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ratio", low_and_high(self.ratio, "ratio", at_least=0, at_most=1))
        object.__setattr__(self, "blocks", whole_number(self.blocks, "blocks"))
        object.__setattr__(self, "aspect", low_and_high(self.aspect, "aspect", above=0))

    def __call__(self, saliency: Saliency, generator: torch.Generator | None = None) -> CellMask:
        """Draw masks for maps (B, h, w): (B, 1, h, w) bool."""
        check_maps(saliency)
        images, height, width = saliency.shape
        share = draw_share(self.ratio, saliency, generator, "nearest").share  # (B, 1)
        drawn = uniform((5, images, self.blocks), saliency.device, generator)
        low, high = (math.log(value) for value in self.aspect)
        # One block's chance to cover a cell: all together miss it with probability 1 - share.
        cover = 1 - (1 - share) ** (1 / self.blocks)
        skew = (low + (high - low) * drawn[0]).exp()
        skew = skew.maximum(cover).minimum(1 / cover)  # no axis more than covered
        rows = _extent(height, (cover * skew).sqrt(), drawn[1], drawn[2])
        columns = _extent(width, (cover / skew).sqrt(), drawn[3], drawn[4])
        blocks = rows[..., :, None] & columns[..., None, :]
        return blocks.any(1)[:, None]


def _extent(length: int, cover: Tensor, toss: Tensor, place: Tensor) -> Tensor:
    """(B, n, length) bool: stretches that cover each cell with probability ``cover`` (B, n).

    A stretch of a cells that overlaps an axis of L cells has L + a - 1 places, and a of them cover
    a given cell. A length between two whole numbers is one of them, at random.
    """
    exact = cover * (length - 1) / (1 - cover).clamp(min=1e-6)
    whole = exact.floor()
    low, high = (_covers(length, whole + more) for more in (0, 1))
    cells = whole + (toss * (high - low) < cover - low)
    places = length + cells - 1
    start = (place * places).floor().minimum(places - 1) - (cells - 1)
    at = torch.arange(length, device=cover.device)
    inside = (at >= start[..., None]) & (at < (start + cells)[..., None])
    return inside | (cover[..., None] >= 1)


def _covers(length: int, cells: Tensor) -> Tensor:
    """Share of the places of a stretch of so many cells that cover a given cell; 0 for none."""
    return cells / (length + cells - 1).clamp(min=1)
