"""Defect B2 of the released code: one image's hard negative serves the whole batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from salmask_plugin.masking import Masking
from salmask_plugin.types import Fill, Images, MaskSampler, PixelMask, Saliency


@dataclass(frozen=True)
class FirstNegative:
    """Mask every image as :class:`~salmask_plugin.Masking` does, and return the first for all.

    Takes the place of ``Masking`` in ``SaliencyMasking(negative=...)``. In the released code a
    wrong axis leaves the negative of image 0 of each process; all others are made and dropped. The
    key encoder's batch statistics are those of that image, there and here.

    Args:
        sampler: saliency -> mask.
        fill: images -> replacement content.

    References:
        https://github.com/joycenerd/Saliency-Guided-Masking-for-ConvNets/tree/c6e62b8; defect B2 in
        docs/paper_vs_code.md.
    """

    sampler: MaskSampler
    fill: Fill

    def __call__(
        self, images: Images, saliency: Saliency, generator: torch.Generator | None = None
    ) -> tuple[Images, PixelMask]:
        """Return image 0 masked, B times (B, C, H, W), and its mask, B times (B, 1|C, H, W)."""
        masked, mask = Masking(self.sampler, self.fill)(images, saliency, generator)
        # Repeated, not expanded: an encoder may want to view its input.
        return masked[:1].repeat(len(images), 1, 1, 1), mask[:1].repeat(len(images), 1, 1, 1)
