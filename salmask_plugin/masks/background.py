"""Mask the background: what is left is the object."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from salmask_plugin.checks import low_and_high, number
from salmask_plugin.masks.cells import draw_share, foreground, uniform
from salmask_plugin.types import CellMask, Saliency


@dataclass(frozen=True)
class BackgroundMask:
    """Mask a share of the cells that are not foreground, by default all of them.

    At least one cell is masked; in a map without background, a random one.

    Args:
        ratio: (low, high) of the uniform draw of the share of the background, one per image;
            rounded up or down at random, so that it is right on average.
        tolerance: of :func:`~salmask_plugin.foreground`.

    References:
        Background augmentations: Ryali et al., 2021, https://arxiv.org/abs/2103.12719, who take the
        foreground from a saliency network.
    """

    ratio: tuple[float, float] = (1.0, 1.0)
    tolerance: float = 0.6

    def __post_init__(self) -> None:
        object.__setattr__(self, "ratio", low_and_high(self.ratio, "ratio", at_least=0, at_most=1))
        object.__setattr__(self, "tolerance", number(self.tolerance, "tolerance"))

    def __call__(self, saliency: Saliency, generator: torch.Generator | None = None) -> CellMask:
        """Draw masks for maps (B, h, w): (B, 1, h, w) bool."""
        objects = foreground(saliency, self.tolerance).flatten(1)  # (B, N)
        share = draw_share(self.ratio, saliency, generator)
        order = uniform(objects.shape, saliency.device, generator) + objects
        masked = share.of((~objects).sum(1, keepdim=True)).clamp(min=1)
        return (order.argsort(1).argsort(1) < masked).view(saliency.shape)[:, None]
