"""Crop, colour and blur of a batch, each picture with choices of its own, on the batch's device."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from kornia.enhance import adjust_hue
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from salmask_plugin.data.view_draws import BRIGHTNESS, CONTRAST, HUE, ViewDraws
from salmask_plugin.data.view_recipe import ViewRecipe

BOXES = 3
"""Box filters that PIL approximates a Gaussian by."""


def apply_views(pictures: Tensor, draws: ViewDraws, sizes: Tensor, recipe: ViewRecipe) -> Tensor:
    """Return one normalised view of each picture, float32 (N, 3, size, size).

    The operations are those of lightly's transforms in their order, in floating point where PIL
    rounds to 8 bits after each.

    Args:
        pictures: uint8 (N, 3, H, W); whole pictures, resized or not.
        draws: what to do to each.
        sizes: (N, 2) width and height in the pixels that ``draws.box`` counts, float.
        recipe: gives the views' size, mean and std.
    """
    views = crop_and_resize(pictures.float() / 255, draws.box, draws.flipped, sizes, recipe.size)
    views = jitter(views, draws)
    views = torch.where(draws.grey[:, None, None, None], F.rgb_to_grayscale(views), views)
    views = blur(views, draws.sigma)
    mean, std = _channels(recipe.mean, views.device), _channels(recipe.std, views.device)
    return (views - mean) / std


def crop_and_resize(
    pictures: Tensor, box: Tensor, flipped: Tensor, sizes: Tensor, size: int
) -> Tensor:
    """Resize each picture's box to (size, size) by PIL's antialiased bilinear rule.

    The resize is linear and separable: one product along the width, one along the height. Where a
    picture was resized before, the box falls between its pixels, and a pixel at the box's edge
    counts by the share of it that lies inside.

    Args:
        pictures: (N, C, H, W) float.
        box: (N, 4) left, top, width, height.
        flipped: bool (N,), mirror left to right.
        sizes: (N, 2) width and height of the pictures in the unit of ``box``.
        size: side of the result in pixels.
    """
    stored = tuple(reversed(pictures.shape[-2:]))
    (left, top, width, height) = box.unbind(1)
    across, down = (stored[axis] / sizes[:, axis] for axis in (0, 1))
    columns = _resize_matrix(left * across, width * across, stored[0], size)
    rows = _resize_matrix(top * down, height * down, stored[1], size)
    columns = torch.where(flipped[:, None, None], columns.flip(1), columns)
    return rows[:, None] @ (pictures @ columns.mT[:, None])


def jitter(views: Tensor, draws: ViewDraws) -> Tensor:
    """Change brightness, contrast, saturation and hue in each view's own order.

    Three of the four blend a view with black, its mean grey or its greys, so that one formula
    serves them all. Hue is dear, and is therefore done once: the blends that a view wants before it
    come first, then hue, then the others.

    Args:
        views: (N, 3, H, W) in [0, 1].
        draws: gives order and factors.
    """
    neutral = torch.ones_like(draws.hue)
    factors = torch.stack([draws.brightness, draws.contrast, draws.saturation, neutral], dim=1)
    factors = factors.gather(1, draws.order)
    hue_place = (draws.order == HUE).int().argmax(dim=1)
    for turn in range(3):
        active = factors[:, turn].where(turn < hue_place, 1.0)
        views = _blend(views, draws.order[:, turn], active)
    views = adjust_hue(views, 2 * math.pi * draws.hue)
    for turn in range(1, 4):
        active = factors[:, turn].where(turn > hue_place, 1.0)
        views = _blend(views, draws.order[:, turn], active)
    return views


def blur(views: Tensor, sigma: Tensor) -> Tensor:
    """Blur each view as PIL's GaussianBlur does: three box filters of the Gaussian's variance.

    One matrix per axis as in :func:`salmask_plugin.filters.gaussian_blur`, here one per view too,
    and borders continued by their last pixel. A true Gaussian differs by up to 20 of 255 levels
    where sigma is below half a pixel: sampled at whole pixels, it loses most of its variance.

    Args:
        views: (N, C, S, S).
        sigma: (N,) in pixels; 0 leaves a view as it is.

    References:
        Gwosdek et al. 2011, "Theoretical foundations of Gaussian convolution by extended box
        filtering", https://doi.org/10.1007/978-3-642-24785-9_38; Pillow,
        https://github.com/python-pillow/Pillow/blob/11.0.0/src/libImaging/BoxBlur.c
    """
    box = _box_matrix(sigma, views.shape[-1])
    matrix = (box @ box @ box)[:, None]
    return matrix @ views @ matrix.mT


def _resize_matrix(start: Tensor, extent: Tensor, stored: int, size: int) -> Tensor:
    """(N, size, stored) weights of the stored pixels in each pixel of the result; rows sum to 1."""
    device = start.device
    start, extent = start[:, None, None], extent[:, None, None]
    step = extent / size
    centre = start + (torch.arange(size, device=device)[:, None] + 0.5) * step
    pixel = torch.arange(stored, device=device)
    weight = (1 - (pixel + 0.5 - centre).abs() / step.clamp(min=1)).clamp(min=0)
    inside = (pixel + 1).minimum(start + extent) - start.maximum(pixel.float())
    weight = weight * inside.clamp(0, 1)
    return weight / weight.sum(dim=-1, keepdim=True)


def _blend(views: Tensor, operation: Tensor, factor: Tensor) -> Tensor:
    operation = operation[:, None, None, None]
    grey = F.rgb_to_grayscale(views)
    base = torch.where(operation == CONTRAST, grey.mean(dim=(2, 3), keepdim=True), grey)
    base = base.where(operation != BRIGHTNESS, 0.0)
    return torch.lerp(base, views, factor[:, None, None, None]).clamp(0, 1)


def _box_matrix(sigma: Tensor, size: int) -> Tensor:
    """(N, size, size) mean over 2 * whole + 1 pixels, and the two next to them by a fraction.

    The mean's variance is a third of sigma squared. A pixel beyond the border is the border's.
    """
    variance = sigma[:, None, None].square() / BOXES
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


@lru_cache(maxsize=16)
def _channels(values: tuple[float, float, float], device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        return torch.tensor(values).view(3, 1, 1).to(device)
