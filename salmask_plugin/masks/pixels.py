"""From cells to pixels."""

from __future__ import annotations

import torch
from torch import Tensor

from salmask_plugin.types import Images, PixelMask


def to_pixels(mask: Tensor, images: Images) -> PixelMask:
    """Enlarge a cell mask (B, c, h, w) to the images' (H, W) by nearest neighbour.

    Where H is no multiple of h, cells differ by one pixel, as in ``interpolate(mode="nearest")``.
    """
    height, width = images.shape[-2:]
    rows, columns = mask.shape[-2:]
    if (rows, columns) == (height, width):
        return mask
    if height % rows == 0 and width % columns == 0:
        down, right = height // rows, width // columns
        tall = mask[..., :, None, :, None].expand(*mask.shape[:2], rows, down, columns, right)
        return tall.reshape(*mask.shape[:2], height, width)
    row = torch.arange(height, device=mask.device) * rows // height
    column = torch.arange(width, device=mask.device) * columns // width
    return mask[..., row, :][..., column]
