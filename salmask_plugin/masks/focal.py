"""One random window of the view: keep only it, or lose only it."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from salmask_plugin.masks.cells import check_maps
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

    References:
        MSCN's focal mask (https://arxiv.org/abs/2206.07700) as used by Chin et al.; sizes from the
        released code, https://github.com/joycenerd/Saliency-Guided-Masking-for-ConvNets/tree/c6e62b8.
    """

    size: float = 200 / 224
    inside: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.size <= 1:
            raise ValueError(f"size={self.size} must be in (0, 1].")

    def __call__(self, saliency: Saliency, generator: torch.Generator | None = None) -> CellMask:
        """Draw masks for maps (B, h, w): (B, 1, 16 h, 16 w) bool."""
        check_maps(saliency)
        images, height, width = saliency.shape
        position = torch.rand((2, images, 1), generator=generator, device=saliency.device)
        rows = self._inside_axis(LATTICE * height, position[0])
        columns = self._inside_axis(LATTICE * width, position[1])
        window = (rows[:, :, None] & columns[:, None, :])[:, None]
        return window if self.inside else ~window

    def _inside_axis(self, length: int, position: torch.Tensor) -> torch.Tensor:
        """(B, length) bool: the window's extent along one axis, uniform over all its places."""
        side = max(1, round(self.size * length))
        places = length - side + 1
        start = (position * places).long().clamp(max=places - 1)
        at = torch.arange(length, device=position.device)
        return (at >= start) & (at < start + side)
