"""Object masks of whole pictures, and the part of them that each view shows."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from salmask_plugin.lab.data.splits import LabelledImages, MaskedImages
from salmask_plugin.lab.data.two_view import check_masks


def keep_masks(images: LabelledImages, decode_size: int | None = None) -> Tensor:
    """Read the masks of a whole split: uint8 (N, H, W), 255 = object.

    Args:
        images: the split.
        decode_size: side in pixels of the square that masks are resized to, like their pictures;
            None leaves them as they are.

    Raises:
        ValueError: if the images have no masks, or masks differ in size and no decode_size is
            given.
    """
    check_masks(images)
    assert isinstance(images, MaskedImages)
    kept: Tensor | None = None
    for index in range(len(images)):
        mask = images.with_mask(index)[1]
        if decode_size is not None:
            mask = mask.resize((decode_size, decode_size), Image.Resampling.NEAREST)
        pixels = torch.from_numpy(np.array(mask))
        if kept is None:
            kept = torch.empty((len(images), *pixels.shape), dtype=torch.uint8)
        if kept.shape[1:] != pixels.shape:
            raise ValueError(
                f"The mask of image {index} is {mask.width}x{mask.height} px, the first "
                f"{kept.shape[2]}x{kept.shape[1]}: pictures of several sizes need decode_size."
            )
        kept[index] = pixels
    assert kept is not None
    return kept


def masks_of_views(masks: Tensor, which: Tensor, placements: Tensor, size: int) -> Tensor:
    """Return the masks as views show them: float32 (N, 1, size, size) in [0, 1], nearest pixel.

    Args:
        masks: uint8 (M, H, W), of whole pictures.
        which: int64 (N,), the mask of each view.
        placements: float32 (N, 5) x0, y0, x1, y1 in shares of width and height, 1 = mirrored.
        size: side of the square views in pixels.
    """
    steps = (torch.arange(size, device=placements.device) + 0.5) / size
    x0, y0, x1, y1, mirrored = (column[:, None] for column in placements.unbind(1))
    across = torch.where(mirrored > 0.5, 1 - steps, steps)
    columns = _pixels(x0 + across * (x1 - x0), masks.shape[2])
    rows = _pixels(y0 + steps * (y1 - y0), masks.shape[1])
    seen = masks[which[:, None, None], rows[:, :, None], columns[:, None, :]]
    return seen[:, None].float() / 255


def _pixels(shares: Tensor, count: int) -> Tensor:
    return (shares * count).long().clamp(0, count - 1)
