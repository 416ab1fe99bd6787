"""Pictures of any channels as people see them, beside their features."""

from __future__ import annotations

from typing import Any

from PIL import Image
from torch import Tensor

from salmask_plugin.lab.data.channels import Channels, shown_bands
from salmask_plugin.lab.results.display import display_view


def as_picture(image: Image.Image | Tensor, channels: Channels) -> Image.Image:
    """Return a picture for people: three of its channels, each as bright as ImageNet's are."""
    if isinstance(image, Image.Image):
        return image
    shown = channels.normalised(image)[shown_bands(channels.count)]
    return Image.fromarray(display_view(shown.numpy()))


class ShownImages:
    """Images as :func:`as_picture` shows them.

    Args:
        images: of the data set.
        channels: of them.
    """

    def __init__(self, images: Any, channels: Channels) -> None:
        self.images = images
        self.channels = channels
        self.labels = images.labels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        image, label = self.images[index]
        return as_picture(image, self.channels), label
