"""What finds saliency in whole pictures: a network that looks once or often, or a mask function."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.runs.node import as_mistakes, build
from salmask_plugin.lab.settings.settings import Settings
from salmask_plugin.localizers import MaskFunctionLocalizer, SCDALocalizer
from salmask_plugin.localizers.shifted import ShiftedLocalizer
from salmask_plugin.types import Images, Saliency


@dataclass(frozen=True)
class WholeMasks:
    """A mask function that sees every picture once, whole.

    Attributes:
        localizer: asks the function, and averages its masks to the grid that is stored.
        size: side in pixels of the square pictures that the function sees.
    """

    localizer: MaskFunctionLocalizer
    size: int
    shifts: ClassVar[int] = 1

    @property
    def trained_on(self) -> str:
        """What the function learned from, in words."""
        return self.localizer.trained_on

    def __call__(self, images: Images) -> Saliency:
        """Return the maps of pictures (B, C, size, size): float32, (B, h, w).

        Raises:
            UserError: with what the function raises.
        """
        with as_mistakes("the mask function cannot work on whole pictures"):
            return self.localizer(images)


def default_size(settings: Settings) -> int:
    """Return the side of whole images at which things are about as large as online.

    A crop of half an image's area, the mean of both methods' crops, is enlarged by 1.4 to the size
    that the localizer sees views at; a multiple of 32.
    """
    return max(64, round(settings.localizer_size * 2**0.5 / 32) * 32)


def localizer_of_whole_images(
    settings: Settings, grid: int, size: int
) -> ShiftedLocalizer | WholeMasks:
    """Return what finds saliency in whole images of ``size`` px, on ``grid`` cells a side or more.

    Raises:
        UserError: if the localizer is neither a network nor a mask function, or the size is no
            multiple of the network's stride.
    """
    node = settings.localizer
    localizer = None if node.get("_partial_") else build(node)
    if not isinstance(localizer, SCDALocalizer | MaskFunctionLocalizer):
        raise UserError(
            f"localizer={settings.choices['localizer']} has no maps of whole images to keep; "
            "choose a pretrained network, such as localizer=efficientnet_lite0, or a function of "
            "yours, localizer=mask_function."
        )
    for flag, value, least in (("--grid", grid, 2), ("--size", size, 32)):
        if value < least:
            raise UserError(f"{flag} {value} must be at least {least}.")
    if isinstance(localizer, MaskFunctionLocalizer):
        return WholeMasks(replace(localizer, grid=(grid, grid)), size)
    cells, twice = (
        localizer.network(torch.zeros(1, 3, side, side)).shape[-1] for side in (size, 2 * size)
    )
    if size % cells or twice != 2 * cells:
        raise UserError(
            f"--size {size} is no multiple of this network's stride: it makes {cells} cells a side "
            f"of it, and {twice} of twice as much; a multiple of 32, such as "
            f"{max(64, round(size / 32) * 32)}, is right for most."
        )
    return ShiftedLocalizer(localizer.network, size, shifts=-(-grid // cells))
