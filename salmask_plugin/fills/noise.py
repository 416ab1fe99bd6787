"""Fill with Gaussian noise."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from salmask_plugin.checks import number
from salmask_plugin.types import Images, check_images


@dataclass(frozen=True)
class NoiseFill:
    """Replace the content by zero-mean Gaussian noise, fresh for every pixel.

    Meant for high-passed views, whose own mean is zero. The paper speaks of *adding* noise to the
    masked sample; its code replaces the masked cells, as here. The code repeats one patch of noise
    in every cell of a batch, which a network could learn to recognise; here every pixel is drawn.

    Args:
        std: standard deviation in units of the normalised view; 0.18 for queries, 0.14 for hard
            negatives in the released code.

    References:
        Chin et al., WACV 2024, section 3.2 ("high-pass"), after MSCN.
    """

    std: float = 0.18

    def __post_init__(self) -> None:
        object.__setattr__(self, "std", number(self.std, "std", at_least=0))

    def __call__(self, images: Images, generator: torch.Generator | None = None) -> Tensor:
        """Return noise of the images' shape, (B, C, H, W)."""
        check_images(images)
        noise = torch.randn(
            images.shape, generator=generator, dtype=images.dtype, device=images.device
        )
        return noise.mul_(self.std)
