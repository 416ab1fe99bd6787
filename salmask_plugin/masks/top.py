"""Mask the most salient cells: a negative that really loses the object."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from salmask_plugin.checks import low_and_high
from salmask_plugin.masks.cells import draw_share, ranked, uniform
from salmask_plugin.types import CellMask, Saliency


@dataclass(frozen=True)
class TopMask:
    """Mask the most salient share of the cells; at least one. Ties are broken at random.

    Their number is rounded up or down at random, so that the share is right on average.
    Not in the paper, whose negatives lose a random part of a generous foreground.

    Args:
        ratio: (low, high) of the uniform draw of the share of all cells, one per image.
    """

    ratio: tuple[float, float] = (0.4, 0.7)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ratio", low_and_high(self.ratio, "ratio", at_least=0, at_most=1))

    def __call__(self, saliency: Saliency, generator: torch.Generator | None = None) -> CellMask:
        """Draw masks for maps (B, h, w): (B, 1, h, w) bool."""
        alpha = draw_share(self.ratio, saliency, generator)
        rank = random_tie_rank(saliency, generator)
        masked = alpha.of(rank.shape[1]).clamp(min=1)
        return (rank < masked).view(saliency.shape)[:, None]


def random_tie_rank(saliency: Saliency, generator: torch.Generator | None) -> torch.Tensor:
    """Rank of each cell, 0 = most salient, (B, h * w) int64; equal cells in random order."""
    maps = ranked(saliency).flatten(1)
    shuffled = uniform(maps.shape, maps.device, generator).argsort(1)
    order = shuffled.gather(
        1, maps.gather(1, shuffled).argsort(dim=1, descending=True, stable=True)
    )
    return order.argsort(1)
