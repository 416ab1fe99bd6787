"""The paper's mask: a random share of the cells, spread over object and background alike."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch

from salmask_plugin.checks import check_choice, check_flag, low_and_high, number
from salmask_plugin.masks.cells import (
    Rounding,
    draw_share,
    foreground,
    uniform,
)
from salmask_plugin.types import CellMask, MaskSampler, Saliency


@dataclass(frozen=True)
class GridMask:
    """Mask a random share of the grid's cells.

    With N cells, foreground share gamma and a drawn ratio alpha, N alpha gamma foreground and
    N alpha (1 - gamma) background cells are masked, without replacement, so that object and
    background lose the same share. The numbers and their sum are rounded up or down at random, so
    that each is right on average, on small grids too.

    Args:
        ratio: (low, high) of the uniform draw of alpha, one per image. (0.05, 0.25) for queries;
            (0.4, 0.7) with ``background=False`` for hard negatives.
        background: whether background cells are masked too. Without them alpha is a share of the
            foreground, and at least one cell is masked: a negative that shows everything would be
            a second positive. Only there, below one cell, the average is above alpha.
        per_channel: draw the cells of each channel independently, in equal numbers. ``Masking``
            says how many channels the views have; a call of one's own has three.
        tolerance: of :func:`~salmask_plugin.foreground`.
        rounding: "nearest" is the released code's; it moves the share on small grids.

    References:
        Chin et al., WACV 2024, section 3.1. Departures of the released code (total rounded down,
        one-cell sets never masked): docs/paper_vs_code.md.
    """

    ratio: tuple[float, float] = (0.05, 0.25)
    background: bool = True
    per_channel: bool = False
    tolerance: float = 0.6
    rounding: Rounding = "random"

    def __post_init__(self) -> None:
        object.__setattr__(self, "ratio", low_and_high(self.ratio, "ratio", at_least=0, at_most=1))
        check_flag(self.background, "background")
        check_flag(self.per_channel, "per_channel")
        check_choice(self.rounding, "rounding", Rounding)
        object.__setattr__(self, "tolerance", number(self.tolerance, "tolerance"))

    def for_channels(self, channels: int) -> MaskSampler:
        """Return the sampler for views of that many channels."""
        return partial(self, channels=channels) if self.per_channel else self

    def __call__(
        self,
        saliency: Saliency,
        generator: torch.Generator | None = None,
        *,
        channels: int = 3,
    ) -> CellMask:
        """Draw masks for maps (B, h, w): (B, 1, h, w) bool, or (B, channels, h, w) per channel."""
        is_foreground = foreground(saliency, self.tolerance)
        images, height, width = is_foreground.shape
        channels = channels if self.per_channel else 1
        alpha = draw_share(self.ratio, saliency, generator, self.rounding)
        noise = uniform((images, channels, height * width), saliency.device, generator)

        objects = is_foreground.flatten(1)[:, None]  # (B, 1, N)
        object_cells = objects.sum(-1, keepdim=True)
        masked_objects = alpha.of(object_cells[:, 0])[:, None]
        # One sort ranks both pools: the object's cells first, at random inside each pool.
        rank = (noise + ~objects).argsort(-1).argsort(-1)
        if self.background:
            masked_rest = alpha.of(objects.shape[-1])[:, None] - masked_objects
            first = torch.where(objects, rank, rank - object_cells)
            mask = first < torch.where(objects, masked_objects, masked_rest)
        else:
            mask = objects & (rank < masked_objects.clamp(min=1))
        return mask.view(images, channels, height, width)
