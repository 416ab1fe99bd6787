"""The middle of the view as the object, whatever is there."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from salmask_plugin.checks import height_and_width, number
from salmask_plugin.types import Images, Saliency


@dataclass(frozen=True)
class CenterLocalizer:
    """Return a fixed centred box: the control that asks how much saliency itself brings.

    A cell's value is the share of it that lies in the box, so the map is 1 inside and 0 outside.
    By :func:`~salmask_plugin.foreground` at the default tolerance of 0.6 no map can have less than
    26.5 % foreground: where the box is smaller (size below 0.52), every cell may become foreground.
    Give the samplers ``tolerance=0`` for a small box.

    Args:
        grid: (h, w) cells.
        size: of the box, as a share of each side, in (0, 1). 0.75 makes about as large a foreground
            as photographs have under a pretrained network.

    References:
        The "SimCCrop" control of Peng et al., "Crafting Better Contrastive Views for Siamese
        Representation Learning", CVPR 2022, moved from crops to masks.
    """

    grid: tuple[int, int] = (7, 7)
    size: float = 0.75

    def __post_init__(self) -> None:
        object.__setattr__(self, "grid", height_and_width(self.grid, "grid"))
        object.__setattr__(self, "size", number(self.size, "size", above=0, below=1))

    @property
    def trained_on(self) -> str:
        """Nothing is trained."""
        return "none"

    def __call__(self, images: Images) -> Saliency:
        """Return the same map for every view, (B, h, w) float32."""
        rows, columns = (self._inside(cells, images.device) for cells in self.grid)
        return torch.outer(rows, columns).expand(len(images), -1, -1)

    def _inside(self, cells: int, device: torch.device) -> Tensor:
        """(cells,) the share of each cell that lies in the box, along one axis."""
        first = torch.arange(cells, device=device, dtype=torch.float32)
        low, high = (0.5 - self.size / 2) * cells, (0.5 + self.size / 2) * cells
        return ((first + 1).clamp(max=high) - first.clamp(min=low)).clamp(min=0)
