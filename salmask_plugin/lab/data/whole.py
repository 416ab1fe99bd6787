"""Whole pictures as views."""

from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms import v2

from salmask_plugin.lab.data.augment import to_normalised
from salmask_plugin.lab.data.channels import RGB, Channels
from salmask_plugin.lab.data.fingerprint import pixel_digest
from salmask_plugin.lab.data.splits import LabelledImages


def whole_view(size: int, channels: Channels = RGB) -> v2.Compose:
    """Resize a picture to a square of ``size`` pixels and normalise it.

    Raises:
        ValueError: if size is below 1.
    """
    if size < 1:
        raise ValueError(f"size={size} must be at least 1 pixel.")
    return v2.Compose([v2.Resize((size, size), antialias=True), *to_normalised(channels)])


class WholeViews:
    """The whole picture, resized to a square and normalised: what no augmentation has cropped.

    It takes the place of :class:`PlacedViews`, so it returns the one view twice, and where it lies.

    Args:
        size: side of the views in pixels; the aspect ratio is not kept.
        channels: of the pictures.

    Raises:
        ValueError: if size is below 1.
    """

    def __init__(self, size: int, channels: Channels = RGB) -> None:
        self._view = whole_view(size, channels)

    def __call__(self, image: Image.Image | Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Return the view (C, size, size) and its placement (5,), each twice."""
        return [self._view(image)] * 2, [torch.tensor([0.0, 0.0, 1.0, 1.0, 0.0])] * 2


class WholeImages(Dataset[tuple[Tensor, int]]):
    """(view, digest) of every image: the whole picture as :class:`WholeViews` shows it.

    Args:
        images: the pictures.
        size: side of the square views in pixels.

    Raises:
        ValueError: if size is below 1.
    """

    def __init__(self, images: LabelledImages, size: int) -> None:
        self.images = images
        self._view = whole_view(size)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Return the view (3, size, size) and :func:`pixel_digest` of the picture."""
        image, _ = self.images[index]
        return self._view(image), pixel_digest(image)
