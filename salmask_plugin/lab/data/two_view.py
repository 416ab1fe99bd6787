"""Two augmented views of every image, the same after a resume and with any number of workers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from salmask_plugin.lab.data.seeded import seeded_draws
from salmask_plugin.lab.data.splits import LabelledImages, MaskedImages

Transform = Callable[..., Any]
Key = int | tuple[int, int]
"""An index, or (epoch, index) as :class:`~salmask_plugin.data.EpochSampler` gives."""


class TwoViewDataset(Dataset[tuple[Any, ...]]):
    """(views, label, index) of every image: what lightly's modules take as a batch.

    All draws of a sample come from (seed, epoch, index): see :func:`seeded_draws`. The epoch
    travels with the index, so worker processes that live on from epoch to epoch need no message.

    Args:
        images: the pictures.
        transform: called with a picture. It returns two views (such as lightly's
            ``MoCoV2Transform``), or one view and is then called twice.
        seed: the run's seed.
        masks: also carry object masks through the views: samples are then (views, label, masks,
            index), masks being two (1, h, w) floats in [0, 1]. The transform is called with
            (picture, mask) and returns (views, masks), such as :class:`TwoViews`.
        placements: also say where each view lies in its picture: samples are then (views, label,
            placements, index), placements being two float32 (5,): x0, y0, x1, y1 in shares of the
            picture's width and height, and 1 where the view is mirrored. The transform returns
            (views, placements).

    Raises:
        ValueError: if seed is negative, masks are wanted of images that have none, or both masks
            and placements are.
    """

    def __init__(
        self,
        images: LabelledImages,
        transform: Transform,
        *,
        seed: int,
        masks: bool = False,
        placements: bool = False,
    ) -> None:
        if seed < 0:
            raise ValueError(f"seed={seed} must be at least 0.")
        if masks and placements:
            raise ValueError("masks=True and placements=True exclude each other.")
        if masks:
            check_masks(images)
        self.images = images
        self.transform = transform
        self.seed = seed
        self.masks = masks
        self.placements = placements

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, key: Key) -> tuple[Any, ...]:
        """Return the sample of (epoch, index); a plain index means epoch 0."""
        epoch, index = key if isinstance(key, tuple) else (0, key)
        with seeded_draws(self.seed, epoch, index):
            if self.masks:
                assert isinstance(self.images, MaskedImages)
                image, mask, label = self.images.with_mask(index)
                views, view_masks = self.transform(image, mask)
                return _two(views), label, _two(view_masks), index
            image, label = self.images[index]
            views = self.transform(image)
            if self.placements:
                views, placements = views
                return _two(views), label, _two(placements), index
            if isinstance(views, Tensor):
                views = [views, self.transform(image)]
            return _two(views), label, index


class OneViewDataset(Dataset[tuple[Any, int]]):
    """(view, label) of every image, for evaluation; the draws as in :class:`TwoViewDataset`."""

    def __init__(self, images: LabelledImages, transform: Transform, *, seed: int = 0) -> None:
        self.images = images
        self.transform = transform
        self.seed = seed

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, key: Key) -> tuple[Any, int]:
        """Return the sample of (epoch, index); a plain index means epoch 0."""
        epoch, index = key if isinstance(key, tuple) else (0, key)
        with seeded_draws(self.seed, epoch, index):
            image, label = self.images[index]
            return self.transform(image), label


def check_masks(images: LabelledImages) -> None:
    """Raise ValueError unless the images have object masks."""
    if not isinstance(images, MaskedImages):
        raise ValueError(f"masks=True needs images with masks, {type(images).__name__} has none.")
    images.with_mask(0)


def mask_to_tensor(mask: Any) -> Tensor:
    """Turn a mask of mode "L" into (1, H, W) uint8."""
    return torch.from_numpy(np.array(mask))[None]


def _two(views: Any) -> list[Tensor]:
    if not isinstance(views, (list, tuple)) or len(views) != 2:
        count = len(views) if isinstance(views, (list, tuple)) else type(views).__name__
        raise ValueError(f"The transform must return one view or two, not {count}.")
    return list(views)
