"""Two augmented views of every image, the same after a resume and with any number of workers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

from salmask_plugin.crops import GuidedCrops
from salmask_plugin.lab.data.mask_checks import check_mask_files
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
        masks: also give the part of the object mask that each view shows: samples are then (views,
            label, masks, index), masks being two (1, h, w) floats in [0, 1].
        placements: also say where each view lies in its picture: samples are then (views, label,
            placements, index), placements being two float32 (5,): x0, y0, x1, y1 in shares of the
            picture's width and height, and 1 where the view is mirrored. For masks or placements
            the transform is one of lightly's, or returns (views, placements) itself.
        crops: how the views of lightly's transform are placed; None: as it draws them.

    Raises:
        ValueError: if seed is negative, masks are wanted of images that have none, both masks and
            placements are, or no placement says what the transform does.
    """

    def __init__(
        self,
        images: LabelledImages,
        transform: Transform,
        *,
        seed: int,
        masks: bool = False,
        placements: bool = False,
        crops: GuidedCrops | None = None,
    ) -> None:
        if seed < 0:
            raise ValueError(f"seed={seed} must be at least 0.")
        if masks and placements:
            raise ValueError("masks=True and placements=True exclude each other.")
        self.crops = crops
        self._by_masks = crops is not None and crops.takes_object_masks
        if masks or self._by_masks:
            check_masks(images)
            check_mask_files(images)
        self.images = images
        placed = masks or placements or crops is not None
        self.transform = _placing(transform, crops) if placed else transform
        self.seed = seed
        self.masks = masks
        self.placements = placements

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, key: Key) -> tuple[Any, ...]:
        """Return the sample of (epoch, index); a plain index means epoch 0."""
        epoch, index = key if isinstance(key, tuple) else (0, key)
        with seeded_draws(self.seed, epoch, index):
            mask: Image.Image | None = None
            if self.masks or self._by_masks:
                assert isinstance(self.images, MaskedImages)
                image, mask, label = self.images.with_mask(index)
            else:
                image, label = self.images[index]
            views = self.transform(image, *self._guide(index, mask))
            if self.crops is not None and not (self.masks or self.placements):
                return _two(views[0]), label, index
            if self.masks or self.placements:
                views, placements = map(_two, views)
                if not self.masks:
                    return views, label, placements, index
                assert mask is not None
                pairs = zip(views, placements, strict=True)
                seen = [mask_in_view(mask, place, view.shape[-2:]) for view, place in pairs]
                return views, label, seen, index
            if isinstance(views, Tensor):
                views = [views, self.transform(image)]
            return _two(views), label, index

    def _guide(self, index: int, mask: Image.Image | None) -> tuple[Tensor, ...]:
        """Return the whole picture's map (h, w), where crops are chosen by one."""
        if self.crops is None:
            return ()
        if mask is not None and self._by_masks:
            return (mask_to_tensor(mask)[0].float() / 255,)
        return (self.crops.maps_of(torch.tensor([index]))[0],)


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


def mask_in_view(mask: Image.Image, placement: Tensor, size: Sequence[int]) -> Tensor:
    """Return a mask as a view shows it: float32 (1, h, w) in [0, 1], nearest pixel.

    Args:
        mask: of the whole picture.
        placement: (5,), see :class:`TwoViewDataset`.
        size: (h, w) of the view in pixels.
    """
    left, top, right, bottom, mirrored = placement.tolist()
    x0, x1 = round(left * mask.width), round(right * mask.width)
    y0, y1 = round(top * mask.height), round(bottom * mask.height)
    seen: Tensor = F.resized_crop(
        mask_to_tensor(mask), y0, x0, y1 - y0, x1 - x0, list(size), InterpolationMode.NEAREST
    )
    return (seen.flip(-1) if mirrored else seen).float() / 255


def _placing(transform: Transform, crops: GuidedCrops | None) -> Transform:
    """Return what also says where its views lie; lightly's transforms are made to."""
    # Imported here: the data sets need no lightly, which takes seconds.
    if crops is not None:
        from salmask_plugin.adapters.lightly.guided_views import GuidedViews

        return GuidedViews(transform, crops)
    if not hasattr(transform, "transforms"):
        return transform
    from salmask_plugin.adapters.lightly.placements import PlacedViews

    return PlacedViews(transform)


def _two(views: Any) -> list[Tensor]:
    if not isinstance(views, (list, tuple)) or len(views) != 2:
        count = len(views) if isinstance(views, (list, tuple)) else type(views).__name__
        raise ValueError(f"The transform must return one view or two, not {count}.")
    return list(views)
