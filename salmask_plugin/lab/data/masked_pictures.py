"""Whole pictures with their object masks, for evaluations that ask where the object is."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import tv_tensors

from salmask_plugin.lab.data.splits import LabelledImages, MaskedImages
from salmask_plugin.lab.data.worker_loader import Loader, worker_loader


class MaskedPictures(Dataset[tuple[Tensor, int, Tensor]]):
    """(view, label, mask) of every image; the mask is cut as the view is.

    Args:
        images: with masks.
        transform: (picture, mask) -> (view, mask), such as :func:`evaluation_transform`.

    Raises:
        ValueError: if the images have no masks.
    """

    def __init__(self, images: LabelledImages, transform: Any) -> None:
        if not isinstance(images, MaskedImages):
            raise ValueError("These images have no masks.")
        self.images = images
        self.transform = transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int, Tensor]:
        """Return the view (C, H, W), the class index and the mask, uint8 (H, W), 1 = object."""
        image, mask, label = self.images.with_mask(index)
        pixels = tv_tensors.Mask(torch.from_numpy((np.asarray(mask) > 127).astype(np.uint8)))
        view, seen = self.transform(image, pixels)
        return view, label, torch.as_tensor(seen)


def masked_loader(
    images: LabelledImages, transform: Any, *, batch_size: int = 256, workers: int = 0
) -> Loader:
    """Return batches (views, labels, masks) of every image, in order."""
    dataset = MaskedPictures(images, transform)
    return worker_loader(dataset, None, batch_size=batch_size, workers=workers)
