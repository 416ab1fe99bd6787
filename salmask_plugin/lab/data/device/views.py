"""Two views of every picture of a batch, made where the batch is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from salmask_plugin.crops import GuidedCrops
from salmask_plugin.lab.data.device.apply import apply_views
from salmask_plugin.lab.data.device.decoded import (
    DecodedPictures,
    KeptIndices,
    KeptPictures,
    PictureBatch,
    keep_pictures,
    stack_pictures,
)
from salmask_plugin.lab.data.device.draws import draw_views, uniforms_of_epoch
from salmask_plugin.lab.data.device.guided import GuidedBoxes
from salmask_plugin.lab.data.device.object_masks import keep_masks, masks_of_views
from salmask_plugin.lab.data.device.recipe import ViewRecipe
from salmask_plugin.lab.data.sampling import EpochSampler
from salmask_plugin.lab.data.splits import LabelledImages
from salmask_plugin.lab.data.worker_loader import Loader, check_counts, worker_loader
from salmask_plugin.precision import autocast_off


class DeviceViews:
    """Turn a :class:`PictureBatch` into a batch of two views on its device.

    All choices for an image come from (seed, epoch, index), drawn once per epoch on the CPU: the
    same after a resume, with any batch size and number of processes, and on any device up to
    rounding. They are not the choices that the loader's own transforms would draw.

    Args:
        recipe: what is drawn from.
        seed: the run's seed.
        count: images of the data set.
        kept: the pictures themselves, where batches bring only their indices.
        placements: batches are then (views, labels, placements, indices), placements being two
            float32 (B, 5): x0, y0, x1, y1 in shares of the picture's width and height, and 1 where
            the view is mirrored.
        masks: object masks of all the pictures, uint8 (N, H, W). Batches are then (views, labels,
            masks, indices), masks being two float32 (B, 1, size, size) in [0, 1].
        guided: chooses the views' boxes; None leaves them where they were drawn.

    Raises:
        ValueError: if seed is negative, or both masks and placements are wanted.
    """

    def __init__(
        self,
        recipe: ViewRecipe,
        *,
        seed: int,
        count: int,
        kept: KeptPictures | None = None,
        placements: bool = False,
        masks: Tensor | None = None,
        guided: GuidedBoxes | None = None,
    ) -> None:
        if seed < 0:
            raise ValueError(f"seed={seed} must be at least 0.")
        if masks is not None and placements:
            raise ValueError("masks and placements=True exclude each other.")
        self.recipe = recipe
        self.seed = seed
        self.count = count
        self.placements = placements
        self._masks = masks
        self._guided = guided
        self._kept = None if kept is None else (kept.pictures, kept.sizes)
        self._epoch = -1
        self._uniforms = torch.empty(0)

    @torch.no_grad()
    def __call__(self, batch: PictureBatch) -> tuple[Any, ...]:
        """Return ([view, view], labels, indices), views float32 (B, 3, size, size)."""
        device = batch.indices.device
        with autocast_off(device):
            pictures, sizes, which = self._whole(batch)
            uniforms = self._of_epoch(batch.epoch, device)[batch.indices]
            twice = sizes.repeat(2, 1)
            draws = draw_views(uniforms.transpose(0, 1).flatten(0, 1), twice, self.recipe)
            if self._guided is not None:
                box = self._guided(draws.box, sizes, batch.indices, batch.epoch)
                draws = replace(draws, box=box)
            both = apply_views(pictures, draws, twice, self.recipe, which.repeat(2))
            views = list(both.chunk(2))
            if self.placements or self._masks is not None:
                placed = draws.placements(twice)
                more = placed if self._masks is None else self._seen(batch.indices, placed)
                return views, batch.labels, list(more.chunk(2)), batch.indices
            return views, batch.labels, batch.indices

    def _whole(self, batch: PictureBatch) -> tuple[Tensor, Tensor, Tensor]:
        """Pictures, the sizes of the batch's, and the numbers of the batch's among them."""
        if batch.pictures is not None and batch.sizes is not None:
            numbers = torch.arange(len(batch.pictures), device=batch.pictures.device)
            return batch.pictures, batch.sizes, numbers
        if self._kept is None:
            raise ValueError("The batch brings no pictures, and none are kept.")
        device = batch.indices.device
        if self._kept[0].device != device:
            self._kept = (self._kept[0].to(device), self._kept[1].to(device))
        return self._kept[0], self._kept[1][batch.indices], batch.indices

    def _seen(self, indices: Tensor, placements: Tensor) -> Tensor:
        assert self._masks is not None
        if self._masks.device != indices.device:
            self._masks = self._masks.to(indices.device)
        return masks_of_views(self._masks, indices.repeat(2), placements, self.recipe.size)

    def _of_epoch(self, epoch: int, device: torch.device) -> Tensor:
        if epoch != self._epoch or self._uniforms.device != device:
            self._uniforms = uniforms_of_epoch(self.seed, epoch, self.count).to(device)
            self._epoch = epoch
        return self._uniforms


@dataclass(frozen=True)
class DeviceViewData:
    """Everything needed to build a loader of whole pictures, and the views made of its batches.

    Attributes:
        images: the training images.
        views: makes a batch of views of what the loader gives; call it on the device.
        batch_size: images per batch and process.
        seed: the run's seed.
        workers: worker processes that decode; kept pictures need none.
        decode_size: side in pixels that pictures are decoded to.
        labels: those of kept pictures; None where the loader decodes.
        crops: how the views' boxes are chosen; None where they stay as drawn.
    """

    images: LabelledImages
    views: DeviceViews
    batch_size: int
    seed: int
    workers: int
    decode_size: int | None
    labels: Tensor | None
    crops: GuidedCrops | None = None

    def train_loader(
        self, epoch: int = 0, rank: int | None = None, world_size: int | None = None
    ) -> Loader:
        """Return batches of :class:`PictureBatch` from this epoch on, incomplete ones left out.

        The order is :func:`pretrain_loader`'s.

        Raises:
            ValueError: if a process has fewer images than one batch.
        """
        sampler = EpochSampler(
            self.images, seed=self.seed, epoch=epoch, rank=rank, world_size=world_size
        )
        sampler.check_batch(self.batch_size)
        kept = self.labels is not None
        return worker_loader(
            DecodedPictures(self.images, self.decode_size)
            if self.labels is None
            else KeptIndices(self.labels),
            sampler,
            batch_size=self.batch_size,
            workers=0 if kept else self.workers,
            seed=self.seed,
            drop_last=True,
            # Kept pictures: the data set makes the whole batch itself.
            collate=_as_it_is if kept else stack_pictures,
        )


def device_view_data(
    images: LabelledImages,
    recipe: ViewRecipe,
    *,
    batch_size: int,
    seed: int,
    workers: int = 0,
    decode_size: int | None = None,
    keep: bool = True,
    placements: bool = False,
    masks: bool = False,
    crops: GuidedCrops | None = None,
) -> DeviceViewData:
    """Prepare the training images for views that are made on the device.

    Args:
        images: the training images.
        recipe: of the views.
        batch_size: images per batch and process.
        seed: the run's seed.
        workers: worker processes: they read the pictures, once where they are kept.
        decode_size: side in pixels of the square that every picture is resized to first, see
            :class:`DecodedPictures`; None takes pictures as they are, all of one size.
        keep: read all pictures at once and keep them on the device, 3 bytes a pixel; otherwise
            they are decoded for every epoch.
        placements: see :class:`DeviceViews`.
        masks: the pictures' object masks go through the views too; see :class:`DeviceViews`. They
            are kept, one byte a pixel, also where pictures are not.
        crops: how the views' boxes are chosen; None: as they were drawn.

    Raises:
        ValueError: if an argument is out of range, or pictures differ in size.
    """
    check_counts(batch_size, workers)
    if not keep and decode_size is None:
        raise ValueError(
            "decode_size=None needs keep=True: whether pictures have one size is known once all "
            "have been read. Give a decode_size, a side in pixels."
        )
    kept = keep_pictures(images, decode_size, workers=workers) if keep else None
    by_masks = crops is not None and crops.takes_object_masks
    objects = keep_masks(images, decode_size) if masks or by_masks else None
    guided = None
    if crops is not None:
        shown = objects if by_masks else None
        guided = GuidedBoxes(crops, seed=seed, count=len(images), masks=shown)
    return DeviceViewData(
        images=images,
        views=DeviceViews(
            recipe,
            seed=seed,
            count=len(images),
            kept=kept,
            placements=placements,
            masks=objects if masks else None,
            guided=guided,
        ),
        batch_size=batch_size,
        seed=seed,
        workers=workers,
        decode_size=decode_size,
        labels=None if kept is None else kept.labels,
        crops=crops,
    )


def _as_it_is(batch: Any) -> Any:
    return batch
