"""Another image's map: right in shape and size, wrong in place."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from salmask_plugin.localizers.needs import Needs, needs_of
from salmask_plugin.types import Images, Localizer, Saliency, check_part


@dataclass(frozen=True)
class PermutedLocalizer:
    """Give every view the map of the view before it in the batch.

    The control for whether masks must fit *this* image: the maps keep the shape, area and central
    tendency of real ones. Loaders shuffle, so the neighbour is a random image.

    Args:
        localizer: makes the maps.
    """

    localizer: Localizer

    def __post_init__(self) -> None:
        check_part(self.localizer, "localizer")

    @property
    def needs(self) -> Needs:
        """What the localizer inside needs."""
        return needs_of(self.localizer)

    @property
    def trained_on(self) -> str:
        """Of the localizer inside."""
        return str(getattr(self.localizer, "trained_on", "unknown"))

    def __call__(self, images: Images) -> Saliency:
        """Return the maps (B, h, w), each moved on by one view.

        Raises:
            ValueError: if there is only one view.
        """
        return self.rearranged(self.localizer(images))

    def rearranged(self, maps: Saliency) -> Saliency:
        """Return maps (B, h, w) that are already there, each moved on by one view.

        Raises:
            ValueError: if there is only one.
        """
        if len(maps) < 2:
            raise ValueError("PermutedLocalizer needs at least 2 views: one has no other's map.")
        return torch.roll(maps, shifts=1, dims=0)
