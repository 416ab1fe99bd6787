"""Mask every k-th cell along the saliency rank: the most even spread over object and background."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from salmask_plugin.checks import low_and_high
from salmask_plugin.masks.cells import draw_share, uniform
from salmask_plugin.masks.top import random_tie_rank
from salmask_plugin.types import CellMask, Saliency


@dataclass(frozen=True)
class SystematicMask:
    """Systematic sampling: evenly spaced ranks with a random start.

    Every stretch of the saliency ranking loses the same share, with no threshold to choose.
    Not in the paper, whose masks balance two classes of cells only.

    Args:
        ratio: (low, high) of the uniform draw of the share of all cells, one per image.
    """

    ratio: tuple[float, float] = (0.05, 0.25)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ratio", low_and_high(self.ratio, "ratio", at_least=0, at_most=1))

    def __call__(self, saliency: Saliency, generator: torch.Generator | None = None) -> CellMask:
        """Draw masks for maps (B, h, w): (B, 1, h, w) bool.

        h w ratio cells are masked, rounded up or down at random: right on average.
        """
        alpha = draw_share(self.ratio, saliency, generator)
        start = uniform(alpha.share.shape, saliency.device, generator)
        rank = random_tie_rank(saliency, generator)
        cells = rank.shape[1]
        masked = alpha.of(cells).long()
        # Integers throughout, so that the count is exact: a cell is masked where the running
        # count floor((rank * masked + offset) / cells) steps up.
        offset = (start * cells).long().clamp(max=cells - 1)
        before = (rank * masked + offset) // cells
        mask = (rank * masked + masked + offset) // cells > before
        return mask.view(saliency.shape)[:, None]
