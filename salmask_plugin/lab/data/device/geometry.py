"""Crop, resize and blur of a batch, each picture with choices of its own, on the batch's device.

Both are sums over a few neighbouring rows, with weights of their own in every picture, done along
one axis and then along the other. A row lies together in memory, so that such a sum is fast;
between the two axes a picture is transposed.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

BOXES = 3
"""Box filters that PIL approximates a Gaussian by."""


class RowSums(NamedTuple):
    """How each row of a result is made of neighbouring rows, for each of N pictures.

    Attributes:
        first: int64 (N, O), the first row that row o of the result is made of.
        weight: float (N, O, K), the weights of that row and the next ones.
    """

    first: Tensor
    weight: Tensor

    def of(self, part: slice) -> RowSums:
        """Return those of some pictures."""
        return RowSums(self.first[part], self.weight[part])

    def over(self, channels: int, stored: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return ``embedding_bag``'s indices, offsets and weights for (N, channels, stored, F)."""
        device = self.first.device
        begin = torch.arange(0, len(self.first) * channels * stored, stored, device=device)
        near = begin.view(-1, channels, 1, 1) + torch.arange(self.weight.shape[-1], device=device)
        index = self.first[:, None, :, None] + near
        offsets = torch.arange(0, index.numel() + 1, index.shape[-1], device=device)
        weights = self.weight[:, None].expand(index.shape)
        return index.view(-1), offsets, weights.reshape(-1)


def crop_sums(
    box: Tensor, flipped: Tensor, sizes: Tensor, stored: tuple[int, int], size: int
) -> tuple[RowSums, RowSums]:
    """Return the sums of rows and of columns that crop, flip and resize.

    PIL's antialiased bilinear rule. Where a picture was resized before, the box falls between its
    pixels, and a pixel at the box's edge counts by the share of it that lies inside.

    Args:
        box: (N, 4) left, top, width, height, inside the picture.
        flipped: bool (N,), mirror left to right.
        sizes: (N, 2) width and height of the pictures in the unit of ``box``.
        stored: height and width in pixels.
        size: side of the result in pixels.
    """
    left, top, width, height = box.unbind(1)
    down, across = stored[0] / sizes[:, 1], stored[1] / sizes[:, 0]
    upright = torch.zeros_like(flipped)
    return (
        _resize_sums(top * down, height * down, upright, stored[0], size),
        _resize_sums(left * across, width * across, flipped, stored[1], size),
    )


def along_both(pictures: Tensor, rows: RowSums, columns: RowSums | None = None) -> Tensor:
    """Sum the rows of (N, C, H, W), then the columns, in the way of the rows if not in their own.

    The result lies in memory column by column: its ``mT`` is contiguous.
    """
    channels, height, width = pictures.shape[1:]
    bags = rows.over(channels, height)
    turned = _sum_bags(pictures, *bags).mT.contiguous()
    return _sum_bags(turned, *(bags if columns is None else columns.over(channels, width))).mT


def _sum_bags(pictures: Tensor, index: Tensor, offsets: Tensor, weights: Tensor) -> Tensor:
    """Sum rows of (N, C, R, F) into (N, C, O, F): PyTorch's sum of table rows by index."""
    table = pictures.reshape(-1, pictures.shape[-1])
    sums = torch.embedding_bag(
        table, index, offsets, mode=0, per_sample_weights=weights, include_last_offset=True
    )[0]
    return sums.view(*pictures.shape[:2], -1, pictures.shape[-1])


def crop_and_resize(
    pictures: Tensor, box: Tensor, flipped: Tensor, sizes: Tensor, size: int
) -> Tensor:
    """Resize each picture's box to (size, size), see :func:`crop_sums`.

    Args:
        pictures: (N, C, H, W) float.
        box: (N, 4) left, top, width, height, inside the picture.
        flipped: bool (N,), mirror left to right.
        sizes: (N, 2) width and height of the pictures in the unit of ``box``.
        size: side of the result in pixels.
    """
    height, width = pictures.shape[-2:]
    return along_both(pictures, *crop_sums(box, flipped, sizes, (height, width), size))


