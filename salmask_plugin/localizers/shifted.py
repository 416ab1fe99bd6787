"""Finer maps without enlarging the image: the network looks again from places in between."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from salmask_plugin.checks import whole_number
from salmask_plugin.localizers.scda import SCDALocalizer
from salmask_plugin.types import Images, Saliency, check_images


@dataclass(frozen=True)
class ShiftedLocalizer:
    """Interleave the maps of an image and of shifted copies of it.

    A network of stride 32 gives 7 x 7 cells at 224 px. Enlarging the image to 448 px gives 14 x 14,
    but of things twice as large as the network was trained on. Looking four times, a quarter of a
    cell to either side along both axes, gives 14 x 14 at the scale it knows, for the same price.
    Each value is still what the network says of its own, larger cell around that place.

    Args:
        network: as of :class:`SCDALocalizer`.
        size: side in pixels that images are resized to, a square.
        shifts: places per cell along each axis; the map has this many times the cells. 1 is
            ``SCDALocalizer(network, (size, size))``.

    Raises:
        ValueError: if size or shifts is below 1, or what SCDALocalizer raises.

    References:
        Sermanet et al., "OverFeat", ICLR 2014, section 3.3, https://arxiv.org/abs/1312.6229.
    """

    network: Callable[[Images], Tensor]
    size: int = 224
    shifts: int = 2

    def __post_init__(self) -> None:
        for name in ("size", "shifts"):
            object.__setattr__(self, name, whole_number(getattr(self, name), name))
        SCDALocalizer(self.network)

    @property
    def trained_on(self) -> str:
        """The data and labels behind the network's weights, in words."""
        return str(getattr(self.network, "trained_on", "unknown"))

    @torch.no_grad()
    def __call__(self, images: Images) -> Saliency:
        """Return the maps of images (B, C, H, W): float32, (B, shifts * h, shifts * w).

        Raises:
            ValueError: if the images are no views, or the network's own map is 1 x 1.
        """
        check_images(images)
        size = self.size
        if images.shape[-2:] != (size, size):
            shrinks = size < max(images.shape[-2:])
            images = F.interpolate(images.float(), (size, size), mode="bilinear", antialias=shrinks)
        look = SCDALocalizer(self.network, input_size=None)
        if self.shifts == 1:
            return look(images)
        stride = size / look(images[:1]).shape[-1]
        # Middles of the finer cells, seen from the middle of the network's cell.
        middles = (torch.arange(self.shifts, dtype=torch.float32) + 0.5) / self.shifts - 0.5
        offsets = (middles * stride).round().int().tolist()
        border = max(map(abs, offsets))
        # Beyond the border the image is mirrored, where a shift looks there.
        wide = F.pad(images, (border,) * 4, mode="reflect")
        rows = [
            torch.stack([look(_window(wide, border + dy, border + dx, size)) for dx in offsets], -1)
            for dy in offsets
        ]
        maps = torch.stack(rows, 2)  # (B, h, shifts, w, shifts)
        return maps.flatten(3, 4).flatten(1, 2)


def _window(wide: Tensor, top: int, left: int, size: int) -> Tensor:
    return wide[..., top : top + size, left : left + size]
