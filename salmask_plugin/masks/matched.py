"""Mask as many cells as a hard negative of the paper would, but elsewhere: the area control."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from salmask_plugin.checks import check_choice, low_and_high, number
from salmask_plugin.masks.cells import draw_share, foreground, uniform
from salmask_plugin.types import CellMask, Saliency

Pool = Literal["anywhere", "background"]


@dataclass(frozen=True)
class MatchedMask:
    """Mask the number of cells that ``GridMask(ratio, background=False)`` would, from another pool.

    With F foreground cells and a drawn ratio beta these are F beta cells, rounded as there and at
    least one. What such negatives gain comes from the masked area, not from losing the object. Not
    in the paper.

    Args:
        ratio: (low, high) of the uniform draw of beta, one per image.
        pool: "anywhere" draws from all cells; "background" from those that are not foreground, all
            of which go where they are fewer than wanted. A map without background loses one cell:
            a negative that shows everything would be a second positive.
        tolerance: of :func:`~salmask_plugin.foreground`.
    """

    ratio: tuple[float, float] = (0.4, 0.7)
    pool: Pool = "anywhere"
    tolerance: float = 0.6

    def __post_init__(self) -> None:
        object.__setattr__(self, "ratio", low_and_high(self.ratio, "ratio", at_least=0, at_most=1))
        check_choice(self.pool, "pool", Pool)
        object.__setattr__(self, "tolerance", number(self.tolerance, "tolerance"))

    def __call__(self, saliency: Saliency, generator: torch.Generator | None = None) -> CellMask:
        """Draw masks for maps (B, h, w): (B, 1, h, w) bool."""
        objects = foreground(saliency, self.tolerance).flatten(1)  # (B, N)
        beta = draw_share(self.ratio, saliency, generator)
        order = uniform(objects.shape, saliency.device, generator)
        masked = beta.of(objects.sum(1, keepdim=True))
        if self.pool == "background":
            order = order + objects  # the background's cells rank first
            masked = masked.minimum((~objects).sum(1, keepdim=True))
        mask = order.argsort(1).argsort(1) < masked.clamp(min=1)
        return mask.view(saliency.shape)[:, None]