def blur_sums(sigma: Tensor, size: int, largest: float | None = None) -> RowSums:
    """Return the sums along either axis that blur as PIL's GaussianBlur does.

    Three box filters of the Gaussian's variance. Borders are continued by their last pixel before
    each. A true Gaussian differs by up to 20 of 255 levels where sigma is below half a pixel:
    sampled at whole pixels, it loses most of its variance.

    Args:
        sigma: (N,) in pixels; 0 leaves a picture as it is.
        size: side of the pictures in pixels.
        largest: no sigma is above it, so that pixels beyond its reach are left out; None takes all.

    References:
        Gwosdek et al. 2011, "Theoretical foundations of Gaussian convolution by extended box
        filtering", https://doi.org/10.1007/978-3-642-24785-9_38; Pillow,
        https://github.com/python-pillow/Pillow/blob/11.0.0/src/libImaging/BoxBlur.c
    """
    reach = size
    if largest is not None:
        reach = BOXES * (math.floor((math.sqrt(12 * largest**2 / BOXES + 1) - 1) / 2) + 1)
    # A row of pixels just long enough for all weights that there are: in its middle those of every
    # pixel that is far from both ends.
    length = min(size, 2 * reach + 1)
    box = _box_matrix(sigma, length)
    pixel = torch.arange(size, device=sigma.device)
    alike = pixel
    if length < size:
        alike = pixel.clamp(max=reach) + (pixel - (size - 1 - reach)).clamp(min=0)
    first = (pixel - reach).clamp(0, size - length)
    return RowSums(first.expand(len(sigma), size), (box @ box @ box)[:, alike])


def blur(views: Tensor, sigma: Tensor) -> Tensor:
    """Blur each view (N, C, S, S) by its sigma (N,) in pixels, see :func:`blur_sums`."""
    return along_both(views, blur_sums(sigma, views.shape[-1]))


def _resize_sums(start: Tensor, extent: Tensor, flipped: Tensor, stored: int, size: int) -> RowSums:
    """Sums over as many pixels as the widest crop needs, which is the whole picture."""
    taps = min(stored, math.ceil(2 * max(1.0, stored / size)) + 1)
    start, extent = start[:, None], extent[:, None]
    step = extent / size
    support = step.clamp(min=1)
    place = torch.arange(size, device=start.device, dtype=start.dtype)
    place = torch.where(flipped[:, None], size - 1 - place, place)
    centre = start + (place + 0.5) * step
    first = (centre - 0.5 - support).floor().clamp(0, stored - taps)
    pixel = first[..., None] + torch.arange(taps, device=start.device, dtype=start.dtype)
    weight = (1 - (pixel + 0.5 - centre[..., None]).abs() / support[..., None]).clamp(min=0)
    inside = (pixel + 1).minimum((start + extent)[..., None]) - pixel.maximum(start[..., None])
    weight = weight * inside.clamp(0, 1)
    return RowSums(first.long(), weight / weight.sum(dim=-1, keepdim=True))


def _box_matrix(sigma: Tensor, size: int) -> Tensor:
    """(N, size, size) mean over 2 * whole + 1 pixels, and the two next to them by a fraction.

    The mean's variance is a third of sigma squared. A pixel beyond the border is the border's.
    """
    sigma = sigma[:, None, None]
    variance = sigma.square() / BOXES
    whole = (((12 * variance + 1).sqrt() - 1) / 2).floor()
    fraction = (2 * whole + 1) * (whole * (whole + 1) - 3 * variance)
    fraction = fraction / (6 * (variance - (whole + 1).square()))
    total = 2 * (whole + fraction) + 1
    pixel = torch.arange(size, device=sigma.device)
    distance = pixel - pixel[:, None]
    # Weight of all pixels up to and including one, as if there were no border.
    up_to = (distance + whole + 1).minimum(2 * whole + 1).clamp(min=0)
    up_to = up_to + fraction * ((distance > -whole - 2).int() + (distance > whole).int())
    up_to = torch.where(pixel == size - 1, total, up_to)
    return up_to.diff(dim=-1, prepend=torch.zeros_like(up_to[..., :1])) / total
