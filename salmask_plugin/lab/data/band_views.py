"""Two augmented views of pictures whose channels are not red, green and blue."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torchvision.transforms import v2

from salmask_plugin.lab.data.channels import Channels
from salmask_plugin.lab.data.device.recipe import Range, ViewRecipe

LEFT_OUT = "saturation, hue and grey are left out of the views; brightness and contrast stay"
"""What a reader is told: saturation and hue are of red, green and blue alone."""


class BandViews:
    """Two random views of a picture (C, H, W): crop, flip, brightness, contrast, blur, normalise.

    The numbers are those of a recipe for RGB. Brightness multiplies all channels by one factor, and
    contrast moves each away from its own mean, in this order; nothing is cut off. Saturation, hue
    and grey, which mix three colours, are left out.

    Args:
        recipe: its mean and std are not used.
        channels: of the pictures.
        placements: also say where the views lie, see :class:`TwoViewDataset`.
    """

    def __init__(self, recipe: ViewRecipe, channels: Channels, *, placements: bool = False) -> None:
        self.recipe = recipe
        self.channels = channels
        self.placements = placements
        self._crop = v2.RandomResizedCrop(recipe.size, recipe.scale, recipe.ratio, antialias=True)
        taps = 2 * math.ceil(3 * recipe.blur_sigmas[1]) + 1
        most = recipe.size - 1 + recipe.size % 2  # odd, and reflected at the borders
        self._blur = v2.GaussianBlur(min(taps, most), recipe.blur_sigmas)

    def __call__(self, image: Tensor) -> Any:
        """Return two views (C, size, size); with placements (views, placements)."""
        placed = [self._view(image) for _ in range(2)]
        views = [view for view, _ in placed]
        return (views, [place for _, place in placed]) if self.placements else views

    def _view(self, image: Tensor) -> tuple[Tensor, Tensor]:
        recipe = self.recipe
        crop = self._crop.make_params([image])
        view: Tensor = self._crop.transform(image, crop)
        mirrored = _happens(recipe.flip_probability)
        if mirrored:
            view = view.flip(-1)
        if _happens(recipe.jitter_probability):
            view = view * _drawn(recipe.brightness)
            mean = view.mean((-2, -1), keepdim=True)
            view = mean + _drawn(recipe.contrast) * (view - mean)
        if _happens(recipe.blur_probability):
            view = self._blur(view)
        height, width = image.shape[-2:]
        left, top = crop["left"] / width, crop["top"] / height
        right, bottom = left + crop["width"] / width, top + crop["height"] / height
        place = torch.tensor([left, top, right, bottom, float(mirrored)])
        return self.channels.normalised(view), place


def _happens(probability: float) -> bool:
    return torch.rand(()).item() < probability


def _drawn(between: Range) -> float:
    low, high = between
    return low + (high - low) * torch.rand(()).item()
