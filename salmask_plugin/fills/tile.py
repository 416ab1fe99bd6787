"""Fill with small pieces of the same view in random order: texture without an object."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from salmask_plugin.checks import low_and_high
from salmask_plugin.types import Images, check_images


@dataclass(frozen=True)
class TileFill:
    """Show a grid of square tiles, each a piece of the view cut out at a random place.

    Under a mask of everything it makes the patch-based non-semantic negatives of Ge et al.: the
    view's local statistics stay, its shapes go.

    Args:
        size: (low, high) of the uniform draw of the tiles' side as a share of the view's shorter
            side, one per image, in whole pixels, ends included; 0 < low <= high <= 1. 16 to 72 of
            224 px.

    References:
        Ge et al., "Robust Contrastive Learning Using Negative Samples with Diminished Semantics",
        NeurIPS 2021; sizes from its code,
        https://github.com/SongweiGe/Contrastive-Learning-with-Non-Semantic-Negatives/tree/5fbdc4d.
        Differs: pieces may touch the last row and column of the view, which the code leaves out.
    """

    size: tuple[float, float] = (16 / 224, 72 / 224)

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", low_and_high(self.size, "size", above=0, at_most=1))

    def __call__(self, images: Images, generator: torch.Generator | None = None) -> Tensor:
        """Return the tiled views, (B, C, H, W)."""
        check_images(images)
        count, channels, height, width = images.shape
        smallest, largest = (max(1, round(share * min(height, width))) for share in self.size)
        draw = torch.rand(
            (count, 1), generator=generator, device=images.device, dtype=torch.float32
        )
        side = smallest + (draw * (largest - smallest + 1)).long().clamp(max=largest - smallest)
        # Enough places for the smallest tiles: how much is drawn must not depend on the sides.
        tiles = (-(-height // smallest), -(-width // smallest))
        place = torch.rand(
            (2, count, *tiles), generator=generator, device=images.device, dtype=torch.float32
        )

        row = torch.arange(height, device=images.device)
        column = torch.arange(width, device=images.device)
        image = torch.arange(count, device=images.device)[:, None, None]
        tile = (row // side)[:, :, None], (column // side)[:, None, :]  # (B, H, 1), (B, 1, W)
        top, left = (
            _start(where[image, tile[0], tile[1]], length - side[..., None] + 1)
            for where, length in zip(place, (height, width), strict=True)
        )
        source = (top + (row % side)[:, :, None]) * width + left + (column % side)[:, None, :]
        index = source.flatten(1)[:, None].expand(-1, channels, -1)
        return images.flatten(2).gather(2, index).view(images.shape)


def _start(draw: Tensor, places: Tensor) -> Tensor:
    """First row or column of each pixel's tile: uniform over ``places`` places."""
    return torch.minimum((draw * places).long(), places - 1)
