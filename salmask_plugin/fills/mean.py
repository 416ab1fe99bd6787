"""Fill with the view's own mean colour."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from salmask_plugin.types import Images, check_images


@dataclass(frozen=True)
class MeanFill:
    """Show each view's own mean, per channel.

    The mean is of the augmented view that is masked, not of the original image or the dataset.

    References:
        Chin et al., WACV 2024, section 3.2 ("mean").
    """

    def __call__(self, images: Images, generator: torch.Generator | None = None) -> Tensor:
        """Return (B, C, 1, 1), broadcastable to the images (B, C, H, W)."""
        check_images(images)
        # Asked for in float32: a half-precision sum over 50,000 pixels overflows or drifts, and not
        # every device widens it by itself.
        dtype = torch.float64 if images.dtype == torch.float64 else torch.float32
        return images.mean((2, 3), keepdim=True, dtype=dtype).to(images.dtype)
