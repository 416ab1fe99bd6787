"""Every random choice behind a batch of views, drawn image by image without a loop."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from salmask_plugin.lab.data.device.recipe import Range, ViewRecipe

TRIES = 10
"""Crops that torchvision's RandomResizedCrop tries before it takes the centre."""
BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)
"""Numbers of the colour operations in an order, as torchvision's ColorJitter counts them."""
_PARTS = {
    "area": TRIES,
    "ratio": TRIES,
    "place": 2,
    "flip": 1,
    "jitter": 1,
    "order": 4,
    "factors": 4,
    "grey": 1,
    "blur": 1,
    "sigma": 1,
}
WIDTH = sum(_PARTS.values())
"""Uniform numbers that one view is drawn from."""


@dataclass(frozen=True)
class ViewDraws:
    """What is done to each of N pictures.

    Attributes:
        box: (N, 4) left, top, width, height of the crop, whole pixels of the picture as float32.
        flipped: bool (N,), whether the crop is mirrored left to right.
        order: int64 (N, 4), the colour operations in the order of their application.
        brightness: (N,) factor; 1 where colours are not jittered.
        contrast: the same.
        saturation: the same.
        hue: (N,) turns; 0 where colours are not jittered.
        grey: bool (N,), whether colours are dropped.
        sigma: (N,) of the blur in pixels of the view; 0 where there is none.
    """

    box: Tensor
    flipped: Tensor
    order: Tensor
    brightness: Tensor
    contrast: Tensor
    saturation: Tensor
    hue: Tensor
    grey: Tensor
    sigma: Tensor

    def of(self, rows: Tensor) -> ViewDraws:
        """Return the draws of some pictures, int64 (M,)."""
        return ViewDraws(*(getattr(self, field.name)[rows] for field in fields(self)))

    def placements(self, sizes: Tensor) -> Tensor:
        """Return where the views lie: (N, 5) x0, y0, x1, y1 in shares of the picture, 1 = mirrored.

        Args:
            sizes: (N, 2) width and height of the pictures in pixels.
        """
        corner, extent = self.box[:, :2], self.box[:, 2:]
        shares = torch.cat([corner / sizes, (corner + extent) / sizes], dim=1)
        return torch.cat([shares, self.flipped[:, None].to(shares.dtype)], dim=1)


def uniforms_of_epoch(seed: int, epoch: int, count: int) -> Tensor:
    """Return the numbers in [0, 1) that an epoch's views are drawn from: (count, 2, WIDTH).

    Row i belongs to image i whatever the batch, the process or the device it is in. Drawn on the
    CPU, where 10,000 images take 3 MB.

    Args:
        seed: the run's seed, >= 0.
        epoch: epochs finished before this one, >= 0.
        count: images of the data set.

    Raises:
        ValueError: if an argument is negative.
    """
    for name, value in (("seed", seed), ("epoch", epoch), ("count", count)):
        if value < 0:
            raise ValueError(f"{name}={value} must be at least 0.")
    return torch.rand(count, 2, WIDTH, generator=generator_of_epoch(seed, epoch))


def generator_of_epoch(seed: int, epoch: int, *stream: int) -> torch.Generator:
    """Return the generator of an epoch's draws; a ``stream`` of one's own is unrelated to others'.

    On the CPU, so that every process draws the same.
    """
    state = np.random.SeedSequence((seed, epoch), spawn_key=stream).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0] >> np.uint64(1)))


def draw_views(uniforms: Tensor, sizes: Tensor, recipe: ViewRecipe) -> ViewDraws:
    """Turn uniform numbers into the choices of torchvision's and lightly's transforms.

    Args:
        uniforms: (N, WIDTH) in [0, 1).
        sizes: (N, 2) width and height of each picture in pixels, float.
        recipe: what to draw from.
    """
    part = dict(zip(_PARTS, torch.split(uniforms, list(_PARTS.values()), dim=1), strict=True))
    factors = part["factors"].unbind(1)
    jittered = part["jitter"][:, 0] < recipe.jitter_probability
    blurred = part["blur"][:, 0] < recipe.blur_probability
    return ViewDraws(
        box=_crops(part["area"], part["ratio"], part["place"], sizes, recipe),
        flipped=part["flip"][:, 0] < recipe.flip_probability,
        order=part["order"].argsort(dim=1),
        brightness=_between(factors[0], recipe.brightness).where(jittered, 1.0),
        contrast=_between(factors[1], recipe.contrast).where(jittered, 1.0),
        saturation=_between(factors[2], recipe.saturation).where(jittered, 1.0),
        hue=_between(factors[3], recipe.hue).where(jittered, 0.0),
        grey=part["grey"][:, 0] < recipe.grey_probability,
        sigma=_between(part["sigma"][:, 0], recipe.blur_sigmas).where(blurred, 0.0),
    )


def _crops(area: Tensor, ratio: Tensor, place: Tensor, sizes: Tensor, recipe: ViewRecipe) -> Tensor:
    """(N, 4) boxes by the rule of RandomResizedCrop: the first try that fits, else the centre.

    References:
        torchvision, https://github.com/pytorch/vision/blob/v0.20.0/torchvision/transforms/v2/_geometry.py
    """
    pixels = sizes.prod(dim=1, keepdim=True) * _between(area, recipe.scale)
    low, high = recipe.ratio
    aspect = _between(ratio, (math.log(low), math.log(high))).exp()
    tries = torch.stack([(pixels * aspect).sqrt(), (pixels / aspect).sqrt()], dim=-1).round()
    fits = ((tries > 0) & (tries <= sizes[:, None])).all(dim=-1)
    first = fits.int().argmax(dim=1)
    drawn = tries.gather(1, first[:, None, None].expand(-1, 1, 2)).squeeze(1)
    width, height = sizes.unbind(dim=1)
    widest = torch.stack([width.minimum((height * high).round()), height], dim=1)
    whole = torch.stack([widest[:, 0], height.minimum((width / low).round())], dim=1)
    found = fits.any(dim=1, keepdim=True)
    extent = torch.where(found, drawn, whole)
    room = sizes - extent
    drawn_corner = (place * (room + 1)).floor().minimum(room)
    return torch.cat([torch.where(found, drawn_corner, (room / 2).floor()), extent], dim=1)


def _between(uniform: Tensor, bounds: Range) -> Tensor:
    low, high = bounds
    return low + (high - low) * uniform
