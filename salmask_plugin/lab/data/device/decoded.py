"""Whole pictures as 8-bit tensors of one size, to be cropped on the device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from salmask_plugin.lab.data.splits import LabelledImages
from salmask_plugin.lab.data.two_view import Key
from salmask_plugin.lab.data.worker_loader import worker_loader

READ_AT_ONCE = 64
"""Pictures that a worker hands over together while a set is read into memory."""


class PictureBatch(NamedTuple):
    """Pictures of which :class:`~salmask_plugin.data.DeviceViews` makes a batch of views.

    Attributes:
        labels: int64 (B,).
        indices: int64 (B,) in the data set.
        epoch: epochs finished before this one.
        pictures: uint8 (B, 3, H, W), or None where they are kept on the device.
        sizes: float32 (B, 2), the pictures' own width and height in pixels, or None likewise.
    """

    labels: Tensor
    indices: Tensor
    epoch: int
    pictures: Tensor | None = None
    sizes: Tensor | None = None


class Picture(NamedTuple):
    """A picture (H, W, 3) of 8 bits, its own (width, height), its label, its index."""

    pixels: np.ndarray
    size: tuple[int, int]
    label: int
    number: int
    epoch: int


@dataclass(frozen=True)
class KeptPictures:
    """A whole split in memory.

    Attributes:
        pictures: uint8 (N, 3, H, W).
        sizes: float32 (N, 2), their width and height before they were resized.
        labels: int64 (N,).
    """

    pictures: Tensor
    sizes: Tensor
    labels: Tensor


class DecodedPictures(Dataset[Picture]):
    """Every picture, squeezed into a square where a size is given.

    The square holds the whole picture whatever its shape; its own width and height go with it, so
    that crops keep their place and their aspect ratio. What is lost is detail beyond
    ``decode_size`` pixels a side.

    Args:
        images: the pictures.
        decode_size: side of the square in pixels; None leaves pictures as they are.

    Raises:
        ValueError: if decode_size is below 1.
    """

    def __init__(self, images: LabelledImages, decode_size: int | None) -> None:
        if decode_size is not None and decode_size < 1:
            raise ValueError(f"decode_size={decode_size} must be at least 1 pixel, or None.")
        self.images = images
        self.decode_size = decode_size

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, key: Key) -> Picture:
        """Return the picture of (epoch, index); a plain index means epoch 0."""
        epoch, index = key if isinstance(key, tuple) else (0, key)
        image, label = self.images[index]
        size = image.size
        if self.decode_size is not None:
            square = (self.decode_size, self.decode_size)
            image = image.resize(square, Image.Resampling.BILINEAR)
        return Picture(np.array(image), size, label, index, epoch)


class KeptIndices(Dataset[PictureBatch]):
    """Labels and indices of pictures that lie on the device, a whole batch at a time."""

    def __init__(self, labels: Tensor) -> None:
        self.labels = labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, key: Key) -> PictureBatch:
        """Return a batch of one."""
        return self.__getitems__([key])

    def __getitems__(self, keys: Sequence[Key]) -> PictureBatch:
        """Return the batch of some (epoch, index) of one epoch."""
        pairs = [key if isinstance(key, tuple) else (0, key) for key in keys]
        indices = torch.tensor([index for _, index in pairs])
        return PictureBatch(self.labels[indices], indices, pairs[0][0])


def stack_pictures(pictures: list[Any]) -> PictureBatch:
    """Make a batch of :class:`Picture` of one size, as a loader's ``collate_fn``."""
    pixels = torch.from_numpy(np.stack([picture.pixels for picture in pictures]))
    return PictureBatch(
        labels=torch.tensor([picture.label for picture in pictures]),
        indices=torch.tensor([picture.number for picture in pictures]),
        epoch=pictures[0].epoch,
        pictures=pixels.permute(0, 3, 1, 2).contiguous(),
        sizes=torch.tensor([picture.size for picture in pictures], dtype=torch.float32),
    )


def keep_pictures(
    images: LabelledImages, decode_size: int | None = None, *, workers: int = 0
) -> KeptPictures:
    """Read a whole split into one tensor: 3 bytes a pixel.

    Args:
        images: the split.
        decode_size: see :class:`DecodedPictures`.
        workers: processes that read.

    Raises:
        ValueError: if pictures differ in size and no decode_size is given.
    """
    loader = worker_loader(
        DecodedPictures(images, decode_size),
        None,
        batch_size=READ_AT_ONCE,
        workers=workers,
        collate=list,
    )
    kept: KeptPictures | None = None
    for several in loader:
        for picture in several:
            height, width = picture.pixels.shape[:2]
            if kept is None:
                kept = KeptPictures(
                    torch.empty((len(images), 3, height, width), dtype=torch.uint8),
                    torch.empty(len(images), 2),
                    torch.empty(len(images), dtype=torch.int64),
                )
            if kept.pictures.shape[2:] != (height, width):
                first = f"{kept.pictures.shape[3]}x{kept.pictures.shape[2]}"
                raise ValueError(
                    f"Image {picture.number} is {width}x{height} px, the first {first}: pictures "
                    "of several sizes need decode_size, a side in pixels that all are resized to."
                )
            kept.pictures[picture.number] = torch.from_numpy(picture.pixels).permute(2, 0, 1)
            kept.sizes[picture.number] = torch.tensor(picture.size)
            kept.labels[picture.number] = picture.label
    if kept is None:
        raise ValueError("images is empty: there is nothing to keep.")
    return kept
