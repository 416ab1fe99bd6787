"""The occlusion model: a small U-Net that splits each image into N soft masks."""

from __future__ import annotations

from numbers import Real
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from salmask_plugin.checks import check_choice, height_and_width, whole_number
from salmask_plugin.precision import autocast_off, in_float
from salmask_plugin.types import Images

Norm = Literal["group", "instance", "none"]

GROUPS = 8
"""Groups of the group normalisation."""
BOTTLENECK = 128
"""Units of the fully connected bottleneck."""


class OcclusionModel(nn.Module):
    """Predict N soft masks per image that sum to 1 in every pixel.

    A U-Net with one 3x3 convolution per block, skip connections, and a fully connected bottleneck
    over the coarsest map, which ties it to one image size. The size also decides the depth: an
    image with a shorter side of s pixels gets int(log2(s) - 1) blocks (224: 6, 64 and 96: 5,
    32: 4), the coarsest three of them twice as wide. Deeper and shallower models than the three
    released ones follow the same rule.

    Args:
        image_size: side of the images, or (height, width). Divisible by 2^(blocks - 1).
        num_masks: N, at least 2; a single mask would hide every pixel by the softmax.
        width: channels of the first blocks (8, 16, 32 or 128 in the released settings).
        norm: "group" (8 groups; ``width`` must be a multiple of 8), "instance" or "none".
        in_channels: of the images.

    Raises:
        ValueError: if the size is below 16 or not divisible, ``num_masks`` is below 2, or
            ``width`` or ``norm`` does not fit.

    References:
        Shi et al., ICML 2022, section 3 (https://arxiv.org/abs/2201.13100); layer sizes from the
        released code, https://github.com/YugeTen/adios/blob/21c6f23/src/utils/unet.py.
    """

    def __init__(
        self,
        image_size: int | tuple[int, int],
        *,
        num_masks: int = 6,
        width: int = 32,
        norm: Norm = "group",
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        if isinstance(image_size, Real):
            image_size = (image_size, image_size)
        self.image_size = sides = height_and_width(image_size, "image_size")
        blocks = block_count(sides)
        if num_masks == 1:
            raise ValueError(
                f"num_masks={num_masks} must be at least 2: masks sum to 1 in every pixel, so a "
                "single one would hide the whole image."
            )
        check_choice(norm, "norm", Norm)
        width = whole_number(width, "width")
        if norm == "group" and width % GROUPS:
            raise ValueError(f"width={width} must with norm='group' be a multiple of {GROUPS}.")
        self.num_masks = num_masks = whole_number(num_masks, "num_masks", at_least=2)
        self.in_channels = in_channels = whole_number(in_channels, "in_channels")

        down = [width] * (blocks - 3) + [2 * width] * 3
        up = [2 * width] * 2 + [width] * (blocks - 2)
        self.encoder = nn.ModuleList(
            _block(inputs, outputs, norm)
            for inputs, outputs in zip([in_channels, *down[:-1]], down, strict=True)
        )
        self.decoder = nn.ModuleList(
            _block(below + skip, outputs, norm)
            for below, skip, outputs in zip([down[-1], *up[:-1]], down[::-1], up, strict=True)
        )
        cells = 2 * width * (sides[0] >> (blocks - 1)) * (sides[1] >> (blocks - 1))
        self.bottleneck = nn.Sequential(
            nn.Linear(cells, BOTTLENECK),
            nn.ReLU(),
            nn.Linear(BOTTLENECK, BOTTLENECK),
            nn.ReLU(),
            nn.Linear(BOTTLENECK, cells),
            nn.ReLU(),
        )
        self.head = nn.Conv2d(width, num_masks, kernel_size=1)

    def forward(self, images: Images) -> Tensor:
        """Return soft masks (B, N, H, W) in [0, 1], float32 (float64 stays): 1 = occluded.

        Raises:
            ValueError: if the images are not (B, C, H, W) of the channels and the size that the
                model was made for.
        """
        if images.ndim != 4 or images.shape[1:] != (self.in_channels, *self.image_size):
            raise ValueError(
                f"images {tuple(images.shape)} must be (B, {self.in_channels}, "
                f"{self.image_size[0]}, {self.image_size[1]}): the occlusion model is tied to "
                "its channels and image_size."
            )
        skips: list[Tensor] = []
        x = images
        for index, block in enumerate(self.encoder):
            x = block(x if index == 0 else x[..., ::2, ::2])
            skips.append(x)
        x = self.bottleneck(x.flatten(1)).view_as(x)
        for index, block in enumerate(self.decoder):
            x = x if index == 0 else F.interpolate(x, scale_factor=2, mode="nearest")
            x = block(torch.cat((x, skips.pop()), dim=1))
        logits: Tensor = self.head(x)
        # In half precision N rounded shares do not sum to 1, and small areas vanish.
        with autocast_off(images.device):
            return in_float(logits).softmax(1)

    def extra_repr(self) -> str:
        """Say the settings in ``print(module)``."""
        return f"image_size={self.image_size}, num_masks={self.num_masks}"


def block_count(image_size: tuple[int, int]) -> int:
    """Return the number of blocks on each side of the U-Net: int(log2(shorter side) - 1).

    Raises:
        ValueError: if a side is below 16 px, or not divisible by 2^(blocks - 1).
    """
    if min(image_size) < 16:
        raise ValueError(f"image_size={image_size} must be at least 16 px on each side.")
    blocks = min(image_size).bit_length() - 2  # int(log2(s) - 1) without rounding
    factor = 2 ** (blocks - 1)
    if any(side % factor for side in image_size):
        nearest = [max(1, round(side / factor)) * factor for side in image_size]
        raise ValueError(
            f"image_size={image_size} must be divisible by {factor}, as {blocks} blocks halve the "
            f"map {blocks - 1} times; {nearest} is the nearest size that is."
        )
    return blocks


def _block(inputs: int, outputs: int, norm: Norm) -> nn.Sequential:
    """3x3 convolution, normalisation, ReLU. Only an unnormalised convolution needs a bias."""
    convolution = nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=norm == "none")
    if norm == "group":
        return nn.Sequential(convolution, nn.GroupNorm(GROUPS, outputs), nn.ReLU())
    if norm == "instance":
        return nn.Sequential(convolution, nn.InstanceNorm2d(outputs, affine=True), nn.ReLU())
    return nn.Sequential(convolution, nn.ReLU())
