"""One random window of the view: keep only it, or lose only it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from salmask_plugin.checks import check_choice, check_flag, number
from salmask_plugin.masks.cells import Rounding, check_maps, uniform
from salmask_plugin.types import CellMask, Saliency

LATTICE = 16
"""Window edges fall on a lattice this many times finer than the grid: 200/224 and 130/224 of the
paper's view are exact there (2 px at 224)."""


@dataclass(frozen=True)
class FocalMask:
    """Mask everything outside (or inside) a window at a random place. Ignores where saliency is.

    Args:
        size: side of the window as a share of the view's side, in (0, 1].
        inside: mask the window itself. The paper's queries keep a window of 200/224; its hard
            negatives lose one of 130/224, which may miss the object.
        rounding: on a lattice that ``size`` does not fit, rows and columns are each rounded up or
            down at random, so that the area is right on average; "nearest" moves it.

    References:
        MSCN's focal mask (https://arxiv.org/abs/2206.07700) as used by Chin et al.; sizes from the
        released code, https://github.com/joycenerd/Saliency-Guided-Masking-for-ConvNets/tree/c6e62b8.
    """

    size: float = 200 / 224
    inside: bool = False
    rounding: Rounding = "random"

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", number(self.size, "size", above=0, at_most=1))
        check_flag(self.inside, "inside")
        check_choice(self.rounding, "rounding", Rounding)

    def __call__(self, saliency: Saliency, generator: torch.Generator | None = None) -> CellMask:
        """Draw masks for maps (B, h, w): (B, 1, 16 h, 16 w) bool."""
        check_maps(saliency)
        images, height, width = saliency.shape
        draws = 4 if self.rounding == "random" else 2
        drawn = uniform((draws, images, 1), saliency.device, generator)
        tosses = (drawn[2], drawn[3]) if draws == 4 else (None, None)
        rows = self._inside_axis(LATTICE * height, drawn[0], tosses[0])
        columns = self._inside_axis(LATTICE * width, drawn[1], tosses[1])
        window = (rows[:, :, None] & columns[:, None, :])[:, None]
        return window if self.inside else ~window

    def _inside_axis(self, length: int, position: Tensor, toss: Tensor | None) -> Tensor:
        """(B, length) bool: the window's extent along one axis, uniform over all its places."""
        exact = round(self.size * length, 6)  # 200/224 of 112 is 100, whatever its last bit
        side = torch.full_like(position, round(exact))
        if toss is not None:
            side = math.floor(exact) + (toss < exact % 1).to(side.dtype)
        side = side.clamp(min=1)
        places = length - side + 1
        start = torch.minimum((position * places).floor(), places - 1)
        at = torch.arange(length, device=position.device)
        return (at >= start) & (at < start + side)
