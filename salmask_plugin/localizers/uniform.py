"""No saliency at all: every cell is foreground, so masks fall anywhere."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from salmask_plugin.checks import height_and_width
from salmask_plugin.types import Images, Saliency


@dataclass(frozen=True)
class UniformLocalizer:
    """Return a constant map: random masking (Table 4's control, MSCN).

    Args:
        grid: (h, w) cells. 7 x 7 is what a stride-32 network gives at 224 px.
    """

    grid: tuple[int, int] = (7, 7)

    def __post_init__(self) -> None:
        object.__setattr__(self, "grid", height_and_width(self.grid, "grid"))

    @property
    def trained_on(self) -> str:
        """Nothing is trained."""
        return "none"

    def __call__(self, images: Images) -> Saliency:
        """Return ones, (B, h, w) float32."""
        return torch.ones((len(images), *self.grid), device=images.device, dtype=torch.float32)
