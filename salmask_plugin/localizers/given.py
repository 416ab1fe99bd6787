"""The user's own object masks as saliency."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from salmask_plugin.checks import height_and_width
from salmask_plugin.localizers.area import resample
from salmask_plugin.localizers.needs import Needs
from salmask_plugin.types import Images, Saliency


@dataclass(frozen=True)
class GivenLocalizer:
    """Average pixel masks, already cropped and flipped like their views, to the grid.

    It is given masks, not views, so its maps are handed over:
    ``masking(query, key, saliency=(given(query_mask), given(key_mask)))``.

    With true masks give the samplers ``tolerance=0``: the foreground is then the cells that hold
    more of the object than the average cell. At the default of 0.6 no map can have less than 26.5 %
    foreground, and an object smaller than that makes every cell foreground.

    Args:
        grid: (h, w) cells of the maps.
    """

    grid: tuple[int, int] = (7, 7)
    needs: ClassVar[Needs] = "object masks"

    def __post_init__(self) -> None:
        object.__setattr__(self, "grid", height_and_width(self.grid, "grid"))

    @property
    def trained_on(self) -> str:
        """Nothing is trained; the masks are the labels."""
        return "the given masks"

    @torch.no_grad()
    def __call__(self, images: Images) -> Saliency:
        """Return the maps of pixel masks: float32, (B, h, w), exact for any H, W and grid.

        Args:
            images: the masks, (B, 1, H, W) or (B, H, W), larger = object; bool, [0, 1] or 0..255. A
                mask without any object is a constant map: all foreground.

        Raises:
            ValueError: if the shape is another one, such as that of views.
        """
        masks = images[:, 0] if images.ndim == 4 and images.shape[1] == 1 else images
        if masks.ndim != 3:
            raise ValueError(
                f"masks have shape {tuple(images.shape)}; (B, 1, H, W) or (B, H, W) is expected. "
                "GivenLocalizer takes the masks of the views, not the views: "
                "masking(query, key, saliency=(given(query_mask), given(key_mask)))."
            )
        whole = torch.zeros((1, 4), device=masks.device, dtype=torch.float32)
        whole[:, 2:] = 1
        return resample(masks, whole, self.grid)
