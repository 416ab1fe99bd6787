"""Fill with the same place of another image of the batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from salmask_plugin.types import Images, check_images


@dataclass(frozen=True)
class OtherImageFill:
    """Show the same place of another image, never of the image itself.

    The batch is moved on by a random number of places, so every image is shown once in another's.
    The other image is shown as it is: with a mask of the background, that image's object shows
    where it lies there.

    References:
        The input of MixMask (https://arxiv.org/abs/2210.11456), without its loss: the similarity to
        the image that fills is not raised.
    """

    across_images: ClassVar[bool] = True
    """That an image is shown in another's place."""

    def __call__(self, images: Images, generator: torch.Generator | None = None) -> Tensor:
        """Return the images (B, C, H, W) in another order.

        Raises:
            ValueError: if there is only one image.
        """
        check_images(images)
        count = len(images)
        if count < 2:
            raise ValueError("OtherImageFill needs at least 2 images: one has no other.")
        steps = torch.randint(1, count, (1,), generator=generator, device=images.device)
        return images[(torch.arange(count, device=images.device) + steps) % count]
